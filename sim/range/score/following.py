"""Whether things kept their names: sightings by track against truth, in the picture.

In the picture and not on the ground: a heading that is off moves all places alike, which is the affair of
`placing`; whether the second look at a boat was known for that boat shows in the boxes.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sim.range.score.truth import RunTruth, is_findable
from sim.range.watch import Watched
from sim.scenario.seen import Box, ObjectTruth
from skywarden.clock import NS_PER_S
from skywarden.errors import UsageError
from skywarden.messages import Sighting

FloatArray = npt.NDArray[np.float64]

STEP_NS = NS_PER_S // 2
"""A track tells one look each half second at most, so faster cameras are judged by half seconds."""


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """Tracks by their looks against truth, by trackeval (HOTA, IDF1, switches of identity; boxes, IoU)."""

    hota: float | None
    idf1: float | None
    switches: int


def following(truth: RunTruth, watched: Watched) -> Following:
    """All platforms in one sequence; a look without a place belongs to no track and counts for none.

    Raises `UsageError` where trackeval is not installed.
    """
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ModuleNotFoundError as error:
        raise UsageError("scoring needs trackeval and stonesoup: pip install 'skywarden[range]'") from error

    data = _sequence(truth, watched)
    if not data["num_gt_dets"] or not data["num_tracker_dets"]:
        return Following(hota=0.0 if data["num_gt_dets"] else None, idf1=None, switches=0)
    quiet = {"PRINT_CONFIG": False}
    clear, identity = CLEAR(quiet).eval_sequence(data), Identity(quiet).eval_sequence(data)
    return Following(
        hota=round(float(np.mean(HOTA().eval_sequence(data)["HOTA"])), 4),
        idf1=round(float(identity["IDF1"]), 4),
        switches=int(clear["IDSW"]),
    )


def _sequence(truth: RunTruth, watched: Watched) -> dict[str, Any]:
    """The form that trackeval takes: every half second of every platform, one after the other."""
    told: list[tuple[list[str], list[str], FloatArray]] = []
    for flight in sorted(watched.steps):
        told += _pairs(truth, watched, flight)
    true_ids = {name: at for at, name in enumerate(sorted({n for names, _, _ in told for n in names}))}
    track_ids = {name: at for at, name in enumerate(sorted({n for _, names, _ in told for n in names}))}
    return {
        "num_timesteps": len(told),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(track_ids),
        "num_gt_dets": sum(len(names) for names, _, _ in told),
        "num_tracker_dets": sum(len(names) for _, names, _ in told),
        "gt_ids": [np.array([true_ids[n] for n in names], dtype=int) for names, _, _ in told],
        "tracker_ids": [np.array([track_ids[n] for n in names], dtype=int) for _, names, _ in told],
        "similarity_scores": [similarity for _, _, similarity in told],
    }


def _pairs(truth: RunTruth, watched: Watched, flight: str) -> list[tuple[list[str], list[str], FloatArray]]:
    """For each half second: things that could be found, tracks that were told, how their boxes overlap."""
    frames, looks = truth.frames[flight], _looks(watched, flight)
    things: dict[int, dict[str, dict[int, ObjectTruth]]] = {}
    for step in watched.steps[flight]:
        frame = frames.get(step.frame_number)
        there = things.setdefault(step.stamp_ns // STEP_NS, {})
        for one in frame.objects if frame is not None else ():
            if is_findable(one):
                there.setdefault(one.id, {})[step.frame_number] = one
    found = []
    for slot, there in sorted(things.items()):
        seen = looks.get(slot, {})
        overlap = np.zeros((len(there), len(seen)))
        for row, shown in enumerate(there.values()):
            for column, look in enumerate(seen.values()):
                thing = shown.get(look.frame_number)
                if thing is not None and thing.label != "decoy":
                    overlap[row, column] = iou(thing.box_px, look.box_px)
        found.append(([f"{flight}/{name}" for name in there], list(seen), overlap))
    return found


def _looks(watched: Watched, flight: str) -> dict[int, dict[str, Sighting]]:
    """By half second and track, the first look that was told; looks come later than their frame."""
    stamps = {step.frame_number: step.stamp_ns for step in watched.steps[flight]}
    found: dict[int, dict[str, Sighting]] = {}
    for step in watched.steps[flight]:
        for message in step.outcome.messages:
            if isinstance(message, Sighting) and message.position is not None:
                slot = stamps.get(message.frame_number, step.stamp_ns) // STEP_NS
                found.setdefault(slot, {}).setdefault(message.track_id, message)
    return found


def iou(one: Box, two: Box) -> float:
    """What both boxes cover over what either covers."""
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    if wide <= 0.0 or high <= 0.0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return wide * high / (areas - wide * high)
