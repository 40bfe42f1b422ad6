"""The HTTP API against a real store and a real link: the shapes of the contract, errors, events."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message as Headers
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ground.picture.live import LivePicture
from ground.serve import GroundHandle
from skywarden.messages import FrameInfo, Health, Track
from skywarden.wire import encode
from tests.ground.scenes import (
    START_NS,
    authorization,
    chip,
    pose,
    position,
    put,
    running_edge,
    running_ground,
    sighting,
    until,
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroundHandle]:
    """A station that one platform has told everything it can."""
    folder = tmp_path_factory.mktemp("api")
    layers = folder / "ground" / "layers"
    layers.mkdir(parents=True)
    (layers / "coast.geojson").write_text('{"type":"FeatureCollection","features":[]}')
    (layers / "coast.json").write_text('{"title":"Coast line","style":{"line-color":"#888"}}')
    (layers / "relief.png").write_bytes(b"\x89PNG")
    (layers / "relief.json").write_text('{"coordinates":[[19,1],[21,1],[21,-1],[19,-1]]}')
    (layers / "no-place.png").write_bytes(b"\x89PNG")
    (layers / "sea.pmtiles").write_bytes(b"PMTiles\x03" + bytes(range(200)))
    (folder / "secret.geojson").write_text("{}")
    with running_ground(folder) as handle, running_edge(folder, handle) as (outbox, downlink):
        seen = [sighting(number=n, at_s=n, place=position(east_m=n)) for n in range(1, 11)]
        lost = sighting("uav07-s1-eo-2", 1, at_s=3)
        stall = Health(
            platform_id="uav07",
            component="camera.eo",
            condition="stalled",
            state="failed",
            time_ns=START_NS,
            since_ns=START_NS,
            text="no frames for 5 s",
            values={"fps": 0.0},
        )
        put(outbox, *seen, lost, chip(seen[0]), stall)
        downlink.offer_newest("pose", "uav07", START_NS, encode(pose(at_s=10)))
        downlink.offer_newest("track", "t", START_NS, encode(_track()))
        downlink.offer_newest("frame", "eo", START_NS, encode(_frame()))
        assert downlink.wait_until_delivered(10)
        _until_settled(handle)
        yield handle


def _track() -> Track:
    return Track(
        track_id="uav07-s1-eo-1",
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=START_NS,
        first_ns=START_NS,
        status="confirmed",
        label="vessel",
        score=0.8,
        look_count=9,
        position=position(),
        course_deg=90.0,
        speed_mps=1.0,
    )


def _frame() -> FrameInfo:
    return FrameInfo(
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        frame_number=10,
        time_ns=START_NS,
        received_ns=START_NS,
        width_px=1280,
        height_px=720,
        footprint=((0.001, 20.0), (0.001, 20.001), (0.0, 20.001), (0.0, 20.0)),
        frame_centre=(0.0005, 20.0005),
    )


def _until_settled(handle: GroundHandle) -> None:
    until(
        lambda: bool(
            handle.store.counts().contacts == 2
            and handle.picture.tracks()
            and handle.picture.platforms()[0].pose
            and handle.picture.platforms()[0].frame
        ),
        10.0,
    )


def _get(ground: GroundHandle, path: str, more: dict[str, str] | None = None) -> tuple[int, Headers, bytes]:
    headers = dict([authorization(ground)]) | (more or {})
    request = urllib.request.Request(ground.http_url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def _json(ground: GroundHandle, path: str) -> Any:
    status, _, body = _get(ground, path)
    assert status == 200, body
    return json.loads(body)


@pytest.mark.slow
def test_the_status_tells_what_there_is(ground: GroundHandle) -> None:
    status = _json(ground, "/api/v1/status")
    assert status["counts"] == {"platforms": 1, "contacts": 2, "sightings": 11, "chips": 1}
    spoke_once = "has been silent since"  # what its platform is by now, on a slow machine
    assert [one for one in status["notices"] if spoke_once not in one] == []
    assert status["now"].endswith("Z")
    assert _json(ground, "/readyz") == _json(ground, "/healthz") == {"ok": True, "reasons": []}


def test_a_platform_has_link_pose_frame_health_and_trail(ground: GroundHandle) -> None:
    (platform,) = _json(ground, "/api/v1/platforms")["items"]
    assert platform["platform_id"] == "uav07"
    assert platform["sortie_id"] == "s1"
    assert platform["link"]["records"] == platform["link"]["last_seq"] == 13
    assert (platform["link"]["missing"], platform["link"]["duplicates"]) == (0, 0)
    assert platform["pose"]["heading_deg"] == 10.0
    ring = platform["frame"]["footprint"]
    assert ring[0] == ring[-1] == [20.0, 0.001]
    assert len(ring) == 5
    assert platform["frame"]["frame_centre"] == [20.0005, 0.0005]
    (stall,) = [one for one in platform["health"] if one["component"] == "camera.eo"]
    assert (stall["condition"], stall["state"], stall["values"]) == ("stalled", "failed", {"fps": 0.0})
    assert platform["trail"] == [[20.0, 0.0]]


def test_contacts_are_listed_filtered_and_shown_with_their_sightings(ground: GroundHandle) -> None:
    listed = _json(ground, "/api/v1/contacts")
    assert (listed["number_matched"], listed["number_returned"]) == (2, 2)
    first, second = listed["items"]
    assert first["contact_id"] == "c-uav07-s1-eo-1"
    assert first["position"]["ellipse"]["semi_major_m"] > 0
    assert first["best_chip_id"] == "chip-uav07-s1-eo-1-1"
    assert first["review"] == "unreviewed"
    assert second["position"] is None
    assert second["bearing"]["from"] == [20.0, 0.001]
    assert second["no_position_reason"] == "telemetry_stale"
    in_box = _json(ground, "/api/v1/contacts?bbox=19.9,-0.1,20.1,0.1&label=vessel&platform_id=uav07")
    assert [one["contact_id"] for one in in_box["items"]] == ["c-uav07-s1-eo-1"]
    assert _json(ground, "/api/v1/contacts?since=2035-01-01T00:00:00Z")["items"] == []
    detail = _json(ground, "/api/v1/contacts/c-uav07-s1-eo-1")
    assert [one["frame_number"] for one in detail["sightings"]] == list(range(10, 0, -1))
    assert {name: detail[name] for name in first} == first


def test_sightings_pages_and_chips(ground: GroundHandle) -> None:
    page = _json(ground, "/api/v1/sightings?contact_id=c-uav07-s1-eo-1&limit=3&offset=2")
    assert [one["frame_number"] for one in page["items"]] == [8, 7, 6]
    assert page["number_matched"] == 10
    assert page["items"][0]["box_px"] == [1.0, 2.0, 3.0, 4.0]
    status, headers, image = _get(ground, "/api/v1/chips/chip-uav07-s1-eo-1-1")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert headers["cache-control"] == "private, no-cache"
    assert image == chip(sighting()).data
    box = _json(ground, "/api/v1/chips/chip-uav07-s1-eo-1-1/box")
    assert (box["width_px"], box["box_in_chip_px"]) == (64, [8.0, 8.0, 56.0, 56.0])
    assert _get(ground, "/api/v1/chips/none/box")[0] == 404


def test_tracks_know_their_contact(ground: GroundHandle) -> None:
    (track,) = _json(ground, "/api/v1/tracks")["items"]
    assert track["contact_id"] == "c-uav07-s1-eo-1"
    assert track["trail"] == [[20.0, 0.0]]


def test_geojson_is_rfc_7946_with_uncertainty_and_review_state(ground: GroundHandle) -> None:
    for path in ("/api/v1/sightings.geojson", "/api/v1/contacts.geojson"):
        assert json.loads(_get(ground, path)[2])["features"] == [], "nobody has confirmed anything"
        status, headers, body = _get(ground, f"{path}?unreviewed=true")
        assert (status, headers["content-type"]) == (200, "application/geo+json")
        assert 'filename="UNREVIEWED-' in headers["content-disposition"]
        collection = json.loads(body)
        assert collection["notice"].startswith("UNREVIEWED")
        assert collection["type"] == "FeatureCollection"
        placed = [one for one in collection["features"] if one["geometry"] is not None]
        assert len(placed) == len(collection["features"]) - 1
        longitude, latitude, height = placed[0]["geometry"]["coordinates"]
        assert (round(longitude), round(latitude), height) == (20, 0, 12.0)
        assert placed[0]["properties"]["review"] == "unreviewed"
        assert placed[0]["properties"]["mark"] == "NOT CONFIRMED (unreviewed)"
        assert placed[0]["properties"]["ce90_m"] > 0


def test_layers_are_listed_and_served_and_nothing_else_is(ground: GroundHandle) -> None:
    coast, relief, sea = _json(ground, "/api/v1/layers")["items"]
    assert (coast["kind"], coast["title"], coast["coordinates"]) == ("geojson", "Coast line", None)
    assert relief["coordinates"] == [[19.0, 1.0], [21.0, 1.0], [21.0, -1.0], [19.0, -1.0]]
    assert _get(ground, coast["url"])[0] == _get(ground, relief["url"])[0] == 200
    assert sea["kind"] == "tiles"
    status, _, part = _get(ground, sea["url"], {"Range": "bytes=0-7"})
    assert (status, part) == (206, b"PMTiles\x03"), "readers of tiles ask for pieces"
    for name in ("..%2f..%2fsecret.geojson", "coast.json", "%2e%2e/secret.geojson", "nix.png"):
        assert _get(ground, f"/api/v1/layers/{name}")[0] in (404, 405)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/contacts/nope", 404),
        ("/api/v1/chips/nope", 404),
        ("/api/v1/contacts?bbox=1,2,3", 400),
        ("/api/v1/contacts?bbox=1,9,3,4", 400),
        ("/api/v1/contacts?bbox=nan,0,1,1", 400),
        ("/api/v1/sightings?since=yesterday", 400),
        ("/api/v1/sightings?since=2026-01-01T00:00:00", 400),
        ("/api/v1/sightings?limit=0", 422),
        ("/api/v1/sightings?limit=99999999", 422),
        ("/api/v1/nope", 404),
    ],
)
def test_errors_are_one_sentence(ground: GroundHandle, path: str, status: int) -> None:
    code, _, body = _get(ground, path)
    assert code == status
    assert list(json.loads(body)) == ["error"]


def test_every_answer_forbids_what_a_browser_must_not_do(ground: GroundHandle) -> None:
    for path in ("/", "/api/v1/status", "/api/v1/nope"):
        _, headers, _ = _get(ground, path)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_foreign_host_name_is_not_answered(ground: GroundHandle) -> None:
    host, port = ground.http_address.split(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/api/v1/status", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.slow
def test_the_description_covers_every_route_and_its_errors(ground: GroundHandle) -> None:
    paths = _json(ground, "/openapi.json")["paths"]
    assert {
        "/api/v1/status",
        "/api/v1/platforms",
        "/api/v1/contacts",
        "/api/v1/contacts/{contact_id}",
        "/api/v1/sightings",
        "/api/v1/chips/{chip_id}",
        "/api/v1/tracks",
        "/api/v1/sightings.geojson",
        "/api/v1/contacts.geojson",
        "/api/v1/layers",
        "/api/v1/layers/{file}",
        "/api/v1/live",
    } <= set(paths)
    for path, methods in paths.items():
        is_written = (
            "/api/v1/session",
            "/api/v1/taskings",
            "/api/v1/alerts",
            "/api/v1/zones",
            "/api/v1/rules",
        )
        if not path.startswith(is_written) and not path.endswith("/word") and "review" not in path:
            assert "get" in methods, path
        if "get" not in methods:
            continue
        content = methods["get"]["responses"]["200"]["content"]
        assert content, path
        if "application/json" in content:
            assert content["application/json"]["schema"], path


def test_metrics_are_prometheus_text(ground: GroundHandle) -> None:
    _, headers, body = _get(ground, "/metrics")
    assert headers["content-type"].startswith("text/plain")
    assert b"skywarden_ground_stored_total 13.0" in body
    assert b'skywarden_platform_missing{platform_id="uav07"} 0.0' in body


class _Events:
    """A reader of the event stream."""

    def __init__(self, ground: GroundHandle, query: str = "", last_event_id: str | None = None) -> None:
        host, port = ground.http_address.split(":")
        self._connection = HTTPConnection(host, int(port), timeout=10)
        headers = dict([authorization(ground)])
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self._connection.request("GET", "/api/v1/live" + query, headers=headers)
        self._answer: HTTPResponse = self._connection.getresponse()
        assert self._answer.headers["content-type"].startswith("text/event-stream")

    def next(self) -> tuple[int, str, Any]:
        """The next event: id, kind, data."""
        fields: dict[str, str] = {}
        while True:
            line = self._answer.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])

    def until(self, kind: str) -> tuple[int, Any]:
        """The next event of a kind."""
        while True:
            identity, found, data = self.next()
            if found == kind:
                return identity, data

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


@pytest.mark.slow
def test_the_stream_resumes_where_the_reader_was(tmp_path: Path) -> None:
    with running_ground(tmp_path) as station, running_edge(tmp_path, station) as (outbox, downlink):
        stream = _Events(station)
        stream.until("status")
        put(outbox, sighting(number=1, place=position()))
        _, contact = stream.until("contact")
        assert contact["contact_id"] == "c-uav07-s1-eo-1"
        last, seen = stream.until("sighting")
        assert (seen["frame_number"], seen["contact_id"]) == (1, "c-uav07-s1-eo-1")
        stream.close()
        put(outbox, sighting(number=2, at_s=1, place=position()))
        assert downlink.wait_until_delivered(10)
        stream = _Events(station, last_event_id=str(last))
        assert stream.until("sighting")[1]["frame_number"] == 2
        stream.close()
        stream = _Events(station, last_event_id=str(last - 1))
        assert stream.until("sighting")[1]["frame_number"] == 1
        stream.close()


@pytest.mark.parametrize("identity", ["5", "nonsense", "99999999999999999"])
def test_a_reader_with_a_revision_of_another_time_starts_anew(ground: GroundHandle, identity: str) -> None:
    stream = _Events(ground, last_event_id=identity)
    assert stream.next()[1] == "resync"
    stream.close()


@pytest.mark.slow
def test_the_station_stops_in_time_with_readers_connected(tmp_path: Path) -> None:
    with running_ground(tmp_path) as station:
        streams = [_Events(station) for _ in range(5)]
        host, port = station.http_address.split(":")
        idle = socket.create_connection((host, int(port)), timeout=5)
        began_s = time.monotonic()
        station.stop()
        assert time.monotonic() - began_s < 5.0
        idle.close()
        for stream in streams:
            stream.close()


@pytest.mark.slow
def test_a_reader_that_sleeps_gets_the_latest_of_each_and_then_a_fresh_start() -> None:
    picture = LivePicture(first_revision=1_000)
    for number in range(3_000):
        picture.note_message(pose(at_s=number), 0.0)
    changes = picture.changes_since(1_000)
    assert changes is not None
    assert [(change.kind, change.revision) for change in changes] == [("platform", 4_000)]
    for number in range(5_100):
        track = msgspec.structs.replace(_track(), track_id=f"t{number}")
        picture.note_message(track, 0.0)
    assert picture.changes_since(4_000) is None
    late = picture.changes_since(picture.revision - 10)
    assert late is not None
    assert len(late) == 10


@pytest.mark.slow
def test_a_platform_that_falls_silent_is_news() -> None:
    picture = LivePicture(first_revision=0)
    picture.note_traffic("uav07", now_s=0.0, received_ns=START_NS, sent_ns=START_NS, size=1, pending=0)
    picture.tick(5.0, START_NS, 10.0, 5.0)
    before = picture.revision
    picture.tick(11.0, START_NS, 10.0, 5.0)
    assert [change.key for change in picture.changes_since(before) or []] == ["uav07"]
    picture.tick(12.0, START_NS, 10.0, 5.0)
    assert picture.revision == before + 1
