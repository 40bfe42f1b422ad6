"""`skywarden models`: what it prints and how it exits."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import cli
from models.catalogue import ZOO
from skywarden.errors import ModelError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture
def image(tmp_path: Path) -> Path:
    noise = np.random.default_rng(1).integers(80, 100, (240, 320, 3), dtype=np.uint8)
    noise[100:110, 150:160] = 250
    path = tmp_path / "frame.png"
    assert cv2.imwrite(str(path), noise)
    return path


def test_list_as_json_names_task_and_hash_of_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.list_models(json=True) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["anomaly"]["task"] == "detect"
    assert len(rows["anomaly"]["sha256"]) == 64
    assert rows["anomaly"]["is_present"] is True
    assert rows["yolox-nano-coco"]["is_present"] is False


def test_list_off_a_terminal_is_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.list_models() == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("\t")[0] for line in lines]
    assert names == sorted(names)
    assert {"anomaly", "yolox-nano-coco"} <= set(names)


def test_list_exits_with_3_when_a_description_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.toml").write_text("x = 1", encoding="utf-8")
    assert cli.list_models(folder=(tmp_path,)) == 3
    assert "bad" in capsys.readouterr().err


def test_check_says_what_was_checked_and_what_runs_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.check("anomaly", json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_ok"] is True
    assert report["providers"] == ["cpu"]


def test_check_refuses_a_damaged_model(tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(ZOO / "anomaly", folder)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[1000] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        cli.check(str(folder))


def test_run_writes_a_line_and_a_picture_per_image_and_goes_on_after_a_bad_one(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    out = tmp_path / "drawn"
    assert cli.run("anomaly", [bad, image, tmp_path / "absent.png"], out=out, json=True) == 3
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    (found,) = json.loads(line)["detections"]
    assert found["box_px"] == pytest.approx([149.5, 99.5, 159.5, 109.5], abs=1.1)
    assert "bad.png" in printed.err
    assert "absent.png" in printed.err
    assert cv2.imread(str(out / "frame.png")) is not None


def test_bench_prints_the_ratio_to_the_bare_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.bench("anomaly", width=320, height=240, rounds=3, json=True) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["detect_ms"] > 0
    assert 0 < figures["throughput_ratio"] < 2
    with pytest.raises(UsageError):
        cli.bench("anomaly", rounds=0)


def test_golden_prints_the_section_that_the_zoo_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.golden("anomaly") == 0
    assert 'recipe = "patches"' in capsys.readouterr().out
