"""`python -m models.training eight`: train a detector made for eight bits, write its file."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from models.training.eight.compare import compare
from models.training.eight.distil import Distillation
from models.training.eight.plain import PlainNetwork
from models.training.eight.write import write_eight
from models.training.errors import TrainingError
from models.training.mine import read_alarms
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.run import Settings, averaged_weights
from models.training.vessels import CLASSES, COCO_SEEDS, read_set, read_vessel_data, vessel_sources


def add_commands(commands: Any) -> None:
    """Add `eight train` and `eight export` to the training command line."""
    parser = commands.add_parser("eight", help="a vessel model made for eight bits: train, export")
    inner = parser.add_subparsers(required=True)
    train = inner.add_parser("train", help="train or resume a run with a teacher")
    train.add_argument("folder", type=Path, help="of the run: checkpoint and log")
    train.add_argument("--teacher", type=Path, required=True, help="the run whose averaged weights teach")
    train.add_argument("--imagery", type=Path, required=True, help="folder with the public sets")
    train.add_argument("--start", type=Path, required=True, help="PicoDet-S as ONNX, COCO classes")
    train.add_argument("--render", type=Path, action="append", default=[], help="a rendered flight folder")
    train.add_argument("--alarms", type=Path, help="what `mine` wrote: these images are drawn more often")
    train.add_argument("--steps", type=int, default=6000)
    train.add_argument(
        "--grid-from", type=int, help="step from which all is rounded; default: 60 %% of steps"
    )
    train.add_argument(
        "--equal-from", type=int, help="step at which channels are equalised; default: the same"
    )
    train.add_argument("--batch", type=int, default=6)
    train.add_argument("--rate", type=float, default=5e-4)
    train.add_argument("--sizes", type=int, nargs="+", default=[384, 512, 704])
    train.add_argument("--cool-down", type=float, default=0.6)
    train.add_argument("--seed", type=int, default=1)
    train.set_defaults(command=_train)
    flown = inner.add_parser("export", help="write the ONNX file")
    flown.add_argument("--folder", type=Path, required=True, help="of the run")
    flown.add_argument("--start", type=Path, required=True)
    flown.add_argument("--out", type=Path, required=True)
    flown.add_argument("--width", type=int, default=832)
    flown.add_argument("--height", type=int, default=832)
    flown.add_argument("--temperature", type=float, default=1.0, help="log-odds are divided by this")
    flown.add_argument("--description", default="vessels in aerial images, in eight bits")
    flown.add_argument("--licence", default="Apache-2.0")
    flown.add_argument("--version", default="1")
    flown.set_defaults(command=_export)

    told = inner.add_parser(
        "compare", help="judge and time files on the held-back ships, the first as measure"
    )
    told.add_argument("--imagery", type=Path, required=True, help="folder with the public sets")
    told.add_argument("--file", action="append", required=True, help="NAME:PATH; no colon in a name")
    told.add_argument("--rounds", type=int, default=15, help="of timing")
    told.add_argument("--out", type=Path, required=True)
    told.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> None:
    files: dict[str, Path] = {}
    for text in options.file:
        name, colon, path = text.partition(":")
        if not colon or not name or name in files:
            raise TrainingError(f"a file is NAME:PATH, each name once, not {text[:80]!r}")
        files[name] = Path(path)
    rows = compare(files, read_set(options.imagery, "ships").held, options.rounds)
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


def _train(options: argparse.Namespace) -> None:
    settings = Settings(
        steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed,
        sizes_px=tuple(options.sizes), cool_down=options.cool_down, average=0.995,
    )  # fmt: skip
    teacher = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    teacher.load_state_dict(averaged_weights(options.teacher))
    alarms = read_alarms(options.alarms) if options.alarms is not None else []
    data = read_vessel_data(options.imagery, options.render)
    mix = Mix(vessel_sources(data, oblique=False, alarms=alarms), settings.seed)
    network = PlainNetwork(options.start, CLASSES, COCO_SEEDS)
    grid_from = options.grid_from if options.grid_from is not None else round(settings.steps * 0.6)
    run = Distillation(network, teacher, mix, settings, options.folder, grid_from, options.equal_from)
    if not run.resume():
        run.begin()
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))
    run.train(lambda row: _progress(row, settings), lambda: bool(stopped))


def _export(options: argparse.Namespace) -> None:
    network = PlainNetwork(options.start, CLASSES, COCO_SEEDS)
    network.load_state_dict(averaged_weights(options.folder))
    network.eval().is_on_grid = True
    about = {"description": options.description, "license": options.licence, "version": options.version}
    size_px = (options.width, options.height)
    report = write_eight(network, size_px, options.out, about, options.temperature)
    sys.stdout.write(json.dumps({"file": str(options.out), **report}) + "\n")


def _progress(row: dict[str, Any], settings: Settings) -> None:
    shown = " ".join(f"{part} {row[part]:.3f}" for part in Distillation.PARTS)
    sys.stderr.write(f"step {row['step']}/{settings.steps} {shown} {row['cpu_s']:.0f} s of processor\n")
    sys.stderr.flush()
