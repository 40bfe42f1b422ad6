"""Logs of a real process: one JSON object a line for a service, readable lines for people, one stream."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import logging, sys, structlog
from skywarden.logs import configure_logs
configure_logs({style!r}, verbosity={verbosity})
log = structlog.get_logger("edge")
log.debug("fine print"); log.info("started", sortie="s1"); log.warning("black", component="camera.eo")
logging.getLogger("library").warning("from %s", "elsewhere")
logging.getLogger("library").log(25, "an odd level")
logging.getLogger("library").error("%d of %d", "one")
logging.getLogger("library").debug("chatter")
try:
    raise ValueError("the reason")
except ValueError:
    log.exception("failed")
{more}
"""
CHILD = "import subprocess; subprocess.run([sys.executable, '-c', {code!r}], check=True)"


def _stderr(style: str, verbosity: int = 0, more: str = "", **environ: str) -> str:
    code = SCRIPT.format(style=style, verbosity=verbosity, more=more)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SKYWARDEN_LOG")}
    for name in ("FORCE_COLOR", "NO_COLOR"):
        inherited.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_what_is_logged_cannot_steer_a_terminal() -> None:
    hostile = "\x1b[2J\x9b31mred\u202eder\x00\u2028"
    said = _stderr("console", more=f"log.warning({hostile!r}, label={hostile!r}, words='a b' + {hostile!r})")
    line = said.splitlines()[-1]
    assert "red" in line
    assert line.isprintable()


@pytest.mark.slow
def test_a_service_gets_one_json_object_a_line() -> None:
    events = _events(_stderr("auto"))
    assert [event["event"] for event in events] == [
        "started",
        "black",
        "from elsewhere",
        "an odd level",
        "%d of %d ('one',)",
        "failed",
    ]
    assert events[0]["level"] == "info"
    assert events[0]["sortie"] == "s1"
    assert events[0]["timestamp"].endswith("Z")
    assert "ValueError: the reason" in events[-1]["exception"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verbosity", "seen", "unseen"),
    [(-1, "black", "started"), (0, "started", "fine print"), (1, "fine print", "no such event")],
)
def test_verbosity_chooses_what_is_shown(verbosity: int, seen: str, unseen: str) -> None:
    names = [event["event"] for event in _events(_stderr("json", verbosity))]
    assert seen in names
    assert unseen not in names


@pytest.mark.slow
def test_people_get_lines_without_colour_codes_in_a_pipe() -> None:
    text = _stderr("console")
    assert "started" in text
    assert "\x1b[" not in text
    assert "ValueError: the reason" in text


@pytest.mark.slow
def test_colour_is_forced_when_asked_for() -> None:
    assert "\x1b[" in _stderr("console", FORCE_COLOR="1")


@pytest.mark.slow
def test_a_child_process_logs_as_its_parent_was_told_to() -> None:
    child = SCRIPT.format(style="auto", verbosity=0, more="")
    text = _stderr("console", 1, more=CHILD.format(code=child))
    assert text.count("fine print") == 2
    assert '{"' not in text


@pytest.mark.slow
def test_nonsense_in_the_environment_does_not_stop_a_start() -> None:
    assert "started" in _stderr("auto", SKYWARDEN_LOG_FORMAT="xml", SKYWARDEN_LOG_VERBOSITY="loud")


@pytest.mark.slow
def test_a_reader_that_went_away_does_not_end_the_work() -> None:
    code = SCRIPT.format(style="json", verbosity=0, more="sys.stdout.write('finished')")
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=write_end, timeout=30, check=False
        )
    finally:
        os.close(write_end)
    assert done.stdout == b"finished"
