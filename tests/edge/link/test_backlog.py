"""While the disk refuses, records wait in order and within a bound; then they all go."""

from collections.abc import Sequence

import pytest

from edge.link.backlog import Backlog, Entry
from skywarden.errors import StoreError, WireError


class Disk:
    """An `Appender` that refuses while it is full."""

    def __init__(self) -> None:
        self.is_full = False
        self.attempts = 0
        self.kept: list[Entry] = []
        self.told: list[dict[str, int]] = []

    def append_many(self, entries: Sequence[Entry]) -> list[int]:
        self.attempts += 1
        if self.is_full:
            raise StoreError("outbox.sqlite: the outbox refused (FullError: database or disk is full)")
        self.kept.extend(entries)
        return list(range(len(self.kept)))

    def append_loss(self, time_ns: int, counts: dict[str, int]) -> int:
        self.told.append(counts)
        return 1


def _entry(number: int, topic: str = "sighting", size: int = 300) -> Entry:
    return (topic, number, bytes(size))


def test_what_the_disk_takes_goes_straight_through() -> None:
    disk = Disk()
    backlog = Backlog(disk)
    backlog.append_many([_entry(1), _entry(2)])
    assert disk.kept == [_entry(1), _entry(2)]
    assert (len(backlog), backlog.fault) == (0, None)


def test_nothing_is_lost_or_reordered_over_a_full_disk() -> None:
    disk = Disk()
    backlog = Backlog(disk)
    disk.is_full = True
    for number in range(1000):
        backlog.append_many([_entry(number)])
    assert disk.attempts == 1, "a full disk is not asked again for every record"
    assert backlog.fault is not None
    assert "disk is full" in backlog.fault
    disk.is_full = False
    backlog.flush()
    assert [time_ns for _, time_ns, _ in disk.kept] == list(range(1000))
    assert (len(backlog), backlog.fault, backlog.lost_count) == (0, None, 0)


def test_when_memory_is_full_too_the_least_valuable_and_oldest_go_first() -> None:
    disk = Disk()
    disk.is_full = True
    backlog = Backlog(disk, max_bytes=10_000)
    for number in range(20):
        backlog.append_many([_entry(number), _entry(100 + number, "chip", 2_000)])
    disk.is_full = False
    backlog.flush()
    kept = {topic: [n for name, n, _ in disk.kept if name == topic] for topic in ("sighting", "chip")}
    assert kept == {"sighting": list(range(20)), "chip": []}
    assert backlog.lost_count == 20
    assert disk.told == [{"chip": 20}]
    disk.is_full = True
    for number in range(100):
        backlog.append_many([_entry(number)])
    disk.is_full = False
    disk.kept.clear()
    backlog.flush()
    assert [time_ns for _, time_ns, _ in disk.kept] == list(range(80, 100))


def test_a_record_that_does_not_belong_there_is_refused() -> None:
    class Strict(Disk):
        def append_many(self, entries: Sequence[Entry]) -> list[int]:
            raise WireError("topic pose is not durable")

    with pytest.raises(WireError):
        Backlog(Strict()).append_many([_entry(1, "pose")])
