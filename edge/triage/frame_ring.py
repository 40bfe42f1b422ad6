"""Source frames of sightings, kept on disk for so long as there is room, for requests at full resolution.

Each frame is one JPEG with a note beside it that says which sightings were made of it. The oldest go when the
folder is full or the disk runs low. Written by the vision process, read by the core; a file is put in place
whole, so a reader never sees half of one.
"""

import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skywarden.messages import BoxPx, Count, Id, Message, TimeNs

_MAX_NOTE_BYTES = 262_144
_LOOK_EVERY = 16


class KeptSighting(Message, frozen=True, kw_only=True, array_like=True):
    """One sighting of a kept frame."""

    sighting_id: Id
    track_id: Id
    box_px: BoxPx


class FrameNote(Message, frozen=True, kw_only=True, array_like=True):
    """What belongs to a kept frame."""

    frame_number: Count
    time_ns: TimeNs
    sightings: tuple[KeptSighting, ...]


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame that can be read, and the sighting asked for (or another of its track)."""

    path: Path
    time_ns: int
    sighting: KeptSighting
    is_exact: bool


_note_decoder = msgspec.msgpack.Decoder(FrameNote)


class FrameRing:
    """One sensor's folder of kept frames; one writer.

    `max_bytes` 0 keeps none. `fault` says why the disk took no frame, `None` while all is well: a full disk
    must not stop the flight.
    """

    def __init__(self, folder: Path, *, max_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._added = 0
        self._has_room = True
        self.fault: str | None = None
        if max_bytes:
            self._open()

    @property
    def held_bytes(self) -> int:
        """How much the kept frames take."""
        return self._bytes

    def add(self, name: str, image: bytes, note: FrameNote) -> bool:
        """Keep a frame, an encoded JPEG; `name` rises with time. Whether it was kept."""
        if not self._max_bytes or len(image) > self._max_bytes:
            return False
        try:
            if self._added % _LOOK_EVERY == 0:
                self._has_room = shutil.disk_usage(self._folder).free >= self._min_free_bytes
            self._added += 1
            self._drop_until(self._max_bytes - len(image))
            if not self._has_room:
                self._drop_until(max(0, self._bytes - 4 * len(image)))
                self.fault = f"less than {self._min_free_bytes / 1e9:.1f} GB of the disk is free"
                return False
            encoded = msgspec.msgpack.encode(note)
            _put(self._folder / f"{name}.note", encoded)
            _put(self._folder / f"{name}.jpg", image)
        except OSError as error:
            self.fault = f"{error.strerror or error}"
            return False
        self.fault = None
        self._sizes[name] = len(image) + len(encoded)
        self._bytes += self._sizes[name]
        return True

    def _open(self) -> None:
        """Take over what an earlier run kept, oldest first."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = sorted(self._folder.glob("*.jpg"), key=lambda path: (path.stat().st_mtime_ns, path.name))
            for path in found:
                self._sizes[path.stem] = path.stat().st_size
                self._bytes += self._sizes[path.stem]
            for path in [*self._folder.glob("*.new"), *self._folder.glob("*.note")]:
                if path.suffix == ".new" or path.stem not in self._sizes:
                    path.unlink(missing_ok=True)
        except OSError as error:
            self.fault = f"{error.strerror or error}"

    def _drop_until(self, wanted_bytes: int) -> None:
        while self._sizes and self._bytes > wanted_bytes:
            name, size = self._sizes.popitem(last=False)
            self._bytes -= size
            for suffix in (".jpg", ".note"):
                (self._folder / (name + suffix)).unlink(missing_ok=True)


def find_kept(folder: Path, sighting_id: str, track_id: str | None = None) -> KeptFrame | None:
    """The kept frame of a sighting under `folder` (one subfolder a sensor); else the nearest of its track.

    `None` when neither is kept (any more).
    """
    wanted_track = track_id or sighting_id.rpartition(".")[0]
    wanted_number = _number_in(sighting_id)
    best: tuple[int, KeptFrame] | None = None
    for path in folder.glob("*/*.note"):
        note = _read_note(path)
        image = path.with_suffix(".jpg")
        if note is None or not image.exists():
            continue
        for one in note.sightings:
            if one.sighting_id == sighting_id:
                return KeptFrame(image, note.time_ns, one, is_exact=True)
            if one.track_id == wanted_track:
                distance = abs(note.frame_number - wanted_number)
                if best is None or distance < best[0]:
                    best = distance, KeptFrame(image, note.time_ns, one, is_exact=False)
    return best[1] if best is not None else None


def _number_in(sighting_id: str) -> int:
    last = sighting_id.rpartition(".")[2].removeprefix("f")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0


def _read_note(path: Path) -> FrameNote | None:
    try:
        if path.stat().st_size > _MAX_NOTE_BYTES:
            return None
        return _note_decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _put(path: Path, data: bytes) -> None:
    """Write beside, then rename. No fsync: a frame lost in a power cut is a refused request."""
    new = path.with_name(path.name + ".new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
