"""The bench against SAHI and Ultralytics: frames keep their truth, and it says what is missing."""

import re
from pathlib import Path

import numpy as np
import pytest

from sim.bench import tiles
from sim.bench.__main__ import tiles_lines
from sim.bench.tile_frames import FRAME_PX, Score, gsd_m, lay_out, pose_from
from skywarden.errors import ModelError


def test_images_lie_side_by_side_with_their_boxes_and_none_is_cut() -> None:
    rng = np.random.default_rng(3)
    pictures = []
    for number in range(40):
        height, width = (int(one) for one in rng.integers(200, 1200, 2))
        image = np.full((height, width, 3), 60, dtype=np.uint8)
        image[20:50, 10:90] = 200 + number
        pictures.append((image, np.array([[10.0, 20.0, 90.0, 50.0]])))
    stills = lay_out(pictures, 10)
    assert sum(len(still.boxes) for still in stills) == 40
    for still in stills:
        assert still.image.shape == (FRAME_PX[1], FRAME_PX[0], 3)
        for x0, y0, x1, y1 in still.boxes.astype(int).tolist():
            inside = still.image[y0:y1, x0:x1]
            assert inside.min() == inside.max() >= 200
    with pytest.raises(ModelError, match="none of which fits"):
        lay_out([(np.zeros((3000, 100, 3), dtype=np.uint8), np.zeros((0, 4)))], 1)


def test_a_box_found_twice_counts_once_and_the_rest_is_false() -> None:
    score = Score()
    truth = np.array([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
    score.add(np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [90.0, 90.0, 99.0, 99.0]]), truth)
    assert (score.there, score.found, score.false) == (2, 1, 1)
    assert score.recall == 0.5
    assert gsd_m(pose_from(250.0).alt_hae_m) == pytest.approx(0.075, rel=0.01)


def test_without_the_peers_the_bench_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYWARDEN_REAL_DATA", str(tmp_path))
    absent = tiles.run()
    assert re.search("no real images at", absent["skipped"])
    (tmp_path / "imagery").mkdir()
    monkeypatch.setenv(tiles.PLACE_KEY, str(tmp_path / "no-python"))
    if tiles.peers_python() is None:
        absent = tiles.run()
        assert "pip install" in absent["skipped"]
    assert tiles_lines(absent) == []
    assert "not measured" in tiles.note(absent)
