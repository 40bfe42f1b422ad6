"""The outbox's chain: what is given up leaves a gap, a copy from the past is found out, old files keep."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from edge import clock_watch
from edge.clock_watch import ClockWatch
from edge.link.outbox import Outbox
from skywarden import evidence
from skywarden.errors import StoreError
from skywarden.link.protocol import END_OF_SEQ, Head
from skywarden.messages import Ack, Gap, Health
from skywarden.wire import Record, decode

_UTC = 1_780_000_000_000_000_000


class _Clock:
    def __init__(self) -> None:
        self.utc, self.mono = _UTC, 10**9

    def utc_ns(self) -> int:
        return self.utc

    def monotonic_ns(self) -> int:
        return self.mono


def _outbox(folder: Path, **options: Any) -> Outbox:
    return Outbox(folder / "outbox.sqlite", "uav07", clock=_Clock(), **options)


def _ack(outbox: Outbox, contiguous: int, boot_id: str | None = None) -> Ack:
    missing = ((contiguous + 1, END_OF_SEQ),)
    return Ack(
        platform_id="uav07", boot_id=boot_id or outbox.boot_id, contiguous_seq=contiguous, missing=missing
    )


def _head(outbox: Outbox) -> Head:
    state = outbox.state()
    return Head(seq=state.last_seq, chain=state.head)


def _chain_of(outbox: Outbox, gaps: dict[int, tuple[int, bytes]]) -> bytes:
    """The chain worked out anew from what the outbox holds and from gap records."""
    chain, seq = evidence.chain_start("uav07", outbox.boot_id), 0
    held = {one.seq: one for one in outbox.pending(10**9, limit_records=10**6)}
    while seq < outbox.state().last_seq:
        if seq + 1 in gaps:
            seq, chain = gaps[seq + 1]
            continue
        seq += 1
        one = held[seq]
        record = Record(
            platform_id="uav07",
            boot_id=outbox.boot_id,
            seq=seq,
            topic=one.topic,
            time_ns=one.time_ns,
            body=one.body,
            mono_ns=one.mono_ns,
            clock=one.clock,
        )
        chain = evidence.chain_next(chain, evidence.leaf_of(record))
    return chain


def test_the_head_is_the_chain_of_all_records_also_after_opening_again(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_many([("sighting", _UTC + n, bytes([1, n])) for n in range(20)])
    assert outbox.state().head == _chain_of(outbox, {})
    outbox.close()
    again = _outbox(tmp_path)
    again.append("health", _UTC, b"more")
    assert again.state().head == _chain_of(again, {})
    again.close()


def test_what_is_given_up_leaves_gap_records_that_keep_the_chain_provable(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path, max_bytes=200_000)
    for number in range(30):
        outbox.append_many([("chip", _UTC, bytes([number]) * 20_000), ("sighting", _UTC, bytes([1, number]))])
    held = outbox.pending(10**9, limit_records=10**6)
    assert sum(one.topic == "sighting" for one in held) == 30
    found = [decode("gap", one.body) for one in held if one.topic == "gap"]
    gaps = {
        first: (last, chain) for gap in found if isinstance(gap, Gap) for first, last, chain in gap.ranges
    }
    assert sum(last - first + 1 for first, (last, _) in gaps.items()) == outbox.state().shed > 0
    assert outbox.state().head == _chain_of(outbox, gaps)
    outbox.close()


def test_sightings_are_never_given_up_even_beyond_the_limit(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path, max_bytes=131_072)
    for number in range(100):
        outbox.append("sighting", _UTC, bytes([number]) * 2_000)
    state = outbox.state()
    assert (state.held, state.shed) == (100, 0)
    assert state.held_bytes > 131_072
    assert outbox.health(_UTC).state == "failed"
    outbox.close()


def test_losses_in_memory_are_told_with_the_topics(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_loss(_UTC, {"chip": 7})
    gap = decode("gap", outbox.pending(10_000)[0].body)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.counts, gap.ranges) == ("memory_full", {"chip": 7}, ())
    outbox.close()


def _image(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("outbox.sqlite*")}


def _restore(folder: Path, image: dict[str, bytes]) -> None:
    for path in folder.glob("outbox.sqlite*"):
        path.unlink()
    for name, data in image.items():
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("new_count", [2, 40])
def test_a_copy_from_the_past_loses_nothing_and_uses_no_number_twice(tmp_path: Path, new_count: int) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_many([("sighting", _UTC, bytes([1, n])) for n in range(10)])
    outbox.acknowledge(_ack(outbox, 6), _head(outbox))
    outbox.close()
    image = _image(tmp_path)
    outbox = _outbox(tmp_path)
    boot_id = outbox.boot_id
    outbox.append_many([("sighting", _UTC, bytes([2, n])) for n in range(20)])
    ground_head = _head(outbox)
    outbox.close()
    _restore(tmp_path, image)
    outbox = _outbox(tmp_path)
    outbox.append_many([("sighting", _UTC, bytes([3, n])) for n in range(new_count)])
    assert outbox.acknowledge(_ack(outbox, 30), ground_head) == 4  # 7 to 10 are on both
    assert outbox.renewals == 1
    assert outbox.boot_id != boot_id
    held = outbox.pending(10**9, limit_records=10**6)
    assert {one.body for one in held if one.topic == "sighting"} == {bytes([3, n]) for n in range(new_count)}
    assert sorted(one.seq for one in held) == list(range(1, new_count + 2))
    told = [decode("health", one.body) for one in held if one.topic == "health"]
    assert [one.condition for one in told if isinstance(one, Health)] == ["rolled_back"]
    assert outbox.state().head == _chain_of(outbox, {})
    assert outbox.acknowledge(_ack(outbox, 30, boot_id), ground_head) == 0
    outbox.close()


def test_a_station_that_was_itself_restored_or_is_new_starts_no_alarm(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_many([("sighting", _UTC, bytes([1, n])) for n in range(10)])
    early = _head(outbox)
    outbox.append_many([("sighting", _UTC, bytes([2, n])) for n in range(10)])
    outbox.acknowledge(_ack(outbox, 20), _head(outbox))
    assert outbox.acknowledge(_ack(outbox, 10), early) == 0
    assert outbox.acknowledge(_ack(outbox, 0), None) == 0
    assert outbox.renewals == 0
    outbox.close()


_VERSION_1 = """
CREATE TABLE meta(
    one INTEGER PRIMARY KEY CHECK (one = 1), platform_id TEXT NOT NULL, boot_id TEXT NOT NULL,
    next_seq INTEGER NOT NULL, held_bytes INTEGER NOT NULL, held INTEGER NOT NULL,
    shed INTEGER NOT NULL, shed_bytes INTEGER NOT NULL, acknowledged INTEGER NOT NULL);
CREATE TABLE records(
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, priority INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    size INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX records_by_worth ON records(priority, seq DESC, size);
INSERT INTO meta VALUES (1, 'uav07', 'abababababababababababababababab', 9, 195, 3, 1, 500, 4);
INSERT INTO records VALUES (3, 'sighting', 0, 30, 65, x'61');
INSERT INTO records VALUES (5, 'chip', 2, 50, 65, x'62');
INSERT INTO records VALUES (8, 'health', 1, 80, 65, x'63');
PRAGMA user_version = 1;
"""


def test_an_outbox_of_the_first_version_keeps_its_records_and_gets_a_chain(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute(_VERSION_1)
    db.close()
    outbox = _outbox(tmp_path)
    held = outbox.pending(10_000)
    assert sorted((one.seq, one.topic, one.body) for one in held) == [
        (1, "sighting", b"a"),
        (2, "chip", b"b"),
        (3, "health", b"c"),
    ]
    assert outbox.boot_id != "ab" * 16
    state = outbox.state()
    assert (state.held, state.held_bytes, state.shed, state.acknowledged) == (3, 195, 1, 4)
    assert outbox.append("sighting", _UTC, b"d") == 4
    assert outbox.state().head == _chain_of(outbox, {})
    outbox.close()


def test_a_newer_outbox_is_refused_in_a_sentence(tmp_path: Path) -> None:
    _outbox(tmp_path).close()
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StoreError, match="version 9 is newer"):
        _outbox(tmp_path)


def test_records_say_how_good_the_clock_was(tmp_path: Path) -> None:
    clock = _Clock()
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07", clock=clock)
    for utc_ns in (0, _UTC, _UTC + 10**9, _UTC + 3_600 * 10**9):
        clock.utc = utc_ns
        outbox.append("health", utc_ns, b"x")
        clock.mono += 10**9
    found = [one.clock for one in sorted(outbox.pending(10_000), key=lambda one: one.seq)]
    assert found == [clock_watch.NEVER_SET, clock_watch.STEADY, clock_watch.STEADY, clock_watch.JUMPED]
    outbox.close()


def test_a_clock_that_is_slewed_is_steady_and_one_that_leaps_back_is_again() -> None:
    watch = ClockWatch()
    for second in range(10_000):
        assert watch.judge(_UTC + round(second * 1e9 * 1.0004), second * 10**9) == clock_watch.STEADY
    late = 10_000
    assert watch.judge(_UTC + (late + 600) * 10**9, late * 10**9) == clock_watch.JUMPED
    assert watch.judge(_UTC + (late + 601) * 10**9, (late + 1) * 10**9) == clock_watch.JUMPED
    assert watch.judge(_UTC + (late + 6) * 10**9, (late + 2) * 10**9) == clock_watch.STEADY
