"""What a frame costs that nobody looks at: our source against `cv2.VideoCapture.read`, on its own clip."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from edge.cameras.config import CameraConfig
from edge.cameras.source import frames_of, make_source_here
from skywarden.clock import SystemClock

GOAL_DROPPED = 0.55
GOAL_USED = 1.0
_WIDTH, _HEIGHT, _RATE = 1920, 1080, 30


def run(*, frame_count: int = 90, rounds: int = 5) -> dict[str, Any]:
    """CPU time per frame (ms, all threads) of a 1080p H.264 clip, medians of interleaved rounds.

    `dropped_ratio`: a frame decoded and dropped over `VideoCapture.read` (goal 0.55). `used_ratio`: a frame
    converted to BGR over the same (goal 1.0). `grab_ratio`: `VideoCapture.grab`, OpenCV's own way to drop.
    OpenCV and ours both decode on one thread, the figure of merit being CPU and not delay.
    """
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            make_clip(clip, frame_count)
            ways: dict[str, Callable[[Path], int]] = {
                "cv2_read": _cv2_read,
                "cv2_grab": _cv2_grab,
                "dropped": lambda path: _ours(path, is_used=False),
                "used": lambda path: _ours(path, is_used=True),
            }
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    times[name].append(_cpu_ms_per_frame(way, clip, frame_count))
    finally:
        cv2.setNumThreads(cv2_threads)
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "clip": f"{_WIDTH}x{_HEIGHT} H.264, {frame_count} frames",
        "rounds": rounds,
        **{f"{name}_cpu_ms": round(value, 3) for name, value in median.items()},
        "dropped_ratio": round(median["dropped"] / median["cv2_read"], 3),
        "used_ratio": round(median["used"] / median["cv2_read"], 3),
        "grab_ratio": round(median["cv2_grab"] / median["cv2_read"], 3),
        "goal_dropped": GOAL_DROPPED,
        "goal_used": GOAL_USED,
    }


def make_clip(path: Path, frame_count: int, *, seed: int = 1) -> None:
    """A drifting textured scene with sensor noise, about what a small drone camera sends (x264 veryfast)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 215, (_HEIGHT // 8 + 40, _WIDTH // 8 + 40, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    noise = random.normal(0, 3, (4, _HEIGHT, _WIDTH, 1)).astype(np.int8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for index in range(frame_count):
            x, y = 2 * index % 300, index % 300
            image = scene[y : y + _HEIGHT, x : x + _WIDTH].astype(np.int16) + noise[index % 4]
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _cpu_ms_per_frame(way: Callable[[Path], int], clip: Path, frame_count: int) -> float:
    started = time.process_time()
    count = way(clip)
    passed_ms = 1000 * (time.process_time() - started)
    if count != frame_count:
        raise RuntimeError(f"{count} frames were read of {frame_count}")
    return passed_ms / count


def _cv2_read(path: Path) -> int:
    capture, count = _captured(path), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def _cv2_grab(path: Path) -> int:
    capture, count = _captured(path), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def _captured(path: Path) -> cv2.VideoCapture:
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)


def _ours(path: Path, *, is_used: bool) -> int:
    config = CameraConfig(url=str(path), pacing="none")
    count = 0
    for frame in frames_of(make_source_here(config, SystemClock())):
        if is_used:
            frame.image.item(0)
        count += 1
    return count


if __name__ == "__main__":
    import json

    print(json.dumps(run(), indent=2))
