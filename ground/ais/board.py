"""What AIS says about many contacts at once, so that a list can be asked for the silent ones.

A verdict takes milliseconds, a list has thousands: each is kept until its contact changed or it grew old, one
call judges no longer than it was given, and all calls together take no more than a share of the time. What is
not judged yet comes with a later call; what was never judged comes first.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ground.ais.verdict import Verdict, Word
from ground.ais.watch import AisWatch, may_be_vessel
from ground.fusion.contact import Contact
from ground.store.reading import Filter, StoredContact, StoreReader
from skywarden.clock import NS_PER_S, Clock

_BESIDE_NS = 90 * NS_PER_S
_BESIDE_DEG = 0.2
_MAX_BESIDE = 200
_TOGETHER_DEG = 0.05
"""Contacts of one frame this near each other have, as good as, the same others beside them."""

_FRESH_NS = 30 * NS_PER_S
_SETTLED_NS = 3_600 * NS_PER_S
_RECENT_NS = 1_200 * NS_PER_S  # reports that come after a look change the word on it for so long
_MAX_KEPT = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The verdict on one contact in short."""

    contact_id: str
    word: Word
    probability: float
    mmsi: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    revision: int
    judged_ns: int
    standing: Standing


def contacts_beside(store: StoreReader, contact: Contact) -> list[Contact]:
    """Contacts near it in place and time, which compete with it for the same vessels."""
    position = contact.position
    if position is None:
        return []
    west = (position.longitude_deg - _BESIDE_DEG + 180.0) % 360.0 - 180.0
    east = (position.longitude_deg + _BESIDE_DEG + 180.0) % 360.0 - 180.0
    south = max(-90.0, position.latitude_deg - _BESIDE_DEG)
    north = min(90.0, position.latitude_deg + _BESIDE_DEG)
    found, _ = store.contacts(
        Filter(
            bbox=(west, south, east, north),
            since_ns=contact.last_ns - _BESIDE_NS,
            until_ns=contact.last_ns + _BESIDE_NS,
            limit=_MAX_BESIDE,
        )
    )
    return [one.contact for one in found]


def judged_together(
    watch: AisWatch, store: StoreReader, contacts: Sequence[Contact]
) -> Iterator[dict[str, Verdict]]:
    """The verdicts on contacts by their ids, a group at a time: those of one frame are judged together."""
    left = {one.contact_id: one for one in contacts}
    while left:
        first = next(iter(left.values()))
        group = [one for one in left.values() if one is first or _is_of_one_frame(one, first)]
        for one in group:
            del left[one.contact_id]
        yield watch.verdicts(group, contacts_beside(store, first))


def _is_of_one_frame(one: Contact, other: Contact) -> bool:
    if one.position is None or other.position is None or one.position_ns != other.position_ns:
        return False
    east_deg = abs(one.position.longitude_deg - other.position.longitude_deg)
    north_deg = abs(one.position.latitude_deg - other.position.latitude_deg)
    return min(east_deg, 360.0 - east_deg) < _TOGETHER_DEG and north_deg < _TOGETHER_DEG


class VerdictBoard:
    """See the module. Safe from any thread: one judges, the others read what is kept."""

    def __init__(self, watch: AisWatch, store: StoreReader, clock: Clock, share: float = 0.25) -> None:
        self._watch, self._store, self._clock, self._share = watch, store, clock, share
        self._rests_until_ns = 0
        self._judging = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def standings(
        self, contacts: Sequence[StoredContact], limit_s: float = 0.5
    ) -> tuple[list[Standing], int]:
        """The verdicts on those that may be vessels and have a place, in their order, and how many are not
        judged yet or not anew."""
        asked = [one for one in contacts if may_be_vessel(one.contact)]
        now_ns = self._clock.utc_ns()
        due = sorted((one for one in asked if self._is_due(one, now_ns)), key=self._last_judged_ns)
        if due and self._judging.acquire(blocking=False):
            try:
                if self._clock.monotonic_ns() >= self._rests_until_ns:
                    self._judge(due, now_ns, limit_s)
                    due = [one for one in due if self._is_due(one, now_ns)]
            finally:
                self._judging.release()
        kept = [self._kept.get(one.contact.contact_id) for one in asked]
        return [one.standing for one in kept if one is not None], len(due)

    def _is_due(self, stored: StoredContact, now_ns: int) -> bool:
        kept = self._kept.get(stored.contact.contact_id)
        if kept is None or kept.revision != stored.revision:
            return True
        is_recent = kept.judged_ns - stored.contact.last_ns < _RECENT_NS
        return now_ns - kept.judged_ns > (_FRESH_NS if is_recent else _SETTLED_NS)

    def _last_judged_ns(self, stored: StoredContact) -> int:
        kept = self._kept.get(stored.contact.contact_id)
        return kept.judged_ns if kept is not None else 0

    def _judge(self, due: Sequence[StoredContact], now_ns: int, limit_s: float) -> None:
        """Judge as many as the time given allows; at least the first."""
        begin_ns = self._clock.monotonic_ns()
        end_ns = begin_ns + round(limit_s * NS_PER_S)
        revisions = {one.contact.contact_id: one.revision for one in due}
        for verdicts in judged_together(self._watch, self._store, [one.contact for one in due]):
            for name, verdict in verdicts.items():
                self._keep(_Kept(revisions[name], now_ns, _standing(name, verdict)))
            if self._clock.monotonic_ns() >= end_ns:
                break
        spent_ns = self._clock.monotonic_ns() - begin_ns
        self._rests_until_ns = begin_ns + round(spent_ns / self._share)

    def _keep(self, kept: _Kept) -> None:
        self._kept[kept.standing.contact_id] = kept
        self._kept.move_to_end(kept.standing.contact_id)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)


def _standing(contact_id: str, verdict: Verdict) -> Standing:
    return Standing(
        contact_id=contact_id,
        word=verdict.word,
        probability=getattr(verdict, verdict.word),
        mmsi=verdict.mmsi,
    )
