"""What has been started, ended in the opposite order."""

import threading
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger("ground.serve")

_SLOW_S = 2.5


class Parts:
    """The started parts of a station; what was added last ends first."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._stops: list[tuple[str, Callable[[], None]]] = []
        self._lock = threading.Lock()

    def add(self, name: str, stop: Callable[[], None]) -> None:
        """Have `stop` called when the station ends; add it before anything that uses the part."""
        self._stops.append((name, stop))

    def stop(self) -> None:
        """End all of them; a second call does nothing."""
        with self._lock:
            self.ended.set()
            while self._stops:
                name, stop = self._stops.pop()
                began_s = time.monotonic()
                stop()
                if time.monotonic() - began_s > _SLOW_S:
                    _log.warning("a part was slow to end", part=name)
