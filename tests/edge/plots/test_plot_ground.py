"""Outlines on the ground: reference areas, terrain followed, what cannot be placed, and honest effects."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from geographiclib.geodesic import Geodesic

from edge.geolocation.locate import Locator
from edge.plots.area import areas_of, areas_of_corners, interval_90
from edge.plots.effects import SOURCES, OutlineSigmas, effects_on
from edge.plots.ground import EqualAreaPlane, GroundPolygon, NoGround, place_outline
from edge.plots.look import PlotLook, look_at_plot
from edge.plots.outline import outline_of_polygon
from skywarden.errors import InputError
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import FormulaSurface, LevelSurface, SeaSurface, Surface, Terrain

CAMERA = CameraModel(width_px=1920, height_px=1080, fx=1500.0, fy=1500.0, cx=959.5, cy=539.5)
EXACT = PoseSigmas(
    horizontal_m=0, vertical_m=0, tilt_deg=0, heading_deg=0, boresight_deg=0, time_offset_s=0, focal_percent=0
)
GROUND_M = 500.0


def _pose(
    height_m: float,
    off_nadir_deg: float,
    sigmas: PoseSigmas = EXACT,
    place: tuple[float, float] = (4.0, -73.0),
) -> CameraPose:
    return CameraPose(
        time_ns=1_700_000_000_000_000_000,
        latitude_deg=place[0],
        longitude_deg=place[1],
        alt_hae_m=GROUND_M + height_m,
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(0.0, off_nadir_deg - 90.0, 0.0)
        @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.array([15.0, 0.0, 0.0]),
        angular_rate_dps=0.0,
        sigmas=sigmas,
        level_alt_hae_m=GROUND_M,
        source="test",
    )


def _seen(
    corners_en: np.ndarray, pose: CameraPose, up_m: float = 0.0, camera: CameraModel = CAMERA
) -> np.ndarray:
    """Pixels of corners in metres about the boresight's foot on level ground."""
    height = pose.alt_hae_m - GROUND_M
    axis = pose.rotation_ned_from_camera[:, 2]
    foot = axis[:2] / axis[2] * height
    ned = np.column_stack([corners_en[:, ::-1] + foot, np.full(len(corners_en), height - up_m)])
    pixels, is_seen = camera.project(ned @ pose.rotation_ned_from_camera)
    assert is_seen.all()
    return pixels


def _square(side_m: float) -> np.ndarray:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side_m / 2


def _placed(
    pose: CameraPose, pixels: np.ndarray, surface: Surface, camera: CameraModel = CAMERA
) -> GroundPolygon:
    found = place_outline(Locator(camera, surface), pose, outline_of_polygon(pixels), surface=surface)
    assert isinstance(found, GroundPolygon), found
    return found


def _case_surface(tree: dict[str, float]) -> Surface:
    if "hae_m" in tree:
        return LevelSurface(tree["hae_m"])

    def plane(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        north = (lat - tree["lat0_deg"]) * 111_320.0
        east = (lon - tree["lon0_deg"]) * 111_320.0 * math.cos(math.radians(tree["lat0_deg"]))
        height: np.ndarray = tree["hae0_m"] + tree["grad_north"] * north + tree["grad_east"] * east
        return height

    return FormulaSurface(plane, spacing_m=30.0)


@pytest.mark.real_data
def test_every_reference_area_is_right_within_a_fiftieth_of_its_tolerance(real_data: Path) -> None:
    text = (real_data / "geolocation" / "pixel_to_ground_cases.json").read_text(encoding="utf-8")
    cases = json.loads(text)["area_cases"]
    assert len(cases) >= 4
    for case in cases:
        lens, at = case["camera"], case["platform"]
        camera = CameraModel(
            width_px=lens["width"],
            height_px=lens["height"],
            fx=lens["fx"],
            fy=lens["fy"],
            cx=lens["cx"],
            cy=lens["cy"],
            distortion=tuple(lens["distortion"][name] for name in ("k1", "k2", "p1", "p2", "k3")),
        )
        surface = _case_surface(case["surface"])
        pose = _pose(at["hae_m"] - GROUND_M, 0.0, place=(at["lat_deg"], at["lon_deg"]))
        pose.rotation_ned_from_camera[:] = (
            rotations.matrix_from_quaternion(case["gimbal_q_earth_wxyz"]) @ rotations.GIMBAL_FROM_CAMERA
        )
        found = place_outline(
            Locator(camera, surface),
            pose,
            outline_of_polygon(case["polygon_pixels"]),
            surface=surface,
            edges="ground",
        )
        assert isinstance(found, GroundPolygon)
        areas = areas_of(found.plane, found.shape, surface)
        assert areas.planimetric_m2 == pytest.approx(case["planimetric_area_on_ellipsoid_m2"], rel=4e-6)
        assert areas.at_height_m2 == pytest.approx(case["planimetric_area_at_mean_height_m2"], rel=4e-6)
        assert areas.surface_m2 == pytest.approx(case["true_surface_area_m2"], rel=4e-6)


@pytest.mark.parametrize(
    "place", [(4.0, -73.0), (0.0, 179.9999), (89.9995, 30.0), (-78.0, -180.0), (60.0, 10.0)]
)
def test_areas_on_the_ellipsoid_agree_with_geodesics_anywhere(place: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    points = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(20, 400, (12, 1))
    lat, lon, _ = geodesy.geodetic_from_enu(np.column_stack([points, np.zeros(12)]), *place, 0.0)
    referee = Geodesic.WGS84.Polygon()
    for one in zip(lat.tolist(), lon.tolist(), strict=True):
        referee.AddPoint(*one)
    _, _, area = referee.Compute(False, True)
    found = areas_of_corners(lat, lon, LevelSurface(0.0))
    assert found.planimetric_m2 == pytest.approx(abs(area), rel=1e-6, abs=0.25 if place[0] > 89 else 0.0)
    assert found.surface_m2 == pytest.approx(found.planimetric_m2, rel=1e-9)


def test_a_hole_is_no_part_of_the_area() -> None:
    pose = _pose(300.0, 30.0)
    outline = outline_of_polygon(_seen(_square(60.0), pose), [_seen(_square(20.0), pose)])
    found = place_outline(
        Locator(CAMERA, LevelSurface(GROUND_M)), pose, outline, surface=LevelSurface(GROUND_M)
    )
    assert isinstance(found, GroundPolygon)
    assert found.shape.area == pytest.approx(60.0**2 - 20.0**2, rel=3e-4)
    exterior, hole = (ring.east_north_m for ring in found.rings)
    assert shapely.LinearRing(exterior).is_ccw
    assert not shapely.LinearRing(hole).is_ccw


def _ridge(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """A roof 20 m high whose ridge runs north, 30 m to either side."""
    east = (lon + 73.0) * 111_320.0 * math.cos(math.radians(4.0))
    height: np.ndarray = GROUND_M + np.maximum(20.0 - np.abs(east) * 20.0 / 30.0, 0.0) + 0.0 * lat
    return height


def test_edges_follow_the_terrain_between_corners() -> None:
    """Seen at a slant, an edge over a roof is bent: the straight line between corners is not the ground."""
    surface = FormulaSurface(_ridge, spacing_m=4.0)
    pose = _pose(200.0, 45.0)
    truth = shapely.box(-30.0, 160.0, 30.0, 220.0)
    dense = shapely.segmentize(truth, 1.0)
    en = np.asarray(dense.exterior.coords)[:-1]
    lat, lon, _ = geodesy.geodetic_from_enu(np.column_stack([en, np.zeros(len(en))]), 4.0, -73.0, GROUND_M)
    up = _ridge(lat, lon)
    ned = geodesy.ned_from_geodetic((lat, lon, up), 4.0, -73.0, pose.alt_hae_m)
    pixels, _ = CAMERA.project(ned @ pose.rotation_ned_from_camera)
    followed = _placed(pose, pixels, surface)
    assert followed.shape.area == pytest.approx(3600.0, rel=1e-3)
    areas = areas_of(followed.plane, followed.shape, surface)
    assert areas.surface_m2 == pytest.approx(3600.0 * math.hypot(1.0, 20.0 / 30.0), rel=0.015)
    assert areas.slope_deg < 1.0
    # A plain quadrilateral in the image gets points of its own, half a spacing apart.
    corners = _placed(pose, pixels[[0, 60, 120, 180]], surface)
    assert len(corners.exterior.pixels) > 60


def test_a_straight_edge_of_a_mask_is_straight_in_the_image_also_with_a_bent_lens() -> None:
    camera = CameraModel(
        width_px=1920,
        height_px=1080,
        fx=980.0,
        fy=980.0,
        cx=959.5,
        cy=539.5,
        distortion=(-0.28, 0.08, 0.0, 0.0),
    )
    pose = _pose(100.0, 0.0)
    pixels = np.array([[200.0, 100.0], [1700.0, 100.0], [1700.0, 1000.0], [200.0, 1000.0]])
    fine = np.asarray(shapely.segmentize(shapely.Polygon(pixels), 4.0).exterior.coords)[:-1]
    surface = LevelSurface(GROUND_M)
    plain, finest = (_placed(pose, each, surface, camera).shape.area for each in (pixels, fine[::2]))
    assert plain == pytest.approx(finest, rel=1e-4)


def test_what_reaches_the_horizon_is_cut_off_and_says_so() -> None:
    pose = _pose(100.0, 80.0)
    surface = LevelSurface(GROUND_M)
    locator = Locator(CAMERA, surface)
    horizon_y = 539.5 - 1500.0 * math.tan(math.radians(10.0))
    low = [[700.0, 1000.0], [1200.0, 1000.0], [1200.0, horizon_y - 30.0], [700.0, horizon_y - 30.0]]
    cut = place_outline(locator, pose, outline_of_polygon(low), surface=surface)
    assert isinstance(cut, GroundPolygon)
    assert cut.clipped_reason in ("above_horizon", "no_intersection", "near_horizon")
    assert cut.is_cut
    assert 0.5 < cut.placed_share < 1.0
    high = [[700.0, horizon_y - 100.0], [1200.0, horizon_y - 100.0], [1200.0, 0.0], [700.0, 0.0]]
    none = place_outline(locator, pose, outline_of_polygon(high), surface=surface)
    assert isinstance(none, NoGround)
    assert none.reason == "above_horizon"
    assert "4 of 4" in none.detail


def test_outside_of_the_terrain_model_there_is_no_ground() -> None:
    flat = Terrain(
        np.full((40, 40), GROUND_M, np.float32),
        north_deg=4.0005,
        west_deg=-73.0,
        step_latitude_deg=0.0001,
        step_longitude_deg=0.0001,
    )
    pose = _pose(100.0, 0.0)
    outline = outline_of_polygon(_seen(_square(30.0) - [40.0, 0.0], pose))
    found = look_at_plot(Locator(CAMERA, flat), pose, outline, surface=flat)
    assert isinstance(found, NoGround)
    assert found.reason == "outside_terrain"
    with pytest.raises(InputError, match="nobody knows the ground"):
        areas_of_corners([5.0, 5.001, 5.0], [-73.0, -73.0, -72.999], flat)


def test_an_outline_at_the_edge_of_the_image_knows_where_it_is_cut() -> None:
    pose = _pose(100.0, 0.0)
    pixels = np.array([[-0.5, 300.0], [200.0, 300.0], [200.0, 500.0], [-0.5, 500.0]])
    found = _placed(pose, pixels, LevelSurface(GROUND_M))
    cut = np.flatnonzero(found.exterior.is_cut)
    assert len(cut) == 1
    ring = found.exterior.pixels
    assert ring[cut[0], 0] == ring[(cut[0] + 1) % 4, 0] == -0.5


def _effect(look: PlotLook, source: str) -> float:
    return abs(float(look.effects.planimetric[SOURCES.index(source)]))


def _look(pose: CameraPose, surface: Surface, sigmas: OutlineSigmas, side_m: float = 44.72) -> PlotLook:
    outline = outline_of_polygon(_seen(_square(side_m), pose))
    found = look_at_plot(Locator(CAMERA, surface), pose, outline, surface=surface, sigmas=sigmas)
    assert isinstance(found, PlotLook)
    return found


def test_effects_are_those_of_the_closed_forms() -> None:
    """Height 2 s/h, focal length 2 s/f, turn 3 tan t s, boundary by its noise."""
    sigmas = PoseSigmas(
        horizontal_m=1.5,
        vertical_m=2.0,
        tilt_deg=0.2,
        heading_deg=0.5,
        boresight_deg=0.05,
        time_offset_s=0.01,
        focal_percent=0.1,
    )
    outline = OutlineSigmas(noise_px=1.0, correlation_px=8.0, bias_px=0.3, slope=0.0)
    for off_nadir_deg in (0.0, 45.0, 60.0):
        pose = _pose(300.0, off_nadir_deg, sigmas)
        look = _look(pose, LevelSurface(GROUND_M, sigma_m=1.5), outline)
        assert _effect(look, "vertical") == pytest.approx(2 * 2.0 / 300, rel=0.02)
        assert _effect(look, "surface") == pytest.approx(2 * 1.5 / 300, rel=0.02)
        assert _effect(look, "focal") == pytest.approx(2 * 0.001, rel=0.05)
        assert _effect(look, "horizontal_east") == pytest.approx(0.0, abs=1e-5)
        assert _effect(look, "heading") == pytest.approx(0.0, abs=1e-3)
        tilt = 3 * math.tan(math.radians(off_nadir_deg)) * math.radians(0.2)
        assert _effect(look, "tilt_right") == pytest.approx(tilt, rel=0.05, abs=1e-4)
    nadir = _look(_pose(300.0, 0.0, sigmas), LevelSurface(GROUND_M, sigma_m=1.5), outline)
    gsd, perimeter = 0.2, 4 * 44.72
    assert _effect(nadir, "outline") == pytest.approx(0.3 * gsd * perimeter / 2000, rel=0.01)
    assert nadir.effects.noise == pytest.approx(gsd * math.sqrt(perimeter * 8 * gsd) / 2000, rel=0.01)
    assert nadir.effects.planimetric_sigma < 0.025


def test_the_middle_errs_as_the_locator_says_of_a_pixel() -> None:
    sigmas = PoseSigmas(focal_percent=0.5)
    for off_nadir_deg in (0.0, 45.0, 60.0):
        pose = _pose(300.0, off_nadir_deg, sigmas)
        surface = LevelSurface(GROUND_M, sigma_m=3.0)
        look = _look(pose, surface, OutlineSigmas(noise_px=0.1, bias_px=0.0, slope=0.0), side_m=4.0)
        point = Locator(CAMERA, surface).locate(pose, [[959.5, 539.5]], 0.0)
        np.testing.assert_allclose(
            look.effects.covariance_en_m2, point.covariance_enu_m2[0, :2, :2], rtol=0.03, atol=0.02
        )


def test_on_a_slope_both_areas_are_told_and_the_slope_counts_for_the_second() -> None:
    def slope(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        height: np.ndarray = GROUND_M + (lat - 4.0) * 110_574.0 * math.tan(math.radians(20.0)) + 0.0 * lon
        return height

    surface = FormulaSurface(slope, spacing_m=30.0, sigma_m=1.5)
    pose = _pose(300.0, 0.0)
    look = _look(pose, surface, OutlineSigmas(noise_px=0.0, bias_px=0.0, slope=0.02))
    assert look.areas.slope_deg == pytest.approx(20.0, abs=0.1)
    assert look.on_slope.value / look.planimetric.value == pytest.approx(
        1.0 / math.cos(math.radians(20.0)), rel=1e-3
    )
    assert look.on_slope.sigma > look.planimetric.sigma


def test_at_sea_there_is_no_slope_to_be_wrong_about() -> None:
    sea = SeaSurface()
    pose = _pose(300.0 - GROUND_M + float(sea.height_hae_m(4.0, -73.0)), 0.0)
    outline = outline_of_polygon([[900.0, 500.0], [1000.0, 500.0], [1000.0, 600.0]])
    look = look_at_plot(Locator(CAMERA, sea), pose, outline, surface=sea)
    assert isinstance(look, PlotLook)
    assert _effect(look, "slope_east") == 0.0


def test_an_interval_holds_its_value_and_never_falls_below_nought() -> None:
    wide = interval_90(2000.0, 0.8)
    assert 0.0 < wide.low < 2000.0 < wide.high
    narrow = interval_90(2000.0, 0.02)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(1.645 * 40.0, rel=1e-3)


def test_an_area_cannot_be_asked_of_what_is_none() -> None:
    with pytest.raises(InputError, match="3 or more"):
        areas_of_corners([4.0, 4.1], [-73.0, -73.0], LevelSurface(0.0))
    with pytest.raises(InputError, match="no place"):
        areas_of_corners([4.0, 4.1, math.nan], [-73.0, -73.0, -73.1], LevelSurface(0.0))
    with pytest.raises(InputError, match="not a plot"):
        areas_of_corners([4.0, 5.0, 5.0], [-73.0, -73.0, -72.0], LevelSurface(0.0))
    with pytest.raises(InputError, match="bias_px"):
        OutlineSigmas(bias_px=-1.0)
    circle = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    ring = np.column_stack([900 + 300 * np.cos(circle), 500 + 300 * np.sin(circle)])
    with pytest.raises(InputError, match="over the limit of 1024"):
        _placed(_pose(100.0, 0.0), ring, LevelSurface(GROUND_M))


def test_effects_ask_for_no_more_than_a_few_milliseconds_and_give_the_same_twice() -> None:
    pose = _pose(300.0, 45.0, PoseSigmas())
    surface = LevelSurface(GROUND_M)
    look = _look(pose, surface, OutlineSigmas())
    again = effects_on(look.polygon, pose, CAMERA, surface)
    np.testing.assert_array_equal(again.planimetric, look.effects.planimetric)
    plane = EqualAreaPlane(4.0, -73.0)
    there = plane.geodetic(plane.east_north_m(4.01, -73.02))
    np.testing.assert_allclose(there, (4.01, -73.02), atol=1e-10)
