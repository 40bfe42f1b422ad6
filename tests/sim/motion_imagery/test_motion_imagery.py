"""A flight as video with MISB metadata: read back by PyAV, FFmpeg, klvdata, our reader and our importer."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import cv2
import klvdata
import numpy as np
import pytest

from sim.analyze import AnalyzeOptions, LookedAt, looks
from sim.importers import import_flight
from sim.motion_imagery.export import ImageryOptions, export_imagery
from sim.motion_imagery.metadata import SecurityMark, core_identifier
from skywarden import klv
from skywarden.errors import FlightError, InputError, UsageError
from skywarden.flight import ClockNote, FlightWriter, GimbalMount, Sensor
from skywarden.flight.reader import FlightReader
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.rotations import (
    GIMBAL_FROM_CAMERA,
    angle_between_deg,
    matrix_from_euler_deg,
    quaternion_from_euler_deg,
    quaternion_from_matrix,
)
from skywarden.mavlink.synth import MessageMaker
from skywarden.vmti import decode_vmti

pytestmark = pytest.mark.slow

T0 = 1_760_000_000_000_000_000
MS = 1_000_000
FRAMES = 6
STEP_MS = 250


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds over a red thing, banked and with a gimbal that looks ahead and down to the right."""
    path = tmp_path_factory.mktemp("imagery") / "flight"
    camera = CameraModel.from_hfov(320, 240, 40.0)
    sensor = Sensor(
        sensor_id="eo", mount=GimbalMount(), camera=camera.to_jsonable(), width_px=320, height_px=240
    )
    vehicle, gimbal = MessageMaker(1, 1), MessageMaker(1, 154)
    w, x, y, z = quaternion_from_euler_deg(2.0, -50.0, 130.0).tolist()
    with FlightWriter(
        path,
        sortie_id="20251009T085320Z_p1",
        platform_id="p1",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=(sensor,),
    ) as writer:
        for step in range(45):
            boot_ms, now_ns = 1_000 + 100 * step, T0 + 100 * step * MS
            for raw in (
                vehicle.heartbeat(),
                vehicle.global_position_int(
                    time_boot_ms=boot_ms,
                    latitude_deg=41.5 + 1e-6 * step,
                    longitude_deg=12.5,
                    alt_msl_m=300.0,
                    alt_rel_m=100.0,
                ),
                vehicle.attitude(time_boot_ms=boot_ms, roll_deg=12.0, pitch_deg=-3.0, heading_deg=100.0),
                gimbal.gimbal_device_attitude_status(time_boot_ms=boot_ms, q=(w, x, y, z)),
            ):
                writer.append_telemetry(now_ns, raw)
        for number in range(FRAMES):
            image = np.full((240, 320, 3), 90, np.uint8)
            image[116:124, 150 + number : 158 + number] = (40, 40, 250)
            data = cv2.imencode(".png", image)[1].tobytes()
            time_ns = T0 + (1_050 + STEP_MS * number) * MS
            writer.add_frame("eo", number, time_ns, data, name=str(number))
    return path


@pytest.fixture(scope="module")
def stream(flight: Path) -> Path:
    """The flight as MPEG-TS, with a security set."""
    out = flight.parent / "flight.ts"
    options = ImageryOptions(security=SecurityMark(classification="restricted", country="PT"))
    report = export_imagery(flight, out, options)
    assert (report.frames, report.packets, report.has_unreviewed) == (FRAMES, FRAMES, True)
    assert report.detections >= FRAMES
    return out


@pytest.fixture(scope="module")
def seen(flight: Path) -> list[LookedAt]:
    """What the chain says of each picture."""
    return list(looks(flight, "eo"))


@pytest.fixture(scope="module")
def bare(flight: Path) -> Path:
    """The packets alone, without detections."""
    out = flight.parent / "bare.klv"
    report = export_imagery(flight, out, ImageryOptions(has_detections=False, is_exercise=True))
    assert not report.has_unreviewed
    return out


def _packets(stream: Path) -> list[tuple[float, klv.KlvPacket]]:
    """Presentation times in seconds and packets, by PyAV and our reader."""
    found = []
    with av.open(str(stream)) as container:
        (data,) = container.streams.data
        reader = klv.KlvReader()
        for piece in container.demux(data):
            if piece.pts is not None:
                found += [(float(piece.pts * piece.time_base), one) for one in reader.feed(bytes(piece))]
    assert reader.counts.bad_checksums == 0
    assert reader.counts.skipped_bytes == 0
    return found


def test_every_picture_has_its_packet_at_its_own_time(stream: Path) -> None:
    packets = _packets(stream)
    with av.open(str(stream)) as container:
        pictures = [float(frame.time) for frame in container.decode(video=0)]
    assert len(packets) == len(pictures) == FRAMES
    assert [at for at, _ in packets] == pytest.approx(pictures, abs=1e-6)
    stamps = [one.time_ns for _, one in packets]
    assert stamps == [T0 + (1_050 + STEP_MS * number) * MS for number in range(FRAMES)]
    assert np.diff(pictures) == pytest.approx([STEP_MS / 1e3] * (FRAMES - 1), abs=1e-4)


def test_ffmpeg_sees_h264_and_asynchronous_klv(stream: Path) -> None:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(stream)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    video, data = json.loads(done.stdout)["streams"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 320, 240)
    assert (data["codec_name"], data["codec_tag_string"]) == ("klv", "KLVA")
    assert data["codec_tag"] == "0x41564c4b"
    assert _stream_types(stream) == {0x1B, 0x06}


def _stream_types(stream: Path) -> set[int]:
    """Stream types in the program map, read by hand: what players decide by."""
    data = stream.read_bytes()
    for at in range(0, len(data), 188):
        piece = data[at : at + 188]
        pid = (piece[1] & 0x1F) << 8 | piece[2]
        if pid != 0x1000 or not piece[1] & 0x40:
            continue
        table = piece[5 + piece[4] :]
        end = 3 + ((table[1] & 0x0F) << 8 | table[2]) - 4
        at = 12 + ((table[10] & 0x0F) << 8 | table[11])
        found = set()
        while at < end:
            found.add(table[at])
            at += 5 + ((table[at + 3] & 0x0F) << 8 | table[at + 4])
        return found
    raise AssertionError("no program map")


def test_the_order_and_the_checksum_are_those_of_the_standard(stream: Path) -> None:
    for _, one in _packets(stream):
        assert one.is_checksum_good
        tags = list(one.raw)
        assert (tags[0], tags[-1]) == (2, 1)
        assert {3, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 48, 65, 74, 94} <= set(
            tags
        )
        assert {82, 83, 84, 85, 86, 87, 88, 89} <= set(tags)
        assert one.raw[65] == bytes([klv.ST0601_VERSION])


def test_klvdata_reads_what_we_wrote(bare: Path, seen: list[LookedAt]) -> None:
    """Without targets: klvdata 0.0.3 cannot make an object of any tag 74, whoever wrote it."""
    data = bare.read_bytes()
    read = [one.MetadataList() for one in klvdata.StreamParser(data)]
    assert len(read) == FRAMES
    first = {tag: entry[-1] for tag, entry in read[0].items()}
    look = seen[0]
    assert isinstance(look.pose, CameraPose)
    moment = datetime.fromtimestamp(look.time_ns / 1e9, UTC)
    assert str(first[2]).startswith(f"{moment:%Y-%m-%d %H:%M:%S}")
    assert float(first[13]) == pytest.approx(look.pose.latitude_deg, abs=1e-7)
    assert float(first[14]) == pytest.approx(look.pose.longitude_deg, abs=1e-7)
    assert float(first[5]) == pytest.approx(100.0, abs=0.01)
    assert first[10] == "p1"


def test_where_the_sensor_looked_comes_back_exactly(seen: list[LookedAt], stream: Path) -> None:
    for (_, one), look in zip(_packets(stream), seen, strict=True):
        assert isinstance(look.pose, CameraPose)
        body = matrix_from_euler_deg(
            one.number("platform_roll_full_deg"),
            one.number("platform_pitch_full_deg"),
            one.number("platform_heading_deg"),
        )
        turned = matrix_from_euler_deg(
            one.number("sensor_relative_roll_deg"),
            one.number("sensor_relative_elevation_deg"),
            one.number("sensor_relative_azimuth_deg"),
        )
        back = quaternion_from_matrix(body @ turned @ GIMBAL_FROM_CAMERA)
        apart = angle_between_deg(back, quaternion_from_matrix(look.pose.rotation_ned_from_camera))
        assert float(apart) < 0.01
        assert one.number("sensor_alt_hae_m") == pytest.approx(look.pose.alt_hae_m, abs=0.2)
        assert one.number("sensor_hfov_deg") == pytest.approx(40.0, abs=0.01)


def test_targets_come_back_with_label_box_and_covariance_and_say_unreviewed(
    seen: list[LookedAt], stream: Path
) -> None:
    for (_, one), look in zip(_packets(stream), seen, strict=True):
        assert str(one.values["mission_id"]).startswith("UNREVIEWED ")
        found = decode_vmti(one.raw[74])
        assert found.size_px == (320, 240)
        assert len(found.targets) == len(look.outcome.batch)
        target, box = found.targets[0], look.outcome.batch.box_px[0]
        assert target.label == look.outcome.batch.labels[look.outcome.batch.label_index[0]]
        assert target.box_px == pytest.approx(tuple(box), abs=1.0)
        assert look.outcome.locations is not None
        assert target.position is not None
        assert target.position.latitude_deg == pytest.approx(look.outcome.locations.latitude_deg[0], abs=1e-6)
        assert target.position.ce90_m == pytest.approx(look.outcome.locations.ce90_m[0], abs=0.1)


def test_our_own_importer_makes_the_same_flight_of_it(
    seen: list[LookedAt], stream: Path, tmp_path: Path
) -> None:
    import_flight(stream, tmp_path / "again")
    reader = FlightReader(tmp_path / "again")
    (sensor,) = reader.info.sensors
    after = list(looks(tmp_path / "again", sensor.sensor_id))
    poses = [
        (one.pose, two.pose)
        for one, two in zip(seen, after, strict=True)
        if isinstance(one.pose, CameraPose) and isinstance(two.pose, CameraPose)
    ]
    assert len(poses) >= FRAMES - 2
    for one, two in poses:
        assert two.latitude_deg == pytest.approx(one.latitude_deg, abs=2e-6)
        apart = angle_between_deg(
            quaternion_from_matrix(one.rotation_ned_from_camera),
            quaternion_from_matrix(two.rotation_ned_from_camera),
        )
        assert float(apart) < 0.05


def test_without_detections_nothing_is_marked(bare: Path) -> None:
    packets, counts = klv.read_packets(bare.read_bytes())
    assert (len(packets), counts.bad_checksums, counts.skipped_bytes) == (FRAMES, 0, 0)
    assert packets[0].values["mission_id"] == "EXERCISE 20251009T085320Z_p1"
    assert 74 not in packets[0].raw
    assert 48 not in packets[0].raw
    assert packets[0].raw[94] == core_identifier("p1", "eo", "20251009T085320Z_p1")
    assert len(packets[0].raw[94]) == 50


def test_what_cannot_be_written_is_refused_and_leaves_nothing_behind(flight: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.ts"
    taken.write_bytes(b"x")
    with pytest.raises(FlightError, match="already there"):
        export_imagery(flight, taken)
    with pytest.raises(UsageError, match=r"\.ts"):
        export_imagery(flight, tmp_path / "x.mp4")
    with pytest.raises(FlightError, match="has no sensor"):
        export_imagery(flight, tmp_path / "y.ts", ImageryOptions(sensor_id="ir"))
    with pytest.raises(FlightError):
        export_imagery(flight, tmp_path / "missing" / "z.ts", analysis=AnalyzeOptions())
    assert list(tmp_path.glob("*.part")) == []


def test_a_security_mark_is_a_word_and_a_country() -> None:
    fields: dict[int, Any] = dict(
        klv.local_fields(SecurityMark(classification="restricted", country="es").encoded())
    )
    assert (fields[1], fields[3], fields[13]) == (b"\x02", b"//ES", "ES".encode("utf-16-be"))
    for wrong in (
        {"classification": "cosmic", "country": "ES"},
        {"classification": "secret", "country": "1"},
    ):
        with pytest.raises(InputError):
            SecurityMark(**wrong)
