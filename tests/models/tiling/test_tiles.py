"""Tiles cover everything, none starves, and what they find comes out once and whole."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import load_detector
from models.detection import DetectionBatch, PolygonShape, make_batch
from models.network import NetworkDetector
from models.tiling.detector import TiledDetector
from models.tiling.grid import Band, Tile, banded_grid, tile_grid
from models.tiling.masks import nothing_masked, polygon_mask, sky_mask
from models.tiling.merge import merge_tiles
from models.tiling.motion import MotionCue
from models.tiling.plan import Cues, LookBudget, PlanRules, TilePlanner
from models.tiling.scale import gsd_m, median_gsd_m, scale_for_model, scale_for_object, steady_scale
from skywarden.errors import ModelError
from skywarden.geometry.camera import CameraModel

SIZE = (1000, 600)
LABELS = ("vessel", "buoy")


@given(st.integers(20, 5000), st.integers(20, 5000), st.integers(250, 900), st.floats(0.0, 0.5))
@settings(max_examples=20, deadline=None)
def test_whatever_is_no_wider_than_the_overlap_lies_whole_in_a_tile(
    width: int, height: int, tile: int, share: float
) -> None:
    overlap = int(tile * share)
    tiles = tile_grid((width, height), (tile, tile), overlap)
    random = np.random.default_rng(width * height)
    for _ in range(20):
        side = min(overlap, width, height)
        x, y = random.integers(0, width - side + 1), random.integers(0, height - side + 1)
        assert any(t.x0 <= x and x + side <= t.x1 and t.y0 <= y and y + side <= t.y1 for t in tiles)
    assert min(t.x0 for t in tiles) == 0
    assert max(t.x1 for t in tiles) == width
    assert all(t.x1 - t.x0 == min(tile, width) for t in tiles)


@given(st.integers(300, 4000), st.integers(300, 3000), st.tuples(*[st.floats(0.2, 2.0)] * 3))
@settings(max_examples=20, deadline=None)
def test_bands_of_different_scales_cut_nothing_small_between_them(
    width: int, height: int, scales: tuple[float, float, float]
) -> None:
    edges = [height * n // 3 for n in range(4)]
    bands = [Band(y0=edges[n], y1=edges[n + 1], scale=scales[n]) for n in range(3)]
    tiles = banded_grid((width, height), bands, (640, 640), 0.25)
    assert [tile.number for tile in tiles] == list(range(len(tiles)))
    assert {(min(t.y0 for t in tiles), max(t.y1 for t in tiles))} == {(0, height)}
    side = min(round(0.25 * 640 / max(scales)) - 1, width // 2, height // 4)
    random = np.random.default_rng(width * height)
    for _ in range(20):
        x, y = random.integers(0, width - side + 1), random.integers(0, height - side + 1)
        assert any(t.x0 <= x and x + side <= t.x1 and t.y0 <= y and y + side <= t.y1 for t in tiles)


def test_tiles_that_could_not_move_on_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        tile_grid((1000, 1000), (100, 100), 100)


def test_a_boat_gets_a_useful_size_at_any_height() -> None:
    assert scale_for_object(0.15) == pytest.approx(1.0)
    assert scale_for_object(0.3) == pytest.approx(2.0)
    assert scale_for_object(0.01) == 0.25
    assert scale_for_object(9.0) == 3.0
    assert gsd_m(600.0, 2000.0) == pytest.approx(0.3)
    assert median_gsd_m([np.nan, 500.0, 700.0, 600.0], 2000.0) == pytest.approx(0.3)
    assert median_gsd_m([np.nan, np.inf], 2000.0) is None
    assert scale_for_model(0.2, (0.1, 0.4)) == 1.0
    assert scale_for_model(0.8, (0.1, 0.4)) == 2.0
    with pytest.raises(ValueError, match="sample distance"):
        scale_for_object(0.0)


def test_the_scale_does_not_follow_every_breath() -> None:
    first = steady_scale(1.05, None)
    assert first == 1.0
    assert steady_scale(1.3, first) == 1.0
    assert steady_scale(1.5, first) == pytest.approx(2**0.5)


def planner(rules: PlanRules | None = None) -> tuple[TilePlanner, tuple[Tile, ...]]:
    tiles = tile_grid(SIZE, (250, 200), 0)
    return TilePlanner(tiles, SIZE, rules), tiles


@given(st.integers(1, 6), st.lists(st.integers(0, 11), max_size=8))
@settings(max_examples=8, deadline=None)
def test_no_tile_starves_whatever_the_cues_say(budget: int, wanted: list[int]) -> None:
    plan, tiles = planner(PlanRules(longest_wait_frames=20))
    assert len(tiles) == 12
    boxes = np.array([[t.x0 + 50, t.y0 + 50, t.x0 + 60, t.y0 + 60] for t in tiles], dtype=float)[wanted]
    cues = Cues(tracks=boxes.reshape(-1, 4), motion=[1.0] * 6 + [0.0] * 6, new_ground=[0.0] * 6 + [1.0] * 6)
    last = dict.fromkeys(range(12), 0)
    for frame in range(1, 120):
        chosen = plan.plan(budget, cues)
        assert 1 <= len(chosen.tiles) + chosen.with_whole_frame <= max(1, budget)
        for tile in chosen.tiles:
            last[tile.number] = frame
        # Of twelve late tiles the last waits eleven looks more, two where the whole frame takes its turn.
        assert frame - min(last.values()) <= 20 + 16


def test_open_tracks_come_before_quiet_ground_and_late_tiles_before_all() -> None:
    plan, tiles = planner()
    track = np.array(
        [[tiles[7].x0 + 100, tiles[7].y0 + 90, tiles[7].x0 + 120, tiles[7].y0 + 100]], dtype=float
    )
    first = plan.plan(3, Cues(tracks=track))
    assert first.tiles[0].number == 7
    assert first.with_whole_frame
    assert not plan.plan(3, Cues(tracks=track)).with_whole_frame


def test_a_masked_tile_is_never_looked_at_and_does_not_wait() -> None:
    plan, tiles = planner(PlanRules(longest_wait_frames=5))
    sky = polygon_mask([[[-10, -10], [1010, -10], [1010, 210], [-10, 210]]], SIZE)
    seen = {tile.number for _ in range(30) for tile in plan.plan(2, Cues(mask=sky)).tiles}
    assert seen == {tile.number for tile in tiles if tile.y0 >= 200}


def test_the_budget_follows_what_looks_cost() -> None:
    budget = LookBudget(0.1, 0.02)
    assert budget.looks() == 5
    for _ in range(40):
        budget.spent(5, 0.5)
    assert budget.looks() == 1
    budget.spent(0, 1.0)
    budget.spent(1, float("nan"))
    assert budget.looks() == 1


def batch(*boxes: tuple[float, float, float, float, float, int]) -> DetectionBatch:
    rows = np.array(boxes, dtype=np.float64).reshape(-1, 6)
    return make_batch(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.uint8), LABELS, SIZE)


LEFT = Tile(number=0, x0=0, y0=0, x1=400, y1=600)
RIGHT = Tile(number=1, x0=300, y0=0, x1=700, y1=600)


def test_a_part_gives_way_to_the_whole_from_the_neighbour() -> None:
    parts = [(LEFT, batch((350, 100, 399.5, 150, 0.9, 0))), (RIGHT, batch((350, 100, 440, 150, 0.8, 0)))]
    merged = merge_tiles(parts, SIZE, LABELS)
    assert merged.box_px.tolist() == [[350, 100, 440, 150]]


def test_two_halves_of_one_ship_become_one_box() -> None:
    parts = [(LEFT, batch((200, 100, 399.5, 150, 0.7, 0))), (RIGHT, batch((299.5, 101, 600, 151, 0.9, 0)))]
    merged = merge_tiles(parts, SIZE, LABELS)
    assert merged.box_px.tolist() == [[200, 100, 600, 151]]
    assert merged.score[0] == pytest.approx(0.9)


def test_what_both_tiles_see_comes_once_and_a_buoy_beside_a_boat_stays() -> None:
    parts = [
        (LEFT, batch((320, 100, 360, 120, 0.9, 0), (330, 105, 336, 111, 0.5, 1))),
        (RIGHT, batch((321, 101, 361, 121, 0.8, 0))),
        (None, batch((320, 100, 362, 122, 0.6, 0))),
    ]
    merged = merge_tiles(parts, SIZE, LABELS)
    assert [merged.labels[at] for at in merged.label_index] == ["vessel", "buoy"]


def test_boxes_at_the_edge_of_the_image_itself_are_not_taken_for_cut() -> None:
    whole = Tile(number=0, x0=0, y0=0, x1=1000, y1=600)
    merged = merge_tiles([(whole, batch((-0.5, 10, 60, 40, 0.9, 0)))], SIZE, LABELS)
    assert len(merged) == 1
    assert len(merge_tiles([], SIZE, LABELS)) == 0


def test_masks_drop_what_stands_in_them_and_can_be_turned_round() -> None:
    land = polygon_mask([[[0, 0], [500, 0], [500, 600], [0, 600]]], SIZE)
    two = batch((100, 100, 140, 120, 0.9, 0), (800, 100, 840, 120, 0.8, 0))
    assert land.without(two, SIZE).box_px[0].tolist() == [800, 100, 840, 120]
    assert len((land | nothing_masked()).without(two, SIZE)) == 1
    assert len(nothing_masked().without(two, SIZE)) == 2


def test_the_sky_is_what_looks_above_the_level() -> None:
    camera = CameraModel.from_hfov(1000, 600, 60.0)
    north_level = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # looks north, right is east
    sky = sky_mask(camera, north_level)
    assert sky.share(Tile(number=0, x0=0, y0=0, x1=1000, y1=270), SIZE) > 0.95
    assert sky.share(Tile(number=0, x0=0, y0=300, x1=1000, y1=600), SIZE) == 0.0
    down = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert not sky_mask(camera, down).cells.any()


def ground(shift: int, boat: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(5)

    wide = cv2.GaussianBlur(random.integers(0, 255, (700, 1200, 3), dtype=np.uint8), (0, 0), 6)
    wide = np.clip((wide.astype(float) - 127) * 6 + 120, 0, 255).astype(np.uint8)
    frame = np.ascontiguousarray(wide[50:650, 50 + shift : 1050 + shift])
    if boat is not None:
        frame[boat[1] : boat[1] + 20, boat[0] : boat[0] + 30] = 255
    return frame


def test_what_moves_against_the_ground_is_told_from_the_ground_that_moves() -> None:
    tiles = tile_grid(SIZE, (250, 200), 0)
    cue = MotionCue()
    assert cue.look(ground(0, (600, 250)), tiles) == [0.0] * 12
    found = cue.look(ground(20, (620, 250)), tiles)
    assert found[6] > 0.5
    assert sum(value > 0.0 for value in found) <= 2
    turn = np.array([[1.0, 0.0, -20.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    by_pose = cue.look(ground(40, (640, 250)), tiles, turn)
    assert by_pose[6] > 0.5
    assert cue.look(np.zeros((300, 300, 3), dtype=np.uint8), tiles) == [0.0] * 12


def small_boats() -> npt.NDArray[np.uint8]:
    frame = np.random.default_rng(2).integers(80, 92, (600, 1000, 3), dtype=np.uint8)
    for x, y in ((120, 90), (480, 300), (900, 520)):
        frame[y : y + 9, x : x + 14] = (240, 240, 240)
    return frame


@pytest.fixture(scope="module")
def network() -> NetworkDetector:
    return load_detector("anomaly", self_test=False)


@pytest.mark.slow
def test_a_tiled_network_finds_each_thing_once_where_it_is(network: NetworkDetector) -> None:
    tiled = TiledDetector.everywhere(network, scale=1.0)
    found = tiled.detect(small_boats())
    corners = found.box_px[np.argsort(found.box_px[:, 0])][:, :2]
    assert len(found) == 3
    assert corners == pytest.approx(np.array([[120, 90], [480, 300], [900, 520]]), abs=2)
    assert tiled.model_id == network.model_id
    assert tiled.labels == ("anomaly",)


@pytest.mark.slow
def test_a_tiled_network_keeps_to_its_budget_and_its_mask(network: NetworkDetector) -> None:
    left = polygon_mask([[[0, 0], [400, 0], [400, 600], [0, 600]]], SIZE)
    tiled = TiledDetector(
        network,
        scale=1.0,
        budget=2,
        cues=lambda image, tiles: Cues(mask=left),
    )
    looked = [tiled.infer(small_boats()) for _ in range(3)]
    assert all(len(one.parts) <= 2 for one in looked)
    assert any(tile is None for one in looked for tile, _ in one.parts)
    for one in looked:
        assert (tiled.read(one).box_px[:, 2] > 400).all()
    with pytest.raises(ModelError, match="scale"):
        TiledDetector.everywhere(network, scale=0.0)


def test_outlines_move_with_their_tile() -> None:
    ring = np.array([[310.0, 10.0], [330.0, 10.0], [330.0, 30.0]])
    one = make_batch(
        np.array([[310, 10, 330, 30]]),
        np.array([0.9]),
        np.zeros(1, dtype=np.uint8),
        LABELS,
        SIZE,
        [PolygonShape(exterior=ring)],
    )
    merged = merge_tiles([(RIGHT, one)], SIZE, LABELS)
    shape = merged.shapes[0]
    assert isinstance(shape, PolygonShape)
    assert shape.exterior.tolist() == ring.tolist()
