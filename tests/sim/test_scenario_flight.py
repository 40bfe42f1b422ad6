"""A rendered flight: one seed, one set of bytes; truth and picture agree; the edge believes it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import MountConfig
from edge.geolocation.locate import Locator
from edge.mavlink_port import MavlinkConfig
from edge.pose import PoseBuffer
from edge.pose.telemetry import TelemetryNode
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.layers import write_layers
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.runner import TERRAIN_NAME, render_flight
from sim.scenario.seen import FrameTruth
from sim.scenario.sight import Sight, grid_place, project
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TruthMaker
from sim.scenario.vessels import motion_at
from sim.scenario.world import World
from skywarden.errors import ConfigError, FlightError, UsageError
from skywarden.flight.reader import FlightReader
from skywarden.flight.verify import verify
from skywarden.geometry.geodesy import geodetic_from_ned
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.rotations import euler_deg_from_quaternion
from skywarden.geometry.terrain import load_terrain
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Framer, parse_frame

pytestmark = pytest.mark.slow

TINY = """
name = "tiny"
title = "A cove"
seed = 5
start_unix_s = 1768498200

[place]
latitude_deg = -20.0
longitude_deg = -25.0
west_m = -700.0
east_m = 700.0
south_m = -700.0
north_m = 500.0

[light]
sun_azimuth_deg = 258.0
sun_elevation_deg = 50.0

[land]
coast_north_m = 120.0
coast_swing_m = 20.0
hills = [{ at = [0.0, 350.0], height_m = 60.0, length_m = 300.0, width_m = 150.0, azimuth_deg = 80.0 }]

[[plots]]
id = "plot-1"
outline = [[-20.0, 240.0], [20.0, 238.0], [22.0, 270.0], [-18.0, 272.0]]

[[structures]]
id = "hut-1"
kind = "hut"
at = [40.0, 250.0]

[[vessels]]
id = "boat-1"
kind = "fishing"
at = [0.0, -150.0]
heading_deg = 70.0

[[vessels]]
id = "boat-2"
kind = "go_fast"
at = [-60.0, -190.0]
heading_deg = 90.0
speed_mps = 12.0

[[platforms]]
id = "sea-1"
sysid = 31
plan = [[-200.0, -350.0], [200.0, -350.0], [200.0, -550.0], [-200.0, -550.0]]
turn_radius_m = 80.0
alt_msl_m = 120.0
speed_mps = 18.0
home = [0.0, 200.0]
look_area = [-600.0, -650.0, 600.0, 400.0]
texel_m = 1.0

[platforms.camera]
width_px = 480
height_px = 270
hfov_deg = 50.0
sweep = { reference = "nose", azimuth_deg = -70.0, amplitude_deg = 8.0, period_s = 20.0, pitch_deg = -36.0 }

[[platforms]]
id = "hill-1"
sysid = 32
vehicle = "quadrotor"
plan = [[-60.0, 235.0], [90.0, 235.0], [90.0, 275.0], [-60.0, 275.0]]
turn_radius_m = 15.0
alt_msl_m = 220.0
speed_mps = 8.0
home = [0.0, 200.0]
look_area = [-300.0, 50.0, 350.0, 450.0]
texel_m = 0.5

[platforms.camera]
width_px = 480
height_px = 270
hfov_deg = 50.0
distortion = [-0.08, 0.01, 0.0, 0.0]
frame_lag_s = 0.12
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("scenario") / "tiny.toml"
    path.write_text(TINY)
    return load_scenario(path)


@pytest.fixture(scope="module")
def world(scenario: Scenario) -> World:
    return World(scenario)


def _truth(world: World, platform_id: str) -> PlatformTruth:
    return PlatformTruth(world.scenario, world.scenario.platform(platform_id))


def _true_pose(frame: FrameTruth) -> CameraPose:
    return CameraPose(
        time_ns=frame.time_ns,
        latitude_deg=frame.latitude_deg,
        longitude_deg=frame.longitude_deg,
        alt_hae_m=frame.alt_hae_m,
        rotation_ned_from_camera=np.array(frame.rotation_ned_from_camera).reshape(3, 3),
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=None,
        source="truth",
    )


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    scenario: Scenario, tmp_path: Path
) -> None:
    first = render_flight(scenario, "sea-1", tmp_path / "a", seconds=1.0, fps=2.0)
    again = render_flight(scenario, "sea-1", tmp_path / "b", seconds=1.0, fps=2.0, threads=2)
    assert _hashes(first) == _hashes(again)
    assert len([name for name in _hashes(first) if name.startswith("frames/")]) == 2
    other = render_flight(
        msgspec.structs.replace(scenario, seed=6), "sea-1", tmp_path / "c", seconds=1.0, fps=2.0
    )
    for name in ("telemetry.tlog", "frames/eo/000000000.jpg"):
        assert _hashes(other)[name] != _hashes(first)[name]


def test_a_rendered_flight_is_complete_and_says_what_it_is(scenario: Scenario, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = render_flight(
        scenario,
        "hill-1",
        tmp_path / "flight",
        seconds=2.0,
        fps=2.0,
        progress=lambda done, total, text: told.append((done, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    report = verify(path)
    assert (report.missing, report.changed, report.unlisted, report.problems) == ((), (), (), ())
    reader = FlightReader(path)
    assert "simulated" in reader.info.telemetry_source
    camera = reader.camera("eo")
    assert camera is not None
    assert camera.distortion == (-0.08, 0.01, 0.0, 0.0)
    frames = list(reader.frames("eo"))
    truths = [
        msgspec.json.decode(line, type=FrameTruth)
        for line in (path / "truth.jsonl").read_bytes().splitlines()
    ]
    assert [frame.frame_number for frame in frames] == [truth.frame_number for truth in truths]
    lags = {frame.time_ns - truth.time_ns for frame, truth in zip(frames, truths, strict=True)}
    assert lags == {120_000_000}
    assert reader.info.sensor("eo").frame_lag_s == 0.12
    features = json.loads((path / "truth.geojson").read_bytes())["features"]
    assert {feature["id"] for feature in features} == {"plot-1", "hut-1", "boat-1", "boat-2"}
    with pytest.raises(FlightError, match="not empty"):
        render_flight(scenario, "hill-1", path, seconds=1.0, fps=1.0)
    with pytest.raises(UsageError, match="frames/s"):
        render_flight(scenario, "hill-1", tmp_path / "x", seconds=1.0, fps=0.0)


@pytest.mark.parametrize(("platform_id", "thing_id"), [("sea-1", "boat-1"), ("hill-1", "hut-1")])
def test_the_truth_box_frames_what_is_drawn(
    scenario: Scenario, world: World, platform_id: str, thing_id: str
) -> None:
    """Pictures with and without the thing differ inside its box, and beyond it only by its shadow."""
    kept = [v for v in (*scenario.vessels, *scenario.structures) if v.id != thing_id]
    without = msgspec.structs.replace(
        scenario,
        vessels=tuple(v for v in scenario.vessels if v in kept),
        structures=tuple(v for v in scenario.structures if v in kept),
    )
    truth = _truth(world, platform_id)
    renderer = Renderer(world, truth)
    empty = Renderer(World(without), truth, ground=renderer.ground)
    maker = TruthMaker(world, truth)
    checked = 0
    for k in range(24):
        box = next((o.box_px for o in maker.frame(k, float(k)).objects if o.id == thing_id), None)
        if box is None or min(box[2] - box[0], box[3] - box[1]) < 8.0 or box[0] < 5 or box[1] < 5:
            continue
        shown, missing = renderer.frame(k, float(k)), empty.frame(k, float(k))
        difference = cv2.absdiff(shown, missing).max(axis=2)
        middle = difference[round((box[1] + box[3]) / 2), round((box[0] + box[2]) / 2)]
        assert middle > 25, f"frame {k}: nothing is drawn in the middle of {box}"
        rows, columns = np.nonzero(difference > 25)
        size = max(box[2] - box[0], box[3] - box[1])
        assert columns.min() >= box[0] - size
        assert rows.max() <= box[3] + size
        with_thing, bare = shown.astype(int).sum(axis=2), missing.astype(int).sum(axis=2)
        lit = np.argwhere(with_thing - bare > 90)
        inside = (lit[:, 1] >= box[0] - 1) & (lit[:, 1] <= box[2] + 1)
        inside &= (lit[:, 0] >= box[1] - 1) & (lit[:, 0] <= box[3] + 1)
        assert inside.mean() > 0.95
        checked += 1
        if checked == 3:
            return
    assert checked > 0, "the thing never came into view"


@pytest.mark.parametrize("platform_id", ["sea-1", "hill-1"])
def test_pixels_show_the_place_where_the_edge_would_locate_them(world: World, platform_id: str) -> None:
    """Two independent ways from a pixel to the ground: the renderer's lattice and the edge's ray caster."""
    truth = _truth(world, platform_id)
    camera = truth.camera_model
    sight, maker = Sight(world, camera), TruthMaker(world, truth)
    locator = Locator(camera, world.terrain())
    points = np.array([(40.0, 60.0), (240.0, 135.0), (451.0, 33.0), (13.0, 250.0), (333.0, 222.0)])
    for time_s in (0.0, 7.3, 15.1):
        pose = _true_pose(maker.frame(0, time_s))
        found = locator.locate(pose, points)
        view = sight.view(truth.camera_at(time_s))
        for i, (column, row) in enumerate(points.astype(int)):
            assert found.status[i] == "ok"
            x, y = world.grid.metres(found.latitude_deg[i], found.longitude_deg[i])
            seen = [view.place[k][row, column] + view.origin[k] for k in (0, 1)]
            assert math.hypot(seen[0] - x, seen[1] - y) < 0.35 * float(view.pixel_m[row])


def test_true_places_project_where_truth_says_and_come_back(world: World) -> None:
    truth = _truth(world, "sea-1")
    maker = TruthMaker(world, truth)
    locator = Locator(truth.camera_model, world.terrain())
    seen = 0
    for k in range(0, 30, 3):
        frame = maker.frame(k, float(k))
        for thing in (o for o in frame.objects if o.label == "vessel"):
            x, y = world.grid.metres(thing.latitude_deg, thing.longitude_deg)
            pixels, exists, _ = project(
                world, truth.camera_model, truth.camera_at(float(k)), (x, y, thing.alt_hae_m)
            )
            assert exists.all()
            back = locator.locate(_true_pose(frame), pixels)
            again = world.grid.metres(back.latitude_deg[0], back.longitude_deg[0])
            assert math.hypot(again[0] - x, again[1] - y) < 0.1
            seen += 1
    assert seen >= 3


def test_the_short_way_from_ned_to_the_grid_is_exact_to_centimetres(world: World) -> None:
    state = _truth(world, "sea-1").camera_at(3.0)
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-2100, 2100, (200, 2)), rng.uniform(0.0, 300.0, 200)])
    x, y, height = grid_place(world, points, state)
    exact = geodetic_from_ned(points, state.latitude_deg, state.longitude_deg, state.alt_hae_m)
    exact_x, exact_y = world.grid.metres(exact[0], exact[1])
    assert np.abs(x - exact_x).max() < 0.03
    assert np.abs(y - exact_y).max() < 0.03
    assert np.abs(height - exact[2]).max() < 0.03


def test_telemetry_is_intact_mavlink_at_the_stated_rates(world: World) -> None:
    messages = list(TelemetryMaker(world, _truth(world, "sea-1")).messages(10.0))
    framer = Framer()
    frames = framer.feed(b"".join(raw for _, raw in messages)) + framer.flush()
    assert len(frames) == len(messages)
    assert framer.counts.bad_crc == 0
    counts = {msgid: sum(frame.msgid == msgid for frame in frames) for msgid in (0, 2, 24, 30, 33, 242, 285)}
    assert counts == {0: 20, 2: 10, 24: 50, 30: 201, 33: 100, 242: 2, 285: 200}
    arrivals = [arrived for arrived, _ in messages]
    assert arrivals == sorted(set(arrivals))


def test_what_the_platform_says_errs_as_stated_and_no_more(world: World) -> None:
    truth = _truth(world, "sea-1")
    off_m, heading_off = [], []
    for arrived_ns, raw in TelemetryMaker(world, truth).messages(30.0):
        frame = parse_frame(raw)
        assert frame is not None
        said = {33: decode.global_position, 30: decode.attitude}.get(frame.msgid, lambda _: None)(frame)
        if said is None:
            continue
        time_s = (said.boot_ms - 60_000) / 1000.0
        delay_s = (arrived_ns - world.scenario.start_ns) / 1e9 - time_s
        assert 0.008 <= delay_s < 0.05
        state = truth.at(time_s)
        if isinstance(said, decode.GlobalPosition):
            x, y = world.grid.metres(said.latitude_deg, said.longitude_deg)
            off_m.append(math.hypot(x - state.x_m, y - state.y_m))
        else:
            heading = float(euler_deg_from_quaternion(said.q_ned_body)[2])
            heading_off.append((heading - state.heading_deg + 180.0) % 360.0 - 180.0)
    assert 0.05 < float(np.median(off_m)) < 4.0
    assert max(off_m) < 6.0
    assert float(np.std(heading_off)) < 0.1
    assert abs(float(np.mean(heading_off)) - truth.bias_deg[2]) < 0.05


@pytest.mark.parametrize(("platform_id", "kind"), [("sea-1", "gimbal"), ("hill-1", "fixed")])
def test_the_edge_resolves_the_true_pose_from_the_rendered_bytes(
    world: World, platform_id: str, kind: Literal["gimbal", "fixed"]
) -> None:
    """The edge's own telemetry node points each camera within the stated errors."""
    truth = _truth(world, platform_id)
    node = TelemetryNode(MavlinkConfig())
    for arrived_ns, raw in TelemetryMaker(world, truth).messages(20.0):
        node.handle(arrived_ns, raw)
    mount = MountConfig(kind=kind, pitch_deg=0.0 if kind == "gimbal" else -90.0)
    buffer = PoseBuffer(lambda: node.history, mount=mount, sigmas=PoseSigmas())
    for time_s in (8.0, 12.37, 17.9):
        pose = buffer.pose_at(world.scenario.start_ns + round(time_s * 1e9))
        assert isinstance(pose, CameraPose), pose
        state = truth.camera_at(time_s)
        turn = pose.rotation_ned_from_camera.T @ state.rotation_ned_from_camera
        off_deg = math.degrees(math.acos(min(1.0, (float(np.trace(turn)) - 1.0) / 2.0)))
        assert off_deg < 2.0
        assert abs(pose.alt_hae_m - state.alt_hae_m) < 5.0
        x, y = world.grid.metres(pose.latitude_deg, pose.longitude_deg)
        true_x, true_y = world.grid.metres(state.latitude_deg, state.longitude_deg)
        assert math.hypot(x - true_x, y - true_y) < 5.0


def test_the_terrain_tile_of_a_flight_is_the_ground_that_is_drawn(
    scenario: Scenario, world: World, tmp_path: Path
) -> None:
    path = render_flight(scenario, "sea-1", tmp_path / "flight", seconds=0.5, fps=2.0)
    tile = load_terrain(path / TERRAIN_NAME)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-690, 690, 300), rng.uniform(-690, 490, 300)
    latitude, longitude = world.grid.geodetic(x, y)
    assert np.abs(tile.height_hae_m(latitude, longitude) - world.surface_at(x, y)).max() < 1e-3


def test_layers_show_land_and_never_truth(world: World, tmp_path: Path) -> None:
    files = {path.name: path for path in write_layers(world, tmp_path / "layers")}
    drawn = {f"tiny-{name}" for name in ("coast.geojson", "roads.geojson", "relief.png", "relief.json")}
    drawn |= {"tiny-coast.json", "tiny-roads.json"}
    assert set(files) == drawn | {"tiny-shade.pmtiles", "tiny-shade.json"}
    for path in files.values():
        assert not any(word in path.read_bytes() for word in (b"plot", b"boat", b"hut"))
    told = json.loads(files["tiny-relief.json"].read_bytes())
    assert told["kind"] == "image"
    upper_left, upper_right, lower_right, lower_left = told["coordinates"]
    assert upper_left[0] == lower_left[0] < upper_right[0] == lower_right[0]
    assert upper_left[1] == upper_right[1] > lower_left[1] == lower_right[1]
    coast = json.loads(files["tiny-coast.geojson"].read_bytes())["features"]
    for feature in coast:
        for lon, lat in feature["geometry"]["coordinates"]:
            x, y = world.grid.metres(lat, lon)
            assert abs(float(world.sample(world.inland_m, [float(x)], [float(y)])[0])) < 4.0


def test_both_platforms_of_the_built_in_scenario_are_back_where_they_began_after_80_s() -> None:
    scenario = load_scenario("coast-and-hill")
    for platform in scenario.platforms:
        truth = PlatformTruth(scenario, platform)
        start, end = truth.at(0.0), truth.at(80.0)
        assert math.hypot(start.x_m - end.x_m, start.y_m - end.y_m) < 0.01


def test_the_built_in_scenario_loads_and_its_vessels_stay_at_sea() -> None:
    scenario = load_scenario("coast-and-hill")
    world = World(scenario)
    for vessel in scenario.vessels:
        for time_s in range(0, 150, 10):
            motion = motion_at(vessel, float(time_s))
            assert float(world.sample(world.inland_m, [motion.x_m], [motion.y_m])[0]) < -2.0, vessel.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed = 5", "sead = 5"), "sead"),
        (("alt_msl_m = 120.0", "alt_msl_m = 1.0"), "alt_msl_m"),
        (('id = "boat-2"', 'id = "boat-1"'), "boat-1"),
        (("texel_m = 1.0", "texel_m = 0.05"), "texel"),
        (('kind = "go_fast"', 'kind = "submarine"'), "submarine"),
    ],
)
def test_a_scenario_that_does_not_fit_is_refused_with_its_key(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load_scenario(path)


def test_an_unknown_name_lists_the_scenarios_there_are(scenario: Scenario) -> None:
    with pytest.raises(ConfigError, match="coast-and-hill"):
        load_scenario("moon")
    with pytest.raises(ConfigError, match="sea-1, hill-1"):
        scenario.platform("uav99")
