"""Frames wait for the telemetry that brackets them, in order, not for ever, and not without bound."""

import numpy as np

from edge.vision.pending import PendingFrames
from edge.vision.pipeline import Seen
from models.detection import make_batch
from skywarden.geometry.pose import CameraPose, NoPose
from tests.edge import eyes

MS = 1_000_000


class TelemetryUpTo:
    """A `PoseSource` that knows poses up to a time."""

    def __init__(self) -> None:
        self.known_ns = 0

    def covers(self, time_ns: int) -> bool:
        return time_ns <= self.known_ns

    def pose_at(self, time_ns: int) -> CameraPose | NoPose:
        if self.covers(time_ns):
            return eyes.pose(time_ns)
        return eyes.no_pose(time_ns)


def _seen(number: int) -> Seen:
    nothing = make_batch(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int), eyes.LABELS, (64, 64))
    return Seen(frame=eyes.frame(number), batch=nothing)


def _numbers(due: list[tuple[Seen, CameraPose | NoPose]]) -> list[int]:
    return [seen.frame.frame_number for seen, _ in due]


def test_a_frame_waits_until_telemetry_covers_its_instant() -> None:
    poses = TelemetryUpTo()
    pending = PendingFrames(poses, wait_s=0.6)
    pending.add(_seen(0), now_ns=0)
    assert pending.due(100 * MS) == []
    poses.known_ns = eyes.T0
    ((seen, pose),) = pending.due(101 * MS)
    assert seen.frame.frame_number == 0
    assert isinstance(pose, CameraPose)
    assert len(pending) == 0


def test_a_frame_goes_on_without_a_pose_when_it_has_waited_long_enough() -> None:
    pending = PendingFrames(TelemetryUpTo(), wait_s=0.6)
    pending.add(_seen(0), now_ns=1000 * MS)
    assert pending.due(1599 * MS) == []
    ((_, pose),) = pending.due(1600 * MS)
    assert isinstance(pose, NoPose)


def test_no_frame_overtakes_another() -> None:
    poses = TelemetryUpTo()
    pending = PendingFrames(poses, wait_s=0.6)
    for number in (2, 1, 3):  # the second is older: a camera's clock may do that
        pending.add(_seen(number), now_ns=0)
    poses.known_ns = eyes.frame(1).time_ns
    assert pending.due(1) == []
    poses.known_ns = eyes.frame(2).time_ns
    assert _numbers(pending.due(2)) == [2, 1]
    assert _numbers(pending.due(600 * MS)) == [3]


def test_a_gap_in_telemetry_never_piles_up_frames() -> None:
    pending = PendingFrames(TelemetryUpTo(), wait_s=3600.0, max_frames=32)
    done = []
    for number in range(200):
        pending.add(_seen(number), now_ns=number)
        done += _numbers(pending.due(number))
        assert len(pending) <= 32
    assert done == list(range(168))


def test_at_the_end_everything_is_finished_in_order() -> None:
    pending = PendingFrames(TelemetryUpTo(), wait_s=3600.0)
    for number in range(5):
        pending.add(_seen(number), now_ns=0)
    assert _numbers(pending.due(1, is_last=True)) == [0, 1, 2, 3, 4]
    assert len(pending) == 0
