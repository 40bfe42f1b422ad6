"""Which real thing each track and each contact is about."""

from collections.abc import Mapping
from dataclasses import dataclass

from ground.fusion.contact import Contact
from sim.range.score.truth import RunTruth, looks_of, named
from sim.range.watch import Watched


@dataclass(frozen=True, slots=True)
class Named:
    """Which thing each contact and each track is about; `None` for nothing that truth knows."""

    tracks: Mapping[str, str | None]

    def of(self, contact: Contact) -> str | None:
        """The thing that most of its tracks are about."""
        return named(self.tracks.get(track_id) for track_id in contact.track_ids)


def naming(truth: RunTruth, watched: Watched) -> Named:
    """Name every track by what most of its looks show."""
    looks = looks_of(truth, watched.steps)
    return Named(
        {track: named(None if one is None else one.id for one in seen) for track, seen in looks.items()}
    )
