"""The score card: for each of the crew what was noticed and decided, how soon, and how right."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from sim.drill.score.acts import DECISIONS, Act, Done, read_done
from sim.drill.score.cases import Case, Cases, read_cases
from sim.drill.story import DrillInfo, Injected, Note, Story
from skywarden.clock import NS_PER_S

Verdict = Literal["confirmed real", "rejected false", "confirmed false", "rejected real", "undecided"]
RIGHT: tuple[Verdict, ...] = ("confirmed real", "rejected false")


class CaseMark(msgspec.Struct, frozen=True, kw_only=True):
    """What one person made of one case; seconds are counted from when the station first showed it."""

    thing: str
    label: str
    what: str
    is_real: bool
    shown_s: float
    noticed_after_s: float | None
    decided_after_s: float | None
    verdict: Verdict


class OrderMark(msgspec.Struct, frozen=True, kw_only=True):
    """What one person made of one order of the trainer's; `how` is "act", "note" or nothing.

    `could_be_seen` is false of a vessel that no camera ever showed after it.
    """

    number: int
    kind: str
    whom: str
    at_s: float
    noticed_after_s: float | None
    how: str = ""
    text: str = ""
    could_be_seen: bool = True


class PersonCard(msgspec.Struct, frozen=True, kw_only=True):
    """The score card of one of the crew. Medians are over what was noticed or decided at all."""

    account: str
    noticed: int
    cases: int
    median_to_notice_s: float | None
    median_to_decide_s: float | None
    confirmed_real: int
    rejected_false: int
    confirmed_false: int
    rejected_real: int
    undone: int
    alerts_acknowledged: int
    median_to_acknowledge_s: float | None
    orders_noticed: int
    orders: tuple[OrderMark, ...]
    each: tuple[CaseMark, ...]


class CrewCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the crew left standing together, by the last decision of anybody."""

    real_shown: int
    confirmed: int
    rejected: int
    missed: tuple[str, ...]
    false_shown: int
    false_confirmed: tuple[str, ...]
    alerts: int
    alerts_open: int
    orders: int
    orders_noticed: int


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A drill's score card."""

    exercise: bool
    scenario: str
    title: str
    seed: int
    start_ns: int
    seconds: float
    crew: CrewCard
    people: tuple[PersonCard, ...]


def card_of(story: Story) -> Card:
    """The card of a drill, running or over. Raises `FlightError`, `StoreError`."""
    return judged(story.info(), read_cases(story), read_done(story.ground), story.injected(), story.notes())


def judged(
    info: DrillInfo, cases: Cases, done: Done, injected: Sequence[Injected], notes: Sequence[Note]
) -> Card:
    """The card from what was true, what people did, what was ordered and what the trainer noted."""
    orders = [one for one in injected if not one.problem]
    people = tuple(_person(name, info, cases, done, orders, notes) for name in info.crew)
    last_ns = info.end_ns or max((one.last_ns for one in cases.each), default=info.start_ns)
    return Card(
        exercise=True,
        scenario=info.scenario,
        title=info.title,
        seed=info.seed,
        start_ns=info.start_ns,
        seconds=round((last_ns - info.start_ns) / NS_PER_S, 1),
        crew=_crew(info, cases, done, orders, people),
        people=people,
    )


def cases_of(act: Act, cases: Cases) -> list[Case]:
    """Which cases an act is about."""
    found = {id(case): case for name in act.track_ids if (case := cases.of_track.get(name)) is not None}
    if act.chip_id and (case := cases.of_chip.get(act.chip_id)) is not None:
        found[id(case)] = case
    for case in cases.each:
        if case.contact_ids & set(act.contact_ids):
            found[id(case)] = case
    return list(found.values())


def verdict_of(case: Case, acts: Iterable[Act]) -> tuple[Verdict, Act | None]:
    """The last decision among acts about a case, unless it was taken back; and the act that first decided."""
    said: Act | None = None
    first: Act | None = None
    for act in acts:
        if act.kind in DECISIONS:
            said = act
            first = first or act
        elif act.kind == "undone":
            said = None
    if said is None:
        return "undecided", None
    if said.kind == "confirmed":
        return ("confirmed real" if case.is_real else "confirmed false"), first
    return ("rejected real" if case.is_real else "rejected false"), first


def _person(
    name: str,
    info: DrillInfo,
    cases: Cases,
    done: Done,
    orders: Sequence[Injected],
    notes: Sequence[Note],
) -> PersonCard:
    mine = [one for one in done.acts if one.account == name]
    about: dict[int, list[Act]] = {}
    for act in mine:
        for case in cases_of(act, cases):
            about.setdefault(id(case), []).append(act)
    marks = tuple(_case_mark(case, about.get(id(case), []), info) for case in cases.each)
    told = {one.alert.alert_id: one.alert.noted_ns for one in done.alerts}
    answers = {
        act.alert_id: (act.time_ns - told[act.alert_id]) / NS_PER_S
        for act in mine
        if act.kind == "acknowledged" and act.alert_id in told
    }
    ordered = tuple(_order_mark(one, name, cases, about, notes) for one in orders)
    return PersonCard(
        account=name,
        noticed=sum(one.noticed_after_s is not None for one in marks),
        cases=len(marks),
        median_to_notice_s=_median(one.noticed_after_s for one in marks),
        median_to_decide_s=_median(one.decided_after_s for one in marks),
        confirmed_real=sum(one.verdict == "confirmed real" for one in marks),
        rejected_false=sum(one.verdict == "rejected false" for one in marks),
        confirmed_false=sum(one.verdict == "confirmed false" for one in marks),
        rejected_real=sum(one.verdict == "rejected real" for one in marks),
        undone=sum(act.kind == "undone" for act in mine),
        alerts_acknowledged=len(answers),
        median_to_acknowledge_s=_median(answers.values()),
        orders_noticed=sum(one.noticed_after_s is not None for one in ordered),
        orders=ordered,
        each=marks,
    )


def _case_mark(case: Case, acts: Sequence[Act], info: DrillInfo) -> CaseMark:
    verdict, decided = verdict_of(case, acts)
    return CaseMark(
        thing=case.thing,
        label=case.label,
        what=case.what,
        is_real=case.is_real,
        shown_s=round((case.shown_ns - info.start_ns) / NS_PER_S, 1),
        noticed_after_s=_after_s(acts[0].time_ns, case.shown_ns) if acts else None,
        decided_after_s=None if decided is None else _after_s(decided.time_ns, case.shown_ns),
        verdict=verdict,
    )


def _order_mark(
    order: Injected, name: str, cases: Cases, about: dict[int, list[Act]], notes: Sequence[Note]
) -> OrderMark:
    """Noticed by an act about the vessel after it happened, if a camera showed it, or by word of mouth."""
    found: list[tuple[int, str, str]] = [
        (one.time_ns, "note", one.text) for one in notes if one.number == order.number and one.account == name
    ]
    shown = [one for one in cases.each if one.thing == order.order.vessel and one.last_ns >= order.time_ns]
    is_seen = order.order.vessel is None or order.order.kind.startswith("ais_") or bool(shown)
    for case in cases.each if is_seen else ():
        if case.thing == order.order.vessel:
            found += [
                (act.time_ns, "act", act.kind)
                for act in about.get(id(case), [])
                if act.time_ns >= order.time_ns
            ]
    first = min(found, default=None)
    return OrderMark(
        number=order.number,
        kind=order.order.kind,
        whom=order.order.vessel or order.order.platform or "all",
        at_s=order.at_s,
        noticed_after_s=None if first is None else _after_s(first[0], order.time_ns),
        how="" if first is None else first[1],
        text=order.order.note if first is None else first[2],
        could_be_seen=is_seen,
    )


def _crew(
    info: DrillInfo, cases: Cases, done: Done, orders: Sequence[Injected], people: Sequence[PersonCard]
) -> CrewCard:
    crew = set(info.crew)
    missed, false_confirmed = [], []
    confirmed = rejected = 0
    for case in cases.each:
        acts = [one for one in done.acts if one.account in crew and case in cases_of(one, cases)]
        verdict, _ = verdict_of(case, acts)
        confirmed += verdict == "confirmed real"
        rejected += verdict == "rejected false"
        if case.is_real and verdict != "confirmed real":
            missed.append(case.thing)
        if verdict == "confirmed false":
            false_confirmed.append(case.thing)
    noticed = {one.number for person in people for one in person.orders if one.noticed_after_s is not None}
    return CrewCard(
        real_shown=sum(one.is_real for one in cases.each),
        confirmed=confirmed,
        rejected=rejected,
        missed=tuple(missed),
        false_shown=sum(not one.is_real for one in cases.each),
        false_confirmed=tuple(false_confirmed),
        alerts=len(done.alerts),
        alerts_open=sum(one.acknowledged is None for one in done.alerts),
        orders=len(orders),
        orders_noticed=len(noticed),
    )


def _after_s(time_ns: int, since_ns: int) -> float:
    return round(max(0.0, (time_ns - since_ns) / NS_PER_S), 1)


def _median(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(statistics.median(known), 1) if known else None
