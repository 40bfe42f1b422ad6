"""How good a vessel model is, on what is held back or kept for choosing: score, choose, curve."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.training.choosing.curve import learning_curve
from models.training.choosing.temperature import (
    calibration_error,
    fit_temperature,
    scores_and_hits,
    with_temperature,
)
from models.training.choosing.threshold import choose, operating_points
from models.training.commands.options import add_command, add_looking, print_json
from models.training.commands.vessels import chosen, looker, trained
from models.training.errors import TrainingError
from models.training.judge import Looker, false_alarms, judge
from models.training.look import TorchLooker
from models.training.rendered.thermal import write_as_thermal
from models.training.sample import Sample
from models.training.score import Judged, figures, match, threshold_at_recall
from models.training.sheet import contact_sheet, worst_first, write_picture
from models.training.vessels import read_set

_AS_THERMAL = "show the sets as thermal, their images kept here"


def add_commands(commands: Any) -> None:
    """Add `score`, `choose` and `curve` to the training command line."""
    common = "--imagery DATA/imagery --start picodet_s_416_coco.onnx"
    example = f"score --folder run-1 {common} --sheet pictures"
    parser = add_command(commands, "score", "judge a run on what is held back", example, _score)
    add_looking(parser)
    parser.add_argument("--sets", nargs="+", default=["ships", "drone", "side"])
    parser.add_argument("--validate", action="store_true", help="judge on what thresholds are chosen on")
    parser.add_argument("--as-thermal", type=Path, help=_AS_THERMAL)
    parser.add_argument("--most", type=int, default=10_000, help="images of each set")
    parser.add_argument("--sheet", type=Path, help="folder for pictures of the worst images")

    example = f"choose --folder run-1 {common} --most-false 0.2"
    parser = add_command(commands, "choose", "fit a temperature, pick a threshold", example, _choose)
    add_looking(parser)
    parser.add_argument("--sets", nargs="+", default=["ships", "side"])
    parser.add_argument("--as-thermal", type=Path, help=_AS_THERMAL)
    parser.add_argument("--most-false", type=float, default=0.2, help="boxes per land image, at most")
    parser.add_argument(
        "--over", type=float, default=12.0, help="vessels and boxes over so many pixels count"
    )

    example = f"curve --station 0: --station 12600:run-1 {common} --out curve.json"
    parser = add_command(commands, "curve", "judge checkpoints that a run left on its way", example, _curve)
    add_looking(parser)
    parser.add_argument(
        "--station", action="append", required=True, help="CROPS:FOLDER; no folder: the start"
    )
    parser.add_argument("--out", type=Path, required=True)


def _score(options: argparse.Namespace) -> None:
    part = "validate" if options.validate else "held"
    held = {name: getattr(read_set(options.imagery, name), part) for name in [*options.sets, "land"]}
    if options.as_thermal is not None:
        held = {name: write_as_thermal(held[name], options.as_thermal / name) for name in options.sets} | {
            "land": [sample for sample in held["land"] if sample.site.startswith("hituav")]
        }
    look = looker(options)
    report: dict[str, Any] = {"canvas_px": [options.width, options.height], "part": part}
    judged = {}
    for name in options.sets:
        samples = chosen(held[name], options.most)
        judged[name] = judge(samples, look)
        report[name] = figures(judged[name])
        if options.sheet is not None:
            _write_sheet(samples, judged[name], options.sheet / f"{name}.jpg")
    if "ships" in judged:
        limits = [threshold_at_recall(match(judged["ships"], 0.5, size), 0.8) for size in (0.0, 24.0)]
        empty = chosen(held["land"], options.most)
        report["thresholds"] = {"80 % of all": limits[0], "80 % over 24 px": limits[1]}
        report["false_per_land_image"] = [len(empty), *false_alarms(empty, look, limits)]
    print_json(report)


def _write_sheet(samples: list[Sample], judged: list[Judged], path: Path) -> None:
    limit = threshold_at_recall(match(judged, 0.5), 0.8)
    worst = worst_first(judged, limit)[:12]
    picture = contact_sheet([samples[at] for at in worst], [judged[at] for at in worst], limit)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, picture)


def _choose(options: argparse.Namespace) -> None:
    """Temperature and threshold, on the sites kept for that (`--as-thermal`: shown as thermal)."""
    parts = {name: read_set(options.imagery, name).validate for name in ("ships", "side", "land")}
    if options.as_thermal is not None:
        parts["ships"] = write_as_thermal(parts["ships"], options.as_thermal / "choose-ships")
        parts["land"] = [sample for sample in parts["land"] if sample.site.startswith("hituav")]
    look = looker(options)
    judged = [one for name in options.sets for one in judge(parts[name], look)]
    land = judge(parts["land"], look)
    score, hit = scores_and_hits([*judged, *land])
    temperature = fit_temperature(score, hit)
    report: dict[str, Any] = {"images": len(judged), "on_land": len(land), "temperature": temperature}
    if temperature is not None:
        mended = with_temperature(score, temperature)
        report["calibration_error"] = [calibration_error(score, hit), calibration_error(mended, hit)]
        judged, land = (
            [replace(one, score=with_temperature(one.score, temperature)) for one in some]
            for some in (judged, land)
        )
    points = operating_points(judged, [one.score for one in land], options.over)
    report["chosen"] = choose(points, options.most_false).row()
    report["points"] = [point.row() for point in points[::5]]
    print_json(report)


def _curve(options: argparse.Namespace) -> None:
    samples = read_set(options.imagery, "ships").held
    stations: list[tuple[int, Path | None]] = []
    for text in options.station:
        crops, _, folder = text.partition(":")
        if not crops.isdigit():
            raise TrainingError(f"a station is CROPS:FOLDER, not {text[:80]!r}")
        stations.append((int(crops), Path(folder) if folder else None))

    def look_of(folder: Path | None) -> Looker:
        return TorchLooker(trained(options.start, folder), (options.width, options.height))

    rows = learning_curve(stations, samples, look_of)
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print_json(rows)
