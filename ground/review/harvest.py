"""What people decided, as cases for training: each sighting with its image and its verdict."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ground.review.book import ReviewBook
from ground.review.desk import all_contacts
from ground.review.entries import State
from ground.store.reading import Filter, StoredSighting, StoreReader

_MAX_LOOKS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedSighting:
    """A sighting with what was decided about it, by whom and when (UTC ns; None: nobody has yet)."""

    stored: StoredSighting
    state: State
    decided_by: str | None
    decided_ns: int | None


def reviewed(
    store: StoreReader,
    book: ReviewBook,
    *,
    states: Collection[str] = ("confirmed", "rejected"),
    with_chip: bool = True,
    looks: int = _MAX_LOOKS,
) -> Iterator[ReviewedSighting]:
    """Sightings in these states, contact by contact, at most the newest `looks` of each contact.

    `with_chip` leaves out those without an image. Ask for "unreviewed" too to get what detectors were
    unsure about; sort by score for that.
    """
    for contact in all_contacts(store, Filter()):
        review = book.of_contact(contact.contact.track_ids)
        decision = review.decision
        found, _ = store.sightings(Filter(contact_id=contact.contact.contact_id, limit=looks))
        for stored in found:
            state = book.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id)
            if state not in states or (with_chip and stored.chip_id is None):
                continue
            is_decided = state != "unreviewed" and decision is not None
            yield ReviewedSighting(
                stored=stored,
                state=state,
                decided_by=decision.account if is_decided and decision is not None else None,
                decided_ns=decision.time_ns if is_decided and decision is not None else None,
            )
