"""Every real log, subtitle file, metadata stream and video is read to its end, or refused in one sentence."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sim.importers import import_flight
from skywarden.errors import InputError
from skywarden.flight import FixedMount, FlightReader, GimbalMount, VideoFile, verify
from skywarden.mavlink import decode
from skywarden.mavlink.framing import parse_frame

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

REFUSED = {
    "srt/broken_empty.SRT": "is empty",
    "srt/broken_empty2.SRT": "without any time",
    "srt/mavic_air.SRT": "none tells a position",
    "klv/jmisb_st0903_vmti.bin": "ST 0903",
    "klv/st0902_annexC_DynamicConstantMISMMSPacketData.bin": "fail their checksum",
    "video/sds_northsea_z30_2fps_720p.frames.json": "no SeaDronesSee JSON",
}
SOURCES = [
    *(f"srt/{name}" for name in (
        "MAVIC3.srt", "air2s.srt", "broken_empty.SRT", "broken_empty2.SRT", "broken_incomplete.SRT",
        "dji_embed_Mini5PRO_clip.SRT", "dji_embed_air3S_clip.SRT", "dji_embed_air3_clip.SRT",
        "dji_embed_avata2_clip.SRT", "dji_embed_mini4pro_clip.SRT", "dji_embed_neo2_clip.SRT",
        "mavic_2_style.SRT", "mavic_2pro_new.SRT", "mavic_air.SRT", "mavic_air2.srt", "mavic_mini.SRT",
        "mavic_pro.SRT", "old_format.SRT", "p4p_sample.SRT",
    )),
    *(f"klv/{name}" for name in (
        "droneklv_day_flight.klv", "h264_audio.ts", "h264_klv.ts", "h265_klv.ts", "jmisb_st0903_vmti.bin",
        "st0902_annexC_DynamicConstantMISMMSPacketData.bin", "st0902_annexC_DynamicOnlyMISMMSPacketData.bin",
    )),
    *(f"mavlink/{name}" for name in (
        "ardusub_small.BIN", "ardusub_small.tlog", "dronekit_flight_replay.tlog",
        "methodic_backend_log_80k.BIN", "node-mavlink_tests_data.raw", "node-mavlink_v2_3412_packets.raw",
        "pymavlink_capture.mav2.battery_status.tlog", "pyulog_sample_log_small.ulg", "uavlogviewer_vtol.tlog",
    )),
    "video/sds_northsea_z30_2fps_720p.frames.json", "video/sds_northsea_z30_2fps_720p.mp4",
    "recordings/cuav-2018", "recordings/gopro-karma/karma.mp4", "recordings/gopro-karma",
    "recordings/aphill/aphill_klv_10s.ts", "imagery/vessels-drone-seadronessee",
]  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_read_to_its_end_or_refused(real_data: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "flight"
    if name in REFUSED:
        with pytest.raises(InputError, match=re.escape(REFUSED[name])) as caught:
            import_flight(real_data / name, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()
        return
    steps: list[tuple[int, int, str]] = []
    report = import_flight(real_data / name, out, progress=lambda *step: steps.append(step))
    checked = verify(out)
    assert checked.is_good, checked
    assert checked.telemetry_count == report.telemetry_count
    assert checked.frame_counts | report.frame_counts == checked.frame_counts
    assert report.telemetry_count or report.frame_counts
    assert steps
    reader = FlightReader(out)
    for sensor in reader.info.sensors:
        count = sum(1 for _ in reader.images(sensor.sensor_id))
        assert count == report.frame_counts[sensor.sensor_id]
    assert reader.problems == []


def test_no_file_of_these_folders_is_forgotten(real_data: Path) -> None:
    present = {
        f"{folder}/{path.name}"
        for folder in ("srt", "klv", "mavlink", "video")
        for path in (real_data / folder).iterdir()
    }
    assert present == {name for name in SOURCES if name.split("/")[0] in ("srt", "klv", "mavlink", "video")}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("srt/")])
def test_the_count_of_subtitle_blocks_is_that_of_their_numbers(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    if name in REFUSED:
        return
    text = (real_data / name).read_text(encoding="utf-8-sig")
    numbers = [line for line in text.splitlines() if re.fullmatch(r"\s*\d+\s*", line)]
    report = import_flight(real_data / name, tmp_path / "flight")
    assert report.source_counts["srt_blocks"] == len(numbers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "mavlink/ardusub_small.tlog",
        "mavlink/uavlogviewer_vtol.tlog",
        "mavlink/pymavlink_capture.mav2.battery_status.tlog",
        "recordings/cuav-2018/flight.tlog",
        "mavlink/dronekit_flight_replay.tlog",
    ],
)
def test_message_counts_agree_with_pymavlink_s(real_data: Path, tmp_path: Path, name: str) -> None:
    from pymavlink import mavutil

    log = mavutil.mavlink_connection(str(real_data / name), dialect="ardupilotmega")
    theirs: Counter[str] = Counter()
    while (message := log.recv_match()) is not None:
        theirs[message.get_type()] += 1
    log.close()
    report = import_flight(real_data / name, tmp_path / "flight")
    ours = {
        kind: count
        for kind, count in report.source_counts.items()
        if kind not in ("bad_checksum", "unknown_id", "stray_bytes")
    }
    known = {
        kind: count for kind, count in theirs.items() if kind != "BAD_DATA" and not kind.startswith("UNKNOWN")
    }
    assert ours == known
    is_cut_off = report.source_counts.get("stray_bytes", 0) > 0
    cut_tail = theirs["BAD_DATA"] - report.source_counts.get("bad_checksum", 0)
    assert 0 <= cut_tail <= is_cut_off, "pymavlink counts some cut last records as bad data"


@pytest.mark.parametrize("name", ["ardusub_small.BIN", "methodic_backend_log_80k.BIN"])
def test_ardupilot_counts_agree_with_pymavlink_s(real_data: Path, tmp_path: Path, name: str) -> None:
    from pymavlink import DFReader

    log = DFReader.DFReader_binary(str(real_data / "mavlink" / name))
    theirs: Counter[str] = Counter()
    while (message := log.recv_msg()) is not None:
        theirs[message.get_type()] += 1
    log.close()
    assert import_flight(real_data / "mavlink" / name, tmp_path / "flight").source_counts == theirs


def test_px4_counts_agree_with_pyulog_s(real_data: Path, tmp_path: Path) -> None:
    from pyulog import ULog

    source = real_data / "mavlink/pyulog_sample_log_small.ulg"
    theirs: Counter[str] = Counter()
    for data in ULog(str(source)).data_list:
        theirs[data.name] += len(data.data["timestamp"])
    report = import_flight(source, tmp_path / "flight")
    assert report.source_counts == theirs
    kinds = _kinds(tmp_path / "flight")
    assert kinds["ATTITUDE"] == theirs["vehicle_attitude"]
    assert kinds["GPS_RAW_INT"] >= theirs["vehicle_gps_position"] - 1


def test_the_real_flight_keeps_every_byte_and_its_calibration(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "recordings/cuav-2018"
    import_flight(source, tmp_path / "flight")
    reader = FlightReader(tmp_path / "flight")
    assert (tmp_path / "flight/telemetry.tlog").read_bytes() == (source / "flight.tlog").read_bytes()
    frames = list(reader.frames("eo"))
    assert len(frames) == 18
    assert frames[0].time_ns == 1_533_430_844_800_000_000
    assert frames[-1].time_ns == 1_533_430_859_580_000_000
    for frame in frames:
        assert frame.path.read_bytes() == (source / frame.path.name).read_bytes()
    sensor = reader.info.sensor("eo")
    assert sensor.mount == FixedMount(pitch_deg=-90.0)
    # Found from pictures and telemetry; by hand people found about 0.2 s, with panels that scatter more.
    assert sensor.frame_lag_s == pytest.approx(0.29, abs=0.05)
    assert sensor.frame_lag_sigma_s is not None
    assert sensor.frame_lag_sigma_s < 0.03
    camera = reader.camera("eo")
    assert camera is not None
    assert (camera.width_px, camera.height_px) == (1640, 1232)
    assert camera.fx == pytest.approx(1329.4945879587194)
    assert camera.distortion[4] == pytest.approx(-0.6079587461332615)
    assert len(reader.info.sources) == 20


def test_the_old_metadata_of_ap_hill_point_the_camera_at_the_frame_centre(
    real_data: Path, tmp_path: Path
) -> None:
    """ST 0104: azimuth against north and depression, so the boresight meets the told frame centre."""
    from skywarden.geometry.geodesy import ned_from_geodetic
    from skywarden.geometry.rotations import euler_deg_from_quaternion

    source = real_data / "recordings/aphill/aphill_klv_10s.ts"
    report = import_flight(source, tmp_path / "flight", takeoff_alt_msl_m=60.0)
    assert any("grid north" in note for note in report.notes)
    reader = FlightReader(tmp_path / "flight")
    assert isinstance(reader.info.sensor("eo").mount, GimbalMount)
    media = reader.info.sensor("eo").media[0]
    assert isinstance(media, VideoFile)
    assert media.codec == "mpeg2video"
    frames = {decode_name(raw): raw for _, raw in reversed(list(reader.telemetry()))}
    place = parse_frame(frames["GLOBAL_POSITION_INT"])
    gimbal = parse_frame(frames["GIMBAL_DEVICE_ATTITUDE_STATUS"])
    assert place is not None
    assert gimbal is not None
    position = decode.global_position(place)
    pointing = decode.gimbal_device_attitude(gimbal)
    assert position is not None
    assert pointing is not None
    roll, pitch, yaw = euler_deg_from_quaternion(pointing.q).tolist()
    centre = ned_from_geodetic(
        (38.18508921514427, -77.35811980459758, 0.0), position.latitude_deg, position.longitude_deg, 1950.0
    )
    bearing = np.degrees(np.arctan2(centre[1], centre[0]))
    depression = np.degrees(np.arctan2(centre[2], np.hypot(centre[0], centre[1])))
    assert roll == pytest.approx(0.0, abs=1e-4)
    assert yaw == pytest.approx(bearing, abs=0.15), "the stream counts from grid north, 1.46 degrees off"
    assert pitch == pytest.approx(-depression, abs=1.5)
    images = [image for _, image in reader.images("eo")]
    assert len(images) == 10
    assert all(image.std() > 10.0 for image in images), "no black frames"


def test_an_azimuth_that_is_a_true_bearing_is_noticed(real_data: Path, tmp_path: Path) -> None:
    report = import_flight(real_data / "klv/droneklv_day_flight.klv", tmp_path / "flight")
    assert any("true bearing" in note for note in report.notes)
    report = import_flight(real_data / "klv/h264_klv.ts", tmp_path / "other")
    assert not any("true bearing" in note for note in report.notes)


def test_karma_knows_position_and_attitude_and_not_the_camera(real_data: Path, tmp_path: Path) -> None:
    report = import_flight(real_data / "recordings/gopro-karma/karma.mp4", tmp_path / "flight", hfov_deg=80.0)
    assert report.frame_counts == {"eo": 362}
    reader = FlightReader(tmp_path / "flight")
    kinds = _kinds(tmp_path / "flight")
    assert kinds["GLOBAL_POSITION_INT"] == 47
    assert kinds["ATTITUDE"] == 47
    assert kinds["GIMBAL_DEVICE_ATTITUDE_STATUS"] == 0
    frames = list(reader.frames("eo"))
    telemetry = [time_ns for time_ns, _ in reader.telemetry()]
    assert min(telemetry) - 10**9 < frames[0].time_ns < frames[-1].time_ns < max(telemetry) + 2 * 10**9
    assert frames[-1].time_ns - frames[0].time_ns == pytest.approx(12.046e9, abs=1e8)
    assert reader.info.clock.is_utc_known
    assert reader.camera("eo") is not None


def test_seadronessee_sequences_are_chosen_by_name(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "imagery/vessels-drone-seadronessee/annotations_with_telemetry.json"
    report = import_flight(source, tmp_path / "a", sequence="DJI_0113", takeoff_alt_msl_m=0.0)
    assert report.source_counts["frames"] == 60
    kinds = _kinds(tmp_path / "a")
    assert kinds["GLOBAL_POSITION_INT"] == kinds["GIMBAL_DEVICE_ATTITUDE_STATUS"] > 20
    assert kinds["ATTITUDE"] == 0, "roll and pitch of the aircraft are not told"
    default = import_flight(source.parent, tmp_path / "b")
    assert default.frame_counts == {"eo": 4}
    boxes = (tmp_path / "b/truth_boxes.jsonl").read_text()
    assert "swimmer" not in boxes
    with pytest.raises(InputError, match="0 sequences match 'nowhere'"):
        import_flight(source, tmp_path / "c", sequence="nowhere")


def test_heights_above_take_off_become_positions_when_its_height_is_told(
    real_data: Path, tmp_path: Path
) -> None:
    source = real_data / "srt/mavic_pro.SRT"
    import_flight(source, tmp_path / "a")
    assert _kinds(tmp_path / "a")["GLOBAL_POSITION_INT"] == 0
    import_flight(source, tmp_path / "b", takeoff_alt_msl_m=12.0, utc_offset_hours=10.0)
    assert _kinds(tmp_path / "b")["GLOBAL_POSITION_INT"] == 468
    info = FlightReader(tmp_path / "b").info
    assert info.clock.is_utc_known
    assert info.sortie_id.startswith("20170805T0411")


def test_a_flight_folder_is_not_imported_again(real_data: Path, tmp_path: Path) -> None:
    import_flight(real_data / "srt/air2s.srt", tmp_path / "a")
    with pytest.raises(InputError, match="already is a flight folder"):
        import_flight(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="not an empty folder"):
        import_flight(real_data / "srt/air2s.srt", tmp_path / "a")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SOURCES if "." in name and not name.startswith("video/")])
def test_cut_off_sources_never_end_in_a_traceback(real_data: Path, tmp_path: Path, name: str) -> None:
    data = (real_data / name).read_bytes()
    for number, share in enumerate((0.013, 0.37)):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = folder / Path(name).name
        source.write_bytes(data[: max(1, int(min(len(data), 600_000) * share))])
        try:
            import_flight(source, folder / "flight")
        except InputError:
            assert not (folder / "flight").exists()
        else:
            assert verify(folder / "flight").is_good


def decode_name(raw: bytes) -> str:
    frame = parse_frame(raw)
    assert frame is not None
    return decode.message_name(frame.msgid) or "unknown"


def _kinds(flight: Path) -> Counter[str]:
    return Counter(decode_name(raw) for _, raw in FlightReader(flight).telemetry())


def test_the_environment_of_the_process_stays_as_it_was(real_data: Path, tmp_path: Path) -> None:
    before = dict(os.environ)
    import_flight(real_data / "mavlink/pyulog_sample_log_small.ulg", tmp_path / "flight")
    assert dict(os.environ) == before
