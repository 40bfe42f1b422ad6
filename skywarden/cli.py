"""The `skywarden` command: finds the rooms' subcommands by entry points, imports only the one asked for.

Nothing heavy is imported before `main` runs, so that even an early Ctrl-C ends without a traceback.
"""

import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from skywarden import __version__
from skywarden.errors import SkywardenError

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

_SUMMARIES = {
    "analyze": "Run the edge chain over a recorded flight, offline, the same bytes every time.",
    "calibrate": "Boresight, heading and time errors of a camera, found from a flight and proven.",
    "demo": "Two simulated platforms, two edge workers, a ground station, a live map.",
    "doctor": "Tell what is missing, doubled or off on this machine, and what to do about it.",
    "edge": "The worker aboard: run it, check its configuration.",
    "flight": "Recorded flights: show, verify, export.",
    "ground": "The ground station: serve, enrol platforms, export.",
    "keys": "Keys of the encrypted link.",
    "locate": "Where on the ground is this pixel, and how sure are we?",
    "models": "Detectors: list, check, run on images.",
    "sim": "Replay recorded flights, import foreign logs, render scenarios.",
    "terrain": "Elevation tiles for the edge.",
}

_HELP = """Watch land and sea from drones: detect, locate with honest uncertainty, hand a person the picture.

For example:

    skywarden demo
    skywarden sim import ./2018-flight --out flight
    skywarden analyze flight
    skywarden edge run /etc/skywarden/edge.toml
    skywarden ground serve
"""

_VERBOSE = ("-v", "--verbose")

_SHARED = {
    "doctor": "skywarden.doctor_cli:app",
    "flight": "skywarden.flight.cli:app",
    "keys": "skywarden.link.keys_cli:app",
    "terrain": "skywarden.geometry.terrain_cli:app",
}


def build_app(words: Sequence[str] | None = None) -> "App":
    """The whole command with every room's subcommands registered (not yet imported).

    With the `words` of one command line only the room that they name is described in full, the others by
    the line of the listing, so that they need not be imported; without, all are (the reference page).
    """
    from cyclopts import App, Parameter

    from skywarden.help_pages import HelpPages

    is_verbose = words is not None and any(word in _VERBOSE for word in words)
    app = App(
        name="skywarden",
        version=lambda: version_text(is_verbose=is_verbose),
        version_format="plaintext",
        help_format="markdown",
        help_formatter=HelpPages(),
        help=_HELP,
        default_parameter=Parameter(validator=_check_finite),
        suppress_keyboard_interrupt=False,
    )
    app.register_install_completion_command(help="Install completion for bash, zsh or fish.")
    places = dict(_SHARED)
    for point in entry_points(group="skywarden.commands"):
        places[point.name] = point.value
    for name, place in sorted(places.items()):
        is_full = words is None or name in words
        app.command(place, name=name, help=None if is_full else _SUMMARIES.get(name))
    return app


def _check_finite(kind: object, value: object) -> None:
    """For every number of every command: NaN and infinity are no answer to any question we ask."""
    numbers = value if isinstance(value, tuple | list) else (value,)
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        raise ValueError("give a finite number")


def version_text(*, is_verbose: bool = False) -> str:
    """Version and Python; verbose: also the git commit of a working copy and the models of the zoo."""
    lines = [f"skywarden {__version__} (Python {platform.python_version()})"]
    if is_verbose:
        from skywarden.doctor import zoo_models

        home = Path(__file__).resolve().parent.parent
        lines.append(f"git    {_commit(home) or 'not a working copy'}")
        lines.extend(
            f"model  {model.name} {model.sha256[:16]}{'' if model.is_present else ' (file not here)'}"
            for model in zoo_models()
        )
    return "\n".join(lines)


def _commit(home: Path) -> str | None:
    """The commit of the working copy at `home`, marked when it was changed; `None` without one."""
    if not (home / ".git").exists():
        return None
    words = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def run(words: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code.

    Every error that a person can cause becomes one sentence on stderr.
    """
    from cyclopts import CycloptsError

    try:
        app = build_app(words)
        asked = [word for word in words if word not in _VERBOSE] if "--version" in words else words
        result = app(list(asked), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        return _complain(_usage_sentence(error), 2)
    except SkywardenError as error:
        return _complain(str(error), error.exit_code)
    except ImportError as error:
        return _complain(_missing_sentence(error), 1)
    except BrokenPipeError:
        return _quiet_end(141)
    except OSError as error:
        return _complain(_system_sentence(error), 1)
    except UnicodeEncodeError:
        return _complain("a name holds bytes that are no text and cannot be written here; rename it", 1)
    except MemoryError:
        return _complain("not enough memory for this; use smaller input or numbers", 1)
    except KeyboardInterrupt:
        return 130


def main() -> NoReturn:
    """The console script: `run` on this process's words, with SIGTERM as a clean end (143)."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_standard_streams()
    code = 130
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = _quiet_end(141)
    except OSError as error:
        code = _complain(_system_sentence(error), 1)
        _quiet_end(code)
    sys.exit(code)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def _open_standard_streams() -> None:
    """A closed stdout or stderr swallows what is written; names that are no text are printed escaped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (stays open to the end)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _quiet_end(code: int) -> int:
    """Nobody reads stdout any more: what is still buffered goes nowhere, without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _complain(sentence: str, code: int) -> int:
    sys.stderr.write(f"skywarden: {' '.join(sentence.split())}\n")
    return code


def _usage_sentence(error: "CycloptsError") -> str:
    from cyclopts import MissingArgumentError, UnknownCommandError, UnusedCliTokensError

    chain = " ".join(("skywarden", *(error.command_chain or ())))
    argument = error.argument
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        word = error.unused_tokens[0]
        sentence = f"there is no {'option' if word.startswith('-') else 'command'} `{chain} {word}`"
        near = get_close_matches(word, [*(error.app or ())], 1)
        return f"{sentence}{f', perhaps `{near[0]}`' if near else ''}; `{chain} --help` lists what there is"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        sentence = f"`{chain}` has no use for {' '.join(error.unused_tokens)!r}"
    elif isinstance(error, MissingArgumentError) and argument is not None and not error.tokens_so_far:
        name = argument.name if argument.index is None else argument.name.lstrip("-").upper()
        sentence = f"`{chain}` needs {name}"
    else:
        sentence = str(error).strip().rstrip(".")
    return f"{sentence}; `{chain} --help` explains"


def _system_sentence(error: OSError) -> str:
    words = error.strerror or str(error)
    if error.filename is None:
        return f"the system refuses: {words}"
    names = " to ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None)
    return f"{names}: {words}; check the name, its kind and the permissions"


_EXTRA_OF = {
    "apsw": "edge",
    "av": "edge",
    "fastapi": "ground",
    "fastcrc": "edge",
    "lap": "edge",
    "mcap": "sim",
    "onnx": "models",
    "prometheus_client": "edge",
    "pyulog": "sim",
    "rasterio": "sim",
    "scipy": "ground",
    "serial": "edge",
    "torch": "models",
    "uvicorn": "ground",
}


def _missing_sentence(error: ImportError) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    name = (cause.name or "").partition(".")[0]
    if name in _EXTRA_OF:
        return f"this needs the package {name}: pip install 'skywarden[{_EXTRA_OF[name]}]'"
    return f"a package cannot be loaded ({cause}); `skywarden doctor` looks for the reason"


if __name__ == "__main__":
    main()
