"""Made flights for the time offset: features at pixel level, telemetry with noise, jitter and holes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.image_motion import ImageMotion, PairMotion, motion_of, pair_motion
from skywarden.clock import NS_PER_S
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel

FloatArray = npt.NDArray[np.float64]

START_NS = 1_790_000_000 * NS_PER_S
_LEAD_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeFlight:
    """What a made flight is like.

    Attributes:
        motion_dps: rms of the camera's turning, all axes together.
        band_hz: frequencies of it, lowest and highest.
        frames_hz, frame_jitter_s: pairs of frames a second, and the noise of their stamps.
        attitude_hz, attitude_noise_deg, telemetry_jitter_s: of the telemetry.
        pixel_noise, outliers, features: of the pictures.
        drift_s_per_s: growth of the offset.
        gap: begin and length in seconds of a hole in the telemetry.
        relief_m: height of things above the level ground, one sigma.
        boresight_deg, focal_part, height_part: errors that the estimator is not told.
    """

    offset_s: float = 0.12
    drift_s_per_s: float = 0.0
    seconds: float = 60.0
    motion_dps: float = 3.0
    band_hz: tuple[float, float] = (0.05, 1.2)
    frames_hz: float = 10.0
    frame_jitter_s: float = 0.002
    attitude_hz: float = 10.0
    attitude_noise_deg: float = 0.1
    telemetry_jitter_s: float = 0.003
    pixel_noise: float = 0.4
    outliers: float = 0.2
    features: int = 80
    speed_mps: float = 15.0
    height_m: float = 120.0
    pitch_deg: float = -45.0
    relief_m: float = 3.0
    boresight_deg: float = 0.5
    focal_part: float = 0.01
    height_part: float = 0.05
    gap: tuple[float, float] | None = None


class _Path:
    """The truth: attitude and place of the camera at any second."""

    def __init__(self, made: MadeFlight, rng: np.random.Generator) -> None:
        low, high = made.band_hz
        self._frequency = np.exp(rng.uniform(math.log(low), math.log(high), (3, 12)))
        self._phase = rng.uniform(0.0, 2 * math.pi, (3, 12))
        rate = rng.uniform(0.5, 1.5, (3, 12))
        shares = np.array([1.0, 1.0, 0.7])[:, None] * rate
        rms = math.sqrt(float(np.sum(shares**2)) / 2)
        self._amplitude = made.motion_dps * shares / rms / (2 * math.pi * self._frequency)
        self._made = made
        self._turn = math.radians(rng.normal(0.0, 1.0))
        self._course = rng.uniform(0.0, 2 * math.pi)

    def rotation(self, seconds: FloatArray) -> FloatArray:
        """Ned from camera, (K, 3, 3)."""
        angle = 2 * math.pi * self._frequency * seconds[:, None, None] + self._phase
        away = np.sum(self._amplitude * np.sin(angle), axis=2)
        heading = np.degrees(self._course + self._turn * seconds)
        housing = rotations.matrix_from_euler_deg(
            away[:, 0], self._made.pitch_deg + away[:, 1], heading + away[:, 2]
        )
        turned: FloatArray = housing @ rotations.GIMBAL_FROM_CAMERA
        return turned

    def place(self, seconds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Ned place (K, 3), height above ground being -down; and velocity (K, 3)."""
        course = self._course + self._turn * seconds
        turn = self._turn if abs(self._turn) > 1e-6 else 1e-6
        speed = self._made.speed_mps
        north = speed * np.sin(course) / turn
        east = -speed * np.cos(course) / turn
        bob = 1.5 * np.sin(0.4 * seconds)
        place = np.stack([north, east, -self._made.height_m - bob], axis=1)
        climb = -0.6 * np.cos(0.4 * seconds)
        velocity = np.stack([speed * np.cos(course), speed * np.sin(course), climb], axis=1)
        return place, velocity


def make_flight(made: MadeFlight, seed: int) -> tuple[ImageMotion, AttitudeHistory]:
    """Motion of the pictures and what the telemetry says; a frame's stamp is late by the flight's offset."""
    return make_flights([made], seed)[0]


def make_flights(kinds: Sequence[MadeFlight], seed: int) -> list[tuple[ImageMotion, AttitudeHistory]]:
    """The same flight with the pictures of the first kind (they cost most), and the telemetry of each."""
    rng = np.random.default_rng(seed)
    path = _Path(kinds[0], rng)
    pictures = _pictures(kinds[0], path, rng)
    return [(pictures, _telemetry(made, path, rng)) for made in kinds]


def _telemetry(made: MadeFlight, path: _Path, rng: np.random.Generator) -> AttitudeHistory:
    step = 1.0 / made.attitude_hz
    seconds = np.arange(-_LEAD_S, made.seconds + _LEAD_S, step) + rng.uniform(0.0, step)
    seconds = seconds[rng.random(len(seconds)) > 0.02]
    if made.gap is not None:
        seconds = seconds[(seconds < made.gap[0]) | (seconds > made.gap[0] + made.gap[1])]
    boresight = rotations.matrix_from_vector_rad(np.radians(rng.normal(0.0, made.boresight_deg, 3)))
    noise = np.radians(rng.normal(0.0, made.attitude_noise_deg, (len(seconds), 3)))
    told = path.rotation(seconds) @ boresight @ rotations.matrix_from_vector_rad(noise)
    place, velocity = path.place(seconds)
    wander = 0.8 * np.sin(0.07 * seconds[:, None] + rng.uniform(0.0, 6.0, 3))
    jitter = rng.normal(0.0, made.telemetry_jitter_s, len(seconds))
    times = START_NS + np.round((seconds + jitter) * NS_PER_S).astype(np.int64)
    order = np.argsort(times)
    height = -place[:, 2] * (1.0 + made.height_part * rng.normal())
    return AttitudeHistory(
        times_ns=times[order],
        q_ned_camera=rotations.quaternion_from_matrix(told[order]),
        position_ned_m=(place + wander)[order],
        velocity_ned_mps=(velocity + rng.normal(0.0, 0.1, velocity.shape))[order],
        height_m=height[order],
    )


def _pictures(made: MadeFlight, path: _Path, rng: np.random.Generator) -> ImageMotion:
    true = CameraModel.from_hfov(1280, 720, 65.0)
    focal = true.fx * (1.0 + made.focal_part * rng.normal())
    believed = CameraModel(width_px=1280, height_px=720, fx=focal, fy=focal, cx=true.cx, cy=true.cy)
    seconds = np.arange(0.0, made.seconds, 1.0 / made.frames_hz)
    rotation, (place, _) = path.rotation(seconds), path.place(seconds)
    jitter = rng.normal(0.0, made.frame_jitter_s, len(seconds))
    late = made.offset_s + made.drift_s_per_s * (seconds - made.seconds / 2)
    stamps = START_NS + np.round((seconds + late + jitter) * NS_PER_S).astype(np.int64)
    pairs: list[tuple[int, int, PairMotion]] = []
    for index in range(len(seconds) - 1):
        first, second = _matches(made, true, rotation[index : index + 2], place[index : index + 2], rng)
        found = pair_motion(believed, first, second)
        if found is not None:
            pairs.append((int(stamps[index]), int(stamps[index + 1]), found))
    return motion_of(believed, pairs)


def _matches(
    made: MadeFlight, camera: CameraModel, rotation: FloatArray, place: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Features of one picture and where they are found in the next, some of them wrongly."""
    pixels = rng.uniform([0.0, 0.0], [camera.width_px, camera.height_px], (made.features, 2))
    rays, _ = camera.rays(pixels)
    points = rays @ rotation[0].T
    relief = rng.normal(0.0, made.relief_m, made.features)
    reach = np.where(points[:, 2] > 0.02, (-place[0, 2] - relief) / np.maximum(points[:, 2], 0.02), 2e4)
    away = points * reach[:, None] - (place[1] - place[0])
    seen, is_seen = camera.project(away @ rotation[1])
    seen += rng.normal(0.0, made.pixel_noise, seen.shape)
    is_wrong = rng.random(made.features) < made.outliers
    seen[is_wrong] += rng.uniform(-30.0, 30.0, (int(is_wrong.sum()), 2))
    is_good = is_seen & camera.contains(np.nan_to_num(seen, nan=-1e6))
    return pixels[is_good], seen[is_good]
