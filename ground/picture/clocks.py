"""How far each platform's clock is from the station's: what the platform found, held against what comes in.

The platform measures (it sees both ends of a round trip) and reports. Every batch carries its UTC, and no
batch can arrive before it was sent: that contradicts a report when the platform's clock has leapt since.
"""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from skywarden.errors import StoreError
from skywarden.messages import ClockReport

DIFFERS_S = 1.0
"""From here on a difference is said among the platform's conditions."""

_LONGEST_DELAY_S = 120.0
_DRIFT = 2e-4
_SLACK_S = 0.05
_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PlatformClock:
    """The platform's UTC minus the station's: within `bound_s` of `offset_s` when it was reported.

    `heard_s` is the station's monotonic clock then. It is doubtful when a later batch contradicts it.
    """

    offset_s: float
    bound_s: float
    round_trip_s: float
    drift_ppm: float | None
    drift_bound_ppm: float | None
    heard_s: float
    is_doubtful: bool = False

    @property
    def differs(self) -> bool:
        """Whether the clocks differ for certain, by more than a second."""
        return abs(self.offset_s) - self.bound_s > DIFFERS_S

    def age_s(self, now_s: float) -> float:
        """Seconds since the report."""
        return max(0.0, now_s - self.heard_s)

    def after_batch(self, delay_s: float, now_s: float) -> "PlatformClock":
        """With what a batch tells that came `delay_s` after its sender's UTC, by the station's clock."""
        if self.is_doubtful:
            return self
        travelled_s = delay_s + self.offset_s
        slack_s = self.bound_s + _SLACK_S + _DRIFT * self.age_s(now_s)
        if -slack_s <= travelled_s <= _LONGEST_DELAY_S + slack_s:
            return self
        return replace(self, is_doubtful=True)

    def delay_s(self, delay_s: float) -> float:
        """How long a batch travelled whose delay by the two clocks is this."""
        return delay_s if self.is_doubtful else max(0.0, delay_s + self.offset_s)


def clock_of(report: ClockReport, now_s: float) -> PlatformClock:
    """A report as it came in at `now_s` (monotonic)."""
    return PlatformClock(
        offset_s=report.offset_s,
        bound_s=report.bound_s,
        round_trip_s=report.round_trip_s,
        drift_ppm=report.drift_ppm,
        drift_bound_ppm=report.drift_bound_ppm,
        heard_s=now_s,
    )


class NotedClock(msgspec.Struct, frozen=True, kw_only=True):
    """A clock as it stands in the file beside the store; `as_of_ns` is the station's UTC of the report."""

    platform_id: str
    as_of_ns: int
    offset_s: float
    bound_s: float
    drift_ppm: float | None = None
    is_doubtful: bool = False


class ClockFile:
    """`clocks.json` in the station's state folder, for `skywarden ground status` beside a running station."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "clocks.json"
        self._written: list[NotedClock] | None = None

    def write(self, clocks: list[NotedClock]) -> None:
        """Put these in place of what is there, unless they are the same; raises `StoreError`."""
        if clocks == self._written:
            return
        part = self._path.with_name(self._path.name + ".part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(clocks))
            part.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written ({error.strerror})") from error
        self._written = clocks

    def read(self) -> dict[str, NotedClock]:
        """By platform; nothing when there is no such file or it does not read."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES)
            return {one.platform_id: one for one in msgspec.json.decode(data, type=list[NotedClock])}
        return {}
