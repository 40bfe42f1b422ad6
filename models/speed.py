"""How fast a detector is here, against the bare network on the same frame."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.network import NetworkDetector


def made_up_frame(size_px: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A frame (H, W, 3) of smooth ground with fine noise and some bright patches, the same every time."""
    width, height = size_px
    random = np.random.default_rng(7)
    frame = random.integers(70, 100, (height, width, 3), dtype=np.uint8)
    for _ in range(8):
        x, y = int(random.integers(0, width - 8)), int(random.integers(0, height - 8))
        frame[y : y + 8, x : x + 8] = random.integers(0, 255, 3, dtype=np.uint8)
    return frame


def measure_detector(
    detector: NetworkDetector,
    size_px: tuple[int, int],
    rounds: int,
    *,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, float | int | str]:
    """Median milliseconds of a detection and of the bare network, interleaved, and their ratio.

    `throughput_ratio` is bare over whole: 1 would be a detection that costs nothing beside the network.
    """
    frame = made_up_frame(size_px)
    tensor, _ = detector.place(frame)
    tensor = tensor.copy()
    whole_ms, bare_ms = [], []
    detector.detect(frame)
    for _ in range(rounds):
        start = now()
        detector.run_network(tensor)
        middle = now()
        detector.detect(frame)
        bare_ms.append((middle - start) * 1e3)
        whole_ms.append((now() - middle) * 1e3)
    whole, bare = statistics.median(whole_ms), statistics.median(bare_ms)
    return {
        "model_id": detector.model_id,
        "providers": str(detector.provider_report),
        "width_px": size_px[0],
        "height_px": size_px[1],
        "rounds": rounds,
        "detect_ms": round(whole, 3),
        "network_ms": round(bare, 3),
        "throughput_ratio": round(bare / whole, 4),
        "frames_per_s": round(1e3 / whole, 2),
    }
