"""Standing things in a hillside's true boxes, cut and spoilt as a detector does it, are not called moving."""

import numpy as np
import pytest

from edge.config import MountConfig, SigmaConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from edge.vision.pipeline import Frame, Outcome, SensorIds, VisionNode, VisionSettings
from sim.accuracy.standing.told import ToldTrack, told_tracks
from sim.scenario.description import load_scenario
from sim.scenario.platform import PlatformTruth
from sim.scenario.runner import sensor_of
from sim.scenario.seen import FrameTruth, thing_at
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TruthMaker
from sim.scenario.world import World
from tests.edge.eyes import Row, ScriptedDetector

SECONDS, FPS = 30.0, 2.0


def _detected(rng: np.random.Generator, frame: FrameTruth, size: tuple[int, int]) -> list[Row]:
    """True boxes in cells of 4 px, one in five with a neighbour taken in, one in ten missed."""
    rows: list[Row] = []
    for thing in frame.objects:
        if rng.random() < 0.1:
            continue
        low, high = np.array(thing.box_px[:2]), np.array(thing.box_px[2:])
        grown = (high - low) * rng.uniform(0.0, 0.5, (2, 2)) * (rng.random((2, 2)) < 0.2)
        low = np.maximum(np.floor((low - grown[0]) / 4.0) * 4.0, 0.0)
        high = np.minimum(np.ceil((high + grown[1]) / 4.0) * 4.0, size)
        rows.append((*low.tolist(), *high.tolist(), 0.9, 0))
    return rows


@pytest.mark.slow
def test_nothing_on_the_hillside_is_called_moving_although_it_comes_in_by_its_corners() -> None:
    scenario = load_scenario("coast-and-hill")
    world, rng = World(scenario), np.random.default_rng(7)
    platform = PlatformTruth(scenario, scenario.platform("hill-1"))
    sigma, maker = SigmaConfig.of_flight(sensor_of(platform.platform, platform)), TruthMaker(world, platform)
    frames = [maker.frame(number, 1.0 + number / FPS) for number in range(int(SECONDS * FPS))]
    size = (platform.camera_model.width_px, platform.camera_model.height_px)
    script = [_detected(rng, frame, size) for frame in frames]
    telemetry = TelemetryNode(MavlinkConfig())
    poses = telemetry.pose_buffer(mount=MountConfig(kind="fixed", pitch_deg=-90.0), sigmas=sigma.pose())
    heard = TelemetryMaker(world, platform).messages(SECONDS + 3.0)
    chain = VisionNode(
        SensorIds(platform_id="hill-1", sortie_id="s", sensor_id="eo"),
        VisionSettings(camera=platform.camera_model, surface=world.terrain(), pixel_sigma_px=sigma.pixel_px),
        ScriptedDetector(script.__getitem__),
    )
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    found: list[Outcome] = []
    for seen in frames:
        for arrived_ns, raw in heard:
            telemetry.handle(arrived_ns, raw)
            if arrived_ns > seen.time_ns + 500_000_000:
                break
        frame = Frame(
            frame_number=seen.frame_number, time_ns=seen.time_ns, received_ns=seen.time_ns, image=image
        )
        found.append(chain.finish(chain.detect(frame), poses.pose_at(seen.time_ns)))
    tracks = told_tracks(found, frames)
    assert len({track.thing for track in tracks}) >= 5
    assert sum(track.looks for track in tracks) > 100
    assert [(track.thing, track.largest_mps) for track in tracks if track.was_moving] == []


@pytest.mark.slow
def test_a_track_is_of_what_most_of_its_looks_show() -> None:
    scenario = load_scenario("coast-and-hill")
    platform = PlatformTruth(scenario, scenario.platform("hill-1"))
    frame = TruthMaker(World(scenario), platform).frame(0, 0.0)
    first, second = frame.objects[:2]
    track = ToldTrack(speeds_mps=[None, 3.0, None], seen=[first, None, first, second])
    assert (track.thing, track.looks, track.true_speed_mps) == (first.id, 2, 0.0)
    assert (track.was_moving, track.ends_moving, track.largest_mps) == (True, False, 3.0)
    assert thing_at(frame, first.box_px) in (first, second)
    assert thing_at(frame, (-500.0, -500.0, -490.0, -490.0)) is None
