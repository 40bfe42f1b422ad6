"""The camera model: there and back, beyond the fold, other resolutions, hostile descriptions."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import InputError
from skywarden.geometry.camera import CameraModel

WIDE = CameraModel(
    width_px=1920,
    height_px=1080,
    fx=980.0,
    fy=981.2,
    cx=955.1,
    cy=544.9,
    distortion=(-0.281, 0.0872, 0.0006, -0.0004, -0.0128),
)
PINCUSHION = CameraModel(
    width_px=1640,
    height_px=1232,
    fx=1329.5,
    fy=1329.3,
    cx=810.0,
    cy=618.6,
    distortion=(0.1664, -0.2234, -0.0038, 0.0024, -0.608),
)
PLAIN = CameraModel.from_hfov(1280, 720, 60.0)


def _all_over(camera: CameraModel) -> np.ndarray:
    u = np.linspace(-0.5, camera.width_px - 0.5, 25)
    v = np.linspace(-0.5, camera.height_px - 0.5, 19)
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("camera", [WIDE, PINCUSHION, PLAIN])
def test_every_ray_projects_back_onto_its_pixel(camera: CameraModel) -> None:
    points = _all_over(camera)
    rays, is_seen = camera.rays(points)
    np.testing.assert_allclose(np.linalg.norm(rays[is_seen], axis=1), 1.0)
    back, is_projected = camera.project(rays[is_seen] * 37.0)
    assert is_projected.all()
    assert np.abs(back - points[is_seen]).max() < 1e-4
    assert is_seen.mean() > 0.94


@pytest.mark.parametrize("camera", [WIDE, PINCUSHION])
def test_projection_is_opencvs(camera: CameraModel) -> None:
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-0.7, 0.7, 200), rng.uniform(-0.5, 0.5, 200), np.ones(200)])
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    theirs, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(camera.distortion))
    ours, is_seen = camera.project(points)
    np.testing.assert_allclose(ours[is_seen], theirs[:, 0][is_seen], atol=1e-9)


def test_a_pixel_beyond_the_fold_has_no_ray_and_does_not_spoil_the_others() -> None:
    rays, is_seen = WIDE.rays([[960.0, 540.0], [1905.0, 1065.0], [np.nan, 1.0], [1e9, 1e9]])
    assert is_seen.tolist() == [True, False, False, False]
    assert np.isnan(rays[1:]).all()
    assert np.isfinite(rays[0]).all()


def test_a_point_behind_the_camera_or_beyond_the_fold_has_no_pixel() -> None:
    pixels, is_seen = WIDE.project([[0, 0, 1], [0, 0, -1], [0, 0, 0], [3, 0, 1]])
    assert is_seen.tolist() == [True, False, False, False]
    assert np.isnan(pixels[1:]).all()


@pytest.mark.parametrize("camera", [WIDE, PINCUSHION, PLAIN])
def test_the_jacobian_is_the_change_of_the_ray_by_pixel(camera: CameraModel) -> None:
    points = _all_over(camera)[::7] * 0.8 + 0.1 * np.array([camera.width_px, camera.height_px])
    _, jacobian, is_seen = camera.rays_with_jacobian(points)
    for axis in range(2):
        step = np.eye(2)[axis] * 1e-3
        change = (camera.rays(points + step)[0] - camera.rays(points - step)[0]) / 2e-3
        np.testing.assert_allclose(jacobian[is_seen, :, axis], change[is_seen], atol=1e-9)


@given(u=st.floats(0, 1919), v=st.floats(0, 1079), factor=st.sampled_from([0.25, 0.5, 2.0]))
def test_a_resized_image_has_the_same_rays(u: float, v: float, factor: float) -> None:
    small = WIDE.scaled_to(round(1920 * factor), round(1080 * factor))
    there = [[(u + 0.5) * factor - 0.5, (v + 0.5) * factor - 0.5]]
    np.testing.assert_allclose(small.rays(there)[0], WIDE.rays([[u, v]])[0], atol=1e-9)


def test_the_field_of_view_reaches_from_edge_to_edge() -> None:
    rays, _ = PLAIN.rays([[-0.5, 359.5], [1279.5, 359.5]])
    assert np.degrees(np.arccos(rays[0] @ rays[1])) == pytest.approx(60.0)


def test_no_pixels_give_no_rays() -> None:
    rays, is_seen = WIDE.rays(np.zeros((0, 2)))
    assert rays.shape == (0, 3)
    assert is_seen.shape == (0,)


def test_corners_are_drawn_in_where_the_lens_model_folds_over_inside_the_image() -> None:
    np.testing.assert_array_equal(PLAIN.corners_px[[0, 2]], [[-0.5, -0.5], [1279.5, 719.5]])
    corners = PINCUSHION.corners_px
    assert PINCUSHION.rays(corners)[1].all()
    assert PINCUSHION.contains(corners).all()
    assert np.hypot(*(corners[2] - corners[0])) > 0.8 * np.hypot(1640, 1232)


def test_pixels_outside_the_image_are_told_apart() -> None:
    assert PLAIN.contains([[0, 0], [-0.5, 719.5], [1280, 0]]).tolist() == [True, True, False]


def test_it_survives_json() -> None:
    for camera in (WIDE, PLAIN):
        assert CameraModel.from_jsonable(json.loads(json.dumps(camera.to_jsonable()))) == camera


@pytest.mark.parametrize(
    "change",
    [
        {"fx": 0.0},
        {"fx": float("nan")},
        {"fy": -5.0},
        {"fx": "980"},
        {"fx": True},
        {"cx": 1e6},
        {"width_px": 0},
        {"width_px": 10.5},
        {"height_px": 10**9},
        {"distortion": [1.0, 2.0]},
        {"distortion": [float("inf")] * 5},
        {"distortion": "none"},
        {"distortion": [0.0] * 1000},
        {"unknown": 1},
    ],
)
def test_nonsense_is_refused_with_a_sentence(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"\w+ \w+"):
        CameraModel.from_jsonable({**WIDE.to_jsonable(), **change})
    with pytest.raises(InputError):
        CameraModel.from_jsonable({"width_px": 10})
    with pytest.raises(InputError):
        CameraModel.from_jsonable([])  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("hfov_deg", [0.0, 180.0, float("nan")])
def test_an_impossible_field_of_view_is_refused(hfov_deg: float) -> None:
    with pytest.raises(InputError):
        CameraModel.from_hfov(640, 480, hfov_deg)
