"""Flight folders: what is written is read again, what was cut off says so, what was changed is found."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from skywarden.errors import FlightError
from skywarden.flight import (
    ClockNote,
    FixedMount,
    FlightReader,
    FlightWriter,
    GimbalMount,
    Sensor,
    flight_folder_name,
    verify,
)
from skywarden.flight.schema import check_relative, safe_path
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.synth import MessageMaker

START_NS = 1_800_000_000_000_000_000
CLOCK = ClockNote(source="test")


def jpeg(level: int, width: int = 64, height: int = 48) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), level, np.uint8))[1].tobytes())


def eo_sensor() -> Sensor:
    camera = CameraModel.from_hfov(64, 48, 60.0)
    return Sensor(sensor_id="eo", camera=camera.to_jsonable(), mount=FixedMount(pitch_deg=-90.0))


def open_writer(path: Path) -> FlightWriter:
    return FlightWriter(
        path,
        sortie_id="sortie-1",
        platform_id="uav07",
        telemetry_source="test",
        clock=CLOCK,
        sensors=[eo_sensor()],
    )


def write_flight(path: Path, frames: int = 4) -> list[tuple[int, bytes]]:
    maker = MessageMaker(1, 1)
    sent = []
    with open_writer(path) as writer:
        for number in range(frames):
            time_ns = START_NS + number * 250_000_000
            raw = maker.heartbeat()
            sent.append((time_ns, raw))
            writer.append_telemetry(time_ns, raw)
            writer.add_frame("eo", number, time_ns, jpeg(number * 20))
        writer.append_ais("!AIVDM,1,1,,A,15M67FC000G?ufbE`FepT@3n00Sa,0*5C")
        writer.add_file("truth.geojson", b'{"type":"FeatureCollection","features":[]}')
    return sent


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    sent = write_flight(tmp_path / "f")
    reader = FlightReader(tmp_path / "f")
    assert reader.problems == []
    assert reader.is_complete
    assert list(reader.telemetry()) == sent
    frames = list(reader.frames("eo"))
    assert [frame.frame_number for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_ns for frame in frames] == [time_ns for time_ns, _ in sent]
    levels = [round(float(image.mean())) for _, image in reader.images("eo")]
    assert levels == [0, 20, 40, 60]
    assert reader.camera("eo") == CameraModel.from_hfov(64, 48, 60.0)
    assert len(list(reader.ais())) == 1
    assert reader.info.frame_counts == {"eo": 4}
    assert (reader.info.start_ns, reader.info.end_ns) == (sent[0][0], sent[-1][0])


def test_the_manifest_is_what_sha256sum_checks(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "MANIFEST.sha256"],
        cwd=tmp_path / "f",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    report = verify(tmp_path / "f")
    assert report.is_good
    assert report.exit_code == 0
    assert report.files_good == report.files_listed == 9


def test_a_changed_image_is_found_and_answers_exit_code_3(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    image = tmp_path / "f/frames/eo/000000002.jpg"
    data = bytearray(image.read_bytes())
    data[-5] ^= 1
    image.write_bytes(data)
    report = verify(tmp_path / "f")
    assert report.changed == ("frames/eo/000000002.jpg",)
    assert report.exit_code == 3


def test_a_missing_image_is_found_and_the_others_are_given(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    (tmp_path / "f/frames/eo/000000001.jpg").unlink()
    report = verify(tmp_path / "f")
    assert report.missing == ("frames/eo/000000001.jpg",)
    assert report.exit_code == 3
    reader = FlightReader(tmp_path / "f")
    assert [frame.frame_number for frame, _ in reader.images("eo")] == [0, 2, 3]
    assert any("frame 1 of eo is left out" in problem for problem in reader.problems)


def test_files_that_came_later_are_told_and_do_no_harm(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    (tmp_path / "f/detections.jsonl").write_text("{}\n")
    report = verify(tmp_path / "f")
    assert report.unlisted == ("detections.jsonl",)
    assert report.is_good


@pytest.mark.slow
def test_a_flight_whose_writer_was_killed_opens_and_says_so(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_flight_folder import START_NS, MessageMaker, jpeg, open_writer
        writer = open_writer(Path({str(tmp_path / "f")!r}))
        maker = MessageMaker(1, 1)
        for number in range(100000):
            writer.append_telemetry(START_NS + number * 10**8, maker.heartbeat())
            writer.add_frame("eo", number, START_NS + number * 10**8, jpeg(number % 250))
            if number % 5 == 0:
                writer.flush()
            if number == 20:
                print("going", flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"going\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    reader = FlightReader(tmp_path / "f")
    assert not reader.is_complete
    assert any("cut off" in problem for problem in reader.problems)
    frames = list(reader.frames("eo"))
    assert len(frames) >= 20
    assert len(list(reader.images("eo"))) == len(frames)
    assert len(list(reader.telemetry())) >= 20
    assert verify(tmp_path / "f").exit_code == 3


@pytest.mark.parametrize("cut", range(1, 90, 11))
def test_a_cut_last_line_and_a_cut_last_mavlink_frame_are_left_out(tmp_path: Path, cut: int) -> None:
    sent = write_flight(tmp_path / "f")
    for name in ("frames.jsonl", "telemetry.tlog"):
        path = tmp_path / "f" / name
        path.write_bytes(path.read_bytes()[:-cut])
    (tmp_path / "f/MANIFEST.sha256").unlink()
    reader = FlightReader(tmp_path / "f")
    frames, telemetry = list(reader.frames()), list(reader.telemetry())
    assert 2 <= len(frames) < 4
    assert telemetry == sent[: len(telemetry)]
    assert len(telemetry) < 4
    assert verify(tmp_path / "f").exit_code == 3


def test_a_folder_without_flight_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlightError, match=r"has no flight\.json"):
        FlightReader(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format":"other"}', b"\xff\xfe", b"[" * 100_000, b'{"sortie_id":"a/b"}'],
)
def test_a_flight_json_that_does_not_fit_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "flight.json").write_bytes(content)
    with pytest.raises(FlightError, match=r"flight\.json"):
        FlightReader(tmp_path)


def test_a_newer_schema_is_refused_and_unknown_keys_are_not(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    path = tmp_path / "f/flight.json"
    tree = json.loads(path.read_text())
    tree["something_new"] = {"a": 1}
    path.write_text(json.dumps(tree))
    assert FlightReader(tmp_path / "f").info.platform_id == "uav07"
    tree["schema_version"] = 2
    path.write_text(json.dumps(tree))
    with pytest.raises(FlightError, match="schema version 2"):
        FlightReader(tmp_path / "f")


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "a\\b", "C:/x", "a\0b", "a\nb", "x" * 600],
)
def test_paths_that_would_leave_the_folder_are_refused(path: str) -> None:
    with pytest.raises(FlightError):
        check_relative(path)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f/frames").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    (tmp_path / "f/frames/eo").symlink_to(tmp_path)
    with pytest.raises(FlightError, match="symbolic link"):
        safe_path(tmp_path / "f", "frames/eo/secret.jpg")


@pytest.mark.parametrize("is_folder", [True, False])
def test_frames_behind_a_link_that_leads_out_are_refused(tmp_path: Path, is_folder: bool) -> None:
    write_flight(tmp_path / "f")
    folder = tmp_path / "f/frames/eo"
    outside = tmp_path / "outside"
    if is_folder:
        folder.rename(outside)
        folder.symlink_to(outside)
    else:
        (folder / "000000001.jpg").rename(outside)
        (folder / "000000001.jpg").symlink_to(outside)
    with pytest.raises(FlightError, match="symbolic link"):
        list(FlightReader(tmp_path / "f").frames())


def test_a_manifest_or_a_line_that_points_outside_is_refused(tmp_path: Path) -> None:
    write_flight(tmp_path / "f")
    manifest = tmp_path / "f/MANIFEST.sha256"
    manifest.write_text("0" * 64 + "  ../../etc/passwd\n")
    with pytest.raises(FlightError, match="not a plain path"):
        verify(tmp_path / "f")
    (tmp_path / "f/frames.jsonl").write_text(
        '{"sensor_id":"eo","frame_number":0,"time_ns":1,"file":"/etc/passwd"}\n'
    )
    with pytest.raises(FlightError, match="not a plain path"):
        list(FlightReader(tmp_path / "f").frames())


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"sensor_id":"eo","frame_number":-1,"time_ns":1,"file":"a.jpg"}',
        '{"sensor_id":"eo","frame_number":1,"time_ns":1}',
        '{"sensor_id":"eo","frame_number":1,"time_ns":1,"file":"a.jpg","video":"b.ts","pts":1}',
        '{"sensor_id":"eo","frame_number":1,"time_ns":1,"video":"b.ts","pts":1}',
        '{"sensor_id":"eo","frame_number":1,"time_ns":1.5,"file":"a.jpg"}',
    ],
)
def test_a_line_that_is_no_frame_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    write_flight(tmp_path / "f")
    (tmp_path / "f/frames.jsonl").write_text(line + "\n")
    with pytest.raises(FlightError, match="line 1"):
        list(FlightReader(tmp_path / "f").frames())


def test_frame_numbers_must_rise_when_written_and_when_read(tmp_path: Path) -> None:
    with open_writer(tmp_path / "f") as writer:
        writer.add_frame("eo", 3, START_NS, jpeg(1))
        with pytest.raises(FlightError, match="numbers rise"):
            writer.add_frame("eo", 3, START_NS, jpeg(1))
    line = (tmp_path / "f/frames.jsonl").read_bytes()
    (tmp_path / "f/frames.jsonl").write_bytes(line + line)
    with pytest.raises(FlightError, match="after 3"):
        list(FlightReader(tmp_path / "f").frames())


def test_an_image_that_claims_absurd_sizes_is_left_out_before_it_is_decoded(tmp_path: Path) -> None:
    header = bytearray(jpeg(1))
    place = header.find(b"\xff\xc0")
    header[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    with open_writer(tmp_path / "f") as writer:
        writer.add_frame("eo", 0, START_NS, bytes(header))
        writer.add_frame("eo", 1, START_NS, b"no image at all")
    reader = FlightReader(tmp_path / "f")
    assert list(reader.images("eo")) == []
    assert any("65535 x 65535 pixels is over the limit" in problem for problem in reader.problems)
    assert any("is not an image" in problem for problem in reader.problems)


def test_a_writer_does_not_write_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(FlightError, match="not empty"):
        open_writer(tmp_path)


def test_a_writer_refuses_what_cannot_be_kept(tmp_path: Path) -> None:
    with open_writer(tmp_path / "f") as writer:
        with pytest.raises(FlightError, match="no sensor 'thermal'"):
            writer.add_frame("thermal", 0, START_NS, jpeg(1))
        with pytest.raises(FlightError, match="MAVLink frame of 0 bytes"):
            writer.append_telemetry(START_NS, b"")
        with pytest.raises(FlightError, match="images end in"):
            writer.add_frame("eo", 0, START_NS, jpeg(1), suffix=".exe")
        with pytest.raises(FlightError, match="not a plain path"):
            writer.add_file("../x", b"")
        with pytest.raises(FlightError, match="written by its own method"):
            writer.add_file("flight.json", b"")
        with pytest.raises(FlightError, match="not a plain path"):
            writer.set_sensor(Sensor(sensor_id="..", mount=GimbalMount()))
    with pytest.raises(FlightError, match="closed"):
        writer.append_telemetry(START_NS, b"x" * 10)


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "f")
    (tmp_path / "f/frames").write_text("in the way")
    with pytest.raises(FlightError, match="cannot be written"):
        writer.add_frame("eo", 0, START_NS, jpeg(1))
    writer.abandon()
    assert not FlightReader(tmp_path / "f").is_complete


def test_an_error_inside_the_with_leaves_an_unfinished_flight(tmp_path: Path) -> None:
    def fly() -> None:
        with open_writer(tmp_path / "f") as writer:
            writer.add_frame("eo", 0, START_NS, jpeg(1))
            raise RuntimeError("power gone")

    with pytest.raises(RuntimeError, match="power gone"):
        fly()
    assert not (tmp_path / "f/MANIFEST.sha256").exists()
    assert len(list(FlightReader(tmp_path / "f").frames("eo"))) == 1


def test_sensors_may_become_known_while_the_flight_goes_on(tmp_path: Path) -> None:
    with FlightWriter(
        tmp_path / "f", sortie_id="s", platform_id="p", telemetry_source="t", clock=CLOCK
    ) as writer:
        writer.set_sensor(Sensor(sensor_id="ir", kind="thermal", mount=GimbalMount()))
        writer.add_frame("ir", 0, START_NS, jpeg(9))
        writer.set_sensor(Sensor(sensor_id="ir", kind="thermal", mount=GimbalMount(), width_px=64))
    sensor = FlightReader(tmp_path / "f").info.sensor("ir")
    assert sensor.width_px == 64
    assert [media.path for media in sensor.media] == ["frames/ir"]
    assert FlightReader(tmp_path / "f").camera("ir") is None


def test_the_folder_is_named_by_utc_and_platform() -> None:
    assert flight_folder_name(1_795_286_530_000_000_000, "uav07") == "20261121T184210Z_uav07"
