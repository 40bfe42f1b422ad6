"""What eight bits cost and gain: files judged on the same held-back images and timed in turns."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from models.training.errors import TrainingError
from models.training.judge import judge
from models.training.look import OnnxLooker
from models.training.sample import Sample
from models.training.score import IOU_STEPS, average_precision, match, recall_at

WARM = 2


def compare(files: Mapping[str, Path], samples: Sequence[Sample], rounds: int) -> list[dict[str, Any]]:
    """A row for each file, by name: size, precision on `samples`, `speed` against the first.

    All have inputs of one size. Times are processor time of the bare network, medians of rounds in turns.
    """
    if not files or rounds < 1 or not samples:
        raise TrainingError("files, images and at least one round are due")
    times = _times(files, rounds)
    first = next(iter(files))
    return [
        {
            "name": name,
            "bytes": path.stat().st_size,
            **_figures(path, samples),
            "ms": round(1e3 * times[name], 1),
            "speed": round(times[first] / times[name], 2),
        }
        for name, path in files.items()
    ]


def _figures(path: Path, samples: Sequence[Sample]) -> dict[str, float]:
    judged = judge(samples, OnnxLooker(path))
    every, large = match(judged, 0.5), match(judged, 0.5, 24.0)
    strict = [average_precision(match(judged, step, 24.0)) for step in IOU_STEPS]
    found = {
        "ap50": average_precision(every),
        "ap50_over_12": average_precision(match(judged, 0.5, 12.0)),
        "ap50_over_24": average_precision(large),
        "ap50_95_over_24": float(np.mean(strict)),
        "recall_at_1fp": recall_at(every, 1.0),
    }
    return {key: round(value, 4) for key, value in found.items()}


def _times(files: Mapping[str, Path], rounds: int) -> dict[str, float]:
    """Median processor seconds of one run of each file."""
    lookers = {name: OnnxLooker(path) for name, path in files.items()}
    taken: dict[str, list[float]] = {name: [] for name in files}
    rng = np.random.default_rng(1)
    pictures = {
        name: rng.integers(0, 256, (look.canvas_px[1], look.canvas_px[0], 3), dtype=np.uint8)
        for name, look in lookers.items()
    }
    for turn in range(rounds + WARM):
        for name, look in lookers.items():
            began = time.process_time()
            look.run(pictures[name])
            if turn >= WARM:
                taken[name].append(time.process_time() - began)
    return {name: median(some) for name, some in taken.items()}
