"""A request from the web to the aircraft and back, over the real link; either may be away meanwhile."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from skywarden.messages import Position, Sighting
from tests.ground.aircraft import flying, keep_frame, running_aircraft
from tests.ground.scenes import authorization, position, put, running_ground, sighting, until

LOOK = sighting("uav07-s1-eo.t1", 1, place=position())


def _call(
    ground: GroundHandle, path: str, body: dict[str, Any] | None = None, key: str = ""
) -> dict[str, Any]:
    request = urllib.request.Request(ground.http_url + path)
    name, value = authorization(ground)
    request.add_header(name, f"Bearer {key}" if key else value)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _state(ground: GroundHandle, tasking_id: str) -> str:
    return str(_call(ground, f"/api/v1/taskings/{tasking_id}")["state"])


@pytest.mark.slow
def test_a_picture_is_asked_for_and_comes_and_the_request_outlives_both_ends(tmp_path: Path) -> None:
    keep_frame(tmp_path / "uav07", LOOK)
    body = {"platform_id": "uav07", "kind": "full_resolution", "sighting_id": LOOK.sighting_id}
    with running_ground(tmp_path) as ground:
        with running_aircraft(tmp_path / "uav07", ground) as outbox:
            put(outbox, LOOK)
            until(lambda: outbox.state().held == 0, 20.0)
            asked = _call(ground, "/api/v1/taskings", body)
            until(lambda: _state(ground, asked["tasking_id"]) == "done", 20.0)
            done = _call(ground, f"/api/v1/taskings/{asked['tasking_id']}")
            assert done["picture_id"] == f"{LOOK.sighting_id}.region"
            assert ground.store.chip(done["picture_id"]) is not None
            order = {"action": "stage", "model": "vessel-nadir"}
            ask = {"platform_id": "uav07", "kind": "model", "model_order": order}
            model = _call(ground, "/api/v1/taskings", ask)
            assert model["model_order"] == {**order, "detector": None, "is_forced": False}
            until(lambda: _state(ground, model["tasking_id"]) == "refused", 20.0)
            told = _call(ground, f"/api/v1/taskings/{model['tasking_id']}")
            assert "changes no models" in told["text"], "this aircraft of the test has no vision"
            for wrong in (
                {},
                {"model_order": {"action": "stage"}},
                {"model_order": {**order, "model": "/etc"}},
            ):
                with pytest.raises(urllib.error.HTTPError, match=r"400|422"):
                    _call(ground, "/api/v1/taskings", {"platform_id": "uav07", "kind": "model", **wrong})
        silent = _call(ground, "/api/v1/taskings", {**body, "kind": "follow", "tasking_id": "follow-0001"})
        assert silent["state"] == "waiting"
    with running_ground(tmp_path) as ground, running_aircraft(tmp_path / "uav07", ground):
        until(lambda: _state(ground, "follow-0001") == "accepted", 20.0)
        assert [one["state"] for one in _call(ground, "/api/v1/taskings")["items"]] == [
            "accepted",
            "refused",
            "done",
        ]
        older = _call(ground, "/api/v1/taskings?limit=1&offset=2")["items"]
        assert [one["state"] for one in older] == ["done"]


@pytest.mark.slow
def test_who_may_not_ask_and_what_cannot_be_asked(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_aircraft(tmp_path / "uav07", ground) as outbox:
        put(outbox, LOOK)
        until(lambda: outbox.state().held == 0, 20.0)
        follow = {"platform_id": "uav07", "kind": "follow", "label": "vessel"}
        viewer = ground.program_key("viewer", Role.VIEWER)
        for body, key, status in (
            (follow, viewer, 403),
            ({**follow, "platform_id": "uav99"}, "", 404),
            ({**follow, "label": None}, "", 400),
            ({**follow, "kind": "land"}, "", 422),
            ({**follow, "lifetime_s": 1e9}, "", 422),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                _call(ground, "/api/v1/taskings", body, key)
            assert refused.value.code == status
            refused.value.close()
        assert _call(ground, "/api/v1/taskings", key=viewer)["items"] == []


def _look(track: str, number: int, place: Position) -> Sighting:
    """A look with the name that the edge gives it."""
    look = sighting(track, number, at_s=float(number), place=place)
    return msgspec.structs.replace(look, sighting_id=f"{track}.f{number}")


@pytest.mark.slow
def test_the_platform_acts_on_every_kind_of_request_and_ends_it_in_time(tmp_path: Path) -> None:
    north, far = position(latitude_deg=0.5), position()
    square = [[19.9, 0.4], [20.1, 0.4], [20.1, 0.6], [19.9, 0.6]]
    asked: dict[str, dict[str, Any]] = {
        "threshold": {"label": "vessel", "score": 0.7},
        "mute_area": {"area": square},
        "follow": {"sighting_id": "t-follow.f1"},
    }
    with running_ground(tmp_path) as ground, flying(tmp_path / "uav07", ground) as aircraft:
        for track in ("t-follow", "t-plain"):  # what was seen before is no alert for being new
            aircraft.see(_look(track, 1, far), _look(track, 2, far))
        until(lambda: len(aircraft.judged) == 4 and aircraft.outbox.state().held == 0, 30.0)
        for kind, words in asked.items():
            body = {"platform_id": "uav07", "kind": kind, "tasking_id": f"{kind}-0001", "lifetime_s": 600}
            _call(ground, "/api/v1/taskings", {**body, **words})
        until(lambda: all(_state(ground, f"{kind}-0001") == "accepted" for kind in asked), 30.0)
        until(lambda: aircraft.min_scores == {"vessel": 0.7}, 30.0)
        looks = [_look("t-follow", 3, far), _look("t-plain", 3, far), _look("t-muted", 1, north)]
        aircraft.see(*looks)
        until(lambda: len(aircraft.judged) == 7 and aircraft.outbox.state().held == 0, 30.0)
        followed, plain, muted = (aircraft.judged[one.sighting_id] for one in looks)
        assert followed.priority == 0 < plain.priority
        assert muted.priority > 0
        assert (muted.priority, -muted.rank_ms) > (plain.priority, -plain.rank_ms)
        assert ground.store.counts().sightings == 7, "what is muted is recorded all the same"
        brief = {"platform_id": "uav07", "kind": "threshold", "score": 0.2, "lifetime_s": 1}
        _call(ground, "/api/v1/taskings", {**brief, "tasking_id": "brief-0001"})
        until(lambda: _state(ground, "brief-0001") in ("done", "refused", "expired"), 30.0)
        until(lambda: aircraft.min_scores == {"vessel": 0.7}, 30.0)
