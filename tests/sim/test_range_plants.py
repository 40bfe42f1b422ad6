"""Ten mistakes planted one by one, each at the seam where it would be made: the range finds every one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import models.decoders.candidates
import sim.scenario.flown.looks
from edge.link.outbox import Outbox
from edge.pose import gimbal
from edge.pose.buffer import PoseBuffer
from edge.pose.datum import HeightDatum
from edge.pose.history import PoseHistory
from models.nms import _keep_numpy, keep_best
from sim.analyze import AnalyzeOptions, HeardTelemetry
from sim.range.campaign.gate import MARGINS, worse
from sim.range.campaign.outage import outage
from sim.range.chain import steps_of
from sim.range.golden.compare import differences
from sim.range.golden.recordings import Recording
from sim.range.golden.replay import Row, rows_of
from sim.range.score import measures
from sim.range.score.truth import read_truth
from sim.range.watch import Watched
from sim.scenario.description import load_scenario
from sim.scenario.flown.runs import RunOptions, fly, read_run
from skywarden.geometry import rotations
from skywarden.geometry.pose import CameraPose, NoPose
from tests.sim.range_yard import YARD

pytestmark = pytest.mark.xdist_group("range")
Plant = Callable[[pytest.MonkeyPatch], None]
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Yard:
    """Flights of the yard: a run of looks, and one second of pictures."""

    run: Path
    drawn: dict[str, Path]
    scenario: Path


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """Flown once, before anything is planted."""
    folder = tmp_path_factory.mktemp("yard")
    path = folder / "yard.toml"
    path.write_text(YARD)
    scenario = load_scenario(str(path))
    fly(scenario, folder / "run", RunOptions(with_frames=False, jobs=1))
    drawn = fly(scenario, folder / "drawn", RunOptions(seconds=1.0, fps=1.0, jobs=1)).flights
    return Yard(run=folder / "run", drawn=drawn, scenario=path)


@pytest.fixture(scope="module")
def sound(yard: Yard) -> dict[str, Figures]:
    """The figures of each platform when nothing is planted."""
    return figures(yard.run)


@pytest.fixture(scope="module")
def golden(yard: Yard) -> list[Row]:
    """What the nodes say of the pictures when nothing is planted."""
    return replay(yard)


def figures(run: Path) -> dict[str, Figures]:
    """What the gate looks at, for each platform by itself."""
    truth, told = read_truth(run), read_run(run)
    found: dict[str, Figures] = {}
    for name, place in told.flights.items():
        watched = Watched(run=told, steps={name: list(steps_of(run / place))})
        placing = measures.placing(truth, watched)
        found[name] = {
            "recall": measures.finding(truth, watched).recall,
            "position_m": placing.median_m,
            "p90_m": placing.p90_m,
            "inside_90": placing.inside_90,
        }
    return found


def replay(yard: Yard) -> list[Row]:
    """The pictures through every node, with a detector that needs non-maximum suppression."""
    one = Recording(
        name="yard",
        make=lambda data, scratch: yard.drawn,
        options=AnalyzeOptions(model="vessel-oblique"),
    )
    return rows_of(one, yard.run, yard.run)


def gimbal_flag_ignored(patch: pytest.MonkeyPatch) -> None:
    """Every gimbal is taken to count from north."""
    real = gimbal.from_gimbal_device

    def planted(flags: int, *rest: Any, **more: Any) -> gimbal.GimbalAttitude:
        return real(gimbal.FLAG_YAW_IN_EARTH_FRAME, *rest, **more)

    patch.setattr(gimbal, "from_gimbal_device", planted)


def geoid_sign(patch: pytest.MonkeyPatch) -> None:
    """The undulation is taken off where it is to be added."""
    real = HeightDatum._undulation_m
    patch.setattr(HeightDatum, "_undulation_m", lambda self, *place: -real(self, *place))


def latest_sample_pose(patch: pytest.MonkeyPatch) -> None:
    """The pose of a frame is that of the newest telemetry, whenever the frame was taken."""
    real = PoseBuffer.pose_at

    def planted(self: PoseBuffer, time_ns: int) -> CameraPose | NoPose:
        history: PoseHistory | None = self._history()
        newest = None if history is None else history.positions.latest
        return real(self, time_ns if newest is None else newest.time_ns)

    patch.setattr(PoseBuffer, "pose_at", planted)


def angle_addition(patch: pytest.MonkeyPatch) -> None:
    """Angles of the body and of the mount are added, in place of turning one by the other."""

    def planted(mount_deg: gimbal.EulerDeg, *, q_ned_body: Any) -> gimbal.GimbalAttitude:
        body = rotations.euler_deg_from_quaternion(q_ned_body)
        total = [float(one) + two for one, two in zip(body, mount_deg, strict=True)]
        w, x, y, z = (float(part) for part in rotations.quaternion_from_euler_deg(*total))
        return gimbal.GimbalAttitude(q_ned_gimbal=(w, x, y, z), source="fixed")

    patch.setattr(gimbal, "from_fixed_mount", planted)


def swapped_axes(patch: pytest.MonkeyPatch) -> None:
    """Right and down of the picture change places."""
    patch.setattr(rotations, "GIMBAL_FROM_CAMERA", rotations.GIMBAL_FROM_CAMERA[:, [1, 0, 2]])


def wrong_time_offset(patch: pytest.MonkeyPatch) -> None:
    """The lag of frames is added where it is to be taken off."""
    real = HeardTelemetry.__init__

    def planted(self: HeardTelemetry, *given: Any, **named: Any) -> None:
        real(self, *given, **named)
        self._lag_ns = -self._lag_ns

    patch.setattr(HeardTelemetry, "__init__", planted)


def nms_drops_the_last(patch: pytest.MonkeyPatch) -> None:
    """A slice ends one too early: the last box that should stay is lost."""
    patch.setattr(models.decoders.candidates, "keep_best", lambda *box, **more: keep_best(*box, **more)[:-1])


def nms_keeps_one_too_many(patch: pytest.MonkeyPatch) -> None:
    """The first rival of each box is never looked at."""

    def planted(box: Any, score: Any, label_index: Any, *, iou_limit: float) -> Any:
        order = np.lexsort((box[:, 3], box[:, 2], box[:, 1], box[:, 0], -score))
        kept = _keep_numpy(box[order], label_index[order], iou_limit)
        extra = np.union1d(kept, np.minimum(kept + 1, len(order) - 1)) if len(order) else kept
        return order[extra]

    patch.setattr(models.decoders.candidates, "keep_best", planted)


PLACED: tuple[tuple[Plant, tuple[str, ...]], ...] = (
    (gimbal_flag_ignored, ("swing-1",)),
    (geoid_sign, ("swing-1", "bank-1")),
    (latest_sample_pose, ("swing-1", "bank-1")),
    (angle_addition, ("bank-1",)),
    (swapped_axes, ("swing-1", "bank-1")),
    (wrong_time_offset, ("swing-1", "bank-1")),
)
"""What is planted, and the platforms whose figures it must spoil."""


def test_without_a_plant_the_range_is_content(
    yard: Yard, sound: dict[str, Figures], golden: list[Row], tmp_path: Path
) -> None:
    again = figures(yard.run)
    for name, before in sound.items():
        assert worse(before, again[name]) == []
        assert before["inside_90"] is not None
        assert before["inside_90"] >= 0.85, "the margin is held against something sound"
    assert differences(golden, replay(yard)) == []
    silent = outage(tmp_path)
    assert silent.left == 0
    assert silent.held_share <= 1.0
    scenario = load_scenario(str(yard.scenario))
    hashes = {fly_hash(scenario, tmp_path / name) for name in ("one", "two")}
    assert len(hashes) == 1


@pytest.mark.parametrize(("plant", "platforms"), PLACED, ids=lambda one: getattr(one, "__name__", ""))
def test_what_spoils_places_is_found_by_the_gate(
    plant: Plant,
    platforms: tuple[str, ...],
    yard: Yard,
    sound: dict[str, Figures],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    now = figures(yard.run)
    titles = {margin.title for margin in MARGINS}
    for name in platforms:
        told = worse(sound[name], now[name])
        assert told, f"{plant.__name__} was not found at {name}"
        assert all(line.split(":")[0] in titles for line in told)


@pytest.mark.parametrize("plant", [nms_drops_the_last, nms_keeps_one_too_many])
def test_nms_that_is_off_by_one_is_found_by_the_golden_of_the_detector(
    plant: Plant, yard: Yard, golden: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(row.node == "detect" and row.value for row in golden)
    plant(monkeypatch)
    assert any(one.node == "detect" for one in differences(golden, replay(yard)))


def test_a_lost_acknowledgement_is_found_by_the_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "acknowledge", lambda self, ack, head=None: 0)
    assert outage(tmp_path).left > 0


def test_an_unbounded_queue_is_found_by_the_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "_shed_if_full", lambda self, *given: None)
    assert outage(tmp_path).held_share > 1.5


def test_unseeded_randomness_is_found_by_flying_twice(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim.scenario.flown.looks, "generator", lambda *names: np.random.default_rng())
    scenario = load_scenario(str(yard.scenario))
    assert len({fly_hash(scenario, tmp_path / name) for name in ("one", "two")}) == 2


def fly_hash(scenario: Any, out: Path) -> str:
    """One hash over a second of the yard."""
    options = RunOptions(with_frames=False, seconds=1.0, jobs=1)
    flown = fly(msgspec.structs.replace(scenario), out, options)
    return flown.sha256
