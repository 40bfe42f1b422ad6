"""A scenario flown many times with its errors drawn anew: truth boxes in place of pictures, edge code as is.

Rendering one flight gives one draw of every bias, which says nothing about containment. Here the telemetry
is made again for every draw; the box that truth knows stands in for the detector's, its middle moved by the
pixel error and the looseness of boxes that the edge believes in.
"""

import copy
import math
from dataclasses import dataclass

import msgspec
import numpy as np

from edge.config import MountConfig, SigmaConfig
from edge.geolocation.box_errors import LOOSE_SHARE, box_sigma_px
from edge.geolocation.locate import OK, Locations, Locator
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.scenario.description import Scenario
from sim.scenario.platform import PlatformTruth
from sim.scenario.runner import sensor_of
from sim.scenario.seen import ObjectTruth
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TruthMaker
from sim.scenario.world import World
from skywarden.geometry import geodesy
from skywarden.geometry.pose import NoPose

FLIGHT_S = 1.6
LOOK_S = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnLook:
    """One thing in one flight: where the truth lay, seen from the estimate, and what was stated."""

    label: str
    east_m: float
    north_m: float
    up_m: float
    nees_2d: float
    ce90_m: float
    le90_m: float


def drawn_looks(scenario: Scenario, platform_id: str, *, flights: int, seed: int = 1) -> list[DrawnLook]:
    """One look at one thing, taken by chance, in each of `flights` short flights from anywhere on the plan.

    Flights that see nothing, or nothing that can be located, give none.
    """
    world = World(scenario)
    rng = np.random.default_rng([seed, *platform_id.encode()])
    surface = world.terrain()
    out = []
    for _ in range(flights):
        drawn = msgspec.structs.replace(scenario, seed=int(rng.integers(2**31)))
        there = copy.copy(world)  # the same land and things; only what platforms say is drawn anew
        there.scenario = drawn
        truth = PlatformTruth(drawn, drawn.platform(platform_id))
        look = _look(rng, there, truth, Locator(truth.camera_model, surface))
        if look is not None:
            out.append(look)
    return out


def _look(rng: np.random.Generator, world: World, truth: PlatformTruth, locator: Locator) -> DrawnLook | None:
    start_s = float(rng.uniform(0.0, truth.round_s))
    seen = TruthMaker(world, truth).frame(0, start_s + LOOK_S)
    whole = [thing for thing in seen.objects if thing.visibility >= 0.5]
    if not whole:
        return None
    thing = whole[int(rng.integers(len(whole)))]
    sensor = sensor_of(truth.platform, truth)
    sigma = SigmaConfig.of_flight(sensor)
    node = TelemetryNode(MavlinkConfig())
    for arrived_ns, raw in TelemetryMaker(world, truth).messages(FLIGHT_S, start_s=start_s):
        node.handle(arrived_ns, raw)
    is_fixed = truth.platform.camera.sweep is None
    mount = MountConfig(kind="fixed", pitch_deg=-90.0) if is_fixed else MountConfig()
    pose = node.pose_buffer(mount=mount, sigmas=sigma.pose()).pose_at(seen.time_ns)
    if isinstance(pose, NoPose):
        return None
    x0, y0, x1, y1 = thing.box_px
    pixel_px = box_sigma_px(thing.box_px, pose, truth.camera_model, sigma.pixel_px)
    drawn_px = math.hypot(sigma.pixel_px, LOOSE_SHARE * min(x1 - x0, y1 - y0))
    middle = np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]) + rng.normal(0.0, drawn_px, 2)
    found = locator.locate(pose, middle, pixel_px)
    return _beside(thing, found) if found.status[0] == OK else None


def _beside(thing: ObjectTruth, found: Locations) -> DrawnLook:
    place = (thing.latitude_deg, thing.longitude_deg, thing.alt_hae_m)
    east, north, up = geodesy.enu_from_geodetic(
        place, found.latitude_deg[0], found.longitude_deg[0], found.alt_hae_m[0]
    ).tolist()
    level = np.array([east, north])
    return DrawnLook(
        label=thing.label,
        east_m=east,
        north_m=north,
        up_m=up,
        nees_2d=float(level @ np.linalg.solve(found.covariance_enu_m2[0, :2, :2], level)),
        ce90_m=float(found.ce90_m[0]),
        le90_m=float(found.le90_m[0]),
    )
