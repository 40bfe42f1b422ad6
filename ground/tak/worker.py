"""The threads that keep the feeds going: one for each, calling again after what failed, with rests that
grow.
"""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ground.tak.config import TakFeedConfig
from ground.tak.connections import Outgoing, TakCounts, open_outgoing
from ground.tak.memory import MemoryFile, SentMemory
from ground.tak.offers import Offered
from skywarden.clock import Clock
from skywarden.errors import ConfigError, LinkError, StoreError

_log = structlog.get_logger("ground.tak")

_TURN_S = 0.5
_REST_S = (1.0, 60.0)
_STOP_S = 3.0
_KEEP_S = 10.0


class TakFeed:
    """One feed. `start` raises `ConfigError` for files that are none and `LinkError` for an address in
    use.
    """

    def __init__(
        self,
        config: TakFeedConfig,
        offers: Callable[[int], Offered],
        clock: Clock,
        number: int = 0,
        *,
        memory: Path | None = None,
    ) -> None:
        """`memory` is the file that remembers what was told, over restarts; `None` for none."""
        self.config = config
        self._file = MemoryFile(memory) if memory is not None else None
        self._memory = SentMemory.of()
        self._kept_s = 0.0
        self.fault: str | None = None
        self._offers = offers
        self._clock = clock
        self._outgoing: Outgoing | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ground.tak.{number}", daemon=True)

    @property
    def counts(self) -> TakCounts:
        """What became of events."""
        return self._outgoing.counts if self._outgoing is not None else TakCounts()

    @property
    def receivers(self) -> int:
        """How many take part now."""
        return self._outgoing.receivers if self._outgoing is not None else 0

    @property
    def waiting(self) -> int:
        """How many events are due and over the rate."""
        return self._outgoing.waiting if self._outgoing is not None else 0

    @property
    def outgoing(self) -> Outgoing | None:
        """The transport, once started."""
        return self._outgoing

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Open the address and begin."""
        if self._file is not None:
            self._memory = self._file.read()
        self._outgoing = open_outgoing(self.config, self._memory)
        if not self.config.address.is_tls:
            _log.info("this feed to TAK is not encrypted", url=self.config.url)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let go of the sockets."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._outgoing is not None:
            self._outgoing.close()
        try:
            self._keep()
        except StoreError as error:
            _log.warning("what was told to TAK is not remembered", reason=str(error))

    def problems(self) -> list[str]:
        """Sentences for the station's notices."""
        if self._outgoing is None:
            return []
        if not self.is_alive:
            return [f"nothing goes to TAK at {self.config.url}: its thread has ended"]
        found = [] if self.fault is None else [f"nothing goes to TAK: {self.fault}"]
        if self.counts.too_large:
            found.append(
                f"{self.counts.too_large} events for TAK at {self.config.url} were too large for a datagram"
            )
        return found

    def _run(self) -> None:
        rest_s = _REST_S[0]
        while not self._stopping.wait(_TURN_S):
            try:
                self._turn()
                rest_s = _REST_S[0]
                self._note(None)
            except (LinkError, StoreError, ConfigError) as error:
                self._note(str(error))
                self._stopping.wait(rest_s * random.uniform(0.8, 1.2))
                rest_s = min(_REST_S[1], 2.0 * rest_s)
            except Exception as error:  # noqa: BLE001 - the outermost loop: the feed must go on
                self._note(f"{type(error).__name__}: {error}")
                self._stopping.wait(rest_s)

    def _turn(self) -> None:
        assert self._outgoing is not None
        now_ns = self._clock.utc_ns()
        offered = self._offers(now_ns)
        self._outgoing.turn(offered.events, offered.held, now_ns)
        if time.monotonic() - self._kept_s >= _KEEP_S:
            self._kept_s = time.monotonic()
            self._keep()

    def _keep(self) -> None:
        if self._file is not None and self._memory.is_changed:
            self._memory.is_changed = False
            self._file.write(self._memory.standing(self._clock.utc_ns()))

    def _note(self, fault: str | None) -> None:
        """Log when a fault begins and when it ends."""
        if fault is not None and self.fault is None:
            _log.warning("nothing goes to TAK, tried again", reason=fault)
        elif fault is None and self.fault is not None:
            _log.info("TAK is told again", url=self.config.url)
        self.fault = fault
