"""What the entries of the log come to: the state of every track, sighting and contact. A plain object.

Decisions are kept by track, because contacts merge, split and are renamed as more is seen, and tracks do not.
A contact is what all of its tracks are: as soon as a track joined it that nobody has decided about, it is
unreviewed again, and says what it was before.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ground.review.entries import Entry, State


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactReview:
    """Where the review of a contact stands.

    Attributes:
        state: what people have said.
        version: number of the newest entry that changed it, 0 for none; who decides says which was seen.
        was: what it was before tracks joined that nobody has decided about, or when its parts differ.
        new_tracks: how many such tracks there are.
        decision: the newest decision that holds for it.
        assignee: who is to look at it.
    """

    state: State = "unreviewed"
    version: int = 0
    was: State | None = None
    new_tracks: int = 0
    decision: Entry | None = None
    assignee: str | None = None


UNREVIEWED = ContactReview()


class ReviewBook:
    """Takes entries in the order of their numbers; answers for any set of tracks."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[int, Entry] = {}
        self._undone: dict[int, int] = {}
        self._of_track: dict[str, list[int]] = {}
        self._of_sighting: dict[str, list[int]] = {}
        self._touched: dict[str, int] = {}
        self._assigned: dict[str, str | None] = {}
        self._spoken: dict[str, list[int]] = {}
        for entry in entries:
            self.take(entry)

    @property
    def last_number(self) -> int:
        """Number of the newest entry, 0 for none."""
        return next(reversed(self._entries), 0)

    def take(self, entry: Entry) -> None:
        """One more entry; raises `ValueError` when it is not the next one or undoes what is not there."""
        if entry.number != self.last_number + 1:
            raise ValueError(f"entry {entry.number} does not follow {self.last_number}")
        tracks, sightings = entry.track_ids, entry.sighting_ids
        if entry.kind == "undo":
            undone = self._entries.get(entry.undoes or 0)
            if undone is None or undone.kind != "decision" or undone.number in self._undone:
                raise ValueError(f"entry {entry.number} undoes {entry.undoes}, which no decision is")
            self._undone[undone.number] = entry.number
            tracks, sightings = undone.track_ids, undone.sighting_ids
        self._entries[entry.number] = entry
        for name in (*tracks, *sightings):
            self._spoken.setdefault(name, []).append(entry.number)
            if entry.kind != "comment":
                self._touched[name] = entry.number
        if entry.kind == "decision":
            for name in tracks:
                self._of_track.setdefault(name, []).append(entry.number)
            for name in sightings:
                self._of_sighting.setdefault(name, []).append(entry.number)
        elif entry.kind == "assignment":
            self._assigned.update(dict.fromkeys(tracks, entry.assignee))

    def entry(self, number: int) -> Entry | None:
        """One entry."""
        return self._entries.get(number)

    def undone_by(self, number: int) -> Entry | None:
        """The entry that took decision `number` back."""
        by = self._undone.get(number)
        return self._entries[by] if by is not None else None

    def of_contact(self, track_ids: Collection[str]) -> ContactReview:
        """Where the review of the contact of these tracks stands."""
        found = [self._holding(self._of_track.get(name)) for name in track_ids]
        decided = [entry for entry in found if entry is not None]
        version = max((self._touched.get(name, 0) for name in track_ids), default=0)
        assignee = next(
            (self._assigned[name] for name in sorted(track_ids) if self._assigned.get(name)), None
        )
        if not decided:
            return ContactReview(version=version, assignee=assignee)
        newest = max(decided, key=lambda entry: entry.number)
        missing = len(found) - len(decided)
        states: set[State] = {entry.decision for entry in decided if entry.decision is not None}
        state: State = "unreviewed"
        if not missing:
            state = states.pop() if len(states) == 1 else "more" if "more" in states else "unreviewed"
        was = newest.decision if state == "unreviewed" else None
        return ContactReview(
            state=state, version=version, was=was, new_tracks=missing, decision=newest, assignee=assignee
        )

    def of_sighting(self, sighting_id: str, track_id: str) -> State:
        """What was decided about a sighting: about itself, else about its track."""
        own = self._holding(self._of_sighting.get(sighting_id))
        entry = own or self._holding(self._of_track.get(track_id))
        return entry.decision if entry is not None and entry.decision is not None else "unreviewed"

    def steps_of(self, track_id: str) -> list[tuple[int, State]]:
        """When what is said of a track changed, and to what: (UTC ns, state), oldest first."""
        standing: list[int] = []
        steps: list[tuple[int, State]] = []
        for number in self._spoken.get(track_id, ()):
            entry = self._entries[number]
            if entry.kind == "decision":
                standing.append(number)
            elif entry.kind == "undo" and entry.undoes in standing:
                standing.remove(entry.undoes)
            state: State = (self._entries[standing[-1]].decision if standing else None) or "unreviewed"
            if state != (steps[-1][1] if steps else "unreviewed"):
                steps.append((entry.time_ns, state))
        return steps

    def sighting_version(self, sighting_id: str) -> int:
        """Number of the newest entry that changed this sighting on its own."""
        return self._touched.get(sighting_id, 0)

    def holding_on(self, entry: Entry) -> bool:
        """Whether a decision still is what holds for anything that it was about."""
        of = [(self._of_track, name) for name in entry.track_ids]
        of += [(self._of_sighting, name) for name in entry.sighting_ids]
        return any(self._holding(where.get(name)) is entry for where, name in of)

    def tracks_that_are(self, states: Collection[str]) -> list[str]:
        """Tracks with such a decision, by name; "unreviewed" cannot be asked for."""
        found = []
        for name, numbers in self._of_track.items():
            entry = self._holding(numbers)
            if entry is not None and entry.decision in states:
                found.append(name)
        return sorted(found)

    def sightings_that_are(self, states: Collection[str]) -> list[str]:
        """Sightings with such a decision of their own, by name."""
        found = []
        for name, numbers in self._of_sighting.items():
            entry = self._holding(numbers)
            if entry is not None and entry.decision in states:
                found.append(name)
        return sorted(found)

    def history(self, names: Iterable[str], limit: int = 200) -> list[Entry]:
        """All that was done about these tracks and sightings, newest first."""
        numbers = {number for name in names for number in self._spoken.get(name, ())}
        return [self._entries[number] for number in sorted(numbers, reverse=True)[:limit]]

    def newest(self, limit: int, before: int | None = None) -> list[Entry]:
        """Entries below number `before`, newest first."""
        top = self.last_number if before is None else min(self.last_number, before - 1)
        return [self._entries[number] for number in range(top, max(0, top - limit), -1)]

    def _holding(self, numbers: list[int] | None) -> Entry | None:
        for number in reversed(numbers or ()):
            if number not in self._undone:
                return self._entries[number]
        return None
