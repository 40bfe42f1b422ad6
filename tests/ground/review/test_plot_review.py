"""A plot that is part of no contact is decided about like any other thing, over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from skywarden.messages import Plot
from tests.ground.people import Person
from tests.ground.scenes import START_NS, position, put, running_edge, running_ground, sighting, until
from tests.samples import EVERY

_SAMPLE = EVERY["plot"]
assert isinstance(_SAMPLE, Plot)
PARCEL: Plot = _SAMPLE
IN_CONTACT = "uav07-s1-eo.t9"
LOG = "/api/v1/review/log"


def _plot(name: str) -> Plot:
    return msgspec.structs.replace(PARCEL, plot_id=name, time_ns=START_NS, first_ns=START_NS)


def _path(plot_id: str) -> str:
    return f"/api/v1/plots/{plot_id}/review"


def _decision(said: str, version: int, text: str = "") -> dict[str, Any]:
    return {"decision": said, "version": version, "text": text}


def _exported(person: Person, unreviewed: bool) -> dict[str, str]:
    """The plots that leave, each with its state."""
    word = "&unreviewed=true" if unreviewed else ""
    status, found = person.get(f"/api/v1/exports/geojson?layer=plots{word}")
    assert status == 200, found
    rows = [one["properties"] for one in found["features"]]
    assert all(("NOT CONFIRMED" in row["mark"]) == (row["review"] != "confirmed") for row in rows), rows
    return {row["plot_id"]: row["review"] for row in rows}


def _shown(person: Person) -> dict[str, str]:
    _, found = person.get("/api/v1/plots")
    return {one["properties"]["plot_id"]: one["properties"]["review"] for one in found["features"]}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroundHandle]:
    """A station that knows three plots of their own, and a fourth whose track is a contact's."""
    folder = tmp_path_factory.mktemp("plot-review")
    with running_ground(folder) as handle, running_edge(folder, handle) as (outbox, downlink):
        seen = sighting(IN_CONTACT, 1, place=position())
        put(outbox, *(_plot(name) for name in ("alone", "other", "contested", IN_CONTACT)), seen)
        assert downlink.wait_until_delivered(30)
        until(lambda: handle.store.counts().contacts == 1, 30.0)
        yield handle


def test_a_plot_of_its_own_is_decided_taken_back_and_remembered(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    status, before = ana.get(_path("alone"))
    assert status == 200
    assert (before["state"], before["contact_id"], before["plot_id"]) == ("unreviewed", None, "alone")
    assert "alone" not in _exported(ana, False)
    assert _exported(ana, True)["alone"] == "unreviewed"

    status, after = ana.post(_path("alone"), _decision("confirmed", 0, "rows of shrubs"))
    assert (status, after["state"], after["decided_by"]) == (200, "confirmed", "ana")
    assert _shown(ana)["alone"] == "confirmed"
    assert _exported(ana, False)["alone"] == "confirmed"

    assert ana.post(f"{_path('alone')}/comments", {"text": "seen from the road too"})[0] == 200
    assert ana.post(f"{LOG}/{after['decision_number']}/undo", {})[0] == 200
    _, last = ana.get(_path("alone"))
    said = [(one["kind"], one["text"], one["undone_by"]) for one in last["history"]]
    assert said == [
        ("undo", "", None),
        ("comment", "seen from the road too", None),
        ("decision", "rows of shrubs", "ana"),
    ]
    assert last["state"] == "unreviewed"
    assert "alone" not in _exported(ana, False)


def test_what_was_rejected_leaves_in_no_way_and_the_past_says_which_plot(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    assert ana.post(_path("other"), _decision("rejected", 0))[1]["state"] == "rejected"
    assert "other" not in _exported(ana, True)
    _, marks = ana.get("/api/v1/past/marks?since=2020-01-01T00:00:00Z")
    assert ("rejected", "other") in [(one["kind"], one["text"]) for one in marks["items"]]


def test_the_second_of_two_people_is_shown_what_the_first_said_of_a_plot(ground: GroundHandle) -> None:
    ana, ben = Person(ground, "ana", Role.OPERATOR), Person(ground, "ben", Role.OPERATOR)
    assert ana.post(_path("contested"), _decision("rejected", 0))[0] == 200
    status, refused = ben.post(_path("contested"), _decision("confirmed", 0))
    assert status == 409
    assert "ana was first" in refused["error"]
    assert (refused["current"]["plot_id"], refused["current"]["state"]) == ("contested", "rejected")
    version = refused["current"]["version"]
    assert ben.post(_path("contested"), _decision("confirmed", version))[1]["state"] == "confirmed"


def test_a_plot_in_a_contact_stands_and_falls_with_it(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    _, plot = ana.get(_path(IN_CONTACT))
    contact = f"/api/v1/contacts/{plot['contact_id']}/review"
    assert ana.post(_path(IN_CONTACT), _decision("confirmed", plot["version"]))[0] == 200
    assert ana.get(contact)[1]["state"] == "confirmed"


def test_a_viewer_decides_about_no_plot_and_an_unknown_one_is_not_there(ground: GroundHandle) -> None:
    eve = Person(ground, "eve", Role.VIEWER)
    assert eve.post(_path("alone"), _decision("confirmed", 0))[0] == 403
    status, said = Person(ground, "ana", Role.OPERATOR).get(_path("nowhere"))
    assert (status, json.dumps(said)) == (404, '{"error": "there is no such plot"}')
