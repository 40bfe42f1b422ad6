"""The tracks of a book: those in use whole, those that nothing has come for lately as a note where to ask.

A watch of days sees more tracks than memory holds, and any of them may matter again: a record comes late, a
vessel stands where one stood this morning. So a track that rests is not forgotten. Its sightings are asked
for again when it matters, and as a track does not depend on their order, it is then to the last bit what it
was.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

from ground.fusion.contact import Recall
from ground.fusion.track import FusionTrack
from skywarden.messages import Sighting

_QUIET_S = 5.0
"""A track without a sighting for so long, and since the last time that any rested, is packed."""

_SWEEP_S = 5.0

_ENDED = Struct("=qI?")
"""An `Ended` in bytes: a watch of days has millions of them."""


class Ended(NamedTuple):
    """What is known of a track whether it rests or not."""

    last_ns: int
    sightings: int
    is_static: bool

    @classmethod
    def of(cls, track: FusionTrack) -> "Ended":
        """As the track is now."""
        return cls(track.last_ns, track.kept.count, track.is_static)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Ended":
        """What `_ENDED` packed."""
        return cls(*_ENDED.unpack(packed))


class TrackShelf:
    """Tracks by id; not safe from several threads. Nothing rests before `rest` was called."""

    def __init__(self) -> None:
        self._awake: dict[str, FusionTrack] = {}
        self._fed_s: dict[str, float] = {}
        self._used_s: dict[str, float] = {}
        self._fed: set[str] = set()
        self._used: set[str] = set()
        """Since the last `rest`, which gives them its time: so that what a slow turn used is never old."""
        self._resting: dict[str, bytes] = {}
        self._news: set[str] = set()
        self._recall: Recall | None = None
        self._swept_s: float | None = None

    def __contains__(self, track_id: object) -> bool:
        return track_id in self._awake or track_id in self._resting

    def __getitem__(self, track_id: str) -> FusionTrack:
        """A track that is awake."""
        return self._awake[track_id]

    def __iter__(self) -> Iterator[str]:
        """Ids of all tracks, awake or not."""
        yield from self._awake
        yield from self._resting

    @property
    def awake_count(self) -> int:
        """How many are in memory whole."""
        return len(self._awake)

    def ended(self, track_id: str) -> Ended | None:
        """When a track was seen last, and whether it is of a kind that never moves; `None` when unknown."""
        track = self._awake.get(track_id)
        if track is not None:
            return Ended.of(track)
        packed = self._resting.get(track_id)
        return Ended.unpacked(packed) if packed is not None else None

    def take(self, sighting: Sighting) -> bool:
        """Give a sighting to its track, which is begun or woken where need be; False when it was known."""
        track_id = sighting.track_id
        if not self.wake(track_id):
            self._awake[track_id] = FusionTrack.begun(sighting)
        self._fed.add(track_id)
        self._used.add(track_id)
        return self._awake[track_id].add(sighting)

    def wake(self, track_id: str) -> bool:
        """Have a track in memory whole; False, and it is known no more, when nothing is left of it."""
        if track_id in self._awake:
            self._used.add(track_id)
            return True
        packed = self._resting.get(track_id)
        if packed is None or self._recall is None:
            return False
        track: FusionTrack | None = None
        for sighting in self._recall(track_id):
            track = track or FusionTrack.begun(sighting)
            track.add(sighting)
        del self._resting[track_id]
        if track is None:
            return False
        if track.kept.count != Ended.unpacked(packed).sightings:
            self._news.add(track_id)
        self._awake[track_id] = track
        self._fed.add(track_id)
        self._used.add(track_id)
        return True

    def news(self) -> set[str]:
        """Tracks that woke with other sightings than they rested with, since the last call: what recalls may
        know of sightings that were not given yet, and when they are given they are known."""
        news, self._news = self._news, set()
        return news

    def forget(self, track_id: str) -> None:
        """Drop a track."""
        for table in (self._awake, self._fed_s, self._used_s, self._resting):
            table.pop(track_id, None)
        self._fed.discard(track_id)
        self._used.discard(track_id)

    def rest(self, now_s: float, idle_s: float, recall: Recall, *, but: Iterable[str]) -> int:
        """Put aside what was neither fed nor asked for in `idle_s`, except `but`; how many that were.

        What is merely quiet is packed. `now_s` are monotonic seconds; all is looked through every 5 s.
        """
        self._recall = recall
        self._fed_s.update(dict.fromkeys(self._fed, now_s))
        self._used_s.update(dict.fromkeys(self._used, now_s))
        self._fed.clear()
        self._used.clear()
        if self._swept_s is not None and now_s - self._swept_s < _SWEEP_S:
            return 0
        self._swept_s = now_s
        kept = set(but)
        quiet = [one for one, fed_s in self._fed_s.items() if now_s - fed_s > _QUIET_S and one not in kept]
        idle = [track_id for track_id in quiet if now_s - self._used_s[track_id] > idle_s]
        for track_id in quiet:
            self._awake[track_id].slim()
        for track_id in idle:
            self._resting[track_id] = _ENDED.pack(*Ended.of(self._awake.pop(track_id)))
            del self._fed_s[track_id], self._used_s[track_id]
        return len(idle)
