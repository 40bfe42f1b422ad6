"""What the tracks of one flight were told to do, beside what truth says of the things in their boxes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge.vision.pipeline import Outcome
from sim.analyze import AnalyzeOptions, outcomes
from sim.scenario.runner import TERRAIN_NAME
from sim.scenario.seen import FrameTruth, ObjectTruth, thing_at
from sim.scenario.truth import TRUTH_JSONL
from skywarden.geometry.terrain import load_terrain
from skywarden.messages import Sighting, Track

MIN_SPEED_MPS = 1.0
"""From here on a thing that truth knows counts as under way."""


@dataclass(slots=True)
class ToldTrack:
    """One confirmed track: the speed it was told with in each of its messages, and its looks.

    `speeds_mps` has `None` for "not moving"; `seen` holds, for each look, the thing in whose true box the
    look's middle lies, `None` where truth names nothing there.
    """

    speeds_mps: list[float | None] = field(default_factory=list)
    seen: list[ObjectTruth | None] = field(default_factory=list)

    @property
    def thing(self) -> str | None:
        """What most of its looks show."""
        names = Counter(None if each is None else each.id for each in self.seen)
        return names.most_common(1)[0][0] if names else None

    @property
    def true_speed_mps(self) -> float:
        """The most that truth says of this thing."""
        mine = self.thing
        return max((each.speed_mps or 0.0 for each in self.seen if each and each.id == mine), default=0.0)

    @property
    def was_moving(self) -> bool:
        """It was called moving at some time."""
        return any(speed is not None for speed in self.speeds_mps)

    @property
    def ends_moving(self) -> bool:
        """It was called moving when it was last told of."""
        return bool(self.speeds_mps) and self.speeds_mps[-1] is not None

    @property
    def largest_mps(self) -> float:
        """The largest speed it was told with; 0 where there was none."""
        return max((speed for speed in self.speeds_mps if speed is not None), default=0.0)

    @property
    def looks(self) -> int:
        """Looks at the thing that most of them show."""
        mine = self.thing
        return sum((None if each is None else each.id) == mine for each in self.seen)


def told_tracks(found: Iterable[Outcome], truth: Sequence[FrameTruth]) -> list[ToldTrack]:
    """The confirmed tracks of one sensor's flight, in the order of their ids."""
    frames = {frame.frame_number: frame for frame in truth}
    tracks: dict[str, ToldTrack] = defaultdict(ToldTrack)
    for outcome in found:
        for message in outcome.messages:
            if isinstance(message, Track):
                tracks[message.track_id].speeds_mps.append(message.speed_mps)
            elif isinstance(message, Sighting) and message.position is not None:
                thing = thing_at(frames[message.frame_number], message.box_px)
                tracks[message.track_id].seen.append(thing)
    return [track for _, track in sorted(tracks.items()) if track.speeds_mps]


def fly(flight: Path) -> tuple[list[Outcome], list[FrameTruth]]:
    """What a rendered flight came to with the anomaly detector at its own threshold, and its truth."""
    options = AnalyzeOptions(surface=load_terrain(flight / TERRAIN_NAME))
    lines = (flight / TRUTH_JSONL).read_bytes().splitlines()
    truth = [msgspec.json.decode(line, type=FrameTruth) for line in lines]
    return list(outcomes(flight, options)), truth
