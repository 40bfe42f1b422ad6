"""Frames that were looked at and wait for the telemetry that brackets them; a plain object, time handed in.

The pose of a frame is interpolated between the samples before and after it, never taken from the latest one.
Telemetry of 20 Hz is there before a detector is done; at 4 Hz the frame waits here, for at most `wait_s`.
"""

from collections import deque
from typing import Protocol

from edge.vision.pipeline import Seen
from skywarden.clock import NS_PER_S
from skywarden.geometry.pose import CameraPose, NoPose


class PoseSource(Protocol):
    """What is asked for poses."""

    def covers(self, time_ns: int) -> bool:
        """Whether samples on both sides of `time_ns` are there."""
        ...

    def pose_at(self, time_ns: int) -> CameraPose | NoPose:
        """The pose at `time_ns`, or the reason why there is none."""
        ...


class PendingFrames:
    """First in, first out; bounded, because a frame that waits too long goes on with what is known."""

    def __init__(self, poses: PoseSource, *, wait_s: float, max_frames: int = 32) -> None:
        self._poses = poses
        self._wait_ns = int(wait_s * NS_PER_S)
        self._max_frames = max_frames
        self._waiting: deque[tuple[Seen, int]] = deque()

    def add(self, seen: Seen, now_ns: int) -> None:
        """A frame came out of the detector at monotonic `now_ns`."""
        self._waiting.append((seen, now_ns + self._wait_ns))

    def due(self, now_ns: int, *, is_last: bool = False) -> list[tuple[Seen, CameraPose | NoPose]]:
        """The frames that can be finished now, in order; with `is_last` all of them."""
        out: list[tuple[Seen, CameraPose | NoPose]] = []
        while self._waiting:
            seen, deadline_ns = self._waiting[0]
            is_overdue = is_last or now_ns >= deadline_ns or len(self._waiting) > self._max_frames
            if not is_overdue and not self._poses.covers(seen.frame.time_ns):
                break
            self._waiting.popleft()
            out.append((seen, self._poses.pose_at(seen.frame.time_ns)))
        return out

    def __len__(self) -> int:
        return len(self._waiting)
