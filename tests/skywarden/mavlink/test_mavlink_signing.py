"""MAVLink 2 signing: agrees with pymavlink's, and one forged frame locks nobody out."""

import pytest
from pymavlink.dialects.v20 import ardupilotmega

from skywarden.errors import ConfigError, InputError
from skywarden.mavlink.framing import Framer, parse_frame
from skywarden.mavlink.signing import EPOCH_NS, SigningGuard
from skywarden.mavlink.synth import MessageMaker

KEY = bytes(range(32))
NOW = 40_000_000_000_000


def _peer(timestamp: int = NOW, key: bytes = KEY, link_id: int = 3) -> ardupilotmega.MAVLink:
    peer = ardupilotmega.MAVLink(None, srcSystem=7, srcComponent=1)
    peer.signing.secret_key = key
    peer.signing.link_id = link_id
    peer.signing.timestamp = timestamp
    peer.signing.sign_outgoing = True
    return peer


def _frame(peer: ardupilotmega.MAVLink) -> bytes:
    packed: bytes = ardupilotmega.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3).pack(peer)
    return packed


def test_what_pymavlink_signs_is_admitted_and_the_other_way_round() -> None:
    peer = _peer()
    framer = Framer(SigningGuard(KEY, timestamp=NOW))
    assert all(len(framer.feed(_frame(peer))) == 1 for _ in range(5))
    ours = MessageMaker(9, 191, signer=SigningGuard(KEY, timestamp=NOW + 100, link_id=1))
    reader = _peer()
    for _ in range(5):
        message = reader.decode(bytearray(ours.heartbeat()))
        assert message.get_signed()


def test_one_forged_frame_from_the_far_future_locks_nobody_out() -> None:
    peer, forger = _peer(), _peer(timestamp=(1 << 48) - 10, key=bytes(32))
    guard = SigningGuard(KEY, timestamp=NOW)
    framer = Framer(guard)
    assert framer.feed(_frame(peer))
    assert framer.feed(_frame(forger)) == []
    assert guard.timestamp < NOW + 1000
    assert sum(len(framer.feed(_frame(peer))) for _ in range(100)) == 100
    assert guard.counts.wrong_signature == 1


def test_unsigned_mavlink_1_and_unknown_frames_are_dropped_when_signing_is_on() -> None:
    guard = SigningGuard(KEY, timestamp=NOW)
    framer = Framer(guard)
    unknown = bytes((0xFD, 1, 0, 0, 0, 7, 1, 0x60, 0xEA, 0, 5, 0, 0))
    for raw in (MessageMaker(7, 1).heartbeat(), MessageMaker(7, 1, version=1).heartbeat(), unknown):
        assert framer.feed(raw) == []
    assert framer.counts.refused == 3
    assert guard.counts.unsigned == 2


def test_listed_ids_may_come_unsigned() -> None:
    framer = Framer(SigningGuard(KEY, unsigned_ids=frozenset({0})))
    assert len(framer.feed(MessageMaker(7, 1).heartbeat())) == 1


def test_a_replayed_frame_is_refused() -> None:
    raw = _frame(_peer())
    framer = Framer(SigningGuard(KEY, timestamp=NOW))
    assert [len(framer.feed(raw)) for _ in range(3)] == [1, 0, 0]


def test_a_new_stream_may_lag_a_minute_and_no_more() -> None:
    assert Framer(SigningGuard(KEY, timestamp=NOW)).feed(_frame(_peer(NOW - 59 * 100_000)))
    assert not Framer(SigningGuard(KEY, timestamp=NOW)).feed(_frame(_peer(NOW - 61 * 100_000)))


def test_the_timestamp_follows_the_clock_and_never_goes_back() -> None:
    guard = SigningGuard(KEY)
    guard.advance_to(EPOCH_NS + 1_000_000_000)
    assert guard.timestamp == 100_000
    guard.advance_to(EPOCH_NS)
    assert guard.timestamp == 100_000


def test_signed_frames_rise_in_time() -> None:
    guard = SigningGuard(KEY, timestamp=5)
    maker = MessageMaker(9, 191, signer=guard)
    stamps = [int.from_bytes(maker.heartbeat()[-12:-6], "little") for _ in range(3)]
    assert stamps == [6, 7, 8]


def test_the_number_of_streams_is_bounded() -> None:
    guard = SigningGuard(KEY, timestamp=NOW)
    admitted = 0
    for link_id in range(2):
        for sysid in range(1, 201):
            signer = SigningGuard(KEY, timestamp=NOW + 5, link_id=link_id)
            frame = parse_frame(MessageMaker(sysid, 1, signer=signer).heartbeat())
            assert frame is not None
            admitted += guard.admits(frame)
    assert admitted == 256
    assert guard.counts.too_many_streams == 144


def test_wrong_keys_and_frames_that_cannot_be_signed_are_refused() -> None:
    with pytest.raises(ConfigError):
        SigningGuard(b"short")
    with pytest.raises(InputError):
        SigningGuard(KEY).sign(MessageMaker(7, 1, version=1).heartbeat())
