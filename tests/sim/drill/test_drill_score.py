"""The score card against truth that is known by construction: who noticed what, when, and how right."""

import msgspec
import pytest

from ground.store.reading import StoredSighting
from sim.drill.orders import Order
from sim.drill.replay import marks_of
from sim.drill.score.acts import Act, ActKind, Done
from sim.drill.score.card import judged, verdict_of
from sim.drill.score.cases import Cases, TruthFrames, gathered
from sim.drill.score.page import card_page
from sim.drill.score.table import score_table
from sim.drill.story import DrillInfo, Injected, Note
from sim.scenario.seen import FrameTruth, ObjectTruth
from tests.ground.scenes import START_NS, sighting

S = 1_000_000_000
INFO = DrillInfo(
    scenario="bay",
    title="A bay",
    seed=1,
    start_ns=START_NS,
    crew=("ana", "ben"),
    trainer="carla",
    platforms=("uav07",),
    end_ns=START_NS + 300 * S,
)


def _thing(name: str, label: str, x: float) -> ObjectTruth:
    return ObjectTruth(
        id=name,
        label=label,
        box_px=(x, 10.0, x + 20.0, 30.0),
        visibility=1.0,
        latitude_deg=0.0,
        longitude_deg=20.0,
        alt_hae_m=0.0,
        range_m=300.0,
        kind="rock" if label == "decoy" else "skiff",
    )


def _frames() -> dict[str, TruthFrames]:
    things = (
        _thing("boat-1", "vessel", 0.0),
        _thing("boat-2", "vessel", 100.0),
        _thing("rock-1", "decoy", 200.0),
    )
    frames = [
        FrameTruth(
            frame_number=number,
            sensor_id="eo",
            time_ns=START_NS + number * S,
            latitude_deg=0.0,
            longitude_deg=20.0,
            alt_hae_m=100.0,
            rotation_ned_from_camera=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
            objects=things,
        )
        for number in range(120)
    ]
    return {"uav07": TruthFrames(frames)}


def _looks(track: str, x: float, begin_s: int, count: int = 3) -> list[StoredSighting]:
    found = []
    for number in range(count):
        seen = msgspec.structs.replace(
            sighting(track, number),
            time_ns=START_NS + (begin_s + number) * S,
            box_px=(x, 10.0, x + 20.0, 30.0),
        )
        found.append(
            StoredSighting(
                sighting=seen,
                received_ns=seen.time_ns + S,
                contact_id=f"c-{track}",
                chip_id=f"chip-{track}" if number == 0 else None,
            )
        )
    return found


@pytest.fixture(scope="module")
def cases() -> Cases:
    looks = {
        "t1": _looks("t1", 1.0, 10),
        "t1b": _looks("t1b", 2.0, 60),  # the same boat, lost and found again
        "t2": _looks("t2", 101.0, 20, count=8),
        "t3": _looks("t3", 199.0, 30),
        "t4": _looks("t4", 400.0, 40),
    }
    return gathered(looks, _frames())


def _act(after_s: float, account: str, kind: ActKind, track: str, **more: str) -> Act:
    return Act(
        time_ns=START_NS + round(after_s * S),
        account=account,
        kind=kind,
        contact_ids=(f"c-{track}",),
        track_ids=(track,),
        **more,
    )


ACTS = (
    Act(time_ns=START_NS + 15 * S, account="ana", kind="opened", chip_id="chip-t1"),
    _act(21.0, "ana", "confirmed", "t1"),
    _act(26.0, "ben", "opened", "t2"),
    _act(41.0, "ben", "rejected", "t2"),
    _act(51.0, "ana", "confirmed", "t3"),
    _act(61.0, "ben", "rejected", "t4"),
    _act(71.0, "ben", "confirmed", "t1b"),
    _act(72.0, "ben", "undone", "t1b"),
    _act(80.0, "carla", "confirmed", "t2"),  # the trainer is not of the crew
)
ORDERS = [
    Injected(
        number=number,
        order=msgspec.convert({"kind": kind, "vessel": vessel}, Order),
        at_s=at_s,
        end_s=None,
        time_ns=START_NS + round(at_s * S),
        by="script",
        problem=problem,
    )
    for number, kind, vessel, at_s, problem in (
        (1, "vessel_turns", "boat-2", 25.0, ""),
        (2, "compass_error", None, 30.0, ""),
        (3, "vessel_appears", "boat-9", 35.0, ""),
        (4, "nonsense", None, 36.0, "there is no kind"),
    )
]
NOTES = [Note(number=2, account="ana", time_ns=START_NS + 42 * S, text="the compass is off")]


def test_tracks_become_cases_by_what_they_truly_show(cases: Cases) -> None:
    found = {one.thing: one for one in cases.each}
    assert list(found) == ["boat-1", "boat-2", "rock-1 taken for vessel", "nothing: c-t4"]
    assert [one.is_real for one in cases.each] == [True, True, False, False]
    assert found["boat-1"].track_ids == {"t1", "t1b"}
    assert found["boat-1"].shown_ns == START_NS + 11 * S
    assert cases.of_chip["chip-t3"].what == "rock"


def test_each_of_the_crew_is_judged_by_what_was_true(cases: Cases) -> None:
    card = judged(INFO, cases, Done(acts=ACTS, alerts=()), ORDERS, NOTES)
    ana, ben = card.people
    verdicts = {one.thing: one.verdict for one in ana.each}
    assert verdicts["boat-1"] == "confirmed real"
    assert verdicts["rock-1 taken for vessel"] == "confirmed false"
    assert (ana.confirmed_real, ana.confirmed_false, ana.rejected_real, ana.rejected_false) == (1, 1, 0, 0)
    assert (ben.confirmed_real, ben.confirmed_false, ben.rejected_real, ben.rejected_false) == (0, 0, 1, 1)
    assert ben.undone == 1
    first = ana.each[0]
    assert (first.noticed_after_s, first.decided_after_s) == (4.0, 10.0)
    assert ana.median_to_decide_s == 15.0


def test_the_crew_together_missed_what_nobody_left_confirmed(cases: Cases) -> None:
    crew = judged(INFO, cases, Done(acts=ACTS, alerts=()), ORDERS, NOTES).crew
    assert crew.missed == ("boat-1", "boat-2")  # boat-1: the last word on it was taken back
    assert crew.false_confirmed == ("rock-1 taken for vessel",)
    assert (crew.real_shown, crew.false_shown, crew.rejected) == (2, 2, 1)


def test_orders_are_noticed_by_deed_or_by_word_and_not_where_nothing_could_be_seen(cases: Cases) -> None:
    ana, ben = judged(INFO, cases, Done(acts=ACTS, alerts=()), ORDERS, NOTES).people
    assert [one.number for one in ana.orders] == [1, 2, 3]  # what was not carried out is no order
    assert [one.noticed_after_s for one in ben.orders] == [1.0, None, None]
    assert [(one.noticed_after_s, one.how) for one in ana.orders] == [(None, ""), (12.0, "note"), (None, "")]
    assert [one.could_be_seen for one in ana.orders] == [True, True, False]


def test_the_last_word_counts_and_the_first_says_how_soon(cases: Cases) -> None:
    boat = cases.each[0]
    acts = [_act(20.0, "ana", "rejected", "t1"), _act(30.0, "ana", "confirmed", "t1")]
    verdict, first = verdict_of(boat, acts)
    assert (verdict, first) == ("confirmed real", acts[0])


def test_page_and_table_say_exercise_and_show_everybody(cases: Cases) -> None:
    done = Done(acts=ACTS, alerts=())
    card = judged(INFO, cases, done, ORDERS, NOTES)
    page = card_page(card, INFO, cases, done, ORDERS)
    assert page.count("EXERCISE") >= 2
    assert "<svg" in page
    assert "no camera showed it" in page
    assert all(name in page for name in ("ana", "ben", "boat-2", "the compass is off"))
    assert score_table(card) is not None
    assert msgspec.json.decode(msgspec.json.encode(card))["exercise"] is True


def test_the_replay_marks_orders_looks_and_words_in_their_order(cases: Cases) -> None:
    marks = marks_of(INFO, cases, Done(acts=ACTS, alerts=()), ORDERS, NOTES)
    assert [(one.kind, one.account) for one in marks] == [
        ("opened", "ana"),
        ("order", ""),
        ("opened", "ben"),
        ("order", ""),
        ("order", ""),
        ("order", "ana"),
    ]
    assert marks[2].text == "boat-2"
