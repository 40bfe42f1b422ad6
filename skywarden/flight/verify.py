"""Holds a flight folder against its manifest and its own counts."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skywarden.errors import FlightError, VerificationError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import MANIFEST, MAX_MANIFEST_BYTES, safe_path

Progress = Callable[[int, int, str], None]

_LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")
_SIGNATURE = "MANIFEST.sig"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was found in one flight; `is_good` when it is at least what the flight promises.

    `unlisted` are files that came later (outputs); they are told and do no harm.
    """

    sortie_id: str
    files_listed: int
    files_good: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unlisted: tuple[str, ...]
    telemetry_count: int
    frame_counts: dict[str, int]
    problems: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Nothing promised is missing, changed or less."""
        return not (self.missing or self.changed or self.problems)

    @property
    def exit_code(self) -> int:
        """0 when good, 3 when less was found than promised."""
        return 0 if self.is_good else VerificationError.exit_code


def verify(path: Path, *, progress: Progress | None = None) -> VerifyReport:
    """Hash every listed file, count telemetry and frames; raises `FlightError` when it is no flight."""
    reader = FlightReader(path)
    listed = _manifest(path)
    missing, changed = [], []
    for number, (name, expected) in enumerate(sorted(listed.items())):
        if progress is not None:
            progress(number, len(listed), name)
        full = safe_path(path, name)
        if not full.is_file():
            missing.append(name)
        elif _sha256(full) != expected:
            changed.append(name)
    problems = list(reader.problems)
    telemetry_count, frame_counts = _counts(reader, problems)
    present = {
        each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file() or each.is_symlink()
    }
    return VerifyReport(
        sortie_id=reader.info.sortie_id,
        files_listed=len(listed),
        files_good=len(listed) - len(missing) - len(changed),
        missing=tuple(missing),
        changed=tuple(changed),
        unlisted=tuple(sorted(present - set(listed) - {MANIFEST, _SIGNATURE})),
        telemetry_count=telemetry_count,
        frame_counts=frame_counts,
        problems=tuple(problems),
    )


def _counts(reader: FlightReader, problems: list[str]) -> tuple[int, dict[str, int]]:
    telemetry_count = 0
    try:
        telemetry_count = sum(1 for _ in reader.telemetry())
    except FlightError as error:
        problems.append(str(error))
    frame_counts = {sensor.sensor_id: 0 for sensor in reader.info.sensors}
    absent = 0
    try:
        for frame in reader.frames():
            frame_counts[frame.sensor_id] = frame_counts.get(frame.sensor_id, 0) + 1
            absent += not frame.path.is_file()
    except FlightError as error:
        problems.append(str(error))
    if absent:
        problems.append(f"{absent} frames name a file that is not there")
    promised = reader.info.telemetry_count
    if promised is not None and telemetry_count < promised:
        problems.append(f"{telemetry_count} MAVLink frames were found, {promised} were recorded")
    for sensor_id, count in (reader.info.frame_counts or {}).items():
        if frame_counts.get(sensor_id, 0) < count:
            problems.append(
                f"{frame_counts.get(sensor_id, 0)} frames of {sensor_id} were found, {count} were recorded"
            )
    problems.extend(problem for problem in reader.problems if problem not in problems)
    return telemetry_count, frame_counts


def _manifest(path: Path) -> dict[str, str]:
    manifest = path / MANIFEST
    if not manifest.is_file():
        return {}
    if manifest.stat().st_size > MAX_MANIFEST_BYTES:
        raise FlightError(f"{manifest}: over the limit of {MAX_MANIFEST_BYTES} bytes")
    listed: dict[str, str] = {}
    text = manifest.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.match(line)
        if match is None or match[2] in listed:
            raise FlightError(f"{manifest}: line {number} is not a hash and a path of its own")
        listed[match[2]] = match[1]
    return listed


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise FlightError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
