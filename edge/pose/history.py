"""The last minute of telemetry of one platform, as far as poses need it: samples in order of their time."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from edge.integrity import Timeline
from skywarden.clock import NS_PER_S
from skywarden.geometry.heights import AboveHomeM, HaeM, MslM

Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseLimits:
    """How far from a sample a pose is still believed.

    Attributes:
        stale_s: the nearest sample of position, attitude and gimbal may be so old, where the instant is not
            bridged by two.
        bridge_s: between samples further apart than this nothing is interpolated; one a second just is.
        silent_s: where the autopilot tells no position for so long, the receiver's own fixes are taken.
        extrapolate_s: beyond the last sample (or before the first) at most so far.
        history_s: samples older than the newest by this are forgotten.
        max_samples: per stream, whatever their times say.
        max_gimbals: streams of gimbals that are told apart.
        same_gimbal_deg: two that point alike within this are one gimbal that is heard in two ways.
        turn_acceleration_dps2: how hard an aircraft or gimbal may turn between samples; makes the attitude
            sigma grow with the distance between them (a t1 t2 / 2, position.md 1.4).
    """

    stale_s: float = 0.5
    bridge_s: float = 1.1
    silent_s: float = 5.0
    extrapolate_s: float = 0.25
    history_s: float = 60.0
    max_samples: int = 20_000
    max_gimbals: int = 16
    same_gimbal_deg: float = 3.0
    turn_acceleration_dps2: float = 20.0


class PositionSample(NamedTuple):
    """Position at one instant; sigmas are one-sigma metres as the receiver told, or None.

    `lag_m` is a further one-sigma error of the place, from a delay that is not exactly known.
    `alt_rel_m` and each part of `velocity_ned_mps` are NaN where they were not told.
    """

    time_ns: int
    received_ns: int
    latitude_deg: float
    longitude_deg: float
    alt_hae_m: HaeM
    alt_msl_m: MslM
    alt_rel_m: AboveHomeM
    velocity_ned_mps: tuple[float, float, float]
    heading_deg: float | None
    horizontal_m: float | None
    vertical_m: float | None
    lag_m: float = 0.0


class AttitudeSample(NamedTuple):
    """Attitude of the body at one instant, and its body rates in radians per second."""

    time_ns: int
    q_ned_body: Quaternion
    rates_rps: tuple[float, float, float]


class GimbalSample(NamedTuple):
    """What a gimbal said; `convention` tells how `numbers` are to be read, `device_id` which gimbal it is.

    `device_id` is the component that speaks, or what a component that speaks for several calls it.
    gimbal_device: flags, w, x, y, z, delta yaw rad or NaN. mount_orientation: roll, pitch, yaw, absolute yaw
    deg or NaN. mount_status: pitch, roll, yaw in centidegrees.
    """

    time_ns: int
    convention: Literal["gimbal_device", "mount_orientation", "mount_status"]
    numbers: tuple[float, ...]
    device_id: int


class Timed(Protocol):
    @property
    def time_ns(self) -> int: ...


SampleT = TypeVar("SampleT", bound=Timed)


class Samples(Generic[SampleT]):
    """Samples in order of time, bounded in number and in age."""

    def __init__(self, limits: PoseLimits) -> None:
        self._history_ns = int(limits.history_s * NS_PER_S)
        self._max = limits.max_samples
        self._times: list[int] = []
        self._samples: list[SampleT] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: SampleT) -> None:
        """Insert in order of time; a second sample of the same instant replaces the first.

        One that is older than all that is kept means that our clock was set back: what was heard under the
        wrong time is forgotten, or it would outlive everything that is true.
        """
        if self._times and self._times[-1] - sample.time_ns > self._history_ns:
            self._times.clear()
            self._samples.clear()
        index = bisect_left(self._times, sample.time_ns)
        if index < len(self._times) and self._times[index] == sample.time_ns:
            self._samples[index] = sample
            return
        self._times.insert(index, sample.time_ns)
        self._samples.insert(index, sample)
        if len(self._times) >= self._max or self._times[-1] - self._times[0] > 1.25 * self._history_ns:
            self._forget()

    def around(self, time_ns: int) -> tuple[SampleT | None, SampleT | None]:
        """The last sample at or before, and the first one after (either may be missing)."""
        index = bisect_right(self._times, time_ns)
        before = self._samples[index - 1] if index else None
        after = self._samples[index] if index < len(self._samples) else None
        return before, after

    @property
    def latest(self) -> SampleT | None:
        """The newest sample."""
        return self._samples[-1] if self._samples else None

    def _forget(self) -> None:
        """Drop a quarter at once, so that dropping costs little per sample."""
        cut = bisect_left(self._times, self._times[-1] - self._history_ns)
        if len(self._times) >= self._max:
            cut = max(cut, self._max // 4)
        del self._times[:cut], self._samples[:cut]


class PoseHistory:
    """Telemetry of one platform as far as poses need it; fed by `edge.pose.telemetry`.

    Attributes:
        positions: the autopilot's own estimate.
        fixes: what its GNSS receiver alone says; see `positions_at`.
        datum_alarm: the sentence of a height datum alarm, or None.
        integrity: which verdict on the position governs which instant.
        home_alt_hae_m: height of the take-off place as the autopilot told it.
    """

    def __init__(self, limits: PoseLimits | None = None) -> None:
        self.limits = limits or PoseLimits()
        self.positions: Samples[PositionSample] = Samples(self.limits)
        self.fixes: Samples[PositionSample] = Samples(self.limits)
        self.attitudes: Samples[AttitudeSample] = Samples(self.limits)
        self.gimbals: dict[tuple[str, int], Samples[GimbalSample]] = {}
        self.datum_alarm: str | None = None
        self.integrity = Timeline()
        self.home_alt_hae_m: HaeM | None = None

    def add_position(self, sample: PositionSample) -> None:
        """A checked position as the autopilot estimates it."""
        self.positions.add(sample)

    def add_fix(self, sample: PositionSample) -> None:
        """A checked position of the receiver alone."""
        self.fixes.add(sample)

    def positions_at(self, time_ns: int) -> Samples[PositionSample]:
        """The one stream to read at an instant: the two are never mixed.

        That is the autopilot's estimate, unless it says nothing within `limits.silent_s` and its receiver
        does.
        """
        silent_ns = int(self.limits.silent_s * NS_PER_S)
        around = self.positions.around(time_ns)
        is_told = any(sample is not None and abs(sample.time_ns - time_ns) <= silent_ns for sample in around)
        return self.positions if is_told or not len(self.fixes) else self.fixes

    def add_attitude(self, sample: AttitudeSample) -> None:
        """A checked attitude."""
        self.attitudes.add(sample)

    def add_gimbal(self, sample: GimbalSample) -> bool:
        """What a gimbal said; False when it is one more than `limits.max_gimbals`, and is not kept."""
        key = (sample.convention, sample.device_id)
        if key not in self.gimbals and len(self.gimbals) >= self.limits.max_gimbals:
            return False
        self.gimbals.setdefault(key, Samples(self.limits)).add(sample)
        return True

    def heard_gimbals(self, convention: str, device_id: int | None) -> dict[int, Samples[GimbalSample]]:
        """By device id, those that speak a convention; all of them or the one that is asked for."""
        return {
            key[1]: samples
            for key, samples in sorted(self.gimbals.items(), key=lambda item: item[0])
            if key[0] == convention and device_id in (None, key[1])
        }
