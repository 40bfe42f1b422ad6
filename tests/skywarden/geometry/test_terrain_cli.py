"""`skywarden terrain`: tiles out of an .hgt, heights asked of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from skywarden.cli import run

pytestmark = pytest.mark.slow


@pytest.fixture
def hgt(tmp_path: Path) -> Path:
    path = tmp_path / "S36E149.hgt"
    np.full((1201, 1201), 600, dtype=">i2").tofile(path)
    return path


def test_a_tile_is_built_and_tells_a_height_above_the_ellipsoid(
    hgt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = hgt.parent / "new" / "tiles"
    assert run(["terrain", "build", str(hgt), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'S36E149.npz'}\n"
    assert run(["terrain", "height", str(out), "-35.363", "149.164"]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(619.4, abs=1.0)


def test_json_is_one_object(hgt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = hgt.parent / "tiles"
    assert run(["terrain", "build", str(hgt), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tiles": [str(out / "S36E149.npz")]}
    assert run(["terrain", "height", str(out), "-35.5", "149.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["alt_hae_m"] == pytest.approx(619.0, abs=2.0)


def test_a_place_that_no_tile_covers_is_exit_code_3(hgt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["terrain", "height", str(hgt), "10", "20", "--json"]) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["alt_hae_m"] is None
    assert "covers 10.0, 20.0" in printed.err


def test_an_out_that_is_a_file_is_refused(hgt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (hgt, hgt / "below"):
        assert run(["terrain", "build", str(hgt), "--out", str(out)]) == 1
        assert "no folder can be made there" in capsys.readouterr().err


def test_a_source_is_never_replaced_by_its_own_tile(hgt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = hgt.parent / "tiles"
    assert run(["terrain", "build", str(hgt), "--out", str(out)]) == 0
    tile = out / "S36E149.npz"
    before = tile.read_bytes()
    assert run(["terrain", "build", str(tile), "--out", str(out)]) == 2
    assert tile.read_bytes() == before
    assert "choose another --out" in capsys.readouterr().err


def test_two_sources_of_one_name_are_not_built_over_each_other(
    hgt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hgt.parent / "again").mkdir()
    twin = hgt.parent / "again" / hgt.name
    twin.write_bytes(hgt.read_bytes())
    assert run(["terrain", "build", str(hgt), str(twin), "--out", str(hgt.parent / "tiles")]) == 2
    assert "two sources" in capsys.readouterr().err


def test_an_empty_terrain_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("S36E149.hgt", "a.tif", "a.npz"):
        (tmp_path / name).touch()
        assert run(["terrain", "build", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
        assert name in capsys.readouterr().err
