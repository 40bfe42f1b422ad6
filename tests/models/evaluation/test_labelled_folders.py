"""COCO, VOC, YOLO and VIA folders say the same; hostile and broken ones are refused by name."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.cli import evaluate
from models.evaluation.dataset import Dataset, map_labels, truth_of
from models.evaluation.reading import read_dataset
from models.evaluation.voc import parse_voc
from models.evaluation.yolo import names_in_yaml, parse_yolo
from skywarden.errors import InputError

BOX = (150.0, 100.0, 166.0, 112.0)


def picture(path: Path, boxes: list[tuple[float, float, float, float]]) -> None:
    noise = np.random.default_rng(1).integers(80, 100, (240, 320, 3), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        noise[round(y0) : round(y1), round(x0) : round(x1)] = (30, 40, 240)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), noise)


def coco(root: Path) -> Path:
    picture(root / "images" / "a.png", [BOX])
    picture(root / "images" / "b.png", [])
    x0, y0, x1, y1 = BOX
    tree = {
        "images": [
            {"id": 1, "file_name": "a.png"},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "../../../etc/passwd"},
        ],
        "categories": [{"id": 5, "name": "boat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [x0, y0, x1 - x0, y1 - y0]}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val.json").write_text(json.dumps(tree), encoding="utf-8")
    return root


def voc(root: Path) -> Path:
    picture(root / "JPEGImages" / "a.png", [BOX])
    picture(root / "JPEGImages" / "b.png", [])
    edges = "".join(f"<{n}>{v:g}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True))
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(
        f"<annotation><filename>a.png</filename><object><name>boat</name><bndbox>{edges}</bndbox></object>"
        "</annotation>",
        encoding="utf-8",
    )
    (root / "Annotations" / "broken.xml").write_text("<annotation>", encoding="utf-8")
    return root


def yolo(root: Path) -> Path:
    picture(root / "images" / "val" / "a.png", [BOX])
    picture(root / "images" / "val" / "b.png", [])
    (root / "labels" / "val").mkdir(parents=True)
    (root / "labels" / "val" / "a.txt").write_text(
        f"1 {158 / 320} {106 / 240} {16 / 320} {12 / 240}\nnonsense\n", encoding="utf-8"
    )
    (root / "data.yaml").write_text(
        "path: .\nval: images/val\nnames:\n  0: buoy\n  1: boat\n", encoding="utf-8"
    )
    return root


def via(root: Path) -> Path:
    picture(root / "images" / "a.png", [BOX])
    x0, y0, x1, y1 = BOX
    shape = {"name": "polygon", "all_points_x": [x0, x1, x1, x0], "all_points_y": [y0, y0, y1, y1]}
    tree = {"a": {"filename": "a.png", "regions": [{"shape_attributes": shape, "region_attributes": {}}]}}
    (root / "via.json").write_text(json.dumps(tree), encoding="utf-8")
    return root


WRITERS = {"coco": coco, "voc": voc, "yolo": yolo, "via": via}


def first_box(dataset: Dataset) -> list[float]:
    mapping = map_labels(dataset.labels, ("vessel",))
    image = next(one for one in dataset.images if one.path.stem == "a")
    return [round(edge, 6) for edge in truth_of(image, mapping, ("vessel",), (320, 240)).box[0].tolist()]


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_the_same_box_is_read_from_every_format(tmp_path: Path, kind: str) -> None:
    dataset = read_dataset(WRITERS[kind](tmp_path))
    assert dataset.kind == kind
    assert first_box(dataset) == pytest.approx(list(BOX), abs=1e-3)
    assert len(dataset.images) == (1 if kind == "via" else 2)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    for kind in ("coco", "voc", "yolo"):
        (tmp_path / kind).mkdir()
    assert read_dataset(coco(tmp_path / "coco")).notes == ("1 of 3 images are not there",)
    assert read_dataset(voc(tmp_path / "voc")).notes == ("1 annotations could not be read",)
    assert read_dataset(yolo(tmp_path / "yolo")).notes == ("1 lines make no sense",)


def test_a_folder_without_any_set_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COCO"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        read_dataset(tmp_path / "absent")


def test_xml_with_entities_is_refused_before_it_is_read() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><annotation>&b;</annotation>'
    with pytest.raises(InputError, match="entities"):
        parse_voc(bomb, "bomb.xml")


@pytest.mark.parametrize(
    "text, names",
    [
        ("names: ['a b', \"c\"]", ("a b", "c")),
        ("nc: 2\nnames: {0: a, 1: b}", ("a", "b")),
        ("names:\n- a\n- b\nnc: 2", ("a", "b")),
        ("names:\n  0: a\n  1: b\n", ("a", "b")),
        ("nc: 2", ()),
    ],
)
def test_class_names_are_read_from_the_usual_ways_of_writing_them(text: str, names: tuple[str, ...]) -> None:
    assert names_in_yaml(text) == names


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_label_files_of_anything_never_raise_but_our_own_errors(data: bytes) -> None:
    parse_yolo(data, ("boat",))
    names_in_yaml(data.decode("utf-8", "replace"))
    with pytest.raises(InputError):
        parse_voc(data + b"<", "any.xml")


def test_classes_map_by_name_by_meaning_or_as_said() -> None:
    assert map_labels(("swimmer", "boat"), ("vessel",)) == {"swimmer": None, "boat": "vessel"}
    assert map_labels(("class 0",), ("vessel",)) == {"class 0": "vessel"}
    assert map_labels(("a", "b"), ("vessel",), {"b": "vessel"}) == {"a": None, "b": "vessel"}
    with pytest.raises(InputError, match="--map"):
        map_labels(("a", "b"), ("vessel",))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coco", "voc", "yolo"])
def test_evaluate_finds_the_box_in_every_format(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    code = evaluate("anomaly", WRITERS[kind](tmp_path), sheet=sheet, json=True)
    tree = json.loads(capsys.readouterr().out)
    assert code == 0
    assert tree["ap50"] == pytest.approx(1.0)
    assert tree["recall_at_1fp"] == 1.0
    assert tree["by_size"]["12_to_24px"]["objects"] == 1
    assert tree["false_alarms"]["images"] == 1
    picture_of_it = cv2.imread(str(sheet))
    assert picture_of_it is not None
    assert picture_of_it.shape[1] == 1024
