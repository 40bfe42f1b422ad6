"""What may leave to TAK now: the station's contacts, tracks, plots, platforms and AIS as events, if
released.
"""

from dataclasses import dataclass, field

from ground.ais.watch import AisWatch
from ground.exercise.mark import REAL, Mark
from ground.picture.followed import FollowedContacts
from ground.picture.live import LivePicture
from ground.picture.plots import PlotShelf
from ground.review.desk import ReviewDesk
from ground.review.release import is_released
from ground.store.reading import Filter, StoredContact, StoreReader
from ground.tak.config import TakFeedConfig
from ground.tak.event import CotEvent
from ground.tak.things import (
    EXERCISE_UID,
    as_exercise,
    contact_event,
    contact_uid,
    platform_events,
    plot_event,
    plot_uid,
    track_event,
    vessel_event,
)
from skywarden.clock import NS_PER_S

_MAX_PLOTS = 500
_MAX_VESSELS = 2_000
_VESSELS_NS = 600 * NS_PER_S
_PLOTS_NS = 5 * NS_PER_S


@dataclass(slots=True)
class Offered:
    """Events that may be said, and the ids of things whose newest state may not be, but which are not
    gone.
    """

    events: list[CotEvent] = field(default_factory=list)
    held: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Made:
    """A contact as it was judged last. Without an event nothing is said of it.

    `is_held`: what was said stays: it may leave and is old, or was confirmed and a track joined that
    nobody has judged.
    """

    stored: StoredContact
    event: CotEvent | None
    newest_ns: int
    is_held: bool


class StationOffers:
    """Asks the station's parts once a turn. Raises `StoreError` when the store does not answer."""

    def __init__(
        self,
        config: TakFeedConfig,
        store: StoreReader,
        picture: LivePicture,
        review: ReviewDesk,
        ais: AisWatch | None,
        mark: Mark = REAL,
    ) -> None:
        self._config, self._mark = config, mark
        self._picture, self._review, self._ais = picture, review, ais
        self._shelf = PlotShelf(store)
        self._followed = FollowedContacts(store, picture)
        self._contacts: dict[str, StoredContact] = {}
        self._plots = Offered()
        self._plots_ns = 0
        self._made: dict[str, _Made] = {}
        self._version = -1
        self._marked: dict[str, tuple[CotEvent, CotEvent]] = {}

    def at(self, now_ns: int) -> Offered:
        """Everything that may be said at `now_ns` (UTC); in an exercise every bit of it says so."""
        found = self._at(now_ns)
        if not self._mark.is_exercise:
            return found
        known, self._marked = self._marked, {}
        for one in found.events:
            kept = known.get(one.uid)
            self._marked[one.uid] = kept if kept is not None and kept[0] is one else (one, as_exercise(one))
        return Offered(
            events=[self._marked[one.uid][1] for one in found.events],
            held={EXERCISE_UID + uid for uid in found.held},
        )

    def _at(self, now_ns: int) -> Offered:
        found = Offered()
        what = self._config.what
        if "contacts" in what or "tracks" in what:
            self._contacts = self._followed.at(now_ns)
        if "contacts" in what:
            self._add_contacts(found, now_ns)
        if "tracks" in what:
            self._add_tracks(found)
        if "plots" in what:
            if now_ns - self._plots_ns >= _PLOTS_NS:
                self._plots, self._plots_ns = self._plots_now(), now_ns
            found.events += self._plots.events
            found.held |= self._plots.held
        if "platforms" in what:
            is_exercise = self._picture.is_exercise
            for state in self._picture.platforms():
                found.events += platform_events(state, self._config.platform_type, is_exercise=is_exercise)
        if "ais" in what and self._ais is not None:
            vessels, _ = self._ais.vessels(None, now_ns - _VESSELS_NS, _MAX_VESSELS)
            events = (vessel_event(one) for one in vessels)
            found.events += [one for one in events if one is not None]
        return found

    def _add_contacts(self, found: Offered, now_ns: int) -> None:
        """Made anew only for what changed, or when somebody said something: there may be thousands."""
        newest = self._review.newest(1)
        version = newest[0].number if newest else 0
        if version != self._version:
            self._version, self._made = version, {}
        since_ns = now_ns - round(self._config.keep_s * NS_PER_S)
        made, self._made = self._made, {}
        for contact_id, stored in self._contacts.items():
            one = made.get(contact_id)
            if one is None or one.stored is not stored:
                one = self._judged(stored, since_ns)
            self._made[contact_id] = one
            if one.event is not None and one.newest_ns >= since_ns:
                found.events.append(one.event)
            elif one.is_held:
                found.held.add(contact_uid(contact_id))

    def _judged(self, stored: StoredContact, since_ns: int) -> "_Made":
        contact = stored.contact
        review = self._review.of_contact(contact.track_ids)
        decided_ns = review.decision.time_ns if review.decision is not None else 0
        newest_ns = max(contact.last_ns, decided_ns)
        is_free = is_released(review.state, with_unreviewed=self._config.unreviewed)
        return _Made(
            stored=stored,
            event=contact_event(contact, review.state) if is_free and newest_ns >= since_ns else None,
            newest_ns=newest_ns,
            is_held=is_free or (review.was == "confirmed" and review.new_tracks > 0),
        )

    def _add_tracks(self, found: Offered) -> None:
        said = {one.uid for one in found.events}
        of_contacts = {
            track_id
            for stored in self._contacts.values()
            if f"skywarden.{stored.contact.contact_id}" in said
            for track_id in stored.contact.track_ids
        }
        for state in self._picture.tracks():
            track = state.track
            review = self._review.of_track(track.track_id)
            if track.status == "dropped" or track.track_id in of_contacts:
                continue
            if is_released(review, with_unreviewed=self._config.unreviewed):
                event = track_event(track, review, is_exercise=self._picture.is_exercise)
                found.events += [event] if event is not None else []

    def _plots_now(self) -> Offered:
        plots, _ = self._shelf.find(Filter(limit=_MAX_PLOTS))
        made = Offered()
        for plot in plots:
            review = self._review.of_track(plot.plot_id)
            if is_released(review, with_unreviewed=self._config.unreviewed):
                made.events.append(plot_event(plot, review))
        said = {plot.plot_id for plot in plots}
        for plot_id in self._shelf.ids() - said:  # more than are said at once: they stay as they were said
            if is_released(self._review.of_track(plot_id), with_unreviewed=self._config.unreviewed):
                made.held.add(plot_uid(plot_id))
        return made
