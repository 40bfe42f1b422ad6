"""Every way of writing boxes down: the same box comes out, people never do, nonsense hurts nobody."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from described import described
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.decoders import DECODERS, make_decoder
from models.decoders.candidates import grid
from models.letterbox import Placement
from models.session import TensorSpec
from skywarden.errors import ModelError

F32 = npt.NDArray[np.float32]
PERSON, BOAT, BUOY = 0, 1, 2
EDGES = (16.0, 24.0, 32.0, 40.0)
PLACEMENT = Placement(image_size_px=(128, 128), placed_size_px=(64, 64), tensor_size_px=(64, 64))


def logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))


def yolov5(cls: int, score: float) -> list[F32]:
    rows = np.zeros((1, 5, 8), dtype=np.float32)
    rows[0, 3, :5] = (24, 32, 16, 16, 1.0)
    rows[0, 3, 5 + cls] = score
    return [rows]


def yolov8(cls: int, score: float) -> list[F32]:
    lines = np.zeros((1, 7, 5), dtype=np.float32)
    lines[0, :4, 3] = (24, 32, 16, 16)
    lines[0, 4 + cls, 3] = score
    return [lines]


def yolox(cls: int, score: float) -> list[F32]:
    rows = np.zeros((1, 84, 8), dtype=np.float32)
    rows[0, 4 * 8 + 3, :5] = (0.0, 0.0, np.log(2.0), np.log(2.0), 1.0)  # cell 3, 4 of 8 px: 24, 32
    rows[0, 4 * 8 + 3, 5 + cls] = score
    return [rows]


def end_to_end(cls: int, score: float) -> list[F32]:
    rows = np.zeros((1, 4, 6), dtype=np.float32)
    rows[0, 2] = (*EDGES, score, cls)
    return [rows]


def detr(cls: int, score: float) -> list[F32]:
    scores = np.full((1, 6, 3), -20.0, dtype=np.float32)
    boxes = np.full((1, 6, 4), 0.5, dtype=np.float32)
    boxes[0, 4] = np.array([24, 32, 16, 16]) / 64
    scores[0, 4, cls] = logit(score)
    return [scores, boxes]


def gfl(cls: int, score: float) -> list[F32]:
    cells, _ = grid((64, 64), (8, 16, 32, 64))
    at = 2 * 8 + 3  # the middle of cell 3, 2: 28, 20
    counts = [64, 16, 4, 1]
    scores = np.zeros((len(cells), 3), dtype=np.float32)
    sides = np.zeros((len(cells), 4, 8), dtype=np.float32)
    scores[at, cls] = score
    # 12 px left (1.5 strides), 4 px up (of 20 to 16), 20 right, 4 px down; each between two bins
    for side, distance in enumerate((1.5, 0.5, 0.5, 0.5)):
        low = int(distance)
        share = np.full(8, 1e-9)
        share[low] += 1.0 - (distance - low)
        share[low + 1] += distance - low
        sides[at, side] = np.log(share)
    splits = np.cumsum(counts)[:-1]
    parts = [part[None] for part in np.split(scores, splits)]
    return parts + [part.reshape(1, -1, 32) for part in np.split(sides, splits)]


def fastestdet(cls: int, score: float) -> list[F32]:
    out = np.zeros((1, 8, 4, 4), dtype=np.float32)
    out[0, 0, 2, 1] = 1.0
    out[0, 5 + cls, 2, 1] = score ** (1 / 0.4)
    # cell 1, 2 of 16 px; centre 24, 32: half a cell right, none down
    out[0, 1, 2, 1], out[0, 2, 2, 1] = np.arctanh(0.5), 0.0
    out[0, 3:5, 2, 1] = logit(0.25)
    return [out]


WRITERS = {
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolox": yolox,
    "end_to_end": end_to_end,
    "detr": detr,
    "gfl": gfl,
    "fastestdet": fastestdet,
}
DUE = {name: np.array(EDGES) * 2 - 0.5 for name in WRITERS} | {
    "gfl": np.array([16.0, 16.0, 32.0, 24.0]) * 2 - 0.5
}


def reader(decode: str, **changes: Any) -> Any:
    more: dict[str, Any] = {"yolox": {"strides": [8, 16, 32]}} if decode == "yolox" else {}
    return make_decoder(described(decode, **more, **changes))


def specs(outputs: Sequence[F32]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=f"out{at}", dtype="float32", shape=output.shape) for at, output in enumerate(outputs)
    )


@pytest.mark.parametrize("decode", sorted(WRITERS))
def test_a_written_box_is_read_back_in_the_pixels_of_the_image(decode: str) -> None:
    outputs = WRITERS[decode](BOAT, 0.8)
    decoder = reader(decode)
    decoder.check_outputs(specs(outputs), "made.onnx")
    batch = decoder.decode(outputs, PLACEMENT)
    assert len(batch) == 1
    assert batch.box_px[0] == pytest.approx(DUE[decode], abs=0.05)
    assert batch.score[0] == pytest.approx(0.8, abs=1e-3)
    assert batch.labels[batch.label_index[0]] == "vessel"


@pytest.mark.parametrize("decode", sorted(WRITERS))
def test_people_never_leave_and_neither_does_what_scores_too_little(decode: str) -> None:
    decoder = reader(decode)
    decoder.check_outputs(specs(WRITERS[decode](BOAT, 0.8)), "made.onnx")
    assert len(decoder.decode(WRITERS[decode](PERSON, 0.99), PLACEMENT)) == 0
    assert len(decoder.decode(WRITERS[decode](BOAT, 0.29), PLACEMENT)) == 0
    buoy = decoder.decode(WRITERS[decode](BUOY, 0.5), PLACEMENT)
    assert buoy.labels[buoy.label_index[0]] == "buoy"


@pytest.mark.parametrize("decode", sorted(WRITERS))
def test_outputs_of_another_size_are_refused_with_both_named(decode: str) -> None:
    decoder = reader(decode)
    outputs = WRITERS[decode](BOAT, 0.8)
    wrong = [np.zeros((*output.shape[:-1], output.shape[-1] + 3), dtype=np.float32) for output in outputs]
    if decode == "yolov8":
        wrong = [np.zeros((1, 9, 5), dtype=np.float32)]
    if decode == "fastestdet":
        wrong = [np.zeros((1, 9, 4, 4), dtype=np.float32)]
    with pytest.raises(ModelError, match=r"made\.onnx: outputs are out0"):
        decoder.check_outputs(specs(wrong), "made.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("decode", sorted(WRITERS))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_numbers_that_make_no_sense_give_only_boxes_within_the_image(
    decode: str, data: st.DataObject
) -> None:
    decoder = reader(decode)
    outputs = WRITERS[decode](BOAT, 0.8)
    decoder.check_outputs(specs(outputs), "made.onnx")
    numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)
    noise = [data.draw(arrays(np.float32, (min(20, output.size),), elements=numbers)) for output in outputs]
    for output, part in zip(outputs, noise, strict=True):
        output.reshape(-1)[-len(part) :] = part
    with np.errstate(all="ignore"):
        batch = decoder.decode(outputs, PLACEMENT)
    assert np.isfinite(batch.box_px).all()
    assert (batch.box_px >= -0.5).all()
    assert (batch.box_px <= 127.5).all()
    assert ((batch.score >= 0.0) & (batch.score <= 1.0)).all()
    assert set(batch.label_index.tolist()) <= {0, 1}


def test_doubles_are_suppressed_within_a_label_only() -> None:
    rows = np.zeros((1, 3, 8), dtype=np.float32)
    rows[0, :, :5] = (24, 32, 16, 16, 1.0)
    rows[0, 0, 5 + BOAT], rows[0, 1, 5 + BOAT], rows[0, 2, 5 + BUOY] = 0.9, 0.8, 0.7
    batch = reader("yolov5").decode([rows], PLACEMENT)
    assert [batch.labels[at] for at in batch.label_index] == ["vessel", "buoy"]


def test_networks_that_settle_overlaps_themselves_are_left_alone() -> None:
    rows = np.array([[[*EDGES, 0.9, BOAT], [*EDGES, 0.8, BOAT], [*EDGES, 0.8, 7]]], dtype=np.float32)
    assert len(reader("end_to_end").decode([rows], PLACEMENT)) == 2


def test_end_to_end_rows_may_stand_in_another_order() -> None:
    order = ["batch", "x0", "y0", "x1", "y1", "class", "score"]
    decoder = reader("end_to_end", end_to_end={"columns": order})
    rows = np.array([[0, *EDGES, BOAT, 0.9]], dtype=np.float32)
    decoder.check_outputs(specs([rows]), "made.onnx")
    assert decoder.decode([rows], PLACEMENT).box_px[0] == pytest.approx(DUE["end_to_end"])
    with pytest.raises(ModelError, match="columns"):
        described("end_to_end", end_to_end={"columns": ["x0", "y0", "x1", "y1", "score", "score"]})


def test_a_transformer_with_softmax_has_a_class_for_nothing() -> None:
    scores = np.full((1, 2, 4), -10.0, dtype=np.float32)
    scores[0, 0, BOAT], scores[0, 1, 3] = 10.0, 10.0
    boxes = np.tile(np.array([24, 32, 16, 16]) / 64, (1, 2, 1)).astype(np.float32)
    decoder = reader("detr", detr={"activation": "softmax"})
    decoder.check_outputs(specs([scores, boxes]), "made.onnx")
    assert len(decoder.decode([scores, boxes], PLACEMENT)) == 1


def test_yolox_whose_boxes_are_decoded_inside_needs_no_grid() -> None:
    outputs = yolox(BOAT, 0.8)
    outputs[0][0, 35, :4] = (24, 32, 16, 16)
    decoder = make_decoder(described("yolox", yolox={"is_decoded": True}))
    assert decoder.decode(outputs, PLACEMENT).box_px[0] == pytest.approx(DUE["yolox"])


def test_a_network_of_free_size_is_read_by_the_size_that_it_got() -> None:
    free = {"fit": "scale", "tensor": "u8_nhwc", "scale": 2.0, "multiple_px": 32}
    decoder = make_decoder(described("yolox", yolox={}, input=free))
    placement = Placement(image_size_px=(30, 14), placed_size_px=(60, 28), tensor_size_px=(64, 32))
    rows = np.zeros((1, 8 * 4 + 4 * 2 + 2, 8), dtype=np.float32)
    rows[0, 8 + 3, :5] = (0.0, 0.0, np.log(2.0), np.log(2.0), 1.0)
    rows[0, 8 + 3, 5 + BOAT] = 0.9
    batch = decoder.decode([rows], placement)
    assert batch.box_px[0] == pytest.approx([7.5, -0.5, 15.5, 7.5])


def test_a_classifier_speaks_of_the_whole_image() -> None:
    decoder = make_decoder(described("classify"))
    placement = Placement(image_size_px=(100, 50), placed_size_px=(64, 32))
    batch = decoder.decode([np.array([[0.1, 0.7, 0.2]], dtype=np.float32)], placement)
    assert batch.box_px.tolist() == [[-0.5, -0.5, 99.5, 49.5]]
    assert len(decoder.decode([np.array([[0.9, 0.8, 0.2]], dtype=np.float32)], placement)) == 0


def test_every_reader_has_a_name_in_the_description_and_the_other_way_round() -> None:
    assert set(WRITERS) | {"anomaly", "segment", "classify"} == set(DECODERS)
