"""Scenario S11 on real logs: faults put into recorded bytes are flagged, clean logs are not."""

import random
from pathlib import Path
from typing import Any

import pytest

from sim.accuracy import integrity
from sim.accuracy.integrity import Tally
from sim.faults import gnss
from sim.faults.frame_edit import changed
from sim.faults.gnss import Record, Span
from skywarden.errors import InputError
from skywarden.mavlink import decode
from skywarden.mavlink.framing import parse_frame
from skywarden.mavlink.synth import MessageMaker

T0 = 1_760_000_000_000_000_000
S = 1_000_000_000
ALL = Span(start_ns=T0, end_ns=T0 + 100 * S)


def _records(version: int = 2) -> list[Record]:
    maker = MessageMaker(1, 1, version=version)
    place: dict[str, Any] = {"latitude_deg": 60.0, "longitude_deg": 10.0, "alt_msl_m": 50.0}
    out = []
    for number in range(20):
        position = maker.global_position_int(
            time_boot_ms=1000 * number,
            alt_rel_m=5.0,
            vn_mps=3.0,
            **(place | {"longitude_deg": 10.0 + number / 1e4}),
        )
        receiver = maker.gps_raw_int(time_us=number, speed_mps=3.0, course_deg=0.0, **place)
        out += [(T0 + number * S, raw) for raw in (maker.heartbeat(), position, receiver)]
    return out


def _positions(records: list[Record]) -> list[tuple[float, float]]:
    out = []
    for _, raw in records:
        frame = parse_frame(raw)
        assert frame is not None, "a changed frame has a good checksum"
        if frame.msgid == decode.GLOBAL_POSITION_INT:
            position = decode.global_position(frame)
            out.append((0.0, 0.0) if position is None else (position.latitude_deg, position.longitude_deg))
    return out


@pytest.mark.parametrize("version", [1, 2])
def test_faults_change_what_they_name_inside_their_span_and_nothing_else(version: int) -> None:
    records = _records(version)
    span = Span(start_ns=T0 + 5 * S, end_ns=T0 + 10 * S)
    before = _positions(records)
    moved = _positions(list(gnss.glitch(records, span, 1_000.0, 500.0)))
    assert moved[:5] == before[:5]
    assert moved[10:] == before[10:]
    assert (moved[7][0] - before[7][0]) * 111_195 == pytest.approx(1_000.0, abs=1.0)
    assert (moved[7][1] - before[7][1]) * 55_597 == pytest.approx(500.0, abs=1.0)
    assert _positions(list(gnss.null_island(records, span)))[7] == (0.0, 0.0)
    frozen = _positions(list(gnss.freeze(records, span)))
    assert frozen[5:10] == [before[5]] * 5
    heartbeats = [raw for _, raw in records[::3]]
    assert [raw for _, raw in gnss.glitch(records, span, 1.0, 1.0)][::3] == heartbeats


def test_a_drift_grows_and_may_take_the_velocity_along() -> None:
    told = list(gnss.drift(_records(), ALL, 0.0, 4.0, with_velocity=True))
    _, raw = told[3 * 10 + 1]
    frame = parse_frame(raw)
    assert frame is not None
    position = decode.global_position(frame)
    assert position is not None
    assert position.velocity_ned_mps == pytest.approx((3.0, 4.0, 0.0))
    assert (position.longitude_deg - 10.001) * 55_597 == pytest.approx(40.0, abs=0.1)
    _, raw = told[3 * 10 + 2]
    frame = parse_frame(raw)
    assert frame is not None
    gps = decode.gps_raw(frame)
    assert gps.speed_mps == 5.0
    assert gps.course_deg == pytest.approx(53.13, abs=0.01)


def test_lost_bytes_leave_intact_frames_only_and_the_same_ones_for_a_seed() -> None:
    first = list(gnss.lose_bytes(_records(), ALL, 0.02, 7))
    assert 0 < len(first) < len(_records())
    assert first == list(gnss.lose_bytes(_records(), ALL, 0.02, 7))
    assert first != list(gnss.lose_bytes(_records(), ALL, 0.02, 8))
    assert {raw for _, raw in first} <= {raw for _, raw in _records()}


def test_a_field_that_a_message_does_not_have_is_refused() -> None:
    _, raw = _records()[1]
    with pytest.raises(InputError, match="no number"):
        changed(raw, {"GLOBAL_POSITION_INT": lambda _: {"depth": 1}})


@pytest.fixture(scope="module")
def plane(real_data: Path) -> integrity.Log:
    """The real plane of 2018."""
    return integrity.load(real_data / "recordings" / "cuav-2018" / "flight.tlog")


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("kind", list(integrity.FAULTS))
def test_no_fault_in_a_real_flight_becomes_a_wrong_position_that_looks_right(
    kind: str, plane: integrity.Log
) -> None:
    tally, chance = Tally(), random.Random(5)
    for _ in range(3):
        integrity.run_span(plane, integrity.FAULTS[kind], chance, tally)
    assert tally.windows == 3
    assert len(tally.delays_s) == 3, "each span is flagged"
    assert max(tally.delays_s) <= (10.0 if "drift" in kind else 1.5)
    assert tally.at_null == 0
    if "drift" not in kind:
        assert tally.safe == tally.frames


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "path"), integrity.LOGS)
def test_a_clean_log_is_not_doubted(name: str, path: str, real_data: Path) -> None:
    found = integrity.quiet(integrity.load(real_data / path))
    assert found.frames > 800
    assert found.doubted <= 0.01 * found.frames
