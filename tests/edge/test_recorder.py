"""What is recorded verifies and replays; a disk that refuses ends the recording and never the flight."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge.cameras.config import CameraConfig
from edge.config import EdgeConfig, LensConfig, MountConfig, RecorderConfig, SensorConfig
from edge.recorder import SPACE_CHECK_NS, Recorder
from sim.replay import Replay, folder_outputs
from skywarden.flight import FixedMount, FlightReader, GimbalMount, verify
from skywarden.mavlink.synth import MessageMaker
from tests.edge.eyes import T0, S

SORTIE = "20251009T085320Z_uav07"
JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
FIXED = {"kind": "fixed", "roll_deg": 1.0, "pitch_deg": -90.0, "yaw_deg": 2.0}


def _camera(sensor_id: str) -> CameraConfig:
    return CameraConfig(url="/somewhere", sensor_id=sensor_id, frame_lag_s=0.5)


def _config(**recorder: object) -> EdgeConfig:
    lens = LensConfig(width_px=64, height_px=48, fx=60.0, distortion=(0.1, 0.0, 0.0, 0.0))
    sensors = (
        SensorConfig(camera=_camera("eo"), lens=lens, mount=msgspec.convert(FIXED, MountConfig)),
        SensorConfig(camera=_camera("thermal"), mount=MountConfig(gimbal_device_id=154)),
    )
    given = {"min_free_bytes": 0, **recorder}
    return EdgeConfig(platform_id="uav07", sensor=sensors, recorder=msgspec.convert(given, RecorderConfig))


def _fly(recorder: Recorder, *, count: int = 50) -> None:
    maker = MessageMaker(1, 1)
    for number in range(count):
        raw = maker.attitude(time_boot_ms=100 * number, roll_deg=1, pitch_deg=2, heading_deg=number)
        recorder.telemetry(T0 + number * S // 10, raw)
        if number % 5 == 0:
            recorder.image("eo", number, T0 + number * S // 10, JPEG, ".jpg")
        recorder.tend(number * S // 10)


@pytest.fixture
def small_disk() -> Iterator[int]:
    """No file of this process may grow beyond this size, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_recorded_flight_verifies_and_tells_lens_and_mount(tmp_path: Path) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    assert recorder.path == tmp_path / SORTIE
    _fly(recorder)
    recorder.close()
    report = verify(tmp_path / SORTIE)
    assert report.is_good, report
    assert (report.telemetry_count, report.frame_counts) == (50, {"eo": 10, "thermal": 0})
    assert (recorder.telemetry_count, recorder.frame_count, recorder.fault) == (50, 10, None)
    reader = FlightReader(tmp_path / SORTIE)
    assert reader.is_complete
    eo, thermal = reader.info.sensors
    assert eo.mount == FixedMount(roll_deg=1.0, pitch_deg=-90.0, yaw_deg=2.0)
    assert thermal.mount == GimbalMount(gimbal_device_id=154)
    assert eo.frame_lag_s == 0.5
    camera = reader.camera("eo")
    assert camera is not None
    assert (camera.fx, camera.fy, camera.cx, camera.distortion) == (60.0, 60.0, 31.5, (0.1, 0.0, 0.0, 0.0))
    assert reader.camera("thermal") is None


def test_a_recorded_flight_replays_every_byte_and_picture(tmp_path: Path) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    _fly(recorder)
    recorder.close()
    reader = FlightReader(tmp_path / SORTIE)
    outputs = folder_outputs(reader, tmp_path / "inbox")
    assert Replay(reader, frames=outputs, rate=None).run().frame_count == 10
    assert {file.read_bytes() for file in (tmp_path / "inbox").rglob("*.jpg")} == {JPEG}
    assert [time_ns for time_ns, _ in reader.telemetry()] == [T0 + number * S // 10 for number in range(50)]


def test_a_flight_that_is_cut_off_still_opens(tmp_path: Path) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    _fly(recorder)
    recorder.tend(100 * S)
    reader = FlightReader(tmp_path / SORTIE)
    assert not reader.is_complete
    assert len(list(reader.telemetry())) == 50
    assert len(list(reader.frames("eo"))) == 10
    recorder.close()


def test_a_disk_that_fills_up_stops_the_recording_and_not_the_flight(tmp_path: Path, small_disk: int) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    _fly(recorder, count=3000)
    assert recorder.fault is not None
    assert "File too large" in recorder.fault
    assert recorder.path is None
    assert not recorder.keeps_images
    assert 100 < recorder.telemetry_count < 3000
    recorder.close()
    assert len(list(FlightReader(tmp_path / SORTIE).telemetry())) >= 100, "what was written stays readable"


def test_a_disk_that_refuses_a_picture_stops_the_recording_too(tmp_path: Path, small_disk: int) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    recorder.image("eo", 1, T0, bytes(small_disk + 1), ".jpg")
    assert recorder.fault is not None
    recorder.image("eo", 2, T0 + S, JPEG, ".jpg")
    recorder.telemetry(T0, b"x")
    recorder.tend(0)
    recorder.close()
    assert recorder.frame_count == 0


def test_a_place_that_cannot_be_written_is_a_fault_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "flights").write_text("a file where a folder should be")
    recorder = Recorder(_config(), SORTIE, tmp_path / "flights")
    assert recorder.fault is not None
    assert recorder.path is None
    _fly(recorder)
    recorder.close()


def test_a_sortie_that_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    first = Recorder(_config(), SORTIE, tmp_path)
    _fly(first)
    first.close()
    second = Recorder(_config(), SORTIE, tmp_path)
    assert second.fault is not None
    assert "not empty" in second.fault
    assert verify(tmp_path / SORTIE).is_good


def test_a_disk_that_goes_away_in_flight_stops_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(_config(), SORTIE, tmp_path)
    _fly(recorder, count=10)
    (tmp_path / SORTIE).rename(tmp_path / "gone")
    recorder.tend(SPACE_CHECK_NS)
    assert recorder.fault is not None
    assert recorder.path is None


def test_little_space_ends_the_pictures_and_leaves_the_telemetry(tmp_path: Path) -> None:
    recorder = Recorder(_config(min_free_bytes=10**18), SORTIE, tmp_path)
    recorder.tend(0)
    assert not recorder.has_space
    assert not recorder.keeps_images
    _fly(recorder)
    recorder.close()
    report = verify(tmp_path / SORTIE)
    assert (report.telemetry_count, sum(report.frame_counts.values())) == (50, 0)
    assert recorder.fault is None


def test_recording_that_is_off_writes_nothing(tmp_path: Path) -> None:
    recorder = Recorder(_config(is_on=False), SORTIE, tmp_path)
    _fly(recorder)
    recorder.close()
    assert (recorder.path, recorder.fault, recorder.has_space) == (None, None, True)
    assert list(tmp_path.iterdir()) == []


def test_no_pictures_are_kept_at_a_rate_of_zero(tmp_path: Path) -> None:
    recorder = Recorder(_config(frames_per_s=0.0), SORTIE, tmp_path)
    _fly(recorder)
    recorder.close()
    assert recorder.frame_count == 0
    assert verify(tmp_path / SORTIE).is_good


def test_every_ten_seconds_and_at_the_end_the_disk_itself_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    recorder = Recorder(_config(), SORTIE, tmp_path)
    recorder.tend(100 * S)
    recorder.image("eo", 0, T0, JPEG, ".jpg")
    recorder.telemetry(T0, b"raw")
    synced.clear()
    recorder.tend(109 * S)
    assert synced == []
    recorder.tend(110 * S)
    assert {"telemetry.tlog", "frames.jsonl", "000000000.jpg"} <= set(synced)
    recorder.image("eo", 1, T0 + S, JPEG, ".jpg")
    recorder.close()
    assert synced.index("000000001.jpg") < max(
        n for n, name in enumerate(synced) if "manifest" in name.lower()
    )
