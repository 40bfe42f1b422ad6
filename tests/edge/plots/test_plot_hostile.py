"""Whatever a detector and a pose hand in: plots or reasons, no crash, no message that is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.geolocation.locate import Locator
from edge.plots.ground import NoGround
from edge.plots.look import PlotLook
from edge.plots.merge import PlotState
from edge.plots.node import PlotNode, PlotSettings, plot_message
from models.detection import DetectionBatch, MaskShape, PolygonShape, Shape
from skywarden import wire
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import FormulaSurface, LevelSurface, Surface

CAMERA = CameraModel(
    width_px=640, height_px=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5, distortion=(-0.2, 0.05, 0.0, 0.0)
)
S = 1_000_000_000


def _hills(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    height: np.ndarray = 80.0 * np.sin(lat * 9_000.0) * np.cos(lon * 7_000.0) + 80.0
    return height


def _shape(rng: np.random.Generator) -> Shape:
    kind = rng.integers(5)
    if kind == 0:
        return PolygonShape(exterior=rng.uniform([0, 0], [639, 479], (int(rng.integers(3, 9)), 2)))
    if kind == 1:
        middle = rng.uniform([0, 0], [639, 479])
        angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radius = rng.uniform(2, 200, (12, 1))
        ring = middle + radius * np.column_stack([np.cos(angle), np.sin(angle)])
        return PolygonShape(exterior=np.clip(ring, -0.5, [639.5, 479.5]))
    values = rng.random((24, 32)) if kind == 2 else np.zeros((24, 32))
    row, column = rng.integers(0, [22, 30])
    values[row : row + int(rng.integers(1, 20)), column : column + int(rng.integers(1, 25))] = 1.0
    if kind == 4:
        values[rng.integers(24), rng.integers(32)] = rng.choice([np.nan, np.inf, -5.0, 0.5])
    return MaskShape(values=values, left_top_px=(9.5, 9.5), step_px=(20.0, 20.0))


def _pose(rng: np.random.Generator, turn: int, sigmas: PoseSigmas) -> CameraPose:
    elevation = -90.0 + abs(rng.normal(0.0, 40.0))
    return CameraPose(
        time_ns=1_760_000_000 * S + turn * S,
        latitude_deg=4.0 + rng.normal(0.0, 2e-4),
        longitude_deg=-73.0 + rng.normal(0.0, 2e-4),
        alt_hae_m=float(rng.uniform(180.0, 900.0)),
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(
            float(rng.normal(0.0, 10.0)), min(elevation, 60.0), float(rng.uniform(0.0, 360.0))
        )
        @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=rng.normal(0.0, 15.0, 3),
        angular_rate_dps=float(rng.uniform(0.0, 60.0)),
        sigmas=sigmas,
        level_alt_hae_m=0.0,
        source="test",
    )


ZERO = PoseSigmas(
    horizontal_m=0.0, vertical_m=0.0, tilt_deg=0.0, heading_deg=0.0, boresight_deg=0.0, time_offset_s=0.0
)
WILD = PoseSigmas(horizontal_m=50.0, vertical_m=80.0, tilt_deg=10.0, heading_deg=40.0, focal_percent=20.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("sigmas", [ZERO, PoseSigmas(), WILD], ids=["exact", "usual", "wild"])
def test_nothing_that_a_frame_holds_breaks_the_chain(seed: int, sigmas: PoseSigmas) -> None:
    rng = np.random.default_rng(seed)
    surface: Surface = FormulaSurface(_hills, spacing_m=20.0, height_range_hae_m=(0.0, 160.0), sigma_m=3.0)
    if seed % 2:
        surface = LevelSurface(0.0)
    locator, node = Locator(CAMERA, surface), PlotNode(PlotSettings(confirm_looks=1))
    taken = 0
    for turn in range(5):
        shapes = tuple(_shape(rng) for _ in range(int(rng.integers(1, 5))))
        batch = DetectionBatch(
            box_px=np.zeros((len(shapes), 4), np.float32),
            score=rng.random(len(shapes)).astype(np.float32),
            label_index=np.zeros(len(shapes), np.uint8),
            labels=("plot",),
            shapes=shapes,
        )
        found = node.handle(batch, locator, _pose(rng, turn, sigmas), surface, turn)
        for look in found.looks.values():
            assert isinstance(look, PlotLook | NoGround)
            assert not isinstance(look, NoGround) or look.detail
        taken += len(found.numbers)
        for state in found.news:
            _check(state, surface)
    assert taken > 3 or sigmas is WILD
    for state in node.states():
        assert state.shape.is_valid
        assert 0.0 < state.planimetric.low <= state.planimetric.value <= state.planimetric.high < math.inf


def _check(state: PlotState, surface: Surface) -> None:
    message = plot_message(
        state,
        surface,
        prefix="s.eo",
        platform_id="uav07",
        sortie_id="s",
        sensor_id="eo",
        model_id="m:0123456789abcdef",
    )
    assert wire.decode("plot", wire.encode(message)) == message


def test_an_area_that_is_a_guess_is_no_area() -> None:
    pose = replace(_pose(np.random.default_rng(1), 0, WILD), alt_hae_m=200.0)
    pose = replace(
        pose,
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(0.0, -60.0, 0.0)
        @ rotations.GIMBAL_FROM_CAMERA,
    )
    surface = LevelSurface(0.0)
    mask = MaskShape(values=np.ones((10, 10), bool), left_top_px=(300.0, 200.0))
    batch = DetectionBatch(
        box_px=np.zeros((1, 4), np.float32),
        score=np.ones(1, np.float32),
        label_index=np.zeros(1, np.uint8),
        labels=("plot",),
        shapes=(mask,),
    )
    found = PlotNode().handle(batch, Locator(CAMERA, surface), pose, surface, 0)
    look = found.looks[0, 0]
    assert isinstance(look, NoGround)
    assert look.reason == "uncertain"
    assert "relative error" in look.detail
