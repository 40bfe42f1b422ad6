"""One platform cannot take all, one flood cannot fill the log, and a connection can be ended."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
import zmq

from ground.link.admission import RefusalLog, Sessions, allow_many_connections
from ground.link.authenticator import AllowList, Authenticator
from ground.link.door import Door
from skywarden.link import keys
from skywarden.link.protocol import ZAP_DOMAIN
from tests.ground.scenes import until


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


def test_a_platform_that_sends_too_much_is_held_to_its_share_and_the_others_are_not() -> None:
    sessions = Sessions(messages_per_s=10.0, bytes_per_s=1_000.0)
    assert sum(sessions.admits("uav07", 1, 100.0) for _ in range(100)) == 20
    assert sessions.admits("uav08", 1, 100.0)
    assert sum(sessions.admits("uav07", 1, 101.0) for _ in range(100)) == 10
    assert sum(sessions.admits("uav09", 500, 100.0) for _ in range(100)) == 4
    assert not sessions.admits("uav09", 3_000, 200.0)
    assert sessions.admits("uav09", 100, 200.0)


def test_time_that_goes_back_gives_no_more() -> None:
    sessions = Sessions(messages_per_s=1.0)
    assert [sessions.admits("uav07", 1, at_s) for at_s in (50.0, 50.0, 50.0, 10.0, 10.5)] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.slow
def test_a_flood_of_refusals_is_a_few_lines_and_a_sum() -> None:
    log = RefusalLog(per_second=5)
    with structlog.testing.capture_logs() as lines:
        for number in range(1_000):
            log.refuse("unknown key", f"10.0.0.{number % 200}:1")
        end_s = time.monotonic() + 5.0
        while not any(line["event"] == "more peers refused" for line in lines) and time.monotonic() < end_s:
            log.turn()
    singles = [line for line in lines if line["event"] == "peer refused"]
    sums = [line["count"] for line in lines if line["event"] == "more peers refused"]
    assert len(singles) + sum(sums) == 1_000
    assert len(lines) < 30
    assert all(line["peer"].startswith("10.0.0.") for line in singles)


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    assert allow_many_connections() >= 1_024


def test_a_connection_is_ended_by_what_its_message_tells(context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    router = context.socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    client = context.socket(zmq.DEALER)
    client.reconnect_ivl = -1
    monitor = client.get_monitor_socket(int(zmq.Event.DISCONNECTED))
    client.connect(f"tcp://127.0.0.1:{port}")
    client.send(b"x")
    frame = router.recv_multipart(copy=False)[-1]
    sessions = Sessions()
    sessions.note("uav07", b"k" * 32, frame)
    assert sessions.cut_revoked(lambda key: "uav07") == []
    assert sessions.cut_revoked(lambda key: None) == ["uav07"]
    assert monitor.poll(5_000)
    assert sessions.cut_count == 1
    sessions.cut("uav07", frame)
    assert sessions.cut_count == 1
    client.disable_monitor()
    monitor.close(linger=0)
    client.close(linger=0)
    router.close(linger=0)


@pytest.mark.slow
def test_whoever_fails_before_a_key_is_known_gets_a_line_with_the_address(
    tmp_path: Path, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    with ExitStack() as stack:
        handler = Authenticator(context, AllowList(tmp_path))
        stack.callback(handler.stop)
        handler.start()
        router = context.socket(zmq.ROUTER)
        stack.callback(router.close, linger=0)
        router.curve_server, router.curve_secretkey = True, keys.new_key_pair().secret_z85
        router.zap_domain = ZAP_DOMAIN.encode()
        door = Door(router)
        stack.callback(door.stop)
        lines = stack.enter_context(structlog.testing.capture_logs())
        door.start()
        port = router.bind_to_random_port("tcp://127.0.0.1")
        stranger = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30.0))
        until(lambda: door.connections == 1)
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        until(lambda: any("peer" in line for line in lines))
        own_address = "{}:{}".format(*stranger.getsockname())
    told = [(line["event"], line["peer"]) for line in lines if "peer" in line]
    assert told == [("peer refused", own_address)]
    assert door.turned_away == 1
