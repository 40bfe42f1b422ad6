"""A learning curve: the checkpoints that a run left on its way, each judged on what was held back."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.training.errors import TrainingError
from models.training.judge import Looker, judge
from models.training.readers import MAX_LABEL_BYTES
from models.training.sample import Sample
from models.training.score import average_precision, match, recall_at


def curve_row(crops: int, samples: Sequence[Sample], look: Looker) -> dict[str, float]:
    """Average precision of all and of those over 24 px, recall at one false alarm per image."""
    judged = judge(samples, look)
    every, large = match(judged, 0.5), match(judged, 0.5, 24.0)
    return {
        "crops": crops,
        "ap50": round(average_precision(every), 4),
        "ap50_over_24px": round(average_precision(large), 4),
        "recall_at_1fp": round(recall_at(every, 1.0), 4),
    }


def learning_curve(
    stations: Sequence[tuple[int, Path | None]],
    samples: Sequence[Sample],
    look_of: Callable[[Path | None], Looker],
) -> list[dict[str, float]]:
    """A row for each (crops seen, folder with its checkpoint; `None`: before any training)."""
    return [curve_row(crops, samples, look_of(folder)) for crops, folder in stations]


def read_curve(path: Path) -> list[dict[str, Any]]:
    """What the command `curve` wrote. Raises `TrainingError` when the file is something else."""
    try:
        if path.stat().st_size > MAX_LABEL_BYTES:
            raise TrainingError(f"{path}: over {MAX_LABEL_BYTES} bytes")
        rows = json.loads(path.read_text(encoding="utf-8"))
        due = ("crops", "ap50", "ap50_over_24px", "recall_at_1fp")
        return [{name: float(row[name]) for name in due} for row in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: is no learning curve ({error!r})") from error
