"""The tracker's output: what is believed of every object, as columns, or one by one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from skywarden import messages

FloatArray = npt.NDArray[np.float64]

STATUSES: tuple[messages.TrackStatus, ...] = ("tentative", "confirmed", "coasting", "dropped")
TENTATIVE, CONFIRMED, COASTING, DROPPED = range(4)

MEMORY = np.dtype(
    [
        ("number", np.int64),
        ("first_ns", np.int64),
        ("last_match_ns", np.int64),
        ("score", np.float64),
        ("look_count", np.int64),
        ("steady_looks", np.int64),
        ("detection_index", np.int64),
        ("recent", np.int64),
        ("frames", np.int64),
        ("label", np.int64),
        ("status", np.int8),
        ("was_confirmed", np.bool_),
        ("is_moving", np.bool_),
        ("is_standing", np.bool_),
        ("is_steady", np.bool_),
        ("is_partial", np.bool_),
    ],
    align=True,
)
"""What a track remembers beside its numbers; `detection_index` is -1 inside here on a miss; `recent` (bits,
the last frame lowest) and `frames` count until it is confirmed; `steady_looks` counts looks that showed all
of it since it was last out of sight for long, or, while it `is_partial` (the image's edge has cut it in every
look so far), looks in a row that showed as much of it; `is_steady` is whether the last look was one."""


_TOLD = [
    "number",
    "status",
    "was_confirmed",
    "first_ns",
    "last_match_ns",
    "label",
    "score",
    "look_count",
    "detection_index",
    "is_moving",
    "is_standing",
]


class TrackState(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is believed of one object at `time_ns`.

    Attributes:
        number: counts from 1 in the order of first sight; never used again.
        look_count: matches in all.
        detection_index: the detection of this frame that belongs to it, `None` on a miss.
        is_moving: that it moves explains what was seen much better than that it stands.
        is_standing: that it stands explains it much better.
        was_confirmed: it has been confirmed once (a dropped track may have died tentative).
        covariance_m2, velocity_covariance_m2ps2: shape (2, 2) in (east, north).
    """

    number: int
    status: messages.TrackStatus
    was_confirmed: bool
    time_ns: int
    first_ns: int
    last_match_ns: int
    label: str
    score: float
    look_count: int
    detection_index: int | None
    east_m: float
    north_m: float
    covariance_m2: FloatArray
    east_mps: float
    north_mps: float
    velocity_covariance_m2ps2: FloatArray
    is_moving: bool
    is_standing: bool = False

    @property
    def motion(self) -> messages.Motion:
        """What is known of its motion, in one word."""
        if self.is_moving:
            return "moving"
        return "standing" if self.is_standing else "undecided"

    @property
    def speed_mps(self) -> float:
        """Speed over ground."""
        return math.hypot(self.east_mps, self.north_mps)

    @property
    def course_deg(self) -> float:
        """Course over ground, degrees from true north, [0, 360)."""
        return math.degrees(math.atan2(self.east_mps, self.north_mps)) % 360.0

    @property
    def speed_sigma_mps(self) -> float:
        """One sigma of the speed: the velocity's along its course."""
        return self._sigma_along(self.east_mps, self.north_mps)

    @property
    def course_sigma_deg(self) -> float:
        """One sigma of the course: the velocity's across it over the speed; at most that of any direction."""
        across = self._sigma_along(-self.north_mps, self.east_mps)
        any_deg = 180.0 / math.sqrt(3.0)
        return min(any_deg, math.degrees(across / self.speed_mps)) if self.speed_mps > 0.0 else any_deg

    def _sigma_along(self, east: float, north: float) -> float:
        (ee, en), (_, nn) = self.velocity_covariance_m2ps2.tolist()
        square = east * east + north * north
        if square == 0.0:
            return math.sqrt(max(ee, nn))
        return math.sqrt(max(0.0, (ee * east * east + 2 * en * east * north + nn * north * north) / square))


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Every track after a frame, in the order of their numbers; a dropped one is here once.

    Attributes:
        memory: (N,), of `MEMORY`.
        x: (N, 4): east and north in metres, their rates.
        p: (N, 4, 4): covariance of `x`.
        labels: what `memory["label"]` counts through.
    """

    time_ns: int
    memory: npt.NDArray[np.void]
    x: FloatArray
    p: FloatArray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.memory)

    def __iter__(self) -> Iterator[TrackState]:
        columns = (self.memory[_TOLD], self.x, self.p[:, :2, :2], self.p[:, 2:, 2:])
        for row, numbers, place, rate in zip(
            columns[0].tolist(), columns[1].tolist(), *columns[2:], strict=True
        ):
            number, status, was, first_ns, last_ns, label, score, looks, index, moves, stands = row
            yield TrackState(
                number=number,
                status=STATUSES[status],
                was_confirmed=was,
                time_ns=self.time_ns,
                first_ns=first_ns,
                last_match_ns=last_ns,
                label=self.labels[label],
                score=score,
                look_count=looks,
                detection_index=index if index >= 0 else None,
                east_m=numbers[0],
                north_m=numbers[1],
                covariance_m2=place,
                east_mps=numbers[2],
                north_mps=numbers[3],
                velocity_covariance_m2ps2=rate,
                is_moving=moves,
                is_standing=stands,
            )
