"""Reads what `eight compare` wrote."""

import json
from pathlib import Path
from typing import Any

from models.training.errors import TrainingError
from models.training.readers import MAX_LABEL_BYTES

NUMBERS = (
    "bytes", "ap50", "ap50_over_12", "ap50_over_24", "ap50_95_over_24", "recall_at_1fp", "ms", "speed",
)  # fmt: skip


def read_compared(path: Path) -> list[dict[str, Any]]:
    """Rows with `name` and `NUMBERS`. Raises `TrainingError` when the file is something else."""
    try:
        if path.stat().st_size > MAX_LABEL_BYTES:
            raise TrainingError(f"{path}: over {MAX_LABEL_BYTES} bytes")
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [{"name": str(row["name"]), **{key: float(row[key]) for key in NUMBERS}} for row in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: holds no files compared ({error!r})") from error
