"""Stone Soup as referee: its tracker and ours on the same scene, judged by its GOSPA and SIAP.

Both have the same models: constant velocity with white acceleration, white errors of a stated size, the same
gate. Stone Soup begins a track from every measurement left over and ends it after misses; tracks that have
not been seen three times are left out for both.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.track import Tracker, TrackerConfig, from_covariances
from sim.range.score.referee import PictureVerdict, refereed
from skywarden.clock import NS_PER_S

FloatArray = npt.NDArray[np.float64]

STEPS = 50
OBJECTS = 8
SIGMA_M = 2.0
SPEED_MPS = 6.0
ACCELERATION_M2PS3 = 0.05
MISSED = 0.05
CLUTTER_PER_STEP = 1.0
SIDE_M = 400.0
GATE_SIGMAS = 3.72
HITS = 3
START = datetime(2026, 11, 22, tzinfo=UTC).replace(tzinfo=None)
START_NS = 1_790_000_000 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`truth` (STEPS, OBJECTS, 4) as east, its rate, north, its rate; `seen` per step (M, 2)."""

    truth: FloatArray
    seen: list[FloatArray]


def make_scene(seed: int) -> Scene:
    """Objects in a square, one step a second, with misses and clutter."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0.0, SIDE_M, (OBJECTS, 2))
    rate = rng.normal(0.0, SPEED_MPS / 2**0.5, (OBJECTS, 2))
    truth, seen = np.zeros((STEPS, OBJECTS, 4)), []
    for step in range(STEPS):
        truth[step, :, 0::2], truth[step, :, 1::2] = place, rate
        is_seen = rng.random(OBJECTS) >= MISSED
        points = place[is_seen] + rng.normal(0.0, SIGMA_M, (int(is_seen.sum()), 2))
        middle = place.mean(axis=0)
        clutter = middle + rng.uniform(-SIDE_M, SIDE_M, (rng.poisson(CLUTTER_PER_STEP), 2))
        seen.append(rng.permutation(np.concatenate([points, clutter])))
        push = rng.normal(0.0, ACCELERATION_M2PS3**0.5, (OBJECTS, 2))
        place, rate = place + rate + push / 2, rate + push
    return Scene(truth=truth, seen=seen)


def our_tracks(scene: Scene) -> set[Any]:
    """Ours, as Stone Soup's tracks; shared errors do not exist here."""
    from stonesoup.types.state import GaussianState
    from stonesoup.types.track import Track

    tracker = Tracker(
        TrackerConfig(
            initial_speed_mps=SPEED_MPS,
            steady_m2ps3=ACCELERATION_M2PS3,
            confirm_hits=HITS,
            confirm_window=HITS + 1,
            coast_s=4.0,
            coast_static_s=4.0,
        )
    )
    tracks: dict[int, list[Any]] = {}
    sure = set()
    for step, points in enumerate(scene.seen):
        covariance = np.repeat(np.eye(2)[None] * SIGMA_M**2, len(points), axis=0)
        seen = from_covariances(points, covariance, np.full(len(points), 0.9), common_share=0.0)
        for state in tracker.update(START_NS + step * NS_PER_S, seen):
            if state.status == "dropped":
                continue
            mean = np.array([state.east_m, state.east_mps, state.north_m, state.north_mps])
            here = GaussianState(mean, np.eye(4), timestamp=_time(step))
            tracks.setdefault(state.number, []).append(here)
            sure |= {state.number} if state.was_confirmed else set()
    return {Track(tracks[number]) for number in sorted(sure)}


def stonesoup_tracks(scene: Scene) -> set[Any]:
    """Stone Soup's global nearest neighbour with a Kalman filter."""
    from stonesoup.dataassociator.neighbour import GNNWith2DAssignment
    from stonesoup.deleter.time import UpdateTimeStepsDeleter
    from stonesoup.hypothesiser.distance import DistanceHypothesiser
    from stonesoup.initiator.simple import SimpleMeasurementInitiator
    from stonesoup.measures import Mahalanobis
    from stonesoup.models.measurement.linear import LinearGaussian
    from stonesoup.models.transition.linear import CombinedLinearGaussianTransitionModel, ConstantVelocity
    from stonesoup.predictor.kalman import KalmanPredictor
    from stonesoup.types.detection import Detection
    from stonesoup.types.state import GaussianState
    from stonesoup.updater.kalman import KalmanUpdater

    motion = CombinedLinearGaussianTransitionModel([ConstantVelocity(ACCELERATION_M2PS3)] * 2)
    sight = LinearGaussian(ndim_state=4, mapping=(0, 2), noise_covar=np.eye(2) * SIGMA_M**2)
    updater = KalmanUpdater(sight)
    hypothesiser = DistanceHypothesiser(KalmanPredictor(motion), updater, Mahalanobis(), GATE_SIGMAS)
    associator = GNNWith2DAssignment(hypothesiser)
    prior = GaussianState(np.zeros(4), np.diag([0.0, SPEED_MPS**2, 0.0, SPEED_MPS**2]))
    initiator = SimpleMeasurementInitiator(prior, sight)
    deleter = UpdateTimeStepsDeleter(3)
    alive: set[Any] = set()
    every: set[Any] = set()
    for step, points in enumerate(scene.seen):
        detections = {Detection(p, timestamp=_time(step), measurement_model=sight) for p in points}
        hypotheses = associator.associate(alive, detections, _time(step))
        used = set()
        for track, hypothesis in hypotheses.items():
            if hypothesis:
                track.append(updater.update(hypothesis))
                used.add(hypothesis.measurement)
            else:
                track.append(hypothesis.prediction)
        alive -= deleter.delete_tracks(alive)
        alive |= initiator.initiate(detections - used, _time(step))
        every |= alive
    return {track for track in every if sum(hasattr(state, "hypothesis") for state in track) >= HITS}


def judge(scene: Scene, tracks: set[Any]) -> PictureVerdict:
    """Stone Soup's verdict over tracks of its own type."""
    from stonesoup.types.groundtruth import GroundTruthPath, GroundTruthState

    paths = {
        GroundTruthPath(
            [GroundTruthState(scene.truth[step, which], timestamp=_time(step)) for step in range(STEPS)]
        )
        for which in range(OBJECTS)
    }
    return refereed(tracks, paths, cut_m=20.0)


def _time(step: int) -> datetime:
    return START + timedelta(seconds=step)
