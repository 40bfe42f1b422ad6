"""Alerts over HTTP at a running station: a zone is drawn, a vessel comes, a person sees to it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from tests.ground.alerts.test_zone_files import geopackage, gpkg_blob
from tests.ground.scenes import METRE_DEG, position, put, running_edge, running_ground, sighting, until


class Account:
    """Somebody with a session."""

    def __init__(self, ground: GroundHandle, name: str, role: Role) -> None:
        self._ground = ground
        self._headers: dict[str, str] = {}
        code = ground.sign_in_page(name, role).partition("#once=")[2]
        status, answer = self.ask("POST", "/api/v1/session/code", {"code": code})
        assert status == 200, answer
        self._headers["X-Skywarden-Token"] = answer["token"]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", **self._headers}
        request = urllib.request.Request(
            self._ground.http_url + path, method=method, data=data, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                cookie = answer.headers["set-cookie"]
                if cookie:
                    self._headers["Cookie"] = cookie.partition(";")[0]
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroundHandle]:
    """A station with an exclusion zone, a rule that escalates, and two vessels, one of them in the zone."""
    folder = tmp_path_factory.mktemp("alerts")
    with running_ground(folder) as handle, running_edge(folder, handle) as (outbox, downlink):
        eva = Account(handle, "eva", Role.OPERATOR)
        ring = [
            [20.0 + x * 500 * METRE_DEG, y * 500 * METRE_DEG] for x, y in ((-1, -1), (-1, 1), (1, 1), (1, -1))
        ]
        zone = {"zone_id": "keep-out", "name": "Keep out", "kind": "exclusion", "polygons": [[ring]]}
        status, answer = eva.ask("PUT", "/api/v1/zones/keep-out", zone)
        assert status == 200, answer
        looks = [sighting("t1", n, at_s=float(n), place=position()) for n in range(4)]
        looks += [sighting("t2", n, at_s=float(n), place=position(3_000.0)) for n in range(4)]
        put(outbox, *looks)
        assert downlink.wait_until_delivered(30)
        until(lambda: bool(eva.ask("GET", "/api/v1/alerts")[1]["items"]), 30.0)
        yield handle


@pytest.mark.slow
def test_a_vessel_in_the_zone_alerts_and_a_person_acknowledges(ground: GroundHandle) -> None:
    eva, luis = Account(ground, "eva", Role.OPERATOR), Account(ground, "luis", Role.OPERATOR)
    (alert,) = eva.ask("GET", "/api/v1/alerts?is_open=true")[1]["items"]
    assert (alert["rule_id"], alert["zone_name"], alert["contact_id"]) == ("exclusion", "Keep out", "c-t1")
    assert alert["sounds"]
    assert alert["why"][0]["text"] == "inside Keep out with 100% (90% asked)"
    path = f"/api/v1/alerts/{alert['alert_id']}"
    before = ground.picture.revision
    status, after = eva.ask("POST", path + "/acknowledge", {"text": "patrol told"})
    assert (status, after["acknowledged_by"], after["sounds"]) == (200, "eva", False)
    changes = ground.picture.changes_since(before) or []
    assert "alert" in [one.kind for one in changes]
    assert luis.ask("POST", path + "/acknowledge", {})[0] == 409
    assert luis.ask("POST", path + "/comments", {"text": "same boat as on Monday"})[0] == 200
    acts = eva.ask("GET", path)[1]["acts"]
    assert [(act["kind"], act["account"]) for act in acts] == [("acknowledged", "eva"), ("commented", "luis")]
    status, answer = luis.ask("POST", path + "/escalate", {"text": "two of them"})
    assert status == 409, "an exclusion zone is urgent already"
    assert "urgent already" in answer["error"]
    assert eva.ask("GET", "/api/v1/alerts?is_open=true")[1]["items"] == []
    assert eva.ask("GET", "/api/v1/alerts/a-none")[0] == 404
    assert eva.ask("POST", "/api/v1/alerts/a-none/acknowledge", {})[0] == 404


def test_zones_are_drawn_imported_and_removed(ground: GroundHandle) -> None:
    eva = Account(ground, "eva", Role.OPERATOR)
    feature = {"type": "LineString", "coordinates": [[19.0, 0.0], [19.1, 0.0]]}
    status, made = eva.ask("POST", "/api/v1/zones/import?name=lane&width_m=300", json.dumps(feature).encode())
    assert (status, made["items"][0]["kind"]) == (200, "corridor")
    zone_id = made["items"][0]["zone_id"]
    rule = {"name": "In the lane", "trigger": "inside", "zone_ids": [zone_id], "severity": "notice"}
    assert eva.ask("PUT", "/api/v1/rules/lane", rule)[0] == 200
    assert [one["rule_id"] for one in eva.ask("GET", "/api/v1/rules")[1]["items"]] == ["exclusion", "lane"]
    assert eva.ask("DELETE", f"/api/v1/zones/{zone_id}")[0] == 409
    assert eva.ask("DELETE", "/api/v1/rules/lane")[0] == 204
    assert eva.ask("DELETE", f"/api/v1/zones/{zone_id}")[0] == 204
    assert eva.ask("DELETE", f"/api/v1/zones/{zone_id}")[0] == 404
    assert [one["zone_id"] for one in eva.ask("GET", "/api/v1/zones")[1]["items"]] == ["keep-out"]


def test_a_geopackage_is_imported_as_an_exclusion_zone(ground: GroundHandle, tmp_path: Path) -> None:
    eva = Account(ground, "eva", Role.OPERATOR)
    file = geopackage(tmp_path / "a.gpkg", gpkg_blob(shapely.box(30.0, 1.0, 30.1, 1.1)))
    path = "/api/v1/zones/import?name=reserve.gpkg&kind=exclusion"
    status, made = eva.ask("POST", path, file.read_bytes())
    assert status == 200, made
    assert (status, [(one["name"], one["kind"]) for one in made["items"]]) == (
        200,
        [("Reserve", "exclusion")],
    )
    assert eva.ask("DELETE", f"/api/v1/zones/{made['items'][0]['zone_id']}")[0] == 204
    assert eva.ask("POST", "/api/v1/zones/import?name=x", b" " * 10_000_001)[0] == 413
    assert eva.ask("PUT", "/api/v1/rules/r", b" " * 16_385)[0] == 413
    assert eva.ask("POST", path, b"SQLite format 3\0 and nothing else")[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/zones/import?name=x", b"<html/>", 400),
        ("PUT", "/api/v1/rules/r", {"name": "x", "trigger": "sometimes"}, 400),
        ("PUT", "/api/v1/rules/r", {"name": "x", "trigger": "inside", "colour": "red"}, 400),
        ("PUT", "/api/v1/zones/a", {"zone_id": "b", "name": "B", "kind": "area"}, 400),
        ("PUT", "/api/v1/zones/b", {"zone_id": "b", "name": "B", "kind": "area"}, 400),
        ("POST", "/api/v1/contacts/c-t1/word", {"word": "apart", "track_id": "t1"}, 400),
        ("POST", "/api/v1/contacts/c-t1/word", {"word": "apart", "track_id": "t9"}, 404),
    ],
)
def test_what_makes_no_sense_is_refused(
    ground: GroundHandle, method: str, path: str, body: Any, status: int
) -> None:
    assert Account(ground, "eva", Role.OPERATOR).ask(method, path, body)[0] == status


def test_a_viewer_looks_and_changes_nothing(ground: GroundHandle) -> None:
    eve = Account(ground, "eve", Role.VIEWER)
    assert eve.ask("GET", "/api/v1/alerts")[0] == 200
    assert eve.ask("GET", "/api/v1/zones")[0] == 200
    assert eve.ask("PUT", "/api/v1/rules/r", {"name": "x", "trigger": "inside"})[0] == 403
    assert eve.ask("DELETE", "/api/v1/zones/keep-out")[0] == 403


def test_people_join_and_part_contacts_and_the_old_name_leads_on(ground: GroundHandle) -> None:
    eva = Account(ground, "eva", Role.OPERATOR)
    word = {"word": "together", "track_id": "t2", "other_contact_id": "c-t1", "reason": "same hull"}
    assert eva.ask("POST", "/api/v1/contacts/c-t2/word", word)[0] == 204
    assert eva.ask("GET", "/api/v1/contacts/c-t1")[1]["track_ids"] == ["t1", "t2"]
    status, history = eva.ask("GET", "/api/v1/contacts/c-t2/history")
    assert (status, history["contact_ids"], history["events"][0]["kind"]) == (200, ["c-t1"], "merged")
    assert eva.ask("POST", "/api/v1/contacts/c-t1/word", {"word": "apart", "track_id": "t2"})[0] == 204
    assert eva.ask("GET", "/api/v1/contacts/c-t2")[0] == 200


@pytest.mark.slow
def test_sites_are_listed(ground: GroundHandle) -> None:
    status, answer = Account(ground, "eve", Role.VIEWER).ask("GET", "/api/v1/sites")
    assert (status, answer) == (200, {"items": [], "matched": 0})
