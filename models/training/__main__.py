"""`python -m models.training`: train, score, mine, export. Progress on standard error, results on output."""

import argparse
import sys
from collections.abc import Sequence

import cv2
import torch

from models.training.commands import eight, judging, parcels, plants, vessels
from models.training.errors import TrainingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 with a sentence when it cannot be."""
    options = command_line().parse_args(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    torch.manual_seed(1)
    try:
        options.command(options)
    except TrainingError as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    return 0


def command_line() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(required=True)
    for room in (vessels, judging, eight, parcels, plants):
        room.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
