"""The short recordings: real ones, found among the real data, and scenarios that are flown on the spot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.analyze import AnalyzeOptions
from sim.importers import import_flight
from sim.scenario.description import load_scenario
from sim.scenario.flown.runs import RunOptions, fly
from skywarden.errors import FlightError, UsageError
from skywarden.geometry.terrain import SeaSurface

SEED = 11


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording.

    Attributes:
        make: from the folder of real data and an empty folder to the flights by platform.
        needs: what it takes from the real data; `None` for a scenario.
        every, most: every so-many-th frame is looked at, and so many at most.
        poses_hz: without pictures or looks, poses are asked for so often.
    """

    name: str
    make: Callable[[Path, Path], dict[str, Path]]
    needs: str | None = None
    options: AnalyzeOptions = field(default_factory=AnalyzeOptions)
    every: int = 1
    most: int = 1_000
    poses_hz: float = 1.0


def _imported(name: str, **options: Any) -> Callable[[Path, Path], dict[str, Path]]:
    def make(data: Path, scratch: Path) -> dict[str, Path]:
        source = data / name
        if not source.exists():
            raise FlightError(f"{source}: this recording is not among the real data")
        import_flight(source, scratch / "flight", **options)
        return {"flight": scratch / "flight"}

    return make


def _flown(
    scenario: str, seconds: float, *, season: str | None = None, fps: float | None = None, drawn: bool = False
) -> Callable[[Path, Path], dict[str, Path]]:
    def make(data: Path, scratch: Path) -> dict[str, Path]:
        options = RunOptions(
            seconds=seconds, season=season, fps=fps, with_frames=drawn, with_faults=False, jobs=1
        )
        return fly(load_scenario(scenario, seed=SEED), scratch / "run", options).flights

    return make


def _real(name: str, source: str, options: AnalyzeOptions, every: int, most: int, **more: Any) -> Recording:
    return Recording(
        name=name,
        make=_imported(source, **more),
        needs=source,
        options=options,
        every=every,
        most=most,
    )


_SEA = AnalyzeOptions(model="vessel-oblique", surface=SeaSurface())
_SDS = "imagery/vessels-drone-seadronessee/annotations_with_telemetry.json"

RECORDINGS: tuple[Recording, ...] = (
    Recording(name="fishing-fleet", make=_flown("fishing-fleet", 10.0)),
    Recording(name="mother-ship", make=_flown("mother-ship", 10.0)),
    Recording(name="river-corridor", make=_flown("river-corridor", 10.0)),
    Recording(
        name="upland-plots-drawn",
        make=_flown("upland-plots", 2.0, season="rains", fps=1.0, drawn=True),
        options=AnalyzeOptions(model="parcel"),
    ),
    _real("cuav-2018", "recordings/cuav-2018", AnalyzeOptions(), 2, 4),
    _real("gopro-karma", "recordings/gopro-karma/karma.mp4", AnalyzeOptions(), 40, 4, hfov_deg=80.0),
    _real("aphill", "recordings/aphill/aphill_klv_10s.ts", AnalyzeOptions(), 30, 3),
    _real("seadronessee-0113", _SDS, _SEA, 1, 3, sequence="DJI_0113", takeoff_alt_msl_m=0.0),
    _real("dronekit-tlog", "mavlink/dronekit_flight_replay.tlog", AnalyzeOptions(), 1, 60),
    _real("vtol-tlog", "mavlink/uavlogviewer_vtol.tlog", AnalyzeOptions(), 1, 60),
    _real("px4-ulog", "mavlink/pyulog_sample_log_small.ulg", AnalyzeOptions(), 1, 60),
)
"""In the order of the page; those without `needs` are flown on the spot."""


def recording_of(name: str) -> Recording:
    """The recording that goes by a name; raises `UsageError` with the names that there are."""
    for one in RECORDINGS:
        if one.name == name:
            return one
    raise UsageError(f"no recording {name}; there are {', '.join(one.name for one in RECORDINGS)}")
