"""Descriptions for tests of readers: as little as there must be."""

from typing import Any

import msgspec

from models.description import ModelDescription, require_consistent


def described(decode: str, **changes: Any) -> ModelDescription:
    """A model with the classes person, boat and buoy, of which boats and buoys may leave, at 64 x 64."""
    tree: dict[str, Any] = {
        "name": "made",
        "version": "1",
        "summary": "made for a test",
        "licence": "none",
        "task": {"segment": "segment", "classify": "classify"}.get(decode, "detect"),
        "sha256": "0" * 64,
        "decode": decode,
        "labels": ["person", "boat", "buoy"],
        "allow": {"boat": "vessel", "buoy": "buoy"},
        "threshold": 0.3,
        "input": {"fit": "letterbox", "tensor": "f32_nchw", "width_px": 64, "height_px": 64},
        "golden": {
            "recipe": "patches",
            "outputs": [{"name": "x", "shape": [1], "mean": 0.0, "greatest": 0.0, "samples": [0.0]}],
        },
    }
    description = msgspec.convert({**tree, **changes}, ModelDescription)
    require_consistent(description, "made")
    return description
