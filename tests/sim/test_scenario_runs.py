"""Scenarios as they run: flights with one hash, faults on the way, thermal counts, live into sockets."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import MountConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.flown.items import FrameItem, Item, TelemetryItem
from sim.scenario.flown.live import Live, check_live, live_targets, restamped
from sim.scenario.flown.looks import LOOKS_JSONL, FrameLooks
from sim.scenario.flown.runs import RunOptions, fly, heard_in, injectors_of, read_run
from sim.scenario.optics.shutter import Flow, Shutter, image_flow
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.runner import flights_hash, render_flight, sensor_of
from sim.scenario.seen import FrameTruth
from sim.scenario.sight import project, seen_places
from sim.scenario.tables.flying import Convention
from sim.scenario.telemetry import TelemetryMaker
from sim.scenario.truth import TruthMaker
from sim.scenario.world import World
from skywarden.ais.sentences import SentenceReader
from skywarden.cli import run
from skywarden.errors import FlightError, UsageError
from skywarden.flight.reader import FlightReader
from skywarden.flight.verify import verify
from skywarden.geometry.pose import CameraPose, PoseSigmas

BAY = """
name = "bay"
title = "A bay"
seed = 3
start_unix_s = 1768498200
duration_s = 4.0
land = { coast_north_m = 260.0, coast_swing_m = 20.0, seed = 9 }
sea = { wind_mps = 4.0 }
weather = { wind_mps = 7.0, wind_towards_deg = 90.0, cloud_cover = 0.3 }

[place]
latitude_deg = -20.0
longitude_deg = -25.0
west_m = -700.0
east_m = 700.0
south_m = -700.0
north_m = 500.0

[[decoys]]
id = "rock-1"
kind = "rock"
at = [30.0, -180.0]
length_m = 12.0
width_m = 8.0

[[vessels]]
id = "boat-1"
kind = "fishing"
at = [0.0, -150.0]
heading_deg = 70.0
ais = { mmsi = "224110210", name = "MARISOL" }

[[vessels]]
id = "boat-2"
kind = "skiff"
at = [60.0, -120.0]
heading_deg = 200.0
steps = [{ do = "transit", to = [-100.0, -250.0] }]

[[platforms]]
id = "sea-1"
sysid = 31
plan = [[-200.0, -350.0], [200.0, -350.0], [200.0, -550.0], [-200.0, -550.0]]
turn_radius_m = 80.0
alt_msl_m = 120.0
home = [0.0, 300.0]
look_area = [-600.0, -650.0, 600.0, 400.0]
texel_m = 3.0

[platforms.camera]
width_px = 320
height_px = 180
fps = 1.0
sweep = { reference = "point", at = [0.0, -150.0] }

[[platforms]]
id = "sea-2"
sysid = 32
plan = [[-100.0, -350.0], [100.0, -350.0], [100.0, -450.0], [-100.0, -450.0]]
turn_radius_m = 40.0
alt_msl_m = 90.0
home = [0.0, 300.0]
look_area = [-600.0, -650.0, 600.0, 400.0]
texel_m = 3.0

[platforms.camera]
sensor_id = "thermal"
kind = "thermal"
width_px = 160
height_px = 128
fps = 1.0
sweep = { reference = "vessel", follow = "boat-1" }
"""


@pytest.fixture(scope="module")
def bay(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("scenario") / "bay.toml"
    path.write_text(BAY)
    return load_scenario(path)


@pytest.fixture(scope="module")
def world(bay: Scenario) -> World:
    return World(bay)


def test_two_runs_of_one_seed_have_one_hash_and_another_seed_has_another(
    bay: Scenario, tmp_path: Path
) -> None:
    options = RunOptions(seconds=3.0, with_frames=False)
    first = fly(bay, tmp_path / "a", options)
    again = fly(bay, tmp_path / "b", options)
    other = fly(msgspec.structs.replace(bay, seed=4), tmp_path / "c", options)
    assert first.sha256 == again.sha256 == flights_hash(first.flights)
    assert other.sha256 != first.sha256
    told = read_run(tmp_path / "a")
    assert (told.scenario, told.seed, told.sha256) == ("bay", 3, first.sha256)
    assert sorted(told.flights) == ["sea-1", "sea-2"]
    assert (tmp_path / "a" / "ais.nmea").read_bytes() == (tmp_path / "b" / "ais.nmea").read_bytes()


@pytest.mark.slow
def test_a_run_with_frames_has_one_hash_too_and_each_flight_is_whole(bay: Scenario, tmp_path: Path) -> None:
    options = RunOptions(seconds=1.0, jobs=1)
    first, again = (fly(bay, tmp_path / name, options) for name in "ab")
    assert first.sha256 == again.sha256
    for path in first.flights.values():
        report = verify(path)
        assert (report.missing, report.changed, report.unlisted, report.problems) == ((), (), (), ())


@pytest.mark.slow
def test_without_frames_a_flight_holds_looks_and_the_same_telemetry_and_truth(
    bay: Scenario, world: World, tmp_path: Path
) -> None:
    drawn = render_flight(bay, "sea-1", tmp_path / "drawn", seconds=2.0, fps=2.0, world=world)
    plain = render_flight(
        bay, "sea-1", tmp_path / "plain", seconds=2.0, fps=2.0, world=world, with_frames=False
    )
    for name in ("telemetry.tlog", "truth.jsonl", "truth.geojson", "ais.nmea"):
        assert (drawn / name).read_bytes() == (plain / name).read_bytes()
    looks = [
        msgspec.json.decode(line, type=FrameLooks) for line in (plain / LOOKS_JSONL).read_bytes().splitlines()
    ]
    assert [frame.frame_number for frame in looks] == [0, 1, 2, 3]
    assert not (plain / "frames").exists()
    assert not (drawn / LOOKS_JSONL).exists()


class _Noon:
    """Drops every second frame, spoils one, and repeats every heartbeat."""

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, FrameItem):
                if item.frame_number % 2 == 0:
                    yield FrameItem(
                        time_ns=item.time_ns, platform_id=item.platform_id, sensor_id=item.sensor_id,
                        frame_number=item.frame_number, exposed_s=item.exposed_s, pixels=item.pixels,
                        data=b"\xff\xd8spoiled" if item.frame_number == 2 else None,
                    )  # fmt: skip
                continue
            yield item
            if isinstance(item, TelemetryItem) and item.raw[7] == 0:
                yield item


@pytest.mark.slow
def test_an_injector_changes_what_is_recorded_and_never_the_truth(
    bay: Scenario, world: World, tmp_path: Path
) -> None:
    clean = render_flight(bay, "sea-1", tmp_path / "clean", seconds=2.0, fps=2.0, world=world)
    faulty = render_flight(
        bay, "sea-1", tmp_path / "faulty", seconds=2.0, fps=2.0, world=world, injectors=[_Noon()]
    )
    frames = list(FlightReader(faulty).frames("eo"))
    assert [frame.frame_number for frame in frames] == [0, 2]
    assert (faulty / "frames" / "eo" / "000000002.jpg").read_bytes() == b"\xff\xd8spoiled"
    assert len(list(FlightReader(faulty).telemetry())) > len(list(FlightReader(clean).telemetry()))
    assert (faulty / "truth.jsonl").read_bytes() == (clean / "truth.jsonl").read_bytes()


def test_faults_without_an_engine_are_refused_and_left_out_when_told(bay: Scenario) -> None:
    assert injectors_of(bay, RunOptions()) is None


@pytest.mark.slow
def test_a_thermal_camera_gives_counts_of_kelvin_and_warm_engines(
    bay: Scenario, world: World, tmp_path: Path
) -> None:
    path = render_flight(bay, "sea-2", tmp_path / "night", seconds=2.0, fps=1.0, world=world)
    reader = FlightReader(path)
    assert reader.info.sensor("thermal").kind == "thermal"
    frame = next(iter(reader.frames("thermal")))
    assert frame.path is not None
    counts = cv2.imread(str(frame.path), cv2.IMREAD_UNCHANGED)
    assert counts is not None
    assert counts.dtype == np.uint16
    assert counts.shape == (128, 160)
    celsius = counts / 100.0 - 273.15
    assert 4.0 < float(np.median(celsius)) < 25.0
    truth = msgspec.json.decode((path / "truth.jsonl").read_bytes().splitlines()[0], type=FrameTruth)
    (boat,) = [thing for thing in truth.objects if thing.id == "boat-1"]
    x0, y0, x1, y1 = (round(value) for value in boat.box_px)
    inside = celsius[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]
    sea = float(np.median(celsius))
    assert float(np.abs(inside - sea).max()) > 1.5, "a hull stands out"


def test_a_gimbal_that_follows_keeps_its_vessel_in_the_middle(bay: Scenario, world: World) -> None:
    maker = TruthMaker(world, PlatformTruth(bay, bay.platform("sea-2"), world=world))
    for time_s in (0.0, 1.7, 3.9):
        (boat,) = [thing for thing in maker.frame(0, time_s).objects if thing.id == "boat-1"]
        x, y = (boat.box_px[0] + boat.box_px[2]) / 2, (boat.box_px[1] + boat.box_px[3]) / 2
        assert abs(x - 79.5) < 12.0
        assert abs(y - 63.5) < 16.0
        assert len(boat.mask_px) >= 4


@pytest.mark.parametrize("convention", get_args(Convention))
def test_the_edge_understands_every_convention_that_a_gimbal_may_speak(
    bay: Scenario, world: World, convention: Convention
) -> None:
    platform = bay.platform("sea-1")
    sweep = platform.camera.sweep
    assert sweep is not None
    camera = msgspec.structs.replace(
        platform.camera, sweep=msgspec.structs.replace(sweep, convention=convention)
    )
    there = msgspec.structs.replace(platform, camera=camera)
    truth = PlatformTruth(bay, there, world=world)
    mount = MountConfig(gimbal_device_id=getattr(sensor_of(there, truth).mount, "gimbal_device_id", None))
    node = TelemetryNode(MavlinkConfig())
    for arrived_ns, raw in TelemetryMaker(world, truth).messages(3.0):
        node.handle(arrived_ns, raw)
    pose = node.pose_buffer(mount=mount, sigmas=PoseSigmas()).pose_at(bay.start_ns + 2_000_000_000)
    assert isinstance(pose, CameraPose), pose
    turn = pose.rotation_ned_from_camera.T @ truth.camera_at(2.0).rotation_ned_from_camera
    assert float(np.degrees(np.arccos(min(1.0, (np.trace(turn) - 1.0) / 2.0)))) < 2.5


def test_a_rolling_shutter_moves_picture_and_truth_alike(bay: Scenario, world: World) -> None:
    platform = bay.platform("sea-1")
    rolling = msgspec.structs.replace(
        platform, camera=msgspec.structs.replace(platform.camera, readout_s=0.2, noise_sigma=0.0)
    )
    still = msgspec.structs.replace(
        platform, camera=msgspec.structs.replace(platform.camera, noise_sigma=0.0)
    )
    truth = PlatformTruth(bay, rolling, world=world)
    moved = {thing.id: thing.box_px for thing in TruthMaker(world, truth).frame(0, 1.5).objects}
    plain_truth = PlatformTruth(bay, still, world=world)
    plain = {thing.id: thing.box_px for thing in TruthMaker(world, plain_truth).frame(0, 1.5).objects}
    assert set(plain) == set(moved)
    flow = image_flow(world, truth, 1.5)
    assert float(np.abs(flow.matrix).max()) > 1.0
    image = np.zeros((180, 320, 3), np.float32)
    cv2.circle(image, (60, 30), 3, (255, 255, 255), -1)
    shown = Shutter(0.0, 0.2).smeared(image, flow)
    rows, columns = np.nonzero(shown[..., 0] > 128)
    where = flow.read_out(np.array([[60.0, 30.0]]), 0.2)[0]
    assert abs(columns.mean() - where[0]) < 0.6
    assert abs(rows.mean() - where[1]) < 0.6


def test_the_flow_of_the_picture_is_that_of_the_ground(bay: Scenario, world: World) -> None:
    truth = PlatformTruth(bay, bay.platform("sea-1"), world=world)
    flow = image_flow(world, truth, 2.0)
    pixels = np.array([[40.0, 40.0], [160.0, 90.0], [280.0, 150.0]])
    places, is_ground = seen_places(world, truth.camera_model, truth.camera_at(2.0), pixels)
    assert is_ground.all()
    later, _, _ = project(world, truth.camera_model, truth.camera_at(2.02), places)
    assert np.abs(pixels + flow.at(pixels) * 0.02 - later).max() < 0.15


def test_an_exposure_smears_along_the_motion_only() -> None:
    image = np.zeros((60, 60, 3), np.float32)
    image[30, 30] = 255.0
    shown = Shutter(0.01, 0.0).smeared(image, Flow(np.array([[0.0, 0.0, 800.0], [0.0, 0.0, 0.0]]), (60, 60)))
    rows, columns = np.nonzero(shown[..., 0] > 2.0)
    assert np.ptp(rows) <= 1
    assert 6 <= np.ptp(columns) <= 9
    assert abs(float(shown.sum()) - 765.0) < 1.0


@pytest.mark.slow
def test_dusk_is_darker_and_noisier_than_day_and_has_no_shadows(bay: Scenario, tmp_path: Path) -> None:
    pictures = {}
    for name, elevation in (("day", 40.0), ("dusk", 0.0), ("night", -15.0)):
        light = msgspec.structs.replace(bay.light, sun_elevation_deg=elevation)
        there = World(msgspec.structs.replace(bay, light=light))
        truth = PlatformTruth(there.scenario, there.scenario.platform("sea-1"), world=there)
        pictures[name] = Renderer(there, truth).frame(0, 1.0).astype(float)
    means = {name: float(picture.mean()) for name, picture in pictures.items()}
    assert means["day"] > means["dusk"] > means["night"] > 1.0


@pytest.mark.slow
def test_live_is_heard_on_sockets_and_folders_of_every_platform(bay: Scenario, tmp_path: Path) -> None:
    options = RunOptions(seconds=1.2, fps=2.5, jobs=1)
    done = fly(bay, tmp_path / "run", options)
    with ExitStack() as stack:
        sockets = []
        for _ in range(3):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stack.callback(one.close)
            one.bind(("127.0.0.1", 0))
            one.settimeout(30.0)
            sockets.append(one)
        ports = [one.getsockname()[1] for one in sockets]
        targets = live_targets(done.flights, f"udpout:127.0.0.1:{ports[0]}", tmp_path / "inbox")
        targets = [
            type(target)(
                platform_id=target.platform_id, flight=target.flight, frames=target.frames,
                mavlink=f"udpout:127.0.0.1:{port}",
            )
            for target, port in zip(targets, ports, strict=False)
        ]  # fmt: skip
        heard = heard_in(tmp_path / "run")
        assert heard
        live = Live(targets, ais=(heard, f"udpout:127.0.0.1:{ports[2]}"), start_ns=done.start_ns)
        played = live.run(threading.Event())
        assert {name: report.frame_count for name, report in played.items()} == {"sea-1": 3, "sea-2": 3}
        for one in sockets[:2]:
            assert one.recv(2048)[0] == 0xFD
        reader = SentenceReader()
        sentence = reader.take(sockets[2].recv(2048).strip())
        assert sentence is not None
        assert sentence.received_ns is not None
    assert len(list((tmp_path / "inbox" / "sea-1").glob("*.jpg"))) == 3
    assert len(list((tmp_path / "inbox" / "sea-2").glob("*.png"))) == 3


def test_an_ais_line_gets_a_new_time_and_keeps_its_sentence() -> None:
    line = b"\\s:sim,c:1768479300*4A\\!AIVDM,1,1,,B,B:U71lh0@gSI;LM8q4ld3wP00000,0*6C"
    again = restamped(line, 1_800_000_000_000_000_000)
    assert b"c:1800000000" in again
    assert again.endswith(b"!AIVDM,1,1,,B,B:U71lh0@gSI;LM8q4ld3wP00000,0*6C")
    assert restamped(line[line.index(b"!") :], 1_800_000_000_000_000_000) == again


def test_the_command_lists_shows_and_flies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bay.toml"
    path.write_text(BAY)
    assert run(["sim", "scenario", "list", "--json"]) == 0
    assert {"harbour", "empty-sea"} <= {one["name"] for one in json.loads(capsys.readouterr().out)}
    assert run(["sim", "scenario", "show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vessels"][0]["ais"]["mmsi"] == "224110210"
    out = tmp_path / "run"
    words = ["sim", "scenario", str(path), "--seed", "8", "--seconds", "1", "--no-frames", "--out", str(out)]
    assert run([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == read_run(out).sha256
    assert run([*words, "-q"]) == 2, "the folder is not empty any more"


def test_what_is_no_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(FlightError, match="no run"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(FlightError, match=r"run\.json"):
        read_run(tmp_path)
    with pytest.raises(UsageError, match="port"):
        live_targets({"a": tmp_path, "b": tmp_path}, "unix:/tmp/x", None)


def test_connections_that_cannot_be_played_to_are_refused_before_anything_is_drawn() -> None:
    check_live(["a", "b"], "udpout:127.0.0.1:14550", "udpout:127.0.0.1:10110")
    with pytest.raises(UsageError, match="MAVLink of b goes there"):
        check_live(["a", "b"], "udpout:127.0.0.1:14550", "udpout:127.0.0.1:14551")
    with pytest.raises(UsageError, match="udpout:HOST:PORT"):
        check_live(["a"], None, "udpin:127.0.0.1:10110")
