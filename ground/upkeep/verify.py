"""`skywarden ground verify`: every stored record against its hash, its chain and its signature.

SQLite's own check finds a few percent of damaged payloads; a chain of hashes finds all. Nothing is written.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ground.store import spatial
from ground.store.mark import compare_mark
from ground.store.schema import as_store_errors, open_for_reading
from skywarden import evidence
from skywarden.errors import WireError
from skywarden.messages import Sighting
from skywarden.wire import decode

_MAX_PROBLEMS = 1_000


class Verification(msgspec.Struct, kw_only=True):
    """What was found; `damaged` counts what does not fit, `problems` says it in words.

    `proved` are records that lie on a chain from their outbox's first record on. `unsigned` ones come from
    before there were signatures or were let in by `evidence = "accept"`.
    """

    streams: int = 0
    records: int = 0
    signed: int = 0
    unsigned: int = 0
    proved: int = 0
    gaps: int = 0
    erased: int = 0
    missing: int = 0
    quarantined: int = 0
    damaged: int = 0
    problems: list[str] = []

    def blame(self, sentence: str) -> None:
        """Count one thing that does not fit."""
        self.damaged += 1
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(sentence)


def verify_store(path: Path, evidence_keys: Mapping[str, Sequence[bytes]]) -> Verification:
    """Check the store at `path`; `evidence_keys` are the keys that each platform may sign with now.

    A seal of a key that is not among them is checked with the key it names and counted as signed, with a
    word about it: it may have been rotated. Raises `StoreError` when there is no store.
    """
    found = Verification()
    db = open_for_reading(path)
    try:
        with as_store_errors(path):
            db.execute("BEGIN")
            _check_pages(db, found)
            for key, platform, boot, chain_seq, chain in db.execute(
                "SELECT stream_key, CAST(platform_id AS BLOB), CAST(boot_id AS BLOB), chain_seq, chain "
                "FROM streams ORDER BY stream_key"
            ).fetchall():
                names = (platform.decode("utf-8", "replace"), boot.decode("utf-8", "replace"))
                row = (key, *names, chain_seq, chain)
                found.streams += 1
                leaves, sealed = _check_records(db, row, found)
                _check_chain(db, row, leaves, found)
                _check_head(db, row, found)
                bad = _check_seals(db, row, leaves, evidence_keys.get(row[1], ()), found)
                found.signed += sum(count for key, count in sealed.items() if key not in bad)
            _check_indexes(db, path, found)
            found.quarantined = db.execute("SELECT count(*) FROM quarantine").get
    finally:
        db.close()
    return found


def _check_pages(db: Any, found: Verification) -> None:
    for (line,) in db.execute("PRAGMA quick_check(20)"):
        if line != "ok":
            found.blame(f"the database file: {line}")


def _check_indexes(db: Any, path: Path, found: Verification) -> None:
    """What was worked out from records must still be what they say."""
    problem = compare_mark(db, path)
    if problem is not None:
        found.blame(problem)
    different = spatial.difference(db)
    if different is not None:
        found.blame(different)
    for row in db.execute(
        "SELECT s.sighting_key, CAST(s.sighting_id AS BLOB), CAST(t.track_id AS BLOB), "
        "CAST(t.platform_id AS BLOB), CAST(s.label AS BLOB), s.score, s.time_ns, s.latitude_deg, "
        "s.longitude_deg, s.received_ns = r.received_ns, CAST(r.body AS BLOB) "
        "FROM sighting_rows s LEFT JOIN tracks t USING(track_key) "
        "LEFT JOIN records r ON r.record_key = s.sighting_key"
    ):
        if not _is_of_record(row):
            found.blame(f"the list of sightings, row {row[0]}: it does not say what its record says")


def _is_of_record(row: tuple[Any, ...]) -> bool:
    """Whether a row of the list of sightings says what the body at its end says."""
    _, sighting_id, track_id, platform_id, label, score, time_ns, latitude, longitude, is_same, body = row
    if not is_same:
        return False
    try:
        seen = decode("sighting", body)
    except (WireError, TypeError):
        return False
    if not isinstance(seen, Sighting):
        return False
    place = seen.position
    names = [seen.sighting_id, seen.track_id, seen.platform_id, seen.label]
    return [name.encode() for name in names] == [sighting_id, track_id, platform_id, label] and (
        score,
        time_ns,
        latitude,
        longitude,
    ) == (
        seen.score,
        seen.time_ns,
        place.latitude_deg if place is not None else None,
        place.longitude_deg if place is not None else None,
    )


def _check_records(
    db: Any, row: tuple[Any, ...], found: Verification
) -> tuple[dict[int, bytes], Counter[int]]:
    """Every record's leaf, worked out again from what is stored, and how many records each seal covers."""
    stream_key, platform_id, boot_id, _, _ = row
    leaves: dict[int, bytes] = {}
    sealed: Counter[int] = Counter()
    # the list by number comes from SQLite's index; what the row itself says is asked for by its key
    for seq, own, topic, time_ns, body, mono_ns, clock, leaf, seal_key, erased in db.execute(
        "SELECT seq, (SELECT t.seq || ' ' || t.stream_key FROM records t NOT INDEXED "
        "WHERE t.record_key = r.record_key), CAST(topic AS BLOB), time_ns, CAST(body AS BLOB), mono_ns, "
        "clock, leaf, seal_key, erased_ns FROM records r WHERE stream_key = ? ORDER BY seq",
        (stream_key,),
    ):
        name = topic.decode("utf-8", "replace")
        found.records += 1
        if own != f"{seq} {stream_key}":
            found.blame(f"{platform_id}, outbox {boot_id}: record {seq} ({name}) and the list differ: {own}")
        leaves[seq] = _leaf(platform_id, boot_id, seq, name, time_ns, mono_ns, clock, body)
        if erased is not None:
            found.erased += 1
            leaves[seq] = leaf if body == b"" and isinstance(leaf, bytes) else b""
        if leaf is not None and leaf != leaves[seq]:
            found.blame(f"{platform_id}, outbox {boot_id}: record {seq} ({name}) is not what was stored")
        if seal_key is None:
            found.unsigned += 1
        else:
            sealed[seal_key] += 1
    return leaves, sealed


def _leaf(
    platform_id: str, boot_id: str, seq: int, topic: str, time_ns: Any, mono_ns: Any, clock: Any, body: bytes
) -> bytes:
    """The leaf of what is stored; damage may have made anything of it, then it is that of no record."""
    try:
        hashed = evidence.body_hash(body)
        return evidence.leaf_from(platform_id, boot_id, seq, topic, time_ns, mono_ns, clock, hashed)
    except (struct.error, TypeError, ValueError):
        return b""


def _check_chain(db: Any, row: tuple[Any, ...], leaves: dict[int, bytes], found: Verification) -> None:
    stream_key, platform_id, boot_id, chain_seq, stored = row
    name = f"{platform_id}, outbox {boot_id}"
    gaps = db.execute(
        "SELECT first_seq, last_seq, chain FROM gaps WHERE stream_key = ? ORDER BY first_seq", (stream_key,)
    ).fetchall()
    by_first = {first: (last, chain) for first, last, chain in gaps}
    inside = {seq: one for one in gaps for seq in range(one[0], one[1] + 1) if seq not in leaves}
    heads = dict(
        db.execute("SELECT head_seq, head FROM seals WHERE stream_key = ?", (stream_key,)).fetchall()
    )
    found.gaps += len(inside)
    last_here = max((*leaves, *inside), default=0)
    found.missing += last_here - len(leaves) - len(inside)
    seq, chain = 0, evidence.chain_start(platform_id, boot_id)
    while True:
        if seq + 1 in leaves:
            seq += 1
            chain = evidence.chain_next(chain, leaves[seq])
            found.proved += 1
        elif seq + 1 in by_first or seq + 1 in inside:
            seq, chain = by_first.get(seq + 1) or inside[seq + 1][1:]
        else:
            break
        if seq in heads and heads[seq] != chain:
            found.blame(f"{name}: the chain does not fit what was signed at number {seq}")
            break
        if stored is not None and seq == chain_seq and stored != chain:
            found.blame(f"{name}: the chain does not fit what was stored at number {seq}")
            break
    if seq < chain_seq:
        found.blame(
            f"{name}: proved up to {chain_seq} once, now only up to {seq}: records are gone or changed"
        )


def _check_head(db: Any, row: tuple[Any, ...], found: Verification) -> None:
    """Whether the farthest head that is told to the sender was ever signed."""
    stream_key, platform_id, boot_id, _, _ = row
    is_signed = db.execute(
        "SELECT CASE WHEN head IS NULL THEN head_seq = 0 ELSE EXISTS (SELECT 1 FROM seals s "
        "WHERE s.stream_key = t.stream_key AND s.head_seq = t.head_seq AND s.head = t.head) END "
        "FROM streams t WHERE stream_key = ?",
        (stream_key,),
    ).get
    if not is_signed:
        found.blame(f"{platform_id}, outbox {boot_id}: the head that was stored was never signed")


def _check_seals(
    db: Any, row: tuple[Any, ...], leaves: dict[int, bytes], keys: Sequence[bytes], found: Verification
) -> set[int]:
    """Hold every signature against what is stored; the seals that do not fit."""
    stream_key, platform_id, boot_id, _, _ = row
    name = f"{platform_id}, outbox {boot_id}"
    strangers: set[bytes] = set()
    bad: set[int] = set()
    for seal_key, number, head_seq, head, key, signature, items in db.execute(
        "SELECT seal_key, number, head_seq, head, public_key, signature, items FROM seals "
        "WHERE stream_key = ?",
        (stream_key,),
    ).fetchall():
        if any(_is_erased_piece(db, stream_key, item) for item in _items(items)):
            continue  # a piece cannot be hashed any more; its record's leaf is still proved by the chain
        hashes = [_item_hash(db, stream_key, item, leaves) for item in _items(items)]
        whole = [one for one in hashes if one is not None]
        text = evidence.seal_text(platform_id, boot_id, number, head_seq, head, whole)
        if not whole or len(whole) < len(hashes) or not evidence.is_signed_by(key, signature, text):
            found.blame(f"{name}: the signature of batch {number} does not fit its records")
            bad.add(seal_key)
            continue
        if key not in keys and key not in strangers:
            strangers.add(key)
            found.problems.append(f"{name}: signed with an evidence key that is not enrolled now")
    return bad


def _items(data: bytes) -> list[Any]:
    try:
        items = msgspec.msgpack.decode(data, type=list[tuple[int, int, int] | bytes])
    except msgspec.DecodeError:
        return []
    return list(items)


def _is_erased_piece(db: Any, stream_key: int, item: Any) -> bool:
    """Whether a signed item is a piece of a record whose body was erased."""
    if isinstance(item, bytes) or not item[2]:
        return False
    row = db.execute(
        "SELECT erased_ns FROM records WHERE stream_key = ? AND seq = ? AND body = x''",
        (stream_key, item[0]),
    ).get
    return row is not None


def _item_hash(db: Any, stream_key: int, item: Any, leaves: dict[int, bytes]) -> bytes | None:
    """What a signed item's hash must be by what is stored; `None` when its record is gone."""
    if isinstance(item, bytes):
        return item
    seq, offset, length = item
    leaf = leaves.get(seq)
    if leaf is None or not length:
        return leaf if not offset else None
    data = db.execute(
        "SELECT substr(body, ?, ?) FROM records WHERE stream_key = ? AND seq = ?",
        (offset + 1, length, stream_key, seq),
    ).get
    return evidence.fragment_hash(leaf, offset, data)
