"""A campaign from its plan to its summary: what is done is kept, what is not done is run."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from sim.range.campaign.engines import Engine
from sim.range.campaign.job import Job
from sim.range.campaign.summary import Summary, summed_up
from sim.range.campaign.table import JobTable
from sim.scenario.description import builtin_scenarios
from skywarden.errors import FlightError, UsageError

SUMMARY_JSON = "summary.json"
MAX_SEEDS = 10_000
Progress = Callable[[int, int, str], None]


def planned(
    scenarios: Sequence[str],
    seeds: int,
    *,
    first_seed: int = 1,
    seconds: float | None = None,
    frames_for: int = 0,
    with_faults: bool = True,
) -> list[Job]:
    """Every scenario by every seed, seed by seed; the first `frames_for` seeds with pictures besides.

    No scenarios means all that come with skywarden. Raises `UsageError` for a nonsense number.
    """
    if not (1 <= seeds <= MAX_SEEDS and 0 <= frames_for <= seeds and first_seed >= 0):
        raise UsageError(
            f"{seeds} seeds from {first_seed}, {frames_for} of them with pictures: seeds go from 1 to "
            f"{MAX_SEEDS}, and at most all of them have pictures"
        )
    names = list(dict.fromkeys(scenarios)) or list(builtin_scenarios())
    every = range(first_seed, first_seed + seeds)
    return [
        Job(seed=seed, scenario=name, with_frames=drawn, seconds=seconds, with_faults=with_faults)
        for drawn, some in ((False, every), (True, every[:frames_for]))
        for seed in some
        for name in names
    ]


def run_campaign(
    jobs: Sequence[Job], folder: Path, engine: Engine, progress: Progress | None = None
) -> Summary:
    """Run what `folder` does not hold yet, and write its `summary.json`.

    Raises `StoreError` for a folder that cannot be used, and what the engine raises; what was done until
    then is kept.
    """
    with closing(JobTable(folder)) as table:
        table.plan(jobs)
        waiting = table.waiting()
        count = len(jobs) - len(waiting)
        if progress is not None:
            progress(count, len(jobs), "")
        for done in engine.run(waiting):
            table.finish(done)
            count += 1
            if progress is not None:
                progress(count, len(jobs), done.job.name)
        summary = summed_up(table.done())
    _write(folder / SUMMARY_JSON, msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
    return summary


def kept_summary(folder: Path) -> Summary:
    """What is done of the campaign in `folder`, finished or not; raises `StoreError` when it is none."""
    with closing(JobTable(folder)) as table:
        return summed_up(table.done())


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error
