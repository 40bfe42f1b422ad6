"""What fires, what does not, and that it fires once."""

from typing import Any

import pytest

from ground.alerts.alert import Alert
from ground.alerts.engine import AlertEngine
from ground.alerts.rules import Hours, Rule, check_rule
from ground.alerts.zones import Zone
from ground.fusion.contact import Contact
from skywarden.errors import InputError
from tests.ground.alerts.made import border, contact, rule, square
from tests.ground.scenes import START_NS


def _fired(
    engine: AlertEngine, *contacts: Contact, late_s: float = 1.0, ais: tuple[str, ...] = ()
) -> list[Alert]:
    return [
        alert
        for one in contacts
        for alert in engine.observe(
            [one], (one.position_ns or 0) + round(late_s * 1e9), {one.contact_id: ais}
        )
    ]


def _engine(*rules: Rule, zones: tuple[Zone, ...] = (square(),)) -> AlertEngine:
    return AlertEngine(zones, rules)


def test_a_vessel_in_an_area_alerts_once_and_says_why() -> None:
    engine = _engine(rule(min_score=0.5, max_ce90_m=50.0, labels=("vessel",)))
    (alert,) = _fired(engine, contact())
    assert (alert.rule_id, alert.zone_id, alert.contact_id) == ("r1", "bay", "c-a-1")
    assert alert.time_ns == START_NS
    assert [one.word for one in alert.why] == ["zone", "looks", "label", "score", "position"]
    assert alert.why[0].text == "inside Bay with 100% (90% asked)"
    assert (alert.why[3].value, alert.why[3].limit) == (0.8, 0.5)
    assert _fired(engine, *(contact(at_s=float(n)) for n in range(1, 30))) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"labels": ("cargo",)}, {}),
        ({"min_score": 0.9}, {}),
        ({"max_ce90_m": 5.0}, {}),
        ({"min_looks": 50}, {}),
        ({"min_speed_mps": 5.0}, {}),
        ({"min_speed_mps": 5.0}, {"speed_mps": 4.0, "course_deg": 10.0}),
        ({"max_speed_mps": 5.0}, {"speed_mps": 9.0, "course_deg": 10.0}),
        ({"ais": ("silent",)}, {}),
        ({"is_on": False}, {}),
        ({"zone_ids": ("elsewhere",)}, {}),
        ({}, {"position": None}),
    ],
)
def test_what_does_not_hold_does_not_alert(asked: dict[str, Any], found: dict[str, Any]) -> None:
    assert _fired(_engine(rule(**asked)), contact(**found)) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"min_speed_mps": 5.0}, {"speed_mps": 6.0, "course_deg": 10.0}),
        ({"max_speed_mps": 5.0}, {}),
        ({"min_speed_mps": 0.0}, {}),
    ],
)
def test_speeds_that_hold(asked: dict[str, Any], found: dict[str, Any]) -> None:
    assert len(_fired(_engine(rule(**asked)), contact(**found))) == 1


def test_a_place_that_may_be_outside_does_not_alert() -> None:
    engine = _engine(rule())
    assert _fired(engine, contact(190.0, sigma_m=30.0)) == []
    assert len(_fired(engine, contact(190.0, at_s=1.0, sigma_m=3.0))) == 1


def test_what_trembles_on_the_border_enters_once() -> None:
    engine = _engine(rule(trigger="enters", again_after_s=0.0))
    steps = [300.0, 205.0, 195.0, 205.0, 195.0, 150.0, 195.0, 205.0, 150.0]
    fired = _fired(engine, *(contact(n, at_s=float(s), sigma_m=15.0) for s, n in enumerate(steps)))
    assert [one.time_ns - START_NS for one in fired] == [5_000_000_000]


def test_what_is_first_seen_inside_did_not_enter_and_leaves() -> None:
    engine = _engine(rule(trigger="enters"), rule(rule_id="r2", trigger="leaves"))
    (alert,) = _fired(engine, contact(), contact(400.0, at_s=9.0))
    assert alert.rule_id == "r2"


def test_a_line_is_crossed_when_both_sides_were_sure() -> None:
    engine = _engine(rule(trigger="crosses"), zones=(border(),))
    steps = [-100.0, -20.0, -1.0, 1.0, 20.0, 40.0, -1.0, 60.0]
    (alert,) = _fired(engine, *(contact(n, at_s=float(s)) for s, n in enumerate(steps)))
    assert alert.time_ns - START_NS == 4_000_000_000
    assert alert.why[0].word == "crossing"


def test_beside_the_end_of_a_line_nothing_is_crossed() -> None:
    engine = _engine(rule(trigger="crosses"), zones=(border(),))
    assert _fired(engine, contact(-50.0, 2_500.0), contact(50.0, 2_500.0, at_s=9.0)) == []


def test_dwelling_counts_from_the_first_sure_look_inside() -> None:
    engine = _engine(rule(dwell_s=60.0))
    fired = _fired(engine, *(contact(at_s=float(s)) for s in range(0, 200, 7)))
    assert [(one.time_ns - START_NS) / 1e9 for one in fired] == [63.0]
    assert fired[0].why[1].text == "for 63 s (60 s asked)"
    left = [contact(at_s=0.0), contact(400.0, at_s=30.0), contact(at_s=61.0), contact(at_s=100.0)]
    assert _fired(_engine(rule(dwell_s=60.0)), *left) == []


def test_it_alerts_again_only_after_long_enough_away() -> None:
    engine = _engine(rule(again_after_s=600.0))
    steps = [(0.0, 0.0), (400.0, 100.0), (0.0, 200.0), (400.0, 300.0), (0.0, 1_000.0)]
    fired = _fired(engine, *(contact(north, at_s=s) for north, s in steps))
    assert [(one.time_ns - START_NS) / 1e9 for one in fired] == [0.0, 1_000.0]


def test_an_exclusion_zone_needs_no_rule_and_a_mute_zone_silences() -> None:
    zones = (square("keep-out", kind="exclusion"), square("harbour", kind="mute"))
    (alert,) = _fired(AlertEngine(zones), contact())
    assert (alert.rule_id, alert.severity, alert.to_pilot) == ("exclusion", "urgent", True)
    zones = (square("bay"), square("harbour", kind="mute", half_m=50.0))
    engine = AlertEngine(zones, [rule()])
    assert _fired(engine, contact()) == []
    assert len(_fired(engine, contact(120.0, at_s=5.0))) == 1


def test_anywhere_asks_for_no_zone() -> None:
    engine = _engine(rule(trigger="anywhere", labels=("vessel",), min_speed_mps=10.0))
    (alert,) = _fired(engine, contact(9_000.0, speed_mps=12.0, course_deg=3.0))
    assert alert.zone_id is None
    assert alert.course_deg == 3.0


def test_the_ais_verdict_is_asked_and_told() -> None:
    engine = _engine(rule(ais=("silent",)))
    assert engine.asks_ais
    assert _fired(engine, contact()) == []
    (alert,) = _fired(engine, contact(), ais=("silent",))
    assert "AIS says: silent" in [one.text for one in alert.why]


def test_hours_over_midnight_and_quiet_hours() -> None:
    night = Hours(from_=22 * 60, until=5 * 60)
    minute = rule().minute_of_day(START_NS)
    now = Hours(from_=minute, until=minute + 1)
    assert night.hold(23 * 60)
    assert night.hold(60)
    assert not night.hold(5 * 60)
    assert len(_fired(_engine(rule(hours=(now,))), contact())) == 1
    assert _fired(_engine(rule(hours=(Hours(from_=minute + 1, until=minute),))), contact()) == []
    (alert,) = _fired(_engine(rule(quiet=(now,))), contact(), late_s=0.0)
    assert alert.is_quiet


def test_darkness_is_that_of_the_place() -> None:
    noon = 1_763_028_000 - 1_763_028_000 % 86_400 + 12 * 3_600 - 80 * 60  # at 20 E
    at_s = (noon - START_NS / 1e9) + 86_400.0
    for light, hours, is_fired in (
        ("day", 0.0, True),
        ("dark", 0.0, False),
        ("dark", 12.0, True),
        ("day", 12.0, False),
    ):
        fired = _fired(_engine(rule(light=light)), contact(at_s=at_s + hours * 3_600.0))
        assert bool(fired) is is_fired, (light, hours)
        for alert in fired:
            (why,) = [one for one in alert.why if one.word == "light"]
            assert why.text.startswith("it was dark there" if hours else "it was daylight there")
    assert _fired(_engine(rule(trigger="anywhere", light="dark")), contact(position=None)) == []


def test_old_news_say_how_old() -> None:
    (alert,) = _fired(_engine(rule()), contact(), late_s=3_000.0)
    assert alert.why[-1].text == "the news is 50 min old"


def test_late_looks_do_not_turn_back_the_clock() -> None:
    engine = _engine(rule(trigger="leaves"))
    assert _fired(engine, contact(400.0, at_s=50.0), contact(at_s=10.0), contact(400.0, at_s=60.0)) == []


def test_a_contact_that_merges_under_another_name_does_not_alert_again() -> None:
    engine = _engine(rule())
    assert len(_fired(engine, contact(name="b-1"))) == 1
    renamed = contact(at_s=5.0, name="a-0", track_ids=("a-0", "b-1"))
    assert _fired(engine, renamed) == []


def test_what_was_logged_does_not_fire_again_after_a_restart() -> None:
    first = _engine(rule())
    fired = _fired(first, contact())
    again = _engine(rule())
    again.remember(fired)
    assert _fired(again, contact(at_s=9.0)) == []


def test_of_more_contacts_than_memory_holds_those_seen_last_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ground.alerts.engine._MAX_CONTACTS", 200)
    engine = _engine(rule())
    many = [contact(at_s=float(n), name=f"a-{n}") for n in range(500)]
    assert len(_fired(engine, *many)) == 500
    assert _fired(engine, *(contact(at_s=n + 600.0, name=f"a-{n}") for n in range(330, 500))) == []
    assert len(_fired(engine, contact(at_s=600.0, name="a-0"))) == 1


def test_a_new_zone_is_asked_about_contacts_that_stand_there() -> None:
    engine = _engine(rule(), zones=())
    assert _fired(engine, contact()) == []
    engine.configure([square()], [rule()])
    assert len(_fired(engine, contact())) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_speed_mps": 9.0, "max_speed_mps": 3.0}, "least speed"),
        ({"trigger": "enters", "dwell_s": 5.0}, "dwell"),
        ({"trigger": "anywhere", "zone_ids": ("bay",)}, "names no zones"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_rule(rule(**changes))
