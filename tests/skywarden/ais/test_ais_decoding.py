"""AIS sentences and payloads, refereed by gpsd's reference decodes and by pyais."""

import json
import math
from pathlib import Path
from typing import Any

import pyais
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyais.exceptions import AISBaseException

from skywarden.ais.compose import compose_payload, compose_sentences
from skywarden.ais.fields import LEAST_BITS, TABLE, decode_fields
from skywarden.ais.payload import armour, checksum, text_bits, text_of, unarmour
from skywarden.ais.reports import (
    KNOT_MPS,
    PositionReport,
    StaticReport,
    read_report,
    stamped_ns,
)
from skywarden.ais.sentences import Heard, LineSplitter, SentenceReader
from skywarden.errors import InputError, WireError

NOW_NS = 1_700_000_000_000_000_000
SENTENCE = b"!AIVDM,1,1,,B,15M67FC000G?ufbE`FepT@3n00Sa,0*5C"
LOGS = {
    "sample.aivdm": "sample.aivdm.js.chk",
    "ais-nmea.log": "ais-nmea.log.chk",
    "ais-18-27.log": "ais-18-27.log.chk",
}

# gpsd opens some binary messages up (6, 8) and writes others in its own way (turn, times, 24 as one, the
# radio state of unstructured 26); what is compared here is everything else.
ITS_OWN = {"class", "device", "scaled", "turn", "timestamp", "eta", "vendorid"}
IN_BINARY = {
    6: {"dac", "fid", "mmsi", "seqno", "dest_mmsi", "retransmit", "repeat"},
    8: {"dac", "fid", "mmsi", "repeat"},
}
COARSE = {17: {"lat", "lon"}, 7: {"mmsi3"}}  # rounded, or made up behind the end of a short message
MISSING = {
    "heading": {511, 360},
    "lat": {91.0, 54600000},
    "lon": {181.0, 108600000},
    "course": {3600, 360.0},
    "speed": {1023, 102.3},
}


def _decoded(path: Path) -> list[dict[str, Any]]:
    reader, found = SentenceReader(), []
    for line in path.read_bytes().splitlines():
        heard = reader.take(line.strip(), NOW_NS)
        if heard is not None:
            try:
                found.append(dict(decode_fields(heard.payload, heard.fill)))
            except WireError:
                continue
    return found


def _differs(name: str, theirs: Any, ours: dict[str, Any], is_scaled: bool, kind: int) -> bool:
    if name not in ours:
        return bool(theirs) and name != "radio"  # optional parts that are not there are zeros to gpsd
    mine = ours[name]
    if mine is None:
        return theirs not in MISSING.get(name, set())
    if isinstance(mine, str) and mine.isdigit() and isinstance(theirs, int):
        return int(mine) != theirs
    if isinstance(mine, float) or (isinstance(mine, int) and name in ("lat", "lon")):
        scale = next(field.scale for field in TABLE[kind] if field.name == name) if name != "ne_lon" else 600
        expected = float(theirs) if is_scaled else float(theirs) / scale
        return not math.isclose(float(mine), expected, abs_tol=6e-5 if kind == 27 else 1e-6)
    return bool(mine != theirs)


@pytest.mark.real_data
@pytest.mark.parametrize("log", sorted(LOGS))
def test_every_message_agrees_with_gpsds_reference_decode(real_data: Path, log: str) -> None:
    folder = real_data / "ais" / "gpsd"
    mine = _decoded(folder / log)
    texts = (folder / LOGS[log]).read_text(encoding="utf-8", errors="replace").splitlines()
    theirs = [json.loads(text) for text in texts if text.startswith('{"class":"AIS"')]
    assert len(theirs) >= 97
    for row in theirs:
        kind = row["type"]
        same = [one for one in mine if one["type"] == kind and int(str(one["mmsi"])) == row["mmsi"]]
        assert same, row
        names = {
            name
            for name in row
            if name not in ITS_OWN and not name.endswith("_text") and name not in COARSE.get(kind, set())
        }
        names &= IN_BINARY.get(kind, names)
        if kind == 24:
            names -= {"shipname"}  # it comes with part A
        if kind in (25, 26):
            names -= {"app_id", "dest_mmsi", "radio", "data"}
        wrong = [
            {name for name in names if _differs(name, row[name], one, row["scaled"], kind)} for one in same
        ]
        assert set() in [one - {"mmsi"} for one in wrong], (row, wrong)


@pytest.mark.real_data
def test_sentences_of_others_logs_agree_with_pyais_on_place_and_motion(real_data: Path) -> None:
    compared = 0
    for path in sorted((real_data / "ais").rglob("*")):
        if not path.is_file() or path.suffix == ".chk":
            continue
        reader = SentenceReader()
        for line in path.read_bytes().splitlines():
            heard = reader.take(line.strip(), NOW_NS)
            if heard is None:
                continue
            try:
                reports = read_report(heard)
                body = b"AIVDM,1,1,,A," + heard.payload + b",%d" % heard.fill
                other = pyais.decode(b"!" + body + b"*%02X" % checksum(body)).asdict()
            except (WireError, AISBaseException, ValueError, IndexError):
                continue
            for report in reports:
                if isinstance(report, PositionReport) and report.kind in ("A", "B", "long_range"):
                    assert report.latitude_deg == pytest.approx(other["lat"], abs=1e-5)
                    assert report.longitude_deg == pytest.approx(other["lon"], abs=1e-5)
                    if report.sog_mps is not None:
                        assert report.sog_mps == pytest.approx(other["speed"] * KNOT_MPS, abs=1e-6)
                    compared += 1
    assert compared > 800


@pytest.mark.real_data
def test_nothing_in_anybodys_log_stops_the_reader_and_all_lines_are_accounted_for(real_data: Path) -> None:
    for path in sorted((real_data / "ais").rglob("*")):
        if not path.is_file():
            continue
        reader, splitter = SentenceReader(), LineSplitter()
        for line in [*splitter.feed(path.read_bytes()), splitter.end()]:
            heard = reader.take(line, NOW_NS)
            if heard is not None:
                try:
                    read_report(heard)
                except WireError:
                    continue
        counts = reader.counts
        assert counts.whole + counts.other + counts.illegal <= counts.lines


def test_parts_of_messages_that_come_mixed_and_out_of_order_are_put_together() -> None:
    long = {"type": 5, "mmsi": "371255000", "shipname": "SEA ENTERPRISE", "imo": 9266633, "draught": 1.4}
    first = list(compose_sentences({**long}, sequence=3))
    second = list(compose_sentences({**long, "shipname": "OTHER", "mmsi": "201000001"}, sequence=4))
    reader = SentenceReader()
    taken = [reader.take(line, NOW_NS) for line in (second[1], first[0], second[0], first[1])]
    assert [heard is not None for heard in taken] == [False, False, True, True]
    names = [decode_fields(heard.payload, heard.fill)["shipname"] for heard in taken if heard is not None]
    assert names == ["OTHER", "SEA ENTERPRISE"]
    assert reader.counts.whole == 2


def test_parts_that_never_become_whole_are_forgotten_and_do_not_spoil_the_next_message() -> None:
    first, second = compose_sentences({"type": 5, "mmsi": "371255000", "shipname": "A"}, sequence=1)
    reader = SentenceReader()
    assert reader.take(first, NOW_NS) is None
    assert reader.take(second, NOW_NS + 300 * 10**9) is None  # five minutes later: not of the same message
    assert reader.counts.forgotten == 1
    for number in range(2_000):
        body = b"AIVDM,2,1,%d,A,5000,0" % (number % 10)
        reader.take(b"!" + body + b"*%02X" % checksum(body), NOW_NS + number * 100 * 10**9)
    assert len(reader._pending) <= 256


def test_the_tag_block_tells_time_and_station_and_one_from_the_future_does_not() -> None:
    def tagged(body: str) -> bytes:
        return f"\\{body}*{checksum(body.encode()):02X}\\".encode() + SENTENCE

    heard = SentenceReader().take(tagged("s:rORBCOMM1,c:1699999000"), NOW_NS)
    assert heard is not None
    assert (heard.received_ns, heard.station) == (1_699_999_000 * 10**9, "rORBCOMM1")
    late = SentenceReader().take(tagged("c:1700000100"), NOW_NS)
    assert late is not None
    assert late.received_ns == NOW_NS
    milliseconds = SentenceReader().take(tagged("c:1699999000500"), NOW_NS)
    assert milliseconds is not None
    assert milliseconds.received_ns == 1_699_999_000_500_000_000
    behind = SentenceReader().take(SENTENCE + b",1699999000", NOW_NS)
    assert behind is not None
    assert behind.received_ns == 1_699_999_000 * 10**9


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (b"!AIVDM,1,1,,B,15M67FC000G?ufbE`FepT@3n00Sa,0*5D", "bad_checksum"),
        (b"!AIVDM,1,1,,B,15M67FC", "illegal"),
        (b"!AIVDM,1,2,,B,15M67FC,0*00", "illegal"),
        (b"\\g:1-2-3*00", "illegal"),
        (b"!" + b"A" * 5_000, "illegal"),
        (b"$GPRMC,213950.00,A,5250.53669,N*00", "other"),
        (b"# " + SENTENCE, "other"),
        (b"", "other"),
    ],
)
def test_what_is_illegal_or_of_another_kind_is_counted_and_dropped(line: bytes, count: str) -> None:
    reader = SentenceReader()
    assert reader.take(line, NOW_NS) is None
    assert getattr(reader.counts, count) == 1
    assert reader.take(SENTENCE, NOW_NS) is not None


@given(st.lists(st.binary(max_size=120), max_size=20))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    splitter, reader = LineSplitter(), SentenceReader()
    for piece in pieces:
        for line in splitter.feed(piece + b"!AIVDM,1,1,,A," + piece + b",0*00\r\n"):
            heard = reader.take(line, NOW_NS)
            if heard is not None:
                try:
                    read_report(heard)
                    decode_fields(heard.payload, heard.fill)
                except WireError:
                    continue


@given(st.binary(min_size=1, max_size=200), st.integers(-1, 6))
def test_any_payload_is_read_or_refused_in_our_words(payload: bytes, fill: int) -> None:
    for read in (lambda: decode_fields(payload, fill), lambda: read_report(Heard(payload, fill, NOW_NS))):
        try:
            read()
        except WireError:
            continue


@given(st.integers(0, 2**200 - 1), st.integers(1, 200))
def test_armour_and_its_inverse_give_the_same_bits(number: int, bits: int) -> None:
    number &= (1 << bits) - 1
    payload, fill = armour(number, bits)
    assert unarmour(payload, fill) == (number, bits)


@given(st.text("ABCXYZ 0189", max_size=20))
def test_text_comes_back_without_the_spaces_behind(text: str) -> None:
    assert text_of(text_bits(text, 20), 120) == text.rstrip()


@given(st.binary(max_size=300))
def test_the_folded_checksum_is_the_exclusive_or_of_all_bytes(body: bytes) -> None:
    plain = 0
    for byte in body:
        plain ^= byte
    assert checksum(body) == plain


@given(
    kind=st.sampled_from([1, 2, 3, 18, 19, 27]),
    bits=st.integers(0, 2**312 - 1),
)
def test_the_fast_path_reads_the_same_as_the_table(kind: int, bits: int) -> None:
    length = {19: 312, 27: 96}.get(kind, 168)
    number = bits & ((1 << length) - 1)
    number = number & ((1 << (length - 6)) - 1) | kind << (length - 6)
    payload, fill = armour(number, length)
    fields = decode_fields(payload, fill)
    reports = read_report(Heard(payload, fill, NOW_NS))
    positions = [one for one in reports if isinstance(one, PositionReport)]
    latitude, longitude = fields["lat"], fields["lon"]
    is_a_place = (
        isinstance(latitude, int | float)
        and isinstance(longitude, int | float)
        and abs(latitude) <= 90
        and abs(longitude) <= 180
    )
    assert bool(positions) == is_a_place
    for one in positions:
        assert one.mmsi == fields["mmsi"]
        assert one.latitude_deg == pytest.approx(latitude)
        assert one.longitude_deg == pytest.approx(longitude)
        speed = fields["speed"]
        assert one.sog_mps == (None if speed is None else pytest.approx(float(str(speed)) * KNOT_MPS))
        assert one.cog_deg == (None if fields["course"] is None else pytest.approx(fields["course"]))
        assert one.heading_deg == fields.get("heading")
        assert one.is_accurate == fields["accuracy"]
        if one.has_second:
            assert one.time_ns // 10**9 % 60 == fields["second"]
    for two in reports:
        if isinstance(two, StaticReport):
            assert (two.name or "") == fields["shipname"]
            hull = tuple(fields[name] for name in ("to_bow", "to_stern", "to_port", "to_starboard"))
            assert two.hull_m in (hull, None)


def test_a_ship_that_says_everything_is_read_whole() -> None:
    values = {
        "type": 5, "mmsi": "002655651", "imo": 9134270, "callsign": "3FOF8", "shipname": "EVER DIADEM",
        "shiptype": 70, "to_bow": 225, "to_stern": 70, "to_port": 1, "to_starboard": 31, "draught": 12.2,
        "destination": "NEW YORK",
    }  # fmt: skip
    payload, fill = compose_payload(values)
    (report,) = read_report(Heard(payload, fill, NOW_NS))
    assert isinstance(report, StaticReport)
    assert (report.mmsi, report.imo, report.callsign, report.name) == (
        "002655651",
        9134270,
        "3FOF8",
        "EVER DIADEM",
    )
    assert (report.hull_m, report.draught_m, report.destination) == ((225, 70, 1, 31), 12.2, "NEW YORK")
    craft = {
        "type": 24,
        "mmsi": "982655651",
        "partno": 1,
        "callsign": "AB1",
        "shiptype": 36,
        "mothership_mmsi": "265565100",
    }
    again = decode_fields(*compose_payload(craft))
    assert again["mothership_mmsi"] == "265565100"


@given(kind=st.sampled_from(sorted(TABLE)), bits=st.integers(0, 2**420 - 1))
def test_what_is_decoded_composes_to_the_same_fields_again(kind: int, bits: int) -> None:
    length = max(LEAST_BITS[kind], 168 if kind != 5 else 424)
    number = bits & ((1 << (length - 6)) - 1) | kind << (length - 6)
    try:
        once = decode_fields(*armour(number, length))
        made = compose_payload(once)
    except (WireError, InputError):
        return
    assert decode_fields(*made) | {"radio": 0} == once | {"radio": 0} or kind in (12, 14, 16, 21, 25, 26)


@given(st.integers(0, 59), st.integers(0, 10**6))
def test_the_named_second_is_the_nearest_one(second: int, offset_s: int) -> None:
    received_ns = NOW_NS + offset_s * 10**9 + 400_000_000
    found = stamped_ns(received_ns, second)
    assert found is not None
    assert found // 10**9 % 60 == second
    assert abs(found - received_ns) <= 30.5 * 10**9
    assert stamped_ns(received_ns, 60) is None
