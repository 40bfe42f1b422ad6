"""Fields and palms as training sees them: read whole, split by place, painted where they lie."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.reading import read_dataset
from models.training.errors import TrainingError
from models.training.parcels.crops import FieldMix, FieldSource, placement
from models.training.parcels.fields import (
    FieldSample,
    read_fields,
    site_of,
    split_fields,
    without_fields,
    write_fields,
)
from models.training.parcels.truth import BOUNDARY_PX, DISTANCE_PX, carried_over_edge, paint
from models.training.plants.palms import STRIPS_PX, TILE_PX, column_of, read_palms

SQUARE = np.array([[40.0, 40.0], [120.0, 40.0], [120.0, 120.0], [40.0, 120.0]], dtype=np.float32)


def write_picture(path: Path, width: int = 160, height: int = 160) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (height, width, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def field_set(folder: Path, names: list[str]) -> Path:
    entries = {}
    for name in names:
        write_picture(folder / "images" / name)
        shape = {"name": "polygon", "all_points_x": [40, 120, 120, 40], "all_points_y": [40, 40, 120, 120]}
        region = {"shape_attributes": shape, "region_attributes": {}}
        dot = {"shape_attributes": {"name": "point", "cx": 3, "cy": 4}, "region_attributes": {}}
        entries[name] = {"filename": name, "regions": [region, dot]}
    (folder / "annotations_via.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def test_outlines_are_read_and_what_is_no_polygon_is_left_out(tmp_path: Path) -> None:
    (sample,) = read_fields(field_set(tmp_path, ["41.5--88.8.png"]))
    (ring,) = sample.rings
    assert ring.tolist() == (SQUARE + 0.5).tolist()
    assert sample.site == site_of("41.7--88.6")


def test_a_written_set_is_read_the_same_here_and_by_evaluate(tmp_path: Path) -> None:
    samples = read_fields(field_set(tmp_path / "a", ["41.5--88.8.png", "x.png"]))
    write_fields(samples, tmp_path / "b")
    again = read_fields(tmp_path / "b")
    assert [one.path.name for one in again] == [one.path.name for one in samples]
    assert again[0].rings[0].tolist() == samples[0].rings[0].tolist()
    assert [len(image.objects) for image in read_dataset(tmp_path / "b").images] == [1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"a": 3}',
        '{"a": {"filename": "x.png", "regions": [1]}}',
        '{"a": {"filename": "x.png", "regions": 4}}',
        '{"a": {"filename": "x.png", "regions": [{"shape_attributes": {"name": "polygon", '
        '"all_points_x": [1, 2], "all_points_y": [1, 2]}}]}}',
        '{"a": {"filename": "x.png", "regions": [{"shape_attributes": {"name": "polygon", '
        '"all_points_x": [1, 2, NaN], "all_points_y": [1, 2, 3]}}]}}',
        '{"a": {"filename": "../x.png", "regions": []}}',
        '{"a": {"filename": "absent.png", "regions": []}}',
    ],
)
def test_an_annotation_that_is_none_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    write_picture(tmp_path / "images" / "x.png")
    write_picture(tmp_path / "x.png")
    (tmp_path / "annotations_via.json").write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"annotations_via\.json"):
        read_fields(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda one: st.lists(one, max_size=3)
    | st.dictionaries(
        st.sampled_from(["filename", "regions", "shape_attributes", "name", "all_points_x", "a"]),
        one, max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "annotations_via.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(TrainingError):
        read_fields(folder)


def test_no_site_is_on_both_sides_and_adding_images_moves_none(tmp_path: Path) -> None:
    names = [f"{40 + at / 10:.1f}--{88 + at / 7:.2f}.png" for at in range(40)]
    samples = [FieldSample(path=tmp_path / name, rings=(), site=site_of(name[:-4])) for name in names]
    learn, held = split_fields(samples)
    assert 4 <= len(held) <= 18
    assert not {one.site for one in learn} & {one.site for one in held}
    fewer = split_fields(samples[::2])[1]
    assert {one.path for one in fewer} == {one.path for one in held} & {one.path for one in samples[::2]}


def test_maps_lie_where_the_field_lies() -> None:
    interior, boundary, distance = paint([SQUARE], (160, 160))
    assert interior.sum() == pytest.approx(80 * 80, rel=0.04)
    assert interior[80, 80] == 1.0
    assert interior[10, 10] == 0.0
    assert boundary.sum() == pytest.approx(4 * 80 * BOUNDARY_PX, rel=0.1)
    assert boundary[80, 40] == 1.0
    assert distance[80, 80] == 1.0
    assert distance[80, 50] == pytest.approx(10 / DISTANCE_PX, abs=0.06)
    assert distance[80, 30] == 0.0
    assert not paint([], (64, 32)).any()


def test_neighbours_have_a_boundary_between_them_though_the_inside_goes_on() -> None:
    other = SQUARE + np.array([80.0, 0.0], dtype=np.float32)
    interior, boundary, distance = paint([SQUARE, other], (240, 160))
    assert interior[80, 100:140].min() == 1.0
    assert boundary[80, 120] == 1.0
    assert distance[80, 120] < 0.1


def test_an_outline_that_stops_short_of_the_image_goes_on_beyond_it() -> None:
    ring = np.array([[2.0, 3.0], [90.0, 2.0], [90.0, 60.0], [1.0, 60.0]], dtype=np.float32)
    moved = carried_over_edge(ring, (160, 160))
    interior, boundary, _ = paint([moved], (160, 160))
    assert interior[0, :80].all()
    assert not boundary[0, 10:80].any()
    assert moved[2].tolist() == [90.0, 60.0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 96, 200]))
def test_a_crop_keeps_shapes_and_shows_mostly_the_image(seed: int, size_px: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = placement((400, 300), size_px, (0.6, 1.7), rng)
    factor = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    assert 0.59 <= factor <= 1.71
    middle = np.linalg.inv(matrix[:, :2]) @ (np.array([size_px / 2, size_px / 2]) - 0.5 - matrix[:, 2]) + 0.5
    assert (middle > 0).all()
    assert (middle < (400, 300)).all()


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    samples = read_fields(field_set(tmp_path / "a", ["41.5--88.8.png", "x.png"]))
    write_picture(tmp_path / "sea" / "empty.png")
    sources = [
        FieldSource(name="fields", samples=samples, share=0.7, scale=(0.9, 1.1)),
        FieldSource(name="sea", samples=without_fields(tmp_path / "sea"), share=0.3),
    ]
    images, maps = FieldMix(sources, 1).batch(3, 96, 5)
    again, same = FieldMix(sources, 1).batch(3, 96, 5)
    assert all((a == b).all() for a, b in zip(images, again, strict=True))
    assert (maps == same).all()
    assert maps.shape == (5, 4, 96, 96)
    assert maps.min() >= 0.0
    assert maps.max() <= 1.0
    assert (FieldMix(sources, 2).batch(3, 96, 5)[1] != maps).any()
    with pytest.raises(TrainingError, match="no source"):
        FieldMix([FieldSource(name="none", samples=[], share=1.0)], 1)


def test_no_ground_of_the_mosaic_is_on_both_sides(tmp_path: Path) -> None:
    columns = range(0, 9000, 384)
    images = [{"id": at, "file_name": f"tile_{x}_0_jpg.rf.a.jpg", "width": TILE_PX, "height": TILE_PX}
              for at, x in enumerate(columns)]  # fmt: skip
    for image in images:
        write_picture(tmp_path / str(image["file_name"]), 16, 16)
    boxes = [{"id": 1, "image_id": 0, "category_id": 0, "bbox": [10, 20, 30, 40]}]
    tree = {"images": images, "annotations": boxes, "categories": [{"id": 0, "name": "palm-tree"}]}
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(tree), encoding="utf-8")
    learn, held = read_palms(tmp_path)
    assert len(learn[0].boxes) == 1
    spans = [[(column_of(one.path), column_of(one.path) + TILE_PX) for one in part] for part in (learn, held)]
    assert all(b <= c or a >= d for a, b in spans[0] for c, d in spans[1])
    assert all(any(first <= a and b <= last for first, last in STRIPS_PX) for a, b in spans[1])
    with pytest.raises(TrainingError, match="tile_COLUMN_ROW"):
        column_of(Path("palm.jpg"))
