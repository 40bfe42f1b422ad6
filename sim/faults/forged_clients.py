"""Scenario S8: everybody who must not get in tries, a thousand strangers knock, and the handler is killed."""

import contextlib
import ctypes
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import zmq

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from ground.config import GroundConfig
from ground.link.admission import allow_many_connections
from ground.link.authenticator import AllowList, Authenticator, enrol, prove_refusal, revoke
from ground.serve import GroundHandle, authorized_dir, start_ground
from sim.faults.result import Profile, Result
from sim.faults.signed import SignedSource
from skywarden.errors import LinkError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH, ZAP_DOMAIN, decode_reply
from skywarden.messages import Health
from skywarden.wire import encode

TIMES: dict[Profile, int] = {"quick": 5, "full": 100, "soak": 1_000}
PROBES: dict[Profile, int] = {"quick": 60, "full": 500, "soak": 2_000}
JUNK_PEERS = 1_000
_AT_ONCE = 50
_REFUSALS = ("peer refused", "more peers refused", "connection cut", "refused (logged once)")
_PLATFORM = "uav01"
_OTHER = "uav02"


@dataclass(slots=True)
class _Lines:
    """What was logged, with the instant."""

    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, logger: object, name: str, entry: Any) -> Any:
        self.lines.append((time.monotonic(), dict(entry)))
        raise structlog.DropEvent

    def refusal_after(self, instant_s: float, wait_s: float) -> float | None:
        """Seconds from the instant to the first refusal that names its peer."""
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s:
            for at_s, entry in list(self.lines):
                who = entry.get("peer") or entry.get("peers") or entry.get("platform_id")
                if at_s >= instant_s and who and entry["event"] in _REFUSALS:
                    return at_s - instant_s
            time.sleep(0.01)
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each way in is tried; probes of a round; rounds with and without strangers, seconds each."""

    times: int
    probes: int
    floods: int = 3
    flood_s: float = 6.0


@dataclass(slots=True)
class _Scene:
    ground: GroundHandle
    folder: Path
    downlink: Downlink
    outbox: Outbox
    lines: _Lines
    rng: random.Random
    context: "zmq.Context[zmq.Socket[bytes]]"
    own_records: int = 0
    leaked: int = 0
    tries: int = 0
    slowest_line_s: float = 0.0
    unlogged: list[str] = field(default_factory=list)

    def authorized(self) -> Path:
        """The list of who is let in."""
        return authorized_dir(self.ground.state_dir)


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Every way in that must be closed, then the flood, then the handler's death."""
    plan = plan or Plan(TIMES[profile], PROBES[profile])
    result = Result("S8", profile, seed)
    began_s = time.monotonic()
    before, lines = structlog.get_config(), _Lines()
    structlog.configure(processors=[lines], cache_logger_on_first_use=False)
    allow_many_connections()
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-s8-") as folder:
            _with_station(result, Path(folder), plan, random.Random(seed), lines)
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


def _with_station(result: Result, folder: Path, plan: Plan, rng: random.Random, lines: _Lines) -> None:
    config = GroundConfig(state=str(folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0")
    ground = start_ground(config)
    pair, signer = keys.new_key_pair(), EvidenceKey.new()
    enrol(authorized_dir(ground.state_dir), _PLATFORM, pair.public, evidence_keys=(signer.public,))
    outbox = Outbox(folder / "outbox.sqlite", _PLATFORM)
    link = LinkConfig(
        ground=ground.link_address,
        ground_public_key=ground.server_public_key,
        heartbeat_s=0.25,
        silence_s=2.0,
        retry_min_s=0.5,
        retry_max_s=5.0,
    )
    downlink = Downlink(link, outbox, pair, evidence_key=signer)
    downlink.start()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    scene = _Scene(ground, folder, downlink, outbox, lines, rng, context)
    try:
        _probe(scene, 5)
        _closed_ways(scene, plan.times)
        _live_revocation(result, scene)
        _handler_dies(result, scene)
        _no_handler(result, context)
        _flood(result, scene, plan)
        result.observe("attempts", scene.tries)
        result.expect_zero("answers that a stranger got", scene.leaked)
        stored = ground.store.counts().records
        result.expect_equal("records stored besides our own", stored - scene.own_records, 0)
        result.expect_at_most("refusal to its line in the log, worst s", scene.slowest_line_s, 1.0)
        result.expect_zero("ways without a line in the log", len(scene.unlogged))
        result.notes += scene.unlogged
    finally:
        context.destroy(linger=0)
        downlink.stop()
        outbox.close()
        ground.stop()


def _probe(scene: _Scene, count: int) -> list[float]:
    """Seconds from recording something to its acknowledgement, one after the other."""
    delays = []
    for _ in range(count):
        scene.own_records += 1
        began_s = time.monotonic()
        scene.outbox.append("health", time.time_ns(), encode(_health(scene.own_records)))
        end_s = began_s + 20.0
        while scene.outbox.state().held and time.monotonic() < end_s:
            time.sleep(0.000_5)
        delays.append(time.monotonic() - began_s)
    return delays


def _health(number: int) -> Health:
    now_ns = time.time_ns()
    return Health(
        platform_id=_PLATFORM,
        component="camera.eo",
        condition="stalled",
        state="degraded",
        time_ns=now_ns,
        since_ns=now_ns,
        text=f"probe {number}",
    )


_Setup = Callable[["zmq.Socket[bytes]"], None]


def _curve(scene: _Scene, pair: keys.KeyPair, server: bytes | None = None) -> _Setup:
    def set_up(client: "zmq.Socket[bytes]") -> None:
        client.curve_serverkey = keys.curve_option(
            server or keys.parse_public(scene.ground.server_public_key)
        )
        client.curve_publickey, client.curve_secretkey = pair.public_z85, pair.secret_z85

    return set_up


def _plain(client: "zmq.Socket[bytes]") -> None:
    client.plain_username, client.plain_password = b"uav01", b"secret"


def _knock(scene: _Scene, name: str, setups: Sequence[_Setup], payload: Callable[[], bytes]) -> None:
    """So many clients at once, each sends a batch; nobody may hear anything."""
    for first in range(0, len(setups), _AT_ONCE):
        began_s = time.monotonic()
        clients = []
        for set_up in setups[first : first + _AT_ONCE]:
            client = scene.context.socket(zmq.DEALER)
            client.linger = 0
            client.reconnect_ivl = 300
            set_up(client)
            client.connect(f"tcp://{scene.ground.link_address}")
            with contextlib.suppress(zmq.Again):  # refused already
                client.send_multipart([KIND_BATCH, payload()], zmq.DONTWAIT)
            clients.append(client)
        took_s = scene.lines.refusal_after(began_s, 3.0)
        time.sleep(0.3)
        scene.leaked += sum(bool(client.poll(0)) for client in clients)
        for client in clients:
            client.close(linger=0)
        scene.tries += len(clients)
        if took_s is None:
            scene.unlogged.append(name)
        else:
            scene.slowest_line_s = max(scene.slowest_line_s, took_s)


def _closed_ways(scene: _Scene, times: int) -> None:
    true, other_signer = keys.new_key_pair(), EvidenceKey.new()
    enrol(scene.authorized(), _OTHER, true.public, evidence_keys=(other_signer.public,))
    gone = keys.new_key_pair()
    enrol(scene.authorized(), "uav03", gone.public)
    revoke(scene.authorized(), "uav03")
    forger = EvidenceKey.new()

    def source(platform: str, key: EvidenceKey) -> bytes:
        made = SignedSource(platform, f"{scene.rng.getrandbits(128):032x}", key)
        made.grow(5, tag=f"{scene.rng.getrandbits(32):08x}")
        return made.batch(range(1, 6))

    def none(client: "zmq.Socket[bytes]") -> None:
        return

    def thief(client: "zmq.Socket[bytes]") -> None:
        client.routing_id = b"uav01"
        _curve(scene, keys.new_key_pair())(client)

    def wrong_secret(client: "zmq.Socket[bytes]") -> None:
        _curve(scene, keys.new_key_pair())(client)
        client.curve_publickey = true.public_z85

    ways: list[tuple[str, Callable[[], _Setup], str, EvidenceKey]] = [
        ("no CURVE", lambda: none, _PLATFORM, forger),
        ("PLAIN", lambda: _plain, _PLATFORM, forger),
        ("unknown key", lambda: _curve(scene, keys.new_key_pair()), _PLATFORM, forger),
        (
            "another station's key",
            lambda: _curve(scene, true, keys.new_key_pair().public),
            _OTHER,
            other_signer,
        ),
        ("enrolled public key, other secret", lambda: wrong_secret, _OTHER, other_signer),
        ("revoked key", lambda: _curve(scene, gone), "uav03", forger),
        ("routing id of another", lambda: thief, _PLATFORM, forger),
    ]
    for name, make, platform, key in ways:
        _knock(scene, name, [make() for _ in range(times)], partial(source, platform, key))
    _insiders(scene, true, source, times, forger, other_signer)


def _insiders(
    scene: _Scene,
    pair: keys.KeyPair,
    source: Callable[[str, EvidenceKey], bytes],
    times: int,
    forger: EvidenceKey,
    signer: EvidenceKey,
) -> None:
    """An enrolled platform says that it is another, and signs with a key that is not its own.

    Its batches come over its own connection, so that it may hear a reply; acknowledged is nothing.
    """
    for name, platform, key in (("claims another", _PLATFORM, signer), ("forged signature", _OTHER, forger)):
        began_s = time.monotonic()
        client = scene.context.socket(zmq.DEALER)
        client.linger = 0
        _curve(scene, pair)(client)
        client.connect(f"tcp://{scene.ground.link_address}")
        for _ in range(times):
            client.send_multipart([KIND_BATCH, source(platform, key)])
        took_s = scene.lines.refusal_after(began_s, 3.0)
        while client.poll(500):
            reply = decode_reply(client.recv_multipart()[1])
            scene.leaked += reply.ack is not None and reply.ack.contiguous_seq > 0
        client.close(linger=0)
        scene.tries += times
        if took_s is None:
            scene.unlogged.append(name)
        else:
            scene.slowest_line_s = max(scene.slowest_line_s, took_s)


def _live_revocation(result: Result, scene: _Scene) -> None:
    """A platform that is connected, and silent, is revoked: its TCP connection ends."""
    pair, signer = keys.new_key_pair(), EvidenceKey.new()
    enrol(scene.authorized(), "uav04", pair.public, evidence_keys=(signer.public,))
    made = SignedSource("uav04", f"{scene.rng.getrandbits(128):032x}", signer)
    made.grow(1)
    client = scene.context.socket(zmq.DEALER)
    client.linger = 0
    client.reconnect_ivl = -1
    _curve(scene, pair)(client)
    monitor = client.get_monitor_socket(int(zmq.Event.DISCONNECTED))
    client.connect(f"tcp://{scene.ground.link_address}")
    client.send_multipart([KIND_BATCH, made.batch((1,))])
    scene.own_records += bool(client.poll(10_000))
    revoke(scene.authorized(), "uav04")
    began_s = time.monotonic()
    is_cut = bool(monitor.poll(10_000))
    took_s = time.monotonic() - began_s
    result.expect_at_most(
        "revocation to the end of a live, silent connection, s", took_s if is_cut else 99.0, 5.0
    )
    client.disable_monitor()
    monitor.close(linger=0)
    client.close(linger=0)


def _handler_dies(result: Result, scene: _Scene) -> None:
    """The ZAP handler's thread is made to end, and made to fail: it is there again, and the link goes on."""
    worst_s = 0.0
    for kind in (SystemExit, RuntimeError):
        thread = next(one for one in threading.enumerate() if one.name == "ground.zap")
        assert thread.ident is not None
        began_s = time.monotonic()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))
        thread.join(5.0)
        while not scene.ground.authenticator.is_alive and time.monotonic() < began_s + 10.0:
            time.sleep(0.005)
        worst_s = max(worst_s, time.monotonic() - began_s)
        _knock(
            scene,
            f"unknown key after {kind.__name__}",
            [_curve(scene, keys.new_key_pair()) for _ in range(3)],
            lambda: b"x",
        )
    result.expect_at_most("handler killed: there again after, worst s", worst_s, 2.0)
    result.expect_at_most("handler killed: slowest record of a live session, s", max(_probe(scene, 10)), 5.0)


def _no_handler(result: Result, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """A socket with our options and no handler lets nobody in, and the proof before serving says so."""
    server = keys.new_key_pair()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.curve_server, socket.curve_secretkey = True, server.secret_z85
    socket.zap_domain = ZAP_DOMAIN.encode()
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        idle = Authenticator(context, AllowList(Path(folder)))
        try:
            prove_refusal(context, f"tcp://127.0.0.1:{port}", server.public, idle)
        except LinkError:
            refused = 1
    result.expect_equal("start without a live handler refused", refused, 1)
    result.expect_zero("messages that got in without a handler", int(bool(socket.poll(0))))
    socket.close(linger=0)


def _flood(result: Result, scene: _Scene, plan: Plan) -> None:
    """Rounds without and with a thousand strangers, in turn; the middle round of each counts."""
    quiet, loud, knocks = [], [], 0
    host, _, port = scene.ground.link_address.rpartition(":")
    command = [sys.executable, "-m", "sim.faults.junk_peers", host, port, str(JUNK_PEERS)]
    for _ in range(plan.floods):
        quiet.append(_p99(_probe(scene, plan.probes)))
        flood = subprocess.Popen([*command, str(plan.flood_s)], stdout=subprocess.PIPE, text=True)
        before = scene.ground.receiver.door.connections
        while scene.ground.receiver.door.connections < before + JUNK_PEERS // 2 and flood.poll() is None:
            time.sleep(0.02)
        loud.append(_p99(_probe(scene, plan.probes)))
        knocks += int(flood.communicate(timeout=60)[0] or 0)
    scene.tries += knocks
    calm, flooded = sorted(quiet)[plan.floods // 2], sorted(loud)[plan.floods // 2]
    result.observe("connections of strangers", knocks)
    result.observe("record to acknowledgement, p99, calm, ms", 1e3 * calm)
    result.observe("record to acknowledgement, p99, 1,000 strangers, ms", 1e3 * flooded)
    result.expect_at_most("p99 with strangers, times the calm one", flooded / calm, 2.0)


def _p99(delays: list[float]) -> float:
    return sorted(delays)[min(len(delays) - 1, round(0.99 * len(delays)))]
