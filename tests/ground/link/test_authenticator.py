"""Who is let in: enrolled keys, each for one platform, until they are revoked; and nobody else, ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from ground.link.authenticator import AllowList, Authenticator, enrol, prove_refusal, revoke
from skywarden.errors import LinkError, UsageError
from skywarden.link import keys
from skywarden.link.protocol import ZAP_DOMAIN


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


def _zap(context: zmq.Context[zmq.Socket[bytes]], *request: bytes) -> list[bytes]:
    """Ask the handler as libzmq would."""
    socket = context.socket(zmq.DEALER)
    socket.connect("inproc://zeromq.zap.01")
    socket.send_multipart([b"", *request])
    assert socket.poll(3_000)
    answer = socket.recv_multipart()
    socket.close(linger=0)
    return answer


def _request(key: bytes, domain: str = ZAP_DOMAIN, mechanism: bytes = b"CURVE") -> list[bytes]:
    return [b"1.0", b"1", domain.encode(), b"10.0.0.1", b"", mechanism, key]


def test_only_an_enrolled_key_is_let_in_and_under_its_platforms_name(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pair, stranger = keys.new_key_pair(), keys.new_key_pair()
    enrol(tmp_path / "authorized", "uav07", pair.public)
    handler = Authenticator(context, AllowList(tmp_path / "authorized"))
    handler.start()
    answer = _zap(context, *_request(pair.public))
    assert answer[3:6] == [b"200", b"OK", b"uav07"]
    for refused in (
        _request(stranger.public),
        _request(pair.public, domain="other"),
        _request(pair.public, mechanism=b"NULL"),
        _request(pair.public + b"x"),
        _request(b"x" * 5_000),
    ):
        assert _zap(context, *refused)[3] == b"400"
    handler.stop()


@pytest.mark.parametrize("junk", [[b""], [b"\xff" * 40], [b"1.0"] * 3, [b"1.0"] * 30, [b"2.0"] * 7])
def test_no_request_whatever_kills_the_handler(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]], junk: list[bytes]
) -> None:
    pair = keys.new_key_pair()
    enrol(tmp_path / "authorized", "uav07", pair.public)
    handler = Authenticator(context, AllowList(tmp_path / "authorized"))
    handler.start()
    for _ in range(20):
        assert _zap(context, *junk)[3] in (b"400", b"500")
    assert _zap(context, *_request(pair.public))[3] == b"200"
    assert handler.is_alive
    handler.stop()


class _Broken(AllowList):
    """A list that fails when it is asked."""

    def platform_of(self, public_key: bytes) -> str | None:
        raise RuntimeError("broken")


def test_a_failure_inside_refuses_and_does_not_end_the_handler(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    handler = Authenticator(context, _Broken(tmp_path))
    handler.start()
    for _ in range(3):
        assert _zap(context, *_request(keys.new_key_pair().public))[3] == b"500"
    assert handler.is_alive
    handler.stop()


def test_a_server_without_a_live_handler_fails_its_self_test(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    server = keys.new_key_pair()
    socket = context.socket(zmq.ROUTER)
    socket.curve_server = True
    socket.curve_secretkey = server.secret_z85
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    handler = Authenticator(context, AllowList(tmp_path))
    with pytest.raises(LinkError, match="let in a key that nobody enrolled"):
        prove_refusal(context, f"tcp://127.0.0.1:{port}", server.public, handler)
    socket.close(linger=0)


def test_one_key_for_two_platforms_lets_neither_in(tmp_path: Path) -> None:
    pair = keys.new_key_pair()
    enrol(tmp_path, "uav07", pair.public)
    with pytest.raises(UsageError, match="already that of uav07"):
        enrol(tmp_path, "uav08", pair.public)
    (tmp_path / "uav08.pub").write_text(pair.public_text)
    assert AllowList(tmp_path).platform_of(pair.public) is None


def test_a_platform_gets_another_key_only_when_asked_to_replace_it(tmp_path: Path) -> None:
    old, new = keys.new_key_pair(), keys.new_key_pair()
    enrol(tmp_path, "uav07", old.public)
    with pytest.raises(UsageError, match="--replace"):
        enrol(tmp_path, "uav07", new.public)
    enrol(tmp_path, "uav07", new.public, replace=True)
    allowed = AllowList(tmp_path)
    assert (allowed.platform_of(old.public), allowed.platform_of(new.public)) == (None, "uav07")
    revoke(tmp_path, "uav07")
    allowed.refresh()
    assert allowed.platform_of(new.public) is None
    with pytest.raises(UsageError, match="not enrolled"):
        revoke(tmp_path, "uav07")


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b", "a b", "x" * 200, "-rf"])
def test_a_platform_id_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        enrol(tmp_path / "authorized", name, keys.new_key_pair().public)
    assert list(tmp_path.rglob("*.pub")) == []
