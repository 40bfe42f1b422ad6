"""Accuracy of tracks: speed and course with their sigmas, vessels at anchor, and referees of association."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.accuracy.section import Section
from sim.accuracy.truth.short_flight import SET_A, SET_B, ErrorSet
from sim.accuracy.truth.track_referee import judge, make_scene, our_tracks, stonesoup_tracks
from sim.accuracy.truth.vessel_flight import PATHS, VesselResult, fly
from sim.bench import track as bench
from sim.range.score.referee import PictureVerdict

FLIGHTS_PER_PATH = 100
REFEREE_SEEDS = (1, 2, 3, 4)
_ONE_SIDED_90 = 1.6448536269514722
_CHI_SQUARE_2_90 = 4.605170185988092


def section(data: Path, scratch: Path) -> Section:
    """From seeds alone; `data` and `scratch` are not used."""
    return Section(title="Tracks", text="\n".join([*_speed_text(), "", *_association_text()]))


@dataclass(frozen=True, kw_only=True)
class SpeedResult:
    """Flights of one error set and path: root mean squares, and how often truth lay where it was said to be.

    `nees` is the mean squared Mahalanobis distance of velocity per degree of freedom (1 is honest, less is
    cautious); `speed_90`, `course_90`, `velocity_90` the shares inside what is stated for 90 %.
    """

    flights: int
    one_track: int
    speed_rms_mps: float
    course_rms_deg: float
    speed_90: float
    course_90: float
    velocity_90: float
    nees: float
    called_moving: int


def speed_results(results: Sequence[VesselResult]) -> SpeedResult:
    """Of vessels of one kind; what was not one track from begin to end counts only as that."""
    kept = [result for result in results if result.state is not None]
    speed, course, nees, in_speed, in_course, moving = [], [], [], [], [], 0
    for result in kept:
        state = result.state
        assert state is not None
        error = np.array([state.east_mps - result.east_mps, state.north_mps - result.north_mps])
        nees.append(float(error @ np.linalg.solve(state.velocity_covariance_m2ps2, error)))
        speed.append(state.speed_mps - math.hypot(result.east_mps, result.north_mps))
        true_deg = math.degrees(math.atan2(result.east_mps, result.north_mps))
        course.append((state.course_deg - true_deg + 180.0) % 360.0 - 180.0)
        in_speed.append(abs(speed[-1]) <= _ONE_SIDED_90 * state.speed_sigma_mps)
        in_course.append(abs(course[-1]) <= _ONE_SIDED_90 * state.course_sigma_deg)
        moving += state.is_moving
    return SpeedResult(
        flights=len(results),
        one_track=len(kept),
        speed_rms_mps=float(np.sqrt(np.mean(np.square(speed)))),
        course_rms_deg=float(np.sqrt(np.mean(np.square(course)))),
        speed_90=float(np.mean(in_speed)),
        course_90=float(np.mean(in_course)),
        velocity_90=float(np.mean(np.array(nees) <= _CHI_SQUARE_2_90)),
        nees=float(np.mean(nees)) / 2.0,
        called_moving=moving,
    )


def _speed_text() -> list[str]:
    out = [
        "Simulated: a vessel at 6 m/s and one at anchor beside it, seen for 30 s at 2 frames/s from 300 m, "
        "60 degrees off nadir halfway, by a platform at 15 m/s that closes in, passes, or circles. Errors "
        "are drawn per flight and source: boresight, time, lens and sea last the flight; of tilt, heading "
        "and GNSS half the variance lasts and half wanders (20, 60, 60 s; the tracker assumes 30, 60, 100 "
        "s). Pixels go through `edge.geolocation.locate` with the believed pose. Figures are of the last "
        "frame; *inside 90 %* counts flights whose truth lies inside what is stated for 90 %; NEES is per "
        "degree of freedom. Goal with set B: 0.25 m/s and 3 degrees RMS.\n",
        "| set | path | flights | one track | speed RMS m/s | course RMS deg | inside 90 %: speed, course, "
        "velocity | NEES | under way called moving | at anchor called moving, at the end | at any time |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for errors in (SET_B, SET_A):
        every: list[VesselResult] = []
        for path in PATHS:
            found = [result for seed in range(FLIGHTS_PER_PATH) for result in fly(seed, errors, path)]
            every += found
            out.append(_speed_row(errors, path, found))
        out.append(_speed_row(errors, "**all**", every))
    return out


def _speed_row(errors: ErrorSet, path: str, found: Sequence[VesselResult]) -> str:
    way = speed_results([result for result in found if result.name == "under way"])
    anchored = [result for result in found if result.name == "at anchor"]
    still = speed_results(anchored)
    ever = sum(result.moving_share > 0.0 for result in anchored)
    return (
        f"| {errors.name} | {path} | {way.flights} | {way.one_track} | {way.speed_rms_mps:.2f} "
        f"| {way.course_rms_deg:.1f} | {way.speed_90:.0%}, {way.course_90:.0%}, {way.velocity_90:.0%} "
        f"| {way.nees:.2f} | {way.called_moving} of {way.one_track} "
        f"| {still.called_moving} of {still.one_track} | {ever} of {len(anchored)} |"
    )


def _association_text() -> list[str]:
    out = [
        "Association against Stone Soup's global nearest neighbour with the same models (8 objects, 50 s, "
        "5 % missed, clutter; GOSPA with p 2 and a cut at 20 m, smaller is better; SIAP):\n",
        "| scene | tracker | GOSPA m | completeness | ambiguity | spuriousness | position accuracy m |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed in REFEREE_SEEDS:
        scene = make_scene(seed)
        out.append(_verdict_row(seed, "skywarden", judge(scene, our_tracks(scene))))
        out.append(_verdict_row(seed, "Stone Soup", judge(scene, stonesoup_tracks(scene))))
    out += [
        "",
        "Identity against ByteTrack (`trackers`) on the same detections, scored by trackeval in the image "
        "(see benchmarks for the scene; two looks make a track for both):\n",
        "| objects | frames | tracker | HOTA | IDF1 | MOTA | ID switches |",
        "|---|---|---|---|---|---|---|",
    ]
    for objects, frames in ((50, 120), (200, 60)):
        scene_frames = bench.scene(objects, frames, 1)
        for name, answer in zip(("skywarden", "ByteTrack"), bench.compare(scene_frames), strict=True):
            found = bench.scores(scene_frames, answer)
            out.append(
                f"| {objects} | {frames} | {name} | {found['hota']:.3f} | {found['idf1']:.3f} "
                f"| {found['mota']:.3f} | {found['switches']} |"
            )
    return out


def _verdict_row(seed: int, name: str, verdict: PictureVerdict) -> str:
    known = (
        verdict.gospa_m or math.nan,
        verdict.ambiguity or math.nan,
        verdict.position_accuracy_m or math.nan,
    )
    return (
        f"| {seed} | {name} | {known[0]:.2f} | {verdict.completeness:.3f} | {known[1]:.3f} "
        f"| {verdict.spuriousness:.3f} | {known[2]:.2f} |"
    )
