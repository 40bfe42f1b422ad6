"""The tracker against ByteTrack (package `trackers`) on the same detections: time a frame, switches, IDF1.

One camera hovers 300 m over many moving objects, 4K, looking straight down. Every object gives a box, except
5 %; 5 % more boxes are on nothing; a tenth of the true ones is unsure. ByteTrack is handed the boxes. Ours is
handed the same boxes' centres as places on the ground with covariances (`edge.geolocation.locate` with the
errors of a calibrated platform, `edge.track.measurements_of`); neither is timed with the making of its
input. Both answer with a number for each detection, and both answers are scored in the image, against the
same true boxes. Time is the thread's own on the processor: neither tracker uses another, and the machine has
other work.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locator
from edge.track import Measurements, Tracker, TrackerConfig, measurements_of
from edge.track.plane import LocalPlane
from edge.track.states import CONFIRMED
from skywarden.clock import NS_PER_S
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.terrain import LevelSurface

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

GOAL = 4.0
GOAL_MS_1000 = 25.0
FRAMES = {50: 120, 200: 60, 1000: 15}
SEEDS = {50: 4, 200: 4, 1000: 1}
"""How many scenes identity is counted over, by number of objects."""
ROUNDS = {50: 4, 200: 3, 1000: 2}
"""How often a scene is flown for its time; the best time of each frame counts, for both."""

FPS = 30.0
WIDTH_PX, HEIGHT_PX, BOX_PX = 3840, 2160, 40.0
NOISE_PX = 1.5
STEP_PX = 2.0
MISSED = CLUTTER = 0.05
UNSURE = 0.1
START_NS = 1_790_000_000 * NS_PER_S

CAMERA = CameraModel(width_px=WIDTH_PX, height_px=HEIGHT_PX, fx=1500.0, fy=1500.0, cx=1919.5, cy=1079.5)
SIGMAS = PoseSigmas(
    horizontal_m=1.5, vertical_m=2.0, tilt_deg=0.2, heading_deg=0.5, boresight_deg=0.05, time_offset_s=0.01
)

CONFIG = TrackerConfig(confirm_hits=2, confirm_window=3)
"""As ByteTrack as it comes, two looks make a track; our own default is three of five."""


@dataclass(frozen=True, eq=False)
class Frame:
    """True boxes and their numbers, boxes seen with scores, and the same as places on the ground."""

    true_px: FloatArray
    true_id: IndexArray
    seen_px: FloatArray
    score: FloatArray
    measurements: Measurements


@dataclass(eq=False)
class Answer:
    """What a tracker said, frame by frame: rows of the detections and their numbers; seconds taken."""

    rows: list[IndexArray] = field(default_factory=list)
    numbers: list[IndexArray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run(*, sizes: Sequence[int] = (50, 200, 1000), seed: int = 1) -> dict[str, Any]:
    """Medians of interleaved frames, each the best of `ROUNDS`, and their ratio by number of objects; ID
    switches and IDF1 of both."""
    figures: dict[str, Any] = {"goal": GOAL, "goal_ms_1000": GOAL_MS_1000}
    for objects in sizes:
        frames = scene(objects, FRAMES[objects], seed)
        rounds = [compare(frames) for _ in range(ROUNDS[objects])]
        our_ms, peer_ms = (_median_ms([each[which] for each in rounds]) for which in (0, 1))
        figures[f"ms_{objects}"] = round(our_ms, 3)
        figures[f"bytetrack_ms_{objects}"] = round(peer_ms, 3)
        figures[f"ratio_{objects}"] = round(peer_ms / our_ms, 3)
        figures |= _identity(objects, [(frames, rounds[0])])
    return figures


def _median_ms(rounds: Sequence[Answer]) -> float:
    """Of the frames after the first fifth, each at its best."""
    best = np.min([answer.seconds for answer in rounds], axis=0)
    return float(np.median(best[len(best) // 5 :])) * 1e3


def _identity(objects: int, done: list[tuple[list[Frame], tuple[Answer, Answer]]]) -> dict[str, float | int]:
    """Switches in all and mean IDF1 over `SEEDS` scenes, of which some are done already."""
    for seed in range(100, 100 + SEEDS[objects] - len(done)):
        frames = scene(objects, FRAMES[objects], seed)
        done.append((frames, compare(frames)))
    figures: dict[str, float | int] = {}
    for which, name in enumerate(("", "bytetrack_")):
        found = [scores(frames, answers[which]) for frames, answers in done]
        figures[f"{name}switches_{objects}"] = sum(each["switches"] for each in found)
        figures[f"{name}idf1_{objects}"] = round(statistics.fmean(each["idf1"] for each in found), 4)
    return figures


def scene(objects: int, frames: int, seed: int) -> list[Frame]:
    """Objects that go straight on, each with its own speed and heading."""
    rng = np.random.default_rng(seed)
    place = rng.uniform([0.0, 0.0], [WIDTH_PX, HEIGHT_PX], (objects, 2))
    step = rng.normal(0.0, STEP_PX, (objects, 2))
    return [_frame(rng, place + number * step) for number in range(frames)]


def _frame(rng: np.random.Generator, centres: FloatArray) -> Frame:
    inside = np.flatnonzero(((centres >= 0) & (centres <= [WIDTH_PX - 1, HEIGHT_PX - 1])).all(axis=1))
    seen = inside[rng.random(len(inside)) >= MISSED]
    clutter = rng.uniform([0.0, 0.0], [WIDTH_PX - 1, HEIGHT_PX - 1], (round(CLUTTER * len(inside)), 2))
    found = np.clip(centres[seen] + rng.normal(0.0, NOISE_PX, (len(seen), 2)), 0.0, None)
    points = np.minimum(np.concatenate([found, clutter]), [WIDTH_PX - 1.0, HEIGHT_PX - 1.0])
    is_unsure = rng.random(len(seen)) < UNSURE
    sure = np.where(is_unsure, rng.uniform(0.2, 0.45, len(seen)), rng.uniform(0.75, 0.95, len(seen)))
    score = np.concatenate([sure, rng.uniform(0.2, 0.95, len(clutter))])
    order = rng.permutation(len(points))
    return Frame(
        true_px=_boxes(centres[inside]),
        true_id=inside.astype(np.int64),
        seen_px=_boxes(points[order]),
        score=score[order],
        measurements=_on_ground(points[order], score[order]),
    )


def _boxes(centres: FloatArray) -> FloatArray:
    return np.concatenate([centres - BOX_PX / 2, centres + BOX_PX / 2], axis=1)


def _on_ground(points_px: FloatArray, score: FloatArray) -> Measurements:
    pose = CameraPose(
        time_ns=START_NS,
        latitude_deg=12.0,
        longitude_deg=-75.0,
        alt_hae_m=300.0,
        rotation_ned_from_camera=np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=SIGMAS,
        level_alt_hae_m=None,
        source="bench",
    )
    locations = Locator(CAMERA, LevelSurface(0.0, sigma_m=0.3)).locate(pose, points_px, NOISE_PX)
    return measurements_of(
        LocalPlane(12.0, -75.0),
        pose,
        locations,
        pixel_rad=np.full(len(points_px), NOISE_PX / CAMERA.fx),
        score=score,
        label_index=np.zeros(len(points_px), dtype=np.intp),
        labels=("vessel",),
        config=CONFIG,
    )


def compare(frames: Sequence[Frame]) -> tuple[Answer, Answer]:
    """Ours and ByteTrack's answers; every frame goes to both, one after the other."""
    import supervision
    from trackers import ByteTrackTracker

    ours, peer = Answer(), Answer()
    tracker, byte_track = Tracker(CONFIG), ByteTrackTracker(frame_rate=FPS)
    for number, frame in enumerate(frames):
        rows = np.arange(len(frame.score))
        detections = supervision.Detections(
            xyxy=frame.seen_px, confidence=frame.score, class_id=np.zeros(len(rows), int), data={"row": rows}
        )
        start = time.thread_time()
        answer = byte_track.update(detections)
        between = time.thread_time()
        tracks = tracker.update(START_NS + round(number * NS_PER_S / FPS), frame.measurements)
        end = time.thread_time()
        peer.seconds.append(between - start)
        ours.seconds.append(end - between)
        named = np.asarray(answer.tracker_id, dtype=np.int64)
        peer.rows.append(np.asarray(answer.data["row"], dtype=np.int64)[named >= 0])
        peer.numbers.append(named[named >= 0])
        is_sure = (tracks.memory["detection_index"] >= 0) & (tracks.memory["status"] == CONFIRMED)
        ours.rows.append(tracks.memory["detection_index"][is_sure])
        ours.numbers.append(tracks.memory["number"][is_sure])
    return ours, peer


def scores(frames: Sequence[Frame], answer: Answer) -> dict[str, Any]:
    """ID switches (CLEAR), IDF1 and HOTA by trackeval, at an overlap of half a box."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = sequence(frames, answer)
    quiet = {"PRINT_CONFIG": False}
    clear = CLEAR(quiet).eval_sequence(data)
    identity = Identity(quiet).eval_sequence(data)
    hota = HOTA().eval_sequence(data)
    return {
        "switches": int(clear["IDSW"]),
        "mota": float(clear["MOTA"]),
        "idf1": float(identity["IDF1"]),
        "hota": float(np.mean(hota["HOTA"])),
    }


def sequence(frames: Sequence[Frame], answer: Answer) -> dict[str, Any]:
    """The form in which trackeval takes one sequence: ids without gaps, overlaps frame by frame."""
    names = {
        number: at for at, number in enumerate(sorted({n for each in answer.numbers for n in each.tolist()}))
    }
    things = {number: at for at, number in enumerate(sorted({n for f in frames for n in f.true_id.tolist()}))}
    overlaps = [
        _overlap(frame.true_px, frame.seen_px[rows]) for frame, rows in zip(frames, answer.rows, strict=True)
    ]
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(things),
        "num_tracker_ids": len(names),
        "num_gt_dets": sum(len(frame.true_id) for frame in frames),
        "num_tracker_dets": sum(len(each) for each in answer.numbers),
        "gt_ids": [np.array([things[n] for n in f.true_id.tolist()], dtype=int) for f in frames],
        "tracker_ids": [np.array([names[n] for n in each.tolist()], dtype=int) for each in answer.numbers],
        "similarity_scores": overlaps,
    }


def _overlap(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union, (A, B), of boxes of one size."""
    shift = np.abs(a[:, None, :2] - b[None, :, :2])
    inner = np.prod(np.maximum(BOX_PX - shift, 0.0), axis=2)
    union: FloatArray = inner / (2.0 * BOX_PX**2 - inner)
    return union
