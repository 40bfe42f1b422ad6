"""Who takes records in goes first; who computes beside him in the same interpreter asks between two steps.

One interpreter runs one thread at a time, and a thread that does arithmetic gets it back as soon as another
waits for a disk or a socket: reception, which waits at every turn, then comes last. Hand-written because
Python's threads have no priorities.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_S = 0.05
"""However much comes in, a step is done so often."""


class Precedence:
    """Shared by one that goes first and any number of others; safe from any thread."""

    def __init__(self) -> None:
        self._is_free = threading.Event()
        self._is_free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """In this block the others wait; for one thread, the one that takes records in."""
        self._is_free.clear()
        try:
            yield
        finally:
            self._is_free.set()

    def give_way(self) -> None:
        """Between two steps of work that can wait: return when nobody is first, or after 50 ms."""
        self._is_free.wait(_LONGEST_S)
