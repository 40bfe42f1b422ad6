"""From sightings to contacts: which tracks of which platforms are one real thing, and where it is.

A plain node: it is fed sightings in any order, any number of times, and its answer depends only on the set of
them, so late, repeated and interleaved records end in the same contacts with the same ids, to the last bit.
A contact is a group of tracks (`ground.fusion.association`), placed by one fit of all their looks
(`ground.fusion.place`). It is named after the track that was first.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from ground.config import ContactsConfig
from ground.fusion import association
from ground.fusion.contact import Contact, ContactChanges, ContactEvent, EventKind, Recall
from ground.fusion.index import TrackTable
from ground.fusion.pairs import NOTHING, Verdict
from ground.fusion.place import Placed, placed
from ground.fusion.rulings import Rulings
from ground.fusion.shelf import TrackShelf
from ground.fusion.track import FusionTrack
from skywarden.clock import NS_PER_S
from skywarden.errors import StoreError
from skywarden.messages import GENERIC_LABELS, Sighting

_IDLE_S = 30.0
"""A track that nobody asked for so long rests; what is near is asked for at each `settle`."""
_CROWDED = 4_000
_IDLE_IN_A_CROWD_S = 10.0
"""The same where more tracks than that are in memory."""

_COMPARED_AT_ONCE = 500
"""Pairs; so few that who is in a hurry need not wait long."""
_PLACED_AT_ONCE = 16


class ContactBook:
    """Contacts of the tracks fed so far; see the module for how. Not safe from several threads.

    `give_way` is called between two steps of long work and may take its time: others may be in a hurry.
    """

    def __init__(
        self,
        config: ContactsConfig,
        rulings: Rulings | None = None,
        *,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._rulings = rulings or Rulings()
        self._tracks = TrackShelf()
        self._table = TrackTable(config)
        self._edges: dict[str, dict[str, float]] = {}
        self._group_of: dict[str, tuple[str, ...]] = {}
        self._contact_of: dict[str, str] = {}
        """Of tracks that are one thing with others; most are alone, and are not noted here."""
        self._unsettled: set[str] = set()
        """Tracks that are in no contact yet."""
        self._dirty: set[str] = set()
        self._compared: dict[tuple[str, str], Verdict] = {}
        self._give_way = give_way

    def knows(self, track_id: str) -> bool:
        """Whether the sightings of this track have been fed."""
        return track_id in self._tracks

    def add(self, sighting: Sighting) -> None:
        """Take in one sighting; one that was fed before changes nothing."""
        if sighting.track_id not in self._tracks:
            self._unsettled.add(sighting.track_id)
        if self._tracks.take(sighting):
            self._dirty.add(sighting.track_id)

    def rule(self, rulings: Rulings) -> None:
        """Follow these words of people from the next `settle` on, instead of those of before."""
        for track_id in self._rulings.tracks() | rulings.tracks():
            if track_id in self._tracks:
                self._dirty.add(track_id)
        self._rulings = rulings

    def settle(self) -> ContactChanges:
        """The contacts that the sightings added since the last call make or change, by id.

        Where a track that rests cannot be read back, what is open stays open for the next call.
        """
        self._dirty |= self._tracks.news()
        if not self._dirty:
            return ContactChanges(changed=(), removed=())
        dirty, self._dirty = self._dirty, set()
        beside = {other for track_id in dirty for other in self._edges.get(track_id, ())}
        try:
            return self._settled(dirty, beside)
        except StoreError:
            self._dirty |= dirty | beside
            raise

    def _settled(self, dirty: set[str], beside: set[str]) -> ContactChanges:
        self._compared.clear()
        dirty = {track_id for track_id in dirty if self._is_here(track_id)}
        for track_id in dirty:
            self._table.note(self._tracks[track_id])
        self._renew_edges(sorted(dirty))
        touched = dirty | beside
        for track_id in dirty:
            touched.update(self._edges.get(track_id, ()))
        region = self._closure(touched)
        before = {track_id: self._contact_with(track_id) for track_id in region - self._unsettled}
        old_groups = {self._group_with(track_id) for track_id in before}
        new_groups = self._grouped(region)
        self._note_groups(new_groups)
        self._unsettled -= region
        changed = [group for group in new_groups if group not in old_groups or not dirty.isdisjoint(group)]
        contacts = sorted(self._contacts(changed), key=lambda one: one.contact_id)
        gone = set(before.values()) - {self._contact_with(track_id) for track_id in region}
        return ContactChanges(
            changed=tuple(contacts), removed=tuple(sorted(gone)), events=tuple(self._events(before))
        )

    def rest(self, now_s: float, recall: Recall) -> int:
        """Put tracks aside that nobody has asked for lately, to bound memory; the number of them.

        Nothing else changes: `recall` is asked for their sightings when they matter again. `now_s` are
        monotonic seconds, the same clock at each call.
        """
        idle_s = _IDLE_S if self._tracks.awake_count <= _CROWDED else _IDLE_IN_A_CROWD_S
        return self._tracks.rest(now_s, idle_s, recall, but=self._dirty)

    def forget_before(self, time_ns: int) -> int:
        """Drop contacts that ended before `time_ns` to bound memory; as told they stay as they are.

        A contact is dropped whole, so that it keeps its name; things that never move are remembered, because
        they are found again on another day.
        """
        old = [
            track_id
            for track_id in self._tracks
            if all(self._is_over(one, time_ns) for one in self._group_with(track_id))
        ]
        for track_id in old:
            self._forget(track_id)
        return len(old)

    def _forget(self, track_id: str) -> None:
        self._table.forget(track_id)
        self._tracks.forget(track_id)
        self._dirty.discard(track_id)
        self._drop_edges(track_id)
        self._unsettled.discard(track_id)
        self._contact_of.pop(track_id, None)
        self._group_of.pop(track_id, None)

    def _is_here(self, track_id: str) -> bool:
        """Whether a track can be looked at; one that rested and of which nothing is left is forgotten."""
        if self._tracks.wake(track_id):
            return True
        self._forget(track_id)
        return False

    def _is_over(self, track_id: str, time_ns: int) -> bool:
        ended = self._tracks.ended(track_id)
        return ended is None or (ended.last_ns < time_ns and not ended.is_static)

    def _closure(self, start: Iterable[str]) -> set[str]:
        """`start` with all that hangs on it by edges or by the groups of before."""
        found: set[str] = set()
        open_ends = list(start)
        while open_ends:
            track_id = open_ends.pop()
            if track_id in found or track_id not in self._tracks or not self._is_here(track_id):
                continue
            found.add(track_id)
            open_ends.extend(self._edges.get(track_id, {}))
            open_ends.extend(self._group_of.get(track_id, ()))
            open_ends.extend(self._rulings.partners(track_id))
        return found

    def _renew_edges(self, track_ids: list[str]) -> None:
        for track_id in track_ids:
            self._drop_edges(track_id)
        pairs: list[tuple[str, str]] = []
        for track_id in track_ids:
            self._give_way()
            pairs += self._pairs_with(track_id)
            if len(pairs) >= _COMPARED_AT_ONCE:
                self._note_edges(pairs)
                pairs = []
        self._note_edges(pairs)

    def _pairs_with(self, track_id: str) -> list[tuple[str, str]]:
        track = self._tracks[track_id]
        if not track.is_placed:
            return []
        near = (other_id for other_id in self._table.near(track) if self._is_here(other_id))
        return [(min(track_id, other_id), max(track_id, other_id)) for other_id in near]

    def _note_edges(self, pairs: list[tuple[str, str]]) -> None:
        for (one, two), verdict in self._verdicts(pairs).items():
            if verdict.cost is not None:
                self._edges.setdefault(one, {})[two] = verdict.cost
                self._edges.setdefault(two, {})[one] = verdict.cost

    def _verdicts(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], Verdict]:
        """On pairs of tracks in order of name, worked out once in a `settle`."""
        self._give_way()
        found = {pair: self._compared.get(pair) for pair in pairs}
        new = [pair for pair, verdict in found.items() if verdict is None]
        tracks = [(self._tracks[one], self._tracks[two]) for one, two in new]
        verdicts = dict(zip(new, association.compared(tracks, self._config), strict=True))
        for pair, verdict in verdicts.items():
            if verdict is not NOTHING:  # most are nothing, and quickly found so again
                self._compared[pair] = verdict
        return {pair: verdict or verdicts[pair] for pair, verdict in found.items()}

    def _drop_edges(self, track_id: str) -> None:
        for other in self._edges.pop(track_id, {}):
            self._edges[other].pop(track_id, None)

    def _grouped(self, region: set[str]) -> list[tuple[str, ...]]:
        pairs = (
            (cost, one, two) for one in region for two, cost in self._edges.get(one, {}).items() if one < two
        )
        together = [pair for pair in self._rulings.together() if pair[0] in region and pair[1] in region]
        return association.grouped(region, pairs, self._is_apart, together)

    def _is_apart(self, one: str, two: str) -> bool:
        word = self._rulings.word_on(one, two)
        if word is not None:
            return word == "apart"
        first, second = self._tracks[one], self._tracks[two]
        if association.are_seen_apart(first, second):
            return True
        is_comparable = first.is_placed and second.is_placed and self._are_of_one_time(first, second)
        pair = (min(one, two), max(one, two))
        return is_comparable and self._verdicts([pair])[pair].is_apart

    def _are_of_one_time(self, one: FusionTrack, two: FusionTrack) -> bool:
        """Whether their looks can tell that they are two; what is long past cannot."""
        if _is_within(one, two, self._config.max_gap_s) or (one.is_static and two.is_static):
            return True
        both_stand = one.is_standing and two.is_standing
        return both_stand and _is_within(one, two, self._config.standing_gap_s)

    def _note_groups(self, groups: list[tuple[str, ...]]) -> None:
        for group in groups:
            if len(group) > 1:
                self._group_of.update(dict.fromkeys(group, group))
                self._contact_of.update(dict.fromkeys(group, self._contact_id(group)))
            else:
                self._group_of.pop(group[0], None)
                self._contact_of.pop(group[0], None)

    def _group_with(self, track_id: str) -> tuple[str, ...]:
        """The tracks that are one thing with this one, and itself."""
        return self._group_of.get(track_id, (track_id,))

    def _contact_with(self, track_id: str) -> str:
        return self._contact_of.get(track_id) or id_of_leader(track_id)

    def _contact_id(self, group: tuple[str, ...]) -> str:
        """Named after the track that was first; a late older one renames the contact."""
        leader = min(group, key=lambda track_id: (self._tracks[track_id].first_ns, track_id))
        return id_of_leader(leader)

    def _events(self, before: dict[str, str]) -> Iterator[ContactEvent]:
        """How the contacts of before became those of now, for tracks that were in one."""
        heirs: dict[str, set[str]] = {}
        parents: dict[str, set[str]] = {}
        for track_id, old in before.items():
            new = self._contact_with(track_id)
            heirs.setdefault(old, set()).add(new)
            parents.setdefault(new, set()).add(old)
        for old in sorted(heirs):
            if len(heirs[old]) > 1:
                yield self._event("split", {old}, heirs[old], before)
        for new in sorted(parents):
            olds = parents[new]
            if len(olds) > 1:
                yield self._event("merged", olds, {new}, before)
            elif new not in olds and len(heirs[next(iter(olds))]) == 1:
                yield self._event("renamed", olds, {new}, before)

    def _event(self, kind: EventKind, olds: set[str], news: set[str], before: dict[str, str]) -> ContactEvent:
        members = [track_id for track_id, old in before.items() if old in olds]
        members = sorted(track_id for track_id in members if self._contact_with(track_id) in news)
        return ContactEvent(
            kind=kind,
            time_ns=max(self._tracks[track_id].last_ns for track_id in members),
            before=tuple(sorted(olds)),
            after=tuple(sorted(news)),
            track_ids=tuple(members),
        )

    def _contacts(self, groups: list[tuple[str, ...]]) -> Iterator[Contact]:
        for begin in range(0, len(groups), _PLACED_AT_ONCE):
            self._give_way()
            some = groups[begin : begin + _PLACED_AT_ONCE]
            by_group = [[self._tracks[track_id] for track_id in group] for group in some]
            for group, tracks, place in zip(some, by_group, placed(by_group, self._config), strict=True):
                yield self._contact(group, tracks, place)

    def _contact(self, group: tuple[str, ...], tracks: list[FusionTrack], found: Placed | None) -> Contact:
        scores: Counter[str] = Counter()
        for track in tracks:
            scores.update(track.scores)
        unplaced = max(
            (track.unplaced for track in tracks if track.unplaced is not None),
            key=lambda sighting: (sighting.time_ns, sighting.sighting_id),
            default=None,
        )
        shown = unplaced if found is None else None
        from_place = shown.platform_position if shown is not None else None
        best = max(track.best_score for track in tracks)
        return Contact(
            contact_id=self._contact_with(group[0]),
            label=min(scores, key=lambda name: (name in GENERIC_LABELS, -scores[name], name)),
            score=best[0],
            first_ns=min(track.first_ns for track in tracks),
            last_ns=max(track.last_ns for track in tracks),
            platform_ids=tuple(sorted({track.platform_id for track in tracks})),
            track_ids=group,
            sighting_count=sum(track.kept.count for track in tracks),
            position=found.position if found is not None else None,
            bearing=shown.bearing if shown is not None else None,
            bearing_from=from_place[:2] if from_place is not None else None,
            no_position_reason=shown.no_position_reason if shown is not None else None,
            course_deg=found.course_deg if found is not None else None,
            speed_mps=found.speed_mps if found is not None else None,
            model_id=best[2],
            is_exercise=any(track.is_exercise for track in tracks),
            position_ns=found.at_ns if found is not None else None,
            velocity_covariance_en_m2ps2=found.velocity_covariance_en_m2ps2 if found is not None else None,
        )


def id_of_leader(track_id: str) -> str:
    """The id of a contact whose first track this is."""
    if len(track_id) <= 120:
        return f"c-{track_id}"
    return f"c-{hashlib.sha256(track_id.encode()).hexdigest()[:40]}"


def _is_within(one: FusionTrack, two: FusionTrack, gap_s: float) -> bool:
    gap_ns = round(gap_s * NS_PER_S)
    return two.last_ns >= one.first_ns - gap_ns and two.first_ns <= one.last_ns + gap_ns
