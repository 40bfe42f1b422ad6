"""Several detectors share the frames: by every n-th, by share, and none waits for ever."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.models_aboard.turns import Turn, Turns

SHARES = st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 5.0]), min_size=1, max_size=6)


def test_without_a_limit_everybody_looks_at_every_frame() -> None:
    turns = Turns([Turn(), Turn(share=9.0)])
    assert [turns.next_frame() for _ in range(3)] == [[0, 1]] * 3


def test_every_nth_frame_is_staggered() -> None:
    turns = Turns([Turn(every=2), Turn(every=2), Turn(every=3)])
    assert [turns.next_frame() for _ in range(6)] == [[0], [1, 2], [0], [1], [0, 2], [1]]


@settings(max_examples=60, deadline=None)
@given(SHARES, st.integers(1, 3))
def test_with_one_look_a_frame_each_gets_its_share_and_none_waits_longer_than_it_owes(
    shares: list[float], looks: int
) -> None:
    turns = Turns([Turn(share=share) for share in shares], looks=looks)
    frames = 400
    last, counts, longest = [0] * len(shares), [0] * len(shares), [0] * len(shares)
    for frame in range(1, frames + 1):
        for place in turns.next_frame():
            longest[place] = max(longest[place], frame - last[place])
            last[place], counts[place] = frame, counts[place] + 1
    for place, share in enumerate(shares):
        due = min(1.0, looks * share / sum(shares))
        assert longest[place] <= math.ceil(sum(shares) / share) + len(shares)
        assert counts[place] >= 0.8 * due * frames - len(shares)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0]), st.floats(0.001, 0.5)), min_size=2, max_size=5))
def test_with_a_budget_of_seconds_each_gets_its_share_of_time(parts: list[tuple[float, float]]) -> None:
    turns = Turns([Turn(share=share) for share, _ in parts], budget_s=0.0005)
    used = [0.0] * len(parts)
    for _ in range(3000):
        chosen = turns.next_frame()
        assert len(chosen) >= 1
        for place in chosen:
            turns.spent(place, parts[place][1])
            used[place] += parts[place][1]
    per_share = [seconds / share for seconds, (share, _) in zip(used, parts, strict=True)]
    slack = 2.5 * max(cost / share for share, cost in parts)
    assert max(per_share) - min(per_share) <= slack


def test_a_budget_takes_as_many_as_fit_and_always_one() -> None:
    turns = Turns([Turn(), Turn(), Turn()], budget_s=0.25)
    for place in turns.next_frame():  # nobody knows yet what they take
        turns.spent(place, 0.1)
    assert len(turns.next_frame()) == 2
    slow = Turns([Turn(), Turn()], budget_s=0.01)
    for place in slow.next_frame():
        slow.spent(place, 1.0)
    assert len(slow.next_frame()) == 1


def test_one_that_rested_comes_back_without_taking_what_it_missed() -> None:
    turns = Turns([Turn(), Turn()], looks=1)
    assert [turns.next_frame({1}) for _ in range(50)] == [[0]] * 50
    after = [turns.next_frame()[0] for _ in range(10)]
    assert sorted(after) == [0] * 5 + [1] * 5
