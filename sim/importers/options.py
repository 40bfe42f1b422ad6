"""What the user can say about a source that the source does not say, and what an import answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skywarden.flight import FixedMount, GimbalMount

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is (0: not known) and what is going on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """Every answer is `None` where the user gave none.

    Attributes:
        hfov_deg: horizontal field of view of the whole image, for cameras without a calibration.
        calibration: a JSON file with intrinsics (ours, or K and D as OpenCV names them).
        mount: how the camera sits, where the source does not say.
        frame_lag_s: how much later a frame's time stamp says than the image was taken.
        start_utc_ns: when the first frame (or sample) was, for sources without a date.
        utc_offset_hours: zone of local times in the source: UTC = local time - offset.
        takeoff_alt_msl_m: height of the take-off place above sea level, for sources that know only heights
            above it.
        sequence: which part of a collection.
    """

    platform_id: str | None = None
    sortie_id: str | None = None
    hfov_deg: float | None = None
    calibration: Path | None = None
    mount: FixedMount | GimbalMount | None = None
    frame_lag_s: float | None = None
    start_utc_ns: int | None = None
    utc_offset_hours: float | None = None
    takeoff_alt_msl_m: float | None = None
    sequence: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What came of an import.

    Attributes:
        kind: what the source was taken for.
        path: the flight folder, as text for JSON.
        source_counts: what was read in the source, by its own names (SRT blocks, KLV packets, messages).
        notes: what a user of the flight must know, the same sentences as in `flight.json`.
    """

    kind: str
    path: str
    platform_id: str
    sortie_id: str
    telemetry_count: int
    frame_counts: dict[str, int]
    source_counts: dict[str, int]
    notes: tuple[str, ...] = field(default=())


def platform_name(options: ImportOptions, source: Path) -> str:
    """The platform's id: the user's word, or the source's name in safe characters."""
    if options.platform_id is not None:
        return options.platform_id
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", source.stem or source.name).strip("-.")
    return name[:48] or "imported"


def silent(done: int, total: int, text: str) -> None:
    """A `Progress` that says nothing."""
