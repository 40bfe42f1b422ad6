"""`python -m models.training`: train, score, mine, export. Progress on standard error, results on output."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch

from models.training.choosing.curve import learning_curve
from models.training.choosing.eight_bit import OPERATORS, quantise
from models.training.choosing.temperature import (
    calibration_error,
    fit_temperature,
    scores_and_hits,
    with_temperature,
)
from models.training.choosing.threshold import choose, operating_points
from models.training.eight import command as eight
from models.training.errors import TrainingError
from models.training.export import export
from models.training.judge import Looker, false_alarms, judge
from models.training.look import OnnxLooker, TorchLooker
from models.training.mine import mine, read_alarms, write_alarms
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.parcels import command as parcels
from models.training.plants import command as plants
from models.training.rendered.thermal import disturb_thermal, write_as_thermal
from models.training.run import Run, Settings, averaged_weights
from models.training.sample import Sample
from models.training.score import figures, match, threshold_at_recall
from models.training.sheet import contact_sheet, worst_first, write_picture
from models.training.vessels import (
    CLASSES,
    COCO_SEEDS,
    read_set,
    read_vessel_data,
    thermal_sources,
    vessel_sources,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 with a sentence when it cannot be."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    torch.manual_seed(1)
    try:
        options.command(options)
    except TrainingError as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    return 0


def _train(options: argparse.Namespace) -> None:
    data = read_vessel_data(options.imagery, options.render)
    settings = Settings(
        steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed,
        sizes_px=tuple(options.sizes), warm_up=options.warm_up, cool_down=options.cool_down,
    )  # fmt: skip
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    alarms = read_alarms(options.alarms) if options.alarms is not None else []
    if options.thermal:
        mix = Mix(thermal_sources(data, alarms), settings.seed, disturb_thermal)
    else:
        mix = Mix(vessel_sources(data, oblique=options.oblique, alarms=alarms), settings.seed)
    run = Run(network, mix, settings, options.folder)
    if options.from_run is not None:
        run.begin_from(options.from_run)
    run.resume()
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))
    run.train(lambda row: _progress(row, settings), lambda: bool(stopped))


def _score(options: argparse.Namespace) -> None:
    part = "validate" if options.validate else "held"
    held = {name: getattr(read_set(options.imagery, name), part) for name in [*options.sets, "land"]}
    if options.as_thermal is not None:
        held = {name: write_as_thermal(held[name], options.as_thermal / name) for name in options.sets} | {
            "land": [sample for sample in held["land"] if sample.site.startswith("hituav")]
        }
    look = _looker(options)
    report: dict[str, Any] = {"canvas_px": [options.width, options.height], "part": part}
    judged = {}
    for name in options.sets:
        samples = _chosen(held[name], options.most)
        judged[name] = judge(samples, look)
        report[name] = figures(judged[name])
        if options.sheet is not None:
            limit = threshold_at_recall(match(judged[name], 0.5), 0.8)
            worst = worst_first(judged[name], limit)[:12]
            picture = contact_sheet([samples[at] for at in worst], [judged[name][at] for at in worst], limit)
            options.sheet.mkdir(parents=True, exist_ok=True)
            write_picture(options.sheet / f"{name}.jpg", picture)
    if "ships" in judged:
        limits = [threshold_at_recall(match(judged["ships"], 0.5, size), 0.8) for size in (0.0, 24.0)]
        empty = _chosen(held["land"], options.most)
        report["thresholds"] = {"80 % of all": limits[0], "80 % over 24 px": limits[1]}
        report["false_per_land_image"] = [len(empty), *false_alarms(empty, look, limits)]
    _print(report)


def _mine(options: argparse.Namespace) -> None:
    data = read_vessel_data(options.imagery)
    look = _looker(options)
    alarms = mine(data.learn["land"] + data.learn["ships"], look, options.threshold)
    write_alarms(alarms, options.out)
    _print({"false_alarms": len(alarms), "images": len({alarm.path for alarm in alarms})})


def _choose(options: argparse.Namespace) -> None:
    """Temperature and threshold, on the sites kept for that (`--as-thermal`: shown as thermal)."""
    parts = {name: read_set(options.imagery, name).validate for name in ("ships", "side", "land")}
    names = options.sets
    if options.as_thermal is not None:
        parts["ships"] = write_as_thermal(parts["ships"], options.as_thermal / "choose-ships")
        parts["land"] = [sample for sample in parts["land"] if sample.site.startswith("hituav")]
    look = _looker(options)
    judged = [one for name in names for one in judge(parts[name], look)]
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
    _print(report)


def _curve(options: argparse.Namespace) -> None:
    samples = read_set(options.imagery, "ships").held
    stations: list[tuple[int, Path | None]] = []
    for text in options.station:
        crops, _, folder = text.partition(":")
        if not crops.isdigit():
            raise TrainingError(f"a station is CROPS:FOLDER, not {text[:80]!r}")
        stations.append((int(crops), Path(folder) if folder else None))

    def look_of(folder: Path | None) -> Looker:
        options.folder = folder
        return TorchLooker(_trained(options), (options.width, options.height))

    rows = learning_curve(stations, samples, look_of)
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    _print(rows)


def _eight_bit(options: argparse.Namespace) -> None:
    samples = _chosen(read_set(options.imagery, "ships").learn, options.most)
    operators = ("Conv",) if options.convolutions_alone else OPERATORS
    _print(quantise(options.onnx, options.out, samples, operators))


def _export(options: argparse.Namespace) -> None:
    about = {"description": options.description, "license": options.licence, "version": options.version}
    size_px = (options.width, options.height)
    report = export(_trained(options), size_px, options.out, about, options.temperature)
    _print({"file": str(options.out), **report})


def _looker(options: argparse.Namespace) -> Looker:
    if options.onnx is not None:
        return OnnxLooker(options.onnx)
    return TorchLooker(_trained(options), (options.width, options.height))


def _trained(options: argparse.Namespace) -> VesselNetwork:
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    if options.folder is not None:
        network.load_state_dict(averaged_weights(options.folder))
    return network.to(memory_format=torch.channels_last).eval()


def _chosen(samples: list[Sample], most: int) -> list[Sample]:
    """At most so many, evenly drawn from the whole list."""
    return samples if len(samples) <= most else [samples[at * len(samples) // most] for at in range(most)]


def _progress(row: dict[str, Any], settings: Settings) -> None:
    sys.stderr.write(
        f"step {row['step']}/{settings.steps} loss {row['total']:.3f} "
        f"(score {row['score']:.3f} box {row['box']:.3f}) {row['cpu_s']:.0f} s of processor\n"
    )
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train or resume a run")
    train.add_argument("folder", type=Path, help="of the run: checkpoint and log")
    train.add_argument("--imagery", type=Path, required=True, help="folder with the public sets")
    train.add_argument("--start", type=Path, required=True, help="PicoDet-S as ONNX, COCO classes")
    train.add_argument("--render", type=Path, action="append", default=[], help="a rendered flight folder")
    train.add_argument("--from-run", type=Path, help="begin from the averaged weights of another run")
    train.add_argument("--alarms", type=Path, help="what `mine` wrote: these images are drawn more often")
    train.add_argument("--thermal", action="store_true", help="the mix for thermal cameras")
    train.add_argument("--oblique", action="store_true", help="the mix for oblique views")
    train.add_argument("--steps", type=int, default=4000)
    train.add_argument("--batch", type=int, default=8)
    train.add_argument("--rate", type=float, default=6e-4)
    train.add_argument("--sizes", type=int, nargs="+", default=[320, 384, 512])
    train.add_argument("--warm-up", type=int, default=30)
    train.add_argument("--cool-down", type=float, default=0.4)
    train.add_argument("--seed", type=int, default=1)
    train.set_defaults(command=_train)
    score = _looking(commands, "score", "judge a run on what is held back", _score)
    score.add_argument("--sets", nargs="+", default=["ships", "drone", "side"])
    score.add_argument("--validate", action="store_true", help="judge on what thresholds are chosen on")
    score.add_argument("--as-thermal", type=Path, help="show the sets as thermal, their images kept here")
    score.add_argument("--most", type=int, default=10_000, help="images of each set")
    score.add_argument("--sheet", type=Path, help="folder for pictures of the worst images")
    mined = _looking(commands, "mine", "list false alarms on what is learnt from", _mine)
    mined.add_argument("--threshold", type=float, default=0.3)
    mined.add_argument("--out", type=Path, required=True)
    flown = _looking(commands, "export", "write the ONNX file", _export)
    flown.add_argument("--out", type=Path, required=True)
    flown.add_argument("--description", default="vessels in aerial images")
    flown.add_argument("--licence", default="Apache-2.0")
    flown.add_argument("--version", default="1")
    flown.add_argument("--temperature", type=float, default=1.0, help="log-odds are divided by this")
    chosen = _looking(commands, "choose", "fit a temperature, pick a threshold", _choose)
    chosen.add_argument("--sets", nargs="+", default=["ships", "side"])
    chosen.add_argument("--as-thermal", type=Path, help="show the sets as thermal, their images kept here")
    chosen.add_argument("--most-false", type=float, default=0.2, help="boxes per land image, at most")
    chosen.add_argument(
        "--over", type=float, default=12.0, help="vessels and boxes over so many pixels count"
    )
    curve = _looking(commands, "curve", "judge checkpoints that a run left on its way", _curve)
    curve.add_argument("--station", action="append", required=True, help="CROPS:FOLDER; no folder: the start")
    curve.add_argument("--out", type=Path, required=True)
    bits = commands.add_parser("int8", help="quantise an exported file, to measure what that costs")
    bits.add_argument("--onnx", type=Path, required=True)
    bits.add_argument("--imagery", type=Path, required=True)
    bits.add_argument("--most", type=int, default=10, help="images to calibrate on")
    bits.add_argument("--convolutions-alone", action="store_true", help="leave all other operators in floats")
    bits.add_argument("--out", type=Path, required=True)
    bits.set_defaults(command=_eight_bit)
    eight.add_commands(commands)
    parcels.add_commands(commands)
    plants.add_commands(commands)
    return parser


def _looking(commands: Any, name: str, what: str, command: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what)
    parser.add_argument("--folder", type=Path, help="of the run; without it the start as it is")
    parser.add_argument("--onnx", type=Path, help="judge this exported file instead of a run")
    parser.add_argument("--imagery", type=Path, help="folder with the public sets")
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--height", type=int, default=832)
    parser.set_defaults(command=command)
    return parser


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
