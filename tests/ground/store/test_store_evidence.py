"""The store keeps proof: chains, signatures, pieces; old stores come along; damage is found."""

import random
from pathlib import Path

import apsw
import msgspec
import pytest

from edge.link.outbox import Outbox
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.link.intake import EvidencePolicy, Intake
from ground.store.arrivals import Arrival, ArrivedFragment, judged
from ground.store.reading import Filter
from ground.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from ground.store.sqlite import SqliteStore
from ground.upkeep.verify import Verification, verify_store
from sim.faults.signed import NS, SignedSource
from skywarden import evidence
from skywarden.evidence import EvidenceKey
from skywarden.link.protocol import (
    MAX_PARTIAL,
    UNIT_BYTES,
    Fragment,
    decode_batch,
    decode_reply,
    encode_batch,
)
from skywarden.messages import Ack, Gap
from skywarden.wire import Entry, Record, encode, encode_entry
from tests.ground.scenes import START_NS, arrival, chip, position, sighting

KEY = EvidenceKey.from_secret(bytes(range(32)))
BOOT = "cd" * 16


def _store(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "store.sqlite", ContactBook(ContactsConfig()))


def _intake(
    store: SqliteStore, *keys: bytes, policy: EvidencePolicy = "quarantine", platform: str = "uav07"
) -> Intake:
    known = {platform: keys}
    return Intake(store=store, evidence_keys=lambda name: known.get(name, ()), policy=policy)


def _source(count: int) -> SignedSource:
    source = SignedSource("uav07", BOOT, KEY)
    source.grow(count)
    return source


def _deliver(intake: Intake, payload: bytes) -> Ack | None:
    parcel = intake.open("uav07", payload, len(payload), NS)
    if parcel is None:
        return None
    reply = intake.reply(parcel, is_committed=intake.commit([parcel]), ground_ns=NS)
    return decode_reply(reply).ack


def _verify(folder: Path) -> Verification:
    return verify_store(folder / "store.sqlite", {"uav07": (KEY.public,)})


def test_records_in_any_order_are_proved_once_nothing_is_missing(tmp_path: Path) -> None:
    source, store = _source(120), _store(tmp_path)
    intake = _intake(store, KEY.public)
    seqs = list(range(1, 121))
    random.Random(2).shuffle(seqs)
    for start in range(0, 120, 30):
        _deliver(intake, source.batch(seqs[start : start + 30]))
    store.close()
    found = _verify(tmp_path)
    assert (found.records, found.signed, found.proved, found.damaged) == (120, 120, 120, 0)
    again = _store(tmp_path)
    standing = again.standing("uav07", BOOT, [])
    assert standing.head is not None
    assert (standing.head.seq, standing.head.chain) == (120, source.chain[-1])
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET body = x'0102' WHERE seq = 7",
        "UPDATE records SET time_ns = time_ns + 1 WHERE seq = 7",
        "UPDATE records SET clock = 0 WHERE seq = 7",
        "UPDATE records SET seq = 700 WHERE seq = 7",
        "UPDATE streams SET head_seq = head_seq + 8192",
        "UPDATE streams SET head = zeroblob(32)",
        "DELETE FROM records WHERE seq = 7",
        "DELETE FROM records WHERE seq > 30",
        "UPDATE records SET body = (SELECT body FROM records WHERE seq = 8) WHERE seq = 7",
        "UPDATE records SET body = x'0102', leaf = x'00' WHERE seq = 7",
        "UPDATE seals SET signature = zeroblob(64) WHERE seal_key = 1",
        "UPDATE seals SET head = zeroblob(32) WHERE seal_key = 1",
        "UPDATE streams SET chain = zeroblob(32)",
    ],
)
def test_every_kind_of_damage_is_found(tmp_path: Path, damage: str) -> None:
    source, store = _source(40), _store(tmp_path)
    intake = _intake(store, KEY.public)
    for first in range(1, 41, 10):
        _deliver(intake, source.batch(range(first, first + 10)))
    store.close()
    assert _verify(tmp_path).damaged == 0
    db = apsw.Connection(str(tmp_path / "store.sqlite"))
    db.execute(damage)
    db.close()
    assert _verify(tmp_path).damaged > 0


def test_a_flipped_bit_in_a_payload_is_found_where_sqlite_sees_nothing(tmp_path: Path) -> None:
    source, store = _source(30), _store(tmp_path)
    _deliver(_intake(store, KEY.public), source.batch(range(1, 31)))
    store.close()
    path, chance, results = tmp_path / "store.sqlite", random.Random(5), []
    clean = path.read_bytes()
    bodies = [record.body for record in source.records]
    places = [clean.index(body) for body in bodies]
    while len(results) < 30:
        damaged = bytearray(clean)
        damaged[chance.choice(places) + chance.randrange(40)] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        db = apsw.Connection(str(path))
        stored = [body for (body,) in db.execute("SELECT body FROM records ORDER BY seq")]
        is_seen_by_sqlite = db.execute("PRAGMA integrity_check").get != "ok"
        db.close()
        if stored != bodies:  # else the bit lay in a page's unused part
            results.append((_verify(tmp_path).damaged > 0, is_seen_by_sqlite))
    assert all(is_found for is_found, _ in results)
    assert not any(is_seen for _, is_seen in results)


def test_without_an_enrolled_evidence_key_records_are_kept_aside_and_not_acknowledged(tmp_path: Path) -> None:
    source, store = _source(5), _store(tmp_path)
    for intake in (_intake(store), _intake(store, EvidenceKey.new().public)):
        ack = _deliver(intake, source.batch(range(1, 6)))
        assert ack is not None
        assert ack.contiguous_seq == 0
        assert "not enrolled" in intake.untrusted["uav07"]
    assert (store.counts().records, store.counts().quarantined) == (0, 5)
    enrolled = _intake(store, KEY.public)
    ack = _deliver(enrolled, source.batch(range(1, 6)))
    assert ack is not None
    assert ack.contiguous_seq == 5
    assert enrolled.untrusted == {}
    store.close()


def test_unsigned_records_are_stored_only_where_that_was_chosen_and_no_key_is_enrolled(
    tmp_path: Path,
) -> None:
    source, store = _source(5), _store(tmp_path)
    unsigned = encode_batch(
        msgspec.structs.replace(decode_batch(source.batch(range(1, 6))), signature=None, head=None)
    )
    assert _acked(_deliver(_intake(store, KEY.public, policy="accept"), unsigned)) == 0
    assert _acked(_deliver(_intake(store, policy="accept"), unsigned)) == 5
    store.close()
    found = _verify(tmp_path)
    assert (found.unsigned, found.signed, found.damaged) == (5, 0, 0)


def _acked(ack: Ack | None) -> int:
    assert ack is not None
    return ack.contiguous_seq


def test_a_batch_that_was_changed_on_the_way_is_refused_whole(tmp_path: Path) -> None:
    source, store = _source(6), _store(tmp_path)
    intake = _intake(store, KEY.public)
    batch = decode_batch(source.batch(range(1, 6)))
    assert batch.head is not None
    other = encode_entry(Entry(seq=3, topic="sighting", time_ns=NS, body=b"\x01other"))
    for changed in (
        {"records": (*batch.records[:2], other, *batch.records[3:])},
        {"records": batch.records[:-1]},
        {"records": batch.records[::-1]},
        {"number": batch.number + 1},
        {"boot_id": "ee" * 16},
        {"head": msgspec.structs.replace(batch.head, seq=7)},
    ):
        assert _acked(_deliver(intake, encode_batch(msgspec.structs.replace(batch, **changed)))) == 0
    assert intake.counts.refused_signature == 6
    assert store.counts().records == store.counts().quarantined == 0
    assert _acked(_deliver(intake, encode_batch(batch))) == 5
    store.close()


def _pieces(record: Record, size: int) -> list[ArrivedFragment]:
    hashed = evidence.body_hash(record.body)
    return [
        ArrivedFragment(
            platform_id=record.platform_id,
            boot_id=record.boot_id,
            received_ns=NS,
            fragment=Fragment(
                seq=record.seq,
                topic=record.topic,
                time_ns=record.time_ns,
                mono_ns=record.mono_ns,
                clock=record.clock,
                total_bytes=len(record.body),
                body_hash=hashed,
                offset=offset,
                data=record.body[offset : offset + size],
            ),
        )
        for offset in range(0, len(record.body), size)
    ]


def test_pieces_make_up_a_record_in_any_order_twice_and_over_a_restart(tmp_path: Path) -> None:
    large = arrival(chip(sighting(), 50_000), 1).record
    pieces = _pieces(large, 3 * UNIT_BYTES) + _pieces(large, 2 * UNIT_BYTES)[:5]
    random.Random(4).shuffle(pieces)
    store = _store(tmp_path)
    for piece in pieces[:9]:
        assert store.ingest([], [piece]).completed == ()
    store.close()
    store = _store(tmp_path)
    shown = store.standing("uav07", large.boot_id, []).partial
    assert [one.seq for one in shown] == [1]
    done = [one for piece in pieces for one in store.ingest([], [piece]).completed]
    assert [outcome for _, outcome in done] == ["stored"]
    stored = store.chip(f"chip-{sighting().sighting_id}")
    assert stored is not None
    assert encode(stored) == large.body
    assert store.standing("uav07", large.boot_id, []).partial == ()
    assert store.ingest([], pieces[:3]).completed == ()
    store.close()


def test_pieces_that_do_not_make_up_their_record_raise_an_alarm_and_are_forgotten(tmp_path: Path) -> None:
    large = arrival(chip(sighting(), 9_000), 1).record
    pieces = _pieces(large, 4 * UNIT_BYTES)
    bad = msgspec.structs.replace(pieces[0].fragment, data=b"x" * 4 * UNIT_BYTES)
    forged = ArrivedFragment(platform_id="uav07", boot_id=large.boot_id, fragment=bad, received_ns=NS)
    store = _store(tmp_path)
    done = store.ingest([], [forged, *pieces[1:]])
    assert done.completed == ()
    assert "do not make up" in done.alarms[0]
    assert [outcome for _, outcome in store.ingest([], pieces).completed] == ["stored"]
    store.close()


def test_half_records_are_bounded_the_oldest_goes(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number in range(1, MAX_PARTIAL + 3):
        store.ingest([], _pieces(arrival(chip(sighting(number=number), 9_000), number).record, 4_096)[:1])
    shown = store.standing("uav07", arrival(sighting(), 1).record.boot_id, []).partial
    assert [one.seq for one in shown] == list(range(3, MAX_PARTIAL + 3))
    store.close()


def test_what_was_given_up_aboard_is_not_waited_for_and_the_chain_goes_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07", max_bytes=150_000)
    for number in range(12):
        outbox.append("chip", START_NS, encode(chip(sighting(number=number), 20_000)))
        outbox.append("sighting", START_NS, encode(sighting(number=number, place=position())))
    store = _store(tmp_path)
    boot_id, shed = outbox.boot_id, outbox.state().shed
    held = outbox.pending(10**9, limit_records=10**6)
    for one in held:
        record = Record(
            platform_id="uav07",
            boot_id=boot_id,
            seq=one.seq,
            topic=one.topic,
            time_ns=one.time_ns,
            body=one.body,
            mono_ns=one.mono_ns,
            clock=one.clock,
        )
        store.ingest([_arrived(record)])
    assert shed > 3
    assert store.standing("uav07", boot_id, []).ack.contiguous_seq == outbox.state().last_seq
    assert store.sequence_state("uav07") == (len(held), 0, outbox.state().last_seq)
    head = outbox.state().head
    outbox.close()
    store.close()
    db = apsw.Connection(str(tmp_path / "store.sqlite"))
    assert db.execute("SELECT chain FROM streams").get == head
    db.close()
    found = _verify(tmp_path)
    assert (found.gaps, found.missing, found.damaged) == (shed, 0, 0)


def _arrived(record: Record) -> Arrival:
    message, reason = judged(record)
    return Arrival(record=record, message=message, received_ns=NS, reason=reason)


def test_a_gap_record_cannot_give_up_what_comes_after_it(tmp_path: Path) -> None:
    gap = Gap(
        platform_id="uav07",
        boot_id=BOOT,
        time_ns=NS,
        reason="outbox_full",
        counts={"chip": 1},
        ranges=((2, 9, b"h" * 32),),
    )
    store = _store(tmp_path)
    store.ingest([arrival(gap, 1, boot=BOOT)])
    assert store.standing("uav07", BOOT, []).ack.contiguous_seq == 1
    store.close()


def test_a_fork_keeps_the_head_of_whoever_was_first_so_that_the_other_finds_out(tmp_path: Path) -> None:
    one, two, store = _source(10), SignedSource("uav07", BOOT, KEY), _store(tmp_path)
    two.grow(14, tag="twin-")
    intake = _intake(store, KEY.public)
    _deliver(intake, one.batch(range(1, 11)))
    _deliver(intake, two.batch([12, 13]))  # nobody can tell yet
    _deliver(intake, two.batch([9, 10, 14]))
    for opened in (store, None):
        store = opened or _store(tmp_path)
        head = store.standing("uav07", BOOT, []).head
        assert head is not None
        assert (head.seq, head.chain) == (10, one.chain[-1])
        store.close()
    assert intake.counts.forks == 2


def test_two_chains_signed_with_one_key_raise_an_alarm_once(tmp_path: Path) -> None:
    one, two, store = _source(20), SignedSource("uav07", BOOT, KEY), _store(tmp_path)
    two.grow(20, tag="twin-")
    intake = _intake(store, KEY.public)
    _deliver(intake, one.batch(range(1, 11)))
    _deliver(intake, two.batch(range(11, 21)))
    assert any("two chains" in alarm or "does not fit" in alarm for alarm in intake.alarms)
    store.close()
    assert _verify(tmp_path).damaged > 0


def _write_version_1(path: Path) -> None:
    """A store as the first version wrote it."""
    db = apsw.Connection(str(path))
    db.execute(MIGRATIONS[0])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    db.execute("INSERT INTO streams VALUES (1, 'uav07', ?, 5)", (BOOT,))
    for number in (1, 2, 5):
        seen = sighting(number=number, at_s=number, place=position())
        db.execute(
            "INSERT INTO records VALUES (?, 1, ?, 'sighting', ?, 7, ?)",
            (number, number, seen.time_ns, encode(seen)),
        )
        place = seen.position
        assert place is not None
        db.execute(
            "INSERT INTO sightings VALUES (?, ?, ?, ?, 'uav07', 'vessel', 0.8, ?, 7, ?, ?)",
            (
                number,
                seen.sighting_id,
                number,
                seen.track_id,
                seen.time_ns,
                place.latitude_deg,
                place.longitude_deg,
            ),
        )
        db.execute(
            "INSERT INTO sighting_places VALUES (?, ?, ?, ?, ?)",
            (number, place.longitude_deg, place.longitude_deg, place.latitude_deg, place.latitude_deg),
        )
    db.execute("INSERT INTO quarantine VALUES (1, 'uav07', ?, 9, 'chip', 7, 'old', x'00')", (BOOT,))
    db.close()


def test_a_store_of_the_first_version_keeps_everything_and_takes_more(tmp_path: Path) -> None:
    _write_version_1(tmp_path / "store.sqlite")
    store = _store(tmp_path)
    store.settle(1)
    counts = store.counts()
    assert (counts.sightings, counts.records, counts.quarantined, counts.contacts) == (3, 3, 1, 1)
    west_south = Filter(bbox=(19.9, -0.1, 20.1, 0.1))
    assert store.sightings(west_south)[1] == 3
    assert store.sequence_state("uav07") == (3, 2, 5)
    again = arrival(sighting(number=2, at_s=2, place=position()), 2, boot=BOOT)
    assert store.ingest([again]).outcomes == ("fork",)  # other header: times were not those of the test
    source = SignedSource("uav07", "ef" * 16, KEY)
    source.grow(3)
    assert _acked(_deliver(_intake(store, KEY.public), source.batch([1, 2, 3]))) == 3
    store.close()
    db = apsw.Connection(str(tmp_path / "store.sqlite"))
    assert db.execute("PRAGMA user_version").get == SCHEMA_VERSION
    db.close()
    found = _verify(tmp_path)
    assert (found.records, found.unsigned, found.signed, found.damaged) == (6, 3, 3, 0)
