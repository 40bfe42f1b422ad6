"""`python -m models.training parcels`: train on outlined fields, write the file, list what is held back."""

import argparse
from pathlib import Path
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
    learning,
    print_json,
    take_up,
)
from models.training.parcels.crops import FieldMix, FieldSource
from models.training.parcels.export import export_maps
from models.training.parcels.fields import read_fields, split_fields, without_fields, write_fields
from models.training.parcels.network import ParcelNetwork
from models.training.parcels.run import AreaRun, AreaSettings
from models.training.run import averaged_weights

SETS = ("parcels-agoro-naip",)
EMPTY = (("woods", "plants-treecrowns-deepforest", 0.03), ("water", "vessels-drone-seadronessee", 0.03))
"""Where no field is: name of the source, folder, share of the crops."""


def add_commands(commands: Any) -> None:
    """Add `parcels train`, `parcels export` and `parcels held-back` to the training command line."""
    group = commands.add_parser("parcels", help="the parcel model: train, export, held-back")
    inner = group.add_subparsers(required=True)
    start = "--start picodet_s_416_coco.onnx"
    example = f"parcels train parcels-1 --imagery DATA/imagery {start} --batch 3"
    parser = add_command(inner, "train", "train or resume a run", example, _train)
    add_learning(parser, steps=2400, batch=6, rate=4e-4, sizes_px=[384, 448, 512], cool_down=0.5)
    add_from_run(parser)

    example = f"parcels export --folder parcels-1 {start} --out parcel/model.onnx"
    parser = add_command(inner, "export", "write the ONNX file", example, _export)
    add_run(parser)
    add_file(parser, "cultivated parcels from above")

    what = "write the images that are never trained on as a set"
    example = "parcels held-back --imagery DATA/imagery --out held-fields"
    add_held_back(add_command(inner, "held-back", what, example, _held_back))


def field_sources(imagery: Path) -> list[FieldSource]:
    """What a batch is drawn from: fields that are not held back, and images without any."""
    learn = [sample for name in SETS for sample in split_fields(read_fields(imagery / name))[0]]
    sources = [FieldSource(name="fields", samples=learn, share=1.0 - sum(share for *_, share in EMPTY))]
    for name, folder, share in EMPTY:
        if (imagery / folder).is_dir():
            samples = without_fields(imagery / folder)
            if name == "water":
                samples = samples[::8]
            sources.append(FieldSource(name=name, samples=samples, share=share))
    return sources


def _train(options: argparse.Namespace) -> None:
    settings = AreaSettings(**learning(options))
    mix = FieldMix(field_sources(options.imagery), settings.seed)
    take_up(AreaRun(ParcelNetwork(options.start), mix, settings, options.folder), options)


def _export(options: argparse.Namespace) -> None:
    network = ParcelNetwork(options.start)
    network.load_state_dict(averaged_weights(options.folder))
    flying = network.to(memory_format=torch.channels_last).eval()
    print_json({"file": str(options.out), **export_maps(flying, options.out, about(options))})


def _held_back(options: argparse.Namespace) -> None:
    report = {}
    for name in SETS:
        learn, held = split_fields(read_fields(options.imagery / name))
        chosen = learn if options.learnt else held
        write_fields(chosen, options.out)
        report[name] = [len(chosen), sum(len(sample.rings) for sample in chosen)]
    print_json(report)
