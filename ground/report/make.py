"""A report from a station's files, running or not."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ground.ais.config import AisConfig
from ground.ais.store import AisStore, ais_path
from ground.ais.verdict import Verdict
from ground.ais.watch import AisWatch
from ground.alerts.alert import LoggedAlert
from ground.alerts.log import AlertLog
from ground.alerts.start import alerts_path
from ground.exercise.identity import mark_of_folder
from ground.fusion.contact import Contact
from ground.past.notes import NotedFootprint
from ground.past.store import PastStore, past_path
from ground.report.facts import MAX_FOOTPRINTS, ReportFacts, gather
from ground.review.book import ReviewBook
from ground.review.log import read_entries, review_path
from ground.station.places import store_path
from ground.store.reading import SqliteReader
from skywarden.clock import SystemClock
from skywarden.errors import StoreError

MAX_ALERTS = 2_000
OFFLINE_S = 300.0
ONLINE_S = 15.0
"""How long AIS may be asked for one report: from the command line, and of a running station."""


def facts_of_files(
    state_dir: Path, ais: AisConfig, *, since_ns: int, until_ns: int, made_ns: int, with_unreviewed: bool
) -> ReportFacts:
    """What the files of a station tell of a span. Raises `StoreError`."""
    if not store_path(state_dir).is_file():
        raise StoreError(f"{store_path(state_dir)} is not there; name the station's folder with --state")
    with ExitStack() as stack:
        reader = SqliteReader(store_path(state_dir))
        stack.callback(reader.close)
        book = ReviewBook(read_entries(review_path(state_dir)))
        watch = stack.enter_context(_ais(state_dir, ais))

        judge = PatientJudge(watch, OFFLINE_S)
        facts = gather(
            reader,
            book,
            since_ns=since_ns,
            until_ns=until_ns,
            made_ns=made_ns,
            with_unreviewed=with_unreviewed,
            judge=judge,
            alerts=_alerts(state_dir),
            footprints=_footprints(state_dir, since_ns, until_ns),
            is_exercise=mark_of_folder(state_dir).is_exercise,
        )
        return replace(facts, unjudged=judge.left_out)


class PatientJudge:
    """Asks AIS about contacts until `limit_s` seconds went into it; the rest is counted, not asked about."""

    def __init__(self, watch: AisWatch | None, limit_s: float) -> None:
        self._watch, self._left_s = watch, limit_s
        self.left_out = 0

    def __call__(self, contact: Contact, beside: list[Contact]) -> Verdict | None:
        """The verdict; `None` without AIS, and after the time is spent."""
        if self._watch is None:
            return None
        if self._left_s <= 0.0:
            self.left_out += 1
            return None
        began_s = time.monotonic()
        try:
            return self._watch.verdict(contact, beside)
        finally:
            self._left_s -= time.monotonic() - began_s


@contextmanager
def _ais(state_dir: Path, config: AisConfig) -> Iterator[AisWatch | None]:
    """AIS as it was kept; nothing is listened to. `None` where a station never kept any."""
    if not ais_path(state_dir).is_file():
        yield None
        return
    store = AisStore(ais_path(state_dir))
    try:
        yield AisWatch(config, store, SystemClock())
    finally:
        store.close()


def footprints_of(past: PastStore, since_ns: int, until_ns: int) -> list[NotedFootprint]:
    """What cameras saw in a span; one more than a report takes, so that it knows of more."""
    return past.footprints(since_ns, until_ns, MAX_FOOTPRINTS + 1)


def _footprints(state_dir: Path, since_ns: int, until_ns: int) -> list[NotedFootprint]:
    if not past_path(state_dir).is_file():
        return []
    past = PastStore(past_path(state_dir))
    try:
        return footprints_of(past, since_ns, until_ns)
    finally:
        past.close()


def _alerts(state_dir: Path) -> list[LoggedAlert]:
    if not alerts_path(state_dir).is_file():
        return []
    log = AlertLog(alerts_path(state_dir))
    try:
        return log.newest(MAX_ALERTS)[::-1]
    finally:
        log.close()
