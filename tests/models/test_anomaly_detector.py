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
    return np.asarray(np.clip(level + slope + noise + np.array([-10, 5, 0]), 0, 255), dtype=np.uint8)


def centre_of(box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((box[:2] + box[2:]) / 2, dtype=np.float32)


def test_the_file_in_the_zoo_is_what_the_builder_makes_byte_for_byte() -> None:
    pytest.importorskip("onnx")
    from models.anomaly.build import build

    assert build().SerializeToString(deterministic=True) == (ZOO / "anomaly" / "model.onnx").read_bytes()


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_large_object_is_one_box(detector: NetworkDetector) -> None:
    image = ground(1280, 960)
    cv2.rectangle(image, (600, 400), (760, 460), (235, 235, 225), -1)
    batch = detector.detect(image)
    assert len(batch) == 1
    assert batch.box_px[0] == pytest.approx([599.5, 399.5, 760.5, 460.5], abs=17.0)


def woodland(width: int = 960, height: int = 544, seed: int = 4) -> U8:
    """Crowns of many greens, 8 to 24 px wide."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), (30, 48, 34), dtype=np.uint8)
    for x, y, radius, shade in random.integers((0, 0, 4, -14), (width, height, 12, 14), (9000, 4)):
        cv2.circle(
            image, (int(x), int(y)), int(radius), (36 + int(shade), 66 + int(shade), 44 + int(shade)), -1
        )
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0), dtype=np.uint8)


def overlap(a: npt.NDArray[np.float32], b: tuple[float, float, float, float]) -> float:
    """Shared area by joint area of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / (float(np.prod(a[2:] - a[:2])) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize(
    ("side", "has_road"),
    [(44, False), (64, False), (90, False), (130, False), (44, True), (64, True), (90, True)],
)
def test_a_field_in_woodland_is_one_box_whatever_its_size_also_beside_a_road(
    detector: NetworkDetector, side: int, has_road: bool
) -> None:
    image = woodland()
    x, y = 420, 210
    image[y : y + side, x : x + side] = np.where(np.arange(side)[:, None, None] // 3 % 2, 150, 120)
    if has_road:
        cv2.line(image, (700, 0), (860, 543), (120, 150, 175), 12)
    batch = detector.detect(image)
    shares = [overlap(box, (x, y, x + side, y + side)) for box in batch.box_px]
    assert max(shares) > 0.6
    assert sum(share > 0.05 for share in shares) == 1


def test_a_hut_beside_a_field_keeps_a_box_of_its_own(detector: NetworkDetector) -> None:
    image = woodland()
    image[210:300, 420:510] = (110, 150, 160)
    image[160:174, 450:474] = (225, 230, 235)
    batch = detector.detect(image)
    assert max(overlap(box, (420, 210, 510, 300)) for box in batch.box_px) > 0.6
    assert max(overlap(box, (450, 160, 474, 174)) for box in batch.box_px) > 0.5


@pytest.mark.parametrize("heading_deg", [0.0, 25.0, 90.0, 200.0])
def test_a_boat_at_the_head_of_its_wake_is_boxed_without_the_wake(
    detector: NetworkDetector, heading_deg: float
) -> None:
    image = ground(960, 720, level=70)
    bow = np.array([480.0, 360.0])
    ahead = np.array([np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg))])
    for step in range(150, 8, -1):
        foam = 125 - step // 4
        x, y = (bow - ahead * step).round().astype(int).tolist()
        cv2.circle(image, (x, y), 2 + step // 40, (foam, foam, foam - 5), -1)
    stern = bow - ahead * 16
    cv2.line(image, bow.round().astype(int).tolist(), stern.round().astype(int).tolist(), (240, 245, 245), 5)
    batch = detector.detect(image)
    best = batch.box_px[int(np.argmax(batch.score))]
    assert centre_of(best) == pytest.approx((bow + stern) / 2, abs=5.0)
    assert (best[2:] - best[:2]).max() < 34.0


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


@pytest.mark.slow
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


RULES = RegionRules(threshold=0.6, grow_threshold=0.35, min_area=3, max_side_share=0.9, max_boxes=10)


def test_of_a_region_with_a_strong_head_and_a_long_faint_tail_the_head_is_kept() -> None:
    score_map = np.zeros((64, 128), dtype=np.float32)
    score_map[30:33, 20:100] = 0.5
    score_map[28:35, 100:110] = 0.9
    box, score = boxes_from_maps([score_map], (1,), RULES)
    assert box.tolist() == [[100.0, 28.0, 110.0, 35.0]]
    assert score == pytest.approx([0.9])


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_before_a_streak_of_strong_foam_the_boat_is_boxed(is_mirrored: bool) -> None:
    score_map = np.zeros((64, 160), dtype=np.float32)
    score_map[30:33, 20:110] = 0.5
    score_map[30:33, 110:124] = 0.9
    score_map[28:35, 124:136] = 0.6
    box, _ = boxes_from_maps(
        [np.ascontiguousarray(score_map[:, ::-1]) if is_mirrored else score_map], (1,), RULES
    )
    assert box.tolist() == [[24.0, 28.0, 36.0, 35.0] if is_mirrored else [124.0, 28.0, 136.0, 35.0]]


def test_a_long_region_as_strong_all_over_stays_whole() -> None:
    score_map = np.zeros((64, 128), dtype=np.float32)
    score_map[30:36, 20:90] = 0.8
    score_map[30:36, 80:90] = 0.9
    box, _ = boxes_from_maps([score_map], (1,), RULES)
    assert box.tolist() == [[20.0, 30.0, 90.0, 36.0]]


def two_scales(
    *parts: tuple[int, int, int, int], coarse: list[tuple[int, int, int, int]]
) -> list[list[float]]:
    """Boxes from a fine map with `parts` (x0, y0, x1, y1) and one four times as coarse."""
    maps = [np.zeros((160, 160), dtype=np.float32), np.zeros((40, 40), dtype=np.float32)]
    for score_map, areas in zip(maps, (parts, coarse), strict=True):
        for x0, y0, x1, y1 in areas:
            score_map[y0:y1, x0:x1] = 0.8
    box, _ = boxes_from_maps(maps, (1, 4), RULES)
    return sorted(box.tolist())


def test_what_is_large_on_a_coarse_map_takes_the_place_of_its_small_parts() -> None:
    assert two_scales((44, 44, 50, 50), (70, 60, 76, 64), coarse=[(10, 10, 20, 18)]) == [[40, 40, 80, 72]]


def test_parts_that_cover_most_of_a_coarse_region_stay() -> None:
    parts = [[40.0, 40.0, 78.0, 52.0], [42.0, 58.0, 80.0, 72.0]]
    found = two_scales((40, 40, 78, 52), (42, 58, 80, 72), coarse=[(10, 10, 20, 18)])
    assert found == parts


def test_parts_of_what_is_no_solid_thing_on_the_coarse_map_stay() -> None:
    """A field that touches a bent road."""
    bent = [(2, 2, 4, 34), (2, 32, 30, 34), (4, 10, 12, 18)]
    assert two_scales((18, 42, 46, 70), coarse=bent) == [[18, 42, 46, 70]]


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
    assert sum(counts) <= 50
