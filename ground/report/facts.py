"""What a report tells of a span of time, gathered from store, review, alerts and AIS. What was rejected is
counted and not shown; what nobody has confirmed is shown only when it is asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ground.ais.verdict import Verdict
from ground.alerts.alert import LoggedAlert
from ground.fusion.contact import Contact
from ground.past.notes import NotedFootprint
from ground.picture.plots import PlotShelf
from ground.review.book import ContactReview, ReviewBook
from ground.review.desk import all_contacts
from ground.review.entries import Entry, State
from ground.review.release import is_released
from ground.store.reading import Filter, StoreCounts, StoredContact, StoredSighting, StoreReader
from skywarden.clock import NS_PER_S
from skywarden.errors import StoreError
from skywarden.messages import Chip, Plot

MAX_CONTACTS = 500
MAX_PLOTS = 500
MAX_CHIPS = 150
MAX_CHIP_BYTES = 16_000_000
MAX_LOOKS = 50_000
MAX_FOOTPRINTS = 30_000
_PAGE = 5_000
_GAP_NS = 300 * NS_PER_S
_BESIDE_DEG = 0.05
_BESIDE_NS = 90 * NS_PER_S

LatLon = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One stretch of looks of a platform without a long pause: where it was, (time, latitude, longitude)."""

    sortie_id: str
    path: tuple[tuple[int, float, float], ...]
    first_ns: int
    last_ns: int
    looks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformFacts:
    """What one platform did, as far as its looks tell."""

    platform_id: str
    spans: tuple[Span, ...]
    looks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactFacts:
    """One contact, what people said of it, what AIS says, and its picture."""

    contact: Contact
    review: ContactReview
    said: tuple[Entry, ...]
    verdict: Verdict | None
    chip: Chip | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotFacts:
    """One plot and what people said of it."""

    plot: Plot
    review: ContactReview


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFacts:
    """Everything that the page shows.

    Attributes:
        since_ns, until_ns: the span that was asked for, UTC.
        made_ns: when.
        states: how many contacts of the span stand how, also those that are not shown.
        left_out: contacts that are released and found no room.
        footprints: what cameras saw, oldest first, where the station kept it.
        footprints_left_out: there were more footprints than a report takes; the oldest are not among them.
        unjudged: contacts that AIS was not asked about, because that would have taken too long.
    """

    since_ns: int
    until_ns: int
    made_ns: int
    has_unreviewed: bool
    is_exercise: bool
    platforms: tuple[PlatformFacts, ...]
    contacts: tuple[ContactFacts, ...]
    plots: tuple[PlotFacts, ...]
    alerts: tuple[LoggedAlert, ...]
    states: dict[State, int]
    counts: StoreCounts
    left_out: int = 0
    looks_left_out: bool = False
    footprints: tuple[NotedFootprint, ...] = ()
    footprints_left_out: bool = False
    unjudged: int = 0


Judge = Callable[[Contact, list[Contact]], Verdict | None]


def gather(
    store: StoreReader,
    book: ReviewBook,
    *,
    since_ns: int,
    until_ns: int,
    made_ns: int,
    with_unreviewed: bool,
    judge: Judge | None = None,
    alerts: Iterable[LoggedAlert] = (),
    footprints: Sequence[NotedFootprint] = (),
    is_exercise: bool = False,
) -> ReportFacts:
    """The facts of a span; `is_exercise` is the station's own word.

    Raises `StoreError` when the store does not answer.
    """
    wanted = Filter(since_ns=since_ns, until_ns=until_ns, limit=_PAGE)
    states: Counter[State] = Counter()
    shown: list[tuple[StoredContact, ContactReview]] = []
    for stored in all_contacts(store, wanted):
        review = book.of_contact(stored.contact.track_ids)
        states[review.state] += 1
        if is_released(review.state, with_unreviewed=with_unreviewed):
            shown.append((stored, review))
    shown.sort(key=lambda each: (each[0].contact.first_ns, each[0].contact.contact_id))
    room = _Room()
    contacts = tuple(
        _contact_facts(store, book, stored, review, judge, room) for stored, review in shown[:MAX_CONTACTS]
    )
    plots = _plots(store, book, wanted, with_unreviewed=with_unreviewed)
    looks = _looks(store, wanted)
    told = [one for one in alerts if since_ns <= one.alert.time_ns <= until_ns]
    ids = {one.contact.contact_id for one in contacts}
    return ReportFacts(
        since_ns=since_ns,
        until_ns=until_ns,
        made_ns=made_ns,
        has_unreviewed=with_unreviewed,
        is_exercise=is_exercise
        or any(one.contact.is_exercise for one in contacts)
        or any(one.plot.is_exercise for one in plots)
        or any(one.sighting.is_exercise for one in looks),
        platforms=_platforms(looks),
        contacts=contacts,
        plots=plots,
        alerts=tuple(one for one in told if one.alert.contact_id in ids),
        states=dict(states),
        counts=store.counts(),
        left_out=max(0, len(shown) - MAX_CONTACTS),
        looks_left_out=len(looks) >= MAX_LOOKS,
        footprints=tuple(footprints[-MAX_FOOTPRINTS:]),
        footprints_left_out=len(footprints) > MAX_FOOTPRINTS,
    )


@dataclass(slots=True)
class _Room:
    """How many pictures may still go in."""

    chips: int = MAX_CHIPS
    bytes: int = MAX_CHIP_BYTES


def _contact_facts(
    store: StoreReader,
    book: ReviewBook,
    stored: StoredContact,
    review: ContactReview,
    judge: Judge | None,
    room: _Room,
) -> ContactFacts:
    contact = stored.contact
    said = tuple(sorted(book.history(contact.track_ids), key=lambda entry: entry.number))
    chip = None
    if stored.best_chip_id is not None and room.chips > 0:
        try:
            chip = store.chip(stored.best_chip_id)
        except StoreError:  # damaged, and counted by the store: the report goes on without the picture
            chip = None
        if chip is not None and len(chip.data) > room.bytes:
            chip = None
        if chip is not None:
            room.chips, room.bytes = room.chips - 1, room.bytes - len(chip.data)
    verdict = judge(contact, _beside(store, contact)) if judge is not None else None
    return ContactFacts(contact=contact, review=review, said=said, verdict=verdict, chip=chip)


def _beside(store: StoreReader, contact: Contact) -> list[Contact]:
    """Contacts near it in place and time, which compete for the same vessels on AIS."""
    place = contact.position
    if place is None:
        return []
    found, _ = store.contacts(
        Filter(
            bbox=(
                (place.longitude_deg - _BESIDE_DEG + 180.0) % 360.0 - 180.0,
                max(-90.0, place.latitude_deg - _BESIDE_DEG),
                (place.longitude_deg + _BESIDE_DEG + 180.0) % 360.0 - 180.0,
                min(90.0, place.latitude_deg + _BESIDE_DEG),
            ),
            since_ns=contact.last_ns - _BESIDE_NS,
            until_ns=contact.last_ns + _BESIDE_NS,
            limit=200,
        )
    )
    return [one.contact for one in found]


def _plots(
    store: StoreReader, book: ReviewBook, wanted: Filter, *, with_unreviewed: bool
) -> tuple[PlotFacts, ...]:
    found, _ = PlotShelf(store).find(replace(wanted, limit=MAX_PLOTS))
    made = [PlotFacts(plot=plot, review=book.of_contact((plot.plot_id,))) for plot in found]
    kept = [one for one in made if is_released(one.review.state, with_unreviewed=with_unreviewed)]
    return tuple(sorted(kept, key=lambda one: (one.plot.first_ns, one.plot.plot_id)))


def _looks(store: StoreReader, wanted: Filter) -> list[StoredSighting]:
    """All looks of the span, oldest first, at most the newest `MAX_LOOKS`."""
    found: list[StoredSighting] = []
    offset = 0
    while len(found) < MAX_LOOKS:
        page, _ = store.sightings(replace(wanted, offset=offset))
        found += page
        offset += len(page)
        if len(page) < _PAGE:
            break
    return found[:MAX_LOOKS][::-1]


def _platforms(looks: list[StoredSighting]) -> tuple[PlatformFacts, ...]:
    by_platform: dict[str, list[StoredSighting]] = {}
    for one in looks:
        by_platform.setdefault(one.sighting.platform_id, []).append(one)
    return tuple(
        PlatformFacts(platform_id=name, spans=_spans(found), looks=len(found))
        for name, found in sorted(by_platform.items())
    )


def _spans(looks: list[StoredSighting]) -> tuple[Span, ...]:
    """Cut where the sortie changes or nothing was seen for five minutes."""
    groups: list[list[StoredSighting]] = []
    for one in looks:
        last = groups[-1][-1].sighting if groups else None
        sighting = one.sighting
        is_next = (
            last is None or last.sortie_id != sighting.sortie_id or sighting.time_ns - last.time_ns > _GAP_NS
        )
        if is_next:
            groups.append([])
        groups[-1].append(one)
    return tuple(_span(group) for group in groups)


def _span(group: list[StoredSighting]) -> Span:
    path: list[tuple[int, float, float]] = []
    for one in group:
        place, time_ns = one.sighting.platform_position, one.sighting.time_ns
        if place is not None and (not path or time_ns > path[-1][0]):
            path.append((time_ns, place[0], place[1]))
    return Span(
        sortie_id=group[0].sighting.sortie_id,
        path=tuple(path),
        first_ns=group[0].sighting.time_ns,
        last_ns=group[-1].sighting.time_ns,
        looks=len(group),
    )
