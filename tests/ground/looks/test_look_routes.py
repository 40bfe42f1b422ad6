"""Looks over the real link to the API: image, overlay, who may see them, who asked for a live view."""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from edge.link.downlink import Downlink
from ground.accounts.roles import Role
from ground.picture.live import LivePicture
from ground.serve import GroundHandle
from skywarden.messages import ClockReport, Look
from skywarden.wire import encode
from tests.ground.aircraft import running_aircraft
from tests.ground.scenes import (
    START_NS,
    authorization,
    position,
    put,
    running_edge,
    running_ground,
    sighting,
    until,
)
from tests.ground.scenes import pose as some_pose
from tests.samples import EVERY

_SAMPLE = EVERY["look"]
assert isinstance(_SAMPLE, Look)
LOOK = msgspec.structs.replace(
    _SAMPLE,
    platform_id="uav07",
    sortie_id="s1",
    time_ns=START_NS,
    track_prefix="uav07-s1-eo",
    track_number=(1, 0),
)


def _get(ground: GroundHandle, path: str, key: str = "") -> tuple[dict[str, str], bytes]:
    request = urllib.request.Request(ground.http_url + path)
    name, value = authorization(ground)
    request.add_header(name, f"Bearer {key}" if key else value)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(answer.headers), answer.read()


def _json(ground: GroundHandle, path: str) -> Any:
    return json.loads(_get(ground, path)[1])


def _offer(downlink: Downlink, look: Look = LOOK) -> None:
    """Poses until the link is known, as a worker sends them, and the look."""
    downlink.offer_newest("look", look.sensor_id, START_NS, encode(look))
    downlink.offer_newest("pose", "uav07", START_NS, encode(some_pose()))


@pytest.mark.slow
def test_a_look_crosses_the_link_and_is_shown_with_its_boxes(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        seen = sighting("uav07-s1-eo.t1", 1, place=position())
        put(outbox, seen)
        until(lambda: outbox.state().held == 0, 20.0)

        def is_there() -> bool:
            _offer(downlink)
            return bool(_json(ground, "/api/v1/looks")["items"])

        until(is_there, 30.0)
        until(lambda: _json(ground, "/api/v1/looks")["items"][0]["boxes"][0]["contact_id"] is not None, 20.0)
        [view] = _json(ground, "/api/v1/looks")["items"]
        assert (view["platform_id"], view["sensor_id"], view["kind"]) == ("uav07", "eo", "eo")
        assert [one["track_id"] for one in view["boxes"]] == ["uav07-s1-eo.t1", None]
        assert view["boxes"][0]["review"] == "unreviewed"
        assert view["footprint"][0] == [149.16, -35.36]
        assert view["taken"] <= view["received"]
        headers, data = _get(ground, view["url"])
        assert (headers["content-type"], data) == ("image/jpeg", LOOK.data)
        assert headers["skywarden-frame"] == "s1/12"
        assert _json(ground, "/api/v1/platforms/uav07/look/overlay") == view
        address = urlsplit(ground.http_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            name, value = authorization(ground)
            connection.request("GET", view["url"], headers={name: value, "If-None-Match": headers["etag"]})
            assert connection.getresponse().status == 304
        finally:
            connection.close()
        for path in ("/api/v1/platforms/uav07/look?sensor_id=ir", "/api/v1/platforms/uav99/look/overlay"):
            with pytest.raises(urllib.error.HTTPError) as missing:
                _get(ground, path)
            assert missing.value.code == 404
            missing.value.close()
        partner = ground.program_key("partner", Role.PARTNER)
        with pytest.raises(urllib.error.HTTPError) as refused:
            _get(ground, view["url"], partner)
        assert refused.value.code == 403
        refused.value.close()


@pytest.mark.slow
def test_a_live_view_is_asked_for_received_aboard_and_listed(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_aircraft(tmp_path / "uav07", ground) as outbox:
        put(outbox, sighting())
        until(lambda: outbox.state().held == 0, 20.0)
        body = {"platform_id": "uav07", "kind": "live_view", "frames_per_s": 1, "lifetime_s": 300}

        def ask(**more: object) -> int:
            request = urllib.request.Request(
                f"{ground.http_url}/api/v1/taskings", json.dumps({**body, **more}).encode()
            )
            request.add_header("Content-Type", "application/json")
            request.add_header(*authorization(ground))
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        for wrong in ({"frames_per_s": 9}, {"width_px": 4_000}, {"sensor_id": "<b>"}):
            assert ask(**wrong) == 422
        assert ask(lifetime_s=86_400) == 400
        assert ask() == 201
        until(lambda: _json(ground, "/api/v1/looks")["live"][0]["state"] == "accepted", 20.0)
        [live] = _json(ground, "/api/v1/looks")["live"]
        assert (live["platform_id"], live["frames_per_s"]) == ("uav07", 1)
        assert live["asked_by"]


def test_an_older_look_does_not_replace_a_newer_and_a_new_flight_begins_anew() -> None:
    picture = LivePicture(1)
    later = msgspec.structs.replace(LOOK, time_ns=START_NS + 10, frame_number=13)
    for look in (later, LOOK):
        picture.note_look(look, START_NS + 100)
    assert picture.look("uav07") is not None
    assert [one.look.frame_number for one in picture.looks()] == [13]
    picture.note_look(msgspec.structs.replace(LOOK, sortie_id="s2"), START_NS + 200)
    assert [one.look.sortie_id for one in picture.looks()] == ["s2"]
    changes = picture.changes_since(1)
    assert changes is not None
    assert [(one.kind, one.key) for one in changes if one.kind == "look"] == [("look", "uav07/eo")]


def test_its_age_is_by_the_clock_of_the_station_and_never_too_young() -> None:
    picture = LivePicture(1)
    ahead = ClockReport(platform_id="uav07", time_ns=START_NS, offset_s=40.0, bound_s=0.1, round_trip_s=0.2)
    picture.note_look(msgspec.structs.replace(LOOK, time_ns=START_NS + 30 * 10**9), START_NS)
    [unknown] = picture.looks()
    assert (unknown.taken_ns, unknown.is_time_known) == (START_NS, False)
    picture.note_message(ahead, 1.0)
    picture.note_look(msgspec.structs.replace(LOOK, time_ns=START_NS + 31 * 10**9), START_NS)
    [known] = picture.looks()
    assert (known.taken_ns, known.is_time_known) == (START_NS - 9 * 10**9, True)


def test_memory_holds_the_looks_of_so_many_cameras_and_no_more() -> None:
    picture = LivePicture(1)
    for number in range(260):
        picture.note_look(msgspec.structs.replace(LOOK, sensor_id=f"eo{number}"), START_NS + number)
    assert len(picture.looks()) == 200
    assert picture.look("uav07", "eo0") is None
    assert picture.look("uav07", "eo259") is not None
