"""One small world for all tests of faults: a boat on a quiet sea, one aircraft that keeps it in view."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from sim.range.score.faults import Faults, FaultScore, faults
from sim.range.score.truth import RunTruth, read_truth
from sim.range.watch import Watched, WatchOptions, receiver_of, watch_run
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.flown.runs import RunOptions, fly
from sim.scenario.tables.faults import Fault, Parameter

BEGIN_S, END_S = 12.0, 20.0
DRILL = """
name = "drill"
title = "A drill"
seed = 5
start_unix_s = 1768498200
duration_s = 34.0
sea = { wind_mps = 4.0 }

[place]
latitude_deg = 12.0
longitude_deg = 75.0
west_m = -900.0
east_m = 900.0
south_m = -900.0
north_m = 900.0

[[vessels]]
id = "boat-1"
kind = "fishing"
at = [0.0, 0.0]
heading_deg = 70.0
speed_mps = 2.0
ais = { mmsi = "224110210", name = "MARISOL" }

[[platforms]]
id = "sea-1"
sysid = 31
plan = [[-300.0, -250.0], [300.0, -250.0], [300.0, 250.0], [-300.0, 250.0]]
turn_radius_m = 100.0
alt_msl_m = 150.0
home = [0.0, 500.0]
look_area = [-800.0, -800.0, 800.0, 800.0]
texel_m = 4.0

[platforms.camera]
width_px = 640
height_px = 360
fps = 2.0
sweep = { reference = "vessel", follow = "boat-1" }
"""


@dataclass(frozen=True, kw_only=True)
class Drilled:
    """A run with one fault, watched and judged."""

    folder: Path
    truth: RunTruth
    watched: Watched
    faults: Faults

    @property
    def only(self) -> FaultScore:
        """What became of the one fault."""
        (one,) = self.faults.each
        return one


Drill = Callable[..., Drilled]


@pytest.fixture(scope="session")
def drill_scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The world without a fault."""
    path = tmp_path_factory.mktemp("drill") / "drill.toml"
    path.write_text(DRILL)
    return load_scenario(path)


@pytest.fixture
def drill(drill_scenario: Scenario, tmp_path: Path) -> Drill:
    """Fly the world with one fault from 12 s to 20 s, and watch it."""

    def fly_with(kind: str, **parameters: Parameter) -> Drilled:
        fault = Fault(kind=kind, at_s=BEGIN_S, end_s=END_S, parameters=parameters)
        scenario = msgspec.structs.replace(drill_scenario, fault=(fault,))
        folder = tmp_path / "run"
        fly(scenario, folder, RunOptions(with_frames=False, jobs=1))
        truth = read_truth(folder)
        watched = watch_run(folder, WatchOptions(receiver=receiver_of(scenario)))
        return Drilled(folder=folder, truth=truth, watched=watched, faults=faults(truth, watched))

    return fly_with
