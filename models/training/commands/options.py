"""What the commands share: options of runs, files and sets, and how a run goes on until it is stopped."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.training.errors import TrainingError
from models.training.mine import FalseAlarm, read_alarms
from models.training.network import MULTIPLE_PX
from models.training.run import Run

Command = Callable[[argparse.Namespace], None]


def add_command(commands: Any, name: str, what: str, example: str, run: Command) -> argparse.ArgumentParser:
    """A command of its own, with an example under its help; `example` goes on after the program's name."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"For example:\n\n    python -m models.training {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_learning(
    parser: argparse.ArgumentParser,
    *,
    steps: int,
    batch: int,
    rate: float,
    sizes_px: list[int],
    cool_down: float,
) -> None:
    """The options of a run that learns, with the defaults of its kind."""
    parser.add_argument("folder", type=Path, help="of the run: checkpoint and log")
    add_imagery(parser)
    parser.add_argument("--start", type=Path, required=True, help="PicoDet-S as ONNX, COCO classes")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes_px)
    parser.add_argument("--cool-down", type=float, default=cool_down)
    parser.add_argument("--seed", type=int, default=1)


def add_from_run(parser: argparse.ArgumentParser) -> None:
    """Where weights may come from in place of the start's."""
    parser.add_argument("--from-run", type=Path, help="begin from the averaged weights of another run")


def add_vessel_data(parser: argparse.ArgumentParser) -> None:
    """What vessels are learnt from beyond the public sets."""
    parser.add_argument("--render", type=Path, action="append", default=[], help="a rendered flight folder")
    parser.add_argument("--alarms", type=Path, help="what `mine` wrote: these images are drawn more often")


def add_imagery(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Where the public sets are."""
    parser.add_argument("--imagery", type=Path, required=required, help="folder with the public sets")


def add_looking(parser: argparse.ArgumentParser) -> None:
    """Which network is judged or written, and the size that it looks at."""
    parser.add_argument("--folder", type=Path, help="of the run; without it the start as it is")
    parser.add_argument("--onnx", type=Path, help="judge this exported file instead of a run")
    add_imagery(parser, required=False)
    parser.add_argument("--start", type=Path, required=True)
    add_size(parser, 832)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Which run is written to a file."""
    parser.add_argument("--folder", type=Path, required=True, help="of the run")
    parser.add_argument("--start", type=Path, required=True)


def add_size(parser: argparse.ArgumentParser, side_px: int) -> None:
    """Width and height of what the network is given."""
    parser.add_argument("--width", type=int, default=side_px)
    parser.add_argument("--height", type=int, default=side_px)


def add_file(parser: argparse.ArgumentParser, description: str) -> None:
    """Where the ONNX file goes and what it says about itself."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--description", default=description)
    parser.add_argument("--licence", default="Apache-2.0")
    parser.add_argument("--version", default="1")


def add_temperature(parser: argparse.ArgumentParser) -> None:
    """What makes scores chances."""
    parser.add_argument("--temperature", type=float, default=1.0, help="log-odds are divided by this")


def add_held_back(parser: argparse.ArgumentParser) -> None:
    """Which part of a set is written, and where."""
    add_imagery(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--learnt", action="store_true", help="those that are trained on instead")


def about(options: argparse.Namespace) -> dict[str, str]:
    """What an exported file says about itself."""
    return {"description": options.description, "license": options.licence, "version": options.version}


def learning(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that `add_learning` asks for, for `Settings` and its kin.

    Raises `TrainingError` for a size that the network's coarsest stride does not divide.
    """
    for size in options.sizes:
        if size <= 0 or size % MULTIPLE_PX:
            near = max(MULTIPLE_PX, round(size / MULTIPLE_PX) * MULTIPLE_PX)
            raise TrainingError(f"--sizes {size}: must be a multiple of {MULTIPLE_PX} px, such as {near}")
    return {
        "steps": options.steps,
        "batch": options.batch,
        "rate": options.rate,
        "seed": options.seed,
        "sizes_px": tuple(options.sizes),
        "cool_down": options.cool_down,
    }


def alarms_of(options: argparse.Namespace) -> list[FalseAlarm]:
    """What `--alarms` lists."""
    return [] if options.alarms is None else read_alarms(options.alarms)


def take_up(run: Run, options: argparse.Namespace) -> None:
    """Begin from another run where one is named, go on where the folder's checkpoint is, and train."""
    if options.from_run is not None:
        run.begin_from(options.from_run)
    run.resume()
    train(run, options.steps)


def train(run: Run, steps: int) -> None:
    """Train to the last step, or until Ctrl-C or an order to end; progress on standard error."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))

    def report(row: dict[str, Any]) -> None:
        shown = " ".join(f"{part} {row[part]:.3f}" for part in run.PARTS)
        sys.stderr.write(f"step {row['step']}/{steps} {shown} {row['cpu_s']:.0f} s of processor\n")
        sys.stderr.flush()

    run.train(report, lambda: bool(stopped))


def print_json(value: Any) -> None:
    """A result on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
