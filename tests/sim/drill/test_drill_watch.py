"""A whole drill with real processes: two operators by the API, the trainer's orders, score, replay."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from sim.drill.drill import Drill, DrillOptions
from sim.drill.orders import Order
from sim.drill.replay import replayed
from sim.drill.score.card import card_of
from sim.drill.spool import Spool
from sim.scenario.description import load_scenario

pytestmark = pytest.mark.slow
LIMIT_S = 150.0

SCENARIO = """
name = "drill-bay"
title = "A bay for a short drill"
seed = 5
start_unix_s = 1768480200
duration_s = 600.0
light = { sun_azimuth_deg = 262.0, sun_elevation_deg = 40.0, visibility_m = 15000.0 }
sea = { wind_mps = 2.0, wind_towards_deg = 25.0 }
land = { seed = 41, coast_north_m = 190.0 }
ais = { at = [0.0, 190.0], height_m = 40.0 }

[place]
latitude_deg = -20.0
longitude_deg = -25.0
west_m = -200.0
east_m = 200.0
south_m = -200.0
north_m = 200.0

[[vessels]]
id = "fishing-1"
kind = "fishing"
at = [-25.0, -30.0]
heading_deg = 90.0
ais = { mmsi = "230108610", name = "MARIA" }

[[vessels]]
id = "silent-1"
kind = "fishing"
at = [25.0, -45.0]
heading_deg = 45.0

[[platforms]]
id = "coast-1"
sysid = 11
vehicle = "quadrotor"
plan = [[-30.0, -120.0], [30.0, -120.0], [30.0, -115.0], [-30.0, -115.0]]
turn_radius_m = 2.0
alt_msl_m = 90.0
speed_mps = 1.0
home = [0.0, -100.0]
look_area = [-150.0, -150.0, 150.0, 100.0]
texel_m = 0.5

[platforms.camera]
width_px = 640
height_px = 480
hfov_deg = 60.0
sweep = { reference = "point", at = [0.0, -35.0] }
"""


class Operator:
    """Somebody of the crew, as the console speaks for them."""

    def __init__(self, handle: GroundHandle, name: str) -> None:
        self._base = handle.http_url
        code = handle.doorkeeper.session_code(name, Role.OPERATOR)
        with self._ask("POST", "/api/v1/session/code", {"code": code}, {}) as answer:
            cookie = answer.headers["set-cookie"].split(";")[0]
            self._headers = {"cookie": cookie, "x-skywarden-token": json.load(answer)["token"]}

    def get(self, path: str) -> Any:
        """Read something."""
        with self._ask("GET", path, None, self._headers) as answer:
            assert answer.headers["x-skywarden-exercise"] == "EXERCISE"
            return json.load(answer)

    def decide(self, contact_id: str, decision: str) -> None:
        """Open a contact and decide about it."""
        seen = self.get(f"/api/v1/contacts/{contact_id}")
        said = {"decision": decision, "version": seen["review_version"]}
        self._ask("POST", f"/api/v1/contacts/{contact_id}/review", said, self._headers).close()

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = {**headers, "content-type": "application/json", "origin": self._base}
        request = urllib.request.Request(self._base + path, data=data, headers=asked, method=method)
        return urllib.request.urlopen(request, timeout=30.0)


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    (tmp_path / "bay.toml").write_text(SCENARIO)
    script = (msgspec.convert({"kind": "ais_off", "vessel": "fishing-1", "at_s": 1.0}, Order),)
    options = DrillOptions(crew=("ana", "ben"), fps=2.0, model="vessel-nadir", script=script)
    made = Drill(load_scenario(tmp_path / "bay.toml"), tmp_path / "drill", options)
    with ExitStack() as stack:
        stack.callback(made.stop)
        made.prepare()
        made.start()
        yield made


def _until(drill: Drill, holds: Any) -> Any:
    """Let the drill run until something is true; gives it back."""
    end_s, pause = time.monotonic() + LIMIT_S, threading.Event()
    while not (found := holds()):
        assert time.monotonic() < end_s, "did not happen in time"
        drill.turn()
        pause.wait(0.1)
    return found


def _contacts(operator: Operator, least: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = operator.get("/api/v1/contacts")["items"]
    return items if len(items) >= least else []


def test_a_drill_is_flown_ordered_decided_scored_and_shown_again(drill: Drill) -> None:
    assert drill.ground is not None
    ana, ben = Operator(drill.ground, "ana"), Operator(drill.ground, "ben")
    first, second = _until(drill, lambda: _contacts(ana, 2))[:2]
    assert first["is_exercise"]
    ana.decide(first["contact_id"], "confirmed")
    ben.decide(second["contact_id"], "rejected")

    order = msgspec.convert({"kind": "link_loss", "platform": "coast-1", "for_s": 0.5}, Order)
    asked: list[Any] = []
    trainer = threading.Thread(
        target=lambda: asked.append(Spool(drill.story.folder).ask(order, limit_s=60.0))
    )
    trainer.start()
    try:
        _until(drill, lambda: bool(asked))
    finally:
        trainer.join(60.0)
    assert [one.order.kind for one in drill.story.injected()] == ["ais_off", "link_loss"]
    assert len(drill.story.chapters()) == 2
    drill.stop()

    card = card_of(drill.story)
    assert {one.thing for one in card.people[0].each if one.is_real} >= {"fishing-1", "silent-1"}
    seen_by = {one.account: one for one in card.people}
    assert seen_by["ana"].confirmed_real == 1
    assert seen_by["ben"].rejected_real == 1
    assert all(one.median_to_decide_s is not None for one in card.people)

    with replayed(drill.story, "127.0.0.1:0") as shown:
        assert f"&past={card.start_ns // 1_000_000}" in shown.page
        later = Operator(shown.handle, "ben")
        marks = later.get("/api/v1/past/marks?since=2020-01-01T00:00:00Z")["items"]
        assert [one["text"].split(":")[0] for one in marks if one["kind"] == "order"] == ["1", "2"]
        assert {(one["kind"], one["account"]) for one in marks} >= {
            ("opened", "ana"),
            ("confirmed", "ana"),
            ("opened", "ben"),
            ("rejected", "ben"),
        }
    assert not (drill.story.ground / "exercise-marks.jsonl").exists()
