"""Calibration from stills with marks of surveyed points whose names nobody wrote down."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edge.calibration.control_points import read_control_points
from edge.calibration.looks import PARAMETERS, Looks, LooksBuilder, ground_misses_m
from edge.calibration.solver import Estimate, Proof, SolverConfig, estimate, judge_misses
from edge.geolocation.cases import Mark, camera_of, read_cases
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.pose import CameraPose, PoseSigmas

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

ROUNDS = 6
MARK_SIGMA_PX = 2.0
SURFACE_SIGMA_M = 3.0
MARK_SCATTER_M = 2.5
"""How marks of one still scatter about their common shift, per axis: clicking, naming, terrain model. With it
the residuals of a real field set are as large as stated (its published scatter is 2.7 m)."""


CONFIG = SolverConfig(
    prior_sigmas={
        "boresight_roll_deg": 0.6,
        "boresight_pitch_deg": 0.6,
        "heading_deg": 2.0,
        "north_m": 1.5,
        "east_m": 1.5,
        "down_m": 4.24,
    },
    look_attitude_deg=0.5,
    look_position_m=1.5,
)
"""Set A of the error budget; the height is that above the terrain model: 3 m of GNSS and 3 m of model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkSet:
    """N marks in K stills and C control points, all in one set of axes.

    Attributes:
        looks: each mark against some control point; `joined` gives the right ones.
        points_in_enu: of every control point on each mark's own surface, shape (N, C, 3).
        point_sigma_m: shape (C,), how far a mark may lie from its point.
    """

    looks: Looks
    points_in_enu: FloatArray
    point_sigma_m: FloatArray

    def joined(self, corrections: FloatArray) -> Looks:
        """Each mark against the control point nearest to where these corrections place it."""
        rows = np.arange(len(self.looks))
        nearest = np.argmin(self._distances(corrections), axis=1)
        covariance = np.zeros((len(rows), 3, 3))
        covariance[:, [0, 1], [0, 1]] = (self.point_sigma_m[nearest] ** 2)[:, None]
        covariance[:, 2, 2] = SURFACE_SIGMA_M**2
        return replace(
            self.looks, place_in_enu=self.points_in_enu[rows, nearest], place_covariance_m2=covariance
        )

    def misses_m(self, corrections: FloatArray) -> FloatArray:
        """East and north from the nearest control point, shape (N, 2)."""
        away = self._away(corrections)
        nearest: FloatArray = away[np.arange(len(away)), np.argmin(self._distances(corrections), axis=1)]
        return nearest

    def of(self, chosen: npt.NDArray[np.bool_]) -> "MarkSet":
        """Some of the marks."""
        return replace(self, looks=self.looks.of(chosen), points_in_enu=self.points_in_enu[chosen])

    def _away(self, corrections: FloatArray) -> FloatArray:
        places = ground_misses_m(self.looks, corrections) + self.looks.place_in_enu[:, :2]
        away: FloatArray = places[:, None, :] - self.points_in_enu[:, :, :2]
        return away

    def _distances(self, corrections: FloatArray) -> FloatArray:
        away = np.nan_to_num(self._away(corrections), nan=1e9)
        distance: FloatArray = np.hypot(away[:, :, 0], away[:, :, 1])
        return distance


def read_marks(path: Path, control: Path | None = None) -> MarkSet:
    """Marks of a file of the form of field_marks.json; `control` replaces its own control points.

    Raises `InputError` when there are none of either.
    """
    marks = [_mark(raw, path) for raw in read_cases(path).marks or ()]
    if not marks:
        raise InputError(f"{path}: holds no marks")
    points = read_control_points(control or path)
    first = marks[0]
    assert first.platform.lat_deg is not None
    builder = LooksBuilder((first.platform.lat_deg, first.platform.lon_deg, first.surface_hae_m))
    in_enu = []
    for mark in marks:
        there = [(point.lat_deg, point.lon_deg, mark.surface_hae_m) for point in points]
        is_seen = builder.add(
            _pose(mark),
            camera_of(mark.camera),
            (mark.pixel.u, mark.pixel.v),
            sigma_px=MARK_SIGMA_PX,
            thing="marks",
            place=there[0],
            moment=f"image {mark.image}",
        )
        if is_seen:
            in_enu.append([builder.in_enu(place) for place in there])
    return MarkSet(
        looks=builder.build(),
        points_in_enu=np.array(in_enu),
        point_sigma_m=np.array([math.hypot(point.sigma_m, MARK_SCATTER_M) for point in points]),
    )


def estimate_marks(marks: MarkSet, config: SolverConfig = CONFIG) -> Estimate:
    """Join, estimate, and again until the joins stay: each round moves the marks a little nearer."""
    corrections = np.zeros(len(PARAMETERS))
    before: FloatArray | None = None
    noise = 1.0
    for _ in range(ROUNDS):
        looks = marks.joined(corrections)
        if before is not None and bool((looks.place_in_enu == before).all()):
            break
        before = looks.place_in_enu
        found = estimate(looks, config, noise=noise)
        noise = max(1.0, 0.9 * found.scale)
        corrections = found.corrections()
    return found


def prove_marks(
    marks: MarkSet,
    fold_of_moment: IntArray,
    config: SolverConfig = CONFIG,
    *,
    is_lasting_only: bool = False,
) -> Proof:
    """Hold out whole images, shape (K,): join and estimate without them, then judge by the nearest point.

    With `is_lasting_only` this flight's own position error is not corrected in what is held out.
    """
    fold = fold_of_moment[marks.looks.moment]
    before = marks.misses_m(np.zeros(len(PARAMETERS)))
    after = np.full_like(before, np.nan)
    for number in np.unique(fold):
        held = fold == number
        learned = estimate_marks(marks.of(~held), config).corrections(is_lasting_only=is_lasting_only)
        after[held] = marks.of(held).misses_m(learned)
    valid = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    return judge_misses(
        before[valid], after[valid], marks.looks.moment[valid], config, folds=len(np.unique(fold))
    )


def _mark(raw: msgspec.Raw, path: Path) -> Mark:
    try:
        return msgspec.json.decode(raw, type=Mark)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: a mark is damaged: {error}") from error


def _pose(mark: Mark) -> CameraPose:
    angles, platform = mark.camera_attitude_deg, mark.platform
    if platform.hae_m is None:
        raise InputError(f"mark of image {mark.image}: the platform has no hae_m")
    return CameraPose(
        time_ns=0,
        latitude_deg=platform.lat_deg,
        longitude_deg=platform.lon_deg,
        alt_hae_m=platform.hae_m,
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(angles.roll, angles.pitch, angles.yaw)
        @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=mark.surface_hae_m,
        source="mark",
    )
