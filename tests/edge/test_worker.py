"""The whole worker as systemd starts it: no ground, parts that fail, garbage, a full disk, a clean stop."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from edge.environment import clean_environment
from edge.link.outbox import Outbox
from edge.supervisor import python_module
from edge.worker import free_sortie_id
from skywarden import wire
from skywarden.flight import verify
from skywarden.messages import Chip, Health, Message, Sighting
from tests.edge.edge_process import PLACE, EdgeProcess, argv_of

pytestmark = pytest.mark.slow


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeProcess]:
    with EdgeProcess(tmp_path) as running:
        yield running


def held(state: Path) -> list[Message]:
    """What the outbox holds, oldest first."""
    outbox = Outbox(state / "outbox.sqlite", "uav07")
    try:
        records = outbox.pending(10**9, limit_records=100_000)
    finally:
        outbox.close()
    return [wire.decode(each.topic, each.body) for each in sorted(records, key=lambda each: each.seq)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_sortie_without_a_ground_fills_the_outbox_and_ends_cleanly(edge: EdgeProcess) -> None:
    assert edge.told_systemd().startswith("READY=1\nSTATUS=sortie 2")
    edge.until(lambda: edge.ask("/readyz")[0] == 200, "ready: telemetry heard and vision at work")
    edge.until(lambda: edge.metric('messages_total{platform="uav07",topic="chip"') >= 1, "a chip")
    edge.until(lambda: edge.metric("outbox_records") >= 5, "five records in the outbox")
    edge.until(lambda: edge.metric("frames_per_second") > 0.5, "a rate of frames")
    assert edge.metric("link_up") == 0.0
    assert edge.metric("telemetry_overflow") == 0.0
    assert edge.ask("/healthz")[0] == 200
    told = [edge.told_systemd() for _ in range(2)]
    assert all(each.startswith("WATCHDOG=1\nSTATUS=") for each in told)
    edge.autopilot.stop()
    edge.until(lambda: edge.metric("telemetry_frames") >= edge.autopilot.sent_count, "all telemetry")

    assert edge.terminate() < 5.0
    assert edge.process.returncode == 143
    while (last := edge.told_systemd(2.0)) != "STOPPING=1":
        assert last.startswith("WATCHDOG=1")
    messages = held(edge.state)
    sightings = [message for message in messages if isinstance(message, Sighting)]
    assert len(sightings) >= 4
    assert [message for message in messages if isinstance(message, Chip)]
    located = [sighting.position for sighting in sightings if sighting.position is not None]
    assert located
    for position in located:
        assert (position.latitude_deg, position.longitude_deg) == pytest.approx(PLACE, abs=2e-5)
    (flight,) = (edge.state / "flights").iterdir()
    report = verify(flight)
    assert report.is_good, report
    assert report.telemetry_count == edge.autopilot.sent_count
    assert report.frame_counts["eo"] >= 2


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_vision_process_that_cannot_start_is_told_and_telemetry_flows_on(tmp_path: Path) -> None:
    with EdgeProcess(tmp_path, model="no-such-model") as edge:
        edge.until(lambda: len(edge.events("not_running")) > 0, "the condition")
        condition = edge.events("not_running")[0]
        assert condition["component"] == "vision.eo"
        assert condition["state"] == "degraded"
        assert "ended with code 1" in condition["text"]
        reasons = edge.events("vision ends")
        edge.until(lambda: len(edge.events("vision ends")) > 0, "the reason")
        assert "no model is called 'no-such-model'" in (reasons or edge.events("vision ends"))[0]["error"]
        before = edge.metric("telemetry_frames")
        edge.until(lambda: edge.metric("telemetry_frames") > before + 40, "more telemetry")
        assert edge.ask("/readyz")[0] == 503
        assert edge.terminate() < 5.0
        assert edge.process.returncode == 143
        healths = [message for message in held(edge.state) if isinstance(message, Health)]
        assert any(each.component == "vision.eo" and each.state != "ok" for each in healths)
        (flight,) = (edge.state / "flights").iterdir()
        assert verify(flight).telemetry_count > 40


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_garbage_from_a_vision_process_is_refused_and_the_flight_goes_on(edge: EdgeProcess) -> None:
    edge.until(lambda: edge.ask("/readyz")[0] == 200, "ready")
    (child,) = edge.children()
    argv = argv_of(child)
    results = argv[argv.index("--results") + 1]
    context = zmq.Context()
    try:
        hostile = context.socket(zmq.PUSH)
        hostile.setsockopt(zmq.LINGER, 2000)
        hostile.connect(results)
        for parts in (
            [b""],
            [b"M"],
            [b"L", b"eo"],
            [b"L", b"eo", b"\xc1"],
            [b"L", b"nobody", b""],
            [b"M", b"eo", b"sighting", b"\x01\x90"],
            [b"M", b"eo", b"\xff", b"\x01\x90"],
            [b"M", b"eo", b"detections", b"\x02" * 1000],
            [b"M", b"\xff", b"sighting", b""],
            [b"I", b"eo", b"\x93\x01\x02\xa4.exe", b"MZ"],
        ):
            hostile.send_multipart(parts)
        edge.until(
            lambda: len(edge.events("a vision process said something unreadable")) == 10, "ten refusals"
        )
    finally:
        context.destroy()
    before = edge.metric("telemetry_frames")
    edge.until(lambda: edge.metric("telemetry_frames") > before + 20, "more telemetry")
    assert edge.children() == [child]
    assert edge.terminate() < 5.0
    assert edge.process.returncode == 143


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_full_disk_ends_the_recording_holds_records_in_memory_and_loses_none(edge: EdgeProcess) -> None:
    edge.until(lambda: edge.metric("outbox_records") >= 2, "two records in the outbox")
    pid = edge.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    edge.until(lambda: len(edge.events("refused")) == 1, "the outbox's condition")
    edge.until(lambda: len(edge.events("stopped")) >= 1, "the recorder's condition")
    assert edge.events("stopped")[0]["component"] == "recorder"
    assert edge.events("refused")[0]["state"] == "failed"
    flown = edge.metric("telemetry_frames")
    edge.until(lambda: edge.metric("telemetry_frames") > flown + 80, "telemetry while the disk is full")
    counted = edge.metric('messages_total{platform="uav07",topic="sighting"')
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    edge.until(lambda: len(edge.events("refused")) == 2, "the end of the outbox's condition")
    assert edge.events("refused")[1]["state"] == "ok"
    assert edge.terminate() < 5.0
    assert edge.process.returncode == 143
    sightings = [message for message in held(edge.state) if isinstance(message, Sighting)]
    assert len(sightings) >= counted
    assert len({sighting.sighting_id for sighting in sightings}) == len(sightings)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_vision_process_that_hangs_does_not_hold_up_the_stop(edge: EdgeProcess) -> None:
    edge.until(lambda: edge.ask("/readyz")[0] == 200, "ready")
    (child,) = edge.children()
    os.kill(child, signal.SIGSTOP)
    assert edge.terminate() < 5.0
    assert edge.process.returncode == 143
    assert not Path(f"/proc/{child}").exists()


def test_a_clock_that_starts_at_the_same_time_again_does_not_repeat_a_sorties_name(tmp_path: Path) -> None:
    first = free_sortie_id(tmp_path / "flights", 0, "uav07")
    assert first == "19700101T000000Z_uav07"
    for expected in (first, f"{first}-2", f"{first}-3"):
        assert free_sortie_id(tmp_path / "flights", 0, "uav07") == expected
        (tmp_path / "flights" / expected).mkdir(parents=True)
    assert free_sortie_id(tmp_path / "flights", 0, "uav08") == "19700101T000000Z_uav08"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('platform_id = "a b"', "platform_id"),
        ('platform_id = "a"\n[recorder]\njpeg_quality = 101', "recorder.jpeg_quality"),
        ('platform_id = "a"\n[metrics]\nlisten = "everywhere"', "metrics.listen"),
        ('platform_id = "a"\n[mavlink]\nconnection = "pigeon"', "pigeon"),
    ],
)
def test_a_wrong_file_ends_with_78_and_names_the_key(tmp_path: Path, text: str, where: str) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n{text}')
    argv = [*python_module("skywarden.cli"), "edge", "run", str(config)]
    done = subprocess.run(argv, env=clean_environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 78
    assert where in done.stderr
    assert "Traceback" not in done.stderr
