"""The gate: a small campaign of fixed seeds held against a committed table, figure by figure with margins."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sim.range.campaign.engines import Engine
from sim.range.campaign.job import Done, Job
from sim.range.campaign.summary import FIGURES
from sim.range.score.score import Score
from skywarden.errors import FlightError, UsageError

JOBS = (
    Job(scenario="fishing-fleet", seed=11, seconds=20.0, with_faults=False),
    Job(scenario="harbour", seed=11, seconds=24.0, with_faults=False),
    Job(scenario="mother-ship", seed=11, seconds=40.0, with_faults=False),
)
MIN_REASON = 10


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse a figure may become: by so much, or by so large a share of it, whichever is more."""

    key: str
    title: str
    is_less_better: bool
    by: float
    share: float = 0.0

    def limit(self, before: float) -> float:
        """The worst that still passes."""
        room = max(self.by, self.share * abs(before))
        return before + room if self.is_less_better else before - room


MARGINS = (
    Margin(key="recall", title="recall", is_less_better=False, by=0.03),
    Margin(key="position_m", title="median miss, m", is_less_better=True, by=0.3, share=0.15),
    Margin(key="p90_m", title="90 % miss, m", is_less_better=True, by=0.6, share=0.2),
    Margin(key="inside_90", title="share in 90 % ellipse", is_less_better=False, by=0.05),
    Margin(key="latency_s", title="alert latency, s", is_less_better=True, by=1.5, share=0.1),
    Margin(key="completeness", title="completeness", is_less_better=False, by=0.04),
)


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one job gave; a figure that does not apply is `None`."""

    job: Job
    figures: dict[str, float | None]


class GateTable(msgspec.Struct, frozen=True, kw_only=True):
    """The committed table, and the reasons for which it was renewed, newest first."""

    rows: tuple[GateRow, ...]
    reasons: tuple[str, ...]


def gate_rows(engine: Engine, jobs: Sequence[Job] = JOBS) -> tuple[GateRow, ...]:
    """Run the jobs; raises `FlightError` with the sentence of the first that failed."""
    found = sorted(engine.run(jobs), key=lambda done: jobs.index(done.job))
    return tuple(_row(done) for done in found)


def figures_of(score: Score) -> dict[str, float | None]:
    """The figures of a score that the gate holds, by key."""
    readers = {figure.key: figure.read for figure in FIGURES}
    return {margin.key: readers[margin.key](score) for margin in MARGINS}


def worse(before: Mapping[str, float | None], now: Mapping[str, float | None]) -> list[str]:
    """A line for each figure that became worse beyond its margin, or that is gone."""
    found = []
    for margin in MARGINS:
        was, is_now = before.get(margin.key), now.get(margin.key)
        if was is None:
            continue
        if is_now is None:
            found.append(f"{margin.title}: {was:g} -> nothing to measure any more")
            continue
        limit = margin.limit(was)
        if is_now > limit if margin.is_less_better else is_now < limit:
            found.append(f"{margin.title}: {was:g} -> {is_now:g} ({is_now - was:+g}; the limit is {limit:g})")
    return found


def judged(table: GateTable, now: Sequence[GateRow]) -> str:
    """Empty when nothing is worse; else a readable account of what is, job by job."""
    kept = {row.job: row.figures for row in table.rows}
    lines = []
    for row in now:
        if row.job not in kept:
            lines.append(f"{row.job.name}: is not in the table; renew it with --update and a reason")
            continue
        found = worse(kept[row.job], row.figures)
        if found:
            lines += [f"{row.job.name}, {row.job.seconds:g} s:", *(f"  {line}" for line in found)]
    return "\n".join(lines)


def renewed(before: GateTable | None, now: Sequence[GateRow], reason: str) -> GateTable:
    """The table with new figures and the reason beside them; raises `UsageError` when the reason is none."""
    words = " ".join(reason.split())
    if len(words) < MIN_REASON:
        raise UsageError(
            f"--reason {reason!r}: say in a sentence why figures may change ({MIN_REASON} letters or more)"
        )
    return GateTable(rows=tuple(now), reasons=(words, *(() if before is None else before.reasons)))


def read_table(path: Path) -> GateTable:
    """The committed table; raises `FlightError` when it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateTable)
    except (OSError, msgspec.DecodeError) as error:
        raise FlightError(f"{path}: no table of the range ({error}); make it with --update") from error


def write_table(path: Path, table: GateTable) -> None:
    """Write the table; raises `FlightError` when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error


def _row(done: Done) -> GateRow:
    if done.score is None:
        raise FlightError(f"{done.job.name}: {done.error}")
    return GateRow(job=done.job, figures=figures_of(done.score))
