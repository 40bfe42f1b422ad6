"""Who goes first is not waited upon for ever, and nobody waits when nobody is first."""

import threading
import time

import pytest

from ground.picture.precedence import Precedence

LIMIT_S = 10.0


def test_others_wait_while_one_is_first() -> None:
    precedence = Precedence()
    steps: list[str] = []
    is_in, may_leave = threading.Event(), threading.Event()

    def take_in() -> None:
        with precedence.first():
            is_in.set()
            assert may_leave.wait(LIMIT_S)
            steps.append("taken in")

    thread = threading.Thread(target=take_in)
    thread.start()
    assert is_in.wait(LIMIT_S)
    precedence.give_way()  # a step is done even so
    steps.append("worked")
    may_leave.set()
    thread.join(LIMIT_S)
    precedence.give_way()
    assert steps == ["worked", "taken in"]


def test_the_first_lets_more_come_in_only_while_others_work() -> None:
    precedence = Precedence()
    naps: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", naps.append)
        precedence.gather()
        with precedence.beside():
            precedence.gather()
        precedence.gather()
    assert naps == [0.015]


def test_a_failure_of_the_first_lets_the_others_go_on() -> None:
    precedence = Precedence()
    began_s = time.thread_time()
    try:
        with precedence.first():
            raise ValueError
    except ValueError:
        for _ in range(1_000):
            precedence.give_way()
    assert time.thread_time() - began_s < LIMIT_S
