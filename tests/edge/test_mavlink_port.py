"""The port on real sockets, a real pseudo-terminal and real MAVLink bytes, with pymavlink as the peer."""

import contextlib
import os
import pty
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pymavlink.dialects.v20 import ardupilotmega

from edge.mavlink_port import MavlinkConfig, MavlinkPort, Talker, load_guard
from skywarden.errors import ConfigError
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.mavlink.signing import SigningGuard
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.tlog import write_tlog

S = 1_000_000_000
WAIT_S = 8.0


class Heard:
    """Collects what a port hands over and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self._changed = threading.Condition()

    def __call__(self, received_ns: int, raw: bytes) -> None:
        with self._changed:
            self.frames.append((received_ns, raw))
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[bytes]:
        """The first `count` frames."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.frames) >= count, WAIT_S), len(self.frames)
            return [raw for _, raw in self.frames[:count]]


def _until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        if value := holds():
            return value
        pause.wait(0.01)
    raise AssertionError(f"waited {WAIT_S} s in vain for {what}")


@contextlib.contextmanager
def _running(connection: str, **changes: Any) -> Iterator[tuple[MavlinkPort, Heard]]:
    heard = Heard()
    port = MavlinkPort(MavlinkConfig(connection=connection, **changes), heard)
    port.start()
    try:
        yield port, heard
    finally:
        started = time.monotonic()
        port.stop()
        assert time.monotonic() - started < 2.0
        assert port.is_finished


def _frames(count: int = 20) -> list[bytes]:
    maker = MessageMaker(1, 1)
    frames = [maker.heartbeat()]
    for number in range(count - 1):
        frames.append(maker.attitude(time_boot_ms=number, roll_deg=1, pitch_deg=2, heading_deg=number))
    return frames


def _address(port: MavlinkPort) -> tuple[str, int]:
    address: tuple[str, int] = _until(lambda: port.state.address, "the address")
    return address


def _beats(port: MavlinkPort, receive: Callable[[], bytes | None]) -> Any:
    """Beat the port until pymavlink reads a heartbeat of it from what `receive` gives."""
    reader = ardupilotmega.MAVLink(None)
    reader.robust_parsing = True

    def _heartbeat() -> Any:
        port.beat()
        for message in reader.parse_buffer(receive() or b"") or []:
            if message.get_type() == "HEARTBEAT":
                return message
        return None

    return _until(_heartbeat, "a heartbeat")


def test_udpin_hears_everyone_and_answers_those_it_heard() -> None:
    with (
        _running("udpin:127.0.0.1:0", sysid=1) as (port, heard),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        sent = _frames()
        for raw in sent:
            peer.sendto(raw, _address(port))
        assert heard.wait_for(len(sent)) == sent
        peer.settimeout(0.05)
        beat = _beats(port, lambda: _received(peer))
        assert (beat.get_srcSystem(), beat.get_srcComponent()) == (1, 191)
        assert (beat.type, beat.autopilot, beat.base_mode, beat.system_status) == (18, 8, 0, 4)


def _received(peer: socket.socket) -> bytes | None:
    try:
        return peer.recv(65_536)
    except TimeoutError:
        return None


def test_udpout_speaks_first_and_hears_the_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(0.05)
        with _running(f"udpout:127.0.0.1:{peer.getsockname()[1]}") as (port, heard):
            senders: list[Any] = []

            def _receive() -> bytes | None:
                try:
                    data, sender = peer.recvfrom(65_536)
                except TimeoutError:
                    return None
                senders.append(sender)
                return data

            _beats(port, _receive)
            for raw in _frames():
                peer.sendto(raw, senders[0])
            assert heard.wait_for(20) == _frames()


def test_frames_of_two_senders_that_come_in_pieces_are_not_mixed() -> None:
    with (
        _running("udpin:127.0.0.1:0") as (port, heard),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        first, second = _frames(2)[1], MessageMaker(9, 1).heartbeat()
        address = _address(port)
        for piece in range(0, 48, 12):
            one.sendto(first[piece : piece + 12], address)
            two.sendto(second[piece : piece + 12] or b"\0", address)
        assert set(heard.wait_for(2)) == {first, second}


@pytest.mark.slow
def test_tcp_client_survives_a_peer_that_goes_away() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, _running(f"tcp:127.0.0.1:{server.getsockname()[1]}") as (port, heard):
        server.settimeout(WAIT_S)
        for round_number in (1, 2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"garbage\xfd" + b"".join(_frames()))
                heard.wait_for(20 * round_number)
        assert port.state.opened_count >= 2


def test_tcpin_serves_several_clients() -> None:
    with _running("tcpin:127.0.0.1:0", sysid=1) as (port, heard):
        address = _address(port)
        with socket.create_connection(address) as one, socket.create_connection(address) as two:
            one.sendall(_frames(2)[0])
            two.sendall(_frames(2)[1])
            heard.wait_for(2)
            two.settimeout(0.05)
            assert _beats(port, lambda: _received(two)).get_srcComponent() == 191


def test_a_unix_socket_is_a_stream_like_tcp(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "m.sock"))
        server.listen(1)
        server.settimeout(WAIT_S)
        with _running(f"unix:{tmp_path / 'm.sock'}") as (_, heard):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"".join(_frames()))
                assert heard.wait_for(20) == _frames()


def test_a_serial_port_is_read_and_written() -> None:
    master, slave = pty.openpty()
    try:
        tty.setraw(master)
        tty.setraw(slave)
        with _running(f"serial:{os.ttyname(slave)}:57600", sysid=1) as (port, heard):
            _until(lambda: port.state.is_open, "the open serial port")
            stream = b"".join(_frames())
            for at in range(0, len(stream), 31):
                os.write(master, stream[at : at + 31])
            assert heard.wait_for(20) == _frames()

            def _receive() -> bytes | None:
                return os.read(master, 4096) if select.select([master], [], [], 0.05)[0] else None

            assert _beats(port, _receive).get_srcSystem() == 1
    finally:
        os.close(master)
        os.close(slave)


def test_a_missing_device_is_said_and_tried_again(tmp_path: Path) -> None:
    with _running(f"serial:{tmp_path / 'ttyNONE'}:57600") as (port, _):
        assert "cannot be opened" in _until(lambda: port.state.fault, "the fault")
        assert not port.state.is_open


@pytest.mark.slow
def test_a_recording_is_played_with_its_own_times(tmp_path: Path) -> None:
    records = [(1_700_000_000 * S + number * S // 100, raw) for number, raw in enumerate(_frames(30))]
    write_tlog(tmp_path / "a.tlog", records)
    with _running(str(tmp_path / "a.tlog")) as (port, heard):
        heard.wait_for(30)
        assert heard.frames == records
        _until(lambda: port.is_finished, "the end")


def test_a_recording_that_is_none_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.tlog").write_bytes(b"nothing of the kind" * 50)
    with _running(str(tmp_path / "a.tlog")) as (port, _):
        assert "no telemetry log" in _until(lambda: port.state.fault, "the fault")


@pytest.mark.slow
def test_receive_only_sends_nothing_at_all() -> None:
    with (
        _running("udpin:127.0.0.1:0", sysid=1, receive_only=True) as (port, heard),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.settimeout(0.3)
        for raw in _frames():
            peer.sendto(raw, _address(port))
        command = MessageMaker(255, 190).command_long(
            target_system=1, target_component=191, command=512, params=(0.0,)
        )
        peer.sendto(command, _address(port))
        heard.wait_for(21)
        port.beat()
        port.statustext(4, "not to be heard")
        assert _received(peer) is None
        assert port.state.sent_frames == 0


def test_with_signing_only_signed_frames_come_in_and_go_out(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    state = tmp_path / "state"
    signing = {"signing_key_file": str(key), "signing_state_file": str(state)}
    with (
        _running("udpin:127.0.0.1:0", sysid=1, **signing) as (port, heard),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        guard = SigningGuard(bytes(range(32)), link_id=7)
        guard.advance_to(time.time_ns())
        signed = MessageMaker(1, 1, signer=guard).heartbeat()
        peer.sendto(MessageMaker(1, 1).heartbeat(), _address(port))
        peer.sendto(signed, _address(port))
        assert heard.wait_for(1) == [signed]
        assert port.state.framing.refused == 1
        peer.settimeout(0.05)
        raws: list[bytes] = []

        def _receive() -> bytes | None:
            data = _received(peer)
            raws.extend([data] if data else [])
            return data

        _beats(port, _receive)
        frame = parse_frame(raws[0])
        assert frame is not None
        assert frame.is_signed
        assert guard.admits(frame)
    assert int(state.read_text()) > 0


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("00" * 32)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_guard(MavlinkConfig(signing_key_file=str(key)))
    key.chmod(0o600)
    assert load_guard(MavlinkConfig(signing_key_file=str(key))) is not None
    key.write_text("zz")
    with pytest.raises(ConfigError, match="64 hex"):
        load_guard(MavlinkConfig(signing_key_file=str(key)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"connection": "nonsense"},
        {"connection": "udpout:10.0.0.1:14550", "receive_only": True},
        {"sysid": 256},
        {"compid": 0},
        {"height_datum": "amsl"},
        {"speed": 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, MavlinkConfig)


class Link:
    """A talker on a made-up clock, with pymavlink reading what it says."""

    def __init__(self, **changes: Any) -> None:
        self.talker = Talker(MavlinkConfig(**changes))
        self.now_ns = 100 * S
        self.said: list[Any] = []
        self._reader = ardupilotmega.MAVLink(None)

    def hear(self, raw: bytes) -> None:
        frame = parse_frame(raw)
        assert isinstance(frame, Frame)
        self._note(self.talker.hear(frame, self.now_ns))

    def run(self, seconds: float, *raws: bytes, state: Any = "ok") -> None:
        """Every tenth of a second all `raws` are heard and the loop beats."""
        for _ in range(round(seconds * 10)):
            self.now_ns += S // 10
            for raw in raws:
                self.hear(raw)
            self._note(self.talker.beat(state, self.now_ns))

    def _note(self, frames: list[bytes]) -> None:
        self.said += [self._reader.decode(bytearray(raw)) for raw in frames]

    def said_types(self) -> list[str]:
        return [message.get_type() for message in self.said]


BEAT = MessageMaker(42, 1).heartbeat()


def test_our_system_id_is_the_vehicles_after_three_seconds() -> None:
    link = Link()
    link.run(2.9, BEAT)
    assert link.said == []
    link.run(2.0, BEAT)
    assert {message.get_srcSystem() for message in link.said} == {42}
    assert link.said_types().count("HEARTBEAT") in (1, 2)


def test_heartbeats_come_once_a_second_and_only_while_the_loop_beats() -> None:
    link = Link(sysid=42, is_requesting=False)
    link.run(10.0, BEAT)
    assert len(link.said) in (10, 11)
    link.now_ns += 60 * S
    link.hear(BEAT)
    assert len(link.said) in (10, 11)


def test_a_failed_worker_says_critical() -> None:
    link = Link(sysid=42, is_requesting=False)
    link.run(1.0, state="failed")
    assert link.said[0].system_status == 5


def test_two_autopilots_silence_us_until_configured() -> None:
    link = Link()
    link.run(10.0, BEAT, MessageMaker(43, 1).heartbeat())
    assert link.said == []
    link = Link(sysid=42)
    link.run(2.0, BEAT, MessageMaker(43, 1).heartbeat())
    assert {message.get_srcSystem() for message in link.said} == {42}


def test_message_rates_are_asked_for_one_at_a_time_and_given_up_when_nothing_changes() -> None:
    link = Link(sysid=42)
    link.run(200.0, BEAT)
    asked = [message for message in link.said if message.get_type() == "COMMAND_LONG"]
    assert {int(message.param1) for message in asked} == {2, 24, 30, 33, 242, 285}
    assert all(message.command == 511 and message.target_system == 42 for message in asked)
    assert {message.param2 for message in asked if message.param1 == 30} == {50_000.0}
    assert len(asked) == 6 * 6


def test_a_rate_that_is_met_is_not_asked_for_again() -> None:
    link = Link(sysid=42, position_hz=0, gimbal_hz=0, gps_hz=0, time_hz=0, attitude_hz=10)
    attitude = MessageMaker(42, 1).attitude(time_boot_ms=1, roll_deg=0, pitch_deg=0, heading_deg=0)
    link.run(60.0, BEAT, attitude)
    assert link.said_types().count("COMMAND_LONG") == 1


def test_a_request_for_our_heartbeat_is_answered_and_others_are_unsupported() -> None:
    link = Link(sysid=42, is_requesting=False)
    link.run(0.1, BEAT)
    link.said.clear()
    asker = MessageMaker(255, 190)
    for msgid in (0, 148):
        link.hear(
            asker.command_long(target_system=42, target_component=191, command=512, params=(float(msgid),))
        )
    assert link.said_types() == ["COMMAND_ACK", "HEARTBEAT", "COMMAND_ACK"]
    assert [message.result for message in link.said if message.get_type() == "COMMAND_ACK"] == [0, 3]
    link.said.clear()
    for target in ((42, 1), (1, 191), (0, 0)):
        link.hear(
            asker.command_long(
                target_system=target[0], target_component=target[1], command=512, params=(0.0,)
            )
        )
    link.hear(asker.command_long(target_system=42, target_component=191, command=400))
    assert link.said == []


def test_a_flood_of_requests_gets_ten_answers_a_second() -> None:
    link = Link(sysid=42, is_requesting=False)
    link.run(0.1, BEAT)
    link.said.clear()
    request = MessageMaker(255, 190).command_long(
        target_system=42, target_component=191, command=512, params=(9.0,)
    )
    for _ in range(1000):
        link.hear(request)
    assert len(link.said) == 10


def test_a_long_text_goes_out_in_chunks() -> None:
    link = Link(sysid=42)
    frames = link.talker.statustext(4, "vessel, unlit, course 210, " * 4, link.now_ns)
    link._note(frames)
    assert [message.chunk_seq for message in link.said] == [0, 1, 2]
    assert len({message.id for message in link.said}) == 1
    assert "".join(message.text for message in link.said) == "vessel, unlit, course 210, " * 4


def test_udpbcast_shouts_until_someone_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("0.0.0.0", 0))
        peer.settimeout(0.05)
        with _running(f"udpbcast:127.255.255.255:{peer.getsockname()[1]}", sysid=1) as (port, _):
            assert _beats(port, lambda: _received(peer)).get_srcComponent() == 191


def test_multicast_is_heard_and_gives_nobody_his_own_words_back() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        number = peer.getsockname()[1]
        with _running(f"mcast:239.255.145.50:{number}", sysid=1) as (port, heard):
            _until(lambda: port.state.is_open or port.state.fault, "the socket")
            if port.state.fault is not None:
                pytest.skip(f"this machine has no multicast: {port.state.fault}")
            port.beat()
            _until(lambda: port.state.framing.frames, "our own heartbeat")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for raw in _frames():
                    sender.sendto(raw, ("239.255.145.50", number))
            assert heard.wait_for(20) == _frames()
