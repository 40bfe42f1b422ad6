"""Maps of areas become outlines: neighbours stay apart, holes stay open, what is small is dropped."""

import numpy as np
import numpy.typing as npt
import pytest
from described import described

from models.decoders import make_decoder
from models.detection import DetectionBatch, PolygonShape
from models.letterbox import Placement

F32 = npt.NDArray[np.float32]
SIZE = 96


def look(interior: F32, *more: F32, **rules: object) -> DetectionBatch:
    names = ["interior", "boundary", "distance"][: 1 + len(more)]
    tree = {"channels": names, "simplify_px": 0.5, **rules}
    square = {"fit": "letterbox", "tensor": "f32_nchw", "width_px": SIZE, "height_px": SIZE}
    description = described(
        "segment", labels=["field"], allow={"field": "parcel"}, threshold=0.5, segment=tree, input=square
    )
    placement = Placement(
        image_size_px=(2 * SIZE, 2 * SIZE), placed_size_px=(SIZE, SIZE), tensor_size_px=(SIZE, SIZE)
    )
    return make_decoder(description).decode([np.stack([interior, *more])[None]], placement)


def field(x0: int, y0: int, x1: int, y1: int) -> F32:
    out = np.zeros((SIZE, SIZE), dtype=np.float32)
    out[y0:y1, x0:x1] = 0.9
    return out


def area(shape: object) -> float:
    assert isinstance(shape, PolygonShape)
    rings = [shape.exterior, *shape.holes]
    sizes = []
    for ring in rings:
        x, y = ring.T
        sizes.append(abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0)
    return sizes[0] - sum(sizes[1:])


def test_a_field_becomes_its_outline_in_the_pixels_of_the_image() -> None:
    batch = look(field(10, 20, 50, 40))
    assert batch.labels == ("parcel",)
    assert batch.box_px[0] == pytest.approx([19.5, 39.5, 99.5, 79.5], abs=0.7)
    assert area(batch.shapes[0]) == pytest.approx(80 * 40, rel=0.03)
    assert batch.score[0] == pytest.approx(0.9, abs=1e-5)


def test_a_hole_stays_a_hole_and_a_tiny_one_is_filled() -> None:
    pond = field(10, 10, 70, 70)
    pond[30:50, 30:50] = 0.0
    pond[15:18, 15:18] = 0.0
    shape = look(pond).shapes[0]
    assert isinstance(shape, PolygonShape)
    assert len(shape.holes) == 1
    assert area(shape) == pytest.approx((60 * 60 - 20 * 20) * 4, rel=0.03)


def test_neighbours_with_a_track_between_them_stay_apart() -> None:
    both = field(10, 10, 80, 50)
    track = np.zeros_like(both)
    track[10:50, 44:46] = 0.9
    assert len(look(both)) == 1
    apart = look(both, track)
    assert len(apart) == 2
    assert sum(area(shape) for shape in apart.shapes) == pytest.approx(70 * 40 * 4, rel=0.06)


def test_distance_tells_neighbours_apart_where_no_boundary_is_seen() -> None:
    both = field(10, 10, 80, 50)
    both[10:22, 44:46] = both[38:50, 44:46] = 0.0
    x = np.arange(SIZE)[None]
    distance = np.broadcast_to(np.minimum(np.abs(x - 45) / 10.0, 1.0), both.shape).astype(np.float32)
    assert len(look(both, np.zeros_like(both), distance)) == 2


def test_what_is_thin_has_no_seed_and_is_kept_all_the_same() -> None:
    strip = field(10, 10, 80, 14)
    boundary = strip.copy()
    batch = look(strip, boundary)
    assert len(batch) == 1


def test_small_areas_and_padding_are_dropped() -> None:
    assert len(look(field(10, 10, 14, 14))) == 0
    assert len(look(field(10, 10, 14, 14), min_area_px=4.0)) == 1
    assert len(look(np.zeros((SIZE, SIZE), dtype=np.float32))) == 0
    assert len(look(np.full((SIZE, SIZE), np.nan, dtype=np.float32))) == 0


def test_a_field_keeps_its_headland_where_a_boundary_is_painted_over_its_rim() -> None:
    inside = field(20, 20, 76, 76)
    rim = np.zeros_like(inside)
    rim[17:79, 17:79] = 0.5
    rim[18:78, 18:78] = 0.95
    rim[23:73, 23:73] = 0.0
    rim[20:76, 46:51] = 0.9
    batch = look(inside, rim)
    assert len(batch) == 2
    assert sum(area(shape) for shape in batch.shapes) == pytest.approx(56 * 56 * 4, rel=0.05)
    assert batch.box_px[:, 0].min() == pytest.approx(2 * 20 - 0.5, abs=0.8)
    assert batch.box_px[:, 2].max() == pytest.approx(2 * 76 - 0.5, abs=0.8)
