"""What may leave: what people confirmed; with the word for it also what nobody has checked, and marked so.

Every export goes through here. What was rejected never leaves this way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ground.review.book import ReviewBook
from ground.review.desk import all_contacts
from ground.review.entries import State
from ground.store.reading import Filter, StoredContact, StoredSighting, StoreReader

T = TypeVar("T")

UNREVIEWED_NOTICE = "UNREVIEWED: not everything in here has been confirmed by a person"
CONFIRMED_NOTICE = "Everything in here has been confirmed by a person"
_PAGE = 1_000
_CONFIRMED: tuple[State, ...] = ("confirmed",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Released(Generic[T]):
    """What leaves, newest first, each with its state; `matched` counts also what `limit` left out (and, of
    sightings that nobody checked, what was rejected)."""

    items: tuple[tuple[T, State], ...]
    matched: int
    has_unreviewed: bool

    @property
    def notice(self) -> str:
        """What the file says on its face."""
        return UNREVIEWED_NOTICE if self.has_unreviewed else CONFIRMED_NOTICE

    @property
    def prefix(self) -> str:
        """What the file's name begins with."""
        return "UNREVIEWED-" if self.has_unreviewed else ""


def each_released_contact(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> Iterator[tuple[StoredContact, State]]:
    """Contacts that may leave, one after the other; of those that were confirmed in order of id. No limit."""
    for stored in _candidates(store, book, wanted, with_unreviewed=with_unreviewed):
        state = book.of_contact(stored.contact.track_ids).state
        if is_released(state, with_unreviewed=with_unreviewed):
            yield stored, state


def each_released_sighting(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> Iterator[tuple[StoredSighting, State]]:
    """Sightings that may leave, one after the other, however many; `limit` and `offset` do not count.

    Of what was confirmed those of one contact stand together, newest first; else all come newest first.
    """
    source = each_sighting(store, wanted) if with_unreviewed else _confirmed_in_turn(store, book, wanted)
    for stored in source:
        state = book.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id)
        if is_released(state, with_unreviewed=with_unreviewed):
            yield stored, state


def is_released(state: State, *, with_unreviewed: bool) -> bool:
    """Whether something in this state may leave."""
    return state == "confirmed" or (with_unreviewed and state != "rejected")


def released_contacts(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> Released[StoredContact]:
    """Contacts that may leave, newest first."""
    found: list[tuple[StoredContact, State]] = []
    for stored in _candidates(store, book, wanted, with_unreviewed=with_unreviewed):
        state = book.of_contact(stored.contact.track_ids).state
        if is_released(state, with_unreviewed=with_unreviewed):
            found.append((stored, state))
    found.sort(key=lambda item: (-item[0].contact.last_ns, item[0].contact.contact_id))
    return _page(found, wanted, with_unreviewed)


def released_sightings(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> Released[StoredSighting]:
    """Sightings that may leave, newest first: their own decision, or that about their track."""
    found: dict[str, tuple[StoredSighting, State]] = {}
    source = each_sighting(store, wanted) if with_unreviewed else _decided_sightings(store, book, wanted)
    for stored in source:
        state = book.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id)
        if is_released(state, with_unreviewed=with_unreviewed):
            found[stored.sighting.sighting_id] = stored, state
        if with_unreviewed and len(found) >= wanted.offset + wanted.limit:
            break  # they come newest first
    ordered = sorted(found.values(), key=lambda item: _order(item[0]))
    released = _page(ordered, wanted, with_unreviewed)
    if not with_unreviewed:
        return released
    return replace(released, matched=max(released.matched, store.sightings(replace(wanted, limit=1))[1]))


def _page(found: list[tuple[T, State]], wanted: Filter, with_unreviewed: bool) -> Released[T]:
    items = tuple(found[wanted.offset : wanted.offset + wanted.limit])
    return Released(items=items, matched=len(found), has_unreviewed=with_unreviewed)


def _order(stored: StoredSighting) -> tuple[int, str]:
    return -stored.sighting.time_ns, stored.sighting.sighting_id


def _candidates(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> Iterator[StoredContact]:
    """Contacts that match and may be fit: all, or those with a track that was confirmed."""
    if with_unreviewed:
        yield from all_contacts(store, wanted)
        return
    for contact_id in _confirmed_contacts(store, book, wanted):
        page, _ = store.contacts(replace(wanted, contact_id=contact_id, limit=1, offset=0))
        yield from page


def _confirmed_contacts(store: StoreReader, book: ReviewBook, wanted: Filter) -> list[str]:
    found = {store.contact_of_track(name) for name in book.tracks_that_are(_CONFIRMED)}
    ids = sorted(name for name in found if name is not None)
    return [name for name in ids if wanted.contact_id in (None, name)]


def _decided_sightings(store: StoreReader, book: ReviewBook, wanted: Filter) -> Iterator[StoredSighting]:
    """All sightings of contacts with a confirmed track, and those that were confirmed on their own."""
    for contact_id in _confirmed_contacts(store, book, wanted):
        yield from _pages(lambda page: store.sightings(page)[0], replace(wanted, contact_id=contact_id))
    alone = store.sightings_of_ids(book.sightings_that_are(_CONFIRMED))
    yield from (one for one in alone if is_match(one, wanted))


def _confirmed_in_turn(store: StoreReader, book: ReviewBook, wanted: Filter) -> Iterator[StoredSighting]:
    """Contact by contact, and each sighting once: nothing but the names of contacts is kept meanwhile."""
    names = _confirmed_contacts(store, book, wanted)
    for contact_id in names:
        yield from _pages(lambda page: store.sightings(page)[0], replace(wanted, contact_id=contact_id))
    came = set(names)
    for one in store.sightings_of_ids(book.sightings_that_are(_CONFIRMED)):
        if one.contact_id not in came and is_match(one, wanted):
            yield one


def each_sighting(store: StoreReader, wanted: Filter) -> Iterator[StoredSighting]:
    """All sightings that match, newest first, whatever was said of them: for people at the station."""
    yield from _pages(lambda page: store.sightings(page)[0], wanted)


def _pages(ask: Callable[[Filter], list[StoredSighting]], wanted: Filter) -> Iterator[StoredSighting]:
    """All that match, newest first. Pages go by time: the store counts through every offset anew."""
    until_ns, skip = wanted.until_ns, 0
    while True:
        page = ask(replace(wanted, until_ns=until_ns, limit=_PAGE, offset=skip))
        yield from page
        if len(page) < _PAGE:
            return
        last_ns = page[-1].sighting.time_ns
        same = sum(one.sighting.time_ns == last_ns for one in page)
        skip = skip + len(page) if last_ns == until_ns else same
        until_ns = last_ns


def is_match(stored: StoredSighting, wanted: Filter) -> bool:
    """Whether a sighting is among those that the store would find; pages do not count."""
    sighting = stored.sighting
    if wanted.contact_id not in (None, stored.contact_id):
        return False
    if wanted.label not in (None, sighting.label) or wanted.platform_id not in (None, sighting.platform_id):
        return False
    if wanted.since_ns is not None and sighting.time_ns < wanted.since_ns:
        return False
    if wanted.until_ns is not None and sighting.time_ns > wanted.until_ns:
        return False
    if wanted.bbox is None:
        return True
    if sighting.position is None:
        return False
    west, south, east, north = wanted.bbox
    longitude, latitude = sighting.position.longitude_deg, sighting.position.latitude_deg
    inside = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
    return inside and south <= latitude <= north
