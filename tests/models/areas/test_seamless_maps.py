"""Maps of large images: tiles flow into one another, mirrored looks are turned back, odd sizes refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.areas.stitch import MapLook
from skywarden.errors import ModelError

F32 = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[Any]], list[F32]]


def halves(tensor: npt.NDArray[Any]) -> list[F32]:
    """A network that sees single cells of two pixels: its maps do not depend on where a tile begins."""
    height, width = tensor.shape[1:3]
    small = tensor[0].reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    return [np.stack([small[..., 0], small[..., 1] * 2.0])[None]]


def picture(width: int, height: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (1, height, width, 3)).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([32, 48, 64]), st.sampled_from([1, 2, 4]))
def test_maps_from_tiles_are_those_of_the_whole(columns: int, rows: int, tile: int, flips: int) -> None:
    tensor = picture(16 * columns, 16 * rows)
    look = MapLook(halves, tile_px=tile, overlap_px=16, step_px=16)
    (made,) = look.run(tensor)
    assert made == pytest.approx(halves(tensor)[0], abs=1e-3)
    assert MapLook(halves, flips=1).run(tensor)[0].shape == made.shape


def test_what_a_tile_sees_wrongly_at_its_edge_leaves_no_seam() -> None:
    def darker_at_edges(tensor: npt.NDArray[Any]) -> list[F32]:
        made = halves(tensor)[0]
        made[:, :, :2] = made[:, :, -2:] = made[:, :, :, :2] = made[:, :, :, -2:] = 0.0
        return [made]

    tensor = np.full((1, 96, 256, 3), 100, dtype=np.uint8)
    (made,) = MapLook(darker_at_edges, tile_px=96, overlap_px=64, step_px=16).run(tensor)
    inner = made[0, 0, 4:-4, 4:-4]
    assert np.abs(np.diff(inner, axis=1)).max() < 8.0
    assert inner.min() > 85.0


def test_mirrored_looks_are_turned_back_before_the_mean() -> None:
    def leaning(tensor: npt.NDArray[Any]) -> list[F32]:
        made = halves(tensor)[0].copy()
        made[..., : made.shape[3] // 2] += 8.0
        made[..., : made.shape[2] // 2, :] += 4.0
        return [made]

    tensor = picture(64, 32)
    plain = halves(tensor)[0]
    assert MapLook(leaning, flips=4).run(tensor)[0] - plain == pytest.approx(
        np.full(plain.shape, 6.0), abs=1e-3
    )
    planes = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))

    def leaning_planes(one: npt.NDArray[Any]) -> list[F32]:
        return leaning(np.ascontiguousarray(one.transpose(0, 2, 3, 1)))

    twice = MapLook(leaning_planes, flips=2, is_nhwc=False).run(planes)[0] - plain
    assert twice.mean() == pytest.approx(6.0, abs=1e-3)


def test_a_small_image_is_seen_once() -> None:
    seen = []

    def counted(tensor: npt.NDArray[Any]) -> list[F32]:
        seen.append(tensor.shape)
        return halves(tensor)

    MapLook(counted, tile_px=64, overlap_px=16, step_px=16).run(picture(64, 48))
    assert seen == [(1, 48, 64, 3)]
    MapLook(counted, tile_px=64, overlap_px=16, step_px=16).run(picture(160, 48))
    assert len(seen) == 1 + 3


@pytest.mark.parametrize(("tile", "overlap", "step"), [(64, 64, 16), (64, 0, 16), (60, 16, 16), (64, 56, 16)])
def test_an_overlap_that_leaves_no_step_is_refused(tile: int, overlap: int, step: int) -> None:
    with pytest.raises(ModelError, match=f"{tile} px"):
        MapLook(halves, tile_px=tile, overlap_px=overlap, step_px=step)


def test_outputs_that_are_no_maps_of_the_tile_are_refused() -> None:
    def rows(tensor: npt.NDArray[Any]) -> list[F32]:
        return [np.zeros((1, 8, 6), dtype=np.float32)]

    def odd(tensor: npt.NDArray[Any]) -> list[F32]:
        return [np.zeros((1, 2, 7, 9), dtype=np.float32)]

    for wrong in (rows, odd):
        with pytest.raises(ModelError, match="maps"):
            MapLook(wrong, tile_px=32, overlap_px=16, step_px=16).run(picture(96, 96))


def test_only_one_two_or_four_looks_are_possible() -> None:
    with pytest.raises(ModelError, match="3 mirrored"):
        MapLook(halves, flips=3)
