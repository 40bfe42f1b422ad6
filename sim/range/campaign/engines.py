"""What runs the jobs of a campaign: processes of this machine, or a Ray cluster."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, Protocol

import msgspec

from sim.range.campaign.job import ONE_THREAD, Done, Job, run_encoded
from sim.range.campaign.orphans import end_with_parent
from skywarden.errors import PeerUnavailableError, UsageError

EngineName = Literal["local", "ray"]
AHEAD = 2
"""Jobs that are handed out for each process beyond those that run: a kill loses few, nobody waits."""


class Engine(Protocol):
    """The seam for what runs jobs."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        """What came of each job, as it is done."""
        ...


class LocalEngine:
    """Processes of this machine; one job at a time in each."""

    def __init__(self, processes: int) -> None:
        self._processes = max(1, processes)

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        """What came of each job, as it is done; raises `PeerUnavailableError` when a process dies."""
        if self._processes == 1 or len(jobs) < 2:
            for job in jobs:
                yield _decoded(run_encoded(msgspec.json.encode(job)))
            return
        for name in ONE_THREAD:  # before a process begins: a library counts its threads when it is loaded
            os.environ.setdefault(name, "1")
        spawn = multiprocessing.get_context("spawn")
        count = min(self._processes, len(jobs))
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=end_with_parent) as pool:
            try:
                yield from self._through(pool, jobs)
            except BrokenProcessPool as error:
                raise PeerUnavailableError(
                    "a process of the campaign was killed (memory?); the same command goes on where it was"
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _through(self, pool: ProcessPoolExecutor, jobs: Sequence[Job]) -> Iterator[Done]:
        waiting = list(jobs)
        running: set[Future[bytes]] = set()
        while waiting or running:
            while waiting and len(running) < self._processes + AHEAD:
                running.add(pool.submit(run_encoded, msgspec.json.encode(waiting.pop(0))))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for one in finished:
                yield _decoded(one.result())


class RayEngine:
    """A Ray cluster: the one at `address`, or one that is started on this machine and stopped afterwards.

    One that is started here listens on this machine alone, has no dashboard, sends no usage statistics and
    keeps its store of objects below `store_bytes`.
    """

    def __init__(self, processes: int, *, address: str | None = None, store_bytes: int = 80_000_000) -> None:
        self._processes, self._address, self._store_bytes = max(1, processes), address, store_bytes

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        """What came of each job; raises `UsageError` without Ray, `PeerUnavailableError` without cluster."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise UsageError("--engine ray needs Ray: pip install 'skywarden[ray]'") from error
        started_here = not ray.is_initialized()
        if started_here:
            self._start(ray)
        try:
            yield from self._through(ray, jobs)
        except ray.exceptions.RayError as error:
            raise PeerUnavailableError(f"the Ray cluster failed: {_first_line(error)}") from error
        finally:
            if started_here:
                ray.shutdown()

    def _start(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._address is not None:
                ray.init(address=self._address, **quiet)
                return
            ray.init(
                num_cpus=self._processes,
                include_dashboard=False,
                object_store_memory=self._store_bytes,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = self._address or "this machine"
            raise PeerUnavailableError(f"no Ray cluster at {where}: {_first_line(error)}") from error
        except Exception as error:  # what Ray raises when its own node is not up within its 30 s
            if type(error) is not Exception:
                raise
            raise PeerUnavailableError(
                f"Ray did not start on this machine: {_first_line(error)} What is done is kept: the same "
                "command goes on where it was, when the machine is less busy, or with --engine local"
            ) from error

    def _through(self, ray: Any, jobs: Sequence[Job]) -> Iterator[Done]:
        task = ray.remote(num_cpus=1, max_retries=2)(run_encoded)
        processes = max(self._processes, int(ray.cluster_resources().get("CPU", 1)))
        waiting = list(jobs)
        running: list[Any] = []
        while waiting or running:
            while waiting and len(running) < processes + AHEAD:
                running.append(task.remote(msgspec.json.encode(waiting.pop(0))))
            finished, running = ray.wait(running, num_returns=1)
            for one in finished:
                yield _decoded(ray.get(one))


def engine_of(name: EngineName, processes: int, address: str | None = None) -> Engine:
    """The engine that goes by a name; raises `UsageError` for an address that it cannot use."""
    if name == "ray":
        return RayEngine(processes, address=address)
    if address is not None:
        raise UsageError("--address is that of a Ray cluster; give --engine ray with it")
    return LocalEngine(processes)


def _decoded(data: bytes) -> Done:
    return msgspec.json.decode(data, type=Done)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
