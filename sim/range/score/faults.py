"""Whether the chain noticed each ordered fault, what it said, what was left, and when it was over."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from sim.range.aboard import Notice
from sim.range.faults.kind import Expected
from sim.range.faults.kinds import KINDS
from sim.range.faults.spell import Spell
from sim.range.score.truth import METRES_PER_DEG, RunTruth
from sim.range.watch import Watched
from skywarden.clock import NS_PER_S
from skywarden.messages import Sighting

AFTER_S = 12.0
"""A notice that begins so soon after a fault still counts as its own."""
EARLY_NS = NS_PER_S
"""Frames are judged with the telemetry of the second after them, so a notice may begin a little before."""
VERDICTS = ("noticed", "late", "missed", "not recovered", "nothing to notice")


class FaultScore(msgspec.Struct, frozen=True, kw_only=True):
    """One fault on one platform; times in seconds, from its beginning or from its end.

    `verdict` is noticed (in time, and over in time), late, missed, not recovered, or nothing to notice (no
    instrument aboard can tell). `placed` of `looks` sightings of its time had a place, `rms_m` off.
    """

    kind: str
    platform: str
    begin_s: float
    end_s: float
    verdict: str
    expected: tuple[str, ...]
    within_s: float | None
    reported_as: tuple[str, ...] = ()
    after_s: float | None = None
    recovered_s: float | None = None
    degraded_to: str = ""
    looks: int = 0
    placed: int = 0
    rms_m: float | None = None


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of a watch; `false_notices` were said where no fault was."""

    ordered: int = 0
    noticeable: int = 0
    noticed: int = 0
    late: int = 0
    missed: int = 0
    not_recovered: int = 0
    false_notices: int = 0
    each: tuple[FaultScore, ...] = ()
    false: tuple[Notice, ...] = ()


def faults(truth: RunTruth, watched: Watched) -> Faults:
    """The judgement over all platforms; link and receiver faults are theirs whom they befall."""
    each: list[FaultScore] = []
    false: list[Notice] = []
    for name, ordered in sorted(watched.spells.items()):
        spells = [spell for spell in ordered if spell.span.start_ns < watched.ends_ns[name]]
        ours = [one for one in watched.station if one.platform_id in ("", name)]
        notices = [*watched.notices.get(name, []), *ours]
        each += [_judged(truth, watched, name, spell, notices) for spell in spells]
        false += [one for one in notices if not any(_is_of(one, spell) for spell in spells)]
    for name, notices in sorted(watched.notices.items()):
        if name not in watched.spells:
            false += notices
    false = list(dict.fromkeys(false))  # that AIS is silent is said once, whatever befell how many platforms
    verdicts = [one.verdict for one in each]
    return Faults(
        ordered=len(each),
        noticeable=sum(verdict != "nothing to notice" for verdict in verdicts),
        noticed=verdicts.count("noticed"),
        late=verdicts.count("late"),
        missed=verdicts.count("missed"),
        not_recovered=verdicts.count("not recovered"),
        false_notices=len(false),
        each=tuple(each),
        false=tuple(false),
    )


def _judged(
    truth: RunTruth, watched: Watched, name: str, spell: Spell, notices: Sequence[Notice]
) -> FaultScore:
    expected = KINDS[spell.kind].expect(spell)
    last_ns = watched.ends_ns[name]
    end_ns = min(spell.span.end_ns, last_ns)
    own = [one for one in notices if _is_of(one, spell)]
    meant = [one for one in own if one.word in expected.reported_as]
    first = min((one.begin_ns for one in meant), default=None)
    after_s = None if first is None else max(0.0, _seconds(first - spell.span.start_ns))
    recovered_s = _recovered_s(meant, end_ns)
    looks, placed, rms_m = _left(truth, watched, name, spell.span.start_ns, end_ns)
    return FaultScore(
        kind=spell.kind,
        platform=name,
        begin_s=_seconds(spell.span.start_ns - watched.run.start_ns),
        end_s=_seconds(end_ns - watched.run.start_ns),
        verdict=_verdict(expected, after_s, recovered_s, lasts_to_the_end=spell.span.end_ns >= last_ns),
        expected=expected.reported_as,
        within_s=None if expected.within_s is None else round(expected.within_s, 2),
        reported_as=tuple(dict.fromkeys(one.word for one in own)),
        after_s=after_s,
        recovered_s=recovered_s,
        degraded_to=expected.degraded_to,
        looks=looks,
        placed=placed,
        rms_m=rms_m,
    )


def _verdict(
    expected: Expected, after_s: float | None, recovered_s: float | None, *, lasts_to_the_end: bool
) -> str:
    if not expected.reported_as:
        return "nothing to notice"
    if after_s is None:
        return "missed"
    if expected.within_s is not None and after_s > expected.within_s:
        return "late"
    if expected.recovered_s is None or lasts_to_the_end:
        return "noticed"
    return "noticed" if recovered_s is not None and recovered_s <= expected.recovered_s else "not recovered"


def _is_of(notice: Notice, spell: Spell) -> bool:
    """Whether a notice may come from a fault: its word fits, and it began while the fault was about."""
    expected = KINDS[spell.kind].expect(spell)
    if notice.word not in (*expected.reported_as, *expected.also):
        return False
    last_ns = spell.span.end_ns + round(AFTER_S * NS_PER_S)
    return spell.span.start_ns - EARLY_NS <= notice.begin_ns <= last_ns


def _recovered_s(meant: Sequence[Notice], end_ns: int) -> float | None:
    """How long after the fault the last word of it was taken back; `None` when it still holds."""
    if not meant or any(one.end_ns is None for one in meant):
        return None
    last_ns = max(one.end_ns for one in meant if one.end_ns is not None)
    return max(0.0, _seconds(last_ns - end_ns))


def _left(
    truth: RunTruth, watched: Watched, name: str, begin_ns: int, end_ns: int
) -> tuple[int, int, float | None]:
    """Sightings while the fault lasts: how many, how many with a place, and how far off those are."""
    looks = placed = 0
    squares: list[float] = []
    for step in watched.steps[name]:
        if not begin_ns <= step.stamp_ns < end_ns:
            continue
        for message in step.outcome.messages:
            if not isinstance(message, Sighting):
                continue
            looks += 1
            if message.position is None:
                continue
            placed += 1
            thing = truth.thing_of(name, message)
            if thing is not None:
                scale = METRES_PER_DEG * math.cos(math.radians(thing.latitude_deg))
                east = (message.position.longitude_deg - thing.longitude_deg) * scale
                north = (message.position.latitude_deg - thing.latitude_deg) * METRES_PER_DEG
                squares.append(east**2 + north**2)
    return looks, placed, round(float(np.sqrt(np.mean(squares))), 2) if squares else None


def _seconds(span_ns: int) -> float:
    return round(span_ns / NS_PER_S, 3)
