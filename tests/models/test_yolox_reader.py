"""The YOLOX reader: rows to boxes, letterbox and back, suppression, and only allowed classes."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import find_models, load_detector
from models.decoders.yolox import YoloxDecoder
from models.description import InputDescription, ModelDescription
from models.detection import make_batch
from models.letterbox import Letterbox, Placement, Reduce
from models.nms import keep_best

BOAT, PERSON, KITE = 8, 0, 33


@pytest.fixture(scope="module")
def description() -> ModelDescription:
    entry = find_models().named("yolox-nano-coco")
    assert entry is not None
    return entry.description


def head(*objects: tuple[int, int, float, float, float, float, int, float]) -> npt.NDArray[np.float32]:
    """An output (1, 3549, 85): objects as column, row, dx, dy, log w, log h, class, score."""
    rows = np.zeros((1, 3549, 85), dtype=np.float32)
    for column, row, dx, dy, log_w, log_h, label, score in objects:
        place = row * 52 + column
        rows[0, place, :5] = (dx, dy, log_w, log_h, 1.0)
        rows[0, place, 5 + label] = score
    return rows


def test_a_row_becomes_its_box_in_the_pixels_of_the_image(description: ModelDescription) -> None:
    placement = Placement(image_size_px=(832, 624), placed_size_px=(416, 312))
    output = head((10, 20, 0.5, 0.25, np.log(4.0), np.log(2.0), BOAT, 0.9))
    batch = YoloxDecoder(description).decode([output], placement)
    # Centre (10.5, 20.25) cells of 8 px, size 4 x 2 cells; twice as large in the image, half a pixel off.
    assert batch.box_px[0] == pytest.approx([136 - 0.5, 308 - 0.5, 200 - 0.5, 340 - 0.5], abs=1e-3)
    assert batch.labels == ("vessel",)
    assert batch.score[0] == pytest.approx(0.9)


def test_people_and_everything_else_that_is_not_allowed_never_leave(description: ModelDescription) -> None:
    placement = Placement(image_size_px=(416, 416), placed_size_px=(416, 416))
    output = head(
        (5, 5, 0, 0, 1, 1, PERSON, 0.99), (9, 9, 0, 0, 1, 1, KITE, 0.99), (30, 30, 0, 0, 1, 1, BOAT, 0.5)
    )
    both = head((5, 5, 0, 0, 1, 1, PERSON, 0.99))
    both[0, 5 * 52 + 5, 5 + BOAT] = 0.9
    assert len(YoloxDecoder(description).decode([output], placement)) == 1
    assert len(YoloxDecoder(description).decode([both], placement)) == 0


def test_hostile_outputs_give_no_infinite_box(description: ModelDescription) -> None:
    placement = Placement(image_size_px=(416, 416), placed_size_px=(416, 416))
    for value in (np.nan, np.inf, -np.inf, 1e30, -1e30):
        output = np.full((1, 3549, 85), value, dtype=np.float32)
        batch = YoloxDecoder(description).decode([output], placement)
        assert np.isfinite(batch.box_px).all()
        assert ((batch.score >= 0) & (batch.score <= 1)).all()
        output[0, :, 4:] = 1.0
        assert np.isfinite(YoloxDecoder(description).decode([output], placement).box_px).all()


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 30)] * 2, st.integers(1, 9), st.integers(0, 2)),
        max_size=25,
    ),
    st.sampled_from([0.3, 0.45, 0.6]),
)
@settings(max_examples=80, deadline=None)
def test_opencv_and_numpy_keep_the_same_boxes_whatever_the_order(
    rows: list[tuple[int, ...]], iou_limit: float
) -> None:
    table = np.array(rows, dtype=np.float32).reshape(-1, 6)
    box = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    score, label = table[:, 4] / np.float32(10), table[:, 5].astype(np.intp)
    ours = keep_best(box, score, label, iou_limit=iou_limit, use_opencv=False)
    theirs = keep_best(box, score, label, iou_limit=iou_limit, use_opencv=True)
    assert box[ours].tolist() == box[theirs].tolist()
    back = np.arange(len(box))[::-1]
    turned = keep_best(box[back], score[back], label[back], iou_limit=iou_limit)
    assert box[back][turned].tolist() == box[theirs].tolist()
    for i, first in enumerate(ours):
        for second in ours[i + 1 :]:
            if label[first] == label[second]:
                assert iou(box[first], box[second]) <= iou_limit + 1e-6


def iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    side = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(side.prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


@given(st.integers(8, 3000), st.integers(8, 3000))
@settings(max_examples=40, deadline=None)
def test_a_box_in_the_letterbox_comes_back_to_where_it_was(width: int, height: int) -> None:
    fit = Letterbox(InputDescription(fit="letterbox", tensor="u8_nhwc", width_px=64, height_px=48))
    tensor, placement = fit.place(np.zeros((height, width, 3), dtype=np.uint8))
    assert tensor.shape == (1, 48, 64, 3)
    placed = np.array([[0.0, 0.0, *placement.placed_size_px]])
    assert placement.to_image(placed)[0] == pytest.approx([-0.5, -0.5, width - 0.5, height - 0.5], abs=1e-3)


def test_the_letterbox_leaves_nothing_of_the_image_before() -> None:
    fit = Letterbox(InputDescription(fit="letterbox", tensor="f32_nchw", width_px=64, height_px=64))
    fit.place(np.full((64, 64, 3), 7, dtype=np.uint8))
    tensor, placement = fit.place(np.full((32, 64, 3), 9, dtype=np.uint8))
    assert placement.placed_size_px == (64, 32)
    assert (tensor[0, :, :32] == 9).all()
    assert (tensor[0, :, 32:] == 114).all()
    assert tensor.dtype == np.float32


def test_channels_are_turned_when_the_network_wants_them_so() -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[:] = (1, 2, 3)
    letterbox = InputDescription(fit="letterbox", tensor="u8_nhwc", channels="rgb", width_px=16, height_px=16)
    reduce = InputDescription(fit="reduce", tensor="u8_hwc", channels="rgb")
    assert Letterbox(letterbox).place(image)[0][0, 0, 0].tolist() == [3, 2, 1]
    assert Reduce(reduce).place(image)[0][0, 0].tolist() == [3, 2, 1]
    assert image[0, 0].tolist() == [1, 2, 3]


def test_a_batch_is_sorted_cut_to_the_image_and_free_of_nonsense() -> None:
    box = np.array(
        [[5, 5, 9, 9], [1, 1, 4, 4], [-9, -9, 99, 99], [50, 50, 60, 60], [np.nan, 0, 1, 1], [3, 3, 2, 2]]
    )
    score = np.array([0.5, 0.5, 0.9, 0.8, 0.9, 0.9])
    batch = make_batch(box, score, np.zeros(6, dtype=np.uint8), ("vessel",), (20, 10))
    assert batch.box_px.tolist() == [[-0.5, -0.5, 19.5, 9.5], [1, 1, 4, 4], [5, 5, 9, 9]]
    assert batch.box_px.dtype == np.float32
    assert batch.label_index.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.real_data
def test_the_public_yolox_nano_finds_boats_from_the_side_and_calls_them_vessels(real_data: Path) -> None:
    detector = load_detector(real_data / "onnx" / "yolox_nano_416_coco.onnx")
    assert detector.labels == ("vessel",)
    images = sorted((real_data / "imagery" / "vessels-sideview").rglob("*.jpg"))[::20]
    found = 0
    for path in images:
        image = cv2.imread(str(path))
        assert image is not None
        batch = detector.detect(np.asarray(image, dtype=np.uint8))
        found += len(batch) > 0
        assert set(batch.label_index.tolist()) <= {0}
    assert found >= 0.7 * len(images)
