"""`make accuracy`: how right skywarden is, on real data and on truth; writes docs/accuracy.md.

Usage: python -m sim.accuracy [--only field,flight] [--data FOLDER] [--out docs/accuracy.md]
"""

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from sim.accuracy.section import Section
from skywarden.progress import progress_bar

PARTS = (
    "geometry",
    "field",
    "flight",
    "scenario",
    "containment",
    "timing",
    "selfcal",
    "plots",
    "tracks",
    "standing",
    "fusion",
    "integrity",
    "detectors",
    "parcels",
    "tiles",
    "ais",
    "campaign",
)
"""Modules of this package, in the order of the page; each has `section(data, scratch) -> Section`."""

INTRODUCTION = (
    "# Accuracy\n\n"
    "Made by `make accuracy` from real recordings and from scenarios with truth. CEP is the median miss, "
    "CE90 the 90 % quantile, both horizontal, in metres; an interval is a 95 % bootstrap.\n"
)


def _mark(name: str) -> str:
    return f"<!-- part: {name} -->"


def kept_parts(page: str) -> dict[str, str]:
    """The parts of an earlier page by name, marks left out."""
    found = {}
    for piece in page.split("<!-- part: ")[1:]:
        name, _, text = piece.partition(" -->")
        found[name] = text.strip()
    return found


def made_parts(data: Path, only: set[str]) -> dict[str, str]:
    """The parts of `only`, made now, by name."""
    texts = {}
    chosen = [name for name in PARTS if name in only]
    with progress_bar("accuracy") as report:
        for number, name in enumerate(chosen):
            report(number, len(chosen), name)
            with tempfile.TemporaryDirectory() as scratch:
                made: Section = importlib.import_module(f"sim.accuracy.{name}").section(data, Path(scratch))
            texts[name] = f"## {made.title}\n\n{made.text.strip()}"
    return texts


def page(texts: dict[str, str]) -> str:
    """The text of docs/accuracy.md from its parts."""
    parts = [f"{_mark(name)}\n{texts[name]}\n" for name in PARTS if name in texts]
    return "\n".join([INTRODUCTION, *parts])


def main() -> int:
    """Compute and write the page."""
    parser = argparse.ArgumentParser(description="Write docs/accuracy.md from real data and scenario truth.")
    default = os.environ.get("SKYWARDEN_REAL_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of real recordings")
    parser.add_argument(
        "--only", default=",".join(PARTS), help="parts to make anew, by comma; others are kept"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/accuracy.md"))
    given = parser.parse_args()
    only = set(given.only.split(","))
    if not given.data.is_dir():
        parser.error(f"no real recordings at {given.data}; set SKYWARDEN_REAL_DATA or --data")
    if only - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(only - set(PARTS)))}; there are {', '.join(PARTS)}")
    made = made_parts(given.data, only)
    # Read only now: another part may have been made beside this one meanwhile.
    earlier = kept_parts(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    given.out.write_text(page(earlier | made), encoding="utf-8")
    sys.stderr.write(f"{given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
