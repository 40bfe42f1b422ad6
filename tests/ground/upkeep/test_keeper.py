"""What is too old goes from a running station, while records come in; a wrong clock erases nothing."""

from pathlib import Path
from typing import Any

import pytest

from ground.accounts.access_log import read_events
from ground.config import GroundConfig
from ground.fusion.book import ContactBook
from ground.serve import GroundHandle, start_ground
from ground.store.reading import Filter
from ground.store.retention import Erased, Expired
from ground.store.sqlite import SqliteStore
from ground.upkeep.keeper import RetentionConfig, RetentionKeeper
from ground.upkeep.verify import verify_store
from skywarden import evidence
from skywarden.clock import Clock, SystemClock
from skywarden.config import load_config
from skywarden.errors import ConfigError
from tests.ground.scenes import START_NS, arrival, chip, position, put, running_edge, sighting, until

DAY_NS = 86_400_000_000_000
MONTH = RetentionConfig(sightings_days=30.0, chips_days=7.0, other_days=30.0)


class HandClock:
    """Both clocks, turned by hand."""

    def __init__(self, utc_ns: int) -> None:
        self.utc, self.mono = utc_ns, 1

    def utc_ns(self) -> int:
        return self.utc

    def monotonic_ns(self) -> int:
        return self.mono


def _config(folder: Path, retention: RetentionConfig) -> GroundConfig:
    return GroundConfig(
        state=str(folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0", retention=retention
    )


def _evidence_key(folder: Path) -> bytes:
    path = evidence.evidence_key_path(folder / "uav07" / "keys" / "link.key")
    return evidence.load_or_create_evidence_key(path).public


def _fill(ground: GroundHandle, folder: Path, count: int) -> None:
    with running_edge(folder, ground) as (outbox, _):
        seen = [sighting(number=n, at_s=n, place=position(n * 3.0)) for n in range(count)]
        put(outbox, *seen, chip(seen[0]), chip(seen[1]))
        until(lambda: outbox.state().held == 0, 30.0)
        until(lambda: ground.store.counts().contacts == 1, 30.0)


@pytest.mark.slow
def test_a_running_station_erases_what_is_too_old_while_it_takes_records_in(tmp_path: Path) -> None:
    ground = start_ground(_config(tmp_path, MONTH))
    try:
        _fill(ground, tmp_path, 300)
        assert isinstance(ground.store, SqliteStore)
        now_ns = SystemClock().utc_ns()
        assert ground.retention.sweep(now_ns + DAY_NS).erased == {}
        assert ground.retention.sweep(now_ns + 8 * DAY_NS).erased == {"chip": 2}
        assert ground.store.counts().chips == 0
        with running_edge(tmp_path, ground, platform="uav08") as (outbox, _):
            later = [sighting("uav08-s1-eo-1", n, platform="uav08") for n in range(50)]
            put(outbox, *later)
            done = ground.retention.sweep(now_ns + 29 * DAY_NS + 1)
            assert done.erased == {}
            until(lambda: outbox.state().held == 0, 30.0)
        until(lambda: ground.store.sightings(Filter())[1] == 350, 30.0)
        kept = {one.sighting.sighting_id for one in ground.store.sightings(Filter(limit=400))[0]}
        assert len(kept) == 350
        ground.store.hold("sighting", later[0].sighting_id, "case", now_ns)
        last = ground.store.erase(tuple(range(1, 400)), now_ns)
        assert last.by_topic["sighting"] == 349
        assert (last.held, len(last.sighting_ids)) == (1, 349)
        assert "c-uav07-s1-eo-1" in last.contact_ids
        assert ground.store.erase(tuple(range(1, 400)), now_ns).by_topic == {}
        assert ground.store.sightings(Filter())[1] == 1
        assert ground.problems() == []
    finally:
        ground.stop()
    found = verify_store(tmp_path / "ground" / "store.sqlite", {"uav07": (_evidence_key(tmp_path),)})
    assert found.erased == 351
    assert [one for one in found.problems if "uav08" not in one] == []


@pytest.mark.slow
def test_passes_come_by_themselves_and_picture_and_access_log_know(tmp_path: Path) -> None:
    tiny = RetentionConfig(every_s=0.2, sightings_days=1e-9, chips_days=1e-9)
    ground = start_ground(_config(tmp_path, tiny))
    try:
        with running_edge(tmp_path, ground) as (outbox, _):
            put(outbox, *[sighting(number=n, place=position()) for n in range(20)])
            until(lambda: outbox.state().held == 0, 30.0)
        until(lambda: ground.store.sightings(Filter())[1] == 0, 30.0)
        until(lambda: ground.store.counts().contacts == 0, 30.0)
        database = ground.doorkeeper.database
        until(lambda: any(one.event.action == "erase" for one in read_events(database)), 30.0)
    finally:
        ground.stop()


def test_what_is_erased_is_not_left_in_the_pages_of_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(GroundConfig().contacts))
    seen = [sighting(number=n, at_s=n, place=position(), label=f"rare{n:05}x") for n in range(200)]
    store.ingest([arrival(one, n + 1) for n, one in enumerate(seen)])
    store.settle(1)
    store.erase(tuple(range(1, 151)), START_NS)
    store.close()
    content = (tmp_path / "store.sqlite").read_bytes()
    left = [n for n in range(200) if f"rare{n:05}x".encode() in content]
    assert set(range(150, 200)) <= set(left)
    assert verify_store(tmp_path / "store.sqlite", {}).damaged == 0


def _keeper(folder: Path, clock: Clock, store: Any, **config: float) -> RetentionKeeper:
    return RetentionKeeper(
        RetentionConfig(**config),
        folder / "store.sqlite",
        store,
        clock,
        on_erased=lambda step: None,
        on_pass=lambda done: None,
    )


class Untouched:
    """A store of which nothing may be erased."""

    def erase(self, record_keys: tuple[int, ...], now_ns: int) -> Erased:
        raise AssertionError("erased")

    def erase_quarantine(self, before_ns: int) -> int:
        raise AssertionError("erased")


def test_a_clock_that_leapt_or_a_month_of_silence_erases_nothing_and_is_said(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(GroundConfig().contacts))
    store.ingest([arrival(sighting(), 1)])
    store.close()
    keeper = _keeper(tmp_path, SystemClock(), Untouched(), sightings_days=1.0)
    assert keeper.sweep(START_NS + 31 * DAY_NS) == Expired()
    assert "nothing was received for 31 days" in keeper.problems()[0]
    assert keeper.sweep(START_NS + DAY_NS // 2) == Expired()
    assert keeper.problems() == []
    clock = HandClock(START_NS)
    keeper = _keeper(tmp_path, clock, Untouched(), every_s=0.01, sightings_days=1.0)
    clock.utc += 20 * 365 * DAY_NS
    keeper.start()
    try:
        until(lambda: bool(keeper.problems()), 30.0)
        assert "leapt by 630720000 s" in keeper.problems()[0]
        assert keeper.passes == 0
    finally:
        keeper.stop()


def test_nothing_is_erased_unless_days_are_given(tmp_path: Path) -> None:
    assert not RetentionConfig().is_on
    assert not RetentionConfig(every_s=0.0, chips_days=3.0).is_on
    assert MONTH.limits(40 * DAY_NS) == ({"sighting": 10 * DAY_NS, "chip": 33 * DAY_NS}, 10 * DAY_NS)
    file = tmp_path / "ground.toml"
    file.write_text("[retention]\nchips_days = 30\nevery_s = 0\n")
    assert load_config(GroundConfig, file, prefix="GROUND").retention.chips_days == 30.0
    file.write_text("[retention]\nchips_days = -1\n")
    with pytest.raises(ConfigError):
        load_config(GroundConfig, file, prefix="GROUND")
