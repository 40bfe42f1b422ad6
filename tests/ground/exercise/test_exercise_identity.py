"""An exercise is one from its first byte, and nothing turns it into a real station, or a real one into it."""

from pathlib import Path

import msgspec
import pytest

from ground.config import ContactsConfig
from ground.exercise.identity import WITNESS, claim_folder, mark_of_folder
from ground.exercise.mark import EXERCISE, NOTICE, REAL
from ground.fusion.book import ContactBook
from ground.link.intake import Intake
from ground.serve import start_ground
from ground.station.places import store_path
from ground.store.schema import EXERCISE_ID, kind_of_store, open_for_writing
from ground.store.sqlite import SqliteStore
from ground.upkeep.copies import back_up
from sim.faults.signed import NS, SignedSource
from skywarden import evidence
from skywarden.errors import ConfigError, StoreError
from skywarden.evidence import EvidenceKey
from skywarden.wire import Record, encode
from tests.ground.scenes import ground_config, sighting

KEY = EvidenceKey.from_secret(bytes(range(32)))
BOOT = "ab" * 16


def _store(folder: Path, *, is_exercise: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    SqliteStore(store_path(folder), ContactBook(ContactsConfig()), is_exercise=is_exercise).close()


def test_a_store_is_born_as_one_or_the_other_and_is_refused_as_the_other(tmp_path: Path) -> None:
    for is_exercise in (False, True):
        _store(tmp_path / str(is_exercise), is_exercise=is_exercise)
        path = store_path(tmp_path / str(is_exercise))
        assert kind_of_store(path) is is_exercise
        with pytest.raises(StoreError, match="cannot be opened as that of"):
            open_for_writing(path, is_exercise=not is_exercise)
        _store(tmp_path / str(is_exercise), is_exercise=is_exercise)


def test_the_head_of_the_file_says_it_before_anything_is_in_it(tmp_path: Path) -> None:
    _store(tmp_path, is_exercise=True)
    assert store_path(tmp_path).read_bytes()[68:72] == EXERCISE_ID.to_bytes(4, "big")


def test_a_station_does_not_start_in_a_folder_of_the_other_kind(tmp_path: Path) -> None:
    _store(tmp_path / "real" / "ground", is_exercise=False)
    config = ground_config(tmp_path / "real")
    with pytest.raises(ConfigError, match=r"real station.*choose another state folder"):
        start_ground(msgspec.structs.replace(config, exercise=True))
    assert mark_of_folder(tmp_path / "real" / "ground") == REAL
    _store(tmp_path / "drill" / "ground", is_exercise=True)
    with pytest.raises(ConfigError, match=r"EXERCISE.*--exercise"):
        start_ground(ground_config(tmp_path / "drill"))


def test_losing_one_witness_changes_nothing_and_a_strange_store_is_refused(tmp_path: Path) -> None:
    assert claim_folder(tmp_path, is_exercise=True) == EXERCISE
    assert NOTICE in (tmp_path / WITNESS).read_text()
    with pytest.raises(ConfigError, match="never becomes a real station"):
        claim_folder(tmp_path, is_exercise=False)  # before the store was made, or after somebody took it away
    _store(tmp_path, is_exercise=True)
    (tmp_path / WITNESS).unlink()
    assert mark_of_folder(tmp_path) == EXERCISE
    assert claim_folder(tmp_path, is_exercise=True) == EXERCISE
    assert (tmp_path / WITNESS).exists()
    store_path(tmp_path).unlink()
    _store(tmp_path, is_exercise=False)
    with pytest.raises(StoreError, match="real station"):
        mark_of_folder(tmp_path)


def test_what_a_station_left_without_its_store_is_no_place_for_an_exercise(tmp_path: Path) -> None:
    (tmp_path / "review.sqlite").touch()
    with pytest.raises(ConfigError, match=r"review\.sqlite"):
        claim_folder(tmp_path, is_exercise=True)
    assert claim_folder(tmp_path, is_exercise=False) == REAL


def test_a_copy_of_an_exercise_is_one(tmp_path: Path) -> None:
    _store(tmp_path / "drill", is_exercise=True)
    back_up(store_path(tmp_path / "drill"), tmp_path / "copy.sqlite", {})
    assert kind_of_store(tmp_path / "copy.sqlite") is True


def test_what_does_not_say_exercise_is_kept_aside_and_not_acknowledged(tmp_path: Path) -> None:
    real = sighting("uav07-s1-eo-1", 1)
    assert REAL.stranger(real) is None
    assert "is_exercise = true aboard" in (EXERCISE.stranger(real) or "")
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()), is_exercise=True)
    try:
        intake = Intake(store=store, evidence_keys=lambda _: (KEY.public,), mark=EXERCISE)
        source = SignedSource("uav07", BOOT, KEY)
        for number, one in enumerate((real, msgspec.structs.replace(real, is_exercise=True)), 1):
            record = Record(
                platform_id="uav07",
                boot_id=BOOT,
                seq=number,
                topic="sighting",
                time_ns=NS,
                body=encode(one),
                mono_ns=1,
                clock=1,
            )
            before = source.chain[-1] if source.chain else evidence.chain_start("uav07", BOOT)
            source.records.append(record)
            source.chain.append(evidence.chain_next(before, evidence.leaf_of(record)))
        for number, outcomes in ((1, ()), (2, ("stored",))):
            payload = source.batch([number])
            parcel = intake.open("uav07", payload, len(payload), NS)
            assert parcel is not None
            assert intake.commit([parcel])
            assert parcel.outcomes == outcomes
        assert intake.counts.untrusted == 1
        assert store.standing("uav07", BOOT, ()).ack.contiguous_seq == 0  # it may still go where it belongs
    finally:
        store.close()


def test_the_mark_of_a_real_station_changes_nothing_and_that_of_an_exercise_is_put_once() -> None:
    assert [REAL.prefix, REAL.notice("x"), REAL.title("x"), REAL.file_name("x")] == ["", "x", "x", "x"]
    once = EXERCISE.title("Sorties"), EXERCISE.notice("all"), EXERCISE.file_name("a.kml")
    assert once == ("EXERCISE: Sorties", f"{NOTICE}. all", "EXERCISE-a.kml")
    assert (EXERCISE.title(once[0]), EXERCISE.notice(once[1]), EXERCISE.file_name(once[2])) == once
