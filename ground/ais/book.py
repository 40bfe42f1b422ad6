"""The vessels that were heard, each with what it says it is and where it was; a plain object without a clock.

One MMSI may be used by two transmitters, or a position may jump: reports that no vessel could have made one
after the other go to separate tracks of the same number, so that neither spoils the other, and the switching
back and forth is the evidence of a clone. Histories are thinned and bounded; so is the number of vessels.
"""

import math
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ground.ais.hearing import HearingModel, Receiver
from ground.ais.identity import imo_doubt, number_doubt
from ground.ais.motion import METRES_PER_DEG, expected_interval_s
from skywarden.ais.reports import Class, PositionReport, Report, StaticReport

_NS = 1_000_000_000
MAX_VESSELS = 20_000
MAX_REPORTS = 720
_MAX_TRACKS = 4
_TRACK_GONE_NS = 2 * 3600 * _NS
_FASTEST_MPS = {"aircraft": 160.0}
_SLACK_M = 400.0
_NEAR_DEG = 0.0025
"""A step of less both ways is within `_SLACK_M` at every latitude: what most reports are."""
_MOVING_KEEP_NS, _STILL_KEEP_NS = 8 * _NS, 60 * _NS
_LEARN_S = 600.0
_LEARN_EVERY_NS = 30 * _NS
_OWN_CHANCES = 40.0
_OWN_S = 3_600.0
_FROZEN_M, _STUCK_M = 500.0, 50.0
_CLONE_SWITCHES = 3
_CLONE_NS = 1800 * _NS
_MAX_EVENTS = 40


@dataclass(slots=True)
class Track:
    """Reports that one transmitter can have sent, in order of time, thinned; `last` is the newest of all."""

    number: int
    last: PositionReport
    reports: list[PositionReport] = field(default_factory=list)
    count: int = 1
    chances: float = 0.0
    heard: float = 0.0
    stuck_since: PositionReport | None = None
    stray_m: tuple[float, float] = (0.0, 0.0)
    """East and north: where the motion that it told would have led while its place stayed within 50 m."""
    _learnt: PositionReport | None = None
    _since_learnt: int = 0

    def is_frozen(self) -> bool:
        """Whether it says it moves and its place does not: its own word would have led it 500 m away, and it
        is within 50 m of where it was.
        """
        return math.hypot(*self.stray_m) > _FROZEN_M

    def per_report(self) -> float:
        """The share of its reports that was heard of late, by the rules' count; believed 0.5 at first."""
        return (self.heard + 1.0) / (self.chances + 2.0)

    def all_reports(self) -> list[PositionReport]:
        """The kept ones and the newest."""
        if self.reports and self.reports[-1].time_ns >= self.last.time_ns:
            return self.reports
        return [*self.reports, self.last]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something odd about a vessel's reports: "jump" (metres and seconds) or "renamed" (what changed)."""

    kind: str
    time_ns: int
    text: str
    distance_m: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Why a vessel's identity or position is not to be taken as it is said; `weight` is how likely so."""

    kind: str
    text: str
    weight: float


@dataclass(slots=True)
class Vessel:
    """One MMSI."""

    mmsi: str
    kind: Class
    first_ns: int
    last_ns: int
    name: str | None = None
    callsign: str | None = None
    imo: int | None = None
    ship_type: int | None = None
    hull_m: tuple[int, int, int, int] | None = None
    draught_m: float | None = None
    destination: str | None = None
    tracks: list[Track] = field(default_factory=list)
    switches: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    revision: int = 0

    @property
    def position(self) -> PositionReport | None:
        """The newest report of place."""
        return max((one.last for one in self.tracks), key=lambda report: report.time_ns, default=None)

    @property
    def length_m(self) -> float | None:
        """Over all, as told."""
        return float(self.hull_m[0] + self.hull_m[1]) if self.hull_m is not None else None

    def is_cloned(self, time_ns: int) -> bool:
        """Whether two transmitters used the number at about that time."""
        return sum(abs(one - time_ns) <= _CLONE_NS for one in self.switches) >= _CLONE_SWITCHES

    def doubts(self, time_ns: int) -> list[Doubt]:
        """What speaks against its identity or position at that time."""
        found = []
        if (said := number_doubt(self.mmsi)) is not None and self.kind in ("A", "B", "long_range"):
            found.append(Doubt(kind="number", text=f"MMSI {self.mmsi}: {said}", weight=0.9))
        if self.is_cloned(time_ns):
            text = f"MMSI {self.mmsi} is used by two transmitters at places that one vessel cannot join"
            found.append(Doubt(kind="clone", text=text, weight=0.97))
        else:
            jumps = [
                one for one in self.events if one.kind == "jump" and 0 <= time_ns - one.time_ns <= _CLONE_NS
            ]
            if jumps:
                found.append(Doubt(kind="jump", text=jumps[-1].text, weight=0.8))
        if any(abs(one.last.time_ns - time_ns) <= _CLONE_NS and one.is_frozen() for one in self.tracks):
            text = f"MMSI {self.mmsi} says that it moves, and its position does not"
            found.append(Doubt(kind="frozen", text=text, weight=0.9))
        if (said := imo_doubt(self.imo)) is not None:
            found.append(Doubt(kind="imo", text=said, weight=0.05))
        renamed = [
            one
            for one in self.events
            if one.kind == "renamed" and 0 <= time_ns - one.time_ns <= 24 * 2 * _CLONE_NS
        ]
        if renamed:
            found.append(Doubt(kind="renamed", text=renamed[-1].text, weight=0.3))
        return found


class VesselBook:
    """See the module. `hearing` learns from what is added; `None` where nothing is to be learnt."""

    def __init__(self, hearing: HearingModel | None = None, *, max_vessels: int = MAX_VESSELS) -> None:
        self.hearing = hearing
        self._vessels: OrderedDict[str, Vessel] = OrderedDict()
        self._max_vessels = max_vessels
        self.reports = 0
        self.repeated = 0
        self.revision = 0

    def __len__(self) -> int:
        return len(self._vessels)

    def __iter__(self) -> Iterator[Vessel]:
        return iter(self._vessels.values())

    def get(self, mmsi: str) -> Vessel | None:
        """One vessel."""
        return self._vessels.get(mmsi)

    def add(self, report: Report, receiver: Receiver | None = None) -> bool:
        """Take in a report; True when it belongs to the thinned history that is worth keeping.

        `receiver` is where a receiver that moves was when it heard the report.
        """
        self.reports += 1
        if isinstance(report, StaticReport):
            return self._add_static(report)
        if self.hearing is not None:
            self.hearing.note_heard(report.received_ns)
        vessel = self._vessel(report.mmsi, report.kind, report.received_ns)
        if report.time_ns > vessel.last_ns:
            vessel.last_ns = report.time_ns
        for track in vessel.tracks:
            if _can_follow(track.last, report):
                if track is not vessel.tracks[0]:
                    self._switch(vessel, track, report)
                return self._extend(vessel, track, report, receiver)
        self._new_track(vessel, report)
        return True

    def near(
        self,
        latitude_deg: float,
        longitude_deg: float,
        radius_m: float,
        time_ns: int,
        horizon_s: float = 3600.0,
    ) -> list[tuple[Vessel, Track]]:
        """Tracks that may have been within `radius_m` at `time_ns` (a coarse first look)."""
        found = []
        scale = METRES_PER_DEG * math.cos(math.radians(latitude_deg))
        for vessel in self._vessels.values():
            if vessel.kind in ("base", "aid", "aircraft"):
                continue
            if vessel.last_ns < time_ns - horizon_s * 1e9 or vessel.first_ns > time_ns + horizon_s * 1e9:
                continue
            for track in vessel.tracks:
                report = _nearest(track, time_ns)
                drift = min(abs(time_ns - report.time_ns) / 1e9, horizon_s) * ((report.sog_mps or 3.0) + 2.0)
                limit = radius_m + drift + math.hypot(*track.stray_m)
                north = abs(report.latitude_deg - latitude_deg) * METRES_PER_DEG
                east = abs((report.longitude_deg - longitude_deg + 180.0) % 360.0 - 180.0) * scale
                if north <= limit and east <= limit:
                    found.append((vessel, track))
        return found

    def forget_before(self, time_ns: int) -> int:
        """Drop vessels that were not heard since; how many."""
        gone = [mmsi for mmsi, vessel in self._vessels.items() if vessel.last_ns < time_ns]
        for mmsi in gone:
            del self._vessels[mmsi]
        return len(gone)

    def _vessel(self, mmsi: str, kind: Class, time_ns: int) -> Vessel:
        vessel = self._vessels.get(mmsi)
        self.revision += 1
        if vessel is None:
            if len(self._vessels) >= self._max_vessels:
                self._vessels.popitem(last=False)
            vessel = self._vessels[mmsi] = Vessel(mmsi, kind, time_ns, time_ns)
        else:
            self._vessels.move_to_end(mmsi)
            if vessel.kind != kind and kind != "long_range":
                vessel.kind = kind
            if time_ns < vessel.first_ns:
                vessel.first_ns = time_ns
        vessel.revision = self.revision
        return vessel

    def _extend(
        self, vessel: Vessel, track: Track, report: PositionReport, receiver: Receiver | None
    ) -> bool:
        last = track.last
        if report.time_ns <= last.time_ns:
            return self._late(track, report)
        track.count += 1
        track._since_learnt += 1
        track.last = report
        kept = track.reports[-1]
        is_still = (report.sog_mps or 0.0) < 1.0
        since_ns = report.time_ns - kept.time_ns
        if since_ns < (_STILL_KEEP_NS if is_still else _MOVING_KEEP_NS) and not _has_turned(kept, report):
            return False
        learnt = track._learnt or track.reports[0]
        if report.time_ns - learnt.time_ns >= _LEARN_EVERY_NS:
            self._learn(track, learnt, report, receiver)
            track._learnt, track._since_learnt = report, 0
        track.reports.append(report)
        _note_stray(track, kept, report)
        if len(track.reports) > MAX_REPORTS + MAX_REPORTS // 4:
            del track.reports[: len(track.reports) - MAX_REPORTS]
        return True

    def _late(self, track: Track, report: PositionReport) -> bool:
        """A report that another receiver has told already, or one that comes late."""
        if report.time_ns == track.last.time_ns or any(
            one.time_ns == report.time_ns for one in track.reports[-4:]
        ):
            self.repeated += 1
            return False
        if report.time_ns < track.reports[0].time_ns and len(track.reports) >= MAX_REPORTS:
            return False
        nearest = _nearest(track, report.time_ns)
        if abs(nearest.time_ns - report.time_ns) < _MOVING_KEEP_NS:
            return False
        insort(track.reports, report, key=lambda one: one.time_ns)
        return True

    def _new_track(self, vessel: Vessel, report: PositionReport) -> None:
        number = max((one.number for one in vessel.tracks), default=0) + 1
        if vessel.tracks:
            self._jumped(vessel, vessel.tracks[0].last, report)
            vessel.switches.append(report.time_ns)
        vessel.tracks.insert(0, Track(number, report, [report]))
        alive = [one for one in vessel.tracks if report.time_ns - one.last.time_ns <= _TRACK_GONE_NS]
        vessel.tracks = alive[:_MAX_TRACKS] or vessel.tracks[:1]

    def _switch(self, vessel: Vessel, track: Track, report: PositionReport) -> None:
        """Reports go on at another place than the last one."""
        vessel.tracks.remove(track)
        vessel.tracks.insert(0, track)
        vessel.switches.append(report.time_ns)
        del vessel.switches[:-_MAX_EVENTS]

    def _jumped(self, vessel: Vessel, last: PositionReport, report: PositionReport) -> None:
        away = _away_m(last, report)
        seconds = abs(report.time_ns - last.time_ns) / 1e9
        text = (
            f"MMSI {vessel.mmsi} jumped {away / 1000:.1f} km in {seconds:.0f} s, "
            f"which would be {away / max(seconds, 1.0):.0f} m/s"
        )
        vessel.events.append(
            Event(kind="jump", time_ns=report.time_ns, text=text, distance_m=away, seconds=seconds)
        )
        del vessel.events[:-_MAX_EVENTS]

    def _learn(
        self, track: Track, kept: PositionReport, now: PositionReport, receiver: Receiver | None
    ) -> None:
        """How many reports of this vessel were due since the last kept one, and how many came.

        What came counts for where it is now, what did not come for half way.
        """
        if now.kind not in ("A", "B"):
            return
        seconds = (now.time_ns - kept.time_ns) / 1e9
        interval_s = expected_interval_s(kept.kind, kept.sog_mps, kept.status)
        heard = float(track._since_learnt)
        if seconds < interval_s * 0.9:
            return
        missed = max(0.0, round(min(seconds, _LEARN_S) / interval_s) - heard)
        own = max(0.0, round(min(seconds, _OWN_S) / interval_s) - heard)
        track.chances, track.heard = track.chances + heard + own, track.heard + heard
        if track.chances > _OWN_CHANCES:
            track.chances, track.heard = track.chances / 2.0, track.heard / 2.0
        if self.hearing is None:
            return
        is_strong = now.kind == "A"
        places = (now.latitude_deg, now.longitude_deg)
        self.hearing.learn(*places, is_strong=is_strong, chances=heard, heard=heard, receiver=receiver)
        if missed and abs(now.longitude_deg - kept.longitude_deg) < 180.0:
            middle = (
                (kept.latitude_deg + now.latitude_deg) / 2.0,
                (kept.longitude_deg + now.longitude_deg) / 2.0,
            )
            self.hearing.learn(*middle, is_strong=is_strong, chances=missed, heard=0.0, receiver=receiver)

    def _add_static(self, report: StaticReport) -> bool:
        vessel = self._vessel(report.mmsi, report.kind, report.received_ns)
        changed = False
        for name in ("name", "callsign", "imo", "ship_type", "hull_m", "draught_m", "destination"):
            told = getattr(report, name)
            known = getattr(vessel, name)
            if told is None or told == known:
                continue
            changed = True
            if known is not None and name in ("name", "callsign", "imo"):
                text = f"MMSI {vessel.mmsi} changed its {name} from {known} to {told}"
                vessel.events.append(Event(kind="renamed", time_ns=report.received_ns, text=text))
                del vessel.events[:-_MAX_EVENTS]
            setattr(vessel, name, told)
        return changed


def _nearest(track: Track, time_ns: int) -> PositionReport:
    if time_ns >= track.last.time_ns or not track.reports:
        return track.last
    low, high = 0, len(track.reports)
    while low < high:
        middle = (low + high) // 2
        if track.reports[middle].time_ns <= time_ns:
            low = middle + 1
        else:
            high = middle
    around = track.reports[max(0, low - 1) : low + 1] or [track.last]
    return min((*around, track.last), key=lambda one: abs(one.time_ns - time_ns))


def _note_stray(track: Track, kept: PositionReport, report: PositionReport) -> None:
    """Go on with the way that the vessel told while its place stays; begin anew where it does not."""
    since = track.stuck_since or kept
    if _away_m(since, report) >= _STUCK_M:
        track.stuck_since, track.stray_m = report, (0.0, 0.0)
        return
    track.stuck_since = since
    seconds = min((report.time_ns - kept.time_ns) / 1e9, _LEARN_S)
    if kept.cog_deg is not None and (kept.sog_mps or 0.0) >= 1.0:
        way, course = (kept.sog_mps or 0.0) * seconds, math.radians(kept.cog_deg)
        east, north = track.stray_m
        track.stray_m = east + way * math.sin(course), north + way * math.cos(course)


def _can_follow(last: PositionReport, report: PositionReport) -> bool:
    """Whether one transmitter could have been at both places."""
    north_deg = report.latitude_deg - last.latitude_deg
    east_deg = report.longitude_deg - last.longitude_deg
    if -_NEAR_DEG < north_deg < _NEAR_DEG and -_NEAR_DEG < east_deg < _NEAR_DEG:
        return True
    north = north_deg * METRES_PER_DEG
    if not -180.0 <= east_deg <= 180.0:
        east_deg -= math.copysign(360.0, east_deg)
    east = east_deg * METRES_PER_DEG * math.cos(math.radians(report.latitude_deg))
    seconds = abs(report.time_ns - last.time_ns) / 1e9
    fastest = _FASTEST_MPS.get(report.kind, 40.0)
    limit = _SLACK_M + last.resolution_m + report.resolution_m + fastest * min(seconds, 86_400.0)
    return north * north + east * east <= limit * limit


def _has_turned(kept: PositionReport, now: PositionReport) -> bool:
    """A change that a straight line between kept reports would hide."""
    if abs((kept.sog_mps or 0.0) - (now.sog_mps or 0.0)) > 1.5:
        return True
    if kept.cog_deg is None or now.cog_deg is None or (now.sog_mps or 0.0) < 1.0:
        return False
    return abs((kept.cog_deg - now.cog_deg + 180.0) % 360.0 - 180.0) > 12.0


def _away_m(one: PositionReport, two: PositionReport) -> float:
    north = (two.latitude_deg - one.latitude_deg) * METRES_PER_DEG
    east_deg = (two.longitude_deg - one.longitude_deg + 180.0) % 360.0 - 180.0
    return math.hypot(north, east_deg * METRES_PER_DEG * math.cos(math.radians(one.latitude_deg)))
