"""Who takes records in goes first; who computes beside him in the same interpreter asks between two steps.

One interpreter runs one thread at a time, and a thread that does arithmetic gets it back as soon as another
waits for a disk or a socket: reception, which waits at every turn, then comes last. Hand-written because
Python's threads have no priorities.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_S = 0.05
"""However much comes in, a step is done so often."""
_PAUSE_S = 0.015
"""To take the interpreter over costs a step of the other; so it is taken over seldom, for more at once."""


class Precedence:
    """Shared by one that goes first and any number of others; safe from any thread."""

    def __init__(self) -> None:
        self._is_free = threading.Event()
        self._is_free.set()
        self._working = 0
        self._lock = threading.Lock()

    @contextmanager
    def first(self) -> Iterator[None]:
        """In this block the others wait; for one thread, the one that takes records in."""
        self._is_free.clear()
        try:
            yield
        finally:
            self._is_free.set()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """In this block long work is done that gives way."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def gather(self) -> None:
        """Before going first: while others work, let them for 15 ms, and more come in; else not at all."""
        if self._working:
            time.sleep(_PAUSE_S)

    def give_way(self) -> None:
        """Between two steps of work that can wait: return when nobody is first, or after 50 ms."""
        self._is_free.wait(_LONGEST_S)
