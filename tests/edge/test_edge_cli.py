"""`skywarden edge` and `skywarden locate` from the outside."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from skywarden.cli import run
from skywarden.config import find_config

WITH_CAMERA = """
platform_id = "uav07"

[mavlink]
connection = "udpin:127.0.0.1:0"

[[sensor]]
camera = { sensor_id = "eo", url = "rtsp://pilot:secret@192.168.144.25:8554/main" }
lens = { width_px = 1920, height_px = 1080, hfov_deg = 62.0 }
"""
ABOVE_ROME = ["--lat", "41.801", "--lon", "12.6483", "--alt-msl-m", "500", "--heading-deg", "315"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(WITH_CAMERA, encoding="utf-8")
    return path


def settings(printed: str) -> dict[str, tuple[object, str]]:
    return {one["key"]: (one["value"], one["origin"]) for one in json.loads(printed)["settings"]}


def test_config_tells_where_each_value_came_from(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKYWARDEN_EDGE__RECORDER__IS_ON", "false")
    assert run(["edge", "config", str(config), "--json"]) == 0
    found = settings(capsys.readouterr().out)
    assert found["platform_id"] == ("uav07", str(config))
    assert found["recorder.is_on"] == (False, "SKYWARDEN_EDGE__RECORDER__IS_ON")
    assert found["recorder.jpeg_quality"] == (90, "default")
    assert found["sensor[0].lens.hfov_deg"] == (62.0, str(config))
    assert found["sensor[0].model.name"] == ("anomaly", "default")
    assert run(["edge", "config", str(config)]) == 0
    assert "recorder.is_on = false  # SKYWARDEN_EDGE__RECORDER__IS_ON\n" in capsys.readouterr().out


def test_passwords_in_addresses_are_not_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edge", "config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "secret" not in said
    assert "rtsp://pilot:***@192.168.144.25:8554/main" in said


def test_a_wrong_variable_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKYWARDEN_EDGE__RECORDER__COLOUR", "blue")
    assert run(["edge", "config", str(config)]) == 78
    assert "SKYWARDEN_EDGE__RECORDER__COLOUR" in capsys.readouterr().err


def test_without_a_name_the_usual_places_are_looked_at(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = config.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if find_config("edge.toml") is None:
        assert run(["edge", "run"]) == 78
        assert "/etc/skywarden/edge.toml" in capsys.readouterr().err
    own = home / ".config" / "skywarden" / "edge.toml"
    own.parent.mkdir(parents=True)
    config.rename(own)
    assert find_config("edge.toml") == own
    assert run(["edge", "config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(own)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config.parent))
    assert find_config("edge.toml") != own


@pytest.mark.slow
def test_check_loads_the_model_and_says_all_is_in_order(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edge", "check", str(config)]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{config} is in order: 1 sensor\n"
    assert "platform_id" in printed.out
    assert run(["edge", "check", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_good"] is True


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ('model = { name = "absent" }', 1, "no model is called 'absent'"),
        ('surface = { kind = "terrain", path = "absent" }', 1, "absent"),
        ("model = { threads = -1 }", 78, "threads"),
        ('[link]\nground = "127.0.0.1:5690"', 1, "ground_public_key"),
        ("wings = 2", 78, "wings"),
        ("a = " + "[" * 5000, 78, "TOML"),
    ],
)
def test_check_finds_what_would_fail_in_flight(
    config: Path, more: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(f"{WITH_CAMERA}{more}\n", encoding="utf-8")
    assert run(["edge", "check", str(config)]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.count("\n") == 1


def test_locate_prints_a_position_and_with_json_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["locate", *ABOVE_ROME, "--pitch-deg", "-45", "--level-hae-m", "250"]
    assert run(words) == 0
    assert "ce90_m" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "ok"
    assert found["alt_hae_m"] == pytest.approx(250.0, abs=0.1)


def test_locate_above_the_horizon_gives_the_bearing_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["locate", *ABOVE_ROME, "--pitch-deg", "20", "--sea", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["azimuth_deg"] == pytest.approx(315.0)
    assert "above_horizon" in printed.err


@pytest.mark.parametrize(
    "more",
    [
        "--pitch-deg -45",
        "--pitch-deg -45 --sea --level-hae-m 0",
        "--pitch-deg -45 --sea --alt-hae-m 5",
        "--pitch-deg nan --sea",
        "--pitch-deg -45 --sea --pixel nan 0",
        "--pitch-deg -45 --sea --pixel 1",
    ],
)
def test_a_question_that_does_not_fit_together_is_exit_code_2(
    more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["locate", *ABOVE_ROME, *more.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_worker_stops_cleanly_and_leaves_a_flight_that_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "edge.toml"
    text = f'platform_id = "uav07"\nstate = "{tmp_path}/state"\nmavlink.connection = "udpin:127.0.0.1:0"\n'
    config.write_text(text + 'metrics.listen = ""\n', encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-m", "skywarden.cli", "edge", "run", str(config), "--log-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    with child, ExitStack() as stack:
        stack.callback(child.kill)  # what has ended well is left alone
        assert child.stderr is not None
        lines = (json.loads(line) for line in child.stderr)
        started = next(line for line in lines if line["event"] == "started")
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=60)
    assert out == "", "logs go to stderr"
    assert child.returncode in (0, 143)
    assert run(["flight", "verify", started["recording"]]) == 0
    assert "as listed" in capsys.readouterr().out
