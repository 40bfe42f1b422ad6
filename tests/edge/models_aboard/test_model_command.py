"""A real worker with two detectors: `skywarden edge model` stages, promotes, survives a death, rolls back."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.environment import clean_environment
from edge.link.outbox import Outbox
from edge.models_aboard.control_socket import Question, SlotAnswer, ask_worker
from edge.supervisor import python_module
from skywarden import wire
from skywarden.messages import Health, Sighting
from tests.edge.edge_process import EdgeProcess
from tests.edge.models_aboard.agency import KEY, agency_model

MORE = f"""
[[sensor.detector]]
name = "anomaly"
slot = "strange"
trusted_keys = "{KEY.public_text}"
[[sensor.detector]]
name = "anomaly"
slot = "second"
every = 5
[swap]
shadow_frames = 2
every = 1
least_boxes = 2
most_time_ratio = 100.0
probation_frames = 100000
"""


class Commands:
    """`skywarden edge model ...` as an operator types it."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def run(self, *words: str) -> tuple[int, Any, str]:
        argv = [
            *python_module("skywarden.cli"),
            "edge",
            "model",
            *words,
            "--config",
            str(self._config),
            "--json",
        ]
        done = subprocess.run(
            argv, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, msgspec.json.decode(done.stdout) if done.stdout else None, done.stderr


def asked(state: Path) -> SlotAnswer | None:
    """The detector in question, asked of the socket itself: a command takes a second to start."""
    found = ask_worker(state, Question(ask="status")).detectors
    return next((one for one in found if one.detector == "strange"), None)


def strange(state: Path) -> SlotAnswer:
    found = asked(state)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_operator_changes_a_model_in_flight_and_a_death_takes_it_back(tmp_path: Path) -> None:
    agency = agency_model(tmp_path / "stick")
    (tmp_path / "flight").mkdir()
    with EdgeProcess(tmp_path / "flight", more=MORE) as edge:
        commands = Commands(edge.config)
        edge.until(lambda: edge.ask("/readyz")[0] == 200, "ready", 60.0)
        code, answer, error = commands.run("stage", str(agency), "--detector", "strange", "--wait")
        assert code == 0, (answer, error)
        code, answer, error = commands.run("promote", "--detector", "strange")
        assert code == 0, (answer, error)
        edge.until(lambda: strange(edge.state).state == "probation", "it flies", 60.0)
        edge.until(lambda: edge.events("model promoted") != [], "told")
        sightings = 'messages_total{platform="uav07",topic="sighting"'
        before = edge.metric(sightings)
        edge.until(lambda: edge.metric(sightings) > before + 2, "sightings of the new model", 60.0)
        (child,) = edge.children()
        os.kill(child, signal.SIGKILL)
        edge.until(lambda: edge.children() not in ([], [child]), "it was started anew", 60.0)
        edge.until(lambda: asked(edge.state) is not None, "the new one tells how it is", 60.0)
        now = strange(edge.state)
        assert str(now.model_id).startswith("anomaly:"), now
        assert "on probation" in now.reason
        edge.terminate()
    told = held(edge.state)
    texts = [one.text for one in told if isinstance(one, Health) and one.component == "model.eo.strange"]
    assert any("agency:" in text and "promoted" in text for text in texts)
    assert {one.model_id.partition(":")[0] for one in told if isinstance(one, Sighting)} == {
        "anomaly",
        "agency",
    }
    code, _, error = commands.run("status")
    assert code == 69
    assert "no worker runs" in error
    code, rows, _ = commands.run("list")
    assert code == 0
    assert {"agency": "staged", "anomaly": "package"}.items() <= {
        one["name"]: one["place"] for one in rows
    }.items()


def held(state: Path) -> list[object]:
    outbox = Outbox(state / "outbox.sqlite", "uav07")
    try:
        records = outbox.pending(10**9, limit_records=100_000)
    finally:
        outbox.close()
    return [wire.decode(each.topic, each.body) for each in records]
