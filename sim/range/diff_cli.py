"""`skywarden sim diff`: what another model would change, before it is released."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import UsageError

app = App(name="diff", default_parameter=Parameter(negative=()))


@app.default
def diff(
    *flights: Path,
    model: list[str],
    out: Path | None = None,
    threads: int = 1,
    sea: bool = False,
    json: Annotated[bool, Parameter(name="--json", help="Print the result as one JSON object.")] = False,
) -> int:
    """List contacts that model B gains, loses or moves against model A, over recorded flights.

    For example:

        skywarden sim diff flight-1 flight-2 --model vessel-nadir --model ./candidate --out diff.html
        skywarden sim diff flight --model vessel-nadir --model vessel-oblique --json

    Parameters
    ----------
    flights
        Flight folders with pictures.
    model
        Twice: the model in use, then the one that would follow it; names of the zoo, or folders.
    out
        Page with the pictures side by side.
    threads
        Processor threads for inference.
    sea
        Rays meet the sea surface.
    """
    from sim.analyze import AnalyzeOptions
    from sim.range.diff import KINDS, diff_models
    from sim.range.diff_page import diff_page
    from skywarden.geometry.terrain import SeaSurface

    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out {out}: name a file in a folder that is there")
    if len(model) != 2:
        raise UsageError(
            f"--model was given {len(model)} times; give it twice: the one in use, then the next"
        )
    model_a, model_b = model
    options = AnalyzeOptions(threads=threads, surface=SeaSurface() if sea else None)
    found = diff_models(flights, model_a, model_b, options)
    if out is not None:
        out.write_text(diff_page(found), encoding="utf-8")
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return 0
    counts = ", ".join(f"{len(found.of(kind))} {kind}" for kind in KINDS)
    sys.stdout.write(
        f"{found.contacts_a} contacts with {model_a}, {found.contacts_b} with {model_b}: "
        f"{found.same} the same, {counts}\n"
    )
    for change in found.changes:
        side = change.after or change.before
        assert side is not None
        by = "" if change.by_m is None else f" by {change.by_m:.1f} m"
        sys.stdout.write(f"  {change.kind:<6} {side.label} {side.contact_id}, {side.looks} looks{by}\n")
    return 0
