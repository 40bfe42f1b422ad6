"""The camera model: pixels to rays and back, with Brown's lens distortion, refused where it folds over.

Camera axes are right, down, forward (OpenCV); a pixel's origin is the centre of the upper-left pixel.
Distortion is Brown (1971) in OpenCV's order k1, k2, p1, p2, k3. It is inverted by Newton's method to
convergence and projected again: OpenCV's `undistortPoints` stops early (up to 1.2 px on real lenses) and
answers beyond the fold, where no undistorted point exists, with a number.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MAX_RESIDUAL_PX = 1e-3
_MAX_ITERATIONS = 20
_FOLD_MARGIN = 1.1  # tangential distortion moves the fold a little off the radial polynomial's
_MAX_TANGENT = 20.0  # 87 degrees off the axis; a pinhole model says nothing useful beyond
_MAX_COEFFICIENT = 1e4
_RADIAL_NODES = 1024


@dataclass(frozen=True, kw_only=True)
class CameraModel:
    """One camera at one resolution and zoom.

    `fx`, `fy`, `cx`, `cy` are pixels; `distortion` is empty or (k1, k2, p1, p2[, k3]).
    Raises `InputError` when the numbers cannot belong to a camera.
    """

    width_px: int
    height_px: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (1 <= self.width_px <= 65_535 and 1 <= self.height_px <= 65_535):
            raise InputError(
                f"a camera of {self.width_px} x {self.height_px} pixels; expected 1 to 65535 each"
            )
        largest = 1000.0 * max(self.width_px, self.height_px)
        for name, focal in (("fx", self.fx), ("fy", self.fy)):
            if not 1.0 <= focal <= largest:
                raise InputError(f"camera {name} = {focal} px; expected 1 to {largest:.0f} for this image")
        for name, centre, size in (("cx", self.cx, self.width_px), ("cy", self.cy, self.height_px)):
            if not -size <= centre <= 2 * size:
                raise InputError(f"camera {name} = {centre} px does not fit an image of {size} px")
        if len(self.distortion) not in (0, 4, 5):
            raise InputError(
                f"{len(self.distortion)} distortion numbers; expected none, or k1, k2, p1, p2 and maybe k3"
            )
        if not all(abs(number) <= _MAX_COEFFICIENT for number in self.distortion):
            raise InputError(f"distortion {self.distortion} is not finite or beyond {_MAX_COEFFICIENT:g}")

    @classmethod
    def from_hfov(cls, width_px: int, height_px: int, hfov_deg: float) -> "CameraModel":
        """A camera without distortion, square pixels, that sees `hfov_deg` across the image's full width."""
        if not 0.05 <= hfov_deg <= 175.0:
            raise InputError(f"a horizontal field of view of {hfov_deg} deg; expected 0.05 to 175")
        focal = 0.5 * width_px / math.tan(math.radians(hfov_deg) / 2)
        return cls(
            width_px=width_px,
            height_px=height_px,
            fx=focal,
            fy=focal,
            cx=(width_px - 1) / 2,
            cy=(height_px - 1) / 2,
        )

    @classmethod
    def from_jsonable(cls, tree: Mapping[str, Any]) -> "CameraModel":
        """The camera that `to_jsonable` wrote; raises `InputError` on missing, unknown or nonsense values."""
        if not isinstance(tree, Mapping):
            raise InputError(f"a camera is an object with fx, fy, ..., not a {type(tree).__name__}")
        known = {"width_px", "height_px", "fx", "fy", "cx", "cy", "distortion"}
        missing, unknown = sorted(known - {"distortion"} - set(tree)), sorted(set(tree) - known)
        if missing or unknown:
            raise InputError(f"a camera lacks {missing} or has unknown {[str(key)[:40] for key in unknown]}")
        distortion = tree.get("distortion", [])
        if not isinstance(distortion, list | tuple) or len(distortion) > 5:
            raise InputError("camera: distortion is a list of at most 5 numbers")
        return cls(
            width_px=_whole(tree, "width_px"),
            height_px=_whole(tree, "height_px"),
            fx=_number(tree["fx"], "fx"),
            fy=_number(tree["fy"], "fy"),
            cx=_number(tree["cx"], "cx"),
            cy=_number(tree["cy"], "cy"),
            distortion=tuple(_number(value, "distortion") for value in distortion),
        )

    def to_jsonable(self) -> dict[str, Any]:
        """The camera as plain objects for flight.json."""
        return {
            "width_px": self.width_px,
            "height_px": self.height_px,
            "fx": self.fx,
            "fy": self.fy,
            "cx": self.cx,
            "cy": self.cy,
            "distortion": list(self.distortion),
        }

    def scaled_to(self, width_px: int, height_px: int) -> "CameraModel":
        """The same camera with its image resized (not cropped) to another resolution."""
        x, y = width_px / self.width_px, height_px / self.height_px
        return CameraModel(
            width_px=width_px,
            height_px=height_px,
            fx=self.fx * x,
            fy=self.fy * y,
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
            distortion=self.distortion,
        )

    def rays(self, points_px: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
        """Unit rays in camera axes, shape (N, 3), of pixels (N, 2), and which of them exist, shape (N,).

        A ray that exists projects back onto its pixel within 0.001 px. One that does not (beyond the fold of
        the distortion, not a finite pixel) is NaN.
        """
        rays, _, is_seen = self.rays_with_jacobian(points_px)
        return rays, is_seen

    def rays_with_jacobian(self, points_px: npt.ArrayLike) -> tuple[FloatArray, FloatArray, BoolArray]:
        """As `rays`, with the change of the unit ray by pixel, shape (N, 3, 2), between the two."""
        points = np.asarray(points_px, dtype=np.float64).reshape(-1, 2)
        focal = np.array([self.fx, self.fy])
        distorted = (points - np.array([self.cx, self.cy])) / focal
        with np.errstate(all="ignore"):
            plane, slope, is_seen = self._undistorted(distorted)
            length = np.sqrt(1.0 + np.sum(plane * plane, axis=1))
            rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1) / length[:, None]
            across = np.eye(3)[:, :2] - rays[:, :, None] * rays[:, None, :2]  # d ray / d plane, times length
            jacobian = across @ slope / (focal * length[:, None, None])
        rays[~is_seen] = np.nan
        jacobian[~is_seen] = np.nan
        return rays, jacobian, is_seen

    def project(self, points_camera: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
        """Pixels, shape (N, 2), of points (N, 3) in camera axes, and which of them exist, shape (N,).

        A point behind the camera or beyond the fold of the distortion has no pixel (NaN). A pixel outside
        the image does exist.
        """
        points = np.asarray(points_camera, dtype=np.float64).reshape(-1, 3)
        with np.errstate(all="ignore"):
            plane = points[:, :2] / points[:, 2:]
            radius = np.hypot(plane[:, 0], plane[:, 1])
            is_seen = (points[:, 2] > 0.0) & (radius < self._fold[0]) & np.isfinite(radius)
            x, y, *_ = _distort(plane[:, 0], plane[:, 1], self._coefficients)
            pixels = np.stack([x * self.fx + self.cx, y * self.fy + self.cy], axis=1)
        pixels[~is_seen] = np.nan
        return pixels, is_seen

    def contains(self, points_px: npt.ArrayLike) -> BoolArray:
        """Which pixels (N, 2) lie in the image, edges of the outer pixels included."""
        points = np.asarray(points_px, dtype=np.float64).reshape(-1, 2)
        upper = np.array([self.width_px - 0.5, self.height_px - 0.5])
        inside: BoolArray = np.all((points >= -0.5) & (points <= upper), axis=1)
        return inside

    @functools.cached_property
    def corners_px(self) -> FloatArray:
        """The image's corners, shape (4, 2), from the upper left round by the upper right.

        Where the distortion folds over inside the image, a corner is drawn in towards the principal point
        as far as pixels have rays: many calibrations are no good in the corners.
        """
        right, lower = self.width_px - 0.5, self.height_px - 0.5
        corners = np.array([[-0.5, -0.5], [right, -0.5], [right, lower], [-0.5, lower]])
        if bool(self.rays(corners)[1].all()):
            return corners
        centre = np.array([self.cx, self.cy])
        inside, outside = np.zeros(4), np.ones(4)
        for _ in range(14):
            middle = (inside + outside) / 2
            is_seen = self.rays(centre + (corners - centre) * middle[:, None])[1]
            inside, outside = np.where(is_seen, middle, inside), np.where(is_seen, outside, middle)
        inside = np.where(self.rays(corners)[1], 1.0, 0.98 * inside)
        drawn_in: FloatArray = centre + (corners - centre) * inside[:, None]
        return drawn_in

    @functools.cached_property
    def _coefficients(self) -> tuple[float, float, float, float, float]:
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        return k1, k2, p1, p2, k3

    @functools.cached_property
    def _is_plain(self) -> bool:
        return not any(self.distortion)

    @functools.cached_property
    def _fold(self) -> tuple[float, float]:
        """Undistorted and distorted radius at which the radial polynomial turns back (infinite: never)."""
        k1, k2, _, _, k3 = self._coefficients
        roots = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0]) if any((k1, k2, k3)) else np.empty(0)
        squares = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and root.real > 1e-12]
        if not squares:
            return math.inf, math.inf
        square = min(squares)
        radius = math.sqrt(square)
        return radius, radius * (1 + square * (k1 + square * (k2 + square * k3)))

    @functools.cached_property
    def _radial_table(self) -> tuple[FloatArray, FloatArray]:
        """Distorted and undistorted radii, rising, from the centre to the fold: where Newton starts."""
        k1, k2, _, _, k3 = self._coefficients
        undistorted = np.linspace(0.0, min(self._fold[0], _MAX_TANGENT), _RADIAL_NODES)
        square = undistorted * undistorted
        return undistorted * (1 + square * (k1 + square * (k2 + square * k3))), undistorted

    def _undistorted(self, distorted: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Undistorted plane points (N, 2), their change by distorted point (N, 2, 2), and which exist."""
        if self._is_plain:
            slope = np.broadcast_to(np.eye(2), (len(distorted), 2, 2))
            return distorted, slope, np.isfinite(distorted[:, 0] + distorted[:, 1])
        wanted_x, wanted_y = distorted[:, 0], distorted[:, 1]
        radius = np.hypot(wanted_x, wanted_y)
        ratio = np.interp(radius, *self._radial_table) / np.maximum(radius, 1e-12)
        ratio[~(radius <= _FOLD_MARGIN * self._fold[1])] = np.nan
        x, y = wanted_x * ratio, wanted_y * ratio
        tolerance = 1e-3 * _MAX_RESIDUAL_PX / max(self.fx, self.fy)
        for _ in range(_MAX_ITERATIONS):
            image_x, image_y, a, b, d = _distort(x, y, self._coefficients)
            error_x, error_y, determinant = image_x - wanted_x, image_y - wanted_y, a * d - b * b
            if not bool(np.any(np.maximum(np.abs(error_x), np.abs(error_y)) > tolerance)):
                break
            x, y = (
                x - (d * error_x - b * error_y) / determinant,
                y - (a * error_y - b * error_x) / determinant,
            )
            x[np.hypot(x, y) > _FOLD_MARGIN * self._fold[0]] = np.nan  # it is running away; let it go
        # A millionth of a pixel, which may be left, is a centimetre at the horizon: take it off as well.
        x, y = x - (d * error_x - b * error_y) / determinant, y - (a * error_y - b * error_x) / determinant
        off_px = np.maximum(np.abs(error_x) * self.fx, np.abs(error_y) * self.fy)
        is_inside = (determinant > 0.0) & (np.hypot(x, y) < self._fold[0])
        is_seen: BoolArray = np.asarray((off_px <= _MAX_RESIDUAL_PX) & is_inside)
        inverse = np.empty((len(x), 2, 2))
        inverse[:, 0, 0], inverse[:, 1, 1] = d / determinant, a / determinant
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b / determinant
        return np.stack([x, y], axis=1), inverse, is_seen


def _distort(
    x: FloatArray, y: FloatArray, coefficients: tuple[float, float, float, float, float]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Distorted plane points and their symmetric Jacobian (dx/dx, dx/dy, dy/dy), each of shape (N,).

    Brown 1971 as OpenCV writes it.
    """
    k1, k2, p1, p2, k3 = coefficients
    xx, yy, xy = x * x, y * y, x * y
    square = xx + yy
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    growth = 2 * (k1 + square * (2 * k2 + square * 3 * k3))  # d radial / dx = growth * x
    return (
        x * radial + 2 * p1 * xy + p2 * (square + 2 * xx),
        y * radial + p1 * (square + 2 * yy) + 2 * p2 * xy,
        radial + growth * xx + 2 * p1 * y + 6 * p2 * x,
        growth * xy + 2 * p1 * x + 2 * p2 * y,
        radial + growth * yy + 6 * p1 * y + 2 * p2 * x,
    )


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"camera: {name} is {str(value)[:40]!r}, expected a finite number")
    return float(value)


def _whole(tree: Mapping[str, Any], name: str) -> int:
    value = _number(tree[name], name)
    if value != int(value):
        raise InputError(f"camera: {name} is {value}, expected a whole number")
    return int(value)
