"""Stone Soup as referee of a picture: GOSPA and SIAP of tracks against paths over the same instants.

It takes seconds for a watch of a few minutes: the score asks `sim.range.score.moments`, and a test holds that
to this.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from skywarden.clock import NS_PER_S

FloatArray = npt.NDArray[np.float64]
States = Mapping[str, FloatArray]
"""By name: east, its rate, north, its rate; metres and metres a second."""


class PictureVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Mean GOSPA (p 2) over time, and SIAP over the whole time; without a single track only completeness and
    spuriousness are known, both nought."""

    gospa_m: float | None
    completeness: float
    ambiguity: float | None
    spuriousness: float
    position_accuracy_m: float | None


def refereed(tracks: set[Any], paths: set[Any], *, cut_m: float) -> PictureVerdict:
    """The verdict on tracks and ground truth paths of Stone Soup's own types, states as in `States`.

    Nearer than `cut_m` a track may be of a thing; farther, neither counts for the other.
    """
    from stonesoup.dataassociator.tracktotrack import TrackToTruth
    from stonesoup.measures import Euclidean
    from stonesoup.metricgenerator.manager import MultiManager
    from stonesoup.metricgenerator.ospametric import GOSPAMetric
    from stonesoup.metricgenerator.tracktotruthmetrics import SIAPMetrics

    if not tracks:
        return PictureVerdict(
            gospa_m=None, completeness=0.0, ambiguity=None, spuriousness=0.0, position_accuracy_m=None
        )
    place, names = Euclidean((0, 2)), {"tracks_key": "t", "truths_key": "g"}
    gospa = GOSPAMetric(p=2, c=cut_m, measure=place, generator_name="gospa", **names)
    siap = SIAPMetrics(
        position_measure=place, velocity_measure=Euclidean((1, 3)), generator_name="siap", **names
    )
    manager = MultiManager([gospa, siap], TrackToTruth(association_threshold=cut_m, measure=place))
    manager.add_data({"g": paths, "t": tracks})
    metrics = manager.generate_metrics()
    over_time: Sequence[Any] = next(iter(metrics["gospa"].values())).value
    value = {name: metric.value for name, metric in metrics["siap"].items()}
    return PictureVerdict(
        gospa_m=float(np.mean([each.value["distance"] for each in over_time])),
        completeness=float(value["SIAP Completeness"]),
        ambiguity=float(value["SIAP Ambiguity"]),
        spuriousness=float(value["SIAP Spuriousness"]),
        position_accuracy_m=float(value["SIAP Position Accuracy"]),
    )


def refereed_moments(
    times_ns: Sequence[int], shown: Sequence[States], there: Sequence[States], *, cut_m: float
) -> PictureVerdict:
    """The verdict on what was shown at each of these instants, against what was there then.

    What goes off the map and comes back is two pieces: Stone Soup takes a track for one without gaps.
    """
    from stonesoup.types.groundtruth import GroundTruthPath, GroundTruthState
    from stonesoup.types.state import GaussianState
    from stonesoup.types.track import Track

    tracks: dict[str, list[Any]] = {}
    paths: dict[str, list[Any]] = {}
    for time_ns, contacts, things in zip(times_ns, pieces(shown), pieces(there), strict=True):
        when = datetime.fromtimestamp(time_ns / NS_PER_S, UTC).replace(tzinfo=None)
        for name, state in contacts.items():
            tracks.setdefault(name, []).append(GaussianState(state, np.eye(4), timestamp=when))
        for name, state in things.items():
            paths.setdefault(name, []).append(GroundTruthState(state, timestamp=when))
    return refereed(
        {Track(states) for states in tracks.values()},
        {GroundTruthPath(states) for states in paths.values()},
        cut_m=cut_m,
    )


def pieces(told: Sequence[States]) -> list[dict[str, FloatArray]]:
    """The same states under names that hold for one stretch of moments without a gap."""
    found: list[dict[str, FloatArray]] = []
    numbers: dict[str, int] = {}
    before: set[str] = set()
    for states in told:
        for name in sorted(states.keys() - before):
            numbers[name] = numbers.get(name, 0) + 1
        found.append({f"{name}#{numbers[name]}": state for name, state in states.items()})
        before = set(states)
    return found
