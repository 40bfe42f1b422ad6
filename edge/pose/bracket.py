"""The two samples around an instant, or the reason why there are none near enough."""

from typing import TypeVar

from edge.pose.history import PoseHistory, PoseLimits, Samples, Timed
from skywarden.clock import NS_PER_S

SampleT = TypeVar("SampleT", bound=Timed)


class PoseRefusedError(Exception):
    """Why there is no pose: one of the reasons of `skywarden.geometry.pose.NoPose`, and the numbers."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def known(history: PoseHistory | None) -> PoseHistory:
    if history is None:
        raise PoseRefusedError(
            "no_telemetry", "no autopilot has been heard, or several and none is configured"
        )
    return history


def bracket(
    samples: Samples[SampleT], time_ns: int, limits: PoseLimits, what: str, missing: str, stale: str
) -> tuple[SampleT, SampleT, float]:
    """The two samples around `time_ns` and where between them it lies (0..1).

    Both are the same at an end and at a gap that is too wide to interpolate over. Raises `PoseRefusedError`
    when the nearest is too old or there is none.
    """
    before, after = samples.around(time_ns)
    if before is None and after is None:
        raise PoseRefusedError(missing, f"no {what} has been heard")
    since_s = (time_ns - before.time_ns) / NS_PER_S if before is not None else float("inf")
    until_s = (after.time_ns - time_ns) / NS_PER_S if after is not None else float("inf")
    if before is not None and after is not None and since_s + until_s <= limits.bridge_s:
        return before, after, since_s / (since_s + until_s)
    if min(since_s, until_s) > limits.stale_s:
        raise PoseRefusedError(stale, f"the nearest {what} is {min(since_s, until_s):.2f} s away")
    end = before if since_s <= until_s else after
    assert end is not None
    if min(since_s, until_s) > limits.extrapolate_s:
        raise PoseRefusedError(
            stale,
            f"the {'last' if end is before else 'next'} {what} is {min(since_s, until_s):.2f} s away, "
            f"more than the {limits.extrapolate_s:.2f} s over which it may be carried",
        )
    return end, end, 0.0
