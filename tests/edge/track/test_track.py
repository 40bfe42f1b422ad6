"""The tracker: one track per thing, honest speeds, numbers that do not change from run to run."""

import numpy as np
import pytest

from edge.track import Measurements, Tracker, TrackerConfig, TrackState, from_covariances, no_measurements
from skywarden.clock import NS_PER_S
from skywarden.errors import ConfigError, InputError

START_NS = 1_700_000_000 * NS_PER_S


def _seen(
    points_m: np.ndarray, sigma_m: float = 2.2, score: float = 0.9, label: str = "boat"
) -> Measurements:
    count = len(points_m)
    covariance = np.repeat((np.eye(2) * sigma_m**2)[None], count, axis=0)
    return from_covariances(points_m, covariance, np.full(count, score), labels=(label,))


def _at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def _nothing(tracker: Tracker, seconds: float) -> list[TrackState]:
    return list(tracker.update(_at(seconds), no_measurements()))


def _first(tracker: Tracker, seconds: float, seen: Measurements) -> TrackState:
    return next(iter(tracker.update(_at(seconds), seen)))


def _fly_over_panels(seed: int) -> tuple[set[int], dict[int, set[int]]]:
    """A plane passes panels 20 m apart, 14 frames at 1 Hz: 2 m error, mostly shared, misses, clutter."""
    rng = np.random.default_rng(seed)
    panels = np.array([[0.0, 0.0], [20.0, 0.0], [40.0, 0.0]])
    tracker, confirmed, numbers = Tracker(), set(), {0: set[int](), 1: set[int](), 2: set[int]()}
    shared = rng.normal(0, 1.6, 2)
    for frame in range(14):
        shared = 0.8 * shared + rng.normal(0, 0.96, 2)
        visible = [j for j in range(3) if 2 * j <= frame < 10 + 2 * j and rng.random() < 0.9]
        points = [panels[j] + shared + rng.normal(0, 1.2, 2) for j in visible]
        if rng.random() < 0.3:
            points.append(rng.uniform(-60.0, 100.0, 2))
        for state in tracker.update(_at(frame), _seen(np.array(points).reshape(-1, 2))):
            if state.was_confirmed:
                confirmed.add(state.number)
                if state.detection_index is not None and state.detection_index < len(visible):
                    numbers[visible[state.detection_index]].add(state.number)
    return confirmed, numbers


@pytest.mark.slow
def test_three_panels_seen_at_one_hertz_from_a_plane_are_three_tracks() -> None:
    passes = [_fly_over_panels(seed) for seed in range(60)]
    is_clean = [
        len(confirmed) == 3 and all(len(numbers[j]) == 1 for j in range(3)) for confirmed, numbers in passes
    ]
    assert np.mean(is_clean) >= 0.9
    assert max(len(confirmed) for confirmed, _ in passes) <= 5


@pytest.mark.parametrize("rate_hz", [10, 30])
def test_vessels_at_fifteen_metres_a_second_keep_their_tracks_when_they_pass(rate_hz: int) -> None:
    rng = np.random.default_rng(4)
    tracker, numbers = Tracker(), {0: set[int](), 1: set[int]()}
    shared = rng.normal(0, 4.0, 2)
    states: list[TrackState] = []
    for frame in range(12 * rate_hz):
        t = frame / rate_hz
        shared = shared + rng.normal(0, 0.3 / rate_hz**0.5, 2)
        truth = np.array([[-90.0 + 15.0 * t, 0.0], [90.0 - 15.0 * t, 30.0]])
        visible = [j for j in range(2) if rng.random() < 0.85]
        points = truth[visible] + shared + rng.normal(0, 0.5, (len(visible), 2))
        states = list(tracker.update(_at(t), _seen(points, sigma_m=5.0)))
        for state in states:
            if state.detection_index is not None:
                numbers[visible[state.detection_index]].add(state.number)
    assert numbers == {0: {1}, 1: {2}}
    for state, (course, sign) in zip(states, ((90.0, 1.0), (270.0, -1.0)), strict=True):
        assert state.is_moving
        assert state.east_mps == pytest.approx(sign * 15.0, abs=1.0)
        assert abs((state.course_deg - course + 180.0) % 360.0 - 180.0) < 5.0
        assert state.status in ("confirmed", "coasting")


@pytest.mark.slow
def test_an_anchored_vessel_is_not_called_moving_while_the_platform_closes_in() -> None:
    """An elevation error of half a degree shrinks with the range and looks like a speed; it is no motion."""
    called_moving = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        tracker, height_m = Tracker(), 300.0
        bias = np.radians(rng.normal(0, 0.5, 2))  # elevation, heading
        states: list[TrackState] = []
        for frame in range(60):
            away_m = 1100.0 - 15.0 * frame / 2
            slant_m = np.hypot(away_m, height_m)
            along = slant_m**2 / height_m
            error = np.array([away_m * bias[1], along * bias[0]]) + rng.normal(0, 1.0, 2)
            sigma = np.radians(0.5)
            covariance = np.diag([(away_m * sigma) ** 2 + 1.0, (along * sigma) ** 2 + 1.0])
            measured = from_covariances([error], [covariance], [0.9], forward_azimuth_deg=0.0)
            states = list(tracker.update(_at(frame / 2), measured))
        called_moving += states[0].is_moving
    assert called_moving <= 2


def test_a_position_does_not_become_better_than_the_error_its_frames_share() -> None:
    tracker = Tracker()
    for frame in range(300):
        states = list(tracker.update(_at(frame / 30), _seen(np.zeros((1, 2)), sigma_m=5.0)))
    sigma_m = float(np.sqrt(states[0].covariance_m2[0, 0]))
    assert 3.0 < sigma_m < 5.0
    assert not states[0].is_moving


def test_a_track_rises_coasts_and_falls_once() -> None:
    tracker = Tracker(TrackerConfig(coast_static_s=5.0))
    spot = np.zeros((1, 2))
    statuses = [_first(tracker, t, _seen(spot)).status for t in range(4)]
    assert statuses == ["tentative", "tentative", "confirmed", "confirmed"]
    assert _nothing(tracker, 4)[0].status == "coasting"
    assert _first(tracker, 5, _seen(spot)).status == "confirmed"
    fallen = [_nothing(tracker, t) for t in (7, 10.5, 11, 12)]
    assert [s[0].status if s else None for s in fallen] == ["coasting", "dropped", None, None]
    assert fallen[1][0].was_confirmed
    assert _first(tracker, 13, _seen(spot)).number == 2


def test_a_false_alarm_dies_unconfirmed() -> None:
    tracker = Tracker()
    tracker.update(_at(0), _seen(np.zeros((1, 2))))
    states = [_nothing(tracker, t) for t in (1, 2, 3, 4)]
    dropped = [s for group in states for s in group if s.status == "dropped"]
    assert len(dropped) == 1
    assert not dropped[0].was_confirmed
    assert states[-1] == []


def test_unsure_detections_continue_tracks_but_do_not_begin_them() -> None:
    tracker, spot = Tracker(), np.zeros((1, 2))
    assert list(tracker.update(_at(0), _seen(spot, score=0.3))) == []
    for t in range(1, 4):
        tracker.update(_at(t), _seen(spot))
    state = _first(tracker, 4, _seen(spot, score=0.3))
    assert (state.status, state.detection_index, state.look_count) == ("confirmed", 0, 4)
    assert _first(tracker, 5, _seen(spot, score=0.05)).detection_index is None


def test_the_label_is_what_most_of_the_score_says() -> None:
    tracker, spot = Tracker(), np.zeros((1, 2))
    for t, label in enumerate(["buoy", "boat", "boat"]):
        state = _first(tracker, t, _seen(spot, label=label))
    assert (state.number, state.label) == (1, "boat")


@pytest.mark.slow
def test_twenty_runs_over_the_same_input_give_the_same_bytes() -> None:
    def run() -> tuple[bytes, set[int]]:
        rng, tracker = np.random.default_rng(9), Tracker()
        out, sure = b"", set[int]()
        for frame in range(60):
            points = np.arange(20)[:, None] * [30.0, 5.0] + rng.normal(0, 2.0, (20, 2))
            tracks = tracker.update(_at(frame / 10), _seen(points[rng.random(20) < 0.8]))
            out += tracks.memory.tobytes() + tracks.x.tobytes() + tracks.p.tobytes()
            sure |= {state.number for state in tracks if state.status == "confirmed"}
        return out, sure

    runs = [run() for _ in range(20)]
    assert len({out for out, _ in runs}) == 1
    assert len(runs[0][1]) == 20


def test_time_that_runs_back_and_numbers_that_are_none_are_refused() -> None:
    tracker = Tracker()
    tracker.update(_at(1), no_measurements())
    with pytest.raises(InputError, match="came after"):
        tracker.update(_at(0), no_measurements())
    for east, covariance in ((float("nan"), np.eye(2)), (0.0, np.full((2, 2), np.nan)), (0.0, -np.eye(2))):
        with pytest.raises(InputError):
            tracker.update(_at(2), from_covariances([[east, 0.0]], [covariance], [0.9]))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="low_score"):
        Tracker(TrackerConfig(low_score=0.6, high_score=0.5))
    with pytest.raises(ConfigError, match="confirm_hits"):
        Tracker(TrackerConfig(confirm_hits=6, confirm_window=5))
