"""Where to look: which size a boat needs, what tiles by height find and cost, and what a chart keeps off."""

import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from edge.chart.config import ChartConfig
from edge.chart.keep_off import KeepOff
from edge.config import ModelConfig
from edge.geolocation.locate import OK
from edge.vision.pipeline import Outcome
from models.catalogue import load_detector, resolve
from models.network import NetworkDetector
from models.tiling.grid import tile_grid
from models.tiling.plan import Cues, TilePlanner
from models.training.sample import Sample
from sim.accuracy.section import Section
from sim.analyze import AnalyzeOptions, outcomes
from sim.bench.tile_frames import FRAME_PX, Score, edges_of, looking, real_stills, total
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.runner import render_flight
from sim.scenario.truth import TRUTH_JSONL
from sim.scenario.world import CELL_M, World
from skywarden.geometry.camera import CameraModel
from skywarden.messages import Detections

MODEL = "vessel-nadir"
SIDES_PX = (20.0, 40.0, 80.0, 120.0)
HEIGHTS_M = (150.0, 250.0, 500.0)
STILLS = 3
MOST_IMAGES = 40
HARBOUR = "harbour"
SECONDS = 120.0
FPS = 0.2
MARGINS_M = (25.0, 100.0, 200.0)
CHART_SCORE = 0.1
NEAR_PX = 6.0
BUDGETS = (2, 4, 8)
_MOST_ZOOM = 2.5
_INPUT_PX = 832

F64 = npt.NDArray[np.float64]


def section(data: Path, scratch: Path) -> Section:
    """Real overhead images that no model learnt from, and a rendered harbour in `scratch`."""
    parts = [*_sizes(data), *_heights(data), *_starvation(), *_chart(scratch)]
    return Section(title="Where to look", text="\n".join(parts))


def _sizes(data: Path) -> list[str]:
    from models.training.vessels import read_set

    split = read_set(data / "imagery", "ships")
    network = load_detector(MODEL, threads=1)
    lines = [
        f"`{MODEL}` `{network.description.sha256[:8]}` at its own threshold. *How large a boat should be for "
        "the network*: overhead images (ships621) drawn so that their median boat is so long; images that "
        f"would have to grow by more than {_MOST_ZOOM:g} are left out of a row. The scale that a pose asks "
        "for (`models/tiling/scale.py`) was put by the choosing split.\n",
        "| median boat | choosing split: found, false a image | held back: found, false a image |",
        "|---|---|---|",
    ]
    for side_px in SIDES_PX:
        cells = []
        for samples in (split.validate, split.held):
            scores = [_at_size(network, sample, side_px) for sample in samples[:MOST_IMAGES]]
            known = [score for score in scores if score is not None]
            sums = total(known)
            false = sums.false / max(1, len(known))
            cells.append(f"{sums.found} of {sums.there} ({sums.recall:.0%}), {false:.2f}")
        lines.append(f"| {side_px:.0f} px | {' | '.join(cells)} |")
    return lines


def _at_size(network: NetworkDetector, sample: Sample, side_px: float) -> Score | None:
    image = cv2.imread(str(sample.path))
    boxes = sample.boxes[sample.classes >= 0].astype(np.float64)
    if image is None or not len(boxes):
        return None
    zoom = side_px / float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)))
    if zoom > _MOST_ZOOM:
        return None
    drawn = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    boxes = boxes * np.array([drawn.shape[1] / image.shape[1], drawn.shape[0] / image.shape[0]] * 2)
    middle = np.median((boxes[:, :2] + boxes[:, 2:]) / 2.0, axis=0)
    room = np.maximum(0, np.array(drawn.shape[1::-1]) - _INPUT_PX)
    x, y = np.clip(middle - _INPUT_PX / 2, 0, room).astype(int)
    cut = drawn[y : y + _INPUT_PX, x : x + _INPUT_PX]
    canvas = np.full((_INPUT_PX, _INPUT_PX, 3), 114, dtype=np.uint8)
    canvas[: cut.shape[0], : cut.shape[1]] = cut
    truth = boxes - np.array([x, y, x, y])
    inside = (truth[:, :2] >= 0).all(axis=1) & (truth[:, 2:] <= np.array(cut.shape[1::-1])).all(axis=1)
    score = Score()
    score.add(edges_of(network.detect(canvas)), truth[inside])
    return score


def _heights(data: Path) -> list[str]:
    lines = [
        "\n*Full tiling against what the pose asks for*, on 4K frames of the same images side by side, each "
        "image drawn as its median boat, called 12 m, shows from that height through a 60° lens. Time is of "
        "the processor, beside all tiles at full resolution and the whole.\n",
        "| height | whole frame alone: found | all tiles: found, false | tiles by pose: looks, found, false, "
        "time |",
        "|---|---|---|---|",
    ]
    for height_m in HEIGHTS_M:
        stills = real_stills(data, height_m, STILLS)
        ways = {
            "all": ModelConfig(name=MODEL, tile_scale=1.0),
            "pose": ModelConfig(name=MODEL, tile_adapt=True),
            "whole": ModelConfig(name=MODEL, tile_scale=0.05),
        }
        cells: dict[str, str] = {}
        took: dict[str, float] = {}
        for name, model in ways.items():
            detector = looking(model, height_m)
            score, seconds, looks = Score(), list[float](), 0
            for still in stills:
                start = time.process_time()
                inference = detector.infer(still.image)
                batch = detector.read(inference)
                seconds.append(time.process_time() - start)
                looks = len(inference.parts)
                score.add(edges_of(batch), still.boxes)
            took[name] = statistics.median(seconds)
            cells[name] = f"{score.found} of {score.there} ({score.recall:.0%})"
            if name != "whole":
                cells[name] += f", {score.false}"
            if name == "pose":
                cells[name] = f"{looks}: {cells[name]}, {took['pose'] / took['all']:.2f}"
        lines.append(f"| {height_m:.0f} m | {cells['whole']} | {cells['all']} | {cells['pose']} |")
    lines += [
        "\nGoal for a 4K frame: 0.98 of what all tiles find, in 0.30 of the time. `tile_adapt` stays off by "
        "default: it costs a look for each tile, so a machine that keeps up with whole frames would no "
        "longer; with `tile_looks` or `tile_budget_s` it does. Where boats matter from over some 150 m with "
        "a 4K camera, switch it on.",
    ]
    return lines


def _starvation() -> list[str]:
    """How long a tile waits at worst, when half of the frame moves all the time and a track stays in one."""
    tiles = tile_grid(FRAME_PX, (_INPUT_PX, _INPUT_PX), _INPUT_PX // 4)
    busy = [1.0 if tile.x0 < FRAME_PX[0] // 2 else 0.0 for tile in tiles]
    tracks = np.array([[100.0 + 500.0 * at, 100.0, 140.0 + 500.0 * at, 140.0] for at in range(3)])
    waits = []
    for budget in BUDGETS:
        planner = TilePlanner(tiles, FRAME_PX)
        longest = 0
        for _ in range(300):
            planner.plan(budget, Cues(tracks=tracks, motion=busy, new_ground=busy))
            longest = max(longest, planner.longest_wait_frames)
        waits.append(f"{longest} with {budget}")
    return [
        f"\n*No tile starves*: {len(tiles)} tiles of a 4K frame, half of which moves and is new in every "
        f"frame, with three open tracks; the longest that any tile waited in 300 frames: {', '.join(waits)} "
        "looks a frame."
    ]


@dataclass(slots=True)
class ChartCount:
    """Boxes in rendered frames and what a chart with one margin keeps off."""

    inland: int = 0
    inland_off: int = 0
    on_vessels: int = 0
    on_vessels_off: int = 0


def _chart(scratch: Path) -> list[str]:
    frames, counts = chart_counts(scratch)
    lines = [
        f"\n*A chart* (`[chart]`): the scenario {HARBOUR}, {frames} frames of {SECONDS:.0f} s, rendered with "
        f"the errors of its sensors; `{MODEL}` from score {CHART_SCORE:g} on, so low that there is something "
        "to keep off. The chart is the coast without quays and breakwaters, so the moored boats lie outside "
        "of any land that it knows or within its margin. *False on land*: boxes on nothing that truth names, "
        "placed on land or on a quay.\n",
        "| margin | false on land a frame: without, with the chart | boxes on vessels, kept off by mistake |",
        "|---|---|---|",
    ]
    for margin_m, count in counts.items():
        left = count.inland - count.inland_off
        lines.append(
            f"| {margin_m:.0f} m | {count.inland / frames:.2f}, {left / frames:.2f} "
            f"| {count.on_vessels}, {count.on_vessels_off} |"
        )
    return lines


def chart_counts(scratch: Path) -> tuple[int, dict[float, ChartCount]]:
    """Frames looked at, and what charts with these margins keep off, by margin."""
    scenario = load_scenario(HARBOUR)
    world = World(scenario)
    bare = msgspec.structs.replace(scenario.land, quays=(), breakwaters=())
    coast = coast_of(World(msgspec.structs.replace(scenario, land=bare)))
    rules = {margin_m: KeepOff(coast, ChartConfig(margin_m=margin_m)) for margin_m in MARGINS_M}
    counts = {margin_m: ChartCount() for margin_m in MARGINS_M}
    frames = 0
    for platform in scenario.platforms:
        flight = render_flight(scenario, platform.id, scratch / platform.id, seconds=SECONDS, fps=FPS)
        truth = {row["frame_number"]: row["objects"] for row in _rows(flight / TRUTH_JSONL)}
        for outcome in outcomes(flight, AnalyzeOptions(model=str(_low(scratch)))):
            frames += 1
            if outcome.locations is None:
                continue
            (number,) = {one.frame_number for one in outcome.messages if isinstance(one, Detections)}
            is_vessel, is_inland = _judged(outcome, truth[number], world)
            for margin_m, rule in rules.items():
                off = rule.misplaced(outcome.batch, outcome.locations, scenario_focal_px(scenario))
                count = counts[margin_m]
                count.inland += int((is_inland & ~is_vessel).sum())
                count.inland_off += int((is_inland & ~is_vessel & off).sum())
                count.on_vessels += int(is_vessel.sum())
                count.on_vessels_off += int((is_vessel & off).sum())
    return frames, counts


def coast_of(world: World) -> list[shapely.Polygon]:
    """Outlines of a world's land in degrees."""
    land = np.pad((world.inland_m > 0.0).astype(np.uint8), 1)
    found, _ = cv2.findContours(land, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in found:
        if len(contour) < 4:
            continue
        points = contour[:, 0].astype(np.float64) - 1.0
        latitude, longitude = world.grid.geodetic(
            world.west_m + CELL_M * points[:, 0], world.south_m + CELL_M * points[:, 1]
        )
        polygons.append(shapely.make_valid(shapely.Polygon(np.stack([longitude, latitude], axis=1))))
    return polygons


def _judged(
    outcome: Outcome, things: list[dict[str, Any]], world: World
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which boxes (N,) lie on a vessel, and which were placed on land."""
    boxes = outcome.batch.box_px.astype(np.float64)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    is_vessel = np.zeros(len(boxes), dtype=bool)
    for thing in things:
        if thing["label"] == "vessel":
            x0, y0, x1, y1 = thing["box_px"]
            is_vessel |= (
                (middle >= (x0 - NEAR_PX, y0 - NEAR_PX)) & (middle <= (x1 + NEAR_PX, y1 + NEAR_PX))
            ).all(axis=1)
    assert outcome.locations is not None
    is_inland = np.zeros(len(boxes), dtype=bool)
    for row in range(len(boxes)):
        if outcome.locations.status[row] == OK:
            x, y = world.grid.metres(
                outcome.locations.latitude_deg[row], outcome.locations.longitude_deg[row]
            )
            is_inland[row] = world.inland_at(float(x), float(y)) > 0.0
    return is_vessel, is_inland


def _low(scratch: Path) -> Path:
    """The model's folder again, with the low threshold."""
    folder = scratch / "low"
    if not folder.is_dir():
        folder.mkdir()
        description, file = resolve(MODEL)
        text = (file.parent / "model.toml").read_text(encoding="utf-8")
        text = text.replace(f"threshold = {description.threshold:g}\n", f"threshold = {CHART_SCORE:g}\n", 1)
        (folder / "model.toml").write_text(text, encoding="utf-8")
        shutil.copyfile(file, folder / file.name)
    return folder


def scenario_focal_px(scenario: Scenario) -> float:
    """Of the first platform's camera."""
    camera = scenario.platforms[0].camera
    return CameraModel.from_hfov(camera.width_px, camera.height_px, camera.hfov_deg).fx


def _rows(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
