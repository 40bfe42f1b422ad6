"""Times of images: names, EXIF, listings; and live streams' presentation times."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras import exif
from edge.cameras.image_times import parse_rfc3339, read_listing, time_from_name
from edge.cameras.timeline import LiveTimeline, driver_stamp_ns
from skywarden.errors import ConfigError, InputError

EXPECTED_NS = 1_533_430_844_800_000_000


@pytest.mark.parametrize(
    "name",
    [
        "2018080501004480Z.jpg",
        "20180805T010044.80Z.jpg",
        "eo_20180805T010044.8Z_000001.png",
        "2018-08-05T01:00:44.800Z.jpg",
        "2018-08-05T03-00-44.8+0200.jpg",
        "20180804T200044,80-05:00.jpg",
        "1533430844800000000.tif",
        "frame_000012_1533430844800000.png",
        "1533430844800.jpeg",
    ],
)
def test_a_name_tells_the_time(name: str) -> None:
    assert time_from_name(name) == EXPECTED_NS


@pytest.mark.parametrize(
    "name",
    [
        "DJI_20180805010044_0001.jpg",
        "20180805T010044.jpg",
        "IMG_0001.jpg",
        "20181305T010044Z.jpg",
        "9" * 400,
        "12345678.png",
    ],
)
def test_a_name_without_zone_or_sense_tells_no_time(name: str) -> None:
    assert time_from_name(name) is None


@given(st.text(max_size=80))
def test_no_name_makes_it_fail(name: str) -> None:
    found = time_from_name(name)
    assert found is None or 946_684_800 * 10**9 <= found < 4_102_444_800 * 10**9


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="zone"):
        parse_rfc3339("2018-08-05T01:00:44")


def test_listings_in_csv_and_json_tell_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Filename,time_s\na.jpg,1533430844.8\n")
    (tmp_path / "b.csv").write_text("name,time\na.jpg,2018-08-05T01:00:44.8Z\n")
    (tmp_path / "c.json").write_text('[{"file": "a.jpg", "time_us": 1533430844800000}]')
    (tmp_path / "d.json").write_text('{"a.jpg": 1533430844800000000}')
    for name in ("a.csv", "b.csv", "c.json", "d.json"):
        assert read_listing(tmp_path / name) == {"a.jpg": EXPECTED_NS}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "file,time_ns\n../a.jpg,1533430844800000000\n", "plain file"),
        ("x.csv", "file,time_ns\na.jpg,-5\n", "no time between"),
        ("x.csv", "file,time\na.jpg,yesterday\n", "entry 1"),
        ("x.csv", "", "lists no image"),
        ("x.json", "[1, 2]", "neither"),
        ("x.json", "[" * 100_000, "not JSON"),
        ("x.json", '{"a.jpg": true}', "no time"),
    ],
)
def test_a_bad_listing_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_listing(tmp_path / name)


def jpeg_with_exif(tags: dict[int, bytes], gps: dict[int, tuple[int, int, bytes]] | None = None) -> bytes:
    """A JPEG header of 640x480 with an EXIF block of ASCII tags (and GPS entries as type, count, value)."""
    block = bytearray(b"II*\x00" + struct.pack("<I", 8))
    pointers = [0x8769] + ([0x8825] if gps else [])
    block += struct.pack("<H", len(pointers)) + b"\x00" * (12 * len(pointers) + 4)

    def directory(entries: dict[int, tuple[int, int, bytes]]) -> int:
        at = len(block)
        head = struct.pack("<H", len(entries))
        values, place = b"", at + 2 + 12 * len(entries) + 4
        for tag, (kind, count, value) in sorted(entries.items()):
            if len(value) <= 4:
                head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\x00")
            else:
                head += struct.pack("<HHII", tag, kind, count, place + len(values))
                values += value
        block.extend(head + b"\x00" * 4 + values)
        return at

    found = [directory({tag: (2, len(text), text) for tag, text in tags.items()})]
    if gps:
        found.append(directory(gps))
    for index, (pointer, at) in enumerate(zip(pointers, found, strict=True)):
        block[10 + 12 * index : 22 + 12 * index] = struct.pack("<HHII", pointer, 4, 1, at)
    app1 = b"Exif\x00\x00" + bytes(block)
    sof = struct.pack(">BHHB", 8, 480, 640, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1
        + b"\xff\xc0" + struct.pack(">H", len(sof) + 2) + sof
    )  # fmt: skip


def test_exif_time_with_its_own_offset() -> None:
    header = exif.read_header(
        jpeg_with_exif({0x9003: b"2018:08:05 11:00:44\x00", 0x9291: b"80\x00", 0x9011: b"+10:00\x00"})
    )
    assert header is not None
    assert (header.width_px, header.height_px) == (640, 480)
    assert exif.exif_time_ns(header, "") == EXPECTED_NS


def test_exif_time_without_zone_needs_the_configured_one_or_gps() -> None:
    original = {0x9003: b"2018:08:05 11:00:44\x00"}
    header = exif.read_header(jpeg_with_exif(original))
    assert header is not None
    assert exif.exif_time_ns(header, "") is None
    assert exif.exif_time_ns(header, "+10:00") == EXPECTED_NS - 800_000_000
    gps = {7: (5, 3, struct.pack("<6I", 1, 1, 0, 1, 448, 10)), 0x1D: (2, 11, b"2018:08:05\x00")}
    header = exif.read_header(jpeg_with_exif(original, gps))
    assert header is not None
    assert exif.exif_time_ns(header, "") == EXPECTED_NS


@given(st.data())
def test_no_damage_to_a_header_makes_the_reader_fail(data: st.DataObject) -> None:
    whole = bytearray(jpeg_with_exif({0x9003: b"2018:08:05 11:00:44\x00", 0x9011: b"+10:00\x00"}))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(2, len(whole) - 1))] = data.draw(st.integers(0, 255))
    header = exif.read_header(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    if header is not None:
        exif.exif_time_ns(header, "+00:00")


def test_jitter_of_the_network_falls_out_of_live_times() -> None:
    timeline, base_ns = LiveTimeline(latency_s=0.1), EXPECTED_NS
    delays_ms = [0, 40, 5, 90, 0, 60, 20, 0, 70, 30]
    stamps = [
        timeline.stamp_ns(base_ns + i * 40_000_000 + delay * 1_000_000, i * 40_000_000)
        for i, delay in enumerate(delays_ms)
    ]
    assert stamps == [base_ns - 100_000_000 + i * 40_000_000 for i in range(10)]


def test_a_camera_that_restarts_its_presentation_times_is_followed() -> None:
    timeline = LiveTimeline(latency_s=0.0)
    timeline.stamp_ns(EXPECTED_NS, 500 * 10**9)
    assert timeline.stamp_ns(EXPECTED_NS + 10**9, 0) == EXPECTED_NS + 10**9
    assert timeline.stamp_ns(EXPECTED_NS + 2 * 10**9, None) == EXPECTED_NS + 2 * 10**9


def test_a_drifting_camera_clock_is_followed_within_the_window() -> None:
    timeline = LiveTimeline(latency_s=0.0)
    for second in range(600):  # the camera's clock runs 100 ppm fast
        received_ns = EXPECTED_NS + second * 10**9
        stamp_ns = timeline.stamp_ns(received_ns, round(second * 1e9 * 1.0001))
    assert abs(stamp_ns - received_ns) < 3_000_000


def test_a_driver_stamp_counts_only_on_the_monotonic_clock() -> None:
    assert driver_stamp_ns(EXPECTED_NS, 100 * 10**9, 99_990.0) == EXPECTED_NS - 10_000_000
    assert driver_stamp_ns(EXPECTED_NS, 100 * 10**9, 0.0) is None
    assert driver_stamp_ns(EXPECTED_NS, 100 * 10**9, 101_000.0) is None
    assert driver_stamp_ns(EXPECTED_NS, 100 * 10**9, 12_000.0) is None
