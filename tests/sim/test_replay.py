"""A replay delivers what was recorded: every byte, in order, at its time, into real sockets and folders."""

import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.image_times import time_from_name
from sim.boot_time import shifted
from sim.replay import Item, Replay, Schedule, Timeline, folder_outputs
from sim.replay_outputs import FolderOutput, MavlinkSocket, MpegTsOutput
from skywarden.errors import ConfigError, FlightError, LinkError, UsageError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import ClockNote, FixedMount, Sensor
from skywarden.flight.writer import FlightWriter
from skywarden.mavlink.framing import parse_frame
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import read_tlog

START_NS = 1_768_498_200_000_000_000
S = 1_000_000_000


class Collector:
    """An output that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_closed = False

    def open(self, stop: threading.Event) -> None:
        pass

    def send(self, raw: bytes) -> None:
        self.frames.append(raw)

    def close(self) -> None:
        self.is_closed = True


class Listener:
    """A UDP socket that a thread reads until enough datagrams came."""

    def __init__(self, want: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5.0)
        self.port = self._socket.getsockname()[1]
        self.datagrams: list[bytes] = []
        self._want = want
        self._thread = threading.Thread(target=self._read, name="test-listener")
        self._thread.start()

    def finish(self) -> list[bytes]:
        self._thread.join(30.0)
        self._socket.close()
        return self.datagrams

    def _read(self) -> None:
        try:
            while len(self.datagrams) < self._want:
                self.datagrams.append(self._socket.recv(2048))
        except TimeoutError:
            return


def _record(path: Path, *, seconds: float = 2.0, fps: float = 5.0) -> list[bytes]:
    """A small flight: attitude at 10 Hz and one frame of an unknown id, with tiny pictures."""
    maker = MessageMaker(7, 1)
    sent = []
    with FlightWriter(
        path,
        sortie_id="s1",
        platform_id="p1",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=(Sensor(sensor_id="eo", mount=FixedMount(pitch_deg=-90.0)),),
    ) as writer:
        for k in range(int(seconds * 10)):
            raw = maker.attitude(time_boot_ms=1000 + 100 * k, roll_deg=k, pitch_deg=0.0, heading_deg=3.0)
            if k == 3:  # an id that no dialect has: nobody can check it, and nobody may drop it
                raw = bytes([0xFD, 2, 0, 0, 9, 7, 1, 0xFE, 0xFF, 0x7F, 1, 2, 3, 4])
            sent.append(raw)
            writer.append_telemetry(START_NS + k * S // 10, raw)
        for k in range(int(seconds * fps)):
            picture = np.full((24, 32, 3), 10 * k, np.uint8)
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            writer.add_frame("eo", k, START_NS + round(k * S / fps), jpeg)
    return sent


@pytest.fixture
def flight(tmp_path: Path) -> tuple[Path, list[bytes]]:
    path = tmp_path / "flight"
    return path, _record(path)


def test_a_timeline_says_when_a_recorded_moment_is_due_and_what_to_call_it() -> None:
    timeline = Timeline(recorded_ns=100 * S, monotonic_ns=7 * S, utc_ns=1000 * S, rate=2.0)
    assert timeline.due_ns(104 * S) == 9 * S
    assert timeline.live_ns(104 * S) == 1004 * S
    assert Timeline(recorded_ns=100 * S, monotonic_ns=7, utc_ns=0, rate=None).due_ns(10**18) == 7


def test_a_schedule_gives_each_item_once_and_only_when_it_is_due() -> None:
    items = [Item(time_ns=k * S, raw=bytes([k])) for k in range(4)]
    schedule = Schedule(iter(items), Timeline(recorded_ns=0, monotonic_ns=50 * S, utc_ns=0, rate=1.0))
    assert list(schedule.due(50 * S - 1)) == []
    assert [item.raw for item in schedule.due(51 * S)] == [b"\0", b"\1"]
    assert schedule.next_due_ns == 52 * S
    assert [item.raw for item in schedule.due(60 * S)] == [b"\2", b"\3"]
    assert schedule.next_due_ns is None


def test_every_frame_arrives_over_udp_byte_for_byte_also_of_unknown_ids(
    flight: tuple[Path, list[bytes]],
) -> None:
    path, sent = flight
    listener = Listener(len(sent))
    output = MavlinkSocket(f"udpout:127.0.0.1:{listener.port}", is_paced=True)
    report = Replay(path, mavlink=output, rate=None).run()
    assert listener.finish() == sent
    assert (report.telemetry_count, report.telemetry_bytes) == (len(sent), sum(map(len, sent)))


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_tlog_arrives_over_udp_byte_for_byte_in_order(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "recordings" / "cuav-2018" / "flight.tlog"
    recorded = [bytes(raw) for _, raw in read_tlog(source)]
    with FlightWriter(
        tmp_path / "flight",
        sortie_id="s1",
        platform_id="p1",
        telemetry_source="real",
        clock=ClockNote(source="log"),
    ) as writer:
        writer.copy_telemetry(source)
    listener = Listener(len(recorded))
    output = MavlinkSocket(f"udpout:127.0.0.1:{listener.port}", is_paced=True)
    report = Replay(tmp_path / "flight", mavlink=output, rate=None).run()
    assert report.telemetry_count == len(recorded) > 1000
    assert listener.finish() == recorded


@pytest.mark.parametrize("kind", ["tcpin", "tcp"])
def test_tcp_carries_the_same_bytes_in_both_roles(flight: tuple[Path, list[bytes]], kind: str) -> None:
    path, sent = flight
    whole = b"".join(sent)
    received = bytearray()
    server = socket.create_server(("127.0.0.1", 0)) if kind == "tcp" else None
    port = server.getsockname()[1] if server else 0
    output = MavlinkSocket(f"{kind}:127.0.0.1:{port}")
    output.bind()
    if server is None:
        peer = socket.create_connection(output.address, timeout=5.0)

    def read() -> None:
        other = server.accept()[0] if server else peer
        other.settimeout(5.0)
        with other:
            other.sendall(b"hello autopilot")
            while data := other.recv(4096):
                received.extend(data)

    reader = threading.Thread(target=read, name="test-reader")
    reader.start()
    Replay(path, mavlink=output, rate=None).run()
    reader.join(10.0)
    if server is not None:
        server.close()
    assert bytes(received) == whole


def test_udpin_answers_whoever_spoke_first(flight: tuple[Path, list[bytes]]) -> None:
    path, sent = flight
    output = MavlinkSocket("udpin:127.0.0.1:0", is_paced=True)
    output.bind()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5.0)
        client.sendto(b"\xfd", output.address)
        Replay(path, mavlink=output, rate=None).run()
        assert [client.recv(2048) for _ in sent] == sent


def test_pictures_appear_whole_under_names_that_carry_their_recorded_time(
    flight: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    reader = FlightReader(flight[0])
    outputs = folder_outputs(reader, tmp_path / "inbox")
    report = Replay(reader, frames=outputs, rate=None).run()
    files = sorted((tmp_path / "inbox").iterdir())
    assert report.frame_count == len(files) == 10
    assert [time_from_name(file.name) for file in files] == [frame.time_ns for frame in reader.frames("eo")]
    recorded = [frame.path.read_bytes() for frame in reader.frames("eo")]
    assert [file.read_bytes() for file in files] == recorded


@pytest.mark.slow
def test_played_as_live_the_names_tell_the_present_and_keep_the_spacing(
    flight: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    started_ns = time.time_ns()
    outputs = {"eo": FolderOutput(tmp_path / "inbox")}
    report = Replay(flight[0], frames=outputs, as_live=True, seconds=0.61).run()
    times = [time_from_name(file.name) or 0 for file in sorted((tmp_path / "inbox").iterdir())]
    assert 0 <= times[0] - started_ns < S
    assert np.diff(times).tolist() == [S // 5] * 3
    assert time.time_ns() - started_ns >= 0.6 * S
    assert report.latest_s < 0.5


@pytest.mark.slow
def test_telemetry_and_pictures_come_in_the_order_of_their_times(flight: tuple[Path, list[bytes]]) -> None:
    reader = FlightReader(flight[0])
    replay = Replay(reader, mavlink=Collector(), frames=folder_outputs(reader, flight[0].parent / "inbox"))
    items = list(replay.items())
    assert len(items) == 30
    assert [item.time_ns for item in items] == sorted(item.time_ns for item in items)
    assert items[0].raw is not None
    assert items[1].picture is not None


def test_a_piece_of_a_flight_is_played_alone(flight: tuple[Path, list[bytes]]) -> None:
    path, sent = flight
    output = Collector()
    Replay(path, mavlink=output, rate=None, start_s=0.5, seconds=0.4).run()
    assert output.frames == sent[5:10]
    assert output.is_closed


def test_a_replay_stops_between_two_frames_when_told(flight: tuple[Path, list[bytes]]) -> None:
    stop = threading.Event()
    output = Collector()

    class Stopper(Collector):
        def send(self, raw: bytes) -> None:
            output.send(raw)
            if len(output.frames) == 4:
                stop.set()

    report = Replay(flight[0], mavlink=Stopper(), rate=None, loop=True).run(stop)
    assert report.is_stopped
    assert len(output.frames) == 4


def _boot_times(frames: list[bytes]) -> list[int]:
    parsed = [parse_frame(raw) for raw in frames]
    return [int.from_bytes(frame.payload[:4], "little") for frame in parsed if frame and frame.msgid == 30]


@pytest.mark.parametrize("boot_time", ["keep", "continue"])
def test_a_loop_starts_anew_or_runs_on(flight: tuple[Path, list[bytes]], boot_time: str) -> None:
    path, sent = flight
    stop = threading.Event()

    class Twice(Collector):
        def send(self, raw: bytes) -> None:
            super().send(raw)
            if len(self.frames) == 2 * len(sent):
                stop.set()

    output = Twice()
    mode = "keep" if boot_time == "keep" else "continue"
    Replay(path, mavlink=output, rate=None, loop=True, boot_time=mode).run(stop)
    assert output.frames[: len(sent)] == sent
    times = _boot_times(output.frames)
    if boot_time == "keep":
        assert output.frames[len(sent) :] == sent
    else:
        assert times == sorted(times)
        assert times[len(times) // 2] - times[0] == 2000  # 1.9 s of flight and 0.1 s until it begins again


def test_moving_the_clock_on_changes_the_clock_and_the_checksum_and_nothing_else() -> None:
    maker = MessageMaker(3, 1)
    raw = maker.system_time(time_boot_ms=5_000, time_unix_us=1_700_000_000_000_000)
    moved = parse_frame(shifted(raw, 60_000))
    assert moved is not None
    assert int.from_bytes(moved.payload[:8], "little") == 1_700_000_060_000_000
    assert int.from_bytes(moved.payload[8:12].ljust(4, b"\0"), "little") == 65_000
    beat = maker.heartbeat()
    assert shifted(beat, 60_000) == beat
    damaged = raw[:-1] + bytes([raw[-1] ^ 1])
    assert shifted(damaged, 60_000) == damaged
    version_1 = MessageMaker(3, 1, version=1).attitude(
        time_boot_ms=10, roll_deg=1.0, pitch_deg=2.0, heading_deg=3.0
    )
    back = shifted(shifted(version_1, 60_000), -60_000)
    assert back == version_1


def test_an_mpeg_ts_stream_decodes_to_the_recorded_pictures_at_their_spacing(
    flight: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    target = tmp_path / "eo.ts"
    Replay(flight[0], frames={"eo": MpegTsOutput(str(target))}, rate=None).run()
    with av.open(str(target)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == 10
    greys = [float(frame.to_ndarray(format="bgr24").mean()) for frame in decoded]
    assert np.allclose(greys, [10.0 * k for k in range(10)], atol=4.0)
    spacing = np.diff([float(frame.pts * frame.time_base) for frame in decoded])
    assert np.allclose(spacing, 0.2, atol=1e-4)


def test_words_that_do_not_fit_together_are_refused(flight: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rate 1"):
        Replay(flight[0], mavlink=Collector(), rate=2.0, as_live=True)
    with pytest.raises(UsageError, match="nothing is left"):
        Replay(flight[0], mavlink=Collector(), start_s=60.0)
    with pytest.raises(FlightError, match="no sensor"):
        Replay(flight[0], frames={"ir": FolderOutput(tmp_path / "inbox")})
    with pytest.raises(FlightError, match="neither"):
        Replay(flight[0])
    with pytest.raises(ConfigError, match="udpout"):
        MavlinkSocket("serial:/dev/ttyAMA0:921600")


def test_an_address_in_use_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinkError, match="cannot be used"):
            MavlinkSocket(f"tcpin:127.0.0.1:{port}").bind()


def test_a_folder_keeps_only_as_many_of_its_own_pictures_as_asked(
    flight: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "someone-elses.jpg").write_bytes(b"x")
    Replay(flight[0], frames={"eo": FolderOutput(inbox, keep=3)}, rate=None).run()
    names = sorted(file.name for file in inbox.iterdir())
    assert len(names) == 4
    assert "someone-elses.jpg" in names
