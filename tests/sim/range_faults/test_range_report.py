"""The score of a run as table, JSON and page, by the command."""

from pathlib import Path

import msgspec
import pytest

from sim.range.score.score import Score
from skywarden.cli import run
from tests.sim.range_faults.conftest import Drill


@pytest.mark.slow
def test_the_command_gives_table_json_and_a_page_that_stands_by_itself(
    drill: Drill, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = drill("frames_black").folder
    page = tmp_path / "score.html"
    assert run(["sim", "score", str(folder), "--json", "--report", str(page), "--no-ais"]) == 0
    score = msgspec.json.decode(capsys.readouterr().out, type=Score)
    assert [one.verdict for one in score.faults.each] == ["noticed"]
    assert score.finding.recall is not None
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 4
    assert "frames_black" in text
    assert "EXERCISE" in text
    assert "<script" not in text
    assert not any(f'{what}="http' in text for what in ("src", "href"))
    assert run(["sim", "score", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "HOTA" in told
    assert "noticed" in told


def test_nonsense_is_refused_before_anything_is_flown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sim", "score", str(tmp_path)]) != 0
    assert "is no run of a scenario" in capsys.readouterr().err
    assert run(["sim", "score", str(tmp_path), "--report", str(tmp_path)]) != 0
    assert "name a file" in capsys.readouterr().err
