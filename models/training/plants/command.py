"""`python -m models.training plants`: train the counter of plants, write its file, list what is held back."""

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from models.training.export import export
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.plants.palms import CLASSES, COCO_SEEDS, plant_sources, read_palms, read_without_plants
from models.training.readers import write_coco
from models.training.run import Run, Settings, averaged_weights

SET = "plants-oilpalm"


def add_commands(commands: Any) -> None:
    """Add `plants train`, `plants export` and `plants held-back` to the training command line."""
    parser = commands.add_parser("plants", help="the plantation model: train, export, held-back")
    inner = parser.add_subparsers(required=True)
    train = inner.add_parser("train", help="train or resume a run")
    train.add_argument("folder", type=Path, help="of the run: checkpoint and log")
    train.add_argument("--imagery", type=Path, required=True, help="folder with the public sets")
    train.add_argument("--start", type=Path, required=True, help="PicoDet-S as ONNX, COCO classes")
    train.add_argument("--from-run", type=Path, help="begin from the averaged weights of another run")
    train.add_argument("--steps", type=int, default=700)
    train.add_argument("--batch", type=int, default=8)
    train.add_argument("--rate", type=float, default=6e-4)
    train.add_argument("--sizes", type=int, nargs="+", default=[320, 384, 512])
    train.add_argument("--cool-down", type=float, default=0.5)
    train.add_argument("--seed", type=int, default=1)
    train.set_defaults(command=_train)
    flown = inner.add_parser("export", help="write the ONNX file")
    flown.add_argument("--folder", type=Path, required=True, help="of the run")
    flown.add_argument("--start", type=Path, required=True)
    flown.add_argument("--out", type=Path, required=True)
    flown.add_argument("--width", type=int, default=512)
    flown.add_argument("--height", type=int, default=512)
    flown.add_argument("--description", default="plants in rows from straight above")
    flown.add_argument("--licence", default="Apache-2.0")
    flown.add_argument("--version", default="1")
    flown.set_defaults(command=_export)
    held = inner.add_parser("held-back", help="write the tiles that are never trained on as a set")
    held.add_argument("--imagery", type=Path, required=True)
    held.add_argument("--out", type=Path, required=True)
    held.add_argument("--learnt", action="store_true", help="those that are trained on instead")
    held.set_defaults(command=_held_back)


def _train(options: argparse.Namespace) -> None:
    settings = Settings(
        steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed,
        sizes_px=tuple(options.sizes), cool_down=options.cool_down,
    )  # fmt: skip
    palms, _ = read_palms(options.imagery / SET)
    empty, _ = read_without_plants(options.imagery)
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    run = Run(network, Mix(plant_sources(palms, empty), settings.seed), settings, options.folder)
    if options.from_run is not None:
        run.begin_from(options.from_run)
    run.resume()
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))
    run.train(lambda row: _progress(row, settings), lambda: bool(stopped))


def _export(options: argparse.Namespace) -> None:
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    network.load_state_dict(averaged_weights(options.folder))
    about = {"description": options.description, "license": options.licence, "version": options.version}
    flying = network.to(memory_format=torch.channels_last).eval()
    report = export(flying, (options.width, options.height), options.out, about)
    sys.stdout.write(json.dumps({"file": str(options.out), **report}) + "\n")


def _held_back(options: argparse.Namespace) -> None:
    learn, held = read_palms(options.imagery / SET)
    chosen = learn if options.learnt else held
    options.out.mkdir(parents=True, exist_ok=True)
    for sample in chosen:
        shutil.copyfile(sample.path, options.out / sample.path.name)
    write_coco(chosen, list(CLASSES), options.out / "_annotations.coco.json")
    sys.stdout.write(json.dumps({"tiles": len(chosen), "plants": sum(len(s.boxes) for s in chosen)}) + "\n")


def _progress(row: dict[str, Any], settings: Settings) -> None:
    shown = " ".join(f"{part} {row[part]:.3f}" for part in Run.PARTS)
    sys.stderr.write(f"step {row['step']}/{settings.steps} {shown} {row['cpu_s']:.0f} s of processor\n")
    sys.stderr.flush()
