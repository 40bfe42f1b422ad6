"""Campaigns resume, sum up, and hold the committed table; the gate tells what became worse."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from sim.range.campaign.campaign import SUMMARY_JSON, kept_summary, planned, run_campaign
from sim.range.campaign.engines import LocalEngine, RayEngine, engine_of
from sim.range.campaign.gate import (
    JOBS,
    MARGINS,
    GateRow,
    GateTable,
    gate_rows,
    judged,
    read_table,
    renewed,
    worse,
    write_table,
)
from sim.range.campaign.job import Done, Job, run_encoded, run_job
from sim.range.campaign.summary import Summary, summed_up, table
from sim.range.campaign.table import JobTable
from skywarden.cli import run
from skywarden.errors import FlightError, StoreError, UsageError
from tests.sim.range_yard import YARD

pytestmark = pytest.mark.xdist_group("range")
RANGE_JSON = Path(__file__).parent.parent / "golden" / "range.json"
SOUND: dict[str, float] = {
    "recall": 0.9,
    "position_m": 4.0,
    "p90_m": 9.0,
    "inside_90": 0.92,
    "latency_s": 2.0,
    "completeness": 0.9,
}


class FakeEngine:
    """Answers at once, and is pulled from the wall after `most` jobs."""

    def __init__(self, most: int = 1_000) -> None:
        self.asked: list[Job] = []
        self._most = most

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        """One by one."""
        for job in jobs:
            if len(self.asked) >= self._most:
                raise KeyboardInterrupt
            self.asked.append(job)
            yield Done(job=job, score=None, error=None, cpu_s=1.0)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenario file."""
    path = tmp_path_factory.mktemp("yard") / "yard.toml"
    path.write_text(YARD)
    return path


@pytest.fixture(scope="module")
def done(yard: Path) -> Done:
    """A real job of five seconds."""
    return run_job(Job(scenario=str(yard), seed=3, seconds=5.0))


def test_a_killed_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    jobs = planned(("harbour", "empty-sea"), 3)
    assert [job.seed for job in jobs] == [1, 1, 2, 2, 3, 3], "a seed of every scenario before the next"
    first, second = FakeEngine(most=4), FakeEngine()
    with pytest.raises(KeyboardInterrupt):
        run_campaign(jobs, tmp_path, first)
    assert kept_summary(tmp_path).jobs == 4
    told: list[tuple[int, int]] = []
    summary = run_campaign(jobs, tmp_path, second, lambda count, total, text: told.append((count, total)))
    assert second.asked == jobs[4:]
    assert summary.jobs == 6
    assert told[0] == (4, 6)
    assert told[-1] == (6, 6)
    assert msgspec.json.decode((tmp_path / SUMMARY_JSON).read_bytes(), type=Summary) == summary


def test_what_failed_is_tried_again_and_what_changed_is_flown_anew(tmp_path: Path) -> None:
    path = tmp_path / "yard.toml"
    path.write_text(YARD)
    jobs = planned((str(path),), 2)
    with closing(JobTable(tmp_path / "out")) as kept:
        kept.plan(jobs)
        kept.finish(Done(job=jobs[0], score=None, error="the disk was full", cpu_s=0.1))
        kept.finish(Done(job=jobs[1], score=None, error=None, cpu_s=0.1))
        assert kept.waiting() == [jobs[0]]
        path.write_text(YARD.replace("wind_mps = 4.0", "wind_mps = 9.0"))
        kept.plan(jobs)
        assert kept.waiting() == jobs
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "campaign.sqlite").write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(StoreError):
        JobTable(tmp_path / "other")


def test_a_job_scores_what_it_flew(done: Done, yard: Path) -> None:
    assert done.error is None
    assert done.score is not None
    assert done.score.seed == 3
    assert done.score.platforms == 2
    assert done.score.finding.recall is not None
    rows = summed_up([done]).rows
    assert [row.scenario for row in rows] == [str(yard)]
    assert rows[0].figures["recall"].median == pytest.approx(done.score.finding.recall, abs=1e-5)
    assert len(table(rows)) == 3
    assert "found" in table(rows)[0]


def test_a_job_that_cannot_be_done_is_told_and_ends_nothing() -> None:
    answer = run_encoded(msgspec.json.encode(Job(scenario="atlantis", seed=1)))
    told = msgspec.json.decode(answer, type=Done)
    assert told.score is None
    assert told.error is not None
    assert "atlantis" in told.error
    assert summed_up([told]).errors == (f"atlantis seed 1: {told.error}",)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="seeds"):
        planned((), 0)
    with pytest.raises(UsageError, match="pictures"):
        planned((), 2, frames_for=3)
    with pytest.raises(UsageError, match="Ray"):
        engine_of("local", 1, "ray://head:10001")
    assert len(planned((), 2, frames_for=1)) == 3 * len({job.scenario for job in planned((), 1)})


@pytest.mark.slow
def test_processes_and_the_command_give_the_same_flights(done: Done, yard: Path, tmp_path: Path) -> None:
    words = ["sim", "campaign", "--scenarios", str(yard), "--seeds", "2", "--first-seed", "3"]
    assert run([*words, "--seconds", "5", "--jobs", "2", "--out", str(tmp_path), "-q"]) == 0
    with closing(JobTable(tmp_path)) as kept:
        found = {one.job.seed: one.sha256 for one in kept.done()}
    assert found[3] == done.sha256
    assert found[4] != done.sha256


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_ray_cluster_gives_the_same_flights(done: Done, yard: Path) -> None:
    ray = pytest.importorskip("ray")
    jobs = [Job(scenario=str(yard), seed=seed, seconds=5.0) for seed in (3, 4)]
    try:
        found = {one.job.seed: one for one in RayEngine(1).run(jobs)}
    finally:
        ray.shutdown()
    assert {one.error for one in found.values()} == {None}
    assert found[3].sha256 == done.sha256
    assert not ray.is_initialized()


def test_the_gate_says_what_became_worse_and_lets_the_better_pass() -> None:
    assert {margin.key for margin in MARGINS} == set(SOUND)
    better = {key: value * (0.5 if key.endswith(("_m", "_s")) else 1.05) for key, value in SOUND.items()}
    assert worse(SOUND, better) == []
    assert worse(SOUND, SOUND) == []
    for margin in MARGINS:
        was = SOUND[margin.key]
        room = abs(margin.limit(was) - was)
        sign = 1.0 if margin.is_less_better else -1.0
        assert worse(SOUND, SOUND | {margin.key: was + sign * 0.9 * room}) == []
        (line,) = worse(SOUND, SOUND | {margin.key: was + sign * 1.1 * room})
        assert line.startswith(f"{margin.title}: {was:g} -> ")
        (line,) = worse(SOUND, SOUND | {margin.key: None})
        assert "nothing to measure" in line


def test_the_table_is_renewed_only_with_a_reason(tmp_path: Path) -> None:
    row = GateRow(job=Job(scenario="harbour", seed=1, seconds=9.0), figures={**SOUND})
    with pytest.raises(UsageError, match="--reason"):
        renewed(None, [row], " because ")
    first = renewed(None, [row], "The first table of all")
    second = renewed(first, [row], "Another tracker, see its decision")
    assert second.reasons == ("Another tracker, see its decision", "The first table of all")
    path = tmp_path / "range.json"
    write_table(path, second)
    assert read_table(path) == second
    path.write_text("[]")
    with pytest.raises(FlightError, match="--update"):
        read_table(path)
    assert run(["sim", "campaign", "gate", "--update", "--table", str(path)]) == 2
    stranger = GateRow(job=Job(scenario="harbour", seed=2, seconds=9.0), figures={**SOUND})
    assert "not in the table" in judged(second, [stranger])
    worse_row = GateRow(job=row.job, figures={**SOUND, "recall": 0.5})
    assert "recall: 0.9 -> 0.5" in judged(second, [worse_row])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_range_is_as_good_as_its_committed_table() -> None:
    kept = read_table(RANGE_JSON)
    assert [row.job for row in kept.rows] == list(JOBS)
    told = judged(GateTable(rows=kept.rows, reasons=kept.reasons), gate_rows(LocalEngine(1)))
    assert not told, f"\n{told}\nIf that is right: skywarden sim campaign gate --update --reason '...'"


def test_the_summary_is_printed_as_one_object(
    yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sim", "campaign", "--scenarios", str(yard), "--seeds", "1", "--seconds", "2"]
    assert run([*words, "--jobs", "1", "--out", str(tmp_path), "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["jobs"] == 1
    assert printed["errors"] == []
