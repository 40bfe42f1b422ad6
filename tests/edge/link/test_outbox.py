"""The outbox keeps what it was given, gives it out in order of worth, and says what it had to drop."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.link.outbox import Outbox
from sim.faults.power import watched_connections
from skywarden.errors import StoreError, WireError
from skywarden.link.protocol import END_OF_SEQ
from skywarden.messages import Ack, Health
from skywarden.wire import decode


def _outbox(folder: Path, **options: int) -> Outbox:
    return Outbox(folder / "outbox.sqlite", "uav07", **options)


def _ack(outbox: Outbox, contiguous: int, *missing: tuple[int, int]) -> Ack:
    return Ack(platform_id="uav07", boot_id=outbox.boot_id, contiguous_seq=contiguous, missing=missing)


def test_numbers_run_from_one_without_gaps_also_after_opening_again(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    assert outbox.append("sighting", 10, b"a") == 1
    assert outbox.append_many([("chip", 11, b"b"), ("health", 12, b"c")]) == [2, 3]
    boot_id = outbox.boot_id
    outbox.acknowledge(_ack(outbox, 3))
    outbox.close()
    again = _outbox(tmp_path)
    assert again.boot_id == boot_id
    assert len(bytes.fromhex(boot_id)) == 16
    assert again.append("sighting", 13, b"d") == 4
    again.close()


def test_what_is_forgotten_waits_for_no_disk_and_promises_do(tmp_path: Path) -> None:
    with watched_connections() as seen:
        outbox = _outbox(tmp_path)
        for number in range(1, 4):
            outbox.append("sighting", number, b"a")
            outbox.acknowledge(_ack(outbox, number))
        assert outbox.state().held == 0
        outbox.close()
    assert len(seen) >= 3
    assert set(seen) == {2}


def test_a_refused_entry_uses_up_no_number(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    with pytest.raises(WireError, match="not durable"):
        outbox.append_many([("sighting", 1, b"a"), ("pose", 1, b"b")])
    with pytest.raises(WireError, match="over its limit"):
        outbox.append("sighting", 1, b"x" * 5_000)
    assert outbox.append("sighting", 1, b"a") == 1
    outbox.close()


def test_priority_leaves_first_and_within_it_the_freshest(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_many(
        [(topic, 1, b"x" * 100) for topic in ("chip", "sighting", "health", "sighting", "chip")]
    )
    assert [record.seq for record in outbox.pending(10_000)] == [4, 2, 3, 5, 1]
    assert [record.seq for record in outbox.pending(10_000, skip={4, 5})] == [2, 3, 1]
    assert [record.seq for record in outbox.pending(1)] == [4]
    assert [record.seq for record in outbox.pending(10_000, limit_records=2)] == [4, 2]
    outbox.close()


def test_only_what_the_ground_names_is_forgotten(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append_many([("sighting", 1, b"x")] * 10)
    assert outbox.acknowledge(_ack(outbox, 2, (3, 5), (8, END_OF_SEQ))) == 4
    assert sorted(record.seq for record in outbox.pending(10_000)) == [3, 4, 5, 8, 9, 10]
    assert outbox.acknowledge(_ack(outbox, 2, (3, 5))) == 0
    assert outbox.acknowledge(_ack(outbox, outbox.state().last_seq)) == 6
    state = outbox.state()
    assert (state.held, state.held_bytes, state.acknowledged, state.last_seq) == (0, 0, 10, 10)
    outbox.close()


def test_an_acknowledgement_for_another_outbox_changes_nothing(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append("sighting", 1, b"x")
    other = Ack(platform_id="uav07", boot_id="f" * 32, contiguous_seq=1)
    assert outbox.acknowledge(other) == 0
    assert outbox.state().held == 1
    outbox.close()


def test_a_malformed_acknowledgement_is_refused(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    outbox.append("sighting", 1, b"x")
    with pytest.raises(WireError, match="do not ascend"):
        outbox.acknowledge(_ack(outbox, 0, (5, 9), (7, 12)))
    assert outbox.state().held == 1
    outbox.close()


def test_a_full_outbox_drops_chips_before_sightings_and_tells_the_ground(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path, max_bytes=200_000)
    outbox.append_many([("sighting", 1, b"s" * 200)] * 20)
    for number in range(20):
        outbox.append("chip", number, b"c" * 20_000)
    state = outbox.state()
    assert state.shed > 0
    assert state.held_bytes <= 200_000
    kept = outbox.pending(10_000_000)
    assert sum(record.topic == "sighting" for record in kept) == 20
    chips = [record.seq for record in kept if record.topic == "chip"]
    assert max(chips) == max(record.seq for record in kept if record.topic not in ("health", "gap"))
    notices = [decode("health", record.body) for record in kept if record.topic == "health"]
    assert sum(one.values["dropped"] for one in notices if isinstance(one, Health)) == state.shed
    assert outbox.health(99).state == "failed"
    outbox.acknowledge(_ack(outbox, outbox.state().last_seq))
    assert outbox.health(100).state == "ok"
    outbox.close()


def test_a_second_process_or_another_platform_is_refused(tmp_path: Path) -> None:
    outbox = _outbox(tmp_path)
    with pytest.raises(StoreError, match="another process"):
        _outbox(tmp_path)
    outbox.close()
    with pytest.raises(StoreError, match="outbox of uav07, not of uav08"):
        Outbox(tmp_path / "outbox.sqlite", "uav08")
    _outbox(tmp_path).close()


def test_a_damaged_file_is_kept_aside_and_the_flight_goes_on(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database at all" * 500)
    outbox = _outbox(tmp_path)
    assert outbox.set_aside is not None
    assert outbox.set_aside.read_bytes().startswith(b"not a database")
    assert outbox.append("sighting", 1, b"x") == 1
    outbox.close()


_WRITER = """
import sys
import uuid
from pathlib import Path
from edge.link.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), "uav07")
while True:
    seq = outbox.append("sighting", 1, b"x" * 50)
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_what_append_returned_survives_kill_minus_nine(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        confirmed = [int(child.stdout.readline()) for _ in range(100)]
        os.kill(child.pid, signal.SIGKILL)
        confirmed += [int(line) for line in child.stdout.read().splitlines()]
        child.wait(10)
        child.stdout.close()
        outbox = Outbox(path, "uav07")
        held = {record.seq for record in outbox.pending(10**9, limit_records=10**6)}
        assert set(confirmed) <= held
        assert held == set(range(1, max(held) + 1))
        outbox.close()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_sizes_and_counts_always_add_up(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / f"{uuid.uuid4()}.sqlite"
    outbox = Outbox(path, "uav07", max_bytes=131_072)
    for _ in range(data.draw(st.integers(1, 8))):
        topics = data.draw(st.lists(st.sampled_from(["sighting", "chip", "health"]), min_size=1, max_size=8))
        outbox.append_many([(topic, 1, b"x" * (20_000 if topic == "chip" else 300)) for topic in topics])
        last = outbox.state().last_seq
        contiguous = data.draw(st.integers(0, last))
        outbox.acknowledge(_ack(outbox, contiguous, (contiguous + 1, END_OF_SEQ)))
    state, held = outbox.state(), outbox.pending(10**9, limit_records=10**6)
    assert state.held == len(held)
    assert state.held_bytes == sum(len(record.body) + 64 for record in held)
    assert state.last_seq == state.held + state.acknowledged + state.shed
    outbox.close()
