"""Accuracy against truth: the built-in scenario, rendered and flown through the whole chain."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from models.catalogue import load_detector
from sim.accuracy.section import Section, Spread, spread_of
from sim.analyze import AnalyzeOptions, analyze
from sim.scenario.description import load_scenario
from sim.scenario.runner import TERRAIN_NAME, render_flights
from sim.scenario.truth import TRUTH_JSONL
from skywarden import geodesy
from skywarden.terrain import load_terrain

SCENARIO = "coast-and-hill"
SCENARIO_SECONDS = 40.0
SCENARIO_FPS = 2.0
MARGIN_PX = 6.0


def section(data: Path, scratch: Path) -> Section:
    """The built-in scenario, rendered into `scratch`; `data` is not used."""
    model = load_detector("anomaly").model_id
    parts = [
        f"Rendered, with injected GNSS, attitude and clock errors; detector `{model}` at its own "
        "threshold. A look counts as found when a detection's centre lies in the true box. *Others* are "
        "detections on nothing that truth names (bushes, whitecaps, wakes).\n",
        "| platform | what | looks found | others a frame | located | CEP | CE90 | inside stated CE90 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in scenario(scratch):
        misses = result.misses.row() if result.misses else "0 | |"
        share = f"{result.found} of {result.visible} ({result.found / max(1, result.visible):.0%})"
        parts.append(
            f"| {result.platform_id} | {result.label} | {share} | {result.others_per_frame:.1f} "
            f"| {misses} | {result.inside_ce90:.0%} |"
        )
    title = f"Scenario {SCENARIO}, {SCENARIO_SECONDS:.0f} s at {SCENARIO_FPS:g} frames/s"
    return Section(title=title, text="\n".join(parts))


@dataclass(frozen=True, kw_only=True)
class ScenarioResult:
    """One rendered platform against truth."""

    platform_id: str
    label: str
    visible: int
    found: int
    others_per_frame: float
    misses: Spread | None
    inside_ce90: float


def scenario(folder: Path) -> list[ScenarioResult]:
    """Both platforms of the built-in scenario, analyzed and matched to truth box by box."""
    loaded = load_scenario(SCENARIO)
    flights = render_flights(loaded, folder, seconds=SCENARIO_SECONDS, fps=SCENARIO_FPS)
    out = []
    for platform_id, flight in sorted(flights.items()):
        options = AnalyzeOptions(surface=load_terrain(flight / TERRAIN_NAME))
        analyze(flight, flight / "out", options)
        truth = _rows(flight / TRUTH_JSONL)
        found = _rows(flight / "out" / "detections.jsonl")
        labels = sorted({thing["label"] for frame in truth for thing in frame["objects"]})
        out += [_against_truth(platform_id, label, truth, found) for label in labels]
    return out


def _against_truth(
    platform_id: str, label: str, truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> ScenarioResult:
    by_frame: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for detection in found:
        by_frame[detection["frame_number"]].append(detection)
    visible = hits = 0
    misses: list[float] = []
    inside = matched = 0
    for frame in truth:
        detections = by_frame[frame["frame_number"]]
        matched += sum(any(_covers(thing, each) for thing in frame["objects"]) for each in detections)
        for thing in frame["objects"]:
            if thing["label"] != label or thing["visibility"] < 0.5:
                continue
            visible += 1
            near = [each for each in detections if _covers(thing, each)]
            hits += bool(near)
            for each in near[:1]:
                if each["position"] is not None:
                    miss = _miss_m(thing, each["position"])
                    misses.append(miss)
                    inside += miss <= each["position"]["ce90_m"]
    return ScenarioResult(
        platform_id=platform_id,
        label=label,
        visible=visible,
        found=hits,
        others_per_frame=(len(found) - matched) / max(1, len(truth)),
        misses=spread_of(misses) if misses else None,
        inside_ce90=inside / max(1, len(misses)),
    )


def _covers(thing: dict[str, Any], detection: dict[str, Any]) -> bool:
    x0, y0, x1, y1 = thing["box_px"]
    box = detection["box_px"]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(x0 - MARGIN_PX <= x <= x1 + MARGIN_PX and y0 - MARGIN_PX <= y <= y1 + MARGIN_PX)


def _miss_m(thing: dict[str, Any], position: dict[str, float]) -> float:
    place = (position["latitude_deg"], position["longitude_deg"], thing["alt_hae_m"])
    enu = geodesy.enu_from_geodetic(place, thing["latitude_deg"], thing["longitude_deg"], thing["alt_hae_m"])
    return float(np.hypot(enu[0], enu[1]))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
