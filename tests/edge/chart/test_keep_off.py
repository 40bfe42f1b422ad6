"""Vessels well inland and parcels well out on the water are counted, not told; near a shore all are told."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import shapely

from edge.chart.config import ChartConfig
from edge.chart.keep_off import KeepOff
from edge.config import EdgeConfig
from edge.vision.pipeline import Outcome, VisionNode
from skywarden.messages import Detections, Sighting
from tests.edge.eyes import IDS, PLACE, T0, S, ScriptedDetector, box, frame, no_pose, pose, settings

HEIGHT_M = 1000.0
M_PER_DEG = 111_000.0
VESSEL = 1


def shore(east_m: float) -> shapely.Polygon:
    """Land from so many metres east of the camera's place on, 20 km of it to each side."""
    west = PLACE[1] + east_m / (M_PER_DEG * math.cos(math.radians(PLACE[0])))
    return shapely.box(west, PLACE[0] - 0.2, west + 0.3, PLACE[0] + 0.2)


def flown(config: ChartConfig, polygon: shapely.Polygon, **more: Any) -> tuple[VisionNode, list[Outcome]]:
    """Six looks straight down at one vessel in the middle of the image."""
    node = VisionNode(
        IDS,
        settings(keep_off=KeepOff([polygon], config)),
        ScriptedDetector(lambda number: [box(319.5, 239.5, label=VESSEL)]),
    )
    outcomes = []
    for number in range(6):
        seen = node.detect(frame(number))
        view = replace(pose(T0 + number * S // 10, height_m=HEIGHT_M), **more)
        outcomes.append(node.finish(seen, view))
    return node, outcomes


def told(outcomes: list[Outcome]) -> int:
    return sum(isinstance(message, Sighting) for outcome in outcomes for message in outcome.messages)


def test_a_vessel_well_inland_is_counted_and_not_told_but_stays_in_the_record() -> None:
    node, outcomes = flown(ChartConfig(margin_m=50.0), shore(-2000.0))
    assert told(outcomes) == 0
    assert node.misplaced_count == 6
    (kept,) = [message for message in outcomes[0].messages if isinstance(message, Detections)]
    assert np.frombuffer(kept.score_f32, dtype="<f4").size == 1


@pytest.mark.parametrize("east_m", [-40.0, 0.0, 40.0, 3000.0])
def test_a_vessel_on_the_beach_at_the_quay_or_at_sea_is_told(east_m: float) -> None:
    node, outcomes = flown(ChartConfig(margin_m=50.0), shore(east_m))
    assert told(outcomes) > 0
    assert node.misplaced_count == 0


def test_the_less_sure_the_place_the_wider_the_margin() -> None:
    inland = shore(-300.0)
    sure, _ = flown(ChartConfig(margin_m=50.0), inland)
    assert sure.misplaced_count == 6
    plain = pose(T0, height_m=HEIGHT_M).sigmas
    unsure, outcomes = flown(ChartConfig(margin_m=50.0), inland, sigmas=replace(plain, horizontal_m=150.0))
    assert unsure.misplaced_count == 0
    assert told(outcomes) > 0


def test_nothing_is_left_out_while_the_position_is_in_doubt() -> None:
    node, outcomes = flown(ChartConfig(), shore(-2000.0), doubt="gnss_jump")
    assert node.misplaced_count == 0
    assert told(outcomes) > 0


def test_without_a_pose_nothing_is_left_out() -> None:
    rule = KeepOff([shore(-2000.0)], ChartConfig())
    node = VisionNode(
        IDS, settings(keep_off=rule), ScriptedDetector(lambda number: [box(320, 240, label=VESSEL)])
    )
    outcome = node.finish(node.detect(frame(0)), no_pose(T0))
    assert told([outcome]) == 1
    assert node.misplaced_count == 0


def test_polygons_of_water_say_the_opposite_as_far_as_they_reach() -> None:
    lake, far = shore(500.0), shapely.box(PLACE[1] - 0.5, PLACE[0] - 0.2, PLACE[1] - 0.4, PLACE[0] + 0.2)
    dry, outcomes = flown(ChartConfig(shows="water"), shapely.union_all([lake, far]))
    assert dry.misplaced_count == 6
    assert told(outcomes) == 0
    beyond, _ = flown(ChartConfig(shows="water"), lake)  # outside of what the chart shows nothing is known
    assert beyond.misplaced_count == 0


def test_a_label_belongs_on_water_or_on_land_or_anywhere() -> None:
    inland, at_sea = shore(-2000.0), shapely.union_all([shore(2000.0), shore(-60_000.0)])
    as_parcel = ChartConfig(on_water=(), on_land=("vessel",), margin_m=50.0)
    assert flown(as_parcel, inland)[0].misplaced_count == 0
    assert flown(as_parcel, at_sea)[0].misplaced_count == 6
    assert flown(ChartConfig(on_water=(), on_land=()), inland)[0].misplaced_count == 0
    with pytest.raises(msgspec.ValidationError, match="both name vessel"):
        msgspec.convert(
            {"platform_id": "a", "chart": {"on_water": ["vessel"], "on_land": ["vessel"]}}, EdgeConfig
        )
