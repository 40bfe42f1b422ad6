"""`python -m models.training plants`: train the counter of plants, write its file, list what is held back."""

import argparse
import shutil
from typing import Any

import torch

from models.training.commands.options import (
    about,
    add_command,
    add_file,
    add_from_run,
    add_held_back,
    add_learning,
    add_run,
    add_size,
    learning,
    print_json,
    take_up,
)
from models.training.export import export
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.plants.palms import CLASSES, COCO_SEEDS, plant_sources, read_palms, read_without_plants
from models.training.readers import write_coco
from models.training.run import Run, Settings, averaged_weights

SET = "plants-oilpalm"


def add_commands(commands: Any) -> None:
    """Add `plants train`, `plants export` and `plants held-back` to the training command line."""
    group = commands.add_parser("plants", help="the plantation model: train, export, held-back")
    inner = group.add_subparsers(required=True)
    start = "--start picodet_s_416_coco.onnx"
    example = f"plants train plants-1 --imagery DATA/imagery {start} --batch 4 --steps 500"
    parser = add_command(inner, "train", "train or resume a run", example, _train)
    add_learning(parser, steps=700, batch=8, rate=6e-4, sizes_px=[320, 384, 512], cool_down=0.5)
    add_from_run(parser)

    example = f"plants export --folder plants-1 {start} --out plantation/model.onnx"
    parser = add_command(inner, "export", "write the ONNX file", example, _export)
    add_run(parser)
    add_size(parser, 512)
    add_file(parser, "plants in rows from straight above")

    what = "write the tiles that are never trained on as a set"
    example = "plants held-back --imagery DATA/imagery --out held-palms"
    add_held_back(add_command(inner, "held-back", what, example, _held_back))


def _train(options: argparse.Namespace) -> None:
    settings = Settings(**learning(options))
    palms, _ = read_palms(options.imagery / SET)
    empty, _ = read_without_plants(options.imagery)
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    mix = Mix(plant_sources(palms, empty), settings.seed)
    take_up(Run(network, mix, settings, options.folder), options)


def _export(options: argparse.Namespace) -> None:
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    network.load_state_dict(averaged_weights(options.folder))
    flying = network.to(memory_format=torch.channels_last).eval()
    report = export(flying, (options.width, options.height), options.out, about(options))
    print_json({"file": str(options.out), **report})


def _held_back(options: argparse.Namespace) -> None:
    learn, held = read_palms(options.imagery / SET)
    chosen = learn if options.learnt else held
    options.out.mkdir(parents=True, exist_ok=True)
    for sample in chosen:
        shutil.copyfile(sample.path, options.out / sample.path.name)
    write_coco(chosen, list(CLASSES), options.out / "_annotations.coco.json")
    print_json({"tiles": len(chosen), "plants": sum(len(s.boxes) for s in chosen)})
