"""The tracker's input: one frame's located detections as columns, in metres, with errors by source.

Every error of a measurement is either its own (drawn anew in every frame: the pixel, and a share of the rest)
or shared with the frames before and the objects beside it (boresight, heading, GNSS, height, time). A shared
error is a number without unit, of variance one, times a column (2,) in metres that says where it takes this
object in this frame. So an error that stays as it is while the platform comes closer moves what it moved
before, by less; that this is no motion of the object is then a matter of arithmetic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.geolocation.box_errors import NO_EDGE_FREE
from edge.track.boxes import Boxes
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

MAX_MEASUREMENTS = 4096
MAX_LABELS = 256
MAX_ABSOLUTE_M = 1e7
MAX_SOURCES = 16
_MIN_VARIANCE_M2 = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """M measurements of one frame.

    Attributes:
        points_m: (M, 2), east and north in a local plane of the caller's.
        own_m2: (M, 2, 2), covariance of the errors that no other frame has.
        shared_m: (M, 2, K), where one sigma of each shared error takes each object; K may be 0.
        forget_per_s: (K,), how fast each shared error forgets itself (one over its correlation time).
        score: (M,), 0 to 1.
        label_index: (M,), into `labels`.
        labels: names.
        detection_index: (M,), the row among the frame's detections.
        boxes: what their boxes come to on the ground; `None` where only their middles are known.
    """

    points_m: FloatArray
    own_m2: FloatArray
    shared_m: FloatArray
    forget_per_s: FloatArray
    score: FloatArray
    label_index: IndexArray
    labels: tuple[str, ...]
    detection_index: IndexArray
    boxes: Boxes | None = None

    def __len__(self) -> int:
        return len(self.points_m)

    @property
    def covariance_m2(self) -> FloatArray:
        """(M, 2, 2), of the whole error."""
        total: FloatArray = self.own_m2 + self.shared_m @ self.shared_m.transpose(0, 2, 1)
        return total

    def taken(self, rows: IndexArray) -> "Measurements":
        """Only these rows."""
        return Measurements(
            self.points_m[rows],
            self.own_m2[rows],
            self.shared_m[rows],
            self.forget_per_s,
            self.score[rows],
            self.label_index[rows],
            self.labels,
            self.detection_index[rows],
            None if self.boxes is None else self.boxes.taken(rows),
        )

    def check(self) -> None:
        """Raise `InputError` for columns of the wrong shape, too many rows, and numbers that cannot be."""
        count, sources = len(self.points_m), len(self.forget_per_s)
        if count > MAX_MEASUREMENTS:
            raise InputError(f"{count} measurements in a frame are over the limit of {MAX_MEASUREMENTS}")
        if sources > MAX_SOURCES or len(self.labels) > MAX_LABELS:
            raise InputError(
                f"{sources} shared errors and {len(self.labels)} labels; at most {MAX_SOURCES}, {MAX_LABELS}"
            )
        shapes = (self.points_m.shape, self.own_m2.shape, self.shared_m.shape, self.score.shape)
        if shapes != ((count, 2), (count, 2, 2), (count, 2, sources), (count,)):
            raise InputError(f"{count} measurements whose columns have the shapes {shapes}")
        if len(self.label_index) != count or len(self.detection_index) != count:
            raise InputError(f"{count} measurements with {len(self.label_index)} labels")
        if self.boxes is not None:
            self._check_boxes(self.boxes)
        if count:
            self._check_numbers()

    def _check_boxes(self, boxes: Boxes) -> None:
        count = len(self)
        if boxes.shapes != ((count, 2, 2), (count, 2), (count, 2), (count,)):
            raise InputError(f"{count} measurements whose boxes have the shapes {boxes.shapes}")
        squares = [float(np.vdot(each, each)) for each in (boxes.half_m, boxes.log_side)]
        if not max(squares) <= max(1, count) * MAX_ABSOLUTE_M**2 or math.isnan(sum(squares)):
            raise InputError(f"a box is not finite, or beyond {MAX_ABSOLUTE_M:g} m wide")
        if count and not (least(boxes.free.ravel()) >= -1 and most(boxes.free.ravel()) <= NO_EDGE_FREE):
            raise InputError(f"free edges are told by -1 to {NO_EDGE_FREE}, not {boxes.free.tolist()[:4]}")

    def _check_numbers(self) -> None:
        squares = [float(np.vdot(each, each)) for each in (self.points_m, self.shared_m, self.forget_per_s)]
        squares.append(math.sqrt(np.vdot(self.own_m2, self.own_m2)))
        low, high = least(self.score), most(self.score)
        is_sane = max(squares) <= len(self) * MAX_ABSOLUTE_M**2 and not math.isnan(sum(squares))
        if not (is_sane and low >= 0.0 and high <= 1.0):
            raise InputError(
                f"a measurement is not finite, beyond {MAX_ABSOLUTE_M:g} m, or its score is not in 0..1 "
                f"(root of the sum of squares {max(squares) ** 0.5:g} m, scores {low:g} to {high:g}); hand "
                "over only those whose status is ok"
            )
        if least(self.label_index) < 0 or most(self.label_index) >= len(self.labels):
            raise InputError(f"label {self.label_index.max()} but only {len(self.labels)} names")
        if least(self.detection_index) < 0 or min(self.forget_per_s.tolist(), default=0.0) < 0.0:
            raise InputError("a detection's row or the rate of a shared error is below zero")
        own = self.own_m2
        determinant = own[:, 0, 0] * own[:, 1, 1] - own[:, 0, 1] * own[:, 1, 0]
        if not (least(determinant) > 0.0 and least(own[:, 0, 0]) > 0.0):
            raise InputError("a measurement's covariance is not positive definite")


def least(values: npt.NDArray[np.generic]) -> float:
    """The least of a column that is not empty; NaN where there is one. A quarter of the time of `min`."""
    return float(values[values.argmin()])


def most(values: npt.NDArray[np.generic]) -> float:
    """The largest of a column that is not empty; NaN where there is one."""
    return float(values[values.argmax()])


def no_measurements(labels: Sequence[str] = ("unknown",), sources: int = 0) -> Measurements:
    """A frame in which nothing was seen, or nothing could be located."""
    none = np.zeros(0, dtype=np.intp)
    return Measurements(
        np.zeros((0, 2)),
        np.zeros((0, 2, 2)),
        np.zeros((0, 2, sources)),
        np.zeros(sources),
        np.zeros(0),
        none,
        tuple(labels),
        none,
    )


def from_covariances(
    points_m: npt.ArrayLike,
    covariance_m2: npt.ArrayLike,
    score: npt.ArrayLike,
    label_index: npt.ArrayLike | None = None,
    labels: Sequence[str] = ("unknown",),
    *,
    forward_azimuth_deg: float = 0.0,
    common_share: float = 0.7,
    common_time_s: float = 20.0,
) -> Measurements:
    """Measurements of which only the covariance (M, 2, 2) is known, not where it comes from.

    A stated share of it counts as shared: two numbers, along and across where the camera looks
    (`edge.geolocation.locate.forward_azimuth_deg`), scaled by the present covariance, so that they turn with
    the camera. Raises `InputError` for a covariance that is none.
    """
    points = np.asarray(points_m, dtype=np.float64).reshape(-1, 2)
    count = len(points)
    if count > MAX_MEASUREMENTS:
        raise InputError(f"{count} measurements in a frame are over the limit of {MAX_MEASUREMENTS}")
    covariance = np.asarray(covariance_m2, dtype=np.float64).reshape(-1, 2, 2) + _MIN_VARIANCE_M2 * np.eye(2)
    if not (np.isfinite(points).all() and np.isfinite(covariance).all()):
        raise InputError("a measurement is not finite; hand over only those whose status is ok")
    sine, cosine = (g(math.radians(forward_azimuth_deg)) for g in (math.sin, math.cos))
    en_from_camera = np.array([[sine, cosine], [cosine, -sine]])  # columns: forward, right
    try:
        root = np.linalg.cholesky(en_from_camera.T @ covariance @ en_from_camera)
    except np.linalg.LinAlgError as error:
        raise InputError("a measurement's covariance is not positive definite") from error
    index = np.zeros(count, np.intp) if label_index is None else np.asarray(label_index, dtype=np.intp)
    return Measurements(
        points,
        (1.0 - common_share) * covariance,
        math.sqrt(common_share) * (en_from_camera @ root),
        np.full(2, 1.0 / common_time_s),
        np.asarray(score, dtype=np.float64).reshape(-1),
        index,
        tuple(labels),
        np.arange(count, dtype=np.intp),
    )
