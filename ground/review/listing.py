"""Contacts and sightings by where their review stands: for people at the station, so rejected ones too."""

from collections.abc import Collection
from dataclasses import replace
from itertools import islice

from ground.review.book import ReviewBook
from ground.review.desk import all_contacts
from ground.review.entries import State
from ground.review.release import each_sighting, is_match
from ground.store.reading import Filter, StoredContact, StoredSighting, StoreReader
from skywarden.errors import InputError

_MOST_LOOKED_THROUGH = 200_000


def contacts_in(
    store: StoreReader, book: ReviewBook, wanted: Filter, states: Collection[State]
) -> tuple[list[StoredContact], int]:
    """A page of the contacts in one of these states, newest first, and how many there are."""
    found = [
        one for one in all_contacts(store, wanted) if book.of_contact(one.contact.track_ids).state in states
    ]
    return found[wanted.offset : wanted.offset + wanted.limit], len(found)


def sightings_in(
    store: StoreReader, book: ReviewBook, wanted: Filter, states: Collection[State]
) -> tuple[list[StoredSighting], int]:
    """A page of the sightings in one of these states, newest first, and how many there are (unreviewed: at
    least so many).

    Raises `InputError` where too many would have to be looked through.
    """
    if "unreviewed" in states:
        return _looked_through(store, book, wanted, states)
    keys = _decided(store, book, wanted, states)
    page = [name for _, name in sorted(keys)[wanted.offset : wanted.offset + wanted.limit]]
    return store.sightings_of_ids(page), len(keys)


def _looked_through(
    store: StoreReader, book: ReviewBook, wanted: Filter, states: Collection[State]
) -> tuple[list[StoredSighting], int]:
    """Newest first, until the page is full and one more is known."""
    found: list[StoredSighting] = []
    wish = wanted.offset + wanted.limit + 1
    for number, stored in enumerate(islice(each_sighting(store, wanted), _MOST_LOOKED_THROUGH), 1):
        if book.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id) in states:
            found.append(stored)
        if len(found) >= wish:
            break
        if number == _MOST_LOOKED_THROUGH:
            raise InputError(
                f"{_MOST_LOOKED_THROUGH} sightings do not hold {wish} of this state; give a box or a time"
            )
    return found[wanted.offset : wanted.offset + wanted.limit], len(found)


def _decided(
    store: StoreReader, book: ReviewBook, wanted: Filter, states: Collection[State]
) -> set[tuple[int, str]]:
    """(-time, id) of sightings of decided tracks, and of those that were decided alone."""
    names = {store.contact_of_track(one) for one in book.tracks_that_are(states)} - {None}
    keys: set[tuple[int, str]] = set()
    for contact_id in names:
        if wanted.contact_id not in (None, contact_id):
            continue
        for stored in each_sighting(store, replace(wanted, contact_id=contact_id)):
            _keep(stored, book, states, keys)
    for stored in store.sightings_of_ids(book.sightings_that_are(states)):
        if is_match(stored, wanted):
            _keep(stored, book, states, keys)
    return keys


def _keep(
    stored: StoredSighting, book: ReviewBook, states: Collection[State], keys: set[tuple[int, str]]
) -> None:
    seen = stored.sighting
    if book.of_sighting(seen.sighting_id, seen.track_id) in states:
        keys.add((-seen.time_ns, seen.sighting_id))
