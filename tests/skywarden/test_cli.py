"""The command line as a stranger meets it: help with examples, one sentence for every error, exit codes."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cyclopts import App

from skywarden.cli import build_app, run
from skywarden.progress import progress_bar

COMMAND = (sys.executable, "-P", "-m", "skywarden.cli")


def commands(app: App, chain: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command and group of commands below `app`, with the words that lead to it."""
    for name in app:
        if not name.startswith("-"):
            yield from commands(app[name], (*chain, name))
    yield chain, app


ALL = dict(commands(build_app()))
HIDDEN: set[tuple[str, ...]] = set()
"""Their apps' own `help=` hides the docstring that holds the example."""
RUNNING = {chain: app for chain, app in ALL.items() if app.default_command is not None}


@pytest.fixture
def own_logs() -> Iterator[None]:
    """Commands that set up the process's logs, on a stderr that is gone afterwards: put them back."""
    root, environ = logging.getLogger(), dict(os.environ)
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
    for name in ("SKYWARDEN_LOG_FORMAT", "SKYWARDEN_LOG_VERBOSITY"):
        if name not in environ:
            os.environ.pop(name, None)


def started(*words: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.mark.slow
@pytest.mark.parametrize("chain", [chain for chain in ALL if chain not in HIDDEN], ids=" ".join)
def test_every_help_shows_an_example_that_names_the_command(
    chain: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*chain, "--help"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    said = " ".join(printed.out.replace("Usage: ", "#").split())
    assert re.search(rf"(?<!#)skywarden {' '.join(chain)}".strip() + r" ?[^\[C]", said), said


@pytest.mark.parametrize("chain", RUNNING, ids=" ".join)
def test_every_option_is_explained(chain: tuple[str, ...]) -> None:
    arguments = RUNNING[chain].assemble_argument_collection(parse_docstring=True)
    silent = [one.name for one in arguments if one.name != "*" and not one.parameter.help]
    assert silent == []


def test_options_of_one_meaning_have_one_name() -> None:
    spelled: dict[str, set[tuple[str, ...]]] = {}
    for app in RUNNING.values():
        for argument in app.assemble_argument_collection(parse_docstring=True):
            for meaning in ("--quiet", "--verbose", "--json"):
                if meaning in argument.names:
                    names = (name for name in argument.names if not name.startswith("--no-"))
                    spelled.setdefault(meaning, set()).add(tuple(sorted(names)))
    assert spelled == {
        "--quiet": {("--quiet", "-q")},
        "--verbose": {("--verbose", "-v")},
        "--json": {("--json",)},
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("dctor", "perhaps `doctor`"),
        ("edge rn", "perhaps `run`"),
        ("--nope", "no option"),
        ("edge check --nope", "--nope"),
        ("edge check a b", "no use for 'b'"),
        ("keys create", "needs PATH"),
        ("locate", "needs --lat"),
        ("locate --lat x", 'unable to convert "x"'),
        ("edge run edge.toml --log-format xml", "console"),
        ("terrain height tiles nan 1", "finite"),
        ("locate --lat 1 --lon 1 --heading-deg inf --pitch-deg 1 --sea --alt-hae-m 9", "finite"),
        ("locate --lat 1 --lon 1 --heading-deg 1 --pitch-deg 1", "--terrain FILE"),
        ("terrain height tiles 91 1", "-90 to 90"),
        ("models bench anomaly --rounds 0", "1 to 10000"),
        ("edge run edge.toml -v -q", "--verbose"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_2(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("skywarden: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err


@pytest.mark.slow
@pytest.mark.usefixtures("own_logs")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("edge run absent.toml", 78),
        ("edge check .", 78),
        ("edge check empty", 78),
        ("ground serve --config empty/below", 78),
        ("ground serve --http nowhere", 78),
        ("ground status --state empty/below", 1),
        ("ground export sightings --state .", 1),
        ("ground enrol uav07 nonsense --state .", 1),
        ("keys show absent", 1),
        ("keys show .", 1),
        ("keys create empty/below", 1),
        ("flight show absent", 1),
        ("flight verify empty", 1),
        ("flight export . --out out.mcap", 1),
        ("terrain build empty --out out", 1),
        ("terrain height . 1 2", 1),
        ("models check absent", 1),
        ("models check anomaly --threads 99999999999999999999", 1),
        ("models run anomaly absent . empty", 3),
        ("models list --folder absent", 3),
    ],
)
def test_bad_files_are_a_sentence_and_the_right_exit_code(
    words: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    assert run(words.split()) == code
    error = capsys.readouterr().err
    assert error.startswith("skywarden: ")
    assert "Traceback" not in error


@pytest.mark.usefixtures("own_logs")
def test_what_the_system_refuses_is_a_sentence_with_the_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["ground", "serve", "--state", str(tmp_path / "file")]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_name_that_is_no_text_is_a_sentence_or_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/x\xff.toml")
    Path(odd).write_text('platform_id = "uav07"\n', encoding="utf-8")
    assert run(["edge", "config", odd, "--json"]) == 1
    assert "rename" in capsys.readouterr().err
    child = started("edge", "config", odd)
    out, error = child.communicate(timeout=30)
    assert (child.returncode, error) == (0, "")
    assert "x\\udcff.toml" in out


def test_version_names_the_python_and_when_asked_the_commit_and_the_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"skywarden \d+\.\d+\.\d+ \(Python 3\.\d+\.\d+\)\n", capsys.readouterr().out)
    assert run(["--version", "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("git ")
    assert re.fullmatch(r"model +anomaly [0-9a-f]{16}", lines[2])


@pytest.mark.slow
@pytest.mark.parametrize("room", ["doctor", "edge", "flight", "ground", "keys", "models", "terrain"])
def test_help_of_a_room_loads_nothing_heavy(room: str) -> None:
    code = (
        "import sys; from skywarden.cli import run; run([sys.argv[1], '--help']);"
        "print(*{'cv2', 'onnxruntime', 'av', 'fastapi', 'rasterio'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, room], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr.split() == []


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_fits_narrow_terminals_and_examples_stay_whole(columns: str) -> None:
    child = started("edge", "--help", COLUMNS=columns, TERM="dumb")
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "\x1b" not in out
    assert "  skywarden edge run edge.toml\n" in out
    panels = [line for line in out.splitlines() if line.startswith(("│", "╭", "╰", "Usage"))]
    assert max(map(len, panels)) <= int(columns)


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_nothing_is_coloured_off_a_terminal(environ: dict[str, str]) -> None:
    child = started("doctor", "-v", **environ)
    out, error = child.communicate(timeout=30)
    assert "\x1b" not in out + error


@pytest.mark.slow
def test_a_reader_that_goes_away_leaves_no_complaint() -> None:
    child = started("--help")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait(30) != 0
    child.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_stdout_is_a_sentence() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "skywarden: the system refuses: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_end_long_work_without_a_traceback(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    words = ("ground", "serve", "--state", str(tmp_path), "--http", "127.0.0.1:0", "--link", "127.0.0.1:0")
    child = started(*words, "--json", "-q")
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["console"].startswith("http://127.0.0.1:")
    child.send_signal(number)
    _, error = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/skywarden"),
        ("zsh", ".zsh/completions/_cyclopts_skywarden"),
        ("fish", ".config/fish/completions/skywarden.fish"),
    ],
)
def test_completion_installs_for_every_shell(shell: str, place: str, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "ZDOTDIR": ""}
    child = started("--install-completion", "--shell", shell, **environ)
    out, error = child.communicate(timeout=60)
    assert child.returncode == 0, out + error
    script = (tmp_path / place).read_text(encoding="utf-8")
    assert "log-format" in script


@pytest.mark.slow
def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    assert run(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    ask = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE};'
        '_skywarden skywarden "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}";'
        'echo "${COMPREPLY[*]}"'
    )
    for words, expected in ((["ed"], "edge"), (["edge", "run", "--log-format", ""], "auto console json")):
        done = subprocess.run(
            ["bash", "-c", ask, str(script), "skywarden", *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_ground_config_tells_where_each_value_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ground.toml"
    config.write_text('http = "127.0.0.1:8601"\n', encoding="utf-8")
    monkeypatch.setenv("SKYWARDEN_GROUND__CONTACTS__MAX_GAP_S", "60.5")
    assert run(["ground", "config", "--config", str(config), "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    found = {one["key"]: (one["value"], one["origin"]) for one in tree["settings"]}
    assert found["http"] == ("127.0.0.1:8601", str(config))
    assert found["contacts.max_gap_s"] == (60.5, "SKYWARDEN_GROUND__CONTACTS__MAX_GAP_S")
    assert found["link"][1] == "default"


def test_keys_are_made_once_and_shown_without_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "keys" / "edge.key"
    assert run(["keys", "create", str(key), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["keys", "show", str(key)]) == 0
    said = capsys.readouterr().out
    assert made["public_key"] in said
    assert made["fingerprint"] in said
    assert "swsec1:" not in said
    assert run(["keys", "create", str(key)]) == 1
    assert "never overwritten" in capsys.readouterr().err


def test_progress_off_a_terminal_is_a_plain_line_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar("reading", line_every_s=0.0) as report:
        report(3, 9, "a\x1b[31m\nb")
    assert capsys.readouterr().err == "reading: 3 of 9 a?(31m?b\n"
    with progress_bar("reading", is_quiet=True, line_every_s=0.0) as report:
        report(3, 9, "a")
    with progress_bar("reading") as report:
        report(3, 9, "short work says nothing")
    assert capsys.readouterr().err == ""
