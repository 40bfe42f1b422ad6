"""`skywarden sim score`: a run of a scenario through the whole chain, judged against its truth."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import FlightError, UsageError

score_app = App(name="score", default_parameter=Parameter(negative=()))
AsJson = Annotated[bool, Parameter(name="--json", help="Print the result as one JSON object.")]


@score_app.default
def score(
    run: Path,
    *,
    report: Path | None = None,
    model: str = "anomaly",
    no_ais: bool = False,
    link_delay_s: float = 0.5,
    json: AsJson = False,
) -> int:
    """Watch a run of a scenario with the real edge and station, and judge the watch against truth.

    Detection, tracks, places and their ellipses, speed and course, areas, verdicts of AIS, alerts, bytes,
    processor time, and whether each fault that was ordered was noticed in time.

    For example:

        skywarden sim scenario fishing-fleet --seed 7 --no-frames --out run
        skywarden sim score run
        skywarden sim score run --report score.html --json

    Parameters
    ----------
    run
        Folder that `skywarden sim scenario NAME --out` made.
    report
        HTML page to write: map, ellipses, alerts, faults. It needs nothing outside itself.
    model
        Detector of the zoo, or folder of one, for runs with frames.
    no_ais
        The station hears no AIS.
    link_delay_s
        From frame to station, where no fault makes it longer.
    """
    from sim.analyze import AnalyzeOptions
    from sim.range.score.score import judged
    from sim.range.score.truth import read_truth
    from sim.range.watch import WatchOptions, receiver_of, watch_run

    if report is not None and (report.is_dir() or not report.absolute().parent.is_dir()):
        raise UsageError(f"--report {report}: name a file in a folder that is there")
    if not 0.0 <= link_delay_s <= 3_600.0:
        raise UsageError(f"--link-delay-s {link_delay_s:g}: goes from 0 to 3600")
    truth = read_truth(run)
    options = WatchOptions(
        analyze=AnalyzeOptions(model=model),
        link_delay_s=link_delay_s,
        with_ais=not no_ais,
        receiver=receiver_of(truth.scenario),
    )
    watched = watch_run(run, options)
    found = judged(truth, watched)
    if report is not None:
        from sim.range.report.page import report_page

        _write(report, report_page(found, truth, watched))
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return 0
    from rich.console import Console

    from sim.range.report.table import fault_table, score_table

    console = Console(file=sys.stdout)
    console.print(score_table(found))
    faults = fault_table(found)
    if faults is not None:
        console.print(faults)
    if report is not None:
        sys.stdout.write(f"wrote {report}\n")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error
