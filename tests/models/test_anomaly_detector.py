"""The anomaly detector finds what stands out, where it is, and stays quiet otherwise."""

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.anomaly.post import RegionRules, boxes_from_maps
from models.catalogue import ZOO, load_detector
from models.network import NetworkDetector
from skywarden.errors import InputError
from skywarden.messages import Detections

U8 = npt.NDArray[np.uint8]

PANEL_A = {
    "004640": (677, 39),
    "004736": (744, 123),
    "004828": (717, 217),
    "004918": (672, 361),
    "005009": (701, 415),
    "005094": (615, 526),
    "005163": (518, 612),
    "005238": (463, 697),
    "005336": (510, 824),
    "005427": (531, 979),
    "005506": (422, 1061),
}


@pytest.fixture(scope="module")
def detector() -> NetworkDetector:
    return load_detector("anomaly")


def ground(width: int = 640, height: int = 480, level: int = 90, seed: int = 1) -> U8:
    """Noisy ground of one colour that gets brighter to the right."""
    noise = np.random.default_rng(seed).normal(0.0, 4.0, (height, width, 3))
    slope = np.linspace(-15.0, 15.0, width)[None, :, None]
    return np.clip(level + slope + noise + np.array([-10, 5, 0]), 0, 255).astype(np.uint8)


def centre_of(box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (box[:2] + box[2:]) / 2


def test_the_file_in_the_zoo_is_what_the_builder_makes_byte_for_byte() -> None:
    pytest.importorskip("onnx")
    from models.anomaly.build import build

    assert build().SerializeToString(deterministic=True) == (ZOO / "anomaly" / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    "colour", [(250, 250, 250), (10, 10, 10), (30, 30, 220), (230, 140, 20), (20, 210, 230)], ids=str
)
@pytest.mark.parametrize("width", [640, 1920], ids=["as it is", "reduced"])
def test_a_small_object_of_any_striking_colour_is_found_within_two_pixels(
    detector: NetworkDetector, colour: tuple[int, int, int], width: int
) -> None:
    image = ground(width, width * 3 // 4)
    image[203:213, 311:323] = colour
    batch = detector.detect(image)
    assert len(batch) == 1
    assert batch.labels == ("anomaly",)
    assert centre_of(batch.box_px[0]) == pytest.approx([316.5, 207.5], abs=2.0)
    assert batch.box_px[0] == pytest.approx([310.5, 202.5, 322.5, 212.5], abs=2.1)
    assert batch.score[0] > 0.7


def test_a_large_object_is_one_box(detector: NetworkDetector) -> None:
    image = ground(1280, 960)
    cv2.rectangle(image, (600, 400), (760, 460), (235, 235, 225), -1)
    batch = detector.detect(image)
    assert len(batch) == 1
    assert batch.box_px[0] == pytest.approx([599.5, 399.5, 760.5, 460.5], abs=17.0)


def test_ground_without_objects_gives_nothing(detector: NetworkDetector) -> None:
    for seed in range(3):
        assert len(detector.detect(ground(seed=seed))) == 0
    assert len(detector.detect(np.full((480, 640, 3), 128, dtype=np.uint8))) == 0
    static = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert len(detector.detect(static)) == 0


def test_texture_raises_its_own_threshold(detector: NetworkDetector) -> None:
    """A hundred bright specks all over are the ground's texture; the same speck alone is an object."""
    alone, many = ground(), ground()
    places = np.random.default_rng(5).integers(20, 440, (400, 2))
    for x, y in places:
        cv2.rectangle(many, (int(x), int(y)), (int(x) + 2, int(y) + 2), (150, 150, 150), -1)
    cv2.rectangle(alone, (300, 200), (303, 203), (150, 150, 150), -1)
    assert len(detector.detect(alone)) == 1
    assert len(detector.detect(many)) < 10


@pytest.mark.parametrize("size", [(8, 8), (33, 17), (129, 127), (640, 9), (9, 640), (1279, 721)])
def test_every_image_size_is_taken(detector: NetworkDetector, size: tuple[int, int]) -> None:
    batch = detector.detect(ground(*size))
    assert np.isfinite(batch.box_px).all()
    assert (batch.box_px >= -0.5).all()
    assert (batch.box_px[:, 2:] <= np.array(size) - 0.5).all()


def test_the_same_image_gives_the_same_bytes_also_from_a_new_session(detector: NetworkDetector) -> None:
    image = ground()
    image[100:110, 100:110] = 250
    first, again, other = (d.detect(image) for d in (detector, detector, load_detector("anomaly")))
    assert first.box_px.tobytes() == again.box_px.tobytes() == other.box_px.tobytes()
    assert first.score.tobytes() == again.score.tobytes() == other.score.tobytes()


def test_what_comes_out_fits_the_message(detector: NetworkDetector) -> None:
    image = ground()
    image[100:110, 100:110] = 250
    batch = detector.detect(image)
    assert re.fullmatch(r"anomaly:[0-9a-f]{16}", detector.model_id)
    message = Detections(
        platform_id="p",
        sortie_id="s",
        sensor_id="eo",
        frame_number=1,
        time_ns=1,
        model_id=detector.model_id,
        labels=batch.labels,
        box_px_f32=batch.box_px.tobytes(),
        score_f32=batch.score.tobytes(),
        label_index_u8=batch.label_index.tobytes(),
    )
    assert (message.box_px == batch.box_px).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), dtype=np.uint8),
        np.zeros((480, 640, 4), dtype=np.uint8),
        np.zeros((480, 640, 3), dtype=np.uint16),
        np.zeros((4, 640, 3), dtype=np.uint8),
        np.zeros((8, 20_000, 3), dtype=np.uint8),
    ],
    ids=["grey", "four channels", "16 bit", "flat", "wide"],
)
def test_what_is_no_image_is_refused_with_its_shape(detector: NetworkDetector, image: U8) -> None:
    with pytest.raises(InputError, match=r"uint8|px"):
        detector.detect(image)


def test_a_map_with_values_that_are_no_numbers_gives_only_what_is_sound() -> None:
    rules = RegionRules(threshold=0.6, grow_threshold=0.35, min_area=3, max_side_share=0.5, max_boxes=10)
    score_map = np.full((64, 64), np.nan, dtype=np.float32)
    score_map[10:14, 20:25] = 0.9
    box, score = boxes_from_maps([score_map, np.zeros((16, 16), dtype=np.float32)], (1, 4), rules)
    assert box.tolist() == [[20.0, 10.0, 25.0, 14.0]]
    assert score == pytest.approx([0.9])


@pytest.mark.real_data
@pytest.mark.slow
def test_panel_a_of_the_real_flight_is_found_in_every_frame_with_few_others(
    detector: NetworkDetector, real_data: Path
) -> None:
    counts = []
    for path in sorted((real_data / "recordings" / "cuav-2018").glob("*.jpg")):
        image = cv2.imread(str(path))
        assert image is not None
        batch = detector.detect(np.asarray(image, dtype=np.uint8))
        counts.append(len(batch))
        place = PANEL_A.get(path.stem[10:16])
        if place is None:
            continue
        off = [float(np.hypot(*(centre_of(box) - place))) for box in batch.box_px]
        best = int(np.argmin(off))
        # The marks of the data's description are the panel's brightest corner, up to 4.3 px from its middle.
        assert off[best] < 5.0, path.name
        assert batch.score[best] > 0.9, path.name
        assert (batch.box_px[best, 2:] - batch.box_px[best, :2] <= 18.0).all()
    assert len(counts) == 18
    assert np.median(counts) <= 4
