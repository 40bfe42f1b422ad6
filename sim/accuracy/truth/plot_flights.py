"""Plots of the built-in scenario through the real chain: MAVLink bytes to pose, truth outlines to plots."""

import copy
import math
from dataclasses import dataclass

import msgspec
import numpy as np
import shapely

from edge.config import MountConfig, SigmaConfig
from edge.geolocation.locate import Locator
from edge.mavlink_port import MavlinkConfig
from edge.plots.effects import OutlineSigmas
from edge.plots.ground import EqualAreaPlane
from edge.plots.merge import PlotState
from edge.plots.node import PlotNode, PlotSettings
from edge.pose.telemetry import TelemetryNode
from models.detection import DetectionBatch, PolygonShape, Shape, make_batch
from sim.scenario.description import Scenario
from sim.scenario.platform import PlatformTruth
from sim.scenario.runner import sensor_of
from sim.scenario.seen import FrameTruth
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TruthMaker
from sim.scenario.world import World
from skywarden.geometry.pose import NoPose

SECONDS = 40.0
STEP_S = 1.0
NOISE_PX = 1.0
SMOOTH = 5
"""Neighbours over which the drawn noise of an outline's points is averaged: it bends, it does not bristle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlownPlot:
    """One plot of one flight against its truth; areas in square metres, sigma relative."""

    plot_id: str
    truth_m2: float
    found_m2: float
    sigma: float
    is_inside: bool
    look_count: int
    off_m: float
    ce90_m: float
    overlap: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Flown:
    """What one flight came to; `extra` counts plots that are none, or one too many."""

    plots: tuple[FlownPlot, ...]
    extra: int


def flown_plots(scenario: Scenario, platform_id: str, *, flights: int, seed: int = 1) -> list[Flown]:
    """All plots of `flights` flights whose errors are drawn anew, each over the same ground."""
    world = World(scenario)
    rng = np.random.default_rng([seed, *platform_id.encode()])
    out = []
    for _ in range(flights):
        there = copy.copy(world)  # the same land and things; only what the platform says is drawn anew
        there.scenario = msgspec.structs.replace(scenario, seed=int(rng.integers(2**31)))
        out.append(_flown(rng, there, platform_id))
    return out


def _flown(rng: np.random.Generator, world: World, platform_id: str) -> Flown:
    truth = PlatformTruth(world.scenario, world.scenario.platform(platform_id))
    sigma = SigmaConfig.of_flight(sensor_of(truth.platform, truth))
    telemetry = TelemetryNode(MavlinkConfig())
    is_fixed = truth.platform.camera.sweep is None
    mount = MountConfig(kind="fixed", pitch_deg=-90.0) if is_fixed else MountConfig()
    poses = telemetry.pose_buffer(mount=mount, sigmas=sigma.pose())
    surface = world.terrain()
    locator = Locator(truth.camera_model, surface)
    outline = OutlineSigmas(noise_px=NOISE_PX, correlation_px=8.0, bias_px=0.3, slope=0.02)
    node = PlotNode(PlotSettings(outline=outline))
    maker = TruthMaker(world, truth)
    heard = iter(TelemetryMaker(world, truth).messages(SECONDS + 2.0))
    waiting = next(heard, None)
    for number in range(int(SECONDS / STEP_S)):
        seen = maker.frame(number, 1.0 + number * STEP_S)
        while waiting is not None and waiting[0] <= seen.time_ns + 1_000_000_000:
            telemetry.handle(*waiting)
            waiting = next(heard, None)
        pose = poses.pose_at(seen.time_ns)
        size = (truth.camera_model.width_px, truth.camera_model.height_px)
        batch = _batch(rng, seen, size)
        if not isinstance(pose, NoPose) and len(batch):
            node.handle(batch, locator, pose, surface, number)
    return _judged(world, node.states())


def _batch(rng: np.random.Generator, seen: FrameTruth, size_px: tuple[int, int]) -> DetectionBatch:
    """Every plot in the image as a segmenter would outline it: cut at the edge, a little wrong."""
    boxes: list[tuple[float, ...]] = []
    shapes: list[Shape | None] = []
    for thing in seen.objects:
        if not thing.outline_px:
            continue
        corners = np.asarray(shapely.segmentize(shapely.LinearRing(thing.outline_px), 4.0).coords)[:-1]
        noise = rng.normal(0.0, NOISE_PX * math.sqrt(SMOOTH), corners.shape)
        noise = np.mean([np.roll(noise, k, axis=0) for k in range(SMOOTH)], axis=0)
        whole = shapely.Polygon(corners + noise).buffer(0)
        cut = shapely.clip_by_rect(whole, -0.5, -0.5, size_px[0] - 0.5, size_px[1] - 0.5)
        parts = [part for part in shapely.get_parts(cut) if isinstance(part, shapely.Polygon)]
        if not parts or max(part.area for part in parts) < 100.0:
            continue
        part = max(parts, key=lambda part: part.area)
        shapes.append(PolygonShape(exterior=np.asarray(part.exterior.coords)))
        boxes.append(part.bounds)
    count = len(boxes)
    return make_batch(
        np.array(boxes).reshape(-1, 4),
        np.full(count, 0.9),
        np.zeros(count, np.uint8),
        ("plot",),
        size_px,
        shapes,
    )


def _judged(world: World, states: list[PlotState]) -> Flown:
    if not states:
        return Flown(plots=(), extra=0)
    plane = states[0].plane
    found, used = [], set()
    for plot in world.scenario.plots:
        shape = _true_shape(world, plane, plot.outline)
        near = [state for state in states if state.shape.intersection(shape).area > 0.3 * shape.area]
        if not near:
            continue
        best = max(near, key=lambda state: state.shape.intersection(shape).area)
        used.add(best.number)
        if best.is_complete:
            found.append(_against(plot.id, best, shape))
    return Flown(plots=tuple(found), extra=len(states) - len(used))


def _true_shape(
    world: World, plane: EqualAreaPlane, outline: tuple[tuple[float, float], ...]
) -> shapely.Polygon:
    x, y = np.array(outline).T
    return shapely.Polygon(plane.east_north_m(*world.grid.geodetic(x, y)))


def _against(plot_id: str, state: PlotState, shape: shapely.Polygon) -> FlownPlot:
    away = np.array(shape.centroid.coords[0]) - np.array(state.shape.centroid.coords[0])
    moved = shapely.transform(state.shape, lambda points: points + away)
    area = state.planimetric
    return FlownPlot(
        plot_id=plot_id,
        truth_m2=float(shape.area),
        found_m2=area.value,
        sigma=area.sigma,
        is_inside=area.low <= shape.area <= area.high,
        look_count=state.look_count,
        off_m=float(np.hypot(*away)),
        ce90_m=2.146 * math.sqrt(float(np.trace(state.covariance_en_m2)) / 2),
        overlap=float(moved.intersection(shape).area / moved.union(shape).area),
    )
