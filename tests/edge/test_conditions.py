"""A condition is told when it begins, changes and ends, not in between."""

from edge.conditions import ConditionBoard


def test_a_condition_is_told_at_its_begin_and_at_its_end_only() -> None:
    board = ConditionBoard("uav07")
    first = board.begin("camera.eo", "frozen", "degraded", "no change for 5 s", 1000)
    assert first is not None
    assert (first.state, first.since_ns) == ("degraded", 1000)
    assert board.begin("camera.eo", "frozen", "degraded", "no change for 6 s", 2000) is None
    assert board.current()[0].text == "no change for 6 s"
    last = board.end("camera.eo", "frozen", 3000)
    assert last is not None
    assert (last.state, last.since_ns, last.time_ns) == ("ok", 1000, 3000)
    assert board.end("camera.eo", "frozen", 4000) is None
    assert board.current() == []


def test_a_condition_that_gets_worse_is_told_again_and_keeps_its_begin() -> None:
    board = ConditionBoard("uav07")
    board.begin("recorder", "disk", "degraded", "little space", 1000)
    worse = board.begin("recorder", "disk", "failed", "no space", 2000)
    assert worse is not None
    assert (worse.state, worse.since_ns) == ("failed", 1000)
    assert board.worst == "failed"


def test_the_worst_of_nothing_is_ok_and_the_order_is_fixed() -> None:
    board = ConditionBoard("uav07")
    assert board.worst == "ok"
    board.set(True, "mavlink", "stale", "degraded", "", 1)
    board.set(True, "camera.eo", "black", "degraded", "", 1)
    assert [health.component for health in board.current()] == ["camera.eo", "mavlink"]
    assert board.worst == "degraded"
    assert board.set(False, "mavlink", "stale", "degraded", "", 2) is not None
