"""Messages over datagrams: all arrive once through any weather, nothing forged or replayed is believed."""

import heapq
import itertools
import os
import random

import pytest

from sim.faults.netem import Air, Weather
from skywarden.errors import WireError
from skywarden.link import keys
from skywarden.link.datagram import MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, MAX_UNDER_WAY, Flow
from skywarden.link.datagram_session import HELLOS_PER_S, Dial, Gate, hello_bytes
from skywarden.link.handshake import Caller, SessionKeys, answer_to

_WEATHER = Weather(delay_s=0.075, jitter_s=0.01, loss=0.3, double=0.01, reorder=0.02)
_STATION, _PLATFORM = keys.new_key_pair(), keys.new_key_pair()


def _pair(cap: float = 0.0) -> tuple[Flow, Flow]:
    one, other = bytes([1] * 32), bytes([2] * 32)
    return Flow(SessionKeys(one, other), 7, cap=cap), Flow(SessionKeys(other, one), 9)


class _World:
    """Two flows and the air between them, in virtual time."""

    def __init__(self, weather: Weather, seed: int, cap: float = 0.0) -> None:
        self.near, self.far = _pair(cap)
        self.airs = {True: Air(weather, random.Random(seed)), False: Air(weather, random.Random(seed + 99))}
        self.heap: list[tuple[float, int, bool, bytes]] = []
        self.order = itertools.count()
        self.now_s = 0.0
        self.got: list[tuple[float, bytes]] = []

    def step(self) -> None:
        while self.heap and self.heap[0][0] <= self.now_s:
            _, _, is_up, data = heapq.heappop(self.heap)
            whole = (self.far if is_up else self.near).receive(data, self.now_s)
            self.got += [(self.now_s, one) for one in whole if is_up]
        for is_up, flow in ((True, self.near), (False, self.far)):
            while (sent := flow.due(self.now_s)) is not None:
                for due_s in self.airs[is_up].carry(len(sent), self.now_s):
                    heapq.heappush(self.heap, (due_s, next(self.order), is_up, sent))
        self.now_s += 0.005

    def run(self, until_s: float) -> None:
        while self.now_s < until_s and (self.near.under_way or self.heap):
            self.step()


@pytest.mark.parametrize("seed", range(8))
def test_all_messages_arrive_once_whatever_the_air_does(seed: int) -> None:
    rng = random.Random(seed)
    loss = rng.uniform(0.0, 0.6)
    weather = Weather(
        delay_s=rng.uniform(0, 0.3), jitter_s=rng.uniform(0, 0.1), loss=loss, double=0.1, reorder=0.1
    )
    world = _World(weather, seed)
    sent = [rng.randbytes(rng.choice((1, 40, 1_090, 1_091, 20_000))) + bytes([n]) for n in range(60)]
    for one in sent:
        world.near.offer(one)
    world.run(600.0)
    assert sorted(message for _, message in world.got) == sorted(sent)
    assert not world.near.under_way


def test_fifty_alerts_a_second_arrive_within_three_seconds_at_thirty_percent_loss() -> None:
    world = _World(_WEATHER, 5)
    born = {}
    for number in range(500):
        message = number.to_bytes(4, "big") + bytes(300)
        born[message] = world.now_s
        world.near.offer(message)
        while world.now_s < (number + 1) / 50:
            world.step()
    world.run(60.0)
    delays = sorted(at_s - born[message] for at_s, message in world.got)
    assert len(delays) == 500
    assert delays[int(0.95 * len(delays))] < 3.0


def test_a_thin_link_is_not_flooded() -> None:
    weather = Weather(delay_s=0.075, loss=0.05, rate=8_000.0)
    world = _World(weather, 3)
    for _ in range(100):
        world.near.offer(bytes(1_000))
    world.run(60.0)
    assert len(world.got) == 100
    assert world.airs[True].bytes / world.now_s < 14_000


@pytest.mark.parametrize("seed", range(4))
def test_a_path_that_suddenly_is_long_and_narrow_does_not_stall_what_fits_it(seed: int) -> None:
    world = _World(Weather(delay_s=0.02), seed)
    born = {}
    for number in range(60):
        if number == 15:
            for air in world.airs.values():
                air.weather = Weather(
                    delay_s=0.075, jitter_s=0.01, loss=0.05, double=0.01, reorder=0.02, rate=8_000.0
                )
        message = number.to_bytes(4, "big") + bytes(700)
        born[message] = world.now_s
        world.near.offer(message)
        while world.now_s < (number + 1) / 3:
            world.step()
    world.run(60.0)
    delays = sorted(at_s - born[message] for at_s, message in world.got)
    assert len(delays) == 60
    assert delays[56] < 3.0


def test_what_is_forged_replayed_or_cut_is_not_believed() -> None:
    near, far = _pair()
    near.offer(b"genuine")
    datagram = near.due(0.0)
    assert datagram is not None
    for place in range(len(datagram)):
        assert far.receive(datagram[:place] + bytes([datagram[place] ^ 1]) + datagram[place + 1 :], 0.1) == []
        assert far.receive(datagram[:place], 0.1) == []
    assert far.receive(os.urandom(500), 0.1) == []
    assert far.receive(datagram, 0.1) == [b"genuine"]
    assert far.receive(datagram, 0.1) == []
    assert far.counts.received == 1
    assert near.receive(datagram, 0.1) == []


def test_sizes_are_limited_before_anything_is_kept() -> None:
    near, _ = _pair()
    with pytest.raises(WireError):
        near.offer(bytes(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(WireError):
        near.offer(b"")
    for _ in range(MAX_UNDER_WAY):
        near.offer(b"x")
    with pytest.raises(WireError):
        near.offer(b"x")
    datagram = near.due(0.0)
    assert datagram is not None
    assert len(datagram) <= MAX_DATAGRAM_BYTES


@pytest.mark.slow
def test_a_peer_cannot_make_the_other_end_keep_more_than_its_limit() -> None:
    near, far = _pair()
    now_s = 0.0
    for _ in range(MAX_UNDER_WAY):
        near.offer(bytes(200_000))
    for number in range(6_000):
        now_s += 0.01
        near.pace.rate = 1e6
        near.pace._tokens = 1e6
        datagram = near.due(now_s)
        if datagram is not None and number % 3:
            far.receive(datagram, now_s)
        while (answer := far.due(now_s)) is not None:
            near.receive(answer, now_s)
    assert far._partial_bytes <= 2_000_000 + 1_200


def _gate(enrolled: dict[bytes, str]) -> Gate:
    return Gate(secret=_STATION.secret, public=_STATION.public, platform_of=enrolled.get, entropy=os.urandom)


def _dial(pair: keys.KeyPair = _PLATFORM, station: bytes = _STATION.public) -> Dial:
    return Dial(pair.secret, station, os.urandom)


def _connect(dial: Dial, gate: Gate, now_s: float = 0.0) -> None:
    for datagram in dial.outgoing(now_s):
        _, answer = gate.incoming(datagram, ("10.0.0.1", 5), now_s)
        if answer is not None:
            dial.incoming(answer, now_s)


def _say(dial: Dial, gate: Gate, payload: bytes, now_s: float) -> list[bytes]:
    assert dial.flow is not None
    dial.flow.offer(payload)
    heard = []
    for datagram in dial.outgoing(now_s):
        messages, _ = gate.incoming(datagram, ("10.0.0.1", 5), now_s)
        heard += [message for _, message in messages]
    return heard


def test_an_enrolled_platform_is_heard_and_known_by_its_key() -> None:
    gate, dial = _gate({_PLATFORM.public: "uav07"}), _dial()
    _connect(dial, gate)
    assert _say(dial, gate, b"hello there", 0.1) == [b"hello there"]
    (session,) = gate.sessions.values()
    assert (session.platform_id, session.public_key, session.is_proved) == ("uav07", _PLATFORM.public, True)
    assert gate.offer(session.index, b"answer")
    heard = [dial.incoming(datagram, 0.2) for _, datagram in gate.outgoing(0.2)]
    assert [b"answer"] in heard


def test_strangers_get_silence() -> None:
    gate = _gate({_PLATFORM.public: "uav07"})
    for datagram in (
        b"",
        b"\x01",
        os.urandom(hello_bytes()),
        b"\x01" + os.urandom(hello_bytes() - 1),
        b"\x03" + os.urandom(200),
        os.urandom(1_400),
    ):
        assert gate.incoming(datagram, ("10.0.0.9", 1), 0.0) == ([], None)
    for dial in (_dial(keys.new_key_pair()), _dial(station=keys.new_key_pair().public)):
        (hello,) = dial.outgoing(0.0)
        assert gate.incoming(hello, ("10.0.0.9", 1), 0.0) == ([], None)
    assert not gate.sessions


def test_a_replayed_hello_ends_no_session_and_gets_no_answer() -> None:
    gate, dial = _gate({_PLATFORM.public: "uav07"}), _dial()
    (hello,) = dial.outgoing(0.0)
    _, answer = gate.incoming(hello, ("10.0.0.1", 5), 0.0)
    assert answer is not None
    dial.incoming(answer, 0.0)
    assert _say(dial, gate, b"one", 0.1) == [b"one"]
    assert gate.incoming(hello, ("10.6.6.6", 5), 0.2) == ([], None)
    gate._seen.clear()  # a station that was started anew since
    _, second = gate.incoming(hello, ("10.6.6.6", 5), 0.3)
    assert second is not None
    assert _say(dial, gate, b"two", 0.4) == [b"two"]


def test_a_new_session_of_the_same_platform_takes_the_old_ones_place() -> None:
    gate = _gate({_PLATFORM.public: "uav07"})
    for turn in range(5):
        dial = _dial()
        _connect(dial, gate, turn * 1.0)
        assert _say(dial, gate, b"x", turn + 0.1) == [b"x"]
    assert len(gate.sessions) == 1


def test_a_revoked_platform_is_cut_off_at_once() -> None:
    enrolled = {_PLATFORM.public: "uav07"}
    gate, dial = _gate(enrolled), _dial()
    _connect(dial, gate)
    assert _say(dial, gate, b"x", 0.1) == [b"x"]
    enrolled.clear()
    assert _say(dial, gate, b"y", 0.2) == []
    assert not gate.sessions


def test_hellos_are_limited_by_address_and_in_all() -> None:
    gate = _gate({_PLATFORM.public: "uav07"})
    for number in range(200):
        (hello,) = _dial().outgoing(0.0)
        gate.incoming(hello, (f"10.0.{number % 2}.1", 5), 0.0)
    assert gate.counts.hellos <= 16
    for number in range(200):
        (hello,) = _dial().outgoing(0.0)
        gate.incoming(hello, (f"10.1.{number}.1", 5), 1.0)
    assert gate.counts.hellos <= 16 + 20 + HELLOS_PER_S
    assert len(gate.sessions) <= 4


def test_the_handshake_refuses_whoever_lacks_a_key() -> None:
    caller = Caller(_PLATFORM.secret, _STATION.public, b"p", os.urandom(32))
    hello = caller.hello(b"payload")
    answered = answer_to(hello, _STATION.secret, b"p", os.urandom(32))
    assert (answered.caller_public, answered.payload) == (_PLATFORM.public, b"payload")
    session, _ = caller.finish(answered.answer)
    assert (session.send, session.receive) == (answered.keys.receive, answered.keys.send)
    with pytest.raises(WireError):
        answer_to(hello, _STATION.secret, b"another prologue", os.urandom(32))
    with pytest.raises(WireError):
        answer_to(hello, keys.new_key_pair().secret, b"p", os.urandom(32))
    for place in range(len(hello)):
        with pytest.raises(WireError):
            answer_to(
                hello[:place] + bytes([hello[place] ^ 1]) + hello[place + 1 :],
                _STATION.secret,
                b"p",
                os.urandom(32),
            )
