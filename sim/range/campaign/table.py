"""The job table of a campaign: SQLite, one row a job, so that a killed campaign goes on where it was."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ground.store.database import open_database, transaction
from ground.store.schema import as_store_errors
from sim.range.campaign.job import Done, Job
from sim.scenario.description import load_scenario
from skywarden.errors import StoreError

CAMPAIGN_DB = "campaign.sqlite"
_APPLICATION_ID = 0x536B4361
_MIGRATIONS = (
    """CREATE TABLE job (
        job TEXT PRIMARY KEY,
        scenario_sha256 TEXT NOT NULL,
        number INTEGER NOT NULL,
        done TEXT
    ) STRICT;""",
)


class JobTable:
    """Jobs in the order in which they are to be run, and what came of those that are done.

    A job is known by all that it says and by the scenario's content: a scenario that was changed is flown
    anew. Only the process that hands out jobs writes.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make `campaign.sqlite` in `folder`; raises `StoreError` when it cannot be used."""
        self.path = folder / CAMPAIGN_DB
        self._db = open_database(self.path, _APPLICATION_ID, _MIGRATIONS, synchronous="NORMAL")

    def plan(self, jobs: Iterable[Job]) -> None:
        """What is to be run from now on; results of jobs that are asked for again are kept."""
        digests: dict[str, str] = {}
        with as_store_errors(self.path), transaction(self._db):
            self._db.execute("UPDATE job SET number = -1")
            for number, job in enumerate(jobs):
                if job.scenario not in digests:
                    digests[job.scenario] = _digest(job.scenario)
                self._db.execute(
                    "INSERT INTO job (job, scenario_sha256, number) VALUES (?1, ?2, ?3) "
                    "ON CONFLICT (job) DO UPDATE SET number = ?3, "
                    "done = CASE WHEN scenario_sha256 = ?2 THEN done END, scenario_sha256 = ?2",
                    (_key(job), digests[job.scenario], number),
                )
            self._db.execute("DELETE FROM job WHERE number = -1 AND done IS NULL")

    def waiting(self) -> list[Job]:
        """Planned and not done; what failed is tried again."""
        with as_store_errors(self.path):
            rows = self._db.execute("SELECT job, done FROM job WHERE number >= 0 ORDER BY number")
            return [
                msgspec.json.decode(job, type=Job)
                for job, done in rows
                if done is None or _read(done).error is not None
            ]

    def finish(self, done: Done) -> None:
        """Keep what came of a job."""
        with as_store_errors(self.path), transaction(self._db):
            text = msgspec.json.encode(done).decode()
            self._db.execute("UPDATE job SET done = ? WHERE job = ?", (text, _key(done.job)))

    def done(self) -> list[Done]:
        """What came of the planned jobs so far, in their order."""
        with as_store_errors(self.path):
            rows = self._db.execute(
                "SELECT done FROM job WHERE number >= 0 AND done IS NOT NULL ORDER BY number"
            )
            return [_read(text) for (text,) in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close(True)


def _key(job: Job) -> str:
    return msgspec.json.encode(job).decode()


def _digest(scenario: str) -> str:
    return hashlib.sha256(msgspec.json.encode(load_scenario(scenario))).hexdigest()


def _read(text: str) -> Done:
    try:
        return msgspec.json.decode(text, type=Done)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"a result in {CAMPAIGN_DB} cannot be read ({error}): it is of another version; "
            "begin in an empty folder"
        ) from error
