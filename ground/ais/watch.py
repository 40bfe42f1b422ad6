"""AIS at a station: sources, the book of vessels, what is kept, and the verdict on a contact when asked."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from ground.ais.behaviour import Flag, Shore, flags_of, rendezvous
from ground.ais.book import Vessel, VesselBook
from ground.ais.config import AisConfig, AisSourceConfig
from ground.ais.hearing import HearingModel, Receiver
from ground.ais.looked import LookedAt
from ground.ais.motion import METRES_PER_DEG
from ground.ais.silence import SilenceWatch
from ground.ais.sources import AisSource
from ground.ais.store import AisStore, Batch
from ground.ais.verdict import Judge, Look, Reason, Verdict
from ground.fusion.contact import Contact
from ground.fusion.labels import VESSEL_LABELS
from skywarden.ais.reports import PositionReport, Report, StaticReport
from skywarden.clock import Clock
from skywarden.errors import StoreError
from skywarden.messages import GENERIC_LABELS

_log = structlog.get_logger("ground.ais")

_MAYBE_VESSELS = VESSEL_LABELS | GENERIC_LABELS
_NS = 1_000_000_000
_BESIDE_NS = 90 * _NS
_HOUR_NS = 3_600 * _NS
_WARM_NS = 4 * _HOUR_NS
_RECENT_NS = 2 * _HOUR_NS
_FLUSH_S = 1.0
_EXPIRE_NS = _HOUR_NS
_EARS_NS = 300 * _NS
_MAX_PENDING = 100_000

PlatformPlace = Callable[[str], Receiver | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceStatus:
    """One source, for people."""

    name: str
    connection: str
    format: str
    is_open: bool
    fault: str | None
    heard_ns: int | None
    bytes: int
    lines: int
    whole: int
    illegal: int
    other: int
    damaged: int
    reports: int


class AisWatch:
    """See the module. Safe from any thread.

    `place_of` tells where a platform that carries a receiver is now; `footprints` gives what cameras see now,
    as (time, ring of latitude and longitude).
    """

    def __init__(
        self,
        config: AisConfig,
        store: AisStore,
        clock: Clock,
        *,
        place_of: PlatformPlace = lambda platform_id: None,
        footprints: Callable[[], Iterable[tuple[int, Sequence[tuple[float, float]]]]] = tuple,
    ) -> None:
        self.config = config
        self._store = store
        self._clock = clock
        self._place_of = place_of
        self._footprints = footprints
        self._lock = threading.Lock()
        self._hearing = HearingModel(_first_place(config.source), store.ears("all"))
        self._book = VesselBook(self._hearing)
        self._looked = LookedAt()
        self._silence = SilenceWatch()
        self._shore = Shore.read(Path(config.shore)) if config.shore else None
        self._reports: list[tuple[str, PositionReport]] = []
        self._changed: set[str] = set()
        self._minutes: Counter[int] = Counter()
        self._carried = {one.name: one.platform_id for one in config.source if one.platform_id}
        self._expired_ns = self._learnt_ns = 0
        self.lost = 0
        self.store_problem: str | None = None
        self.sources = [AisSource(one, self.take, clock) for one in config.source]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.ais", daemon=True)
        self._warm_up()

    def start(self) -> None:
        """Begin to listen and to keep."""
        self._thread.start()
        for source in self.sources:
            source.start()

    def stop(self) -> None:
        """End all threads and write what is left; may be called twice."""
        for source in self.sources:
            source.stop()
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(3.0)
        self.flush(is_last=True)
        self._store.close()

    def reports(self, since_ns: int, until_ns: int, limit: int) -> list[PositionReport]:
        """Positions of a span as they were kept, oldest first; the newest `limit` when there are more."""
        return self._store.reports(since_ns, until_ns, limit=limit)

    def names(self) -> dict[str, str | None]:
        """What vessels call themselves, by MMSI."""
        return {one.mmsi: one.name for one in self._store.vessels()}

    def take(self, source: str, reports: tuple[Report, ...]) -> None:
        """Reports of one source, as they are heard."""
        platform_id = self._carried.get(source)
        receiver = self._place_of(platform_id) if platform_id else None
        with self._lock:
            if reports:
                self._silence.note(source, self._clock.utc_ns())
            for report in reports:
                is_kept = self._book.add(report, receiver)
                if isinstance(report, StaticReport):
                    if is_kept:
                        self._changed.add(report.mmsi)
                    continue
                self._minutes[report.received_ns // (60 * _NS)] += 1
                if is_kept:
                    self._keep(source, report)
            if receiver is not None:
                self._hearing.receiver = receiver

    def _keep(self, source: str, report: PositionReport) -> None:
        if len(self._reports) >= _MAX_PENDING:
            self.lost += 1
            return
        self._reports.append((source, report))

    def flush(self, *, is_last: bool = False) -> None:
        """Write what is new; what cannot be written is kept for the next time, up to a limit."""
        now_ns = self._clock.utc_ns()
        with self._lock:
            reports, self._reports = self._reports, []
            changed, self._changed = self._changed, set()
            minutes, self._minutes = self._minutes, Counter()
            vessels = [
                _static_of(one) for mmsi in sorted(changed) if (one := self._book.get(mmsi)) is not None
            ]
            is_due = is_last or now_ns - self._learnt_ns > _EARS_NS
            ears = {"all": self._hearing.ears} if is_due else {}
        if not (reports or vessels or minutes or ears):
            return
        try:
            self._store.write(Batch(reports=reports, vessels=vessels, minutes=minutes, ears=ears))
            self.store_problem = None
            self._learnt_ns = now_ns if is_due else self._learnt_ns
        except StoreError as error:
            if self.store_problem is None:
                _log.error("AIS is not kept", reason=str(error))
            self.store_problem = str(error)
            with self._lock:
                self._reports = (reports + self._reports)[:_MAX_PENDING]
                self._changed |= changed
                self._minutes.update(minutes)

    def status(self) -> tuple[list[SourceStatus], dict[str, int]]:
        """Sources, and how much there is."""
        found = []
        for source in self.sources:
            counts = source.reader.counts
            found.append(
                SourceStatus(
                    name=source.config.name,
                    connection=source.config.connection,
                    format=source.config.format,
                    is_open=source.is_open,
                    fault=source.fault,
                    heard_ns=source.heard_ns,
                    bytes=counts.bytes,
                    lines=counts.sentences.lines,
                    whole=counts.sentences.whole,
                    illegal=counts.sentences.illegal,
                    other=counts.sentences.other,
                    damaged=counts.damaged,
                    reports=counts.reports,
                )
            )
        kept = self._store.counts()
        with self._lock:
            totals = {"vessels": len(self._book), "reports": self._book.reports, "lost": self.lost}
        return found, totals | {f"kept_{name}": count for name, count in kept.items()}

    def vessels(
        self,
        bbox: tuple[float, float, float, float] | None,
        since_ns: int | None,
        limit: int,
        offset: int = 0,
    ) -> tuple[list[Vessel], int]:
        """Vessels heard since, inside a box (west, south, east, north), last heard first; how many."""
        with self._lock:
            found = [
                one
                for one in self._book
                if (since_ns is None or one.last_ns >= since_ns) and _is_inside(one, bbox)
            ]
            found.sort(key=lambda one: (-one.last_ns, one.mmsi))
            return [_snapshot(one) for one in found[offset : offset + limit]], len(found)

    def vessel(self, mmsi: str) -> tuple[Vessel, list[Flag]] | None:
        """One vessel with its history, and what stands out about it."""
        now_ns = self._clock.utc_ns()
        with self._lock:
            found = self._book.get(mmsi)
            if found is None:
                return None
            flags = flags_of(found, now_ns, self._hearing, self._shore)
            position = found.position
            if position is not None:
                near = self._book.near(
                    position.latitude_deg, position.longitude_deg, 2_000.0, position.time_ns
                )
                beside = {one.mmsi: one for one, _ in near}
                flags += [flag for flag in rendezvous(beside.values(), now_ns) if flag.mmsi == mmsi]
            return _snapshot(found), flags

    def flags(self, vessels: Sequence[Vessel]) -> dict[str, list[Flag]]:
        """What stands out about each of these (copies, as `vessels` gives), by MMSI.

        Without the lock, so that nothing waits for it: of the ears it only looks single values up.
        """
        now_ns = self._clock.utc_ns()
        found = {one.mmsi: flags_of(one, now_ns, self._hearing, self._shore) for one in vessels}
        for flag in rendezvous(vessels, now_ns):
            found[flag.mmsi].append(flag)
        return found

    def verdict(self, contact: Contact, beside: Sequence[Contact]) -> Verdict:
        """What AIS says about a contact at its last look; `beside` are other contacts that may compete for
        the same vessels (those of other times are passed over)."""
        return self.verdicts([contact], beside)[contact.contact_id]

    def verdicts(self, contacts: Sequence[Contact], beside: Sequence[Contact]) -> dict[str, Verdict]:
        """What AIS says about each of these, by contact: `verdict` of each, but those whose last looks are
        of one instant (a frame) are judged together, once. They compete with each other and with
        `beside`, so they should lie near each other.
        """
        found: dict[str, Verdict] = {}
        moments: dict[int, dict[str, tuple[Contact, Look]]] = {}
        for contact in contacts:
            look = look_of(contact)
            if contact.label not in _MAYBE_VESSELS:
                said = f"a {contact.label} is not looked for on AIS"
                found[contact.contact_id] = _undecided(contact, "not_a_vessel", said)
            elif look is None:
                said = "the contact has no position"
                found[contact.contact_id] = _undecided(contact, "no_position", said)
            elif not self.config.source:
                found[contact.contact_id] = _unheard(contact)
            else:
                moments.setdefault(look.time_ns, {})[contact.contact_id] = contact, look
        others = {one.contact_id: one for one in (*beside, *contacts)}
        for time_ns, asked in moments.items():
            found |= self._at(time_ns, asked, others)
        return found

    def _at(
        self, time_ns: int, asked: Mapping[str, tuple[Contact, Look]], others: Mapping[str, Contact]
    ) -> dict[str, Verdict]:
        """The verdicts on contacts looked at at one instant."""
        looks = [look for _, look in asked.values()]
        for name, other in others.items():
            moved = look_of(other, time_ns) if name not in asked else None
            if other.label in _MAYBE_VESSELS and moved is not None:
                looks.append(moved)
        now_ns = self._clock.utc_ns()
        if now_ns - time_ns > _RECENT_NS:
            judged = self._of_the_past(looks, now_ns, len(asked))
        else:
            with self._lock:
                judged = self._judged(self._book, self._hearing, looks, now_ns, len(asked))
        return {
            one.contact_id: _of_anything(one) if asked[one.contact_id][0].label in GENERIC_LABELS else one
            for one in judged
        }

    def problems(self) -> list[str]:
        """Sentences for the station's notices."""
        found = [
            f"no AIS from {one.config.name}: {one.fault}" for one in self.sources if one.fault is not None
        ]
        if self.store_problem is not None:
            found.append(f"what is heard on AIS is not kept: {self.store_problem}")
        return found

    def silences(self) -> list[str]:
        """Sentences on sources that were heard and have fallen silent; a file that was played has ended."""
        played = {one.name for one in self.config.source if one.connection.startswith("file:")}
        with self._lock:
            return self._silence.problems(self._clock.utc_ns(), but=played)

    def _of_the_past(self, looks: Sequence[Look], now_ns: int, count: int) -> list[Verdict]:
        """From what was kept, when the memory no longer has that time."""
        at = looks[0].time_ns
        horizon_ns = round(self.config.verdict.horizon_s * _NS)
        reports = self._store.reports(at - horizon_ns, at + _HOUR_NS)
        minutes = self._store.minutes(at - horizon_ns, at + _HOUR_NS)
        statics = self._store.vessels()
        with self._lock:
            hearing = HearingModel(self._hearing.receiver, self._hearing.ears)
        book = _filled(reports, statics, hearing, minutes)
        return self._judged(book, hearing, looks, min(now_ns, at + _HOUR_NS), count)

    def _judged(
        self, book: VesselBook, hearing: HearingModel, looks: Sequence[Look], now_ns: int, count: int
    ) -> list[Verdict]:
        """The verdicts on the first `count` looks; the others compete with them."""
        looked = self._looked.around(looks[0].time_ns)
        judge = Judge(self.config.verdict, book, hearing, was_seen=looked.was_seen)
        return judge.judge(looks, now_ns, count)

    def _warm_up(self) -> None:
        """What was heard in the last hours before this start."""
        now_ns = self._clock.utc_ns()
        reports = self._store.reports(now_ns - _WARM_NS, now_ns + 60 * _NS)
        minutes = self._store.minutes(now_ns - _WARM_NS, now_ns)
        self._book = _filled(reports, self._store.vessels(), self._hearing, minutes)

    def _run(self) -> None:
        while not self._stopping.wait(_FLUSH_S):
            with self._lock:
                for time_ns, ring in self._footprints():
                    self._looked.note(time_ns, ring)
            self.flush()
            now_ns = self._clock.utc_ns()
            if now_ns - self._expired_ns > _EXPIRE_NS:
                self._expired_ns = now_ns
                self._expire(now_ns)

    def _expire(self, now_ns: int) -> None:
        try:
            self._store.expire(now_ns - round(self.config.keep_days * 86_400e9))
        except StoreError as error:
            _log.warning("old AIS reports stay", reason=str(error))
        with self._lock:
            self._book.forget_before(now_ns - 24 * _HOUR_NS)


def _unheard(contact: Contact) -> Verdict:
    """Of a station that hears nobody."""
    said = _undecided(contact, "no_receiver", "this station has no source of AIS")
    return replace(said, word="unheard", unheard=1.0, undecided=0.0)


def may_be_vessel(contact: Contact) -> bool:
    """Whether AIS can have a word on it at all: by its label it may be a vessel, and it has a place."""
    return contact.label in _MAYBE_VESSELS and contact.position is not None


def look_of(contact: Contact, at_ns: int | None = None) -> Look | None:
    """A contact as a look at its last sighting, or carried to `at_ns` when that is at most 90 s away."""
    position = contact.position
    if position is None:
        return None
    ee, en, _, nn, _, _ = position.covariance_enu_m2
    latitude, longitude = position.latitude_deg, position.longitude_deg
    time_ns = contact.position_ns if contact.position_ns is not None else contact.last_ns
    if at_ns is not None:
        seconds = (at_ns - time_ns) / _NS
        if abs(seconds) * _NS > _BESIDE_NS:
            return None
        if contact.course_deg is not None and contact.speed_mps is not None:
            course, way = math.radians(contact.course_deg), contact.speed_mps * seconds
            scale = METRES_PER_DEG * max(0.01, math.cos(math.radians(latitude)))
            latitude += way * math.cos(course) / METRES_PER_DEG
            longitude += way * math.sin(course) / scale
        grown = (2.0 * seconds) ** 2
        ee, nn, time_ns = ee + grown, nn + grown, at_ns
    return Look(
        contact_id=contact.contact_id,
        time_ns=time_ns,
        latitude_deg=latitude,
        longitude_deg=(longitude + 180.0) % 360.0 - 180.0,
        covariance_en_m2=(max(ee, 1.0), en, max(nn, 1.0)),
        course_deg=contact.course_deg,
        speed_mps=contact.speed_mps,
        velocity_covariance_en_m2ps2=contact.velocity_covariance_en_m2ps2,
    )


def _first_place(sources: Sequence[AisSourceConfig]) -> Receiver | None:
    """The one receiver whose place is known; with several at several places only the map is learnt."""
    places = {
        (one.latitude_deg, one.longitude_deg): one.height_m for one in sources if one.latitude_deg is not None
    }
    if len(places) != 1 or any(one.latitude_deg is None and not one.platform_id for one in sources):
        return None
    ((latitude, longitude), height_m) = next(iter(places.items()))
    assert latitude is not None
    assert longitude is not None
    return Receiver(latitude_deg=latitude, longitude_deg=longitude, height_m=height_m)


def _filled(
    reports: Sequence[PositionReport],
    statics: Sequence[StaticReport],
    hearing: HearingModel,
    minutes: Mapping[int, int],
) -> VesselBook:
    """A book of what was kept. Nothing is learnt from it: it was, when it was heard."""
    book = VesselBook()
    for report in reports:
        book.add(report)
    for static in statics:
        if book.get(static.mmsi) is not None:
            book.add(static)
    for minute in sorted(minutes):
        hearing.note_heard(minute * 60 * _NS)
    book.hearing = hearing
    return book


def _static_of(vessel: Vessel) -> StaticReport:
    return StaticReport(
        vessel.mmsi,
        vessel.kind,
        vessel.last_ns,
        name=vessel.name,
        callsign=vessel.callsign,
        imo=vessel.imo,
        ship_type=vessel.ship_type,
        hull_m=vessel.hull_m,
        draught_m=vessel.draught_m,
        destination=vessel.destination,
    )


def _snapshot(vessel: Vessel) -> Vessel:
    """A copy that the sources' threads no longer change."""
    tracks = [replace(one, reports=list(one.reports)) for one in vessel.tracks]
    return replace(vessel, tracks=tracks, switches=list(vessel.switches), events=list(vessel.events))


def _is_inside(vessel: Vessel, bbox: tuple[float, float, float, float] | None) -> bool:
    position = vessel.position
    if bbox is None:
        return True
    if position is None:
        return False
    west, south, east, north = bbox
    longitude = position.longitude_deg
    is_across = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
    return south <= position.latitude_deg <= north and is_across


def _of_anything(found: Verdict) -> Verdict:
    """The verdict on what nobody calls a vessel: it may be one that was heard, but a hut is not silent."""
    if found.word != "silent" or found.mmsi is not None:
        return found
    text = "nothing says that this is a vessel, so that silence tells nothing"
    others = tuple(one for one in found.reasons if one.kind != "silent")
    return replace(
        found,
        word="undecided",
        silent=0.0,
        undecided=found.undecided + found.silent,
        reasons=(Reason(kind="not_said_a_vessel", text=text), *others),
    )


def _undecided(contact: Contact, kind: str, text: str) -> Verdict:
    return Verdict(
        contact_id=contact.contact_id,
        time_ns=contact.last_ns,
        word="undecided",
        matched=0.0,
        silent=0.0,
        doubtful=0.0,
        unheard=0.0,
        undecided=1.0,
        mmsi=None,
        candidates=(),
        reasons=(Reason(kind=kind, text=text),),
    )
