"""One question of one person: where is this pixel? Answers with numbers and their uncertainty."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.geolocation.locate import Locator
from skywarden.geometry import heights
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.heights import HaeM
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_euler_deg
from skywarden.geometry.terrain import LevelSurface, SeaSurface, Surface, load_terrain


class LocateQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, its pose as roll, pitch and true heading in degrees, and a pixel (or the image centre)."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float | None
    alt_msl_m: float | None
    euler_deg: tuple[float, float, float]
    size_px: tuple[int, int]
    hfov_deg: float
    pixel: tuple[float, float] | None
    terrain: Path | None
    level_hae_m: float | None
    tide_m: float = 0.0
    tide_sigma_m: float = 0.0
    sigmas: PoseSigmas = PoseSigmas(focal_percent=1.0)  # a field of view by hand is no calibration


def answer(question: LocateQuestion) -> dict[str, Any]:
    """Position with CE90, LE90 and slant range, or a bearing; `status` is "ok" or the reason."""
    camera = CameraModel.from_hfov(*question.size_px, question.hfov_deg)
    pose = CameraPose(
        time_ns=0,
        latitude_deg=question.latitude_deg,
        longitude_deg=question.longitude_deg,
        alt_hae_m=_height(question),
        rotation_ned_from_camera=matrix_from_euler_deg(*question.euler_deg) @ GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=question.sigmas,
        level_alt_hae_m=question.level_hae_m,
        source="asked",
    )
    pixel = question.pixel or (camera.cx, camera.cy)
    found = Locator(camera, _surface(question)).locate(pose, np.array([pixel]), np.array([1.0]))
    out: dict[str, Any] = {
        "status": str(found.status[0]),
        "azimuth_deg": round(float(found.azimuth_deg[0]), 3),
        "elevation_deg": round(float(found.elevation_deg[0]), 3),
    }
    if found.status[0] == "ok":
        out |= {
            "latitude_deg": round(float(found.latitude_deg[0]), 7),
            "longitude_deg": round(float(found.longitude_deg[0]), 7),
            "alt_hae_m": round(float(found.alt_hae_m[0]), 1),
            "ce90_m": round(float(found.ce90_m[0]), 1),
            "le90_m": round(float(found.le90_m[0]), 1),
            "slant_range_m": round(float(found.slant_range_m[0]), 1),
        }
    return out


def _height(question: LocateQuestion) -> HaeM:
    if question.alt_hae_m is not None:
        return heights.hae(question.alt_hae_m)
    assert question.alt_msl_m is not None, "the command line asks for one of both"
    above_sea = heights.msl(question.alt_msl_m)
    return heights.hae_from_msl(above_sea, question.latitude_deg, question.longitude_deg)


def _surface(question: LocateQuestion) -> Surface:
    if question.terrain is not None:
        return load_terrain(question.terrain)
    if question.level_hae_m is not None:
        return LevelSurface(question.level_hae_m)
    return SeaSurface(question.tide_m, tide_sigma_m=question.tide_sigma_m)
