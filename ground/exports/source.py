"""What leaves, layer by layer and row by row out of the store, however much it is: never all in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ground.ais.store import AisStore, ais_path
from ground.exercise.mark import REAL, Mark
from ground.exports.rows import ais_row, contact_row, plot_row, sighting_row, track_row
from ground.exports.selection import Selection
from ground.exports.tables import Layer, Row
from ground.picture.plots import PlotShelf
from ground.review.book import ReviewBook
from ground.review.desk import all_contacts
from ground.review.entries import State
from ground.review.release import each_released_contact, each_released_sighting, each_sighting, is_released
from ground.store.reading import Filter, StoredContact, StoredSighting, StoreReader
from skywarden.ais.reports import PositionReport
from skywarden.errors import InputError
from skywarden.messages import Chip, Plot

_PAGE = 1_000
_AIS_PAGE = 5_000
_LAST_NS = 4_102_444_800_000_000_000


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """The station's store, what people decided, and what was heard on AIS; raises `StoreError`.

    `mark` is the station's, for whoever writes what is read here.
    """

    store: StoreReader
    book: ReviewBook
    state_dir: Path | None = None
    mark: Mark = REAL

    def rows(self, layer: Layer, wanted: Selection) -> Iterator[Row]:
        """The rows of a layer that may leave and fit; sightings and AIS newest first where that is cheap."""
        makers: dict[Layer, Callable[[Selection], Iterator[Row]]] = {
            "contacts": self._contacts,
            "sightings": self._sightings,
            "tracks": self._tracks,
            "plots": self._plots,
            "ais": self._ais,
        }
        return islice(makers[layer](wanted), wanted.limit)

    def contacts(self, wanted: Selection) -> Iterator[tuple[StoredContact, State]]:
        """Contacts as they are in the store."""
        for one in wanted.filters():
            found = each_released_contact(self.store, self.book, one, with_unreviewed=wanted.with_unreviewed)
            for stored, state in found:
                if wanted.fits(stored.contact.label, state):
                    yield stored, state

    def sightings(self, wanted: Selection) -> Iterator[tuple[StoredSighting, State]]:
        """Sightings as they are in the store."""
        for one in wanted.filters():
            found = each_released_sighting(self.store, self.book, one, with_unreviewed=wanted.with_unreviewed)
            for stored, state in found:
                if wanted.fits(stored.sighting.label, state):
                    yield stored, state

    def plot(self, plot_id: str) -> Plot | None:
        """A plot as it is known by now."""
        return PlotShelf(self.store).plot(plot_id)

    def chip(self, chip_id: str) -> Chip | None:
        """An image that goes along."""
        return self.store.chip(chip_id)

    def _contacts(self, wanted: Selection) -> Iterator[Row]:
        return (contact_row(stored, state) for stored, state in self.contacts(wanted))

    def _sightings(self, wanted: Selection) -> Iterator[Row]:
        return (sighting_row(stored, state) for stored, state in self.sightings(wanted))

    def _tracks(self, wanted: Selection) -> Iterator[Row]:
        """Contact by contact: the looks of one contact are in memory at a time."""
        for contact_id in self._contacts_with_looks(wanted):
            looks: dict[str, list[tuple[StoredSighting, State]]] = {}
            for stored, state in self.sightings(replace(wanted, contact_id=contact_id, limit=None)):
                looks.setdefault(stored.sighting.track_id, []).append((stored, state))
            for track_id in sorted(looks):
                row = track_row(looks[track_id])
                if row is not None:
                    yield row

    def _contacts_with_looks(self, wanted: Selection) -> Iterator[str]:
        """Contacts that may have looks that fit, each once; where one is now says nothing of its past."""
        if wanted.contact_id is not None:
            yield wanted.contact_id
            return
        asked = Filter(
            platform_id=wanted.platform_id, since_ns=wanted.since_ns, until_ns=wanted.until_ns, limit=_PAGE
        )
        seen: set[str] = set()
        if not wanted.with_unreviewed:
            for track_id in self.book.tracks_that_are(("confirmed",)):
                contact_id = self.store.contact_of_track(track_id)
                if contact_id is not None and contact_id not in seen:
                    seen.add(contact_id)
                    yield contact_id
            return
        offset = 0
        while True:
            page, _ = self.store.contacts(replace(asked, offset=offset))
            for stored in page:
                if stored.contact.contact_id not in seen:
                    seen.add(stored.contact.contact_id)
                    yield stored.contact.contact_id
            if len(page) < _PAGE:
                return
            offset += len(page)

    def _plots(self, wanted: Selection) -> Iterator[Row]:
        if wanted.contact_id is not None:
            return
        shelf = PlotShelf(self.store)
        for one in wanted.filters():
            offset = 0
            while True:
                page, matched = shelf.find(replace(one, limit=100, offset=offset))
                for plot in page:
                    state = self.book.of_contact((plot.plot_id,)).state
                    if self._may_show(state, wanted) and wanted.fits(plot.label, state):
                        yield plot_row(plot, state)
                offset += 100
                if offset >= matched:
                    break

    def _may_show(self, state: State, wanted: Selection) -> bool:
        return is_released(state, with_unreviewed=wanted.with_unreviewed)

    def _ais(self, wanted: Selection) -> Iterator[Row]:
        """Reports newest first; class, platform and state of review say nothing about AIS."""
        if self.state_dir is None or not ais_path(self.state_dir).is_file():
            return
        store = AisStore(ais_path(self.state_dir))
        try:
            names = {one.mmsi: one.name for one in store.vessels()}
            for report in _each_report(store, wanted):
                yield ais_row(report, names.get(report.mmsi), self.mark)
        finally:
            store.close()


class PictureSource(ExportSource):
    """The same of everything, also of what was rejected: what those see who work at the station."""

    def contacts(self, wanted: Selection) -> Iterator[tuple[StoredContact, State]]:
        """Contacts, newest first."""
        for one in wanted.filters():
            for stored in all_contacts(self.store, one):
                state = self.book.of_contact(stored.contact.track_ids).state
                if wanted.fits(stored.contact.label, state):
                    yield stored, state

    def sightings(self, wanted: Selection) -> Iterator[tuple[StoredSighting, State]]:
        """Sightings, newest first."""
        for one in wanted.filters():
            for stored in each_sighting(self.store, one):
                state = self.book.of_sighting(stored.sighting.sighting_id, stored.sighting.track_id)
                if wanted.fits(stored.sighting.label, state):
                    yield stored, state

    def _may_show(self, state: State, wanted: Selection) -> bool:
        return True


def _each_report(store: AisStore, wanted: Selection) -> Iterator[PositionReport]:
    since_ns, until_ns = wanted.since_ns or 0, wanted.until_ns if wanted.until_ns is not None else _LAST_NS
    done: set[tuple[str, float, float]] = set()
    limit = _AIS_PAGE
    while True:
        page = store.reports(since_ns, until_ns, limit=limit)
        new = [one for one in reversed(page) if one.time_ns < until_ns or _key(one) not in done]
        for report in new:
            if _is_inside(report, wanted):
                yield report
        if len(page) < limit:
            return
        oldest_ns = page[0].time_ns
        if oldest_ns == until_ns:  # more of one instant than a page holds
            limit *= 2
            if limit > 64 * _AIS_PAGE:
                raise InputError(f"more than {limit // 2} AIS reports of one instant; give another time")
        done = {_key(one) for one in page if one.time_ns == oldest_ns}
        until_ns = oldest_ns


def _key(report: PositionReport) -> tuple[str, float, float]:
    return report.mmsi, report.latitude_deg, report.longitude_deg


def _is_inside(report: PositionReport, wanted: Selection) -> bool:
    if wanted.bbox is None:
        return True
    west, south, east, north = wanted.bbox
    longitude = report.longitude_deg
    inside = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
    return inside and south <= report.latitude_deg <= north
