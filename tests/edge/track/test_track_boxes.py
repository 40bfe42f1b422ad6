"""What boxes tell the tracker: parts of things at the image's edge, boxes that jump, sizes that fit."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edge.geolocation.box_errors import CUT_SHARE, LOOSE_SHARE, NO_EDGE_FREE
from edge.track import Measurements, Tracker, TrackState, from_covariances
from edge.track.boxes import (
    MEMORY_COLUMNS,
    Boxes,
    boxes_on_ground,
    first_looks,
    first_showings,
    is_same_showing,
    remember_showings,
    remember_sides,
    unlikeness,
)
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

START_NS = 1_700_000_000 * NS_PER_S

Free = tuple[int, int]
WHOLE, HIDDEN = (0, 0), (NO_EDGE_FREE, NO_EDGE_FREE)
Box = tuple[float, float, float, float, bool | Free]
"""East, north, width, height in metres, and whether it is whole, or which edges (east, north) stand free."""


def _free(told: bool | Free) -> Free:
    return (WHOLE if told else HIDDEN) if isinstance(told, bool) else told


def _boxes(rows: Sequence[tuple[float, float, bool | Free]]) -> Boxes:
    sides = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2)
    half = np.zeros((len(rows), 2, 2))
    half[:, 0, 0], half[:, 1, 1] = sides[:, 0] / 2, sides[:, 1] / 2
    free = np.array([_free(row[2]) for row in rows], dtype=np.int8).reshape(-1, 2)
    return Boxes(half, np.log(sides), free, (free == 0).all(axis=1))


def _seen(boxes: Sequence[Box], *, cut_sigma: float = 0.5) -> Measurements:
    """Measurements whose errors come from the boxes as `edge.geolocation.box_errors` has them."""
    points = np.array([box[:2] for box in boxes], dtype=np.float64).reshape(-1, 2)
    sigma = [
        (LOOSE_SHARE * min(w, h) if _free(told) == WHOLE else cut_sigma * max(w, h)) + 0.5
        for _, _, w, h, told in boxes
    ]
    covariance = np.eye(2) * np.square(sigma)[:, None, None]
    plain = from_covariances(points, covariance, np.full(len(boxes), 0.9), common_share=0.1)
    sides = _boxes([box[2:] for box in boxes])
    parts = np.array([_free(box[4]) not in (WHOLE, HIDDEN) for box in boxes], dtype=bool)
    plain.own_m2[parts] = 1.0 * np.eye(2)
    plain.own_m2[parts] += sides.cut_m2.T[parts][:, [[0, 1], [1, 2]]]
    return Measurements(
        plain.points_m,
        plain.own_m2,
        plain.shared_m,
        plain.forget_per_s,
        plain.score,
        plain.label_index,
        plain.labels,
        plain.detection_index,
        sides,
    )


def _follow(
    script: Callable[[int], Sequence[Box]], frames: int, rate_hz: float = 2.0
) -> list[list[TrackState]]:
    tracker = Tracker()
    return [
        list(tracker.update(START_NS + round(n / rate_hz * NS_PER_S), _seen(script(n))))
        for n in range(frames)
    ]


def _entering(frame: int) -> list[Box]:
    """A plot of 30 m that comes into the picture from the north by 9 m a frame, a corner first."""
    seen_m = 9.0 * (frame + 1)
    if seen_m >= 30.0:
        return [(0.0, 0.0, 30.0, 30.0, True)]
    return [(12.0 * (1.0 - seen_m / 30.0), (seen_m - 30.0) / 2.0, 6.0 + 0.8 * seen_m, seen_m, False)]


def test_what_comes_into_the_picture_is_not_called_moving() -> None:
    told = _follow(_entering, 20)
    assert [len(states) for states in told] == [1] * 20
    assert not any(state.is_moving for states in told for state in states)
    assert np.hypot(told[-1][0].east_m, told[-1][0].north_m) < 1.0


def test_the_same_middles_without_their_boxes_do_look_like_motion() -> None:
    """That the case above is none that the tracker masters anyhow."""
    tracker, moved = Tracker(), False
    for frame in range(20):
        ((east, north, *_),) = _entering(frame)
        seen = from_covariances([[east, north]], [np.eye(2)], [0.9], common_share=0.1)
        moved |= any(s.is_moving for s in tracker.update(START_NS + frame * NS_PER_S // 2, seen))
    assert moved


def test_a_region_that_takes_in_its_neighbour_and_lets_it_go_stands() -> None:
    rng = np.random.default_rng(5)
    is_in = np.cumsum(rng.random((40, 4)) < 0.2, axis=0) % 2  # each of four neighbours, now and again

    def region(frame: int) -> list[Box]:
        west, south, east, north = np.array([-40.0, -40.0, 40.0, 40.0]) * (1.0 + 0.8 * is_in[frame])
        return [((west + east) / 2, (south + north) / 2, east - west, north - south, True)]

    assert not any(state.is_moving for states in _follow(region, 40) for state in states)


def test_a_vessel_under_way_is_called_moving_after_three_whole_looks() -> None:
    rng = np.random.default_rng(6)

    def vessel(frame: int) -> list[Box]:
        sides = np.array([12.0, 4.0]) * rng.normal(1.0, 0.05, 2)
        return [(6.0 * frame / 2, 0.2 * rng.normal(), *sides, True)]

    told = _follow(vessel, 12)
    assert [states[0].is_moving for states in told][:2] == [False, False]
    assert all(states[0].is_moving for states in told[6:])
    assert told[-1][0].speed_mps == pytest.approx(6.0, abs=0.6)


def test_what_is_only_ever_seen_in_part_has_no_speed() -> None:
    """A road under a platform that flies along it: its middle goes with the picture."""
    told = _follow(lambda frame: [(9.0 * frame, 0.0, 100.0, 30.0, False)], 30)
    assert not any(state.is_moving for states in told for state in states)


def _ship_at_the_top(frame: int) -> list[Box]:
    """A ship of 60 m by 10 m that makes 5 m/s to the east; the picture's upper edge, which goes north and
    south with the camera, always cuts it: only its southern side is ever seen."""
    seen_m = 5.0 + 3.0 * np.sin(frame / 5.0)
    return [(2.5 * frame, (seen_m - 10.0) / 2.0, 60.0, seen_m, (0, -1))]


def test_a_ship_that_the_edge_always_cuts_has_the_speed_of_its_free_side() -> None:
    told = _follow(_ship_at_the_top, 30)
    assert not any(states[0].is_moving for states in told[:5])
    last = told[-1][0]
    assert last.is_moving
    assert (last.east_mps, last.north_mps) == pytest.approx((5.0, 0.0), abs=0.5)
    assert last.covariance_m2[1, 1] > (CUT_SHARE * 60.0) ** 2, "its middle is as unknown as it was"


def test_what_the_edge_lets_in_little_by_little_stands() -> None:
    """Of a field of 60 by 40 m more is seen each frame; its middle goes on by 2 m, its side stays."""

    def field(frame: int) -> list[Box]:
        seen_m = min(40.0, 4.0 * (frame + 1))
        return [(0.0, (seen_m - 40.0) / 2.0, 60.0, seen_m, (0, -1) if seen_m < 40.0 else WHOLE)]

    told = _follow(field, 20)
    assert [len(states) for states in told] == [1] * 20
    assert not any(state.is_moving for states in told for state in states)
    assert abs(told[-1][0].north_m) < 1.0


@pytest.mark.parametrize("free", [(-1, -1), (NO_EDGE_FREE, 1), (NO_EDGE_FREE, 0)])
def test_a_corner_and_what_is_wider_than_the_picture_show_no_speed(free: Free) -> None:
    told = _follow(lambda frame: [(2.5 * frame, 0.0, 60.0, 30.0, free)], 30)
    assert not any(state.is_moving for states in told for state in states)


def test_a_speed_that_an_edge_has_shown_stays_when_the_whole_thing_comes_into_the_picture() -> None:
    def ship(frame: int) -> list[Box]:
        if frame < 20:
            return _ship_at_the_top(frame)
        return [(2.5 * frame, 0.0, 60.0, 10.0, WHOLE)]

    told = _follow(ship, 26)
    assert {states[0].number for states in told} == {1}
    assert all(states[0].is_moving for states in told[19:])
    assert np.hypot(told[20][0].east_m - 50.0, told[20][0].north_m) < 5.0


def test_the_free_edge_of_a_box_lies_on_its_own_side_of_the_middle() -> None:
    """Straight down, image up is north: right is east, down is south; 100 m a radian."""
    by_angle = np.array(
        [[[0.0, 100.0], [100.0, 0.0]]]
    )  # about the right axis: north; about the down axis: east
    half_rad = np.array([[0.2, 0.1]])
    for free, east, north in (
        ((1, 0), 20.0, 0.0),
        ((-1, 0), -20.0, 0.0),
        ((0, 1), 0.0, -10.0),
        ((0, 2), 0, 0),
    ):
        made = boxes_on_ground(by_angle, half_rad, np.array([100.0]), np.array([free], dtype=np.int8))
        assert made.to_free_edge_m[0].tolist() == [east, north]
        assert not made.is_whole[0]


def test_a_showing_is_the_same_while_one_edge_is_free_and_the_side_beside_it_keeps_its_length() -> None:
    begun = first_showings(_boxes([(60.0, 4.0, (0, -1))]))

    def same(width: float, height: float, free: Free) -> bool:
        return bool(is_same_showing(begun, _boxes([(width, height, free)]))[0])

    assert same(60.0, 9.0, (0, -1))
    assert same(70.0, 9.0, (0, -1))
    assert not same(90.0, 9.0, (0, -1))
    assert not same(60.0, 4.0, (0, 1))
    assert not same(60.0, 4.0, WHOLE)
    farther, variance = remember_showings(begun, _boxes([(66.0, 10.0, (0, -1))]))
    assert farther[0] == pytest.approx([0.0, -3.0])
    assert variance[0] == pytest.approx([(6.0 / 66.0) ** 2 + (2.0 * LOOSE_SHARE) ** 2, 0.0])


def test_what_stood_and_was_out_of_sight_is_judged_by_its_new_looks_alone() -> None:
    def moored_then_under_way(frame: int) -> list[Box]:
        if 10 <= frame < 40:
            return []
        return [(2.0 * max(0, frame - 40), 0.0, 12.0, 4.0, True)]

    told = _follow(moored_then_under_way, 60)
    assert not any(state.is_moving for states in told[:42] for state in states)
    assert told[-1][0].number == 1
    assert told[-1][0].is_moving
    assert told[-1][0].speed_mps == pytest.approx(4.0, abs=0.4)


def test_a_place_that_jumps_while_out_of_sight_is_no_speed() -> None:
    def here_then_there(frame: int) -> list[Box]:
        if 8 <= frame < 24:
            return []
        return [(0.0 if frame < 8 else 15.0, 0.0, 12.0, 4.0, True)]

    assert not any(state.is_moving for states in _follow(here_then_there, 60) for state in states)


def test_a_vague_part_beside_it_does_not_take_a_sharp_track_away() -> None:
    def house_and_road(frame: int) -> list[Box]:
        return [(10.0 + 4.0 * frame, 5.0, 80.0, 60.0, False), (0.0, 0.0, 10.0, 8.0, True)]

    told = _follow(house_and_road, 20)
    numbers = {s.number for states in told for s in states if s.detection_index == 1}
    assert len(numbers) == 1


def test_edges_that_move_are_an_error_of_the_middle_and_steady_ones_are_none() -> None:
    remembered = first_looks(_boxes([(10.0, 10.0, True), (10.0, 10.0, True), (10.0, 10.0, True)]))
    assert remembered.shape == (3, MEMORY_COLUMNS)
    variance, _ = remember_sides(
        remembered, _boxes([(10.2, 9.9, True), (20.0, 10.0, True), (5.0, 10.0, True)])
    )
    loose = 2.0 * (2.0 * LOOSE_SHARE) ** 2
    assert variance[0].tolist() == [0.0, 0.0]
    # One edge went out by 10 m, the middle by 5 m: half of half a side. Or in by 5 m: all of half a side.
    assert variance[1] == pytest.approx([0.25 - loose, 0.0])
    assert variance[2] == pytest.approx([1.0 - loose, 0.0])


def test_a_track_learns_how_unsteady_its_box_is() -> None:
    remembered = first_looks(_boxes([(10.0, 10.0, True)]))
    for frame in range(20):
        remember_sides(remembered, _boxes([(10.0 if frame % 2 else 20.0, 10.0, True)]))
    (variance,), (unusual,) = remember_sides(remembered, _boxes([(10.0, 10.0, True)]))
    assert unusual[0] < 0.5 * variance[0], "what a box always does is no news"
    assert variance[0] > 0.3
    assert variance[1] == 0.0


def test_size_speaks_against_another_thing_but_a_part_may_be_smaller() -> None:
    whole = first_looks(_boxes([(10.0, 10.0, True)]))
    part = first_looks(_boxes([(10.0, 10.0, False)]))

    def against(memory: np.ndarray, side: float, is_whole: bool, *, is_strict: bool = False) -> float:
        return float(unlikeness(memory, _boxes([(side, side, is_whole)]), is_strict=is_strict)[0])

    assert against(whole, 10.0, True) == 0.0
    assert against(whole, 80.0, True) > 8.0
    assert against(whole, 2.0, True) > 8.0
    assert against(whole, 2.0, False) == 0.0
    assert against(whole, 80.0, False) > 8.0
    assert against(part, 80.0, True) == 0.0
    assert against(part, 2.0, True) > 8.0
    assert against(whole, 2.0, False, is_strict=True) > 8.0


@pytest.mark.parametrize(
    "column, value",
    [
        ("half_m", np.full((1, 2, 2), np.nan)),
        ("half_m", np.zeros((2, 2, 2))),
        ("half_m", np.full((1, 2, 2), 1e300)),
        ("log_side", np.array([[np.inf, 0.0]])),
        ("log_side", np.zeros((1, 3))),
        ("free", np.zeros((1, 3), dtype=np.int8)),
        ("free", np.full((1, 2), 7, dtype=np.int8)),
        ("is_whole", np.zeros(2, dtype=bool)),
    ],
)
def test_boxes_that_cannot_be_are_refused_and_change_nothing(column: str, value: np.ndarray) -> None:
    tracker = Tracker()
    good = _seen([(0.0, 0.0, 5.0, 5.0, True)])
    tracker.update(START_NS, good)
    sides = good.boxes
    assert sides is not None
    names = ("half_m", "log_side", "free", "is_whole")
    columns = {name: getattr(sides, name) for name in names} | {column: value}
    bad = Measurements(
        good.points_m,
        good.own_m2,
        good.shared_m,
        good.forget_per_s,
        good.score,
        good.label_index,
        good.labels,
        good.detection_index,
        Boxes(**columns),
    )
    with pytest.raises(InputError):
        tracker.update(START_NS + NS_PER_S, bad)
    (state,) = tracker.update(START_NS + NS_PER_S, good)
    assert (state.number, state.look_count) == (1, 2)
