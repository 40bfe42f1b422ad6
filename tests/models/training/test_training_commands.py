"""Every command of the trainer shows an example that it understands itself."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra `models`")

from models.training.__main__ import command_line, main
from models.training.commands.options import learning
from models.training.errors import TrainingError


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Words of each command, and its help."""
    found: dict[tuple[str, ...], str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                deeper = _commands(inner, (*words, name))
                found |= deeper or {(*words, name): inner.format_help()}
    return found


def test_every_command_shows_an_example_that_it_understands() -> None:
    parser = command_line()
    commands = _commands(parser)
    assert len(commands) == 16
    for words, text in commands.items():
        example = re.search(r"^    python -m models\.training (.+)$", text, re.MULTILINE)
        assert example is not None, words
        said = shlex.split(example.group(1))
        assert tuple(said[: len(words)]) == words
        assert callable(parser.parse_args(said).command)


def test_palms_that_are_held_back_need_a_folder_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plants", "held-back", "--imagery", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("training: ")


def test_a_size_that_the_network_cannot_take_is_refused_with_one_that_it_can() -> None:
    options = command_line().parse_args(["train", "run", "--imagery", "i", "--start", "s", "--sizes", "416"])
    with pytest.raises(TrainingError, match="--sizes 416: must be a multiple of 64 px, such as 384"):
        learning(options)
