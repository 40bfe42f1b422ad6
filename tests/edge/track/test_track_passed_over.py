"""Where nobody looked nothing was missed: a track that is passed over keeps its status, but not for ever."""

import numpy as np

from edge.track import Measurements, Tracker, TrackerConfig, from_covariances, no_measurements
from skywarden.clock import NS_PER_S

START_NS = 1_700_000_000 * NS_PER_S


def _seen(*points_m: tuple[float, float]) -> Measurements:
    points = np.array(points_m, dtype=np.float64).reshape(-1, 2)
    covariance = np.repeat((np.eye(2) * 4.0)[None], len(points), axis=0)
    return from_covariances(points, covariance, np.full(len(points), 0.9), labels=("boat",))


def _at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def _followed(count: int = 1) -> Tracker:
    """`count` confirmed tracks, 100 m apart, numbered from 1, after two seconds."""
    tracker = Tracker(TrackerConfig())
    for second in range(3):
        tracker.update(_at(second), _seen(*((100.0 * n, 0.0) for n in range(count))))
    return tracker


def test_a_confirmed_track_that_is_passed_over_does_not_coast() -> None:
    tracker = _followed()
    assert [s.status for s in tracker.update(_at(3), no_measurements(), [1])] == ["confirmed"]
    assert [s.status for s in tracker.update(_at(4), no_measurements())] == ["coasting"]
    assert [s.status for s in tracker.update(_at(5), no_measurements(), [1])] == ["coasting"]
    assert [s.status for s in tracker.update(_at(6), _seen((0.0, 0.0)), [1])] == ["confirmed"]


def test_a_young_track_that_is_passed_over_neither_rises_nor_falls() -> None:
    tracker = Tracker(TrackerConfig())
    tracker.update(_at(0), _seen((0.0, 0.0)))
    for tenth in range(1, 20):
        (state,) = tracker.update(_at(tenth / 10), no_measurements(), [1])
        assert state.status == "tentative"
    tracker.update(_at(2.0), _seen((0.0, 0.0)))
    (state,) = tracker.update(_at(2.1), _seen((0.0, 0.0)))
    assert state.status == "confirmed"


def test_a_track_that_nobody_looks_for_ends_when_its_time_is_over() -> None:
    tracker = _followed()
    states = [tracker.update(_at(second), no_measurements(), [1]) for second in range(3, 70)]
    assert [s.status for group in states for s in group][-1] == "dropped"
    assert list(states[-1]) == []


def test_tracks_passed_over_do_not_make_a_false_alarm_look_like_a_lost_attitude() -> None:
    told, silent = _followed(6), _followed(6)
    for second in range(3, 8):
        seen = _seen((0.0, 0.0), (5000.0, 700.0 * second))
        kept = list(told.update(_at(second), seen, range(2, 7)))
        silent.update(_at(second), seen)
    assert [s.status for s in kept if s.number <= 6] == ["confirmed"] * 6
