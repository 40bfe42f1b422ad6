"""One frame and one pose in, messages out: places, sightings, chips, reasons, ids, and nothing by chance."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
import pytest

from edge.vision.pipeline import Outcome, SensorIds, VisionNode
from skywarden import wire
from skywarden.messages import Chip, Detections, FrameInfo, Message, Sighting, Track
from skywarden.topics import topic_of
from tests.edge.eyes import (
    CAMERA,
    HEIGHT,
    IDS,
    PLACE,
    WIDTH,
    S,
    ScriptedDetector,
    box,
    fly,
    frame,
    no_pose,
    node,
    pose,
    settings,
)

MessageT = TypeVar("MessageT", bound=Message)
NORTH_M, EAST_M = 111_132.0, 78_847.0
"""Metres per degree at 45 degrees north."""


def told(outcomes: Sequence[Outcome], kind: type[MessageT]) -> list[MessageT]:
    return [message for outcome in outcomes for message in outcome.messages if isinstance(message, kind)]


def test_an_object_seen_again_and_again_becomes_a_located_track() -> None:
    eyes = node(lambda _: [box(320.0, 140.0)])
    outcomes = fly(eyes, [frame(number) for number in range(10)])
    tracks = told(outcomes, Track)
    assert {track.track_id for track in tracks} == {f"{IDS.prefix}.t1"}
    assert {track.status for track in tracks} == {"confirmed"}
    # From 100 m, 100 px above the centre of an image with 554 px of focal length: 18 m ahead, which is north.
    ahead_m = 100.0 * (239.5 - 140.0) / CAMERA.fy
    position = tracks[-1].position
    assert position is not None
    assert (position.latitude_deg - PLACE[0]) * NORTH_M == pytest.approx(ahead_m, abs=0.1)
    assert (position.longitude_deg - PLACE[1]) * EAST_M == pytest.approx(100.0 * 0.5 / CAMERA.fx, abs=0.01)
    assert 2.0 < position.ce90_m < 15.0
    assert position.surface == "level"


def test_sightings_come_with_the_confirmation_and_bring_the_looks_held_before() -> None:
    eyes = node(lambda _: [box(320.0, 140.0)])
    outcomes = fly(eyes, [frame(number) for number in range(4)])
    assert [len(told([outcome], Sighting)) for outcome in outcomes] == [0, 0, 3, 0]
    sightings = told(outcomes, Sighting)
    assert [sighting.frame_number for sighting in sightings] == [0, 1, 2]
    assert [sighting.sighting_id for sighting in sightings] == [f"{IDS.prefix}.t1.f{n}" for n in range(3)]
    for sighting in sightings:
        assert sighting.position is not None
        assert sighting.bearing is None
        assert sighting.no_position_reason is None
        assert sighting.slant_range_m == pytest.approx(101.6, abs=0.1)
        assert sighting.size_m == pytest.approx((1.83, 1.83), abs=0.01)
        assert sighting.platform_position == (*PLACE, 700.0)
        assert sighting.model_id == ScriptedDetector.model_id


def test_sightings_say_what_their_track_is_known_to_do() -> None:
    def telling(step_px: float) -> list[Sighting]:
        eyes = node(lambda number: [box(120.0 + step_px * number, 140.0)])
        return told(fly(eyes, [frame(number) for number in range(40)]), Sighting)

    still, moving = telling(0.0), telling(10.0)
    assert still[0].motion == moving[0].motion == "undecided"
    assert still[-1].motion == "standing"
    assert still[-1].velocity_en_mps is None
    assert moving[-1].motion == "moving"
    assert moving[-1].velocity_en_mps is not None
    east, north, ee, _, nn = moving[-1].velocity_en_mps
    assert abs(north) < 0.3 * east
    assert min(ee, nn) > 0.0


def test_one_chip_shows_the_object_and_the_next_comes_after_the_interval() -> None:
    eyes = node(lambda _: [box(320.0, 140.0)], settings(chip_interval_s=2.0))
    frames = [frame(number) for number in range(30)]
    outcomes = fly(eyes, frames)
    chips = told(outcomes, Chip)
    assert [chip.sighting_id for chip in chips] == [f"{IDS.prefix}.t1.f2", f"{IDS.prefix}.t1.f22"]
    assert {chip.sighting_id for chip in chips} <= {each.sighting_id for each in told(outcomes, Sighting)}
    shown = cv2.imdecode(np.frombuffer(chips[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (chips[0].height_px, chips[0].width_px, 3)
    x0, y0, *_ = chips[0].box_in_chip_px
    left, top = round(315 - x0), round(135 - y0)
    original = frames[2].image[top : top + shown.shape[0], left : left + shown.shape[1]]
    assert np.abs(shown.astype(int) - original).mean() < 12


def test_a_frame_tells_its_footprint_and_centre() -> None:
    (outcome,) = fly(node(lambda _: []), [frame(0)])
    (info,) = told([outcome], FrameInfo)
    assert (info.width_px, info.height_px, info.frame_number) == (WIDTH, HEIGHT, 0)
    assert info.no_position_reason is None
    assert info.frame_centre == pytest.approx(PLACE, abs=1e-7)
    upper_left, upper_right, lower_right, lower_left = info.footprint
    assert upper_left == pytest.approx((upper_right[0], lower_left[1]))
    assert upper_left[0] > PLACE[0] > lower_left[0]
    assert upper_left[1] < PLACE[1] < lower_right[1]
    wide_m = 2 * 100.0 * math.tan(math.radians(30.0))
    assert (upper_right[1] - upper_left[1]) * EAST_M == pytest.approx(wide_m, rel=0.002)


@pytest.mark.parametrize("reason", ["no_telemetry", "telemetry_stale", "datum_alarm", "clock_unknown"])
def test_without_a_pose_every_detection_has_the_reason_and_no_place(reason: str) -> None:
    eyes = node(lambda _: [box(100.0, 100.0), box(500.0, 400.0, label=1)])
    outcome = eyes.finish(eyes.detect(frame(0)), no_pose(frame(0).time_ns, reason))
    sightings = told([outcome], Sighting)
    assert [sighting.label for sighting in sightings] == ["anomaly", "vessel"]
    for sighting in sightings:
        assert sighting.no_position_reason == reason
        assert (sighting.position, sighting.bearing, sighting.size_m) == (None, None, None)
    (info,) = told([outcome], FrameInfo)
    assert (info.no_position_reason, info.footprint, info.frame_centre) == (reason, (), None)
    assert told([outcome], Track) == []
    assert outcome.reasons == [reason, reason]


def test_an_uncalibrated_camera_gives_detections_and_the_platforms_place_only() -> None:
    eyes = node(lambda _: [box(100.0, 100.0)], settings(camera=None))
    (outcome,) = fly(eyes, [frame(0)])
    (sighting,) = told([outcome], Sighting)
    assert sighting.no_position_reason == "uncalibrated_camera"
    assert (sighting.position, sighting.bearing, sighting.slant_range_m) == (None, None, None)
    assert sighting.platform_position == (*PLACE, 700.0)
    (info,) = told([outcome], FrameInfo)
    assert (info.footprint, info.no_position_reason) == ((), "uncalibrated_camera")


@pytest.mark.parametrize("fault", ["frozen", "black", "corrupt", "repeated"])
def test_a_faulty_frame_is_not_looked_at_shows_no_ground_and_counts_as_no_miss(fault: str) -> None:
    detector = ScriptedDetector(lambda _: [box(320.0, 240.0)])
    eyes = VisionNode(IDS, settings(), detector)
    outcomes = fly(eyes, [frame(number) for number in range(3)])
    bad = fly(eyes, [frame(number, fault=fault) for number in range(3, 40)])
    assert detector.infer_count == 3
    assert {type(message) for outcome in bad for message in outcome.messages} == {Detections, FrameInfo}
    for info in told(bad, FrameInfo):
        assert (info.no_position_reason, info.footprint, info.frame_centre) == (fault, (), None)
    after = fly(eyes, [frame(40)])
    assert [track.status for track in told(after, Track)] == ["confirmed"]
    assert told(after, Track)[0].track_id == told(outcomes, Track)[0].track_id


def test_near_and_above_the_horizon_the_answer_is_a_bearing_with_the_reason() -> None:
    low, level, high = box(320.0, 400.0), box(100.0, 250.0), box(320.0, 100.0)
    eyes = node(lambda _: [low, level, high])
    outcomes = fly(eyes, [frame(number) for number in range(3)], elevation_deg=0.0)
    by_reason = {sighting.no_position_reason: sighting for sighting in told(outcomes, Sighting)}
    assert set(by_reason) == {None, "near_horizon", "above_horizon"}
    for reason in ("near_horizon", "above_horizon"):
        sighting = by_reason[reason]
        assert sighting.position is None
        assert sighting.slant_range_m is None
        assert sighting.bearing is not None
        column = (sighting.box_px[0] + sighting.box_px[2]) / 2 - CAMERA.cx
        azimuth_deg = math.degrees(math.atan2(column, CAMERA.fx)) % 360.0
        assert sighting.bearing.azimuth_deg == pytest.approx(azimuth_deg, abs=0.01)
        assert sighting.platform_position == (*PLACE, 700.0)
    above = by_reason["above_horizon"].bearing
    assert above is not None
    assert above.elevation_deg == pytest.approx(math.degrees(math.atan(139.5 / CAMERA.fy)), abs=0.01)
    assert all(info.footprint == () for info in told(outcomes, FrameInfo)), "no end at the horizon"


def test_level_ground_of_unknown_height_gives_bearings_only() -> None:
    eyes = node(lambda _: [box(320.0, 240.0)])
    outcome = eyes.finish(eyes.detect(frame(0)), pose(frame(0).time_ns, level_m=None))
    (sighting,) = told([outcome], Sighting)
    assert (sighting.position, sighting.no_position_reason) == (None, "no_surface")
    assert sighting.bearing is not None
    assert sighting.bearing.elevation_deg == pytest.approx(-90.0, abs=0.2)


@pytest.mark.slow
def test_bearings_without_a_place_are_told_once_per_interval_and_direction() -> None:
    eyes = node(lambda _: [box(320.0, 100.0)], settings(sighting_interval_s=0.5))
    outcomes = fly(eyes, [frame(number) for number in range(120)], elevation_deg=0.0)
    sightings = told(outcomes, Sighting)
    assert [sighting.frame_number for sighting in sightings] == [0, 50, 100]
    chips = told(outcomes, Chip)
    assert [chip.sighting_id for chip in chips] == [sighting.sighting_id for sighting in sightings]


def _noisy_flight(ids: SensorIds = IDS) -> list[Outcome]:
    """Two objects with misses, one false alarm, a piece without pose and a frozen one."""

    def script(count: int) -> list[tuple[float, float, float, float, float, int]]:
        rng = np.random.default_rng(count)
        rows = [box(200.0 + rng.normal(), 150.0), box(450.0, 300.0 + rng.normal(), label=1)]
        rows = [row for row in rows if rng.random() < 0.85]
        return [*rows, box(50.0, 50.0)] if count == 7 else rows

    eyes = node(script, ids=ids)
    out = []
    for number in range(40):
        each = frame(number, fault="black" if number in (20, 21) else None)
        known = no_pose(each.time_ns) if 28 <= number < 31 else pose(each.time_ns)
        out.append(eyes.finish(eyes.detect(each), known))
    return out


@pytest.mark.slow
def test_the_same_frames_and_poses_give_the_same_bytes() -> None:
    first, second = (
        [wire.encode(message) for outcome in _noisy_flight() for message in outcome.messages] for _ in "ab"
    )
    assert len(first) > 100
    assert first == second


@pytest.mark.slow
def test_ids_are_unique_and_differ_between_starts_of_the_process() -> None:
    flights = [_noisy_flight(replace(IDS, incarnation=start)) for start in range(2)]
    ids = [sighting.sighting_id for outcomes in flights for sighting in told(outcomes, Sighting)]
    chips = [chip.chip_id for outcomes in flights for chip in told(outcomes, Chip)]
    assert len(set(ids)) == len(ids) > 20
    assert len(set(chips)) == len(chips) >= 4
    assert not {track.track_id for track in told(flights[0], Track)} & {
        track.track_id for track in told(flights[1], Track)
    }


def test_every_message_passes_the_wires_checks() -> None:
    for outcome in _noisy_flight():
        for message in outcome.messages:
            assert wire.decode(topic_of(message).name, wire.encode(message)) == message


def test_a_track_that_was_never_confirmed_is_never_told() -> None:
    eyes = node(lambda count: [box(320.0, 240.0)] if count in (0, 1) else [])
    outcomes = fly(eyes, [frame(number) for number in range(20)])
    assert told(outcomes, Track) == []
    assert told(outcomes, Sighting) == []
    assert told(outcomes, Chip) == []


@pytest.mark.slow
def test_a_confirmed_track_that_is_dropped_is_told_once_as_dropped() -> None:
    eyes = node(lambda count: [box(320.0, 240.0)] if count < 4 else [])
    outcomes = fly(eyes, [frame(number, at_s=number * 1.0) for number in range(80)])
    statuses = [track.status for track in told(outcomes, Track)]
    assert statuses[0] == "confirmed"
    assert statuses.count("dropped") == 1
    assert statuses[-1] == "dropped"
    assert "coasting" in statuses


@pytest.mark.slow
def test_a_track_is_told_at_most_twice_a_second_even_when_it_flickers() -> None:
    eyes = node(lambda count: [box(320.0, 240.0)] if count < 5 or count % 2 else [])
    outcomes = fly(eyes, [frame(number, at_s=number / 30) for number in range(300)])
    times = [track.time_ns for track in told(outcomes, Track)]
    assert 15 <= len(times) <= 20
    assert min(late - early for early, late in itertools.pairwise(times)) >= S // 2


def test_at_most_so_many_of_the_best_detections_are_kept() -> None:
    rows = [box(20.0 + 15.0 * n, 240.0, score=0.5 + n / 100) for n in range(40)]
    eyes = node(lambda _: rows, settings(max_detections=5))
    (outcome,) = fly(eyes, [frame(0)])
    (detections,) = told([outcome], Detections)
    assert detections.score.tolist() == pytest.approx([0.89, 0.88, 0.87, 0.86, 0.85])


def test_detections_below_the_least_score_are_left_out() -> None:
    eyes = node(
        lambda _: [box(100.0, 100.0, score=0.3), box(300.0, 100.0, score=0.7)], settings(min_score=0.5)
    )
    assert eyes.detect(frame(0)).batch.score.tolist() == pytest.approx([0.7])


def test_an_exercise_marks_every_sighting() -> None:
    eyes = node(lambda _: [box(320.0, 240.0)], settings(is_exercise=True))
    outcomes = [*fly(eyes, [frame(n) for n in range(3)]), *fly(eyes, [frame(9)], elevation_deg=20.0)]
    sightings = told(outcomes, Sighting)
    assert len(sightings) == 4
    assert all(sighting.is_exercise for sighting in sightings)


def test_a_stream_that_changes_its_resolution_keeps_its_places_and_sizes() -> None:
    def script(count: int) -> list[tuple[float, float, float, float, float, int]]:
        scale = 1.0 if count < 5 else 2.0
        return [box(scale * 400.5 - 0.5, scale * 140.5 - 0.5, size=10.0 * scale)]

    eyes = node(script, settings(sighting_interval_s=0.0))
    frames = [frame(number, scale=1.0 if number < 5 else 2.0) for number in range(10)]
    sightings = told(fly(eyes, frames), Sighting)
    assert len({sighting.track_id for sighting in sightings}) == 1
    before, after = sightings[0], sightings[-1]
    assert before.position is not None
    assert after.position is not None
    assert after.position.latitude_deg == pytest.approx(before.position.latitude_deg, abs=1e-9)
    assert after.position.longitude_deg == pytest.approx(before.position.longitude_deg, abs=1e-9)
    assert after.size_m == pytest.approx(before.size_m)


def test_an_image_that_no_detector_takes_is_a_faulty_frame() -> None:
    eyes = node(lambda _: [box(320.0, 240.0)])
    (outcome,) = fly(eyes, [frame(0, scale=0.01)])
    (info,) = told([outcome], FrameInfo)
    assert info.no_position_reason == "unusable"


def test_frames_that_are_slightly_out_of_order_go_on_with_the_same_track() -> None:
    eyes = node(lambda _: [box(320.0, 240.0)], settings(sighting_interval_s=0.0))
    outcomes = fly(eyes, [frame(number, at_s=at_s) for number, at_s in enumerate([0.0, 0.1, 0.3, 0.2, 0.4])])
    assert {sighting.track_id for sighting in told(outcomes, Sighting)} == {f"{IDS.prefix}.t1"}
    assert [sighting.frame_number for sighting in told(outcomes, Sighting)] == [0, 1, 2, 4]


def test_a_clock_that_is_set_back_begins_new_tracks_under_new_ids() -> None:
    eyes = node(lambda _: [box(320.0, 240.0)])
    outcomes = fly(eyes, [frame(number, at_s=3600.0 + number / 10) for number in range(5)])
    outcomes += fly(eyes, [frame(number, at_s=number / 10) for number in range(5, 40)])
    tracks = {sighting.track_id for sighting in told(outcomes, Sighting)}
    assert tracks == {f"{IDS.prefix}.t1", f"{IDS.prefix}.c1.t1"}
    ids = [sighting.sighting_id for sighting in told(outcomes, Sighting)]
    assert len(set(ids)) == len(ids)
    assert len(told(outcomes[5:], Sighting)) >= 8


def test_a_stated_height_error_counts_for_level_ground_too() -> None:
    script = box(320.0, 100.0)
    rough, sure = (
        fly(node(lambda n: [script], settings(level_sigma_m=sigma_m)), [frame(0)], elevation_deg=-45.0)[
            0
        ].locations
        for sigma_m in (10.0, 0.1)
    )
    assert rough is not None
    assert sure is not None
    assert (rough.le90_m[0], sure.le90_m[0]) == pytest.approx((16.449, 0.16449), rel=1e-3)
    assert rough.ce90_m[0] > sure.ce90_m[0]
