"""Offline analysis: the same bytes twice, files that others can read, honest nulls; and the edge's TOML."""

import hashlib
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import EdgeConfig
from sim.analyze import AnalyzeOptions, analyze, sighting_feature
from sim.edge_toml import edge_toml
from skywarden.config import load_config
from skywarden.errors import FlightError, ModelError
from skywarden.flight import FixedMount, FlightReader, GimbalMount
from skywarden.flight.schema import ClockNote, Sensor
from skywarden.flight.writer import FlightWriter
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.synth import MessageMaker
from tests.samples import BEARING, SIGHTING

pytestmark = pytest.mark.slow

S = 1_000_000_000
START_NS = 1_768_498_200 * S
PLACE = (45.0, 7.0)
CAMERA = CameraModel(
    width_px=640,
    height_px=480,
    fx=554.25,
    fy=555.5,
    cx=318.0,
    cy=241.0,
    distortion=(-0.01, 0.001, 0.0, 0.0, 0.0),
)
NADIR = FixedMount(roll_deg=0.5, pitch_deg=-90.0, yaw_deg=-1.25)
BORESIGHT = (0.5, -90.0, -1.25)


def _picture(number: int) -> bytes:
    """A meadow and a red thing in its middle; the second frame shows nothing."""
    rng = np.random.default_rng(number)
    meadow = np.array([40, 110, 60]) + rng.normal(0.0, 6.0, (480, 640, 3))
    picture = np.clip(meadow, 0, 255).astype(np.uint8)
    if number != 1:
        picture[233:249, 310:326] = (30, 20, 230)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def _sensor(camera: CameraModel | None = CAMERA, **changes: Any) -> Sensor:
    tree = None if camera is None else camera.to_jsonable()
    return Sensor(**({"sensor_id": "eo", "mount": NADIR, "camera": tree, "frame_lag_s": 0.2} | changes))


def _fly(path: Path, sensor: Sensor | None = None, *, pictures: int = 12, telemetry_s: float = 4.0) -> Path:
    """A hover of 4 s at 100 m above home, a picture every 0.25 s from 0.5 s on."""
    maker = MessageMaker(1, 1)
    place = {"latitude_deg": PLACE[0], "longitude_deg": PLACE[1], "alt_msl_m": 400.0}
    with FlightWriter(
        path,
        sortie_id="s1",
        platform_id="uav07",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=(sensor or _sensor(),),
    ) as writer:
        for tenth in range(round(telemetry_s * 10)):
            boot_ms = 10_000 + 100 * tenth
            for raw in (
                maker.heartbeat(),
                maker.global_position_int(time_boot_ms=boot_ms, **place, alt_rel_m=100.0, heading_deg=0.0),
                maker.gps_raw_int(time_us=boot_ms * 1000, **place),
                maker.attitude(time_boot_ms=boot_ms, roll_deg=0.0, pitch_deg=0.0, heading_deg=0.0),
            ):
                writer.append_telemetry(START_NS + tenth * S // 10, raw)
        for number in range(pictures):
            writer.add_frame("eo", number, START_NS + S // 2 + number * S // 4, _picture(number))
    return path


def _lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def _features(folder: Path) -> list[dict[str, Any]]:
    collection = msgspec.json.decode((folder / "sightings.geojson").read_bytes())
    assert collection["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = collection["features"]
    return features


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fly(tmp_path_factory.mktemp("flights") / "flight")


@pytest.fixture(scope="module")
def out(flight: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    analyze(flight, folder)
    return folder


def test_the_same_flight_gives_the_same_bytes(flight: Path, out: Path, tmp_path: Path) -> None:
    report = analyze(flight, tmp_path / "again")
    names = sorted(file.name for file in out.iterdir())
    assert names == [
        "MANIFEST.sha256",
        "detections.jsonl",
        "plots.geojson",
        "sightings.geojson",
        "tracks.jsonl",
    ]
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    manifest = dict(reversed(line.split("  ")) for line in (out / "MANIFEST.sha256").read_text().splitlines())
    assert manifest == report.sha256
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == manifest[name] for name in manifest)
    assert (report.flight, report.frames, report.problems) == ("s1", 12, ())
    assert report.detections >= report.located >= 11
    assert (report.tracks, report.sightings) == (1, len(_features(out)))


def test_sightings_are_geojson_with_longitude_first(out: Path) -> None:
    features = _features(out)
    assert len(features) >= 4
    for feature in features:
        assert set(feature) == {"type", "id", "geometry", "properties"}
        assert feature["geometry"]["type"] == "Point"
        longitude, latitude, height_m = feature["geometry"]["coordinates"]
        # half a degree of roll and the lag of the picture matter little: within 3 m of straight below
        assert math.hypot((latitude - PLACE[0]) * 111_132, (longitude - PLACE[1]) * 78_847) < 3.0
        assert 300.0 < height_m < 400.0
        properties = feature["properties"]
        assert properties["no_position_reason"] is None
        assert properties["review"] == "unreviewed"
        assert properties["ce90_m"] > 0.0
        assert len(properties["covariance_enu_m2"]) == 6
    assert len({feature["id"] for feature in features}) == len(features)


def test_detections_and_tracks_are_lines_of_json_with_places_and_times(out: Path) -> None:
    rows = _lines(out / "detections.jsonl")
    located = [row for row in rows if row["position"] is not None]
    assert {row["frame_number"] for row in located} >= {0, *range(2, 12)}
    assert 1 not in {row["frame_number"] for row in located}
    first = datetime.fromisoformat(located[0]["time"])
    assert first.timestamp() == pytest.approx(START_NS / S + 0.5 - 0.2), "the lag is taken off"
    assert all((row["position"] is None) == (row["no_position_reason"] is not None) for row in rows)
    (track,) = _lines(out / "tracks.jsonl")
    assert track["track_id"] == "s1.eo.t1"
    assert track["look_count"] >= 10
    assert track["speed_mps"] is None, "it lies still"
    times = [datetime.fromisoformat(point["time"]) for point in track["path"]]
    assert times == sorted(times)
    assert len(times) >= 4


def test_an_uncalibrated_camera_gives_null_geometry_with_the_reason(tmp_path: Path) -> None:
    report = analyze(_fly(tmp_path / "flight", _sensor(None)), tmp_path / "out")
    assert (report.located, report.tracks) == (0, 0)
    features = _features(tmp_path / "out")
    assert features
    assert {feature["geometry"] for feature in features} == {None}
    assert {feature["properties"]["no_position_reason"] for feature in features} == {"uncalibrated_camera"}


def test_pictures_beyond_the_telemetry_have_a_reason_and_no_place(tmp_path: Path) -> None:
    analyze(_fly(tmp_path / "flight", pictures=40), tmp_path / "out")
    rows = _lines(tmp_path / "out" / "detections.jsonl")
    late = [row for row in rows if row["frame_number"] > 30]
    assert late
    assert {row["no_position_reason"] for row in late} == {"telemetry_stale"}
    assert {row["position"] for row in late} == {None}


def test_a_sighting_with_a_bearing_only_tells_it() -> None:
    sighting = msgspec.structs.replace(
        SIGHTING, position=None, bearing=BEARING, no_position_reason="near_horizon", is_exercise=True
    )
    feature = sighting_feature(sighting)
    assert feature["geometry"] is None
    assert feature["properties"]["bearing_deg"] == 271.5
    assert feature["properties"]["no_position_reason"] == "near_horizon"
    assert feature["properties"]["is_exercise"] is True
    assert "ce90_m" not in feature["properties"]


def test_a_flight_without_pictures_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    flight = _fly(tmp_path / "flight", pictures=0)
    with pytest.raises(FlightError, match="no images"):
        analyze(flight, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_refused(flight: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is called"):
        analyze(flight, tmp_path / "out", AnalyzeOptions(model="no-such-model"))
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_is_a_problem_and_the_rest_is_analysed(tmp_path: Path) -> None:
    flight = _fly(tmp_path / "flight")
    sorted((flight / "frames" / "eo").iterdir())[5].write_bytes(b"\xff\xd8 cut off")
    report = analyze(flight, tmp_path / "out")
    assert report.frames == 11
    assert len(report.problems) == 1
    assert "000000005" in report.problems[0]


def test_progress_counts_every_frame(flight: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    analyze(flight, tmp_path / "out", progress=lambda done, total, what: told.append((done, total)))
    assert told == [(number + 1, 12) for number in range(12)]


def _toml(flight: Path, folder: Path, **changes: Any) -> EdgeConfig:
    given = {"platform_id": "uav07", "state": folder / "state", "mavlink": "udpin:127.0.0.1:14550"}
    path = folder / "edge.toml"
    path.write_text(
        edge_toml(FlightReader(flight), **(given | {"inbox": folder / "inbox"} | changes)), encoding="utf-8"
    )
    return load_config(EdgeConfig, path, prefix="edge", environ={})


def test_the_edges_file_has_the_flights_lens_and_mount(flight: Path, tmp_path: Path) -> None:
    config = _toml(flight, tmp_path, min_score=0.25, is_exercise=True)
    (sensor,) = config.sensor
    assert sensor.lens is not None
    assert sensor.lens.model() == CAMERA == FlightReader(flight).camera("eo")
    assert (sensor.mount.kind, sensor.mount.roll_deg, sensor.mount.pitch_deg, sensor.mount.yaw_deg) == (
        "fixed",
        *BORESIGHT,
    )
    assert (sensor.camera.sensor_id, sensor.camera.frame_lag_s, sensor.camera.follow) == ("eo", 0.2, True)
    assert sensor.camera.url == str(tmp_path / "inbox")
    assert sensor.model.min_score == 0.25
    assert config.is_exercise
    assert config.mavlink.connection == "udpin:127.0.0.1:14550"
    assert config.state == str(tmp_path / "state")
    assert sensor.surface.kind == "level"


def test_gimbal_kind_and_missing_lens_are_carried_over(tmp_path: Path) -> None:
    sensor = _sensor(None, mount=GimbalMount(gimbal_device_id=154), kind="thermal", sensor_id="ir")
    with FlightWriter(
        tmp_path / "flight",
        sortie_id="s1",
        platform_id="uav07",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=(sensor,),
    ):
        pass
    (read,) = _toml(tmp_path / "flight", tmp_path, terrain=tmp_path / "dem.tif").sensor
    assert read.lens is None
    assert (read.mount.kind, read.mount.gimbal_device_id) == ("gimbal", 154)
    assert (read.camera.kind, read.camera.sensor_id) == ("thermal", "ir")
    assert (read.surface.kind, read.surface.path) == ("terrain", str(tmp_path / "dem.tif"))


@pytest.mark.parametrize("name", ['a "quoted" \\ name', "Überflug 🚁", "tab\tand\x7fdelete", "new\nline"])
def test_any_name_of_a_folder_survives(flight: Path, tmp_path: Path, name: str) -> None:
    assert _toml(flight, tmp_path, inbox=Path("/data") / name).sensor[0].camera.url == f"/data/{name}"


def test_a_flight_without_a_sensor_has_no_edge(tmp_path: Path) -> None:
    with FlightWriter(
        tmp_path / "flight",
        sortie_id="s1",
        platform_id="uav07",
        telemetry_source="test",
        clock=ClockNote(source="test"),
    ):
        pass
    with pytest.raises(FlightError, match="no sensor"):
        _toml(tmp_path / "flight", tmp_path)
