"""A flight as MCAP: the plain mcap reader finds telemetry, fixes, transforms, calibration and pictures."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

from skywarden.errors import FlightError
from skywarden.flight import ClockNote, FixedMount, FlightWriter, Sensor
from skywarden.flight.mcap_export import export_mcap
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.synth import MessageMaker

START_NS = 1_800_000_000_000_000_000


def write_flight(path: Path) -> list[bytes]:
    maker = MessageMaker(7, 1)
    sensor = Sensor(
        sensor_id="eo",
        camera=CameraModel.from_hfov(64, 48, 60.0).to_jsonable(),
        mount=FixedMount(pitch_deg=-90.0),
    )
    frames = []
    with FlightWriter(
        path,
        sortie_id="s",
        platform_id="p",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=[sensor],
    ) as writer:
        for step in range(10):
            time_ns = START_NS + step * 100_000_000
            place = maker.global_position_int(
                time_boot_ms=step * 100,
                latitude_deg=-35.0 + step * 1e-5,
                longitude_deg=149.0,
                alt_msl_m=600.0,
                alt_rel_m=100.0,
            )
            attitude = maker.attitude(time_boot_ms=step * 100, roll_deg=0.0, pitch_deg=0.0, heading_deg=90.0)
            for raw in (place, attitude):
                frames.append(raw)
                writer.append_telemetry(time_ns, raw)
            image = cv2.imencode(".jpg", np.full((48, 64, 3), step * 20, np.uint8))[1].tobytes()
            writer.add_frame("eo", step, time_ns, image)
    return frames


def test_the_plain_reader_finds_everything_in_order_of_time(tmp_path: Path) -> None:
    sent = write_flight(tmp_path / "f")
    report = export_mcap(tmp_path / "f", tmp_path / "out.mcap")
    assert report.counts == {
        "/camera/eo/calibration": 1,
        "/camera/eo/image": 10,
        "/mavlink": 20,
        "/platform/7/fix": 10,
        "/tf": 10,
    }
    heard: list[bytes] = []
    by_schema: dict[str, list[dict[str, Any]]] = {}
    times = []
    with (tmp_path / "out.mcap").open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            times.append(message.log_time)
            if channel.topic == "/mavlink":
                heard.append(message.data)
            else:
                assert schema is not None
                assert channel.message_encoding == "json"
                assert json.loads(schema.data)["title"] == schema.name
                by_schema.setdefault(schema.name, []).append(json.loads(message.data))
    assert heard == sent
    assert times == sorted(times)
    fix = by_schema["foxglove.LocationFix"][0]
    assert fix["latitude"] == pytest.approx(-35.0)
    assert fix["altitude"] == pytest.approx(619.0, abs=5.0), "height is above the ellipsoid"
    turn = by_schema["foxglove.FrameTransform"][9]
    assert turn["translation"]["y"] == pytest.approx(9e-5 * 110_940, rel=0.01)
    assert turn["rotation"]["x"] == pytest.approx(1.0, abs=1e-6), "nose east, right south, down down"
    picture = by_schema["foxglove.CompressedImage"][3]
    data = base64.b64decode(str(picture["data"]))
    assert data == (tmp_path / "f/frames/eo/000000003.jpg").read_bytes()


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    (tmp_path / "out.mcap").write_text("mine")
    with pytest.raises(FlightError, match="already there"):
        export_mcap(tmp_path / "f", tmp_path / "out.mcap")
    assert (tmp_path / "out.mcap").read_text() == "mine"
