"""What crosses the link: sizes and shapes are checked before anything is believed."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import WireError
from skywarden.link.protocol import (
    MAX_BATCH_BYTES,
    MAX_PARTIAL,
    MAX_PARTIAL_RANGES,
    MAX_REPLY_BYTES,
    UNIT_BYTES,
    Batch,
    Fragment,
    Head,
    Partial,
    Reply,
    Signature,
    decode_batch,
    decode_reply,
    encode_batch,
    encode_reply,
)
from skywarden.messages import Ack

NS = 1_780_000_000_000_000_000


def _fragment(offset: int, size: int, total: int) -> Fragment:
    return Fragment(
        seq=3,
        topic="chip",
        time_ns=NS,
        mono_ns=5,
        clock=1,
        total_bytes=total,
        body_hash=b"h" * 32,
        offset=offset,
        data=b"d" * size,
    )


def _batch(*fragments: Fragment) -> Batch:
    return Batch(
        number=1,
        platform_id="uav07",
        boot_id="ab" * 16,
        sent_ns=NS,
        last_seq=3,
        pending=1,
        fragments=fragments,
        head=Head(seq=3, chain=b"c" * 32),
        signature=Signature(key_id=b"k" * 8, signature=b"s" * 64),
    )


def test_a_batch_and_a_reply_have_these_very_bytes() -> None:
    ack = Ack(platform_id="uav07", boot_id="ab" * 16, contiguous_seq=2, missing=((3, 2**53),))
    reply = Reply(
        number=1,
        ground_ns=NS,
        ack=ack,
        head=Head(seq=3, chain=b"c" * 32),
        partial=(Partial(seq=3, units=((0, 1),)),),
    )
    found = [encode_batch(_batch(_fragment(0, 5_000, 5_000))), encode_reply(reply)]
    assert [hashlib.sha256(data).hexdigest()[:16] for data in found] == GOLDENS


GOLDENS = ["e22b8408769507c5", "47508fa71996dd1e"]


def test_a_batch_with_pieces_comes_back_as_it_was() -> None:
    batch = _batch(_fragment(0, 2 * UNIT_BYTES, 5_000), _fragment(4 * UNIT_BYTES, 904, 5_000))
    assert decode_batch(encode_batch(batch)) == batch


@pytest.mark.parametrize(
    ("offset", "size", "total"),
    [(1, UNIT_BYTES, 5_000), (0, 1_000, 5_000), (4 * UNIT_BYTES, UNIT_BYTES, 5_000), (0, 5_001, 5_000)],
)
def test_a_piece_that_does_not_lie_on_units_is_refused(offset: int, size: int, total: int) -> None:
    good = encode_batch(_batch(_fragment(0, 5_000, 5_000)))
    with pytest.raises(ValueError, match="does not fit"):
        _fragment(offset, size, total)
    assert decode_batch(good).fragments[0].total_bytes == 5_000


def test_the_first_version_of_the_link_is_refused_in_a_sentence() -> None:
    with pytest.raises(WireError, match="a batch speaks link version 1, this side speaks 2"):
        decode_batch(b"\x01" + encode_batch(_batch())[1:])


def test_a_batch_over_size_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(WireError, match="outside 2 to 400000"):
        decode_batch(b"\x02" + b"\xff" * MAX_BATCH_BYTES)


def test_the_largest_reply_fits_its_limit() -> None:
    far = 2**52
    reply = Reply(
        number=2**53,
        ground_ns=NS,
        ack=Ack(
            platform_id="p" * 128,
            boot_id="b" * 128,
            contiguous_seq=far,
            missing=tuple((far + 2 * n, far + 2 * n) for n in range(1, 251)),
        ),
        head=Head(seq=far, chain=b"c" * 32),
        partial=tuple(
            Partial(seq=far + n, units=tuple((400 + 2 * k, 400 + 2 * k) for k in range(MAX_PARTIAL_RANGES)))
            for n in range(MAX_PARTIAL)
        ),
    )
    payload = encode_reply(reply)
    assert len(payload) <= MAX_REPLY_BYTES
    assert decode_reply(payload) == reply


@given(st.binary(max_size=400))
def test_random_bytes_never_crash_a_reader(data: bytes) -> None:
    for decode in (decode_batch, decode_reply):
        try:
            decode(b"\x02" + data)
        except WireError:
            continue


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_batch_is_refused_or_in_range(place: int, value: int) -> None:
    data = bytearray(encode_batch(_batch(_fragment(0, UNIT_BYTES, 3_000))))
    data[place % len(data)] = value
    try:
        batch = decode_batch(bytes(data))
    except WireError:
        return
    assert decode_batch(encode_batch(batch)) == batch


def test_a_reply_of_an_older_station_wants_no_looks() -> None:
    values = msgspec.msgpack.decode(encode_reply(Reply(number=1, ground_ns=NS, takes_looks=True))[1:])
    older = b"\x02" + msgspec.msgpack.encode(values[:5])
    assert decode_reply(older) == Reply(number=1, ground_ns=NS, takes_looks=False)
