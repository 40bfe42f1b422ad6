"""One picture of a flight as one packet of MISB ST 0601, with what was found in it as ST 0903.

The fields of ST 0902 (the minimum set) and ours: where the sensor is and looks, its frame on the ground, the
detections with their covariance. What is not known is left out, never zero.

Sources: MISB ST 0601 (axes of tags 5 to 7 and 18 to 20), ST 0902, ST 0102 (security), ST 1204 (core
identifier: version, usage, sensor, platform and flight as UUIDs).
"""

import math
import uuid
from dataclasses import dataclass

import numpy as np

from edge.geolocation.locate import position_message
from sim.analyze import LookedAt
from skywarden import klv
from skywarden.errors import InputError
from skywarden.geometry import geoid
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.geodesy import ned_from_geodetic
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, euler_deg_from_matrix, matrix_from_quaternion
from skywarden.geometry.terrain import Surface
from skywarden.messages import FrameInfo
from skywarden.vmti import VmtiSet, encode_vmti, target_of_box

CLASSIFICATIONS = ("unclassified", "restricted", "confidential", "secret", "top_secret")
_SECURITY_TAG, _CORE_ID_TAG = 48, 94
_NAMES = uuid.UUID("7c9b4f6e-5f0a-5c0e-9d3a-2f8f0f7a3c11")
_USAGE = 0b0_10_10_0_1_0
"""Sensor and platform are named by virtual identifiers, and a minor identifier follows."""

Values = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityMark:
    """How the imagery is classified, and by whose rules (a country of two or three letters)."""

    classification: str
    country: str

    def __post_init__(self) -> None:
        """Refuse what ST 0102 cannot tell."""
        if self.classification not in CLASSIFICATIONS:
            raise InputError(f"{self.classification!r} is none of {', '.join(CLASSIFICATIONS)}")
        if not (self.country.isascii() and self.country.isalpha() and 2 <= len(self.country) <= 3):
            raise InputError(f"{self.country!r} is no country of two or three letters, such as PT")

    def encoded(self) -> bytes:
        """The body of the ST 0102 local set."""
        country = self.country.upper()
        method = 1 if len(country) == 2 else 2  # ISO 3166 two letter, three letter
        fields = (
            (1, bytes([1 + CLASSIFICATIONS.index(self.classification)])),
            (2, bytes([method])),
            (3, f"//{country}".encode("ascii")),
            (12, bytes([method])),
            (13, country.encode("utf-16-be")),
            (22, (12).to_bytes(2, "big")),
        )
        return b"".join(klv.ber_oid_bytes(tag) + bytes([len(value)]) + value for tag, value in fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketOptions:
    """What packets say beyond the picture.

    `has_detections`: the answers of the model go along, and the mission field says that nobody reviewed them.
    """

    sortie_id: str
    platform_id: str
    has_detections: bool = True
    is_exercise: bool = False
    security: SecurityMark | None = None
    surface: Surface | None = None


def packet(look: LookedAt, options: PacketOptions) -> bytes:
    """The packet of one picture."""
    mark = ("EXERCISE " if options.is_exercise else "") + ("UNREVIEWED " if options.has_detections else "")
    values: Values = {
        "precision_time_stamp_us": look.time_ns // 1_000,
        "mission_id": f"{mark}{options.sortie_id}",
        "platform_designation": options.platform_id,
        "image_source_sensor": f"{look.sensor.kind.upper()} {look.sensor.sensor_id}",
        "image_coordinate_system": "Geodetic WGS84",
    }
    values |= _attitude(look)
    if look.camera is not None:
        values |= _field_of_view(look.camera)
    frame = next((one for one in look.outcome.messages if isinstance(one, FrameInfo)), None)
    if isinstance(look.pose, CameraPose):
        values |= _sensor(look.pose)
        if frame is not None:
            values |= _frame(look.pose, frame, options.surface)
    sets = {_CORE_ID_TAG: core_identifier(options.platform_id, look.sensor.sensor_id, options.sortie_id)}
    if options.security is not None:
        sets[_SECURITY_TAG] = options.security.encoded()
    return klv.encode_st0601(
        values, sets=sets, vmti=encode_vmti(_vmti(look)) if options.has_detections else None
    )


def core_identifier(platform_id: str, sensor_id: str, sortie_id: str) -> bytes:
    """ST 1204: the same names give the same identifier, wherever they are made."""
    names = (f"{platform_id}/{sensor_id}", platform_id, sortie_id)
    return bytes([1, _USAGE]) + b"".join(uuid.uuid5(_NAMES, name).bytes for name in names)


def _attitude(look: LookedAt) -> Values:
    """The platform's attitude, and the sensor's against it; without the platform's neither can be told."""
    if look.platform.q_ned_body is None:
        return {}
    ned_from_body = matrix_from_quaternion(look.platform.q_ned_body)
    roll, pitch, heading = (float(one) for one in euler_deg_from_matrix(ned_from_body))
    values: Values = {
        "platform_heading_deg": heading % 360.0,
        "platform_pitch_full_deg": pitch,
        "platform_roll_full_deg": roll,
        "platform_pitch_deg": pitch,
        "platform_roll_deg": roll,
    }
    if isinstance(look.pose, CameraPose):
        ned_from_gimbal = look.pose.rotation_ned_from_camera @ GIMBAL_FROM_CAMERA.T
        turn, elevation, azimuth = (
            float(one) for one in euler_deg_from_matrix(ned_from_body.T @ ned_from_gimbal)
        )
        values |= {
            "sensor_relative_azimuth_deg": azimuth % 360.0,
            "sensor_relative_elevation_deg": elevation,
            "sensor_relative_roll_deg": turn % 360.0,
        }
    return values


def _field_of_view(camera: CameraModel) -> Values:
    return {
        "sensor_hfov_deg": math.degrees(2.0 * math.atan(camera.width_px / (2.0 * camera.fx))),
        "sensor_vfov_deg": math.degrees(2.0 * math.atan(camera.height_px / (2.0 * camera.fy))),
    }


def _sensor(pose: CameraPose) -> Values:
    north, east = (float(one) for one in pose.velocity_ned_mps[:2])
    return {
        "sensor_latitude_deg": pose.latitude_deg,
        "sensor_longitude_deg": pose.longitude_deg,
        "sensor_alt_msl_m": pose.alt_hae_m - _undulation_m(pose.latitude_deg, pose.longitude_deg),
        "sensor_alt_hae_m": pose.alt_hae_m,
        "sensor_north_velocity_mps": north,
        "sensor_east_velocity_mps": east,
    }


def _frame(pose: CameraPose, frame: FrameInfo, surface: Surface | None) -> Values:
    """Centre, corners and width on the ground; a frame that reaches the horizon has no corners."""
    values: Values = {}
    ground_hae_m = pose.level_alt_hae_m
    if frame.frame_centre is not None:
        latitude, longitude = frame.frame_centre
        if surface is not None:
            height = float(np.asarray(surface.height_hae_m(latitude, longitude)))
            ground_hae_m = height if math.isfinite(height) else ground_hae_m
        values |= {"frame_centre_latitude_deg": latitude, "frame_centre_longitude_deg": longitude}
        if ground_hae_m is not None:
            away = ned_from_geodetic(
                (latitude, longitude, ground_hae_m), pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m
            )
            values |= {
                "frame_centre_alt_hae_m": ground_hae_m,
                "frame_centre_alt_msl_m": ground_hae_m - _undulation_m(latitude, longitude),
                "slant_range_m": float(np.linalg.norm(away)),
                "ground_range_m": float(np.hypot(away[0], away[1])),
            }
    if len(frame.footprint) == 4:
        for number, (latitude, longitude) in enumerate(frame.footprint, start=1):
            values[f"corner_{number}_latitude_deg"] = latitude
            values[f"corner_{number}_longitude_deg"] = longitude
        left, right = (_middle(frame.footprint[0], frame.footprint[3]), _middle(*frame.footprint[1:3]))
        across = ned_from_geodetic((*right, 0.0), *left, 0.0)
        values["target_width_m"] = float(np.hypot(across[0], across[1]))
    return values


def _vmti(look: LookedAt) -> VmtiSet:
    batch, locations = look.outcome.batch, look.outcome.locations
    height, width = look.image.shape[:2]
    targets = []
    for index in range(len(batch)):
        x0, y0, x1, y1 = (float(one) for one in batch.box_px[index])
        targets.append(
            target_of_box(
                index + 1,
                (x0, y0, x1, y1),
                float(batch.score[index]),
                position_message(locations, index) if locations is not None else None,
                batch.labels[batch.label_index[index]],
            )
        )
    return VmtiSet(time_us=look.time_ns // 1_000, size_px=(width, height), targets=tuple(targets))


def _middle(one: tuple[float, float], two: tuple[float, float]) -> tuple[float, float]:
    turn = (two[1] - one[1] + 180.0) % 360.0 - 180.0
    return (one[0] + two[0]) / 2.0, (one[1] + turn / 2.0 + 180.0) % 360.0 - 180.0


def _undulation_m(latitude_deg: float, longitude_deg: float) -> float:
    return float(geoid.undulation_m(latitude_deg, longitude_deg))
