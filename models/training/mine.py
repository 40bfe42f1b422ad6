"""Hard negatives: what a trained network wrongly takes for a vessel, so that the next run learns better."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.training.errors import TrainingError
from models.training.judge import Looker
from models.training.readers import MAX_LABEL_BYTES
from models.training.sample import Sample, read_image
from models.training.score import overlap


@dataclass(frozen=True, kw_only=True)
class FalseAlarm:
    """A box (edges, image pixels) on nothing, in one image."""

    path: str
    box: tuple[float, float, float, float]
    score: float


def mine(
    samples: Sequence[Sample], look: Looker, threshold: float, most_per_image: int = 20
) -> list[FalseAlarm]:
    """Boxes over `threshold` that overlap no known and no ignored object by 0.1 or more, best first.

    Only for samples whose labels are whole: what a labeller forgot comes out as a false alarm too, so the
    list is for a person to look through where labels are doubtful.
    """
    alarms = []
    for sample in samples:
        found, score = look(read_image(sample.path))
        shared = overlap(found, sample.boxes.astype(np.float64))
        wrong = (score >= threshold) & (shared.max(axis=1, initial=0.0) < 0.1)
        for at in np.flatnonzero(wrong)[:most_per_image].tolist():
            x0, y0, x1, y1 = (round(float(edge), 1) for edge in found[at])
            alarms.append(FalseAlarm(path=str(sample.path), box=(x0, y0, x1, y1), score=float(score[at])))
    return sorted(alarms, key=lambda alarm: -alarm.score)


def write_alarms(alarms: Sequence[FalseAlarm], path: Path) -> None:
    """One JSON object a line."""
    rows = [json.dumps({"path": a.path, "box": a.box, "score": round(a.score, 4)}) for a in alarms]
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def read_alarms(path: Path) -> list[FalseAlarm]:
    """What `write_alarms` wrote. Raises `TrainingError` when a line is something else."""
    try:
        if path.stat().st_size > MAX_LABEL_BYTES:
            raise TrainingError(f"{path}: over {MAX_LABEL_BYTES} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        alarms = []
        for row in rows:
            x0, y0, x1, y1 = (float(edge) for edge in row["box"])
            alarms.append(FalseAlarm(path=str(row["path"]), box=(x0, y0, x1, y1), score=float(row["score"])))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: is no list of false alarms ({error!r})") from error
    return alarms


def around_alarms(samples: Sequence[Sample], alarms: Sequence[FalseAlarm]) -> list[Sample]:
    """For each alarm its image again, to be cropped around the alarm; at most 8 for one image, best first."""
    by_path = {str(sample.path): sample for sample in samples}
    counts: dict[str, int] = {}
    again = []
    for alarm in alarms:
        sample = by_path.get(alarm.path)
        if sample is not None and counts.get(alarm.path, 0) < 8:
            counts[alarm.path] = counts.get(alarm.path, 0) + 1
            again.append(replace(sample, lures=np.array([alarm.box], dtype=np.float32)))
    return again
