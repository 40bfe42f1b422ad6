"""Association: a full table and Stone Soup as referees; turns, occlusion and jumps break no track."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from edge.track import Measurements, Tracker, TrackState
from edge.track.association import Pairs, chosen, near_pairs
from sim.accuracy.truth.track_referee import judge, make_scene, our_tracks, stonesoup_tracks
from skywarden.clock import NS_PER_S

START_NS = 1_700_000_000 * NS_PER_S


def test_near_pairs_are_those_that_a_full_table_finds() -> None:
    rng = np.random.default_rng(5)
    for count in (1, 2, 40, 300):
        tracks, seen = rng.uniform(0, 500, (count, 2)), rng.uniform(0, 500, (count + 3, 2))
        reach, seen_reach = rng.uniform(0, 20, count), rng.uniform(0, 20, count + 3)
        away = np.abs(tracks[:, None] - seen[None]).max(axis=2)
        wanted = set(zip(*np.nonzero(away <= reach[:, None] + seen_reach[None]), strict=True))
        found = near_pairs(tracks, reach, seen, seen_reach)
        assert set(zip(*found, strict=True)) == wanted
        assert len(found[0]) == len(wanted)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5])
def test_the_choice_costs_no_more_than_that_of_a_full_table(density: float) -> None:
    rng = np.random.default_rng(8)
    limit = 10.0
    for _ in range(20):
        rows, columns = rng.integers(1, 120, 2)
        table = np.where(rng.random((rows, columns)) < density, rng.uniform(0, limit, (rows, columns)), 1e6)
        track, measurement = np.nonzero(table < 1e5)
        cost = table[track, measurement]
        found = chosen(Pairs(track, measurement, cost, np.arange(len(cost))), limit)
        assert len(set(found.track.tolist())) == len(set(found.measurement.tolist())) == len(found.track)
        padded = np.full((rows + columns, rows + columns), limit / 2)
        padded[:rows, :columns] = table
        padded[rows:, columns:] = 0.0
        at = linear_sum_assignment(padded)
        best = float(padded[at].sum())
        missed = (rows - len(found.track)) + (columns - len(found.track))
        assert float(found.cost.sum()) + missed * limit / 2 == pytest.approx(best)


@pytest.mark.slow
def test_stone_soup_as_referee_prefers_its_own_tracker_by_no_margin() -> None:
    ours, theirs = [], []
    for seed in (1, 2, 3, 4):
        scene = make_scene(seed)
        ours.append(judge(scene, our_tracks(scene)))
        theirs.append(judge(scene, stonesoup_tracks(scene)))
    for mine, peer in zip(ours, theirs, strict=True):
        assert mine.gospa_m <= 1.02 * peer.gospa_m
        assert mine.completeness >= peer.completeness - 0.005
        assert mine.ambiguity <= max(peer.ambiguity, 1.005)
        assert mine.spuriousness <= max(peer.spuriousness, 0.005)
    assert np.mean([mine.gospa_m for mine in ours]) <= np.mean([peer.gospa_m for peer in theirs])


def _from_above(
    points_m: np.ndarray, platform_m: np.ndarray, heading_error_deg: float, noise: np.ndarray
) -> Measurements:
    """Places as seen from a platform at 300 m whose compass errs: turned about its own place."""
    away = points_m - platform_m
    turn = np.radians(heading_error_deg)
    cosine, sine = np.cos(turn), np.sin(turn)
    turned = away @ np.array([[cosine, -sine], [sine, cosine]])
    across = np.stack([away[:, 1], -away[:, 0]], axis=1) * np.radians(2.0)
    count = len(points_m)
    fixed = np.repeat(np.eye(2)[None] * 1.5, count, axis=0)
    shared = np.concatenate([across[:, :, None], fixed], axis=2)
    own = np.eye(2) * 0.5**2 + 0.05 * shared @ shared.transpose(0, 2, 1)
    return Measurements(
        platform_m + turned + noise,
        own,
        0.95**0.5 * shared,
        np.array([1 / 120 + 10.0 / 90.0, 0.01, 0.01]),
        np.full(count, 0.9),
        np.zeros(count, dtype=np.intp),
        ("vessel",),
        np.arange(count),
    )


def test_identity_is_kept_while_the_platform_turns_and_its_compass_sweeps() -> None:
    """10 degrees a second through a full circle, a compass that errs by 2 degrees times the sine of the
    heading: places 500 m away move sideways by 35 m in 18 s and back, at up to 3 m/s."""
    rng = np.random.default_rng(2)
    vessels = np.array([[0.0, 500.0], [25.0, 510.0], [50.0, 495.0], [80.0, 520.0]])
    tracker, numbers = Tracker(), [set[int]() for _ in vessels]
    for frame in range(180):
        t = frame / 5
        platform = np.array([30.0 * np.sin(0.17 * t), 30.0 * np.cos(0.17 * t)])
        visible = np.flatnonzero(rng.random(len(vessels)) < 0.9)
        noise = rng.normal(0.0, 0.5, (len(visible), 2))
        seen = _from_above(vessels[visible], platform, 2.0 * np.sin(np.radians(10.0 * t)), noise)
        states = list(tracker.update(START_NS + round(t * NS_PER_S), seen))
        for state in states:
            if state.detection_index is not None:
                numbers[visible[state.detection_index]].add(state.number)
    assert [len(each) for each in numbers] == [1, 1, 1, 1]
    assert len(set.union(*numbers)) == 4
    assert not any(state.is_moving for state in states)


def test_identity_is_kept_through_an_occlusion_of_six_seconds() -> None:
    rng = np.random.default_rng(3)
    tracker, numbers = Tracker(), [set[int](), set[int]()]
    for frame in range(150):
        t = frame / 5
        truth = np.array([[6.0 * t, 400.0], [180.0 - 6.0 * t, 430.0]])
        visible = np.arange(2) if not 12.0 <= t <= 18.0 else np.zeros(0, dtype=np.intp)
        noise = rng.normal(0.0, 0.5, (len(visible), 2))
        seen = _from_above(truth[visible], np.zeros(2), 1.0, noise)
        for state in tracker.update(START_NS + round(t * NS_PER_S), seen):
            if state.detection_index is not None:
                numbers[visible[state.detection_index]].add(state.number)
    assert numbers == [{1}, {2}]


def test_a_jump_of_the_attitude_breaks_no_track() -> None:
    rng = np.random.default_rng(4)
    vessels = np.array([[0.0, 400.0], [60.0, 420.0], [130.0, 410.0]])
    tracker = Tracker()
    states: list[TrackState] = []
    for frame in range(100):
        error_deg = 0.0 if frame < 50 else 2.5
        seen = _from_above(vessels, np.zeros(2), error_deg, rng.normal(0.0, 0.5, (3, 2)))
        states = list(tracker.update(START_NS + frame * NS_PER_S // 5, seen))
    sure = [state for state in states if state.status == "confirmed"]
    assert [state.number for state in sure] == [1, 2, 3]


def test_a_vessel_that_turns_hard_keeps_its_number_and_its_new_course_is_told() -> None:
    rng = np.random.default_rng(6)
    tracker, numbers, place = Tracker(), set[int](), np.array([0.0, 400.0])
    state: TrackState | None = None
    for frame in range(240):
        t = frame / 6
        course = np.radians(90.0 * np.clip((t - 20.0) / 8.0, 0.0, 1.0))
        place = place + 6.0 / 6 * np.array([np.sin(course), np.cos(course)])
        seen = _from_above(place[None], np.zeros(2), 0.5, rng.normal(0.0, 0.5, (1, 2)))
        for state in tracker.update(START_NS + round(t * NS_PER_S), seen):
            numbers.add(state.number)
    assert numbers == {1}
    assert state is not None
    assert state.is_moving
    assert state.speed_mps == pytest.approx(6.0, abs=3 * state.speed_sigma_mps)
    assert state.course_deg == pytest.approx(90.0, abs=3 * state.course_sigma_deg)
    assert state.course_sigma_deg < 8.0
