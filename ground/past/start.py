"""Keeps the memory of movements while the station runs: one thread, one look at the picture a second."""

import threading

import structlog

from ground.past.notes import PastNotes
from ground.past.store import PastStore, past_path
from ground.picture.live import LivePicture
from ground.station.memory import Foundation
from skywarden.errors import StoreError

_log = structlog.get_logger("ground.past")

_BEAT_S = 1.0
_EXPIRY_BEATS = 3_600
_DAY_NS = 86_400_000_000_000


def start_past(base: Foundation, picture: LivePicture) -> PastStore:
    """The store of movements, filled from the picture until the station stops. Raises `StoreError`."""
    store = PastStore(past_path(base.state_dir))
    base.parts.add("past", store.close)
    notes, stopping = PastNotes(), threading.Event()
    days = base.config.retention.other_days if base.config.retention.is_on else 0.0
    is_failing = False

    def beat(count: int) -> None:
        nonlocal is_failing
        try:
            poses, footprints = notes.take(picture.platforms())
            if poses or footprints:
                store.write(poses, footprints)
            if days and count % _EXPIRY_BEATS == _EXPIRY_BEATS - 1:
                store.expire(base.clock.utc_ns() - round(days * _DAY_NS))
        except StoreError as error:
            if not is_failing:
                _log.error("where platforms are is not remembered", reason=str(error))
            is_failing = True
        else:
            if is_failing:
                _log.info("where platforms are is remembered again")
            is_failing = False

    def run() -> None:
        count = 0
        while not stopping.wait(_BEAT_S):
            beat(count)
            count += 1

    thread = threading.Thread(target=run, name="ground.past", daemon=True)

    def stop() -> None:
        stopping.set()
        thread.join(2.0)

    base.parts.add("past notes", stop)
    thread.start()
    return store
