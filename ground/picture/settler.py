"""Brings contacts and picture up to date with what was committed, beside the thread that takes records in.

Fusion may take long; an acknowledgement never waits for it.
"""

import sys
import threading
import time

import structlog

from ground.picture.live import LivePicture
from ground.picture.precedence import Precedence
from ground.store.seam import Store
from skywarden.errors import StoreError

_log = structlog.get_logger("ground.picture.settler")

_SETTLE_S = 0.25
_REST = 2.0  # so contacts take at most a third of a processor, however many there are
_WAIT_S = 0.5
_STOP_S = 3.0
_SWITCH_S = 0.001  # who takes records in gets the interpreter back so soon, instead of after 5 ms
_MAX_SHOWN = 1_000


class Settler:
    """Thread `ground.settler`; `note` may come from any thread."""

    def __init__(self, store: Store, picture: LivePicture, precedence: Precedence | None = None) -> None:
        self._precedence = precedence or Precedence()
        self._store = store
        self._picture = picture
        self._lock = threading.Lock()
        self._sighting_ids: list[str] = []
        self._chip_ids: set[str] = set()
        self._since_s: float | None = None
        self._busy_since_s: float | None = None
        self._problem: str | None = None
        self._called = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.settler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Settle once more and end, within 3 s; what is not settled then is at the next start."""
        self._stopping.set()
        self._called.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def note(self, sighting_ids: list[str], chip_ids: set[str]) -> None:
        """These sightings were stored, and chips of these sightings."""
        if not sighting_ids and not chip_ids:
            return
        with self._lock:
            self._sighting_ids = (self._sighting_ids + sighting_ids)[-_MAX_SHOWN:]
            self._chip_ids |= chip_ids
            self._since_s = self._since_s if self._since_s is not None else time.monotonic()
        self._called.set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def behind_s(self) -> float:
        """How long the oldest that contacts do not know of has been stored."""
        with self._lock:
            since = [one for one in (self._busy_since_s, self._since_s) if one is not None]
        return time.monotonic() - min(since) if since else 0.0

    def _run(self) -> None:
        sys.setswitchinterval(_SWITCH_S)
        while not self._stopping.is_set():
            if self._called.wait(_WAIT_S) and not self._stopping.wait(_SETTLE_S):
                began_s = time.thread_time()
                self._settle_or_tell()
                self._stopping.wait(_REST * (time.thread_time() - began_s))
        self._settle_or_tell()

    def _settle_or_tell(self) -> None:
        with self._lock:
            self._called.clear()
            sighting_ids, self._sighting_ids = self._sighting_ids, []
            chip_ids, self._chip_ids = self._chip_ids, set()
            since_s, self._since_s = self._since_s, None
            self._busy_since_s = since_s
        if not (sighting_ids or chip_ids):
            return
        try:
            with self._precedence.beside():
                self._settle(sighting_ids, sorted(chip_ids)[-_MAX_SHOWN:])
            self._tell(None)
        except StoreError as error:
            if (
                not self._stopping.is_set()
            ):  # else it was closed meanwhile, and the next start makes up for it
                self._tell(str(error))
                self.note(sighting_ids, chip_ids)
        except Exception as error:  # noqa: BLE001 - the outermost loop: contacts must go on
            self._tell(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._busy_since_s = None

    def _tell(self, problem: str | None) -> None:
        """Log when contacts begin to fail, and when they work again."""
        if problem is not None and self._problem is None:
            _log.error("contacts are not brought up to date, tried again", reason=problem)
        elif problem is None and self._problem is not None:
            _log.info("contacts are brought up to date again")
        self._problem = problem

    def _settle(self, sighting_ids: list[str], chip_ids: list[str]) -> None:
        store, picture = self._store, self._picture
        settled = store.settle(picture.next_revision())
        picture.note_contacts(list(settled.contacts), list(settled.removed))
        with_chip = store.sightings_of_ids(chip_ids)
        contact_ids = sorted({one.contact_id for one in with_chip if one.contact_id is not None})
        found = [store.contact(contact_id) for contact_id in contact_ids]
        picture.note_contacts([one for one in found if one is not None], [])
        picture.note_sightings(store.sightings_of_ids(sighting_ids) + with_chip)
        picture.publish()
