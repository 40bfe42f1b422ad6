"""One job of a campaign: fly a scenario with a seed in a folder of its own, score it, keep the score."""

import os
import tempfile
import time
from pathlib import Path

import msgspec

from sim.range.score.score import Score, score_run
from sim.scenario.description import load_scenario
from sim.scenario.flown.runs import RunOptions, fly
from skywarden.errors import SkywardenError

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Each process has a processor to itself; threads of a library would only get in each other's way."""


class Job(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What is flown; `scenario` is a built-in name or the path of a TOML file. `seconds` `None`: its own."""

    seed: int
    scenario: str
    with_frames: bool = False
    seconds: float | None = None
    with_faults: bool = True

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.scenario} seed {self.seed}{' with pictures' if self.with_frames else ''}"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job: a score, or a sentence why there is none; `cpu_s` is the processor time of both."""

    job: Job
    score: Score | None
    error: str | None
    cpu_s: float
    sha256: str | None = None


def run_job(job: Job, scratch: Path | None = None) -> Done:
    """Fly and score; what goes wrong in the house's own words is told in `error`, everything else raises."""
    began = time.process_time()
    score, error, digest = None, None, None
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-campaign-", dir=scratch) as folder:
            options = RunOptions(
                seconds=job.seconds, with_frames=job.with_frames, with_faults=job.with_faults, jobs=1
            )
            run = Path(folder) / "run"
            digest = fly(load_scenario(job.scenario, seed=job.seed), run, options).sha256
            score = score_run(run)
    except SkywardenError as failure:
        error = str(failure)
    return Done(job=job, score=score, error=error, cpu_s=round(time.process_time() - began, 3), sha256=digest)


def run_encoded(data: bytes) -> bytes:
    """`run_job` for a worker elsewhere: a job as JSON comes in, what came of it goes out as JSON."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    import cv2

    cv2.setNumThreads(1)
    job = msgspec.json.decode(data, type=Job)
    try:
        done = run_job(job)
    except Exception as error:  # noqa: BLE001 - the outermost loop: one bad job is told, others go on
        done = Done(job=job, score=None, error=f"{type(error).__name__}: {error}", cpu_s=0.0)
    return msgspec.json.encode(done)
