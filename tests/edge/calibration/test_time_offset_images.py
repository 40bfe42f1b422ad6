"""Motion of pictures: known warps are found, weak contrast and outliers do no harm; a real flight's lag."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.calibration.flight_motion import flight_time_offset
from edge.calibration.image_motion import (
    ImageMotionEstimator,
    MotionSettings,
    anchors_of,
    pair_motion,
)
from sim.accuracy.timing import panel_spread_m
from sim.importers import import_flight
from skywarden.errors import InputError
from skywarden.flight.reader import FlightReader
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel

CAMERA = CameraModel.from_hfov(640, 480, 60.0)
LENS = CameraModel(width_px=640, height_px=480, fx=560, fy=560, cx=322, cy=238, distortion=(-0.2, 0.05, 0, 0))
S = 1_000_000_000
ByteImage = npt.NDArray[np.uint8]


def _turned(points: npt.NDArray[np.float64], turn_deg: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Plane points (K, 2) as seen after the scene turned about the camera's axes."""
    matrix = rotations.matrix_from_vector_rad(np.radians(turn_deg))
    rays = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    seen: npt.NDArray[np.float64] = rays[:, :2] / rays[:, 2:]
    return seen


def _scene(seed: int = 1, contrast: float = 1.0) -> ByteImage:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (480, 640)).astype(np.float32), (0, 0), 3.0)
    spread = (image - image.mean()) / image.std()
    return np.asarray(np.clip(110.0 + 35.0 * contrast * spread, 0, 255), dtype=np.uint8)


def _warped(image: ByteImage, turn_deg: tuple[float, float, float]) -> ByteImage:
    matrix = rotations.matrix_from_vector_rad(np.radians(turn_deg))
    lens = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1.0]])
    warp = lens @ matrix @ np.linalg.inv(lens)
    return np.asarray(cv2.warpPerspective(image, warp, (640, 480)), dtype=np.uint8)


@pytest.mark.parametrize("camera", [CAMERA, LENS])
def test_a_turn_is_found_among_outliers_with_an_honest_covariance(camera: CameraModel) -> None:
    rng = np.random.default_rng(2)
    turn = (1.5, -2.0, 4.0)
    truth = _turned(anchors_of(camera), turn)
    ratios = []
    for _ in range(30):
        first = rng.uniform([60, 60], [580, 420], (60, 2))
        rays, _ = camera.rays(first)
        seen = _turned(rays[:, :2] / rays[:, 2:], turn)
        second, _ = camera.project(np.concatenate([seen, np.ones((60, 1))], axis=1))
        second += rng.normal(0.0, 0.4, second.shape)
        second[:18] += rng.uniform(-40, 40, (18, 2))
        found = pair_motion(camera, first, second)
        assert found is not None
        assert np.abs(found.moved - truth).max() * camera.fx < 1.5
        away = (found.moved - truth).reshape(8)
        ratios.append(float(away @ np.linalg.solve(found.covariance, away)) / 8)
    assert 0.5 < np.mean(ratios) < 2.0


def test_features_that_agree_on_nothing_are_no_motion() -> None:
    rng = np.random.default_rng(3)
    assert pair_motion(CAMERA, rng.uniform(0, 480, (80, 2)), rng.uniform(0, 480, (80, 2))) is None
    assert pair_motion(CAMERA, np.zeros((0, 2)), np.zeros((0, 2))) is None
    assert pair_motion(CAMERA, np.full((30, 2), np.nan), np.zeros((30, 2))) is None


@pytest.mark.parametrize(("step_s", "contrast"), [(0.1, 1.0), (1.0, 1.0), (0.1, 0.12)])
def test_a_picture_that_turns_is_followed_fast_slow_and_in_haze(step_s: float, contrast: float) -> None:
    follower = ImageMotionEstimator(CAMERA)
    image = _scene(contrast=contrast)
    turn = (0.4, -0.7, 1.0) if step_s < 0.5 else (2.0, -3.0, 5.0)
    follower.add(5 * S, image)
    follower.add(5 * S + int(step_s * S), _warped(image, turn))
    motion = follower.motion()
    assert len(motion) == 1
    truth = _turned(motion.anchors, turn)
    assert np.abs(motion.moved[0] - truth).max() * CAMERA.fx < 0.5


@pytest.mark.slow
def test_slow_pictures_are_compared_with_several_before_them() -> None:
    follower = ImageMotionEstimator(CAMERA, MotionSettings(baselines=3))
    for index in range(5):
        follower.add(index * S, _warped(_scene(), (0.0, 0.5 * index, 0.0)))
    motion = follower.motion()
    assert len(motion) == 1 + 2 + 3 + 3
    for index in range(len(motion)):
        steps = (motion.end_ns[index] - motion.start_ns[index]) // S
        truth = _turned(motion.anchors, (0.0, 0.5 * steps, 0.0))
        assert np.abs(motion.moved[index] - truth).max() * CAMERA.fx < 0.5


def test_pictures_that_come_too_fast_are_passed_over_and_odd_sizes_refused() -> None:
    follower = ImageMotionEstimator(CAMERA)
    for index in range(9):
        follower.add(index * S // 100, _scene())
    assert follower.frames == 1
    with pytest.raises(InputError, match="320 x 240"):
        follower.add(S, np.zeros((240, 320), np.uint8))
    with pytest.raises(InputError, match="no pair"):
        follower.motion()


def test_a_black_picture_is_no_motion() -> None:
    follower = ImageMotionEstimator(CAMERA)
    for index in range(3):
        follower.add(index * S // 5, np.zeros((480, 640), np.uint8))
    assert follower.unmatched == 2


@pytest.mark.real_data
@pytest.mark.slow
def test_the_real_flights_lag_is_found_and_brings_its_panel_together(real_data: Path, tmp_path: Path) -> None:
    import_flight(real_data / "recordings" / "cuav-2018", tmp_path / "flight")
    reader = FlightReader(tmp_path / "flight")
    found = flight_time_offset(reader, "eo")
    assert found.offset_s is not None
    assert found.sigma_s is not None
    assert 0.2 < found.offset_s < 0.4
    assert found.sigma_s < 0.05
    assert panel_spread_m(reader, found.offset_s) < 1.7 < 2.6 < panel_spread_m(reader, 0.0)
    sensor = reader.info.sensor("eo")
    assert sensor.frame_lag_s == pytest.approx(found.offset_s, abs=0.01), "the importer finds it by itself"
    assert any("late against the telemetry" in note for note in reader.info.notes)
