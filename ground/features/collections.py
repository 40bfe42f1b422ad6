"""The collections of OGC API - Features and the pages of their items; a plain object over the store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ground.ais.store import AisStore, ais_path
from ground.exports.rows import ais_row, contact_row, plot_row, sighting_row
from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.exports.tables import Layer, Row
from ground.review.release import is_released, released_contacts, released_sightings
from ground.store.reading import Filter

_AIS_ID = re.compile(r"(\d{9})-(\d{1,19})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """One collection; what has not been confirmed has collections of its own, which say so."""

    collection_id: str
    layer: Layer
    title: str
    description: str
    with_unreviewed: bool = False


def _both(layer: Layer, title: str, description: str) -> tuple[Collection, Collection]:
    sure = Collection(
        collection_id=layer,
        layer=layer,
        title=title,
        description=f"{description} Everything in here has been confirmed by a person.",
    )
    not_sure = Collection(
        collection_id=f"{layer}-unreviewed",
        layer=layer,
        title=f"UNREVIEWED: {title.lower()}",
        description=f"{description} UNREVIEWED: not everything in here has been confirmed by a person.",
        with_unreviewed=True,
    )
    return sure, not_sure


COLLECTIONS: dict[str, Collection] = {
    one.collection_id: one
    for one in (
        *_both("contacts", "Contacts", "Real things as fusion knows them, where they were last."),
        *_both("sightings", "Sightings", "Every logged observation."),
        *_both("tracks", "Tracks", "Lines through the sightings of one object by one platform."),
        *_both("plots", "Plots", "Outlines of suspected cultivation."),
        Collection(
            collection_id="ais",
            layer="ais",
            title="AIS reports, as transmitted",
            description="What vessels say of themselves; nobody has verified it.",
        ),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows; `matched` where counting all is cheap, `has_more` whether another page follows."""

    rows: tuple[Row, ...]
    matched: int | None
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class FeatureShelf:
    """Items of collections; raises `StoreError`."""

    source: ExportSource

    def page(self, collection: Collection, wanted: Filter) -> Page:
        """The items that fit, in an order that stays while nothing new comes."""
        store, book, open_too = self.source.store, self.source.book, collection.with_unreviewed
        if collection.layer == "contacts":
            found = released_contacts(store, book, wanted, with_unreviewed=open_too)
            rows = tuple(contact_row(one, state) for one, state in found.items)
            return Page(rows=rows, matched=found.matched, has_more=found.matched > wanted.offset + len(rows))
        if collection.layer == "sightings":
            looked = released_sightings(
                store, book, replace(wanted, limit=wanted.limit + 1), with_unreviewed=open_too
            )
            rows = tuple(sighting_row(one, state) for one, state in looked.items)
            matched = None if open_too else looked.matched
            return Page(rows=rows[: wanted.limit], matched=matched, has_more=len(rows) > wanted.limit)
        return self._streamed(collection, wanted)

    def item(self, collection: Collection, feature_id: str) -> Row | None:
        """One item; `None` where there is none that may leave by this collection."""
        if collection.layer == "ais":
            return self._report(feature_id)
        makers = {
            "contacts": self._contact,
            "sightings": self._sighting,
            "tracks": self._track,
            "plots": self._plot,
        }
        return makers[collection.layer](collection, feature_id)

    def _streamed(self, collection: Collection, wanted: Filter) -> Page:
        asked = Selection(
            bbox=wanted.bbox,
            labels=(wanted.label,) if wanted.label is not None else (),
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
            with_unreviewed=collection.with_unreviewed,
        )
        rows = self.source.rows(collection.layer, asked)
        page = tuple(islice(rows, wanted.offset, wanted.offset + wanted.limit + 1))
        return Page(rows=page[: wanted.limit], matched=None, has_more=len(page) > wanted.limit)

    def _contact(self, collection: Collection, name: str) -> Row | None:
        stored = self.source.store.contact(name)
        if stored is None:
            return None
        state = self.source.book.of_contact(stored.contact.track_ids).state
        may = is_released(state, with_unreviewed=collection.with_unreviewed)
        return contact_row(stored, state) if may else None

    def _sighting(self, collection: Collection, name: str) -> Row | None:
        for stored in self.source.store.sightings_of_ids([name]):
            state = self.source.book.of_sighting(name, stored.sighting.track_id)
            if is_released(state, with_unreviewed=collection.with_unreviewed):
                return sighting_row(stored, state)
        return None

    def _track(self, collection: Collection, name: str) -> Row | None:
        contact_id = self.source.store.contact_of_track(name)
        if contact_id is None:
            return None
        asked = Selection(contact_id=contact_id, with_unreviewed=collection.with_unreviewed)
        return _named(self.source.rows("tracks", asked), name)

    def _plot(self, collection: Collection, name: str) -> Row | None:
        plot = self.source.plot(name)
        if plot is None:
            return None
        state = self.source.book.of_contact((name,)).state
        may = is_released(state, with_unreviewed=collection.with_unreviewed)
        return plot_row(plot, state) if may else None

    def _report(self, name: str) -> Row | None:
        match = _AIS_ID.fullmatch(name)
        state_dir = self.source.state_dir
        if match is None or state_dir is None or not ais_path(state_dir).is_file():
            return None
        time_ns = min(int(match[2]), 2**63 - 1)
        store = AisStore(ais_path(state_dir))
        try:
            reports = store.reports(time_ns, time_ns, mmsi=match[1], limit=1)
        finally:
            store.close()
        return ais_row(reports[0], None) if reports else None


def _named(rows: Iterator[Row], name: str) -> Row | None:
    return next((row for row in rows if row.feature_id == name), None)
