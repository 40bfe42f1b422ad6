"""One platform of a scenario as streams of timed items: its telemetry, its frames, and what AIS is heard."""

import heapq
from collections.abc import Callable, Iterator
from functools import partial

from sim.scenario.fleet.transmit import LEAD_S, heard_sentences
from sim.scenario.flown.items import AisItem, FrameItem, Item, Pixels, TelemetryItem
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.world import World
from skywarden.errors import FlightError


def frame_count(seconds: float, fps: float) -> int:
    """How many frames so many seconds hold; at least one."""
    return max(int(seconds * fps), 1)


def telemetry_items(world: World, truth: PlatformTruth, seconds: float) -> Iterator[Item]:
    """Everything that the platform says, in order of arrival."""
    for arrived_ns, raw in TelemetryMaker(world, truth).messages(seconds):
        yield TelemetryItem(time_ns=arrived_ns, platform_id=truth.platform.id, raw=raw)


def frame_items(
    world: World, truth: PlatformTruth, renderer: Renderer | None, seconds: float, fps: float
) -> Iterator[Item]:
    """Every frame of the platform's camera; drawn only when its pixels are asked for, never without one."""
    camera = truth.platform.camera
    lag_ns = round(camera.frame_lag_s * 1e9)
    draw: Callable[[int, float], Pixels] = _undrawn
    if renderer is not None:
        draw = renderer.counts if camera.kind == "thermal" else renderer.frame
    for number in range(frame_count(seconds, fps)):
        exposed_s = number / fps
        yield FrameItem(
            time_ns=world.scenario.start_ns + round(exposed_s * 1e9) + lag_ns,
            platform_id=truth.platform.id,
            sensor_id=camera.sensor_id,
            frame_number=number,
            exposed_s=exposed_s,
            pixels=partial(draw, number, exposed_s),
            suffix=".png" if camera.kind == "thermal" else ".jpg",
        )


def _undrawn(number: int, exposed_s: float) -> Pixels:
    raise FlightError(f"frame {number} at {exposed_s:g} s is not drawn in a run without frames")


def ais_items(world: World, seconds: float, *, lead_s: float = LEAD_S) -> Iterator[Item]:
    """Every AIS sentence that the station hears, from `lead_s` before the start on."""
    for time_ns, line in heard_sentences(world, seconds, lead_s=lead_s):
        yield AisItem(time_ns=time_ns, line=line)


def in_order(*streams: Iterator[Item]) -> Iterator[Item]:
    """Several streams as one, by time; what comes first in the arguments comes first at one instant."""
    return heapq.merge(*streams, key=lambda item: item.time_ns)
