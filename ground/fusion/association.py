"""Which tracks are one thing: pairs by what their looks say, groups by joining the likeliest pairs first."""

import math
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import TypeVar

import numpy as np

from ground.config import ContactsConfig
from ground.fusion.answers import Question, answered
from ground.fusion.estimate import Estimate, Spot, apart_m, difference, mahalanobis
from ground.fusion.pairs import ALIGNED_NS, APART, NOTHING, Prospect, Verdict, middle_of, sorted_out
from ground.fusion.plane import metres_per_degree, wrapped_deg
from ground.fusion.track import STANDING, FusionTrack
from skywarden.clock import NS_PER_S

_BRIEF_NS = 8 * NS_PER_S
_CERTAINLY_APART = 2.5
"""So many times the gate; nearer, it may still be one thing that was seen badly."""
_FASTEST_MPS = 45.0
_SPEED_FLOOR_MPS = 0.5
"""What speeds of one thing differ by besides, per axis: errors that wander unlike the model."""

_Result = TypeVar("_Result")
_Questions = tuple[Question, Question]
_Answers = tuple[Estimate | Spot, Estimate | Spot]
_Part = Generator[_Questions, _Answers, _Result]
_Comparison = Generator[_Questions, _Answers, Verdict]


def compared(pairs: Sequence[tuple[FusionTrack, FusionTrack]], config: ContactsConfig) -> list[Verdict]:
    """Whether the tracks of each pair may be one thing; all have a place.

    Where they were there at the same time they are compared at the begin, the middle and the end of that
    time: things that only cross are not one. Where one begins after the other ended, they are one where both
    may have stood at one place; else, unless both stand, they are carried to the middle of the gap. What both
    share (a platform's boresight, the height of the surface) is taken off. What is asked of the tracks for
    one pair and another is worked out together.
    """
    found: list[Verdict] = []
    asking: list[tuple[int, _Comparison, _Questions]] = []
    for row, ((one, two), told) in enumerate(zip(pairs, sorted_out(pairs, config), strict=True)):
        if isinstance(told, Verdict):
            found.append(told)
            continue
        found.append(NOTHING)
        comparison = _comparison(one, two, told, config)
        try:
            asking.append((row, comparison, next(comparison)))
        except StopIteration as end:
            found[row] = end.value
    while asking:
        answers = iter(answered([question for *_, two in asking for question in two], config))
        turn, asking = asking, []
        for row, comparison, _ in turn:
            try:
                asking.append((row, comparison, comparison.send((next(answers), next(answers)))))
            except StopIteration as end:
                found[row] = end.value
    return found


def _comparison(
    one: FusionTrack, two: FusionTrack, prospect: Prospect, config: ContactsConfig
) -> "_Comparison":
    """The verdict on a pair; yields what it must know of both and is sent the answers."""
    if prospect.may_have_stood:
        cost = yield from _cost_of_standing(one, two, config)
        if cost is not None:
            return Verdict(cost, is_apart=False)
    if prospect.is_else_nothing:
        return NOTHING
    are_static, has_gap = one.is_static and two.is_static, prospect.gap_s > 0.0
    gate = gate_of(config)
    costs = []
    for at_ns in (0,) if are_static else _instants(one, two, config):
        found = yield from _compared_at(one, two, at_ns, config, are_static=are_static)
        if found is None:
            return NOTHING
        squared, cost = found
        if squared > _CERTAINLY_APART * gate:
            return NOTHING if has_gap else APART
        costs.append((squared, cost))
    if sum(squared for squared, _ in costs) > gate * len(costs):
        return NOTHING
    return Verdict(sum(cost for _, cost in costs) / len(costs), is_apart=False)


def gate_of(config: ContactsConfig) -> float:
    """Chi-square of two degrees of freedom that a true pair stays within with the configured probability."""
    return -2.0 * math.log(1.0 - config.gate_probability)


def are_seen_apart(one: FusionTrack, two: FusionTrack) -> bool:
    """One camera saw both at the same time, so they are two things."""
    return one.sensor == two.sensor and max(one.first_ns, two.first_ns) <= min(one.last_ns, two.last_ns)


def grouped(
    region: Iterable[str],
    pairs: Iterable[tuple[float, str, str]],
    apart: Callable[[str, str], bool],
    together: Collection[tuple[str, str]] = (),
) -> list[tuple[str, ...]]:
    """Groups of `region`, joined pair by pair in order of cost, never across a pair that is `apart`.

    `together` are pairs that a person joined; they come first and only a person's word parts them.
    """
    group_of: dict[str, list[str]] = {track_id: [track_id] for track_id in sorted(region)}
    first_of_all = [(-math.inf, one, two) for one, two in together]
    for _, one, two in [*sorted(first_of_all), *sorted(pairs)]:
        first, second = group_of[one], group_of[two]
        if first is second or any(apart(a, b) for a in first for b in second):
            continue
        first.extend(second)
        for track_id in second:
            group_of[track_id] = first
    unique = {id(group): group for group in group_of.values()}
    return [tuple(sorted(group)) for group in unique.values()]


def _instants(one: FusionTrack, two: FusionTrack, config: ContactsConfig) -> tuple[int, ...]:
    """When to compare two that may move: at the begin, the middle and the end of the time they share, or in
    the middle of the pause."""
    begins, ends = max(one.first_ns, two.first_ns), min(one.last_ns, two.last_ns)
    if begins > ends:
        return (int(middle_of(np.array(begins), np.array(ends), config)),)
    begins = max(begins, one.kept.first_ns or begins, two.kept.first_ns or begins)
    if ends - begins < _BRIEF_NS:
        return (ends,)
    first = -(-begins // ALIGNED_NS) * ALIGNED_NS
    last = ends // ALIGNED_NS * ALIGNED_NS
    if last <= first:
        return (begins, ends)
    middle = (first + last) // 2 // ALIGNED_NS * ALIGNED_NS
    return tuple(sorted({first, middle, last}))


def _compared_at(
    one: FusionTrack, two: FusionTrack, at_ns: int, config: ContactsConfig, *, are_static: bool
) -> "_Part[tuple[float, float] | None]":
    """Squared distance at an instant and its cost; `None` when they are too vague to say."""
    if not are_static:
        quick = _quick_distance(one, two, at_ns, config)
        if quick is not None:
            return quick, math.inf
    spots = yield from _spots(one, two, at_ns)
    if _are_vague(*spots, config):
        return None
    if _are_far(*spots, config):
        return math.inf, math.inf
    first, second = yield from _estimates(one, two, at_ns)
    return _distance_and_cost(first, second, config, are_static=are_static)


def _spots(one: FusionTrack, two: FusionTrack, at_ns: int) -> "_Part[tuple[Spot, Spot]]":
    first, second = yield Question(one, at_ns, is_whole=False), Question(two, at_ns, is_whole=False)
    assert isinstance(first, Spot)
    assert isinstance(second, Spot)
    return first, second


def _estimates(one: FusionTrack, two: FusionTrack, at_ns: int) -> "_Part[tuple[Estimate, Estimate]]":
    first, second = yield Question(one, at_ns, is_whole=True), Question(two, at_ns, is_whole=True)
    assert isinstance(first, Estimate)
    assert isinstance(second, Estimate)
    return first, second


def _are_vague(one: Spot, two: Spot, config: ContactsConfig) -> bool:
    return max(one.sigma_m, two.sigma_m) > config.max_sigma_m


def _are_far(one: Spot, two: Spot, config: ContactsConfig) -> bool:
    return apart_m(one, two) > config.max_distance_m


def _distance_and_cost(
    first: Estimate, second: Estimate, config: ContactsConfig, *, are_static: bool
) -> tuple[float, float]:
    """Squared distance of two estimates of one instant, neither vague nor far apart, and its cost."""
    offset, covariance = difference(first, second, config)
    squared = mahalanobis(offset, covariance[:2, :2])
    if not are_static:
        rates = covariance[2:, 2:] + np.eye(2) * _SPEED_FLOOR_MPS**2
        squared = max(squared, mahalanobis(offset[2:], rates))
    determinant = float(covariance[0, 0] * covariance[1, 1] - covariance[0, 1] ** 2)
    return squared, squared + math.log(max(determinant, 1e-6))


def _cost_of_standing(one: FusionTrack, two: FusionTrack, config: ContactsConfig) -> "_Part[float | None]":
    """Cost of joining two tracks, one after the other, as one thing that stood; `None` where it did not.

    No platform may say that it moves. Nothing is carried over the pause, which makes a brief track as vague
    as its speed is.
    """
    first, second = yield from _estimates(one, two, STANDING)
    if _are_vague(first.spot, second.spot, config) or _are_far(first.spot, second.spot, config):
        return None
    squared, cost = _distance_and_cost(first, second, config, are_static=True)
    return cost if squared <= gate_of(config) else None


def _quick_distance(one: FusionTrack, two: FusionTrack, at_ns: int, config: ContactsConfig) -> float | None:
    """Infinite where two are farther apart at an instant than anything could explain; `None`: look closer."""
    first, second = one.kept.nearest(at_ns), two.kept.nearest(at_ns)
    north_m, east_m = metres_per_degree(first.latitude_deg)
    away_m = math.hypot(
        wrapped_deg(second.longitude_deg - first.longitude_deg) * east_m,
        (second.latitude_deg - first.latitude_deg) * north_m,
    )
    moved_m = _FASTEST_MPS * (abs(first.time_ns - at_ns) + abs(second.time_ns - at_ns)) / NS_PER_S
    spread_m = math.sqrt(first.ee + first.nn) + math.sqrt(second.ee + second.nn)
    return math.inf if away_m > moved_m + min(config.max_distance_m, 6.0 * spread_m) else None
