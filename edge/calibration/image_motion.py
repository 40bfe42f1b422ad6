"""How the picture moved between two frames: features followed, and the one homography that explains most.

The motion of a pair is told by where four fixed points of the first image (`ANCHORS`) lie in the second, in
undistorted plane coordinates, with their covariance. That is a homography in numbers that one can compare: a
camera over a plane moves exactly so, and a camera that only turns does so over any scene.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry.camera import CameraModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteImage = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

ANCHOR_PART = 0.3
"""Anchors lie at so much of the image's width and height on either side of its centre."""

_OUTLIER_PX = 3.0
_FLOOR_PX = 0.1
_ROUND_TRIP_PX = 0.7
_CONTRAST_PX = 81
_CONTRAST = 40.0
_QUIET = 0.7
_ITERATIONS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageMotion:
    """Motion between pairs of frames, in order of the second frame's time.

    Attributes:
        start_ns, end_ns: (N,) the two frames' own time stamps.
        anchors: (4, 2) plane coordinates (right / forward, down / forward) of four points of the first image.
        moved: (N, 4, 2) where the same things lie in the second image.
        covariance: (N, 8, 8) of `moved`, row by row, as the scatter of the features tells.
        focal_px: pixels per unit of plane coordinates, for people.
    """

    start_ns: IntArray
    end_ns: IntArray
    anchors: FloatArray
    moved: FloatArray
    covariance: FloatArray
    focal_px: float

    def __len__(self) -> int:
        return len(self.start_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMotion:
    """The motion between two frames: `moved` (4, 2), its covariance (8, 8), features that agree."""

    moved: FloatArray
    covariance: FloatArray
    inliers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionSettings:
    """How features are followed.

    Attributes:
        interval_s: a frame that comes sooner after the last one used is passed over.
        slow_s: frames further apart than this are matched by descriptors, and with several earlier ones.
        baselines: with how many earlier frames, when they are so far apart.
        longest_s: pairs further apart are not compared.
        width_px: larger images are reduced to it.
        features: how many are followed.
        min_inliers: fewer that agree are no motion.
    """

    interval_s: float = 0.09
    slow_s: float = 0.35
    baselines: int = 6
    longest_s: float = 10.0
    width_px: int = 960
    features: int = 250
    min_inliers: int = 16


def anchors_of(camera: CameraModel) -> FloatArray:
    """The four anchors in plane coordinates, (4, 2); raises `InputError` where the lens cannot see them."""
    centre = np.array([(camera.width_px - 1) / 2, (camera.height_px - 1) / 2])
    away = ANCHOR_PART * np.array([camera.width_px, camera.height_px])
    pixels = centre + away * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    rays, is_seen = camera.rays(pixels)
    if not bool(is_seen.all()):
        raise InputError(
            "the lens model folds over inside the middle of the image; its calibration is no good"
        )
    plane: FloatArray = rays[:, :2] / rays[:, 2:]
    return plane


def pair_motion(
    camera: CameraModel,
    first_px: npt.ArrayLike,
    second_px: npt.ArrayLike,
    *,
    min_inliers: int = 16,
) -> PairMotion | None:
    """The homography of matched pixels (K, 2) of two frames; None when too few agree on one.

    Outliers are told by consensus (random samples, fixed seed), the rest is fitted by least squares with
    weights that fall with the residual.
    """
    first, second = _plane(camera, first_px), _plane(camera, second_px)
    is_good = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    first, second = first[is_good], second[is_good]
    if len(first) < max(min_inliers, 4):
        return None
    focal = math.sqrt(camera.fx * camera.fy)
    rough, mask = cv2.findHomography(
        first.astype(np.float32), second.astype(np.float32), cv2.RANSAC, _OUTLIER_PX / focal, maxIters=500
    )
    if rough is None or mask is None or abs(rough[2, 2]) < 1e-6:
        return None
    chosen = mask.ravel() > 0
    if int(chosen.sum()) < min_inliers:
        return None
    fit = _refined(np.asarray(rough, dtype=np.float64), first[chosen], second[chosen], _FLOOR_PX / focal)
    if fit is None:
        return None
    matrix, covariance = fit
    moved, by_matrix = _project(matrix, anchors_of(camera))
    slope = by_matrix.reshape(8, 8)
    if not np.isfinite(moved).all():
        return None
    return PairMotion(moved=moved, covariance=slope @ covariance @ slope.T, inliers=int(chosen.sum()))


def _plane(camera: CameraModel, pixels: npt.ArrayLike) -> FloatArray:
    rays, _ = camera.rays(pixels)
    plane: FloatArray = rays[:, :2] / rays[:, 2:]
    return plane


def _project(matrix: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points (K, 2) through a homography, and their change by its first 8 numbers, (K, 2, 8)."""
    x, y = points[:, 0], points[:, 1]
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    weight = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    with np.errstate(all="ignore"):
        u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / weight
        v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / weight
        across = np.stack([x, y, ones, zeros, zeros, zeros, -u * x, -u * y], axis=1)
        down = np.stack([zeros, zeros, zeros, x, y, ones, -v * x, -v * y], axis=1)
        slope = np.stack([across, down], axis=1) / weight[:, None, None]
    return np.stack([u, v], axis=1), slope


def _refined(
    rough: FloatArray, first: FloatArray, second: FloatArray, floor: float
) -> tuple[FloatArray, FloatArray] | None:
    """Homography and covariance (8, 8) of its first 8 numbers, by Gauss-Newton with Cauchy weights."""
    matrix = rough / rough[2, 2]
    scale = floor
    normal = np.eye(8)
    for _ in range(_ITERATIONS):
        found, slope = _project(matrix, first)
        away = second - found
        distance = np.hypot(away[:, 0], away[:, 1])
        scale = max(floor, float(np.median(distance)) / 1.1774)
        weight = 1.0 / (1.0 + (distance / (2.5 * scale)) ** 2)
        normal = np.einsum("k,kia,kib->ab", weight, slope, slope)
        try:
            step = np.linalg.solve(normal, np.einsum("k,kia,ki->a", weight, slope, away))
        except np.linalg.LinAlgError:
            return None
        matrix = matrix + np.append(step, 0.0).reshape(3, 3)
        if float(np.abs(step).max()) < 1e-9:
            break
    if not np.isfinite(matrix).all() or np.linalg.cond(normal) > 1e14:
        return None
    return np.asarray(matrix, dtype=np.float64), np.asarray(scale**2 * np.linalg.inv(normal))


def _levelled(grey: ByteImage) -> ByteImage:
    """The picture with the same contrast everywhere: a dark field in haze then has features as a road has."""
    image = cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.float32)
    size = (_CONTRAST_PX, _CONTRAST_PX)
    image -= cv2.blur(image, size)
    spread = cv2.sqrt(cv2.blur(image * image, size))
    levelled = 128.0 + _CONTRAST * image / (spread + _QUIET)
    return np.asarray(cv2.convertScaleAbs(np.clip(levelled, 0.0, 255.0)), dtype=np.uint8)


def _flow(
    first: ByteImage, second: ByteImage, start: Points, hint: Points | None
) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Where points (K, 2) of one image lie in another, by pyramids of Lucas and Kanade; and which were found.

    A hint is near already: it needs no high pyramid, which would lead it astray.
    """
    guess = np.zeros_like(start) if hint is None else hint.copy()
    found, is_found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        start,
        guess,
        winSize=(21, 21),
        maxLevel=4 if hint is None else 1,
        flags=0 if hint is None else cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(found, dtype=np.float32), np.asarray(is_found).ravel() > 0


@dataclass(slots=True)
class _Seen:
    """One frame as it is kept for the next: its picture, what stands out in it, descriptors when asked.

    `onto_last` is the homography in pixels from it to the frame kept last, where that is known.
    """

    time_ns: int
    image: ByteImage
    points: Points
    described: tuple[Points, ByteImage | None] | None = None
    onto_last: FloatArray | None = None


class ImageMotionEstimator:
    """Follows features from frame to frame of one camera; hand it each frame, then ask for `motion`."""

    def __init__(self, camera: CameraModel, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._full = camera
        self._scale = min(1.0, self._settings.width_px / camera.width_px)
        size = round(camera.width_px * self._scale), round(camera.height_px * self._scale)
        self._camera = camera.scaled_to(*size) if self._scale < 1.0 else camera
        self._kept: deque[_Seen] = deque(maxlen=self._settings.baselines)
        self._pairs: list[tuple[int, int, PairMotion]] = []
        self._orb = cv2.ORB.create(nfeatures=1500)
        self.frames = 0
        self.unmatched = 0

    def add(self, time_ns: int, image: ByteImage) -> None:
        """Take the next frame, (H, W) grey or (H, W, 3) BGR; one that is not later than the last is left out.

        Raises `InputError` when its size is not the camera's.
        """
        if image.shape[:2] != (self._full.height_px, self._full.width_px):
            raise InputError(
                f"a frame of {image.shape[1]} x {image.shape[0]} px, the camera's are "
                f"{self._full.width_px} x {self._full.height_px}"
            )
        settings = self._settings
        last = self._kept[-1] if self._kept else None
        if last is not None and time_ns - last.time_ns < settings.interval_s * NS_PER_S:
            return
        self.frames += 1
        seen = self._seen(time_ns, image)
        if last is not None:
            if time_ns - last.time_ns > settings.slow_s * NS_PER_S:
                self._compare_slow(list(self._kept), seen)
            else:
                self._compare(last, seen)
        self._kept.append(seen)

    def motion(self) -> ImageMotion:
        """The motion of all pairs so far; raises `InputError` when there is none."""
        return motion_of(self._camera, self._pairs)

    def _seen(self, time_ns: int, image: ByteImage) -> _Seen:
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if self._scale < 1.0:
            size = self._camera.width_px, self._camera.height_px
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        grey = _levelled(np.asarray(grey, dtype=np.uint8))
        spacing = self._camera.width_px / 2.0 / math.sqrt(self._settings.features)
        found = cv2.goodFeaturesToTrack(grey, self._settings.features, 0.005, spacing)
        points = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2).astype(np.float32)
        return _Seen(time_ns, grey, points)

    def _compare(self, first: _Seen, second: _Seen) -> None:
        """Frames that follow each other fast: optical flow, by descriptors only where it fails."""
        pair = self._followed(first, second, None)
        if pair is None:
            guess = self._registered(first, second)
            pair = None if guess is None else self._followed(first, second, guess)
        self._note(first, second, pair)

    def _compare_slow(self, kept: list[_Seen], second: _Seen) -> None:
        """Frames far apart: descriptors tell where the last one went, and through it the earlier ones."""
        step = self._registered(kept[-1], second)
        kept[-1].onto_last = np.eye(3)
        for first in kept:
            known = None if step is None or first.onto_last is None else step @ first.onto_last
            guess = self._registered(first, second) if known is None else known
            first.onto_last = guess
            if second.time_ns - first.time_ns <= self._settings.longest_s * NS_PER_S:
                pair = None if guess is None else self._followed(first, second, guess)
                self._note(first, second, pair)

    def _note(self, first: _Seen, second: _Seen, pair: PairMotion | None) -> None:
        if pair is None:
            self.unmatched += 1
        else:
            self._pairs.append((first.time_ns, second.time_ns, pair))

    def _followed(self, first: _Seen, second: _Seen, guess: FloatArray | None) -> PairMotion | None:
        """Optical flow of the first frame's features, there and back, from a guessed homography if any."""
        if len(first.points) < self._settings.min_inliers:
            return None
        start = first.points
        hint = None
        if guess is not None:
            hint = cv2.perspectiveTransform(start[:, None], guess)[:, 0].astype(np.float32)
        there, is_found = _flow(first.image, second.image, start, hint)
        back, is_found_again = _flow(second.image, first.image, there, None if hint is None else start)
        is_kept = is_found & is_found_again & (np.hypot(*(back - start).T) < _ROUND_TRIP_PX)
        return pair_motion(
            self._camera, start[is_kept], there[is_kept], min_inliers=self._settings.min_inliers
        )

    def _registered(self, first: _Seen, second: _Seen) -> FloatArray | None:
        """A homography in pixels from matched descriptors; None when too few match."""
        (points, names), (others, other_names) = self._described(first), self._described(second)
        if names is None or other_names is None or len(points) < 8 or len(others) < 8:
            return None
        matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(names, other_names)
        if len(matches) < self._settings.min_inliers:
            return None
        start = points[[match.queryIdx for match in matches]]
        end = others[[match.trainIdx for match in matches]]
        matrix, mask = cv2.findHomography(start, end, cv2.RANSAC, 6.0, maxIters=4000)
        if matrix is None or int(mask.sum()) < self._settings.min_inliers:
            return None
        return np.asarray(matrix, dtype=np.float64)

    def _described(self, seen: _Seen) -> tuple[Points, ByteImage | None]:
        if seen.described is None:
            points, names = self._orb.detectAndCompute(seen.image, None)
            places = np.array([point.pt for point in points], dtype=np.float32).reshape(-1, 2)
            seen.described = places, None if names is None else np.asarray(names, dtype=np.uint8)
        return seen.described


def motion_of(camera: CameraModel, pairs: Sequence[tuple[int, int, PairMotion]]) -> ImageMotion:
    """Columns of (start_ns, end_ns, motion) of one camera; raises `InputError` when there is no pair."""
    if not pairs:
        raise InputError("no pair of frames has features that agree on a motion of the camera")
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    return ImageMotion(
        start_ns=np.array([pair[0] for pair in ordered], dtype=np.int64),
        end_ns=np.array([pair[1] for pair in ordered], dtype=np.int64),
        anchors=anchors_of(camera),
        moved=np.array([pair[2].moved for pair in ordered]),
        covariance=np.array([pair[2].covariance for pair in ordered]),
        focal_px=math.sqrt(camera.fx * camera.fy),
    )
