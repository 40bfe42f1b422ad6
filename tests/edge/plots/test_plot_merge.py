"""Looks at plots come together: shapes get better, neighbours stay apart, halves are completed, ids stay."""

import numpy as np
import pytest
import shapely

from edge.geolocation.locate import Locator
from edge.plots.effects import OutlineSigmas
from edge.plots.look import PlotLook, look_at_plot
from edge.plots.merge import PlotMap, PlotState
from edge.plots.outline import Outline, outline_of_polygon
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry import geodesy, rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import LevelSurface

CAMERA = CameraModel(width_px=1920, height_px=1080, fx=1500.0, fy=1500.0, cx=959.5, cy=539.5)
PLACE = (4.0, -73.0)
GROUND = LevelSurface(500.0, sigma_m=1.5)
SIGMAS = PoseSigmas(
    horizontal_m=1.5,
    vertical_m=2.0,
    tilt_deg=0.2,
    heading_deg=0.5,
    boresight_deg=0.05,
    time_offset_s=0.01,
    focal_percent=0.2,
)
OUTLINE = OutlineSigmas(noise_px=1.0, correlation_px=8.0, bias_px=0.3, slope=0.01)
HEIGHT_M = 300.0
T0_NS = 1_760_000_000 * NS_PER_S


class Flight:
    """A nadir camera 300 m up over plots given in metres about a place; the pose it tells is a little off."""

    def __init__(self, *, sigmas: PoseSigmas = SIGMAS, seed: int = 1) -> None:
        self.map = PlotMap()
        self.plane = self.map.plane_at(*PLACE)
        self.sigmas = sigmas
        self._rng = np.random.default_rng(seed)
        self.count = 0

    def pose(self, at_m: tuple[float, float] = (0.0, 0.0)) -> CameraPose:
        ned = np.array([at_m[1], at_m[0], -HEIGHT_M])
        latitude, longitude, alt = geodesy.geodetic_from_ned(ned, *PLACE, GROUND.alt_hae_m)
        return CameraPose(
            time_ns=T0_NS + self.count * 5 * NS_PER_S,
            latitude_deg=float(latitude),
            longitude_deg=float(longitude),
            alt_hae_m=float(alt),
            rotation_ned_from_camera=rotations.matrix_from_euler_deg(0.0, -90.0, 0.0)
            @ rotations.GIMBAL_FROM_CAMERA,
            velocity_ned_mps=np.zeros(3),
            angular_rate_dps=0.0,
            sigmas=self.sigmas,
            level_alt_hae_m=GROUND.alt_hae_m,
            source="test",
        )

    def frame(
        self,
        shapes: list[shapely.Polygon],
        *,
        at_m: tuple[float, float] = (0.0, 0.0),
        off_m: tuple[float, float] | None = None,
        noise_px: float = 0.5,
    ) -> dict[int, int]:
        """One frame over `at_m` in which every shape was outlined; the map's numbers by shape."""
        pose = self.pose(at_m)
        off = np.array(off_m) if off_m is not None else self._rng.normal(0.0, 1.0, 2)
        looks = []
        for index, shape in enumerate(shapes):
            outline = self.outline(shapely.transform(shape, lambda p, o=off: p + o), pose, noise_px)
            if outline is None:
                continue
            look = look_at_plot(
                Locator(CAMERA, GROUND),
                pose,
                outline,
                surface=GROUND,
                sigmas=OUTLINE,
                plane=self.plane,
                frame_number=self.count,
                detection_index=index,
            )
            assert isinstance(look, PlotLook)
            looks.append(look)
        self.count += 1
        return {index: number for (index, _), number in self.map.update(looks).items()}

    def outline(self, shape: shapely.Polygon, pose: CameraPose, noise_px: float) -> Outline | None:
        """What the image shows of a shape: cut at its edge, redrawn with noise."""
        rings = []
        for ring in (shape.exterior, *shape.interiors):
            corners = np.asarray(shapely.segmentize(ring, 3.0).coords)[:-1]
            latitude, longitude = self.plane.geodetic(corners)
            here = (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
            ned = geodesy.ned_from_geodetic((latitude, longitude, GROUND.alt_hae_m), *here)
            pixels, _ = CAMERA.project(ned @ pose.rotation_ned_from_camera)
            rings.append(pixels + self._rng.normal(0.0, noise_px, pixels.shape))
        cut = shapely.clip_by_rect(shapely.Polygon(rings[0], rings[1:]).buffer(0), -0.5, -0.5, 1919.5, 1079.5)
        parts = [part for part in shapely.get_parts(cut) if isinstance(part, shapely.Polygon)]
        if not parts:
            return None
        largest = max(parts, key=lambda part: part.area)
        return outline_of_polygon(
            np.asarray(largest.exterior.coords), [np.asarray(ring.coords) for ring in largest.interiors]
        )

    def state(self, number: int = 1) -> PlotState:
        return self.map.state(number, GROUND)


def _overlap(state: PlotState, truth: shapely.Polygon) -> float:
    """Intersection over union once the middles are laid on each other."""
    away = np.array(truth.centroid.coords[0]) - np.array(state.shape.centroid.coords[0])
    moved = shapely.transform(state.shape, lambda points: points + away)
    return float(moved.intersection(truth).area / moved.union(truth).area)


CORNER = shapely.box(-25, -20, 25, 20).difference(shapely.box(5, 0, 30, 30))


@pytest.mark.slow
def test_one_plot_stays_one_and_its_shape_and_place_get_better_with_each_look() -> None:
    flight, first = Flight(), None
    for _ in range(20):
        assert flight.frame([CORNER], noise_px=2.0) == {0: 1}
        first = first or flight.state()
    assert first is not None
    last = flight.state()
    assert flight.map.numbers == [1]
    assert last.look_count == 20
    assert not first.is_confirmed
    assert last.is_confirmed
    assert last.is_complete
    assert _overlap(last, CORNER) > 0.98
    assert _overlap(last, CORNER) > _overlap(first, CORNER)
    assert np.hypot(*last.shape.centroid.coords[0] - np.array(CORNER.centroid.coords[0])) < 0.8
    assert last.planimetric.sigma <= first.planimetric.sigma
    assert np.trace(last.covariance_en_m2) < np.trace(first.covariance_en_m2)
    # What all looks have in common does not average out: GNSS and the height.
    assert last.covariance_en_m2[0, 0] > 1.5**2
    assert last.planimetric.sigma > 0.015
    assert last.planimetric.low < CORNER.area < last.planimetric.high


@pytest.mark.slow
def test_two_plots_with_a_track_between_them_stay_two_though_the_pose_errs_by_more() -> None:
    west, east = shapely.box(-42, -20, -2, 20), shapely.box(2, -20, 42, 20)
    flight = Flight(sigmas=PoseSigmas(tilt_deg=1.0))
    assert flight.frame([west, east], off_m=(0.0, 0.0)) == {0: 1, 1: 2}
    for off in ((9.0, 3.0), (-11.0, 2.0), (14.0, -6.0), (-4.0, 8.0)):
        assert flight.frame([west, east], off_m=off) == {0: 1, 1: 2}
    assert flight.map.numbers == [1, 2]
    one, two = flight.state(1), flight.state(2)
    assert one.shape.intersection(two.shape).area < 1.0
    assert _overlap(one, west) > 0.95
    assert _overlap(two, east) > 0.95


@pytest.mark.slow
def test_a_row_of_equal_plots_is_not_off_by_one() -> None:
    row = [shapely.box(x, -15, x + 26, 15) for x in range(-90, 90, 30)]
    flight = Flight(sigmas=PoseSigmas(tilt_deg=1.0))
    first = flight.frame(row, off_m=(0.0, 0.0))
    for off in ((12.0, 1.0), (-13.0, 0.0)):
        assert flight.frame(row, off_m=off) == first
    # The last of the row is missed: the others are still themselves.
    assert flight.frame(row[:-1], off_m=(10.0, 0.0)) == {index: first[index] for index in range(5)}


def test_half_a_plot_at_the_edge_of_the_image_is_completed_by_the_other_half() -> None:
    plot = shapely.box(-30, -20, 30, 20)
    flight = Flight()
    reach = 0.2 * 1080 / 2  # half of the image's height on the ground
    flight.frame([plot], at_m=(0.0, reach))
    flight.frame([plot], at_m=(0.0, reach))
    half = flight.state()
    assert not half.is_complete
    assert half.planimetric.value == pytest.approx(plot.area / 2, rel=0.1)
    flight.frame([plot], at_m=(0.0, -reach + 10.0))
    flight.frame([plot], at_m=(0.0, -reach + 10.0))
    whole = flight.state()
    assert flight.map.numbers == [1]
    assert whole.is_complete
    assert whole.planimetric.value == pytest.approx(plot.area, rel=0.05)


def test_a_whole_plot_is_never_shrunk_by_looks_that_show_a_part() -> None:
    plot = shapely.box(-30, -20, 30, 20)
    flight = Flight()
    for _ in range(2):
        flight.frame([plot])
    before = flight.state().planimetric.value
    for _ in range(6):
        assert flight.frame([plot], at_m=(0.0, 0.2 * 1080 / 2 + 8.0)) == {0: 1}
        state = flight.state()
        assert state.is_complete
        assert state.planimetric.value == pytest.approx(before, rel=0.03)
    assert flight.map.numbers == [1]


def test_a_sliver_at_the_edge_of_the_image_grows_into_the_whole_plot() -> None:
    """The first grid is far too fine for what comes: its cells double."""
    plot = shapely.box(-60, -40, 60, 40)
    flight = Flight()
    assert flight.frame([plot], at_m=(0.0, 0.2 * 540 + 37.0), off_m=(0.0, 0.0)) == {0: 1}
    assert flight.state().planimetric.value < 600.0
    for _ in range(3):
        assert flight.frame([plot]) == {0: 1}
    state = flight.state()
    assert state.is_complete
    assert state.planimetric.value == pytest.approx(plot.area, rel=0.03)
    assert flight.map.numbers == [1]


def test_a_plot_that_fills_the_image_has_no_boundary_and_is_not_complete() -> None:
    flight = Flight()
    for _ in range(3):
        flight.frame([shapely.box(-400, -400, 400, 400)], off_m=(0.0, 0.0))
    state = flight.state()
    assert not state.is_complete
    assert state.planimetric.value == pytest.approx(1920 * 1080 * 0.04, rel=0.02)


def test_a_mask_that_runs_over_two_known_plots_changes_neither() -> None:
    west, east = shapely.box(-42, -20, -2, 20), shapely.box(2, -20, 42, 20)
    flight = Flight()
    for _ in range(3):
        flight.frame([west, east])
    before = flight.state(1).planimetric.value
    assert flight.frame([shapely.box(-42, -20, 42, 20)]) == {}
    assert flight.map.refused_looks == 1
    assert flight.map.numbers == [1, 2]
    assert flight.state(1).planimetric.value == before


def test_what_was_taken_for_one_plot_is_divided_once_most_frames_see_two() -> None:
    west, east = shapely.box(-42, -20, -2, 20), shapely.box(4, -20, 42, 20)
    flight = Flight()
    for _ in range(2):
        assert flight.frame([shapely.box(-42, -20, 42, 20)]) == {0: 1}
    assert flight.frame([west, east]) == {}
    assert flight.frame([west, east]) == {0: 1, 1: 2}
    flight.frame([west, east])
    assert flight.state(1).planimetric.value == pytest.approx(west.area, rel=0.05)
    assert flight.state(2).planimetric.value == pytest.approx(east.area, rel=0.05)


def test_holes_are_fused_too() -> None:
    holed = shapely.box(-30, -30, 30, 30).difference(shapely.box(-8, -8, 8, 8))
    flight = Flight()
    for _ in range(5):
        flight.frame([holed])
    state = flight.state()
    assert len(state.shape.interiors) == 1
    assert state.planimetric.value == pytest.approx(holed.area, rel=0.04)
    outer, hole = state.rings_deg
    assert shapely.LinearRing(outer[:, ::-1]).is_ccw
    assert not shapely.LinearRing(hole[:, ::-1]).is_ccw


@pytest.mark.slow
def test_looks_that_follow_one_another_closely_are_hardly_news() -> None:
    class CloseBy(Flight):
        def pose(self, at_m: tuple[float, float] = (0.0, 0.0)) -> CameraPose:
            made = super().pose(at_m)
            object.__setattr__(made, "time_ns", T0_NS + self.count * NS_PER_S // 20)
            return made

    slow, fast = Flight(), CloseBy()
    for flight in (slow, fast):
        for _ in range(10):
            flight.frame([CORNER])
    assert np.trace(fast.state().covariance_en_m2) > np.trace(slow.state().covariance_en_m2)


@pytest.mark.slow
def test_the_same_looks_give_the_same_bytes() -> None:
    plots = [shapely.box(-42, -20, -2, 20), shapely.box(2, -20, 42, 20), CORNER]
    plots[2] = shapely.affinity.translate(CORNER, 0.0, 70.0)

    def fly() -> list[bytes]:
        flight = Flight(seed=5)
        for _ in range(4):
            flight.frame(plots)
        return [shapely.to_wkb(flight.state(number).shape) for number in flight.map.numbers]

    assert fly() == fly()


def test_a_map_refuses_looks_of_other_planes_and_of_several_frames() -> None:
    flight, other = Flight(), Flight()
    pose = flight.pose()
    outline = flight.outline(CORNER, pose, 0.0)
    assert outline is not None
    locator = Locator(CAMERA, GROUND)
    strange = look_at_plot(locator, pose, outline, surface=GROUND, plane=other.plane)
    assert isinstance(strange, PlotLook)
    with pytest.raises(InputError, match="plane"):
        flight.map.update([strange])
    looks = [
        look_at_plot(locator, pose, outline, surface=GROUND, plane=flight.plane, frame_number=number)
        for number in (0, 1)
    ]
    with pytest.raises(InputError, match="several frames"):
        flight.map.update([look for look in looks if isinstance(look, PlotLook)])
    with pytest.raises(InputError, match="there is no plot 7"):
        flight.state(7)
