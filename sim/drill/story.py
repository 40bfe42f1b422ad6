"""What a drill leaves behind: who took part, what was true when, what was ordered, what the trainer noted.

OUT/drill.json        scenario, seed, start, crew, platforms
OUT/chapters.jsonl    the scenario as it was from a time on; a deed of a vessel begins a new chapter
OUT/injected.jsonl    every order as it was carried out, with its time
OUT/notes.jsonl       what the trainer wrote down: who noticed which order, and how
OUT/truth/PLATFORM.jsonl  what each frame truly showed
OUT/ground/           the station's own folder: sightings, decisions, alerts, who looked at what
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from sim.drill.orders import Order
from sim.scenario.description import Scenario
from sim.scenario.seen import FrameTruth
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError

DRILL_JSON, CHAPTERS, INJECTED, NOTES, TRUTH = (
    "drill.json",
    "chapters.jsonl",
    "injected.jsonl",
    "notes.jsonl",
    "truth",
)
_MAX_BYTES = 512 * 1024 * 1024
LineT = TypeVar("LineT")


class DrillInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill is: `start_ns` is UTC, `end_ns` None while it runs."""

    scenario: str
    title: str
    seed: int
    start_ns: int
    crew: tuple[str, ...]
    trainer: str
    platforms: tuple[str, ...]
    end_ns: int | None = None


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """The scenario as it is from `from_s` on, until the next chapter."""

    from_s: float
    scenario: Scenario


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it was carried out; `problem` says why it was not. Times are seconds of the drill, UTC ns.

    `by` is "script" or "trainer".
    """

    number: int
    order: Order
    at_s: float
    end_s: float | None
    time_ns: int
    by: str
    problem: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """The trainer's word that somebody noticed an order, in a way that no machine hears."""

    number: int
    account: str
    time_ns: int
    text: str = ""


class Story:
    """The files of one drill; writing is for the drill that runs, reading for anybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ground(self) -> Path:
        """The station's state folder."""
        return self.folder / "ground"

    def write_info(self, info: DrillInfo) -> None:
        """Say what the drill is."""
        path = self.folder / DRILL_JSON
        part = path.with_name(path.name + ".part")
        try:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
            part.replace(path)
        except OSError as error:
            raise FlightError(f"{path}: cannot be written ({error.strerror})") from error

    def info(self) -> DrillInfo:
        """What the drill is; raises `FlightError` when the folder is none."""
        path = self.folder / DRILL_JSON
        try:
            return msgspec.json.decode(path.read_bytes()[:1_000_000], type=DrillInfo)
        except OSError as error:
            raise FlightError(f"{self.folder}: is no drill ({error.strerror})") from error
        except msgspec.DecodeError as error:
            raise FlightError(f"{path}: {error}") from error

    def add_chapter(self, chapter: Chapter) -> None:
        """What is true from now on."""
        self._add(CHAPTERS, msgspec.json.encode(chapter))

    def add_injected(self, injected: Injected) -> None:
        """An order was carried out."""
        self._add(INJECTED, msgspec.json.encode(injected))

    def add_note(self, note: Note) -> None:
        """The trainer noted something."""
        self._add(NOTES, msgspec.json.encode(note))

    def chapters(self) -> list[Chapter]:
        """All chapters, in order."""
        return list(self._read(self.folder / CHAPTERS, Chapter))

    def injected(self) -> list[Injected]:
        """All orders, in the order of their numbers."""
        return list(self._read(self.folder / INJECTED, Injected))

    def notes(self) -> list[Note]:
        """All notes."""
        return list(self._read(self.folder / NOTES, Note))

    def truth(self, platform_id: str) -> Iterator[FrameTruth]:
        """What the frames of a platform truly showed, in order."""
        return self._read(self.folder / TRUTH / f"{platform_id}.jsonl", FrameTruth)

    def _add(self, name: str, line: bytes) -> None:
        path = self.folder / name
        try:
            with path.open("ab") as out:
                out.write(line + b"\n")
        except OSError as error:
            raise FlightError(f"{path}: cannot be written ({error.strerror})") from error

    def _read(self, path: Path, kind: type[LineT]) -> Iterator[LineT]:
        """Whole lines; one that is being written while we read is left for later."""
        if not path.exists():
            return
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise FlightError(f"{path}: larger than {_MAX_BYTES} bytes")
            data = path.read_bytes()
            for line in data[: data.rfind(b"\n") + 1].splitlines():
                yield msgspec.json.decode(line, type=kind)
        except OSError as error:
            raise FlightError(f"{path}: cannot be read ({error.strerror})") from error
        except msgspec.DecodeError as error:
            raise FlightError(f"{path}: {error}") from error


def utc_of(info: DrillInfo, at_s: float) -> int:
    """UTC of a second of the drill."""
    return info.start_ns + round(at_s * NS_PER_S)
