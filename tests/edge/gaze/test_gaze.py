"""Poses decide how a frame is looked at: the scale by height and band, the sky left out, tracks first."""

import itertools
import math
from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import ModelConfig
from edge.gaze.gaze import Eye, Gaze, GazeSettings
from edge.gaze.outlook import Outlook, OutlookMaker
from edge.geolocation.locate import Locator
from edge.vision.detectors import configured_detector, configured_gaze
from edge.vision.pipeline import Frame, Outcome, VisionNode
from models.catalogue import load_detector
from models.tiling.detector import TiledDetector
from models.tiling.grid import Band
from models.tiling.scale import USEFUL_SIDE_PX
from skywarden import wire
from skywarden.messages import Track
from tests.edge.eyes import CAMERA, IDS, T0, S, no_pose, pose, settings

SIZE = (1920, 1440)
LARGE = CAMERA.scaled_to(*SIZE)
INPUT = (640, 640)


def outlook(*, height_m: float, elevation_deg: float = -90.0) -> Outlook:
    view = pose(T0, height_m=height_m, elevation_deg=elevation_deg)
    return OutlookMaker().make(Locator(LARGE, None), view, np.zeros((0, 4)))


def eye(seen: Outlook | None, given: GazeSettings | None = None) -> Eye:
    gaze = Gaze(given or GazeSettings())
    gaze.tell(seen)
    return Eye(gaze, INPUT)


def test_a_boat_has_a_useful_size_from_any_height() -> None:
    for height_m in (130.0, 250.0, 400.0, 700.0):
        (band,) = eye(outlook(height_m=height_m)).bands(SIZE)
        boat_px = 12.0 / (height_m / LARGE.fx) * band.scale
        assert USEFUL_SIDE_PX / math.sqrt(2.0) <= boat_px <= USEFUL_SIDE_PX * math.sqrt(2.0)


def test_from_low_the_whole_frame_is_one_tile() -> None:
    (band,) = eye(outlook(height_m=60.0)).bands(SIZE)
    assert (band.y0, band.y1) == (0, 1440)
    assert band.scale == pytest.approx(640 / 1920)


def test_an_oblique_image_is_looked_at_finer_where_the_ground_is_farther() -> None:
    bands = eye(outlook(height_m=250.0, elevation_deg=-32.0)).bands(SIZE)
    assert len(bands) >= 2
    assert [band.scale for band in bands] == sorted((band.scale for band in bands), reverse=True)
    assert bands[0].y0 == 0
    assert bands[-1].y1 == 1440
    assert all(above.y1 == below.y0 for above, below in itertools.pairwise(bands))


def test_without_a_pose_the_configured_scale_holds_and_without_one_the_whole() -> None:
    assert eye(None).bands(SIZE) == ()
    assert eye(None, GazeSettings(scale=1.0)).bands(SIZE) == (Band(y0=0, y1=1440, scale=1.0),)
    fixed = eye(outlook(height_m=400.0), GazeSettings(scale=1.0, adapts=False))
    assert fixed.bands(SIZE) == (Band(y0=0, y1=1440, scale=1.0),)
    other_size = eye(outlook(height_m=400.0))
    assert other_size.bands((640, 480)) == ()


def test_the_scale_stays_while_the_height_changes_little() -> None:
    gaze = Gaze(GazeSettings())
    looking = Eye(gaze, INPUT)
    seen = set()
    for height_m in np.linspace(400.0, 450.0, 11).tolist():
        gaze.tell(outlook(height_m=height_m))
        seen.add(looking.bands(SIZE))
    assert len(seen) == 1


def test_the_sky_is_left_out_but_never_the_ground() -> None:
    level = outlook(height_m=100.0, elevation_deg=0.0)
    assert level.sky.cells[0].all()
    assert not level.sky.cells[level.sky.cells.shape[0] // 2 :].any()
    assert not outlook(height_m=100.0).sky.cells.any()


def test_ground_that_comes_into_view_is_new_and_the_rest_is_not() -> None:
    maker, locator = OutlookMaker(), Locator(LARGE, None)
    maker.make(locator, pose(T0), np.zeros((0, 4)))
    view = pose(T0 + 2 * S)
    north = replace(view, latitude_deg=view.latitude_deg + 0.0002)
    new = maker.make(locator, north, np.zeros((0, 4))).new_ground
    assert new[0].all()
    assert not new[-1].any()


def test_own_parts_are_left_out_with_and_without_a_pose() -> None:
    given = GazeSettings(own_parts=(((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)),))
    for seen in (None, outlook(height_m=400.0)):
        mask = eye(seen, given).cues(np.zeros((1440, 1920, 3), dtype=np.uint8), ()).mask
        assert mask is not None
        assert mask.cells[-1].all()
        assert not mask.cells[0].any()


SMALL = CAMERA.scaled_to(960, 720)
SEA = np.random.default_rng(4).normal((110, 80, 50), 2.0, (720, 960, 3)).clip(0, 255).astype(np.uint8)


def sea(number: int) -> Frame:
    """A calm sea with two boats that stand still."""
    image = SEA.copy()
    for x, y in ((150, 130), (810, 590)):
        cv2.rectangle(image, (x - 7, y - 3), (x + 7, y + 3), (240, 240, 240), -1)
    time_ns = T0 + number * S // 2
    return Frame(frame_number=number, time_ns=time_ns, received_ns=time_ns, image=image)


def budgeted(*, is_told: bool = True) -> list[Outcome]:
    """Ten frames with one look at each; `is_told`: the tracker hears what was looked at."""
    config = ModelConfig(name="anomaly", tile_adapt=True, tile_looks=1)
    gaze = configured_gaze(config)
    node = VisionNode(IDS, settings(SMALL), configured_detector(config, gaze=gaze), gaze=gaze)
    out = []
    for frame in map(sea, range(10)):
        seen = node.detect(frame)
        blind = tuple(replace(one, looked=None) for one in seen.looks)
        given = seen if is_told else replace(seen, looks=blind)
        out.append(node.finish(given, pose(frame.time_ns, height_m=350.0)))
    return out


def tracks_of(outcomes: list[Outcome]) -> list[Track]:
    return [m for outcome in outcomes for m in outcome.messages if isinstance(m, Track)]


@pytest.mark.slow
def test_within_a_budget_tracks_live_on_where_nobody_looks_and_every_run_is_the_same() -> None:
    outcomes = budgeted()
    tracks = tracks_of(outcomes)
    assert len({track.track_id for track in tracks if track.status == "confirmed"}) == 2
    assert {track.status for track in tracks} == {"confirmed"}
    assert {track.status for track in tracks_of(budgeted(is_told=False))} != {"confirmed"}
    again = [wire.encode(m) for outcome in budgeted() for m in outcome.messages]
    assert again == [wire.encode(m) for outcome in outcomes for m in outcome.messages]


def test_what_was_not_looked_at_is_told_with_the_answer() -> None:
    network = load_detector("anomaly")
    detector = TiledDetector(network, scale=1.0, budget=1)
    image = sea(0).image
    detector.detect(image)
    looked = detector.infer(image).looked
    assert looked is not None
    assert looked.whole_scale is None
    (x0, y0, x1, y1) = looked.tiles_px[0]
    inside = [x0 + 5.0, y0 + 5.0, x0 + 25.0, y0 + 25.0]
    across = [x1 - 5.0, y1 - 5.0, x1 + 25.0, y1 + 25.0]
    assert looked.saw(np.array([inside, across])).tolist() == [True, False]
    assert looked.saw(np.zeros((0, 4))).tolist() == []


def test_a_frame_without_a_pose_goes_back_to_the_configured_look() -> None:
    gaze = Gaze(GazeSettings())
    gaze.tell(outlook(height_m=600.0))
    node = VisionNode(IDS, settings(SMALL), load_detector("anomaly"), gaze=gaze)
    frame = sea(0)
    node.finish(node.detect(frame), no_pose(frame.time_ns))
    assert gaze.outlook is None


def test_two_budgets_at_once_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="both set"):
        msgspec.convert({"tile_looks": 3, "tile_budget_s": 0.1}, ModelConfig)
