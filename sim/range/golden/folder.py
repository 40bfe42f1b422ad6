"""The folder of goldens: one file a recording, and the log of reasons for which they were renewed."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sim.range.golden.compare import SUFFIX, Difference, differences, read_golden, write_golden
from sim.range.golden.recordings import Recording
from sim.range.golden.replay import rows_of
from skywarden.errors import FlightError, UsageError

REASONS = "reasons.jsonl"
MIN_REASON = 10
Progress = Callable[[int, int, str], None]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why goldens were renewed: the day (UTC), the words, and how much changed of each recording."""

    day: str
    reason: str
    changed: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What became of one recording; `differences` is `None` where its source is not at hand."""

    name: str
    differences: tuple[Difference, ...] | None


def check(
    folder: Path, data: Path, recordings: Sequence[Recording], progress: Progress | None = None
) -> Iterator[Checked]:
    """Replay each recording and compare; raises `FlightError` when a golden is missing or damaged."""
    for number, one in enumerate(recordings):
        if progress is not None:
            progress(number, len(recordings), one.name)
        if one.needs is not None and not (data / one.needs).exists():
            yield Checked(name=one.name, differences=None)
            continue
        before = read_golden(folder / f"{one.name}{SUFFIX}")
        with tempfile.TemporaryDirectory(prefix="skywarden-golden-") as scratch:
            now = rows_of(one, data, Path(scratch))
        yield Checked(name=one.name, differences=tuple(differences(before, now)))


def update(
    folder: Path,
    data: Path,
    recordings: Sequence[Recording],
    reason: str,
    day: str,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Renew what differs, and log why; answers how many differences each renewed recording had.

    Raises `UsageError` when the reason is none, `FlightError` when the disk refuses or a source is missing.
    """
    words = " ".join(reason.split())
    if len(words) < MIN_REASON:
        raise UsageError(
            f"--reason {reason!r}: say in a sentence why nodes may say something else now "
            f"({MIN_REASON} letters or more)"
        )
    changed: dict[str, int] = {}
    for number, one in enumerate(recordings):
        if progress is not None:
            progress(number, len(recordings), one.name)
        path = folder / f"{one.name}{SUFFIX}"
        with tempfile.TemporaryDirectory(prefix="skywarden-golden-") as scratch:
            now = rows_of(one, data, Path(scratch))
        found = len(differences(read_golden(path), now)) if path.exists() else len(now)
        if found:
            write_golden(path, now)
            changed[one.name] = found
    if changed:
        _log(folder / REASONS, Reason(day=day, reason=words, changed=changed))
    return changed


def reasons(folder: Path) -> list[Reason]:
    """The log, oldest first; raises `FlightError` when it cannot be read."""
    path = folder / REASONS
    try:
        return [msgspec.json.decode(line, type=Reason) for line in path.read_bytes().splitlines()]
    except (OSError, msgspec.DecodeError) as error:
        raise FlightError(f"{path}: {error}") from error


def _log(path: Path, reason: Reason) -> None:
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(reason) + b"\n")
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error
