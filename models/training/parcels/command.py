"""`python -m models.training parcels`: train on outlined fields, write the file, list what is held back."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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
    parser = commands.add_parser("parcels", help="the parcel model: train, export, held-back")
    inner = parser.add_subparsers(required=True)
    train = inner.add_parser("train", help="train or resume a run")
    train.add_argument("folder", type=Path, help="of the run: checkpoint and log")
    train.add_argument("--imagery", type=Path, required=True, help="folder with the public sets")
    train.add_argument("--start", type=Path, required=True, help="PicoDet-S as ONNX, COCO classes")
    train.add_argument("--from-run", type=Path, help="begin from the averaged weights of another run")
    train.add_argument("--steps", type=int, default=2400)
    train.add_argument("--batch", type=int, default=6)
    train.add_argument("--rate", type=float, default=4e-4)
    train.add_argument("--sizes", type=int, nargs="+", default=[384, 448, 512])
    train.add_argument("--cool-down", type=float, default=0.5)
    train.add_argument("--seed", type=int, default=1)
    train.set_defaults(command=_train)
    export = inner.add_parser("export", help="write the ONNX file")
    export.add_argument("--folder", type=Path, required=True, help="of the run")
    export.add_argument("--start", type=Path, required=True)
    export.add_argument("--out", type=Path, required=True)
    export.add_argument("--description", default="cultivated parcels from above")
    export.add_argument("--licence", default="Apache-2.0")
    export.add_argument("--version", default="1")
    export.set_defaults(command=_export)
    held = inner.add_parser("held-back", help="write the images that are never trained on as a set")
    held.add_argument("--imagery", type=Path, required=True)
    held.add_argument("--out", type=Path, required=True)
    held.add_argument("--learnt", action="store_true", help="those that are trained on instead")
    held.set_defaults(command=_held_back)


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
    settings = AreaSettings(
        steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed,
        sizes_px=tuple(options.sizes), cool_down=options.cool_down,
    )  # fmt: skip
    mix = FieldMix(field_sources(options.imagery), settings.seed)
    run = AreaRun(ParcelNetwork(options.start), mix, settings, options.folder)
    if options.from_run is not None:
        run.begin_from(options.from_run)
    run.resume()
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))
    run.train(lambda row: _progress(row, settings, run.PARTS), lambda: bool(stopped))


def _export(options: argparse.Namespace) -> None:
    network = ParcelNetwork(options.start)
    network.load_state_dict(averaged_weights(options.folder))
    about = {"description": options.description, "license": options.licence, "version": options.version}
    report = export_maps(network.to(memory_format=torch.channels_last).eval(), options.out, about)
    sys.stdout.write(json.dumps({"file": str(options.out), **report}) + "\n")


def _held_back(options: argparse.Namespace) -> None:
    report = {}
    for name in SETS:
        learn, held = split_fields(read_fields(options.imagery / name))
        chosen = learn if options.learnt else held
        write_fields(chosen, options.out)
        report[name] = [len(chosen), sum(len(sample.rings) for sample in chosen)]
    sys.stdout.write(json.dumps(report) + "\n")


def _progress(row: dict[str, Any], settings: AreaSettings, parts: Sequence[str]) -> None:
    shown = " ".join(f"{part} {row[part]:.3f}" for part in parts)
    sys.stderr.write(f"step {row['step']}/{settings.steps} {shown} {row['cpu_s']:.0f} s of processor\n")
    sys.stderr.flush()
