"""An acknowledgement claims exactly what is there, or less, never more."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.store.sequences import SequenceSet
from skywarden.link.protocol import MAX_REPLY_BYTES, Reply, acknowledged_ranges, decode_reply, encode_reply
from skywarden.messages import Ack


def _claimed(ack: Ack, limit: int) -> set[int]:
    return {n for first, last in acknowledged_ranges(ack) for n in range(first, min(last, limit) + 1)}


@given(st.lists(st.integers(1, 300)))
def test_a_sequence_set_is_a_set(numbers: list[int]) -> None:
    kept = SequenceSet()
    assert [kept.add(number) for number in numbers] == [
        number not in numbers[:index] for index, number in enumerate(numbers)
    ]
    assert {number for number in range(302) if number in kept} == set(numbers)
    assert len(kept) == len(set(numbers))
    ranges = kept.ranges()
    assert all(one[1] + 1 < two[0] for one, two in itertools.pairwise(ranges))
    assert kept.missing_count == max(numbers, default=0) - len(set(numbers))


@given(st.sets(st.integers(1, 60)), st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=8))
def test_ranges_go_in_like_their_numbers(numbers: set[int], ranges: list[tuple[int, int]]) -> None:
    kept, plain = SequenceSet(sorted(numbers)), set(numbers)
    for first, more in ranges:
        kept.add_range(first, first + more)
        plain |= set(range(first, first + more + 1))
    assert kept.ranges() == SequenceSet(sorted(plain)).ranges()
    assert len(kept) == len(plain)
    assert kept.contiguous == next(n for n in range(100) if n + 1 not in plain)
    with pytest.raises(ValueError, match="no range"):
        kept.add_range(5, 4)


@given(st.sets(st.integers(1, 300)))
def test_with_few_gaps_everything_is_acknowledged(numbers: set[int]) -> None:
    ack = SequenceSet(numbers).acknowledgement("uav07", "b", [])
    assert _claimed(ack, 400) == numbers


@pytest.mark.slow
@given(st.integers(0, 2**32), st.lists(st.integers(1, 4_000), max_size=200))
def test_with_many_gaps_what_was_asked_about_is_acknowledged_and_nothing_false(
    seed: int, asked: list[int]
) -> None:
    numbers = {n for n in range(1, 4_001) if (n * 2_654_435_761 + seed) % 5 < 2} | set(asked)
    ack = SequenceSet(numbers).acknowledgement("uav07", "b", asked)
    claimed = _claimed(ack, 4_100)
    assert set(asked) <= claimed <= numbers


def test_the_largest_acknowledgement_fits_its_limit() -> None:
    numbers = SequenceSet(range(2**52, 2**52 + 500, 2))
    ack = numbers.acknowledgement("p" * 128, "b" * 128, range(2**52, 2**52 + 400, 2))
    payload = encode_reply(Reply(number=2**53, ground_ns=0, ack=ack))
    assert len(payload) < MAX_REPLY_BYTES
    assert decode_reply(payload).ack == ack
