"""Accuracy on real data: surveyed field marks."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locator
from sim.accuracy.section import Section, Spread, spread_of
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import LevelSurface

FloatArray = npt.NDArray[np.float64]


def section(data: Path, scratch: Path) -> Section:
    """Surveyed marks in real stills; `scratch` is not used."""
    found = field_set(data)
    text = [
        "Thunderstorm marks of a Skydio X2D, scored by the nearest surveyed control point (which flatters "
        "every method). Published for the same marks: CEP 7.73, CE90 17.27.\n",
        "| set | marks | CEP | CE90 |",
        "|---|---|---|---|",
        f"| field marks, uncalibrated | {found.row()} |",
    ]
    return Section(title="Real field set", text="\n".join(text))


def field_set(data: Path) -> Spread:
    """The Thunderstorm field set: each mark's miss to the nearest surveyed control point."""
    field = msgspec.json.decode((data / "geolocation" / "field_marks.json").read_bytes())
    points = np.array([[point["lat_deg"], point["lon_deg"]] for point in field["control_points"]])
    return spread_of([_field_miss(mark, points) for mark in field["marks"]])


def _field_miss(mark: dict[str, Any], points: FloatArray) -> float:
    angles, platform, lens = mark["camera_attitude_deg"], mark["platform"], mark["camera"]
    body = rotations.matrix_from_euler_deg(angles["roll"], angles["pitch"], angles["yaw"])
    pose = CameraPose(
        time_ns=0,
        latitude_deg=platform["lat_deg"],
        longitude_deg=platform["lon_deg"],
        alt_hae_m=platform["hae_m"],
        rotation_ned_from_camera=body @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=None,
        source="field set",
    )
    camera = CameraModel(
        width_px=lens["width"],
        height_px=lens["height"],
        fx=lens["fx"],
        fy=lens["fy"],
        cx=lens["cx"],
        cy=lens["cy"],
        distortion=tuple(lens["distortion"][name] for name in ("k1", "k2", "p1", "p2", "k3")),
    )
    pixel = [[mark["pixel"]["u"], mark["pixel"]["v"]]]
    found = Locator(camera, LevelSurface(mark["surface_hae_m"])).locate(pose, pixel)
    away = geodesy.enu_from_geodetic(
        (points[:, 0], points[:, 1], found.alt_hae_m[0]),
        found.latitude_deg[0],
        found.longitude_deg[0],
        found.alt_hae_m[0],
    )
    return float(np.hypot(away[:, 0], away[:, 1]).min())
