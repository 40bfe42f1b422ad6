"""Restart with backoff and a cap; a child that hangs is killed. Real processes, time handed in."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from edge.environment import clean_environment
from edge.supervisor import Child, RestartPolicy

S = 1_000_000_000


def test_restarts_back_off_and_then_keep_to_one_a_minute() -> None:
    policy = RestartPolicy(max_per_minute=5, first_delay_s=0.5)
    now, starts = 0, []
    while now < 200 * S:
        if policy.may_start(now):
            policy.started(now)
            starts.append(now / S)
            policy.died(now + S // 10)
        now += S // 10
    assert starts[0] == 0.0
    assert starts[1] < 1.0
    within_a_minute = [start for start in starts if start < 60]
    assert len(within_a_minute) == 5
    later = [start for start in starts if start >= 60]
    assert len(later) <= 3
    assert later, "a part that is degraded is still tried"


def test_a_part_that_ran_well_for_long_starts_again_at_once() -> None:
    policy = RestartPolicy(first_delay_s=0.5)
    for start in (0, 1 * S, 3 * S):
        policy.started(start)
        policy.died(start + S // 10)
    policy.started(10 * S)
    policy.died(100 * S)
    assert not policy.may_start(100 * S)
    assert policy.may_start(100 * S + S // 2)


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Makes children of Python code; whatever of them still lives is ended."""
    made: list[Child] = []

    def make(code: str, *, hang_s: float = 60.0, start_s: float = 60.0) -> Child:
        def argv(start: int) -> Sequence[str]:
            return [sys.executable, "-c", code, str(start)]

        made.append(Child("test", argv, hang_s=hang_s, start_s=start_s))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def wait_until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"


def test_a_child_that_ends_is_started_again_with_the_next_number(child: Callable[..., Child]) -> None:
    short = child("import sys; sys.exit(3)")
    assert short.tend(0) == "running"
    wait_until(lambda: short.tend(1) != "running")
    assert short.last_end == "ended with code 3"
    assert short.tend(10 * S) == "running"
    assert short.start_count == 2


def test_a_child_without_signs_of_life_is_killed(child: Callable[..., Child]) -> None:
    hanging = child("import signal; signal.pause()", hang_s=5.0, start_s=5.0)
    hanging.tend(0)
    pid = hanging.pid
    assert hanging.tend(4 * S) == "running"
    hanging.alive(4 * S)
    assert hanging.tend(8 * S) == "running"
    now = itertools.count(10 * S, 5 * S)  # on a busy computer the end of the process comes a little later
    wait_until(lambda: hanging.tend(next(now)) != "degraded")
    assert pid is not None
    assert hanging.last_end in ("gave no sign of life and was killed", "was ended by SIGKILL")


def test_a_child_that_ignores_the_request_to_stop_is_ended(child: Callable[..., Child]) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    stubborn = child(code)
    stubborn.tend(0)
    stubborn.stop(timeout_s=0.2)
    assert stubborn.pid is None


def test_children_do_not_inherit_what_opencv_leaves_in_the_environment() -> None:
    import cv2  # noqa: F401  (importing it changes the environment)

    environment = clean_environment()
    assert not any(name.startswith("QT_QPA_") and "cv2" in environment[name] for name in environment)
    assert all(environment.get("LD_LIBRARY_PATH", "x").split(":")), "an empty part is the current folder"
