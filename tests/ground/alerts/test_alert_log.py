"""Alerts stay, acknowledgements name a person, the unseen grow louder, the pilot hears."""

import socket
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from ground.alerts.alert import LoggedAlert
from ground.alerts.desk import AlertDesk, AlertWatch
from ground.alerts.log import AlertLog
from ground.alerts.pilot_text import PilotText, in_words
from ground.alerts.rules import Rule
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.picture.live import LivePicture
from ground.store.sqlite import SqliteStore
from skywarden.errors import ConflictError, InputError
from skywarden.mavlink.framing import Framer
from tests.ground.alerts.made import HandClock, contact, rule, square
from tests.ground.scenes import START_NS, arrival, position, sighting


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AlertLog]:
    made = AlertLog(tmp_path / "alerts.sqlite")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def _desk(log: AlertLog, clock: HandClock, told: list[LoggedAlert] | None = None) -> AlertDesk:
    desk = AlertDesk(log, clock, tell=[told.append] if told is not None else [])
    desk.put_zones([square()], "eva")
    return desk


def test_an_alert_is_kept_told_and_acknowledged_by_a_person(log: AlertLog, clock: HandClock) -> None:
    told: list[LoggedAlert] = []
    desk = _desk(log, clock, told)
    desk.put_rule(rule(), "eva")
    (logged,) = desk.observe([contact()])
    assert told == [logged]
    alert_id = logged.alert.alert_id
    assert [one.alert for one in log.newest(only_open=True)] == [logged.alert]
    desk.comment(alert_id, "luis", "looks like the ferry")
    done = desk.acknowledge(alert_id, "eva", "seen")
    assert done.acknowledged is not None
    assert (done.acknowledged.account, done.acknowledged.text) == ("eva", "seen")
    assert log.newest(only_open=True) == []
    assert [act.kind for act in told[-1].acts] == ["commented", "acknowledged"]
    assert desk.acknowledge(alert_id, "eva", "again").acts == done.acts
    with pytest.raises(ConflictError, match="eva acknowledged"):
        desk.acknowledge(alert_id, "luis", "me too")
    with pytest.raises(InputError, match="no alert"):
        desk.acknowledge("a-none", "eva", "")


def test_a_restart_forgets_nothing_and_repeats_nothing(tmp_path: Path, clock: HandClock) -> None:
    for turn in range(2):
        log = AlertLog(tmp_path / "alerts.sqlite")
        try:
            desk = _desk(log, clock)
            desk.put_rule(rule(), "eva")
            assert len(desk.observe([contact(at_s=float(turn))])) == (1 if turn == 0 else 0)
            assert len(log.newest()) == 1
        finally:
            log.close()


def test_what_nobody_acknowledges_grows_more_severe_twice_at_most(log: AlertLog, clock: HandClock) -> None:
    told: list[LoggedAlert] = []
    desk = _desk(log, clock, told)
    desk.put_rule(rule(severity="notice", escalate_after_s=60.0), "eva")
    desk.observe([contact()])
    clock.advance(59.0)
    assert desk.tick() == []
    severities = []
    for _ in range(4):
        clock.advance(61.0)
        severities += [one.severity for one in desk.tick()]
    assert severities == ["warning", "urgent"]
    assert [one.severity for one in told] == ["notice", "warning", "urgent"]
    assert log.newest()[0].severity == "urgent"


def test_a_person_makes_it_louder_up_to_the_top(log: AlertLog, clock: HandClock) -> None:
    told: list[LoggedAlert] = []
    desk = _desk(log, clock, told)
    desk.put_rule(rule(severity="notice"), "eva")
    (logged,) = desk.observe([contact()])
    alert_id = logged.alert.alert_id
    assert [desk.escalate(alert_id, "eva", "two boats").severity for _ in range(2)] == ["warning", "urgent"]
    assert [(act.kind, act.account, act.text) for act in told[-1].acts][-1] == (
        "escalated",
        "eva",
        "two boats",
    )
    with pytest.raises(ConflictError, match="urgent already"):
        desk.escalate(alert_id, "eva", "")
    with pytest.raises(InputError, match="no alert"):
        desk.escalate("a-none", "eva", "")


def test_what_was_acknowledged_grows_no_louder(log: AlertLog, clock: HandClock) -> None:
    desk = _desk(log, clock)
    desk.put_rule(rule(escalate_after_s=60.0), "eva")
    (logged,) = desk.observe([contact()])
    desk.acknowledge(logged.alert.alert_id, "eva", "")
    clock.advance(3_600.0)
    assert desk.tick() == []


def test_the_log_cannot_be_rewritten(log: AlertLog, clock: HandClock, tmp_path: Path) -> None:
    desk = _desk(log, clock)
    desk.put_rule(rule(), "eva")
    desk.observe([contact()])
    other = apsw.Connection(str(tmp_path / "alerts.sqlite"))
    try:
        for statement in ("DELETE FROM alerts", "UPDATE alerts SET contact_id = 'x'"):
            with pytest.raises(apsw.ConstraintError):
                other.execute(statement)
    finally:
        other.close()


def test_a_zone_that_a_rule_names_stays(log: AlertLog, clock: HandClock) -> None:
    desk = _desk(log, clock)
    with pytest.raises(InputError, match="do not exist"):
        desk.put_rule(rule(zone_ids=("nowhere",)), "eva")
    desk.put_rule(rule(zone_ids=("bay",)), "eva")
    with pytest.raises(ConflictError, match="Vessel in the bay"):
        desk.remove_zone("bay")
    assert desk.remove_rule("r1")
    assert desk.remove_zone("bay")
    assert not desk.remove_zone("bay")


def test_zones_taken_in_beside_a_running_station_are_followed(tmp_path: Path, clock: HandClock) -> None:
    log, beside = AlertLog(tmp_path / "alerts.sqlite"), AlertLog(tmp_path / "alerts.sqlite")
    try:
        desk = AlertDesk(log, clock)
        assert desk.observe([contact()]) == []
        beside.put_zones([square(kind="exclusion")], "command line", START_NS)
        assert len(desk.observe([contact(at_s=1.0)])) == 1
    finally:
        beside.close()
        log.close()


def test_the_watch_judges_what_changes_in_the_picture(
    log: AlertLog, clock: HandClock, tmp_path: Path
) -> None:
    picture = LivePicture(first_revision=1)
    desk = AlertDesk(log, clock, tell=[picture.note_alert])
    desk.put_zones([square(kind="exclusion")], "eva")
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    try:
        watch = AlertWatch(desk, picture, store)
        watch.turn()
        looks = [sighting(number=n, at_s=float(n), place=position()) for n in range(5)]
        store.ingest([arrival(one, n) for n, one in enumerate(looks, 1)])
        settled = store.settle(picture.next_revision())
        seen = picture.revision
        picture.note_contacts(list(settled.contacts), list(settled.removed))
        watch.turn()
        assert [one.alert.rule_id for one in log.newest()] == ["exclusion"]
        changes = picture.changes_since(seen)
        assert changes is not None
        assert [one.kind for one in changes] == ["contact", "alert"]
        watch.turn()
        assert len(log.newest()) == 1
    finally:
        store.close()


def test_a_vessel_alerts_when_ais_falls_silent_about_it_without_a_new_look(
    log: AlertLog, clock: HandClock, tmp_path: Path
) -> None:
    words = ["undecided"]
    picture = LivePicture(first_revision=1)
    desk = AlertDesk(
        log,
        clock,
        ais=lambda contacts: {one.contact_id: words for one in contacts},
        tell=[picture.note_alert],
    )
    desk.put_rule(Rule(rule_id="dark", name="Dark", trigger="anywhere", ais=("silent",)), "eva")
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    try:
        watch = AlertWatch(desk, picture, store)
        looks = [sighting(number=n, at_s=float(n), place=position()) for n in range(5)]
        store.ingest([arrival(one, n) for n, one in enumerate(looks, 1)])
        settled = store.settle(picture.next_revision())
        picture.note_contacts(list(settled.contacts), list(settled.removed))
        for _ in range(12):
            watch.turn()
        assert log.newest() == []
        words[:] = ["silent"]
        for _ in range(12):
            watch.turn()
        assert [one.alert.rule_id for one in log.newest()] == ["dark"]
    finally:
        store.close()


def test_the_pilots_ground_station_gets_a_text(log: AlertLog, clock: HandClock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as station:
        station.bind(("127.0.0.1", 0))
        station.settimeout(30.0)
        pilot = PilotText(f"udpout:127.0.0.1:{station.getsockname()[1]}")
        try:
            desk = AlertDesk(log, clock, to_pilot=pilot.tell)
            desk.put_zones([square(kind="exclusion")], "eva")
            (logged,) = desk.observe([contact(speed_mps=7.0, course_deg=90.0)])
            framer, names = Framer(), []
            while 253 not in names:
                names += [frame.msgid for frame in framer.feed(station.recv(2048))]
            assert names[0] == 0
            words = in_words(logged)
            assert words.startswith("Exclusion zone entered: vessel, Bay, 0.00000 20.00000 +-")
            assert words.endswith("090 deg 7 m/s")
        finally:
            pilot.close()


def test_a_text_for_a_pilot_is_plain_whatever_a_label_holds(log: AlertLog, clock: HandClock) -> None:
    desk = _desk(log, clock)
    desk.put_rule(rule(name="N" * 100), "eva")
    (logged,) = desk.observe([contact(label="bote ñ\n\x1b[31m" + "x" * 50, is_exercise=True)])
    words = in_words(logged)
    assert words.isascii()
    assert words.isprintable()
    assert len(words) <= 150
    assert words.startswith("EXERCISE ")
    assert msgspec.json.decode(msgspec.json.encode(logged), type=LoggedAlert) == logged
