"""The live picture: what each platform last said, and which things changed since a given revision.

A plain object behind a lock: the receiver's thread writes, the web side reads. Nothing here is a queue that a
slow reader could fill: each thing is kept once, in the order of its last change, so a reader that comes late
gets the latest of each, and one that comes too late is told to start anew (`changes_since` gives `None`).
"""

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ground.alerts.alert import LoggedAlert
from ground.picture.clocks import PlatformClock, clock_of
from ground.store.reading import StoredContact, StoredPlatform, StoredSighting
from skywarden.messages import ClockReport, FrameInfo, Health, Look, Message, PlatformPose, Sighting, Track

Kind = Literal["platform", "contact", "track", "sighting", "alert", "look"]
LonLat = tuple[float, float]

_TRAIL_POINTS = 500
_TRAIL_STEP_M = 15.0
_TRACK_TRAIL_POINTS = 60
_TRACK_GONE_S = 60.0
_MAX_OF_KIND: dict[Kind, int] = {
    "platform": 1_000,
    "contact": 5_000,
    "track": 5_000,
    "sighting": 1_000,
    "alert": 1_000,
    "look": 200,
}


@dataclass(slots=True)
class LinkCounts:
    """What came over the link from one platform since this station started; `missing` and `last_seq` of its
    newest outbox."""

    records: int = 0
    duplicates: int = 0
    refused: int = 0
    missing: int = 0
    last_seq: int = 0
    pending: int = 0
    bytes: int = 0
    delay_s: float | None = None


@dataclass(slots=True)
class PlatformState:
    """The latest of everything one platform said."""

    platform_id: str
    sortie_id: str | None = None
    last_heard_ns: int = 0
    heard_s: float | None = None
    pose: PlatformPose | None = None
    pose_s: float | None = None
    frame: FrameInfo | None = None
    health: dict[tuple[str, str], Health] = field(default_factory=dict)
    trail: deque[LonLat] = field(default_factory=lambda: deque(maxlen=_TRAIL_POINTS))
    link: LinkCounts = field(default_factory=LinkCounts)
    clock: PlatformClock | None = None

    def age_s(self, now_s: float, now_ns: int) -> float | None:
        """Seconds since it was heard; by the monotonic clock when heard in this run."""
        if self.heard_s is not None:
            return max(0.0, now_s - self.heard_s)
        return max(0.0, (now_ns - self.last_heard_ns) / 1e9) if self.last_heard_ns else None

    def pose_age_s(self, now_s: float) -> float | None:
        """Seconds since a pose came in, `None` when none ever did."""
        return max(0.0, now_s - self.pose_s) if self.pose_s is not None else None

    def health_in_order(self) -> list[Health]:
        """Conditions by component and name."""
        return [self.health[key] for key in sorted(self.health)]


@dataclass(slots=True)
class TrackState:
    """A live track with where it was."""

    track: Track
    received_s: float
    trail: deque[LonLat] = field(default_factory=lambda: deque(maxlen=_TRACK_TRAIL_POINTS))


@dataclass(frozen=True, slots=True)
class LatestLook:
    """What a camera last showed; kept in memory only. `taken_ns` is by this station's clock, and never later
    than `received_ns`; `is_time_known` whether the platform's clock was compared with ours."""

    look: Look
    received_ns: int
    taken_ns: int
    is_time_known: bool


Thing = PlatformState | TrackState | StoredContact | StoredSighting | LoggedAlert | LatestLook


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Thing `key` of `kind` changed at `revision`; `value` is a copy that nobody changes any more."""

    revision: int
    kind: Kind
    key: str
    value: Thing


class LivePicture:
    """See the module. `first_revision` should lie above every revision of earlier runs (such as UTC
    microseconds), so that a browser that reconnects after a restart is told to start anew."""

    def __init__(self, first_revision: int) -> None:
        self._lock = threading.Lock()
        self._revision = first_revision
        self._floor = first_revision
        self._changed: OrderedDict[tuple[Kind, str], int] = OrderedDict()
        self._platforms: dict[str, PlatformState] = {}
        self._tracks: dict[str, TrackState] = {}
        self._contacts: dict[str, StoredContact] = {}
        self._sightings: dict[str, StoredSighting] = {}
        self._alerts: dict[str, LoggedAlert] = {}
        self._looks: dict[str, LatestLook] = {}
        self._stale: set[str] = set()
        self._listener: Callable[[], None] | None = None
        self.is_exercise = False

    @property
    def revision(self) -> int:
        """The number of the latest change."""
        return self._revision

    def next_revision(self) -> int:
        """A fresh number for a change that is stored elsewhere too."""
        with self._lock:
            self._revision += 1
            return self._revision

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call `listener` (quick, from the writing thread) after changes; one listener at a time."""
        self._listener = listener

    def restore(self, platforms: list[StoredPlatform], health: list[Health]) -> None:
        """What the store remembers of earlier runs."""
        with self._lock:
            for stored in platforms:
                state = self._platform(stored.platform_id)
                state.last_heard_ns, state.sortie_id = stored.last_heard_ns, stored.sortie_id
            for condition in health:
                state = self._platform(condition.platform_id)
                state.health[condition.component, condition.condition] = condition

    def note_traffic(
        self, platform_id: str, *, now_s: float, received_ns: int, sent_ns: int, size: int, pending: int
    ) -> None:
        """A batch came: monotonic seconds, UTC ns here, UTC ns there, bytes, what the outbox holds."""
        with self._lock:
            state = self._platform(platform_id)
            state.heard_s, state.last_heard_ns = now_s, received_ns
            state.link.bytes += size
            state.link.pending = pending
            state.link.delay_s = (received_ns - sent_ns) / 1e9
            if state.clock is not None:
                state.clock = state.clock.after_batch(state.link.delay_s, now_s)
            self._touch("platform", platform_id)

    def note_records(
        self, platform_id: str, *, records: int, duplicates: int, refused: int, missing: int, last_seq: int
    ) -> None:
        """What became of a batch's durable records."""
        with self._lock:
            link = self._platform(platform_id).link
            link.records += records
            link.duplicates += duplicates
            link.refused += refused
            link.missing, link.last_seq = missing, last_seq
            self._touch("platform", platform_id)

    def note_message(self, message: Message, now_s: float) -> None:
        """Take in any message that says something about the present."""
        with self._lock:
            if isinstance(message, PlatformPose):
                self._note_pose(message, now_s)
            elif isinstance(message, FrameInfo):
                state = self._platform(message.platform_id)
                if state.frame is None or message.time_ns >= state.frame.time_ns:
                    state.frame, state.sortie_id = message, message.sortie_id
                    self._touch("platform", message.platform_id)
            elif isinstance(message, Health):
                self._note_health(message)
            elif isinstance(message, ClockReport):
                self._platform(message.platform_id).clock = clock_of(message, now_s)
                self._touch("platform", message.platform_id)
            elif isinstance(message, Track):
                self._note_track(message, now_s)
            elif isinstance(message, Sighting):
                state = self._platform(message.platform_id)
                state.sortie_id = state.sortie_id or message.sortie_id
                self.is_exercise = self.is_exercise or message.is_exercise

    def note_sightings(self, sightings: list[StoredSighting]) -> None:
        """Sightings that were committed."""
        with self._lock:
            for stored in sightings:
                self._sightings[stored.sighting.sighting_id] = stored
                self._touch("sighting", stored.sighting.sighting_id)

    def note_contacts(self, contacts: list[StoredContact], removed: list[str]) -> None:
        """Contacts that changed; when any are no more, readers are told to start anew."""
        with self._lock:
            for stored in contacts:
                self._contacts[stored.contact.contact_id] = stored
                self._touch("contact", stored.contact.contact_id)
            for contact_id in removed:
                self._contacts.pop(contact_id, None)
                self._changed.pop(("contact", contact_id), None)
            if removed:
                self._revision += 1
                self._floor = self._revision

    def forget_sightings(self, sighting_ids: Sequence[str]) -> None:
        """Sightings that were erased; when any was shown, readers are told to start anew."""
        with self._lock:
            shown = [name for name in sighting_ids if self._sightings.pop(name, None) is not None]
            for name in shown:
                self._changed.pop(("sighting", name), None)
            if shown:
                self._revision += 1
                self._floor = self._revision

    def note_alert(self, logged: LoggedAlert) -> None:
        """An alert fired, or somebody did something about it."""
        with self._lock:
            self._alerts[logged.alert.alert_id] = logged
            self._touch("alert", logged.alert.alert_id)
        self.publish()

    def note_look(self, look: Look, received_ns: int) -> None:
        """A look came; an older one than is held of the same sortie is passed over."""
        key = f"{look.platform_id}/{look.sensor_id}"
        with self._lock:
            held = self._looks.get(key)
            is_same_flight = held is not None and held.look.sortie_id == look.sortie_id
            if held is not None and is_same_flight and look.time_ns < held.look.time_ns:
                return
            clock = self._platform(look.platform_id).clock
            ahead_ns = int(clock.offset_s * 1e9) if clock is not None else 0
            self._looks.pop(key, None)  # the one that was heard of longest ago goes first
            self._looks[key] = LatestLook(
                look=look,
                received_ns=received_ns,
                taken_ns=min(received_ns, max(0, look.time_ns - ahead_ns)),
                is_time_known=clock is not None and not clock.is_doubtful,
            )
            self._touch("look", key)

    def looks(self) -> list[LatestLook]:
        """The latest look of every camera, by platform and sensor."""
        with self._lock:
            return [self._looks[key] for key in sorted(self._looks)]

    def look(self, platform_id: str, sensor_id: str | None = None) -> LatestLook | None:
        """The latest look of a camera, or of any camera of the platform."""
        found = [
            one
            for one in self.looks()
            if one.look.platform_id == platform_id and sensor_id in (None, one.look.sensor_id)
        ]
        return max(found, key=lambda one: one.received_ns, default=None)

    def tick(self, now_s: float, now_ns: int, stale_s: float, pose_stale_s: float) -> None:
        """Let time pass: tracks that nobody speaks of go, platforms that fall silent count as changed."""
        with self._lock:
            for track_id in [
                name for name, one in self._tracks.items() if now_s - one.received_s > _TRACK_GONE_S
            ]:
                del self._tracks[track_id]
                self._changed.pop(("track", track_id), None)
            for platform_id, state in self._platforms.items():
                age_s, pose_age_s = state.age_s(now_s, now_ns), state.pose_age_s(now_s)
                marks = {
                    f"{platform_id} link": age_s is None or age_s > stale_s,
                    f"{platform_id} pose": pose_age_s is not None and pose_age_s > pose_stale_s,
                }
                for mark, is_stale in marks.items():
                    if is_stale != (mark in self._stale):
                        (self._stale.add if is_stale else self._stale.discard)(mark)
                        self._touch("platform", platform_id)
        self.publish()

    def publish(self) -> None:
        """Tell the listener that there is something new."""
        if self._listener is not None:
            self._listener()

    @property
    def platform_count(self) -> int:
        """How many platforms were ever heard."""
        return len(self._platforms)

    def platform(self, platform_id: str) -> PlatformState | None:
        """A copy of one platform; `None` when it was never heard."""
        with self._lock:
            state = self._platforms.get(platform_id)
            return None if state is None else _copied_platform(state)

    def platforms(self) -> list[PlatformState]:
        """Copies of all platforms, by id."""
        with self._lock:
            return [_copied_platform(self._platforms[name]) for name in sorted(self._platforms)]

    def tracks(self) -> list[TrackState]:
        """Copies of all live tracks, by id."""
        with self._lock:
            return [_copied(self._tracks[name]) for name in sorted(self._tracks)]

    def changes_since(self, revision: int, limit: int = 500) -> list[Change] | None:
        """What changed after `revision`, oldest change first, at most `limit`; `None` when that is not known
        any more (or never was), and the reader must fetch everything anew."""
        with self._lock:
            if revision < self._floor or revision > self._revision:
                return None
            found: list[tuple[int, Kind, str]] = []
            for (kind, key), changed in reversed(self._changed.items()):
                if changed <= revision:
                    break
                found.append((changed, kind, key))
            return [
                Change(revision=changed, kind=kind, key=key, value=self._value(kind, key))
                for changed, kind, key in reversed(found[-limit:])
            ]

    def _value(self, kind: Kind, key: str) -> Thing:
        if kind == "platform":
            return _copied_platform(self._platforms[key])
        if kind == "track":
            return _copied(self._tracks[key])
        if kind == "alert":
            return self._alerts[key]
        if kind == "look":
            return self._looks[key]
        return self._contacts[key] if kind == "contact" else self._sightings[key]

    def _touch(self, kind: Kind, key: str) -> None:
        self._revision += 1
        self._changed[kind, key] = self._revision
        self._changed.move_to_end((kind, key))
        table = self._table(kind)
        if len(table) > _MAX_OF_KIND[kind]:
            oldest = next(name for name in table if name != key)
            del table[oldest]
            self._floor = max(self._floor, self._changed.pop((kind, oldest), 0))

    def _table(
        self, kind: Kind
    ) -> (
        dict[str, PlatformState]
        | dict[str, TrackState]
        | dict[str, StoredContact]
        | dict[str, StoredSighting]
        | dict[str, LoggedAlert]
        | dict[str, LatestLook]
    ):
        if kind == "platform":
            return self._platforms
        if kind == "track":
            return self._tracks
        if kind == "alert":
            return self._alerts
        if kind == "look":
            return self._looks
        return self._contacts if kind == "contact" else self._sightings

    def _platform(self, platform_id: str) -> PlatformState:
        state = self._platforms.get(platform_id)
        if state is None:
            state = self._platforms[platform_id] = PlatformState(platform_id)
        return state

    def _note_pose(self, pose: PlatformPose, now_s: float) -> None:
        state = self._platform(pose.platform_id)
        if state.pose is not None and pose.time_ns < state.pose.time_ns and pose.sortie_id == state.sortie_id:
            return
        state.pose, state.pose_s, state.sortie_id = pose, now_s, pose.sortie_id
        if pose.latitude_deg is not None and pose.longitude_deg is not None:
            _extend(state.trail, (pose.longitude_deg, pose.latitude_deg))
        self._touch("platform", pose.platform_id)

    def _note_health(self, health: Health) -> None:
        state = self._platform(health.platform_id)
        key = (health.component, health.condition)
        before = state.health.get(key)
        if before is None or health.time_ns >= before.time_ns:
            state.health[key] = health
            self._touch("platform", health.platform_id)

    def _note_track(self, track: Track, now_s: float) -> None:
        state = self._tracks.get(track.track_id)
        if state is None:
            state = self._tracks[track.track_id] = TrackState(track, now_s)
        elif track.time_ns < state.track.time_ns:
            return
        state.track, state.received_s = track, now_s
        if track.position is not None:
            _extend(state.trail, (track.position.longitude_deg, track.position.latitude_deg))
        self._touch("track", track.track_id)


def _extend(trail: deque[LonLat], point: LonLat) -> None:
    """Add a point that is a step away from the last one."""
    if trail:
        north_m = (point[1] - trail[-1][1]) * 111_320.0
        east_m = (point[0] - trail[-1][0]) * 111_320.0 * math.cos(math.radians(point[1]))
        if math.hypot(north_m, east_m) < _TRAIL_STEP_M:
            return
    trail.append((round(point[0], 7), round(point[1], 7)))


def _copied_platform(state: PlatformState) -> PlatformState:
    return replace(
        state,
        health=dict(state.health),
        trail=deque(state.trail, maxlen=_TRAIL_POINTS),
        link=replace(state.link),
    )


def _copied(state: TrackState) -> TrackState:
    return TrackState(state.track, state.received_s, deque(state.trail, maxlen=_TRACK_TRAIL_POINTS))
