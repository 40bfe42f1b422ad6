"""Review over HTTP: who may decide, two sessions at once, what leaves, what a partner sees."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from skywarden.times import rfc3339
from tests.ground.people import Person
from tests.ground.scenes import (
    START_NS,
    authorization,
    chip,
    position,
    put,
    running_edge,
    running_ground,
    sighting,
    until,
)

FAR_M = 3_000.0


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroundHandle]:
    """A station with four vessels 3 km apart."""
    folder = tmp_path_factory.mktemp("review")
    with running_ground(folder) as handle, running_edge(folder, handle) as (outbox, downlink):
        looks = [
            sighting(f"uav07-s1-eo.t{index}", 1, at_s=index, place=position(east_m=index * FAR_M))
            for index in range(4)
        ]
        put(outbox, *looks, *(chip(one) for one in looks))
        assert downlink.wait_until_delivered(30)
        until(lambda: handle.store.counts().contacts == 4, 30.0)
        yield handle


def _path(index: int) -> str:
    return f"/api/v1/contacts/c-uav07-s1-eo.t{index}/review"


@pytest.mark.slow
def test_two_people_decide_and_the_second_is_shown_what_the_first_said(ground: GroundHandle) -> None:
    ana, ben = Person(ground, "ana", Role.OPERATOR), Person(ground, "ben", Role.OPERATOR)
    status, before = ana.get(_path(0))
    assert (status, before["state"], before["version"]) == (200, "unreviewed", 0)
    status, after = ana.post(_path(0), {"decision": "confirmed", "version": 0, "text": "nets on deck"})
    assert (status, after["state"], after["decided_by"]) == (200, "confirmed", "ana")
    status, refused = ben.post(_path(0), {"decision": "rejected", "version": 0})
    assert status == 409
    assert "ana was first" in refused["error"]
    assert refused["current"]["history"][0]["text"] == "nets on deck"
    status, contact = ben.get("/api/v1/contacts/c-uav07-s1-eo.t0")
    assert (contact["review"], contact["reviewed_by"], contact["review_version"]) == ("confirmed", "ana", 1)
    assert contact["sightings"][0]["review"] == "confirmed"
    number = after["decision_number"]
    assert ben.post(f"/api/v1/review/log/{number}/undo", {})[0] == 200
    assert ana.get(_path(0))[1]["history"][1]["undone_by"] == "ben"
    assert ana.post(f"/api/v1/review/log/{number}/undo", {})[0] == 409
    assert ana.get("/api/v1/review/log")[1]["items"][0]["kind"] == "undo"
    around = f"since={rfc3339(START_NS)}&until={rfc3339(START_NS + 60_000_000_000)}"
    tracks = ana.get(f"/api/v1/past/span?{around}")[1]["tracks"]
    assert {one["track_id"]: one["review"] for one in tracks}["uav07-s1-eo.t0"] == ["confirmed", "unreviewed"]


def test_a_decision_reaches_those_who_watch(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    before = ground.picture.revision
    version = ana.get(_path(3))[1]["version"]
    assert ana.post(_path(3), {"decision": "more", "version": version})[0] == 200
    changes = ground.picture.changes_since(before) or []
    assert [one.key for one in changes if one.kind == "contact"] == ["c-uav07-s1-eo.t3"]


def test_a_viewer_and_a_key_decide_nothing(ground: GroundHandle) -> None:
    eve = Person(ground, "eve", Role.VIEWER)
    assert eve.get(_path(1))[0] == 200
    assert eve.post(_path(1), {"decision": "confirmed", "version": 0})[0] == 403
    request = urllib.request.Request(
        ground.http_url + _path(1),
        data=b'{"decision":"confirmed","version":0}',
        headers={"Content-Type": "application/json", **dict([authorization(ground)])},
    )
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()


def test_comments_and_assignment_are_kept_with_who_and_when(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    status, review = ana.post(f"{_path(1)}/comments", {"text": "same hull as yesterday?"})
    assert (status, review["version"], review["history"][0]["account"]) == (200, 0, "ana")
    status, review = ana.post(f"{_path(1)}/assignee", {"assignee": "ben", "version": 0})
    assert (status, review["assignee"]) == (200, "ben")
    assert ana.post(f"{_path(1)}/assignee", {"assignee": "eve", "version": 0})[0] == 409
    assert ana.post(f"{_path(1)}/comments", {"text": "  "})[0] == 400
    assert ana.post("/api/v1/contacts/nothing/review/comments", {"text": "?"})[0] == 404


def test_a_pattern_is_counted_first_and_undone_as_one(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    pattern = {"centre": [20.0 + FAR_M * 2 / 111_319.49, 0.0], "radius_m": 200.0, "label": "vessel"}
    status, preview = ana.post("/api/v1/review/patterns", pattern)
    assert (status, preview["contact_count"], preview["sighting_count"]) == (200, 1, 1)
    status, entry = ana.post("/api/v1/review/patterns/reject", {"preview_id": preview["preview_id"]})
    assert (status, entry["contact_count"]) == (200, 1)
    assert ana.get(_path(2))[1]["state"] == "rejected"
    assert ana.post(f"/api/v1/review/log/{entry['number']}/undo", {})[0] == 200
    assert ana.get(_path(2))[1]["state"] == "unreviewed"
    assert ana.post("/api/v1/review/patterns", {"score_max": 0.9})[0] == 400


def test_only_what_was_confirmed_leaves_and_a_partner_sees_no_more(ground: GroundHandle) -> None:
    ana, guest = Person(ground, "ana", Role.OPERATOR), Person(ground, "guest", Role.PARTNER)
    version = ana.get(_path(3))[1]["version"]
    assert ana.post(_path(3), {"decision": "confirmed", "version": version})[0] == 200
    for path in ("/api/v1/contacts.geojson", "/api/v1/sightings.geojson"):
        confirmed = ana.get(path)[1]
        assert confirmed["notice"].startswith("Everything in here has been confirmed")
        assert {one["properties"]["review"] for one in confirmed["features"]} == {"confirmed"}
        everything = ana.get(f"{path}?unreviewed=true")[1]
        assert everything["notice"].startswith("UNREVIEWED")
        marks = [one["properties"].get("mark") for one in everything["features"]]
        assert None in marks
        assert "NOT CONFIRMED (unreviewed)" in marks
    status, shared = guest.get("/api/v1/shared/contacts")
    assert (status, [one["id"] for one in shared["features"]]) == (200, ["c-uav07-s1-eo.t3"])
    assert "reviewed_by" not in shared["features"][0]["properties"]
    for path in (
        "/api/v1/contacts",
        "/api/v1/contacts.geojson",
        _path(3),
        "/api/v1/live",
        "/api/v1/platforms",
    ):
        assert guest.get(path)[0] == 403, path


@pytest.mark.slow
def test_hostile_bodies_are_refused(ground: GroundHandle) -> None:
    ana = Person(ground, "ana", Role.OPERATOR)
    for body in (
        {},
        {"decision": "shoot", "version": 0},
        {"decision": "confirmed", "version": -1},
        {"decision": "confirmed", "version": 0, "text": "x" * 1_001},
        {"decision": "confirmed", "version": 0, "more": 1},
        {"decision": "confirmed", "version": 0, "seen_track_ids": ["t"] * 257},
    ):
        assert ana.post(_path(1), body)[0] == 422, body
    assert ana.post(_path(1), {"decision": "confirmed", "version": 0, "seen_track_ids": []})[0] == 400
