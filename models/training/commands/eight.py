"""`python -m models.training eight`: train a detector made for eight bits, write its file, compare files."""

import argparse
import json
from pathlib import Path
from typing import Any

from models.training.commands.options import (
    about,
    add_command,
    add_file,
    add_imagery,
    add_learning,
    add_run,
    add_size,
    add_temperature,
    add_vessel_data,
    alarms_of,
    learning,
    print_json,
    train,
)
from models.training.eight.compare import compare
from models.training.eight.distil import Distillation
from models.training.eight.plain import PlainNetwork
from models.training.eight.write import write_eight
from models.training.errors import TrainingError
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.run import Settings, averaged_weights
from models.training.vessels import CLASSES, COCO_SEEDS, read_set, read_vessel_data, vessel_sources


def add_commands(commands: Any) -> None:
    """Add `eight train`, `eight export` and `eight compare` to the training command line."""
    group = commands.add_parser("eight", help="a vessel model made for eight bits: train, export")
    inner = group.add_subparsers(required=True)
    common = "--start picodet_s_416_coco.onnx"
    example = f"eight train run-8 --teacher run-2 --imagery DATA/imagery {common} --equal-from 120"
    parser = add_command(inner, "train", "train or resume a run with a teacher", example, _train)
    add_learning(parser, steps=6000, batch=6, rate=5e-4, sizes_px=[384, 512, 704], cool_down=0.6)
    add_vessel_data(parser)
    parser.add_argument("--teacher", type=Path, required=True, help="the run whose averaged weights teach")
    parser.add_argument(
        "--grid-from", type=int, help="step from which all is rounded; default: 60 %% of steps"
    )
    parser.add_argument(
        "--equal-from", type=int, help="step at which channels are equalised; default: the same"
    )

    example = f"eight export --folder run-8 {common} --out model-int8.onnx"
    parser = add_command(inner, "export", "write the ONNX file", example, _export)
    add_run(parser)
    add_size(parser, 832)
    add_temperature(parser)
    add_file(parser, "vessels in aerial images, in eight bits")

    what = "judge and time files on the held-back ships, the first as measure"
    example = (
        "eight compare --imagery DATA/imagery --file fp32:model.onnx --file int8:model-int8.onnx --out e.json"
    )
    parser = add_command(inner, "compare", what, example, _compare)
    add_imagery(parser)
    parser.add_argument("--file", action="append", required=True, help="NAME:PATH; no colon in a name")
    parser.add_argument("--rounds", type=int, default=15, help="of timing")
    parser.add_argument("--out", type=Path, required=True)


def _train(options: argparse.Namespace) -> None:
    settings = Settings(**learning(options), average=0.995)
    teacher = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    teacher.load_state_dict(averaged_weights(options.teacher))
    data = read_vessel_data(options.imagery, options.render)
    mix = Mix(vessel_sources(data, oblique=False, alarms=alarms_of(options)), settings.seed)
    network = PlainNetwork(options.start, CLASSES, COCO_SEEDS)
    grid_from = options.grid_from if options.grid_from is not None else round(settings.steps * 0.6)
    run = Distillation(network, teacher, mix, settings, options.folder, grid_from, options.equal_from)
    if not run.resume():
        run.begin()
    train(run, settings.steps)


def _export(options: argparse.Namespace) -> None:
    network = PlainNetwork(options.start, CLASSES, COCO_SEEDS)
    network.load_state_dict(averaged_weights(options.folder))
    network.eval().is_on_grid = True
    size_px = (options.width, options.height)
    report = write_eight(network, size_px, options.out, about(options), options.temperature)
    print_json({"file": str(options.out), **report})


def _compare(options: argparse.Namespace) -> None:
    files: dict[str, Path] = {}
    for text in options.file:
        name, colon, path = text.partition(":")
        if not colon or not name or name in files:
            raise TrainingError(f"a file is NAME:PATH, each name once, not {text[:80]!r}")
        files[name] = Path(path)
    rows = compare(files, read_set(options.imagery, "ships").held, options.rounds)
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print_json(rows)
