"""What a feed has told that still stands on somebody's map, over reconnections and restarts of the station.

Without it, what a person rejects while a client is away, or after the station was started anew, would stay on
maps until it is stale, for plots a month.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from ground.tak.event import CotEvent, CotPoint
from skywarden.errors import StoreError

_log = structlog.get_logger("ground.tak")

MAX_REMEMBERED = 20_000
MAX_FILE_BYTES = 8_000_000


class Told(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One thing as it was told last."""

    uid: str
    kind: str
    latitude_deg: float
    longitude_deg: float
    stale_ns: int

    @property
    def point(self) -> CotPoint:
        """Where it was said to be."""
        return CotPoint(latitude_deg=self.latitude_deg, longitude_deg=self.longitude_deg)


_decoder = msgspec.json.Decoder(list[Told])


@dataclass(slots=True)
class SentMemory:
    """Of one feed. A plain object; the oldest goes when there is more than `MAX_REMEMBERED`."""

    _told: dict[str, Told]
    is_changed: bool = False

    @classmethod
    def of(cls, told: Iterable[Told] = ()) -> "SentMemory":
        """Filled with what was told before."""
        return cls({one.uid: one for one in told})

    def note(self, said: CotEvent) -> None:
        """An event was said."""
        before = self._told.pop(said.uid, None)
        now = Told(
            uid=said.uid,
            kind=said.type,
            latitude_deg=said.point.latitude_deg,
            longitude_deg=said.point.longitude_deg,
            stale_ns=said.stale_ns,
        )
        self._told[said.uid] = now
        self.is_changed = self.is_changed or before is None or before.stale_ns != now.stale_ns
        while len(self._told) > MAX_REMEMBERED:
            del self._told[next(iter(self._told))]

    def standing(self, now_ns: int) -> list[Told]:
        """What may still be on a map; what is stale is forgotten."""
        stale = [uid for uid, one in self._told.items() if one.stale_ns <= now_ns]
        for uid in stale:
            del self._told[uid]
        return list(self._told.values())


class MemoryFile:
    """The memory of one feed in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> SentMemory:
        """What had been told; nothing where the file cannot be read, which is logged."""
        try:
            return SentMemory.of(self._told())
        except StoreError as error:
            _log.warning("what was told to TAK before is not known", reason=str(error))
            return SentMemory.of()

    def write(self, told: list[Told]) -> None:
        """Replace the file; raises `StoreError`."""
        part = self._path.with_name(self._path.name + ".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_bytes(msgspec.json.encode(told))
            part.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror})") from error

    def _told(self) -> list[Told]:
        try:
            size = self._path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise StoreError(f"{self._path}: {size} bytes, at most {MAX_FILE_BYTES} are read")
            return _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise StoreError(f"{self._path}: cannot be read ({error})") from error


def memory_path(state_dir: Path, url: str) -> Path:
    """Where the memory of the feed to `url` lies."""
    return state_dir / "tak" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
