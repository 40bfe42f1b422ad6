"""OGC API - Features and export files of a running station: GDAL reads them, strangers see nothing."""

import base64
import csv
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyogrio
import pytest

from ground.accounts.access_log import read_events
from ground.accounts.roles import LOGGED, OPENED, Permission, Role, Scope
from ground.features.collections import COLLECTIONS, FeatureShelf
from ground.features.routes import parse_datetime
from ground.http.reference_page import reference_page
from ground.serve import GroundHandle
from ground.store.reading import Filter
from skywarden.errors import InputError
from tests.ground.exports.made import ExportScene
from tests.ground.features.reading import features_links
from tests.ground.scenes import running_ground

_READER = """
import json, sys
import pyogrio, pyogrio.raw
url = sys.argv[1]
layers = [name for name, _ in pyogrio.list_layers(url)]
meta, _, _, fields = pyogrio.raw.read(url, layer="sightings")
columns = dict(zip(meta["fields"], fields))
_, _, plots, _ = pyogrio.raw.read(url, layer="plots", bbox=(19.9, -1.0, 20.1, 1.0))
print(json.dumps({"layers": layers, "reviews": list(columns["review"]),
                  "ce90_m": [float(one) for one in columns["ce90_m"]], "plots_in_box": len(plots)}))
"""
"""In a process of its own: GDAL waits for the answer without letting other threads run."""


class Site:
    """A station over the scene's store, and keys of it."""

    def __init__(self, ground: GroundHandle) -> None:
        self.ground = ground
        book = ground.doorkeeper.book
        operator = book.add("ana", Role.OPERATOR)
        self.key = ground.doorkeeper.keys.new(operator, "gis", frozenset({Scope.EXPORT}), 3_600)
        self.viewing = ground.doorkeeper.keys.new(operator, "view", frozenset({Scope.VIEW}), 3_600)

    def get(self, path: str, key: str | None = None, *, basic: bool = False) -> tuple[int, Any, bytes]:
        key = key if key is not None else self.key
        word = f"Basic {base64.b64encode(f'any:{key}'.encode()).decode()}" if basic else f"Bearer {key}"
        url = path if path.startswith("http") else self.ground.http_url + path
        request = urllib.request.Request(url, headers={"Authorization": word})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def json(self, path: str) -> Any:
        status, _, body = self.get(path)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("features")
    (folder / "ground").mkdir()
    ExportScene(folder / "ground").close()
    with running_ground(folder) as ground:
        yield Site(ground)


def test_the_pages_lead_from_one_to_the_next(site: Site) -> None:
    landing = features_links(site.json("/ogc"))
    assert set(landing) >= {"self", "service-desc", "conformance", "data"}
    assert "/ogc/collections" in landing["data"]
    conforms = json.loads(site.get(landing["conformance"])[2])["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in conforms
    assert (
        "/ogc/collections/{collection_id}/items" in json.loads(site.get(landing["service-desc"])[2])["paths"]
    )
    found = json.loads(site.get(landing["data"])[2])["collections"]
    assert {one["id"] for one in found} >= {"contacts", "contacts-unreviewed", "ais"}
    for one in found:
        assert site.json(features_links(one)["self"])["id"] == one["id"]
        assert ("UNREVIEWED" in one["title"]) == one["id"].endswith("-unreviewed")


def test_pages_follow_their_next_links_to_the_end(site: Site) -> None:
    names, url = [], "/ogc/collections/sightings-unreviewed/items?limit=4"
    while url:
        status, headers, body = site.get(url)
        assert status == 200
        assert headers["Content-Type"] == "application/geo+json"
        page = json.loads(body)
        assert page["numberReturned"] == len(page["features"]) <= 4
        assert page["notice"].startswith("UNREVIEWED")
        names += [one["id"] for one in page["features"]]
        url = features_links(page).get("next")
    assert len(names) == len(set(names)) == 10, "all but what was rejected"


def test_box_time_and_class_choose_and_one_feature_can_be_asked_for(site: Site) -> None:
    items = "/ogc/collections/sightings/items"
    assert site.json(f"{items}?bbox=19.9,-1,20.1,1")["numberMatched"] == 3
    assert site.json(f"{items}?bbox=19.9,-1,-100,20.1,1,100")["numberMatched"] == 3
    assert site.json(f"{items}?bbox=21,-1,22,1")["features"] == []
    second = "2025-11-13T02:13:22Z"
    assert [one["id"][-2:] for one in site.json(f"{items}?datetime={second}")["features"]] == ["-2"]
    assert len(site.json(f"{items}?datetime={second}/..")["features"]) == 2
    assert len(site.json(f"{items}?datetime=../{second}")["features"]) == 2
    assert site.json(f"{items}?label=plot")["features"] == []
    one = site.json(f"{items}/uav07-s1-eo.t0-2")
    assert one["properties"]["review"] == "confirmed"
    for name in ("tracks", "plots"):
        (listed,) = site.json(f"/ogc/collections/{name}/items")["features"]
        assert site.json(f"/ogc/collections/{name}/items/{listed['id']}")["geometry"] == listed["geometry"]
    assert site.json("/ogc/collections/contacts/items/c-uav07-s1-eo.t0")["geometry"]["type"] == "Point"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ogc/collections/nothing", 404),
        ("/ogc/collections/contacts/items/c-uav07-s1-eo.t1", 404),
        ("/ogc/collections/contacts/items/c-uav07-s1-eo.t3", 404),
        ("/ogc/collections/contacts-unreviewed/items/c-uav07-s1-eo.t1", 404),
        ("/ogc/collections/sightings/items/uav07-s1-eo.t3-1", 404),
        ("/ogc/collections/contacts/items?bbox=1,2", 400),
        ("/ogc/collections/contacts/items?datetime=yesterday", 400),
        ("/ogc/collections/contacts/items?datetime=../..", 400),
        ("/ogc/collections/contacts/items?colour=red", 400),
        ("/ogc/collections/contacts/items?limit=0", 422),
        ("/ogc/collections/ais/items/999-1", 404),
    ],
)
def test_what_is_not_there_or_may_not_leave_is_refused(site: Site, path: str, status: int) -> None:
    assert site.get(path)[0] == status


def test_gdal_reads_the_collections_with_the_key_as_a_password(site: Site) -> None:
    environment = {**os.environ, "GDAL_HTTP_USERPWD": f"any:{site.key}", "GDAL_HTTP_AUTH": "BASIC",
                   "GDAL_HTTP_TIMEOUT": "30"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _READER, f"OAPIF:{site.ground.http_url}/ogc"],
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert {"contacts", "sightings-unreviewed"} <= set(found["layers"])
    assert found["reviews"] == ["confirmed"] * 3
    assert found["ce90_m"][0] == pytest.approx(8.58, abs=0.01)
    assert found["plots_in_box"] == 1


def test_only_a_key_for_exports_opens_them_and_basic_changes_nothing(site: Site) -> None:
    assert site.get("/ogc", basic=True)[0] == 200
    assert site.get("/ogc", site.viewing)[0] == 403
    assert site.get("/ogc", site.viewing, basic=True)[0] == 403
    assert site.get("/ogc", "nonsense", basic=True)[0] == 401
    assert site.get("/api/v1/exports/csv", site.viewing)[0] == 403
    word = base64.b64encode(f"any:{site.viewing}".encode()).decode()
    request = urllib.request.Request(
        f"{site.ground.http_url}/api/v1/taskings", data=b"{}", headers={"Authorization": f"Basic {word}"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    assert caught.value.code == 401


def test_files_come_over_the_web_with_a_name_that_says_what_is_in_them(site: Site, tmp_path: Path) -> None:
    status, headers, body = site.get("/api/v1/exports/gpkg?layer=contacts&layer=plots&unreviewed=true")
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="UNREVIEWED-skywarden.gpkg"'
    (tmp_path / "a.gpkg").write_bytes(body)
    assert "plots_UNREVIEWED" in dict(pyogrio.list_layers(tmp_path / "a.gpkg"))
    status, headers, body = site.get("/api/v1/exports/csv?layer=sightings&limit=2")
    assert headers["X-Skywarden-Cut"] == "sightings"
    assert len(list(csv.DictReader(io.StringIO(body.decode())))) == 2
    status, headers, body = site.get("/api/v1/exports/csv?label=vessel&state=more&unreviewed=true")
    assert [one["contact_id"] for one in csv.DictReader(io.StringIO(body.decode()))] == ["c-uav07-s1-eo.t2"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("csv?layer=contacts&layer=plots", 400),
        ("csv?state=more", 400),
        ("csv?state=rejected&unreviewed=true", 400),
        ("docx", 422),
        ("csv?limit=1000000", 422),
    ],
)
def test_exports_that_make_no_sense_are_refused_in_words(site: Site, query: str, status: int) -> None:
    found, _, body = site.get(f"/api/v1/exports/{query}")
    assert found == status
    assert json.loads(body)["error"]


def test_every_page_that_left_stands_in_the_access_log(site: Site) -> None:
    path = "/ogc/collections/plots/items?limit=7"
    site.json(path)
    found = [
        one.event for one in read_events(site.ground.doorkeeper.database) if one.event.what == f"GET {path}"
    ]
    assert [(one.account, one.action, one.outcome) for one in found] == [("ana", "export", "ok")]


def test_ais_reports_are_features_too(tmp_path: Path) -> None:
    scene = ExportScene(tmp_path)
    try:
        shelf = FeatureShelf(source=scene.source())
        page = shelf.page(COLLECTIONS["ais"], Filter(limit=2, offset=1))
        assert (len(page.rows), page.has_more) == (2, True)
        row = shelf.item(COLLECTIONS["ais"], page.rows[0].feature_id)
        assert row is not None
        assert row.values["mark"] == "AS TRANSMITTED, NOT VERIFIED"
    finally:
        scene.close()


def test_intervals_are_read_as_the_standard_has_them() -> None:
    assert parse_datetime("1970-01-01T00:00:01Z") == (10**9, 10**9)
    assert parse_datetime("/1970-01-01T00:00:01Z") == (None, 10**9)
    assert parse_datetime("1970-01-01T00:00:01Z/") == (10**9, None)
    for wrong in ("/", "2026-01-01T00:00:00Z/2025-01-01T00:00:00Z", "a/b/c", ""):
        with pytest.raises(InputError):
            parse_datetime(wrong)


def test_sorties_are_listed_catalogued_and_recorded_over_the_web(site: Site) -> None:
    listed = json.loads(site.get("/api/v1/sorties", site.viewing)[2])
    assert [one["item_id"] for one in listed["items"]] == ["uav07_s1"]
    catalogue = site.json("/stac")
    (link,) = [one["href"] for one in catalogue["links"] if one["rel"] == "item"]
    item = site.json(link)
    assert item["geometry"]["type"] == "Polygon"
    assert item["properties"]["skywarden:sightings"] == 3
    assert len(site.json(item["assets"]["sightings"]["href"])["features"]) == 3
    assert site.get(item["assets"]["recording"]["href"])[2][:5] == b"\x89MCAP"
    assert site.json(f"{link}?unreviewed=true")["properties"]["title"].startswith("UNREVIEWED")
    assert site.get("/stac/items/none")[0] == 404
    assert site.get("/stac", site.viewing)[0] == 403


def test_plans_come_over_the_web_as_proposals(site: Site) -> None:
    status, headers, body = site.get("/api/v1/plans/survey/uav07-s1-eo.p1")
    assert status == 200
    assert (
        headers["Content-Disposition"]
        == 'attachment; filename="PROPOSAL-survey-of-parcel-uav07-s1-eo.p1.plan"'
    )
    assert json.loads(body)["fileType"] == "Plan"
    status, headers, _ = site.get("/api/v1/plans/orbit/c-uav07-s1-eo.t2?unreviewed=true&radius_m=250")
    assert (status, "PROPOSAL-UNREVIEWED-" in headers["Content-Disposition"]) == (200, True)
    for path in ("survey/uav07-s1-eo.p2", "survey/none", "orbit/c-uav07-s1-eo.t0?height_m=400"):
        status, _, body = site.get(f"/api/v1/plans/{path}")
        assert status == 400
        assert json.loads(body)["error"]


def _ids(site: Site, path: str, name: str) -> tuple[list[str], int]:
    status, _, body = site.get(path, site.viewing)
    assert status == 200, body
    tree = json.loads(body)
    assert tree["number_returned"] == len(tree["items"])
    return [one[name] for one in tree["items"]], tree["number_matched"]


def test_lists_are_asked_by_state_of_review(site: Site) -> None:
    assert _ids(site, "/api/v1/contacts?state=confirmed", "contact_id") == (["c-uav07-s1-eo.t0"], 1)
    both = "/api/v1/contacts?state=confirmed&state=rejected&label=vessel"
    assert set(_ids(site, both, "contact_id")[0]) == {"c-uav07-s1-eo.t0", "c-uav07-s1-eo.t1"}
    rejected, matched = _ids(site, "/api/v1/sightings?state=rejected&limit=2", "sighting_id")
    assert (rejected, matched) == (["uav07-s1-eo.t1-3", "uav07-s1-eo.t1-2"], 3)
    assert _ids(site, "/api/v1/sightings?state=rejected&limit=2&offset=2", "sighting_id")[0] == [
        "uav07-s1-eo.t1-1"
    ]
    open_ones, _ = _ids(site, "/api/v1/sightings?state=unreviewed", "sighting_id")
    assert open_ones == ["uav07-s1-eo.t9-1", "uav07-s1-eo.t3-3", "uav07-s1-eo.t3-2", "uav07-s1-eo.t3-1"]
    far = "/api/v1/sightings?state=more&bbox=0,0,1,1"
    assert _ids(site, far, "sighting_id") == ([], 0)
    assert site.get("/api/v1/contacts?state=odd", site.viewing)[0] == 422


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/platforms", "platform_id"),
        ("/api/v1/tracks", "track_id"),
        ("/api/v1/layers", "name"),
        ("/api/v1/sorties", "item_id"),
        ("/api/v1/contacts", "contact_id"),
        ("/api/v1/sightings", "sighting_id"),
    ],
)
def test_every_list_comes_in_pages(site: Site, path: str, name: str) -> None:
    every, matched = _ids(site, path, name)
    assert matched == len(every)
    pages = [_ids(site, f"{path}?limit=1&offset={number}", name)[0] for number in range(matched)]
    assert [one for page in pages for one in page] == every
    assert _ids(site, f"{path}?offset=1000", name) == ([], matched)


def test_the_api_explains_itself_without_internet(site: Site) -> None:
    status, headers, body = site.get("/api/docs", site.viewing)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    text = body.decode()
    for path in json.loads(site.get("/openapi.json", site.viewing)[2])["paths"]:
        assert f"<code>{path}</code>" in text, path
    assert "Needs: export" in text
    assert "<script" not in text
    assert 'href="http' not in text, "nothing comes from elsewhere"
    assert site.get("/api/docs.css", site.viewing)[1]["Content-Type"].startswith("text/css")
    assert site.get("/api/docs", "none")[0] == 401


def test_nothing_in_a_description_becomes_markup() -> None:
    hostile = {
        "info": {"title": "<b>", "description": "<script>"},
        "paths": {"/x\"><i>": {"get": {"description": "<i>", "responses": {"<": {"description": "<"}},
                                       "parameters": [{"name": "<", "in": "<", "schema": {"enum": ["<"]}}]}}},
        "components": {"schemas": {"<m>": {"properties": {"<": {"$ref": "#/<"}}}}},
    }  # fmt: skip
    page = reference_page(hostile, {})
    for tag in ("<b>", "<script>", "<i>", "<m>"):
        assert tag not in page


def test_a_key_with_the_right_scope_reaches_every_route_that_is_no_persons_own(site: Site) -> None:
    opened = frozenset().union(*OPENED.values())
    for rule in site.ground.rules:
        is_a_persons = rule.permission in (Permission.REVIEW, Permission.OWN_SESSION)
        assert (rule.permission in opened) != is_a_persons, rule
    exports = {rule.path for rule in site.ground.rules if rule.permission is Permission.EXPORT}
    assert exports >= {"/api/v1/exports/{form}", "/ogc", "/stac", "/api/v1/sorties/{name}/recording.mcap"}
    assert Permission.EXPORT in LOGGED, "each of them is written down before it is answered"
