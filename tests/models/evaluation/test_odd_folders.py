"""Labelled folders as strangers bring them: other names, other numbers, other sides, half of it missing."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detection import DetectionBatch, make_batch
from models.evaluation.areas import mask_of_rings
from models.evaluation.coco import find_coco
from models.evaluation.dataset import Dataset, map_labels, truth_of
from models.evaluation.reading import read_dataset
from models.evaluation.run import Looked, look_at
from models.evaluation.run_lengths import mask_of_runs, rings_of_runs
from models.evaluation.voc import parse_voc
from models.evaluation.yolo import names_in_yaml, parse_yolo
from skywarden.errors import InputError

BOX = (20.0, 10.0, 36.0, 22.0)
SIZE_PX = (60, 40)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((SIZE_PX[1], SIZE_PX[0], 3), 90, dtype=np.uint8))
    return path


def boxes(dataset: Dataset) -> dict[str, list[list[float]]]:
    """Edges by image, all classes taken as boats."""
    mapping: dict[str, str | None] = dict.fromkeys(dataset.labels, "boat")
    return {
        one.path.stem: np.round(truth_of(one, mapping, ("boat",), SIZE_PX).box, 3).tolist()
        for one in dataset.images
    }


def coco_tree(**changes: object) -> dict[str, object]:
    x0, y0, x1, y1 = BOX
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "categories": [{"id": 7, "name": "boat"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [x0, y0, x1 - x0, y1 - y0]}],
    } | changes


def write_json(path: Path, tree: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8-sig")
    return path


def write_yolo(path: Path, text: str = f"0 {28 / 60} {16 / 40} {16 / 60} {12 / 40}\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8-sig")


def voc_text(objects: str = "", size: str = "") -> str:
    edges = "".join(f"<{n}>{v:g}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True))
    one = f"<object><name>boat</name><bndbox>{edges}</bndbox></object>"
    return f"<annotation>{size}{objects or one}</annotation>"


@pytest.mark.parametrize(
    "image_id, annotation_id, category", [("b7", "b7", "x"), (1, "1", "7"), (1, 1.0, 7.0), ("1", 1, 7)]
)
def test_ids_of_coco_may_be_words_or_numbers_of_either_kind(
    tmp_path: Path, image_id: object, annotation_id: object, category: object
) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    annotation = {"image_id": annotation_id, "category_id": category, "bbox": [20, 10, 16, 12]}
    tree = coco_tree(
        images=[{"id": image_id, "file_name": "a.png"}, {"id": "other", "file_name": "b.png"}],
        categories=[{"id": 7 if category != "x" else "x", "name": "boat"}],
        annotations=[annotation],
    )
    write_json(tmp_path / "set.json", tree)
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("boat",)
    assert boxes(dataset) == {"a": [list(BOX)], "b": []}


@pytest.mark.parametrize(
    "name", ["C:\\sets\\boats\\a.png", "/home/somebody/a.png", "../images/a.png", "sub dir\\a.png"]
)
def test_images_of_coco_are_found_though_the_set_has_moved(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "images" / "a.png")
    write_json(tmp_path / "annotations" / "all.json", coco_tree(images=[{"id": 1, "file_name": name}]))
    assert boxes(read_dataset(tmp_path)) == {"a": [list(BOX)]}


def test_of_cocos_own_files_the_boxes_are_taken_and_not_the_captions(tmp_path: Path) -> None:
    for name in ("captions_val2017", "image_info_test-dev2017", "instances_train2017", "instances_val2017"):
        write_json(tmp_path / "annotations" / f"{name}.json", coco_tree())
    assert find_coco(tmp_path, None) == tmp_path / "annotations" / "instances_val2017.json"
    assert find_coco(tmp_path, "train") == tmp_path / "annotations" / "instances_train2017.json"


def test_coco_in_folders_of_splits_is_found_and_latest_is_no_test(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.png")
        write_json(tmp_path / split / "_annotations.coco.json", coco_tree())
    dataset = read_dataset(tmp_path)
    assert [one.path for one in dataset.images] == [tmp_path / "valid" / "a.png"]
    assert [one.path.parent.name for one in read_dataset(tmp_path, split="train").images] == ["train"]
    write_json(tmp_path / "latest.json", coco_tree())
    assert find_coco(tmp_path, "test") is None
    assert find_coco(tmp_path, "val") == tmp_path / "valid" / "_annotations.coco.json"


def test_what_of_coco_is_left_out_is_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    whole = {"image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 4]}
    spoilt = [whole | {"bbox": [1, 1, 10**400, 4]}, whole | {"bbox": None}, whole | {"image_id": 99}]
    write_json(tmp_path / "set.json", coco_tree(annotations=[whole, *spoilt]))
    dataset = read_dataset(tmp_path)
    assert boxes(dataset) == {"a": [[1, 1, 5, 5]]}
    assert dataset.notes == (
        "2 annotations have neither a box nor an outline",
        "1 annotations are of images that are not listed",
    )


def test_masks_of_coco_become_outlines_that_fill_the_very_same_pixels() -> None:
    mask_api = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(3)
    for _ in range(20):
        mask = (cv2.resize(random.random((7, 9)), (60, 40), interpolation=cv2.INTER_NEAREST) > 0.6).astype(
            np.uint8
        )
        packed = mask_api.encode(np.asfortranarray(mask))
        runs = {"size": packed["size"], "counts": packed["counts"].decode()}
        read = mask_of_runs(runs)
        assert read is not None
        np.testing.assert_array_equal(read, mask)
        rings = [np.array(ring) for ring in rings_of_runs(runs)]
        filled = mask_of_rings(rings, SIZE_PX)
        whole = np.zeros((40, 60), dtype=np.uint8)
        rows, columns = filled.pixels.shape
        whole[filled.top : filled.top + rows, filled.left : filled.left + columns] = filled.pixels
        np.testing.assert_array_equal(whole, mask)


@given(st.text(max_size=40), st.lists(st.integers(-2, 400), max_size=12))
@settings(max_examples=60, deadline=None)
def test_masks_of_anything_are_read_or_not_but_never_break(text: str, runs: list[int]) -> None:
    for counts in (text, runs):
        rings_of_runs({"size": [20, 20], "counts": counts})
        assert rings_of_runs({"size": [10**6, 10**6], "counts": counts}) == []


def test_an_image_whose_voc_file_is_broken_is_no_image_without_objects(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "JPEGImages" / f"{name}.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(voc_text())
    (tmp_path / "Annotations" / "b.xml").write_text(voc_text(objects="<object><name>boat</name></object>"))
    dataset = read_dataset(tmp_path)
    assert boxes(dataset) == {"a": [list(BOX)], "c": []}
    assert dataset.notes == ("1 annotations could not be read",)


def test_the_split_of_a_voc_set_is_what_its_list_names(tmp_path: Path) -> None:
    for name in ("a", "b", "c d"):
        picture(tmp_path / "JPEGImages" / f"{name}.png")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(voc_text())
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\n")
    (lists / "val.txt").write_text("a  1\n\n")
    assert list(boxes(read_dataset(tmp_path))) == ["a"]
    assert list(boxes(read_dataset(tmp_path, split="train"))) == ["b"]
    with pytest.raises(InputError, match="split 'test'"):
        read_dataset(tmp_path, split="test")


def test_voc_in_folders_of_splits_is_found(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a b.png")
        (tmp_path / split / "a b.xml").write_text(voc_text())
    assert [one.path.parent.name for one in read_dataset(tmp_path).images] == ["valid"]


def test_xml_in_another_alphabet_hides_no_document_type() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><annotation>&b;</annotation>'
    with pytest.raises(InputError, match="entities"):
        parse_voc(bomb.encode("utf-16"), "bomb.xml")


@pytest.mark.parametrize(
    "image, label",
    [
        ("images/train2017/a.png", "labels/train2017/a.txt"),
        ("images/val/a.png", "labels/val/a.txt"),
        ("val/images/a.png", "val/labels/a.txt"),
        ("valid/a.png", "valid/a.txt"),
        ("images/a.png", "images/a.txt"),
        ("images/A.PNG", "labels/A.txt"),
        ("a b.c.png", "a b.c.txt"),
        ("odd/place/images/a.png", "odd/place/labels/a.txt"),
    ],
)
def test_yolo_labels_are_found_wherever_trainers_put_them(tmp_path: Path, image: str, label: str) -> None:
    picture(tmp_path / image)
    write_yolo(tmp_path / label)
    (tmp_path / "train2017.txt").write_text("./images/train2017/a.png\n")
    (tmp_path / "data.yaml").write_text("path: ../set\nval: ../odd/place/images # here\nnames: [boat]\n")
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("boat",)
    assert list(boxes(dataset).values()) == [[list(BOX)]]


def test_a_list_of_images_is_no_label_file(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "train.txt").write_text("images/a.png\n")
    with pytest.raises(InputError, match="--kind empty"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("line", ["0 20 10 16 12", "0.5 .5 .5 .1 .1", "nan .5 .5 .1 .1", "0 nan .5 .1 .1"])
def test_yolo_lines_in_pixels_or_of_half_a_class_make_no_sense(line: str) -> None:
    assert parse_yolo(line.encode(), ("boat",)) == ((), 1)


@pytest.mark.parametrize(
    "text, names",
    [
        ("names:\n  1: b # the second\n  0: a\n", ("a", "b")),
        ("names: {2: c, 0: 'a, b'}", ("a, b", "class 1", "c")),
        ("names: [\"a, b\", 'c]', d # e\n]", ("a, b", "c]", "d # e")),
        ("names:\n- 'a # b'\n- c\n", ("a # b", "c")),
        ("names:\n  999999999: a\n", ()),
    ],
)
def test_class_names_keep_their_numbers_and_their_commas(text: str, names: tuple[str, ...]) -> None:
    assert names_in_yaml(text) == names


class Seer:
    """Notes the sizes of what it is shown, and finds nothing."""

    model_id, labels = "seer:0", ("vessel",)

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def detect(self, image: np.ndarray) -> DetectionBatch:
        self.sizes.append((image.shape[1], image.shape[0]))
        none = np.zeros(0, dtype=np.float32)
        return make_batch(none.reshape(0, 4), none, none.astype(np.intp), self.labels, self.sizes[-1])


def looked_at(folder: Path, seer: Seer) -> Looked:
    return look_at(seer, read_dataset(folder))  # type: ignore[arg-type]  # a Seer only detects


def test_a_turned_photograph_is_seen_as_it_was_labelled(tmp_path: Path) -> None:
    path = picture(tmp_path / "JPEGImages" / "a.jpg")
    data = path.read_bytes()
    # EXIF with one entry: orientation 6, a quarter turn to the right.
    note = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note + data[2:])
    annotation = tmp_path / "Annotations" / "a.xml"
    annotation.parent.mkdir()
    for said, shown in ((None, (40, 60)), ((40, 60), (40, 60)), ((60, 40), (60, 40)), ((0, 0), (40, 60))):
        size = "" if said is None else f"<size><width>{said[0]}</width><height>{said[1]}</height></size>"
        annotation.write_text(voc_text(size=size))
        seer = Seer()
        assert looked_at(tmp_path, seer).notes == []
        assert seer.sizes == [shown]


def test_labels_of_another_size_and_classes_left_out_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 1920, "height": 1080}
    kinds = [{"id": 7, "name": "boat"}, {"id": 8, "name": "buoy"}]
    told = [{"image_id": 1, "category_id": kind["id"], "bbox": [1, 1, 4, 4]} for kind in kinds]
    write_json(tmp_path / "set.json", coco_tree(images=[image], categories=kinds, annotations=told))
    assert looked_at(tmp_path, Seer()).notes == [
        "classes that are none of the model's: buoy",
        "1 images are not of the size of their labels: a.png is 60 x 40, labelled as 1920 x 1080",
    ]


def test_classes_of_two_words_are_vessels_when_the_last_word_is() -> None:
    mapping = map_labels(("fishing boat", "Cargo-Ship", "boat house", "swimmer"), ("vessel",))
    assert mapping == {"fishing boat": "vessel", "Cargo-Ship": "vessel", "boat house": None, "swimmer": None}


def test_a_crowd_of_another_class_hides_no_false_alarm_but_a_place_where_nobody_looked_does(
    tmp_path: Path,
) -> None:
    picture(tmp_path / "a.png")
    kinds = [{"id": 7, "name": "boat"}, {"id": 8, "name": "person"}, {"id": 9, "name": "DontCare"}]
    told = [
        {"image_id": 1, "category_id": kind["id"], "bbox": [1, 1, 4, 4], "iscrowd": crowd}
        for kind, crowd in zip(kinds, (1, 1, 0), strict=True)
    ]
    write_json(tmp_path / "set.json", coco_tree(categories=kinds, annotations=told))
    dataset = read_dataset(tmp_path)
    truth = truth_of(dataset.images[0], map_labels(dataset.labels, ("vessel",)), ("vessel",), SIZE_PX)
    assert truth.label_index.tolist() == [0, -1]
    assert truth.is_ignored.tolist() == [True, True]
