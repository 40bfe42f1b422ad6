"""Importers on sources made here: pairs of files, clocks and zones, heights, GoPro's own GPS, KLV in TS."""

import math
import struct
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sim.importers import detect, import_flight
from sim.importers.dji_srt import fit_clock
from sim.importers.gopro import _read
from sim.importers.gpmf import read_gpmf
from sim.importers.srt import parse_srt
from sim.importers.synthesis import Sample, Synthesiser, thinned, with_velocity
from sim.importers.video_index import DataPacket, index_video
from skywarden.errors import InputError
from skywarden.flight import FixedMount, FlightReader, verify
from skywarden.klv import ST0601_KEY, checksum
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Frame, parse_frame
from skywarden.mavlink.synth import MessageMaker

START_NS = 1_700_000_000_000_000_000


def make_video(path: Path, frames: int = 20, rate: int = 10, *, klv: list[bytes] | None = None) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video" if path.suffix == ".ts" else "mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        data = None if klv is None else container.add_data_stream("klv")
        for number in range(frames):
            image = np.full((120, 160, 3), number * 10, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            if data is not None and klv is not None and number < len(klv):
                packet = av.Packet(klv[number])
                packet.stream = data
                packet.time_base = Fraction(1, 90_000)
                packet.pts = packet.dts = number * 90_000 // rate
                container.mux(packet)
        container.mux(stream.encode())


def frames_of(flight: Path) -> list[tuple[int, Frame]]:
    found = []
    for time_ns, raw in FlightReader(flight).telemetry():
        frame = parse_frame(raw)
        assert frame is not None
        found.append((time_ns, frame))
    return found


def kinds_of(flight: Path) -> Counter[str]:
    return Counter(decode.message_name(frame.msgid) or "?" for _, frame in frames_of(flight))


def srt_text(blocks: int = 20, *, extra: str = "", jitter: bool = True) -> str:
    out = []
    for number in range(blocks):
        millis = number * 100 + (3 if jitter and number % 2 else 0)
        out.append(
            f"{number + 1}\n00:00:{number // 10:02d},{number % 10}00 --> 00:00:{(number + 1) // 10:02d},"
            f'{(number + 1) % 10}00\n<font size="28">FrameCnt: {number + 1}, DiffTime: 100ms\n'
            f"2026-05-17 08:28:{30 + millis // 1000:02d}.{millis % 1000:03d}\n[iso: 100] [focal_len: 24.00] "
            f"[latitude: {34.27 + number * 1e-5:.6f}] [longitude: -84.176160] "
            f"[rel_alt: 50.000 abs_alt: 352.208] {extra}</font>\n"
        )
    return "\n".join(out)


def test_a_dji_pair_is_found_from_either_file_whatever_its_case(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_video(folder / "DJI_0001.MP4")
    (folder / "DJI_0001.SRT").write_text(srt_text())
    for source in (folder / "DJI_0001.MP4", folder / "DJI_0001.SRT", folder):
        found = detect(source)
        assert (found.kind, found.path.name) == ("dji", "DJI_0001.SRT")
        assert found.companion is not None
        assert found.companion.name == "DJI_0001.MP4"


def test_pictures_of_a_dji_video_get_the_dates_of_their_subtitles(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    (tmp_path / "a.srt").write_text(srt_text())
    report = import_flight(tmp_path / "a.mp4", tmp_path / "flight", utc_offset_hours=2.0)
    assert report.frame_counts == {"eo": 20}
    assert (tmp_path / "flight/video/eo.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    reader = FlightReader(tmp_path / "flight")
    times = [frame.time_ns for frame in reader.frames("eo")]
    first = 1_778_999_310_000_000_000  # 2026-05-17T06:28:30Z
    assert abs(times[0] - first) <= 2_000_000
    assert all(abs(step - 100_000_000) < 1000 for step in np.diff(times)), "jitter of the stamps is gone"
    levels = [float(image.mean()) for _, image in reader.images("eo")]
    assert levels == pytest.approx([number * 10 for number in range(20)], abs=8)
    assert reader.camera("eo") is None
    assert "uncalibrated" in reader.info.sensor("eo").camera_note
    assert verify(tmp_path / "flight").is_good


def test_a_field_of_view_that_the_user_knows_makes_a_camera(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    (tmp_path / "a.srt").write_text(srt_text())
    import_flight(tmp_path / "a.srt", tmp_path / "flight", hfov_deg=73.7)
    camera = FlightReader(tmp_path / "flight").camera("eo")
    assert camera is not None
    assert 2 * math.degrees(math.atan2(camera.width_px / 2, camera.fx)) == pytest.approx(73.7, abs=0.1)


def test_gimbal_angles_in_the_subtitles_become_a_gimbal_attitude(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt_text(extra="[gb_yaw: 12.5 gb_pitch: -45.0 gb_roll: 0.0]"))
    import_flight(tmp_path / "a.srt", tmp_path / "flight")
    statuses = [
        frame
        for _, frame in frames_of(tmp_path / "flight")
        if frame.msgid == decode.GIMBAL_DEVICE_ATTITUDE_STATUS
    ]
    pointing = decode.gimbal_device_attitude(statuses[0])
    assert pointing is not None
    w, x, y, z = pointing.q
    assert math.degrees(math.asin(2 * (w * y - x * z))) == pytest.approx(-45.0, abs=1e-3)
    assert statuses[0].compid == 154


def test_no_attitude_is_invented(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt_text())
    import_flight(tmp_path / "a.srt", tmp_path / "flight")
    kinds = kinds_of(tmp_path / "flight")
    assert kinds["ATTITUDE"] == kinds["GIMBAL_DEVICE_ATTITUDE_STATUS"] == 0
    position = next(frame for _, frame in frames_of(tmp_path / "flight") if frame.msgid == 33)
    place = decode.global_position(position)
    assert place is not None
    assert place.heading_deg is None
    assert place.velocity_ned_mps[0] == pytest.approx(11.1, abs=0.4)
    assert (place.alt_msl_m, place.alt_rel_m) == (352.208, 50.0)


def test_a_recording_that_paused_keeps_its_dates() -> None:
    first = srt_text(10)
    second = srt_text(20).replace("08:28:", "09:11:").split("\n\n")[10:]
    clock = fit_clock(parse_srt(first + "\n\n" + "\n\n".join(second)))
    assert clock is not None
    assert len(clock.offsets_us) == 2
    assert clock.time_ns(1.5) - clock.time_ns(0.5) == pytest.approx((43 * 60 + 1) * 1e9, abs=5e6)


@pytest.mark.parametrize(
    "text, latitude, longitude, relative",
    [
        ("GPS(149.0251,-20.2533,16) BAROMETER:1.9", -20.2533, 149.0251, 1.9),
        ("GPS(39.906217,116.391305,69.800) BAROMETER(91.2)", 39.906217, 116.391305, 91.2),
        ("F/2.8, GPS (-121.7458, 48.0771, 17), D 221.21m, H 200.70m, H.S 1.0m/s", 48.0771, -121.7458, 200.7),
        ("GPS(149.0251,-20.2533,16) Hb:1.9 Hs:1.8", -20.2533, 149.0251, 1.9),
        ("[latitude : -20.2533] [longtitude : 149.0251]", -20.2533, 149.0251, None),
        ("[latitude: 0.000000] [longitude: 0.000000] [rel_alt: 1.5 abs_alt: 0]", None, None, 1.5),
        ("[latitude: 95.0] [longitude: 10.0]", None, None, None),
        ("[iso: 100]", None, None, None),
    ],
)
def test_dialects(text: str, latitude: float | None, longitude: float | None, relative: float | None) -> None:
    (block,) = parse_srt(f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n")
    assert (block.latitude_deg, block.longitude_deg, block.alt_rel_m) == (latitude, longitude, relative)


def test_what_is_known_of_the_height_decides_which_messages_are_made() -> None:
    def kinds(**known: float) -> list[str]:
        maker = Synthesiser(knows_utc=False)
        frames = [parse_frame(raw) for raw in maker.frames(Sample(time_ns=START_NS, **known))]
        return [decode.message_name(frame.msgid) or "?" for frame in frames if frame is not None]

    place = {"latitude_deg": 10.0, "longitude_deg": 20.0}
    assert kinds() == ["HEARTBEAT"]
    assert kinds(**place) == ["HEARTBEAT", "GPS_RAW_INT"]
    assert kinds(**place, alt_rel_m=5.0) == ["HEARTBEAT", "GPS_RAW_INT", "ALTITUDE"]
    assert kinds(**place, alt_msl_m=5.0) == ["HEARTBEAT", "GPS_RAW_INT"]
    assert kinds(**place, alt_msl_m=5.0, alt_rel_m=2.0)[-1] == "GLOBAL_POSITION_INT"
    assert kinds(latitude_deg=0.0, longitude_deg=0.0, alt_msl_m=1.0, alt_rel_m=1.0) == ["HEARTBEAT"]
    assert kinds(roll_deg=1.0, pitch_deg=2.0) == ["HEARTBEAT"], "no heading, no attitude"


def test_a_place_without_a_height_is_a_2d_fix() -> None:
    frames = Synthesiser(knows_utc=False).frames(
        Sample(time_ns=START_NS, latitude_deg=10.0, longitude_deg=20.0)
    )
    frame = parse_frame(frames[-1])
    assert frame is not None
    assert decode.gps_raw(frame).fix_type == 2


def test_repeats_of_a_slow_receiver_are_left_out() -> None:
    samples = [
        Sample(time_ns=START_NS + n * 20_000_000, latitude_deg=1.0 + n // 10, longitude_deg=2.0)
        for n in range(100)
    ]
    assert len(list(thinned(samples))) == 10
    still = [
        Sample(time_ns=START_NS + n * 20_000_000, latitude_deg=1.0, longitude_deg=2.0) for n in range(101)
    ]
    assert len(list(thinned(still))) == 5


def test_velocity_comes_from_positions_a_second_around() -> None:
    samples = [
        Sample(
            time_ns=START_NS + n * 100_000_000,
            latitude_deg=n * 1e-5,
            longitude_deg=179.9999 + n * 1e-5 if n < 10 else -180.0 + (n - 10) * 1e-5,
            alt_msl_m=n * 0.5,
        )
        for n in range(20)
    ]
    middle = with_velocity(samples)[10].velocity_ned_mps
    assert middle == pytest.approx((11.13, 11.13, -5.0), abs=0.05)


def write_tlog(path: Path, seconds: int = 10) -> None:
    maker = MessageMaker(1, 1)
    with path.open("wb") as file:
        for number in range(seconds * 10):
            file.write(struct.pack(">Q", START_NS // 1000 + number * 100_000) + maker.heartbeat())


def test_a_tlog_with_images_named_by_time_or_listed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_tlog(folder / "flight.tlog")
    image = np.zeros((30, 40, 3), np.uint8)
    cv2.imwrite(str(folder / "20231114T221321.500Z.jpg"), image)
    cv2.imwrite(str(folder / "20231114T221325Z.png"), image)
    report = import_flight(folder, tmp_path / "a", hfov_deg=60.0, mount=FixedMount(pitch_deg=-45.0))
    assert report.frame_counts == {"eo": 2}
    reader = FlightReader(tmp_path / "a")
    assert [frame.time_ns for frame in reader.frames()] == [
        START_NS + 1_500_000_000,
        START_NS + 5_000_000_000,
    ]
    assert reader.info.sensor("eo").mount == FixedMount(pitch_deg=-45.0)
    assert reader.info.sensor("eo").frame_lag_s == 0.0
    cv2.imwrite(str(folder / "unnamed.jpg"), image)
    with pytest.raises(InputError, match=r"put a frames\.csv"):
        import_flight(folder, tmp_path / "b")
    (folder / "frames.csv").write_text("file,time\nunnamed.jpg,2023-11-14T22:13:22Z\n")
    assert import_flight(folder, tmp_path / "c").frame_counts == {"eo": 3}


def klv_packet(number: int, *, latitude: float = 10.0) -> bytes:
    def scaled(value: float, limit: float) -> bytes:
        return struct.pack(">i", round(value / limit * (2**31 - 1)))

    fields = [
        (2, ((START_NS + number * 100_000_000) // 1000).to_bytes(8, "big")),
        (5, struct.pack(">H", round(90.0 / 360 * 65_535))),
        (6, b"\x00\x00"),
        (7, b"\x00\x00"),
        (13, scaled(latitude + number * 1e-5, 90.0)),
        (14, scaled(20.0, 180.0)),
        (15, struct.pack(">H", round((1000.0 + 900) / 19_900 * 65_535))),
        (16, struct.pack(">H", round(40.0 / 180 * 65_535))),
        (18, struct.pack(">I", round(30.0 / 360 * (2**32 - 1)))),
        (19, scaled(-45.0, 180.0)),
        (20, b"\x00" * 4),
        (65, b"\x10"),
    ]
    body = b"".join(bytes([tag, len(data)]) + data for tag, data in fields)
    whole = ST0601_KEY + bytes([0x81, len(body) + 4]) + body + b"\x01\x02"
    return whole + checksum(whole).to_bytes(2, "big")


def test_klv_in_a_transport_stream_times_its_pictures_and_points_its_camera(tmp_path: Path) -> None:
    packets = [klv_packet(number) for number in range(20)]
    packets[7] = packets[7][:-1] + bytes([packets[7][-1] ^ 1])
    make_video(tmp_path / "a.ts", klv=packets)
    report = import_flight(tmp_path / "a.ts", tmp_path / "flight", takeoff_alt_msl_m=900.0)
    assert report.source_counts["klv_packets"] == 20
    assert report.source_counts["klv_bad_checksum"] == 1
    assert report.frame_counts == {"eo": 20}
    reader = FlightReader(tmp_path / "flight")
    times = [frame.time_ns for frame in reader.frames("eo")]
    assert abs(times[0] - START_NS) < 60_000_000
    assert times[-1] - times[0] == pytest.approx(1.9e9, abs=1e6)
    camera = reader.camera("eo")
    assert camera is not None
    assert 2 * math.degrees(math.atan2(80, camera.fx)) == pytest.approx(40.0, abs=0.1)
    frames = [frame for _, frame in frames_of(tmp_path / "flight")]
    places = [decode.global_position(frame) for frame in frames if frame.msgid == 33]
    assert len(places) == 19, "the packet with the wrong checksum is not used"
    assert places[0] is not None
    assert places[0].alt_rel_m == pytest.approx(100.0, abs=0.2)
    pointing = next(decode.gimbal_device_attitude(frame) for frame in frames if frame.msgid == 285)
    assert pointing is not None
    w, x, y, z = pointing.q
    yaw = math.degrees(math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    assert yaw == pytest.approx(120.0, abs=0.1), "heading 90 and 30 to the right of the nose"


def gpmf(key: bytes, kind: bytes, size: int, count: int, data: bytes) -> bytes:
    return key + kind + bytes([size]) + count.to_bytes(2, "big") + data + bytes(-len(data) % 4)


def hero_packet(second: int, *, fix: int = 3) -> bytes:
    rows = b"".join(
        struct.pack(">5i", round(47.5e7) + n, round(8.5e7), 500_000, 2_000, 2_000) for n in range(18)
    )
    stream = b"".join(
        [
            gpmf(b"STNM", b"c", 1, 3, b"GPS"),
            gpmf(b"GPSF", b"L", 4, 1, struct.pack(">I", fix)),
            gpmf(b"GPSU", b"U", 16, 1, f"2311142213{20 + second:02d}.000".encode()),
            gpmf(b"SCAL", b"l", 4, 5, struct.pack(">5i", 10_000_000, 10_000_000, 1000, 1000, 100)),
            gpmf(b"GPS5", b"l", 20, 18, rows),
        ]
    )
    device = gpmf(b"DVNM", b"c", 1, 4, b"Hero") + gpmf(b"STRM", b"\0", 1, len(stream), stream)
    return gpmf(b"DEVC", b"\0", 1, len(device), device)


def test_gpmf_rows_are_scaled_and_settings_kept() -> None:
    (stream,) = read_gpmf(hero_packet(0))
    assert stream.key == "GPS5"
    assert stream.device == "Hero"
    assert len(stream.rows) == 18
    assert stream.rows[0] == pytest.approx((47.5, 8.5, 500.0, 2.0, 20.0))
    assert stream.settings["GPSF"] == (3,)
    assert stream.settings["GPSU"] == "231114221320.000"


def test_the_gps_of_a_gopro_camera_has_times_and_ellipsoid_heights() -> None:
    packets = [
        DataPacket(stream_index=3, time_s=float(second), duration_s=1.0, data=hero_packet(second))
        for second in range(5)
    ]
    heard, _, _ = _read(packets)
    assert len(heard.samples) == 90
    assert heard.utc_offsets_s == [1_700_000_000.0] * 5
    assert heard.samples[18][0] == 1.0
    assert heard.samples[0][1].alt_hae_m == 500.0
    assert heard.samples[0][1].alt_msl_m is None


def test_a_gopro_without_a_fix_tells_no_place() -> None:
    packet = DataPacket(stream_index=3, time_s=0.0, duration_s=1.0, data=hero_packet(0, fix=0))
    assert _read([packet])[0].samples == []


@pytest.mark.parametrize("cut", [0, 7, 12, 30, 100, 300])
def test_damaged_gpmf_gives_what_is_whole(cut: int) -> None:
    assert len(read_gpmf(hero_packet(0)[:cut])) == 0


def test_a_video_without_telemetry_still_becomes_a_flight(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=5)
    report = import_flight(tmp_path / "a.mp4", tmp_path / "flight", start_utc_ns=START_NS, platform_id="uav1")
    assert report.sortie_id == "20231114T221320Z_uav1"
    reader = FlightReader(tmp_path / "flight")
    assert [frame.time_ns for frame in reader.frames()] == [START_NS + n * 100_000_000 for n in range(5)]
    assert list(reader.telemetry()) == []
    assert any("no telemetry" in note for note in reader.info.notes)


def test_the_index_of_a_video_counts_every_picture(tmp_path: Path) -> None:
    make_video(tmp_path / "a.ts", frames=12)
    video = index_video(tmp_path / "a.ts", lambda *_: None)
    assert len(video.pts) == 12
    assert (video.width_px, video.height_px, video.codec) == (160, 120, "mpeg2video")


@pytest.mark.parametrize(
    "name", ["x.mp4", "x.ts", "x.tlog", "x.bin", "x.ulg", "x.srt", "x.json", "x.klv", "x"]
)
@pytest.mark.parametrize("content", [b"", b"hello", b"\xfd" * 300, b"ULog\x01\x12\x35", b"\xa3\x95\x80" * 40])
def test_rubbish_under_any_name_is_refused_with_a_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        import_flight(tmp_path / name, tmp_path / "flight")
    assert not (tmp_path / "flight").exists()


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_flight(tmp_path / "nothing.mp4", tmp_path / "flight")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds 0 files"):
        import_flight(tmp_path / "empty", tmp_path / "flight")


def test_a_tlog_with_a_video_needs_to_know_when_the_video_began(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_tlog(folder / "flight.tlog")
    make_video(folder / "video.mp4")
    with pytest.raises(InputError, match="does not tell when it began"):
        import_flight(folder, tmp_path / "a")
    with pytest.raises(InputError, match="begins 1000 s after the telemetry"):
        import_flight(folder, tmp_path / "b", start_utc_ns=START_NS + 1000 * 10**9)
    report = import_flight(folder, tmp_path / "c", start_utc_ns=START_NS + 10**9)
    assert report.frame_counts == {"eo": 20}
    assert (tmp_path / "c/telemetry.tlog").read_bytes() == (folder / "flight.tlog").read_bytes()
    assert next(FlightReader(tmp_path / "c").frames()).time_ns == START_NS + 10**9


@pytest.mark.slow
def test_interlaced_pictures_come_whole_and_each_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.codec_context.flags |= (
            av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        )
        for number in range(15):
            image = np.full((128, 160, 3), 60 + number * 10, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    import_flight(path, tmp_path / "flight")
    reader = FlightReader(tmp_path / "flight")
    images = [image for _, image in reader.images("eo")]
    assert len(images) == 15
    assert all(image.mean() > 40 for image in images)
    assert reader.problems == []
