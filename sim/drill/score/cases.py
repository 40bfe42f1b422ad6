"""The cases of a drill: each real thing that the station showed, and all that it took for one."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from ground.fusion.labels import VESSEL_LABELS
from ground.review.release import each_sighting
from ground.station.places import store_path
from ground.store.reading import Filter, SqliteReader, StoredSighting
from sim.drill.story import Story
from sim.scenario.seen import FrameTruth, thing_at
from skywarden.messages import Sighting

_SAME_NS = 60_000_000
REAL = ("vessel", "plot", "structure")


@dataclass(kw_only=True, slots=True)
class Case:
    """What the crew had to judge. `thing` is the id of truth, or of the contact that showed nothing.

    `shown_ns` and `last_ns`: when the station first and last took a sighting of it in (UTC).
    """

    thing: str
    label: str
    is_real: bool
    shown_ns: int
    last_ns: int
    track_ids: set[str] = field(default_factory=set)
    contact_ids: set[str] = field(default_factory=set)
    what: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cases:
    """All cases, in the order in which they were shown, and which case a track or an image is of."""

    each: tuple[Case, ...]
    of_track: Mapping[str, Case]
    of_chip: Mapping[str, Case]


class TruthFrames:
    """What the frames of one platform truly showed, by time."""

    def __init__(self, frames: Iterable[FrameTruth]) -> None:
        self._frames = sorted(frames, key=lambda one: one.time_ns)
        self._times = [one.time_ns for one in self._frames]

    def at(self, time_ns: int) -> FrameTruth | None:
        """The frame that was exposed then; `None` when none was."""
        after = bisect_left(self._times, time_ns)
        near = min(
            self._frames[max(after - 1, 0) : after + 1],
            key=lambda one: abs(one.time_ns - time_ns),
            default=None,
        )
        return near if near is not None and abs(near.time_ns - time_ns) <= _SAME_NS else None


def read_cases(story: Story) -> Cases:
    """The cases of a drill. Raises `StoreError`, `FlightError`."""
    frames = {name: TruthFrames(story.truth(name)) for name in story.info().platforms}
    looks: dict[str, list[StoredSighting]] = defaultdict(list)
    with closing(SqliteReader(store_path(story.ground))) as reader:
        for one in each_sighting(reader, Filter()):
            looks[one.sighting.track_id].append(one)
    return gathered(looks, frames)


def gathered(looks: Mapping[str, Sequence[StoredSighting]], frames: Mapping[str, TruthFrames]) -> Cases:
    """Tracks put together to cases by what most of their looks truly show."""
    cases: dict[str, Case] = {}
    of_track: dict[str, Case] = {}
    of_chip: dict[str, Case] = {}
    for track_id, mine in sorted(looks.items()):
        shown = _shown([one.sighting for one in mine], frames)
        contacts = {one.contact_id for one in mine if one.contact_id is not None}
        key = shown.key or f"nothing: {min(contacts, default=track_id)}"
        first, last = min(one.received_ns for one in mine), max(one.received_ns for one in mine)
        case = cases.setdefault(
            key,
            Case(
                thing=key,
                label=shown.label,
                is_real=shown.is_real,
                shown_ns=first,
                last_ns=last,
                what=shown.what,
            ),
        )
        case.shown_ns, case.last_ns = min(case.shown_ns, first), max(case.last_ns, last)
        case.track_ids.add(track_id)
        case.contact_ids |= contacts
        of_track[track_id] = case
        of_chip.update({one.chip_id: case for one in mine if one.chip_id is not None})
    each = tuple(sorted(cases.values(), key=lambda one: (one.shown_ns, one.thing)))
    return Cases(each=each, of_track=of_track, of_chip=of_chip)


@dataclass(frozen=True, slots=True)
class _Shown:
    """`key` names the case; empty where the looks show nothing at all."""

    key: str
    label: str
    is_real: bool
    what: str


def _shown(looks: Sequence[Sighting], frames: Mapping[str, TruthFrames]) -> _Shown:
    """What most looks of a track show, and whether that is what they are called."""
    label = Counter(one.label for one in looks).most_common(1)[0][0]
    named: Counter[tuple[str, str, str] | None] = Counter()
    for one in looks:
        there = frames[one.platform_id].at(one.time_ns) if one.platform_id in frames else None
        seen = thing_at(there, one.box_px) if there is not None else None
        named[None if seen is None else (seen.id, seen.label, seen.kind or seen.label)] += 1
    found = named.most_common(1)[0][0] if named else None
    if found is None:
        return _Shown("", label, False, "nothing")
    thing, true_label, kind = found
    if true_label in REAL and (label not in VESSEL_LABELS or true_label == "vessel"):
        return _Shown(thing, label, True, kind)
    return _Shown(f"{thing} taken for {label}", label, False, kind)
