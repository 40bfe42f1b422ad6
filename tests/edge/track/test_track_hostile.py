"""The tracker under hostile input: clear refusals, nothing half done, bounded memory, order that is kept."""

import numpy as np
import pytest

from edge.track import Measurements, Tracker, TrackerConfig, from_covariances, no_measurements
from edge.track.association import MAX_PAIRS, near_pairs
from edge.track.measurements import MAX_MEASUREMENTS
from edge.track.tracker import MAX_TRACKS
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

START_NS = 1_700_000_000 * NS_PER_S


def _seen(points_m: np.ndarray, sigma_m: float = 1.0, score: float = 0.9) -> Measurements:
    count = len(points_m)
    return from_covariances(
        points_m, np.repeat(np.eye(2)[None] * sigma_m**2, count, axis=0), np.full(count, score)
    )


def _with(seen: Measurements, **columns: np.ndarray) -> Measurements:
    names = ("points_m", "own_m2", "shared_m", "forget_per_s", "score", "label_index", "labels")
    values = [columns.get(name, getattr(seen, name)) for name in (*names, "detection_index")]
    return Measurements(*values)


@pytest.mark.parametrize(
    "column, value",
    [
        ("points_m", np.array([[np.nan, 0.0]])),
        ("points_m", np.array([[np.inf, 0.0]])),
        ("points_m", np.array([[1e300, 0.0]])),
        ("own_m2", np.full((1, 2, 2), np.nan)),
        ("own_m2", -np.eye(2)[None]),
        ("own_m2", np.array([[[1.0, 2.0], [2.0, 1.0]]])),
        ("own_m2", np.zeros((1, 2, 2))),
        ("shared_m", np.full((1, 2, 2), np.nan)),
        ("shared_m", np.zeros((1, 3, 2))),
        ("forget_per_s", np.array([np.nan, 0.1])),
        ("forget_per_s", np.array([-0.1, 0.1])),
        ("score", np.array([np.nan])),
        ("score", np.array([1.5])),
        ("score", np.array([0.5, 0.5])),
        ("label_index", np.array([7])),
        ("label_index", np.array([-1])),
        ("detection_index", np.array([0, 1])),
        ("detection_index", np.array([-1])),
    ],
)
def test_columns_that_cannot_be_are_refused_and_change_nothing(column: str, value: np.ndarray) -> None:
    tracker = Tracker()
    tracker.update(START_NS, _seen(np.zeros((1, 2))))
    bad = _with(_seen(np.zeros((1, 2))), **{column: value})
    with pytest.raises(InputError):
        tracker.update(START_NS + NS_PER_S, bad)
    after = tracker.update(START_NS + NS_PER_S, _seen(np.zeros((1, 2))))
    assert [(state.number, state.look_count) for state in after] == [(1, 2)]


def test_five_thousand_measurements_are_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match=f"5000 .* {MAX_MEASUREMENTS}"):
        Tracker().update(START_NS, _seen(np.zeros((5000, 2))))
    big = _seen(np.zeros((1, 2))).taken(np.zeros(5000, dtype=np.intp))
    with pytest.raises(InputError, match="5000"):
        Tracker().update(START_NS, big)


def test_tracks_are_bounded_however_much_is_seen() -> None:
    rng, tracker = np.random.default_rng(1), Tracker()
    for frame in range(4):
        points = rng.uniform(-1e5, 1e5, (2500, 2))
        tracks = tracker.update(START_NS + frame * NS_PER_S // 30, _seen(points))
        assert len(tracks) <= MAX_TRACKS
    assert len(set(tracks.memory["number"].tolist())) == len(tracks)


def test_where_not_all_can_begin_the_surest_do() -> None:
    points = np.arange(MAX_MEASUREMENTS)[:, None] * np.array([[100.0, 0.0]])
    tracker = Tracker()
    tracker.update(START_NS, _seen(points[: MAX_TRACKS - 1]))
    late = from_covariances(
        [[0.0, 1e5], [0.0, 2e5], [0.0, 3e5]], np.repeat(np.eye(2)[None], 3, axis=0), [0.6, 0.9, 0.7]
    )
    states = list(tracker.update(START_NS, late))
    assert len(states) == MAX_TRACKS
    assert states[-1].north_m == pytest.approx(2e5)


@pytest.mark.slow
def test_a_crowd_on_one_spot_costs_bounded_work() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(0.0, 1.0, (3000, 2))
    track, measurement = near_pairs(points, np.full(3000, 1e3), points, np.full(3000, 1e3))
    assert 0 < len(track) <= MAX_PAIRS
    assert np.bincount(track).min() >= 1
    assert measurement.max() < 3000


def test_the_same_place_twice_in_a_frame_is_one_object() -> None:
    tracker = Tracker()
    for frame in range(10):
        tracks = tracker.update(START_NS + frame * NS_PER_S // 10, _seen(np.zeros((5, 2))))
    assert [(state.number, state.status) for state in tracks] == [(1, "confirmed")]


def test_the_same_frame_twice_is_two_looks_and_no_division_by_zero() -> None:
    tracker = Tracker()
    for _ in range(4):
        tracks = tracker.update(START_NS, _seen(np.zeros((1, 2))))
    (state,) = tracks
    assert state.look_count == 4
    assert np.isfinite(state.covariance_m2).all()
    assert not state.is_moving


def test_hours_without_a_frame_end_what_was_followed() -> None:
    tracker = Tracker()
    for frame in range(4):
        tracker.update(START_NS + frame * NS_PER_S, _seen(np.zeros((1, 2))))
    later = tracker.update(START_NS + 7200 * NS_PER_S, no_measurements())
    assert [state.status for state in later] == ["dropped"]


def test_another_number_of_shared_errors_is_refused_while_tracks_live() -> None:
    tracker = Tracker()
    tracker.update(START_NS, _seen(np.zeros((1, 2))))
    other = _with(_seen(np.zeros((1, 2))), shared_m=np.zeros((1, 2, 3)), forget_per_s=np.full(3, 0.1))
    with pytest.raises(InputError, match="3 shared errors after some with 2"):
        tracker.update(START_NS, other)


def test_labels_that_never_end_are_refused() -> None:
    tracker = Tracker()
    for frame in range(256):
        seen = from_covariances([[0.0, 0.0]], [np.eye(2)], [0.9], labels=(f"label {frame}",))
        tracker.update(START_NS + frame, seen)
    one_more = from_covariances([[0.0, 0.0]], [np.eye(2)], [0.9], labels=("one more",))
    with pytest.raises(InputError, match="257 different labels"):
        tracker.update(START_NS + 300, one_more)


@pytest.mark.slow
def test_covariances_stay_positive_definite_through_anything_that_is_allowed() -> None:
    rng = np.random.default_rng(11)
    tracker = Tracker(TrackerConfig(coast_static_s=1e3))
    time_ns = START_NS
    for _ in range(400):
        time_ns += int(rng.choice([0, 1, 10**6, 33 * 10**6, 10**9, 20 * 10**9]))
        count = int(rng.integers(0, 12))
        shared = rng.normal(0.0, 1.0, (count, 2, 5)) * 10.0 ** rng.uniform(-3, 2, (count, 1, 1))
        root = rng.normal(0.0, 1.0, (count, 2, 2)) * 10.0 ** rng.uniform(-2, 1.5, (count, 1, 1))
        own = root @ root.transpose(0, 2, 1) + 1e-4 * np.eye(2)
        seen = Measurements(
            rng.normal(0.0, 30.0, (count, 2)),
            own,
            shared,
            np.array([0.0, 0.01, 0.1, 1.0, 10.0]),
            rng.uniform(0.0, 1.0, count),
            rng.integers(0, 2, count),
            ("boat", "buoy"),
            np.arange(count),
        )
        tracks = tracker.update(time_ns, seen)
        assert np.isfinite(tracks.x).all()
        if len(tracks):
            sizes = np.sqrt(np.einsum("nii->ni", tracks.p))
            assert (sizes > 0.0).all()
            scaled = tracks.p / sizes[:, :, None] / sizes[:, None, :]
            assert np.linalg.eigvalsh(scaled).min() > -1e-9
