"""Training data: readers of COCO, YOLO, VOC and renders, splits by site, crops, mosaics, pasted boats."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.augment import View, disturb, draw_crop, mosaic
from models.training.errors import TrainingError
from models.training.mix import Mix, Source, cut_out, with_objects, without_objects
from models.training.readers import read_coco, read_plain, read_render, read_voc, read_yolo, write_coco
from models.training.sample import IGNORED, Sample, read_image
from models.training.splits import sites_by_likeness, split_by_site

VOC = """<annotation><size><width>{w}</width><height>{h}</height></size><object><name>boat</name>
<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>{x1}</xmax><ymax>40</ymax></bndbox></object>
<object><name>buoy</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"""


def _picture(seed: int = 0, size: tuple[int, int] = (80, 100)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (8, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _write(folder: Path, name: str, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), _picture(seed))
    return folder / name


def test_a_voc_box_is_read_and_cut_at_the_image(tmp_path: Path) -> None:
    _write(tmp_path / "images", "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.xml").write_text(VOC.format(w=100, h=80, x1=500))
    (sample,) = read_voc(tmp_path / "images", tmp_path / "labels", {"boat": 0})
    assert sample.boxes.tolist() == [[10, 20, 100, 40]]
    assert sample.classes.tolist() == [0]


def test_yolo_boxes_and_polygons_become_boxes_and_outlines(tmp_path: Path) -> None:
    _write(tmp_path / "images", "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(
        "0 0.5 0.5 0.2 0.25\n1 0.1 0.1 0.3 0.1 0.2 0.5\n2 0.5 0.5 1 1\n"
    )
    (sample,) = read_yolo(
        tmp_path / "images", tmp_path / "labels", ["boat", "ship", "person"], {"boat": 0, "ship": IGNORED}
    )
    assert np.allclose(sample.boxes, [[40, 30, 60, 50], [10, 8, 30, 40]])
    assert sample.classes.tolist() == [0, IGNORED]
    assert sample.outlines[0] is None
    assert sample.outlines[1] is not None


def test_coco_survives_writing_and_reading(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.png")
    made = Sample(path=path, boxes=np.array([[1, 2, 30, 40]], np.float32), classes=np.array([0]), site="x")
    write_coco([made], ["vessel"], tmp_path / "set.json")
    (back,) = read_coco(tmp_path, tmp_path / "set.json", {"vessel": 0})
    assert back.boxes.tolist() == made.boxes.tolist()


def test_a_coco_file_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "../a.png", "width": 10, "height": 10}]
    (tmp_path / "set.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    (tmp_path / "in").mkdir()
    with pytest.raises(TrainingError, match="leads out"):
        read_coco(tmp_path / "in", tmp_path / "set.json", {})


def test_hardly_visible_things_in_a_render_are_ignored(tmp_path: Path) -> None:
    _write(tmp_path / "frames", "000007.png")
    seen = [{"label": "vessel", "box_px": [1, 2, 9, 8], "visibility": v} for v in (0.9, 0.1)]
    seen.append({"label": "plot", "box_px": [1, 2, 9, 8], "visibility": 1.0})
    (tmp_path / "truth.jsonl").write_text(json.dumps({"frame_number": 7, "objects": seen}) + "\n")
    (sample,) = read_render(tmp_path, {"vessel": 0})
    assert sample.classes.tolist() == [0, IGNORED]
    assert sample.boxes[0].tolist() == [1.5, 2.5, 9.5, 8.5]


@pytest.mark.slow
@given(st.text(max_size=200))
def test_any_text_is_a_yolo_file_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "yolo"
    if not (folder / "images" / "a.png").is_file():
        _write(folder / "images", "a.png")
        (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text(text, encoding="utf-8")
    try:
        (sample,) = read_yolo(folder / "images", folder / "labels", ["boat"], {"boat": 0})
    except TrainingError:
        return
    assert (sample.boxes >= 0).all()


@pytest.mark.parametrize(
    "text", ["", "<a>", "<!DOCTYPE x><a/>", VOC.format(w=-1, h=80, x1=50), "<annotation/>"]
)
def test_a_broken_annotation_is_refused_by_name(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "images", "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.xml").write_text(text)
    with pytest.raises(TrainingError, match=r"a\.xml"):
        read_voc(tmp_path / "images", tmp_path / "labels", {"boat": 0})


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match="no image"):
        read_image(tmp_path / "a.png")


def test_a_split_never_cuts_through_a_site_and_moves_nothing_when_sites_are_added() -> None:
    samples = [Sample(path=Path(f"{at}.png"), site=f"s{at // 5}") for at in range(500)]
    learn, held = split_by_site(samples, 0.2, "seed")
    assert not {s.site for s in learn} & {s.site for s in held}
    assert 0.1 < len(held) / 500 < 0.3
    more = [*samples, *(Sample(path=Path(f"n{at}.png"), site=f"n{at}") for at in range(50))]
    assert {s.site for s in held} <= {s.site for s in split_by_site(more, 0.2, "seed")[1]}


def test_turned_and_mirrored_doubles_are_one_site(tmp_path: Path) -> None:
    image = _picture(1, (90, 90))
    versions = [
        image,
        np.rot90(image),
        image[:, ::-1],
        np.clip(image * 0.8 + 9, 0, 255),
        _picture(2, (90, 90)),
    ]
    samples = []
    for at, version in enumerate(versions):
        cv2.imwrite(str(tmp_path / f"{at}.png"), np.ascontiguousarray(version).astype(np.uint8))
        samples.append(Sample(path=tmp_path / f"{at}.png"))
    assert sites_by_likeness(samples) == ["0", "0", "0", "0", "4"]


@given(st.integers(0, 2**32), st.booleans())
def test_a_crop_keeps_a_bright_boat_inside_its_box(seed: int, is_overhead: bool) -> None:
    image = np.full((200, 300, 3), 40, dtype=np.uint8)
    cv2.ellipse(image, (160, 100), (30, 10), 0, 0, 360, (250, 250, 250), -1)
    view = View(long_side_px=(200, 900), is_overhead=is_overhead, near_object=1.0)
    crop, boxes, classes = draw_crop(
        image,
        np.array([[130, 90, 191, 111]], np.float32),
        np.array([0]),
        128,
        view,
        np.random.default_rng(seed),
    )
    bright = np.argwhere(crop[:, :, 0] > 200)
    if not len(bright):
        return
    assert len(boxes) == 1
    low, high = bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1
    assert (boxes[0, :2] <= low + 2).all()
    assert (boxes[0, 2:] >= high - 2).all()
    if classes[0] == 0:
        assert (np.abs(boxes[0, :2] - low) < 16).all()


def test_a_mosaic_puts_each_part_and_its_boxes_in_its_quarter() -> None:
    part = (np.full((90, 90, 3), 9, np.uint8), np.array([[1, 1, 20, 20]], np.float32), np.array([0]))
    image, boxes, classes = mosaic([part] * 4, 128, np.random.default_rng(0))
    assert image.shape == (128, 128, 3)
    assert (image == 9).mean() > 0.95
    assert len(boxes) == 4
    assert classes.tolist() == [0] * 4
    assert boxes.min() >= 0
    assert boxes.max() <= 128


def test_what_air_and_cameras_do_leaves_an_image_of_the_same_shape() -> None:
    image = _picture(3, (64, 64))
    seen = [disturb(image, np.random.default_rng(seed)) for seed in range(60)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in seen)
    assert len({one.tobytes() for one in seen}) == 60


def _source(tmp_path: Path, pasted: tuple[Sample, ...] = ()) -> Source:
    path = _write(tmp_path, "sea.png")
    boat = Sample(path=path, boxes=np.array([[10, 10, 30, 20]], np.float32), classes=np.array([0]))
    samples = [boat, Sample(path=path)]
    return Source(name="x", samples=samples, share=1.0, view=View(long_side_px=(80, 200)), pasted=pasted)


def test_the_same_seed_and_step_give_the_same_batch(tmp_path: Path) -> None:
    one, two = Mix([_source(tmp_path)], 5), Mix([_source(tmp_path)], 5)
    one.batch(1, 64, 3, 0.5)
    first, second = one.batch(2, 64, 3, 0.5), two.batch(2, 64, 3, 0.5)
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first[1], second[1], strict=True))


def test_pasted_boats_bring_their_boxes(tmp_path: Path) -> None:
    outline = np.array([[10, 10], [40, 10], [40, 30], [10, 30]], np.float32)
    donor = Sample(
        path=_write(tmp_path, "ship.png", 4),
        boxes=np.array([[10, 10, 40, 30]], np.float32),
        classes=np.array([0]),
        outlines=(outline,),
    )
    source = _source(tmp_path, (donor,))
    mix = Mix([Source(name="y", samples=[source.samples[1]], share=1, view=source.view, pasted=(donor,))], 1)
    counts = [len(mix.crop(96, np.random.default_rng(seed))[1]) for seed in range(30)]
    assert max(counts) > 0
    piece, cover = cut_out(_picture(4), outline, 15, np.random.default_rng(0))
    assert piece.shape[:2] == cover.shape == (10, 15)


def test_a_mix_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 samples"):
        Mix([Source(name="z", samples=[], share=1.0, view=View())], 1)


def test_empty_and_full_samples_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path, "a.png")
    plain = read_plain(tmp_path)
    ignored = Sample(path=tmp_path / "a.png", boxes=np.ones((1, 4), np.float32), classes=np.array([IGNORED]))
    assert without_objects([*plain, ignored]) == plain
    assert with_objects([*plain, ignored]) == []
