"""The vessel models: train, mine, export, and what INT8 of a finished file would cost."""

import argparse
from pathlib import Path
from typing import Any

import torch

from models.training.choosing.eight_bit import OPERATORS, quantise
from models.training.commands.options import (
    about,
    add_command,
    add_file,
    add_from_run,
    add_imagery,
    add_learning,
    add_looking,
    add_temperature,
    add_vessel_data,
    alarms_of,
    learning,
    print_json,
    take_up,
)
from models.training.export import export
from models.training.judge import Looker
from models.training.look import OnnxLooker, TorchLooker
from models.training.mine import mine, write_alarms
from models.training.mix import Mix
from models.training.network import VesselNetwork
from models.training.rendered.thermal import disturb_thermal
from models.training.run import Run, Settings, averaged_weights
from models.training.sample import Sample
from models.training.vessels import (
    CLASSES,
    COCO_SEEDS,
    read_set,
    read_vessel_data,
    thermal_sources,
    vessel_sources,
)


def add_commands(commands: Any) -> None:
    """Add `train`, `mine`, `export` and `int8` to the training command line."""
    example = "train run-1 --imagery DATA/imagery --start picodet_s_416_coco.onnx --steps 1800"
    parser = add_command(commands, "train", "train or resume a run", example, _train)
    add_learning(parser, steps=4000, batch=8, rate=6e-4, sizes_px=[320, 384, 512], cool_down=0.4)
    add_from_run(parser)
    add_vessel_data(parser)
    parser.add_argument("--thermal", action="store_true", help="the mix for thermal cameras")
    parser.add_argument("--oblique", action="store_true", help="the mix for oblique views")
    parser.add_argument("--warm-up", type=int, default=30)
    parser.add_argument("--average", type=float, default=0.997, help="of the running mean of the weights")

    example = "mine --folder run-1 --imagery DATA/imagery --start picodet_s_416_coco.onnx --out alarms.json"
    parser = add_command(commands, "mine", "list false alarms on what is learnt from", example, _mine)
    add_looking(parser)
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--out", type=Path, required=True)

    example = "export --folder run-1 --start picodet_s_416_coco.onnx --out model.onnx --temperature 0.5"
    parser = add_command(commands, "export", "write the ONNX file", example, _export)
    add_looking(parser)
    add_file(parser, "vessels in aerial images")
    add_temperature(parser)

    what = "quantise an exported file, to measure what that costs"
    example = "int8 --onnx model.onnx --imagery DATA/imagery --out model-int8.onnx"
    parser = add_command(commands, "int8", what, example, _eight_bit)
    parser.add_argument("--onnx", type=Path, required=True)
    add_imagery(parser)
    parser.add_argument("--most", type=int, default=10, help="images to calibrate on")
    parser.add_argument(
        "--convolutions-alone", action="store_true", help="leave all other operators in floats"
    )
    parser.add_argument("--out", type=Path, required=True)


def looker(options: argparse.Namespace) -> Looker:
    """The exported file that `add_looking` names, or the run."""
    if options.onnx is not None:
        return OnnxLooker(options.onnx)
    return TorchLooker(trained(options.start, options.folder), (options.width, options.height))


def trained(start: Path, folder: Path | None) -> VesselNetwork:
    """The network with the averaged weights of a run; without one the start as it is."""
    network = VesselNetwork(start, CLASSES, COCO_SEEDS)
    if folder is not None:
        network.load_state_dict(averaged_weights(folder))
    network.to(memory_format=torch.channels_last).eval()
    return network


def chosen(samples: list[Sample], most: int) -> list[Sample]:
    """At most so many, evenly drawn from the whole list."""
    return samples if len(samples) <= most else [samples[at * len(samples) // most] for at in range(most)]


def _train(options: argparse.Namespace) -> None:
    data = read_vessel_data(options.imagery, options.render)
    settings = Settings(**learning(options), warm_up=options.warm_up, average=options.average)
    network = VesselNetwork(options.start, CLASSES, COCO_SEEDS)
    alarms = alarms_of(options)
    if options.thermal:
        mix = Mix(thermal_sources(data, alarms), settings.seed, disturb_thermal)
    else:
        mix = Mix(vessel_sources(data, oblique=options.oblique, alarms=alarms), settings.seed)
    take_up(Run(network, mix, settings, options.folder), options)


def _mine(options: argparse.Namespace) -> None:
    data = read_vessel_data(options.imagery)
    alarms = mine(data.learn["land"] + data.learn["ships"], looker(options), options.threshold)
    write_alarms(alarms, options.out)
    print_json({"false_alarms": len(alarms), "images": len({alarm.path for alarm in alarms})})


def _export(options: argparse.Namespace) -> None:
    network = trained(options.start, options.folder)
    size_px = (options.width, options.height)
    report = export(network, size_px, options.out, about(options), options.temperature)
    print_json({"file": str(options.out), **report})


def _eight_bit(options: argparse.Namespace) -> None:
    samples = chosen(read_set(options.imagery, "ships").learn, options.most)
    operators = ("Conv",) if options.convolutions_alone else OPERATORS
    print_json(quantise(options.onnx, options.out, samples, operators))
