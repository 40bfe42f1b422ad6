"""Which sorties the store knows, by the tracks that were seen on them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.review.entries import State
from ground.store.reading import SeenTrack, StoredSighting, StoreReader
from skywarden.errors import InputError

_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sortie:
    """One flight of one platform, as far as something was seen on it; times in UTC ns."""

    platform_id: str
    sortie_id: str
    first_ns: int
    last_ns: int
    sighting_count: int
    track_count: int

    @property
    def item_id(self) -> str:
        """Its name in catalogues: the sortie's id, with the platform's before it where that is not in it."""
        is_named = self.platform_id in self.sortie_id
        name = self.sortie_id if is_named else f"{self.platform_id}_{self.sortie_id}"
        return f"sortie{name}" if name.startswith(".") else name  # it names a folder


class SortieShelf:
    """Finds the sorties of a store; remembers which track is of which. Safe from any thread."""

    def __init__(self, store: StoreReader) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._sortie_of: dict[str, str] = {}

    def sorties(self) -> list[Sortie]:
        """All sorties, newest first; raises `StoreError`."""
        seen = self._store.tracks_seen()
        with self._lock:
            self._learn([one for one in seen if one.track_id not in self._sortie_of])
            groups: dict[tuple[str, str], list[SeenTrack]] = {}
            for one in seen:
                sortie_id = self._sortie_of.get(one.track_id)
                if sortie_id is not None:
                    groups.setdefault((one.platform_id, sortie_id), []).append(one)
        found = [_sortie(*names, tracks) for names, tracks in groups.items()]
        return sorted(found, key=lambda one: (-one.first_ns, one.platform_id, one.sortie_id))

    def named(self, name: str) -> Sortie:
        """The sortie of this item id, or of this sortie id where one platform has it; raises `InputError`."""
        every = self.sorties()
        found = [one for one in every if one.item_id == name] or [
            one for one in every if one.sortie_id == name
        ]
        if not found:
            raise InputError(f"there is no sortie {name[:140]!r}")
        if len(found) > 1:
            names = ", ".join(one.item_id for one in found)
            raise InputError(f"several platforms flew a sortie {name[:140]!r}; say one of {names}")
        return found[0]

    def _learn(self, tracks: list[SeenTrack]) -> None:
        """A track is of the sortie of each of its sightings."""
        for start in range(0, len(tracks), _BATCH):
            ids = [one.sighting_id for one in tracks[start : start + _BATCH]]
            for stored in self._store.sightings_of_ids(ids):
                self._sortie_of[stored.sighting.track_id] = stored.sighting.sortie_id


def sightings_of(
    source: ExportSource, sortie: Sortie, *, with_unreviewed: bool
) -> Iterator[tuple[StoredSighting, State]]:
    """What may leave of a sortie, one after the other."""
    wanted = Selection(
        platform_id=sortie.platform_id,
        since_ns=sortie.first_ns,
        until_ns=sortie.last_ns,
        with_unreviewed=with_unreviewed,
    )
    for stored, state in source.sightings(wanted):
        if stored.sighting.sortie_id == sortie.sortie_id:
            yield stored, state


def selection_of(sortie: Sortie, wanted: Selection) -> Selection:
    """The same selection for a sortie's platform and time."""
    return replace(wanted, platform_id=sortie.platform_id, since_ns=sortie.first_ns, until_ns=sortie.last_ns)


def _sortie(platform_id: str, sortie_id: str, tracks: list[SeenTrack]) -> Sortie:
    return Sortie(
        platform_id=platform_id,
        sortie_id=sortie_id,
        first_ns=min(one.first_ns for one in tracks),
        last_ns=max(one.last_ns for one in tracks),
        sighting_count=sum(one.sighting_count for one in tracks),
        track_count=len(tracks),
    )
