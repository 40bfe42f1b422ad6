"""`skywarden sim campaign`: many scenarios by many seeds, scored and summed up."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from sim.range.campaign.engines import EngineName
from skywarden.progress import progress_bar

app = App(
    name="campaign",
    help="""Fly many scenarios with many seeds, score each watch, and say how well skywarden does.

For example:

    skywarden sim campaign --seeds 20 --out campaign
    skywarden sim campaign --scenarios harbour,fishing-fleet --seeds 5 --frames-for 1 --out small
    skywarden sim campaign --seeds 200 --engine ray --address ray://head:10001 --out large
""",
    default_parameter=Parameter(negative=()),
)


@app.default
def campaign(
    *,
    out: Path,
    scenarios: str = "",
    seeds: int = 20,
    first_seed: int = 1,
    seconds: float | None = None,
    jobs: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    frames_for: int = 0,
    no_faults: bool = False,
    publish: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", help="Print the summary as one JSON object.")] = False,
    quiet: Annotated[bool, Parameter(alias="-q", help="No progress bar.")] = False,
) -> int:
    """Run a campaign, or go on with one: what its folder holds is not run again.

    Exit code 1 says that some job failed; the others count all the same.

    Parameters
    ----------
    out
        Folder of the campaign: `campaign.sqlite` with every score, `summary.json`.
    scenarios
        Names of scenarios or paths of TOML files, by comma; all that come with skywarden when not given.
    seeds
        How many seeds for each scenario.
    first_seed
        The first of them.
    seconds
        Cut every scenario to so many seconds.
    jobs
        Processes; one for each processor when not given.
    engine
        What runs the jobs: processes of this machine, or a Ray cluster.
    address
        Address of a Ray cluster; without it one is started on this machine.
    frames_for
        Fly the first so many seeds a second time with pictures and a real detector (slow).
    no_faults
        Leave out the faults that scenarios order.
    publish
        Folder of documentation: `campaign.json` and the part of `accuracy.md` there are made anew.
    """
    from sim.range.campaign.campaign import planned, run_campaign
    from sim.range.campaign.engines import engine_of
    from sim.range.campaign.summary import table

    plan = planned(
        [name.strip() for name in scenarios.split(",") if name.strip()],
        seeds,
        first_seed=first_seed,
        seconds=seconds,
        frames_for=frames_for,
        with_faults=not no_faults,
    )
    runner = engine_of(engine, jobs or os.cpu_count() or 1, address)
    with progress_bar("campaign", is_quiet=quiet) as report:
        summary = run_campaign(plan, out, runner, report)
    if publish is not None:
        from sim.range.campaign.publish import publish_summary

        day = datetime.now(tz=UTC).date().isoformat()
        publish_summary(publish, summary, day=day, seeds=seeds, first_seed=first_seed, seconds=seconds)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")
    else:
        for with_frames in (False, True):
            rows = [row for row in summary.rows if row.with_frames is with_frames]
            if rows:
                title = "With pictures" if with_frames else "Looks drawn from truth"
                sys.stdout.write("\n".join([f"{title}:", "", *table(rows), "", ""]))
        sys.stdout.write(f"{summary.jobs} jobs, {summary.cpu_s:.0f} CPU seconds\n")
        for sentence in summary.errors:
            sys.stderr.write(f"{sentence}\n")
    return 1 if summary.errors else 0


@app.command
def gate(
    *,
    table: Path = Path("tests/golden/range.json"),
    update: bool = False,
    reason: str = "",
    jobs: int = 1,
) -> int:
    """Hold a small campaign of fixed seeds against the committed table; exit code 1 when it is worse.

    For example:

        skywarden sim campaign gate
        skywarden sim campaign gate --update --reason "Ellipses are narrower since lens errors are known"

    Parameters
    ----------
    table
        The committed table.
    update
        Renew the table; the reason is kept in it.
    reason
        Why it is right that the figures are others now.
    jobs
        Processes.
    """
    from sim.range.campaign.engines import LocalEngine
    from sim.range.campaign.gate import gate_rows, judged, read_table, renewed, write_table

    if update:
        renewed(None, (), reason)  # a missing reason is told before a minute of work
    now = gate_rows(LocalEngine(jobs))
    if update:
        write_table(table, renewed(read_table(table) if table.exists() else None, now, reason))
        sys.stdout.write(f"{table}\n")
        return 0
    told = judged(read_table(table), now)
    sys.stdout.write(f"{told or 'nothing is worse than the table'}\n")
    return 1 if told else 0
