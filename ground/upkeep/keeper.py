"""Keeps to the times for which things are kept, while the station runs: a pass an hour, in small steps.

Each step is one short transaction; records come in between two of them. The file is not written anew (that
would hold everything up): what is erased is overwritten in its pages, and `skywarden ground expire` on a
stopped station makes the file small. A clock that is wrong must not erase: a pass is left out after a leap of
the station's clock, and while nothing was received for a month.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import structlog
from msgspec import Meta

from ground.store.retention import Erased, Expired, find_old
from ground.store.schema import as_store_errors, open_for_reading
from skywarden.clock import Clock
from skywarden.config import Config
from skywarden.errors import StoreError

_log = structlog.get_logger("ground.upkeep.keeper")

_DAY_NS = 86_400_000_000_000
_LEAP_NS = 60_000_000_000
_MAX_SILENCE_DAYS = 30
_REST_S = 0.02
_FIRST_S = 60.0

Days = Annotated[float, Meta(ge=0.0, le=36_500.0)]


class RetentionConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long things are kept after they were received, by the station's clock; held things stay.

    Attributes:
        every_s: a pass so often while the station runs; 0 erases nothing by itself.
        sightings_days: sightings and what was worked out from them; 0 keeps them for ever.
        chips_days: the pictures of sightings; 0 keeps them for ever.
        other_days: everything else that platforms sent, and quarantine; 0 keeps it for ever.
    """

    every_s: Annotated[float, Meta(ge=0.0, le=604_800.0)] = 3_600.0
    sightings_days: Days = 0.0
    chips_days: Days = 0.0
    other_days: Days = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is ever erased."""
        return self.every_s > 0 and max(self.sightings_days, self.chips_days, self.other_days) > 0

    def limits(self, now_ns: int) -> tuple[dict[str, int], int]:
        """What was received before these times (by topic, and for other topics) is too old; 0 keeps it."""

        def before(days: float) -> int:
            return max(0, now_ns - round(days * _DAY_NS)) if days else 0

        by_topic = {"sighting": before(self.sightings_days), "chip": before(self.chips_days)}
        return by_topic, before(self.other_days)


class ErasingStore(Protocol):
    """The part of a store that this needs."""

    def erase(self, record_keys: tuple[int, ...], now_ns: int) -> Erased:
        """Erase these records in one transaction."""
        ...

    def erase_quarantine(self, before_ns: int) -> int:
        """Erase some of what is in quarantine for so long; how many."""
        ...


class RetentionKeeper:
    """Thread `ground.retention`; `sweep` is one pass, with the time handed in.

    `on_erased` hears of every step (thread: whoever sweeps), `on_pass` of every pass that erased something.
    """

    def __init__(
        self,
        config: RetentionConfig,
        path: Path,
        store: ErasingStore,
        clock: Clock,
        *,
        on_erased: Callable[[Erased], None],
        on_pass: Callable[[Expired], None],
    ) -> None:
        self._config = config
        self._path = path
        self._store = store
        self._clock = clock
        self._on_erased = on_erased
        self._on_pass = on_pass
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.retention", daemon=True)
        self._offset_ns = clock.utc_ns() - clock.monotonic_ns()
        self._fault: str | None = None
        self.passes = 0

    def start(self) -> None:
        """Begin, when there is anything to do."""
        if self._config.is_on:
            self._thread.start()

    def stop(self) -> None:
        """End after the step that is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def problems(self) -> list[str]:
        """Why nothing too old is erased, when that is so."""
        return [f"what is too old is not erased: {self._fault}"] if self._fault is not None else []

    def sweep(self, now_ns: int) -> Expired:
        """One pass as of `now_ns` (UTC); ends early when stopped. Raises `StoreError`."""
        by_topic, default_ns = self._config.limits(now_ns)
        found = Expired()
        db = open_for_reading(self._path)
        try:
            with as_store_errors(self._path):
                self._fault = self._doubt(db, now_ns)
                for keys in find_old(db, by_topic, default_ns) if self._fault is None else ():
                    self._count(found, self._store.erase(keys, now_ns))
                    if self._stopping.wait(_REST_S):
                        break
        finally:
            db.close()
        if default_ns and self._fault is None:
            while (removed := self._store.erase_quarantine(default_ns)) and not self._stopping.wait(_REST_S):
                found.quarantined += removed
        self.passes += 1
        return found

    def _count(self, found: Expired, step: Erased) -> None:
        for topic, count in step.by_topic.items():
            found.erased[topic] = found.erased.get(topic, 0) + count
        found.held += step.held
        found.contacts += len(step.contact_ids)
        self._on_erased(step)

    def _doubt(self, db: Any, now_ns: int) -> str | None:
        """Why the clock may be wrong, in words."""
        newest = _newest_received(db)
        if newest and now_ns - newest > _MAX_SILENCE_DAYS * _DAY_NS:
            days = (now_ns - newest) / _DAY_NS
            return (
                f"nothing was received for {days:.0f} days, if the station's clock is right; `skywarden "
                "ground expire` erases by hand, or wait for the next record"
            )
        return None

    def _run(self) -> None:
        wait_s = min(_FIRST_S, self._config.every_s)
        while not self._stopping.wait(wait_s):
            wait_s = self._config.every_s
            leap_ns = self._clock.utc_ns() - self._clock.monotonic_ns() - self._offset_ns
            if abs(leap_ns) > _LEAP_NS:
                if self._fault is None:
                    _log.warning("the clock leapt: nothing is erased", leap_s=leap_ns / 1e9)
                self._fault = (
                    f"the station's clock leapt by {leap_ns / 1e9:.0f} s since it started; start the station "
                    "anew when its clock is right"
                )
                continue
            try:
                self._tell(self.sweep(self._clock.utc_ns()))
            except StoreError as error:
                self._fault = str(error)
                _log.error("retention failed, tried again later", reason=str(error))
            except Exception as error:  # noqa: BLE001 - the outermost loop: the next pass may work
                self._fault = f"{type(error).__name__}: {error}"
                _log.error("retention failed, tried again later", error=self._fault)

    def _tell(self, found: Expired) -> None:
        if found.erased or found.quarantined:
            _log.info("erased what was too old", **msgspec.to_builtins(found))
            self._on_pass(found)


def _newest_received(db: Any) -> int:
    newest: int | None = db.execute("SELECT received_ns FROM records ORDER BY record_key DESC LIMIT 1").get
    return newest or 0
