"""Contacts follow what is stored in a thread of their own; whoever takes records in never waits for them."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import ContactChanges
from ground.picture.live import LivePicture
from ground.picture.settler import Settler
from ground.store.sqlite import Settled, SqliteStore
from sim.faults.nodes import NoContacts
from skywarden.errors import StoreError
from tests.ground.scenes import arrival, position, sighting

LIMIT_S = 30.0


class SlowNode(NoContacts):
    """Works on contacts until it is let go."""

    def __init__(self) -> None:
        self.is_busy, self.may_end = threading.Event(), threading.Event()
        self.fed: list[str] = []

    def add(self, sighting: object) -> None:
        self.fed.append(getattr(sighting, "sighting_id", ""))

    def settle(self) -> ContactChanges:
        self.is_busy.set()
        assert self.may_end.wait(LIMIT_S)
        return super().settle()


def _until(is_true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < end_s
        threading.Event().wait(0.01)


@pytest.mark.slow
def test_records_are_taken_in_and_acknowledged_while_contacts_are_worked_out(tmp_path: Path) -> None:
    with ExitStack() as ends:
        node = SlowNode()
        store = SqliteStore(tmp_path / "store.sqlite", node)
        ends.callback(store.close)
        settler = Settler(store, LivePicture(1))
        ends.callback(settler.stop)
        ends.callback(node.may_end.set)
        first = arrival(sighting(number=1, at_s=1.0, place=position()), 1)
        store.ingest([first])
        settler.start()
        settler.note([first.record.platform_id], set())
        assert node.is_busy.wait(LIMIT_S)
        later = arrival(sighting(number=2, at_s=2.0, place=position()), 2)
        assert store.ingest([later]).outcomes == ("stored",)
        platform_id, boot_id = later.record.platform_id, later.record.boot_id
        assert store.standing(platform_id, boot_id, ()).ack.contiguous_seq == 2
        assert settler.behind_s > 0.0
        assert settler.is_alive
        assert len(node.fed) == 1
        node.may_end.set()
        _until(lambda: settler.behind_s == 0.0)
        settler.note(["another"], set())
        _until(lambda: len(node.fed) == 2)


def test_more_sightings_than_are_kept_for_contacts_are_read_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()), max_unfed=3)
    try:
        for number in range(1, 12):
            seen = sighting(number=number, at_s=number, place=position())
            store.ingest([arrival(seen, number)])
        settled = store.settle(1)
        assert sum(one.contact.sighting_count for one in settled.contacts) == 11
    finally:
        store.close()


class FailingStore(SqliteStore):
    """A disk that refuses the first two times."""

    failures = 2

    def settle(self, revision: int) -> Settled:
        if self.failures:
            self.failures -= 1
            raise StoreError("no space left")
        return super().settle(revision)


@pytest.mark.slow
def test_contacts_that_could_not_be_written_are_tried_again(tmp_path: Path) -> None:
    with ExitStack() as ends:
        store = FailingStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
        ends.callback(store.close)
        picture = LivePicture(1)
        settler = Settler(store, picture)
        ends.callback(settler.stop)
        seen = sighting(number=1, at_s=1.0, place=position())
        store.ingest([arrival(seen, 1)])
        settler.start()
        settler.note([seen.sighting_id], set())
        _until(lambda: store.counts().contacts == 1)
        assert store.failures == 0


def test_what_is_noted_last_is_settled_at_the_end(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    try:
        settler = Settler(store, LivePicture(1))
        settler.start()
        seen = sighting(number=1, at_s=1.0, place=position())
        store.ingest([arrival(seen, 1)])
        settler.note([seen.sighting_id], set())
        settler.stop()
        _until(lambda: store.counts().contacts == 1)
    finally:
        store.close()
