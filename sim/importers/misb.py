"""Imports video with MISB metadata (MPEG-TS or any container with KLV), and bare KLV files."""

import math
import statistics
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Quaternion, Sample, Synthesiser, with_velocity
from sim.importers.video_index import VideoIndex
from sim.importers.writing import (
    camera_for,
    open_flight,
    report,
    sensor,
    source_file,
    write_samples,
    write_video,
)
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.flight import ClockNote, GimbalMount
from skywarden.geometry.geodesy import ned_from_geodetic
from skywarden.geometry.rotations import multiply, quaternion_from_euler_deg
from skywarden.klv import KlvCounts, KlvPacket, KlvReader

MAX_KLV_BYTES = 512_000_000
_FIXED_WING = 1
_STEADY_S = 1.0
North = Literal["true", "grid", "nose"]
"""What a sensor's azimuth counts from: true north, UTM grid north, or the nose (as ST 0601 says)."""

_TRUE_AZIMUTH_DEG, _WRONG_AZIMUTH_DEG = 2.0, 10.0


@dataclass(frozen=True, kw_only=True)
class TimedPacket:
    """A packet and when it came in the video, in seconds (`None` outside a video)."""

    packet: KlvPacket
    video_s: float | None


def import_klv_file(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """A file of KLV packets without a video."""
    reader = KlvReader()
    packets: list[TimedPacket] = []
    if source.stat().st_size > MAX_KLV_BYTES:
        raise InputError(f"{source}: {source.stat().st_size} bytes is over the limit of {MAX_KLV_BYTES}")
    with source.open("rb") as file:
        while block := file.read(1 << 20):
            packets += [TimedPacket(packet=each, video_s=None) for each in reader.feed(block)]
        packets += [TimedPacket(packet=each, video_s=None) for each in reader.finish()]
    return _import(source, None, packets, reader.counts, out, options, progress)


def import_klv_video(
    video: VideoIndex, out: Path, options: ImportOptions, progress: Progress
) -> ImportReport:
    """A video whose data streams carry KLV; see `klv_of`."""
    packets, counts = klv_of(video)
    return _import(video.path, video, packets, counts, out, options, progress)


def klv_of(video: VideoIndex) -> tuple[list[TimedPacket], KlvCounts]:
    """The KLV packets in the data streams of a container, in the order of the container."""
    readers: dict[int, KlvReader] = {}
    found: list[TimedPacket] = []
    for piece in video.data:
        reader = readers.setdefault(piece.stream_index, KlvReader())
        found += [TimedPacket(packet=each, video_s=piece.time_s) for each in reader.feed(piece.data)]
    total = KlvCounts()
    for reader in readers.values():
        found += [TimedPacket(packet=each, video_s=None) for each in reader.finish()]
        total.packets += reader.counts.packets
        total.bad_checksums += reader.counts.bad_checksums
        total.skipped_bytes += reader.counts.skipped_bytes
        for name, count in reader.counts.by_standard.items():
            total.by_standard[name] = total.by_standard.get(name, 0) + count
    return found, total


def _import(
    source: Path,
    video: VideoIndex | None,
    packets: list[TimedPacket],
    counts: KlvCounts,
    out: Path,
    options: ImportOptions,
    progress: Progress,
) -> ImportReport:
    usable = _usable(source, packets, counts)
    stamps = [_ns(each) for each in usable]
    north = find_north([each.packet for each in usable])
    samples = [_sample(each.packet, options, north) for each in usable]
    samples.sort(key=lambda sample: sample.time_ns)
    samples = with_velocity(samples)
    notes = _notes(usable, counts, north)
    if options.takeoff_alt_msl_m is None:
        notes.append(
            "the metadata tell no height above the take-off place, so level ground is not known; "
            "give the ground's height above sea level with --takeoff-alt-msl-m to get positions"
        )
    sensors = []
    times: list[int | None] = []
    sigma_s = 0.0
    if video is not None and video.stream_index is not None:
        times, sigma_s = frame_times(video, usable)
        hfov, vfov = _field_of_view(usable, notes)
        camera = camera_for(
            options,
            video.width_px,
            video.height_px,
            hfov_deg=hfov,
            vfov_deg=vfov,
            told_by="the metadata (median)",
        )
        sensors = [
            sensor(
                options,
                camera,
                width_px=video.width_px,
                height_px=video.height_px,
                mount=GimbalMount(),
                frame_lag_sigma_s=max(0.05, sigma_s),
            )
        ]
    standard = usable[0].packet.standard
    with open_flight(
        out,
        options,
        source=source,
        start_ns=min(stamps),
        telemetry_source=f"synthesised from MISB {standard} metadata in {source.name}"
        + ("" if standard == "ST 0601" else "; image roll taken as level"),
        clock=ClockNote(source="precision time stamps of the metadata", sigma_s=sigma_s),
        sources=[source_file(source)],
        sensors=sensors,
        notes=notes,
    ) as writer:
        write_samples(writer, samples, Synthesiser(vehicle_type=_FIXED_WING, knows_utc=True), progress)
        if video is not None:
            write_video(writer, "eo", video, times, progress)
        totals = {"klv_packets": counts.packets, "klv_bad_checksum": counts.bad_checksums}
        return report(writer, f"MISB {standard}" + (" video" if video else ""), totals | counts.by_standard)


def find_north(packets: list[KlvPacket]) -> North:
    """What the sensor's azimuth is measured from; the bearing to the told frame centre is the judge."""
    if packets[0].standard == "ST 0104":
        return "grid" if _is_from_grid_north(packets) else "true"
    return "true" if _has_true_azimuth(packets) else "nose"


def grid_convergence_deg(latitude_deg: float, longitude_deg: float) -> float:
    """True less UTM grid bearing: dlon * sin(lat), good to 0.01 degrees in a zone (Snyder 1987, eq. 8-13)."""
    meridian = math.floor((longitude_deg + 180.0) / 6.0) * 6.0 - 177.0
    return _turn(longitude_deg - meridian) * math.sin(math.radians(latitude_deg))


def _is_from_grid_north(packets: list[KlvPacket]) -> bool:
    """Old encoders give the angle to UTM grid north: off by the convergence, and by nothing else."""
    off, left = [], []
    for packet in packets:
        azimuth, bearing, place = (
            packet.number("angle_to_north_deg"), _bearing_to_centre_deg(packet), _place(packet)
        )  # fmt: skip
        if azimuth is not None and bearing is not None and place is not None:
            off.append(_turn(bearing - azimuth))
            left.append(abs(off[-1] - grid_convergence_deg(*place)))
    return bool(off) and abs(statistics.median(off)) > 0.5 and statistics.median(left) < 0.2


def _has_true_azimuth(packets: list[KlvPacket]) -> bool:
    """Whether tag 18 (azimuth against the nose) holds the true bearing instead, as some encoders write it.

    The bearing must agree with tag 18 alone within 2 degrees and disagree with heading plus tag 18 by more
    than 10, in the median.
    """
    alone, with_heading = [], []
    for packet in packets:
        azimuth = packet.number("sensor_relative_azimuth_deg")
        heading = packet.number("platform_heading_deg")
        bearing = _bearing_to_centre_deg(packet)
        if azimuth is None or heading is None or bearing is None:
            continue
        alone.append(abs(_turn(bearing - azimuth)))
        with_heading.append(abs(_turn(bearing - azimuth - heading)))
    if not alone:
        return False
    return (
        statistics.median(alone) < _TRUE_AZIMUTH_DEG and statistics.median(with_heading) > _WRONG_AZIMUTH_DEG
    )


def frame_times(video: VideoIndex, packets: list[TimedPacket]) -> tuple[list[int | None], float]:
    """UTC of each picture from the packets around it, and one sigma in seconds.

    While video and metadata clocks keep step (offsets within a second) their median offset is used, so that
    jitter of the packets does not reach the pictures; else pictures are put between the packets around them.
    """
    pairs = sorted((each.video_s, _ns(each)) for each in packets if each.video_s is not None)
    if not pairs:
        return [None] * len(video.pts), 0.0
    offsets = [time_ns - round(video_s * NS_PER_S) for video_s, time_ns in pairs]
    median = round(statistics.median(offsets))
    spread_s = [abs(offset - median) / NS_PER_S for offset in offsets]
    if max(spread_s) <= _STEADY_S:
        return [median + round(each * NS_PER_S) for each in video.times_s], statistics.median(spread_s)
    seconds = [video_s for video_s, _ in pairs]
    times: list[int | None] = []
    for each in video.times_s:
        place = min(max(bisect_left(seconds, each), 1), len(pairs) - 1)
        (low_s, low_ns), (high_s, high_ns) = pairs[place - 1], pairs[place]
        share = (each - low_s) / (high_s - low_s) if high_s > low_s else 0.0
        is_between = -0.5 <= share <= 1.5 and high_ns - low_ns < 2 * NS_PER_S
        times.append(low_ns + round(share * (high_ns - low_ns)) if is_between else None)
    return times, 0.1


def _usable(source: Path, packets: list[TimedPacket], counts: KlvCounts) -> list[TimedPacket]:
    known = [each for each in packets if each.packet.is_usable and each.packet.standard != "ST 0903"]
    usable = [each for each in known if each.packet.time_ns is not None and _place(each.packet) is not None]
    if usable:
        return usable
    kinds = ", ".join(f"{count} of {name}" for name, count in sorted(counts.by_standard.items())) or "none"
    bad = f"; {counts.bad_checksums} fail their checksum" if counts.bad_checksums else ""
    raise InputError(
        f"{source}: {counts.packets} metadata packets were read ({kinds}{bad}), "
        "none with a time and a sensor position"
    )


def _ns(each: TimedPacket) -> int:
    time_ns = each.packet.time_ns
    assert time_ns is not None
    return time_ns


def _place(packet: KlvPacket) -> tuple[float, float] | None:
    latitude = packet.number("sensor_latitude_deg")
    longitude = packet.number("sensor_longitude_deg")
    if latitude is None or longitude is None or abs(latitude) > 90.0 or abs(longitude) > 180.0:
        return None
    return None if latitude == 0.0 and longitude == 0.0 else (latitude, longitude)


def _sample(packet: KlvPacket, options: ImportOptions, origin: North) -> Sample:
    alt_hae = packet.number("sensor_alt_hae_extended_m")
    alt_hae = packet.number("sensor_alt_hae_m") if alt_hae is None else alt_hae
    alt_msl = packet.number("sensor_alt_msl_m")
    alt_rel = None
    if options.takeoff_alt_msl_m is not None and alt_msl is not None:
        alt_rel = alt_msl - options.takeoff_alt_msl_m
    roll, pitch = packet.number("platform_roll_full_deg"), packet.number("platform_pitch_full_deg")
    north = packet.number("sensor_north_velocity_mps")
    east = packet.number("sensor_east_velocity_mps")
    place = _place(packet)
    assert place is not None
    time_ns = packet.time_ns
    assert time_ns is not None
    return Sample(
        time_ns=time_ns,
        latitude_deg=place[0],
        longitude_deg=place[1],
        alt_msl_m=alt_msl,
        alt_hae_m=alt_hae,
        alt_rel_m=alt_rel,
        velocity_ned_mps=None if north is None or east is None else (north, east, 0.0),
        heading_deg=packet.number("platform_heading_deg"),
        roll_deg=packet.number("platform_roll_deg") if roll is None else roll,
        pitch_deg=packet.number("platform_pitch_deg") if pitch is None else pitch,
        q_ned_gimbal=_gimbal(packet, origin),
        speed_mps=packet.number("platform_ground_speed_mps"),
    )


def _gimbal(packet: KlvPacket, origin: North) -> Quaternion | None:
    """How the camera lies against north-east-down, from whichever angles the standard uses."""
    if packet.standard == "ST 0104":
        azimuth = packet.number("angle_to_north_deg")
        elevation = packet.number("obliquity_angle_deg")
        place = _place(packet)
        if azimuth is None or elevation is None or place is None:
            return None
        if origin == "grid":
            azimuth += grid_convergence_deg(*place)
        return _quaternion(quaternion_from_euler_deg(0.0, elevation, azimuth))
    azimuth = packet.number("sensor_relative_azimuth_deg")
    elevation = packet.number("sensor_relative_elevation_deg")
    roll = packet.number("sensor_relative_roll_deg")
    if azimuth is None or elevation is None or roll is None:
        return None
    q_mount = quaternion_from_euler_deg(roll, elevation, azimuth)
    if origin == "true":
        return _quaternion(q_mount)
    heading = packet.number("platform_heading_deg")
    body_roll, body_pitch = packet.number("platform_roll_full_deg"), packet.number("platform_pitch_full_deg")
    body_roll = packet.number("platform_roll_deg") if body_roll is None else body_roll
    body_pitch = packet.number("platform_pitch_deg") if body_pitch is None else body_pitch
    if heading is None or body_roll is None or body_pitch is None:
        return None
    return _quaternion(multiply(quaternion_from_euler_deg(body_roll, body_pitch, heading), q_mount))


def _quaternion(q_wxyz: np.ndarray) -> Quaternion:
    w, x, y, z = (float(each) for each in q_wxyz)
    return w, x, y, z


def _field_of_view(packets: list[TimedPacket], notes: list[str]) -> tuple[float | None, float | None]:
    angles = [each.packet.number("sensor_hfov_deg") for each in packets]
    wide = [angle for angle in angles if angle is not None and 0.01 < angle < 170.0]
    if not wide:
        return None, None
    if max(wide) > 1.02 * min(wide):
        notes.append(
            f"the field of view changes from {min(wide):.3f} to {max(wide):.3f} degrees (zoom); the camera "
            "model is that of the median"
        )
    tall = [
        angle
        for angle in (each.packet.number("sensor_vfov_deg") for each in packets)
        if angle is not None and 0.01 < angle < 170.0
    ]
    return statistics.median(wide), statistics.median(tall) if tall else None


def _notes(packets: list[TimedPacket], counts: KlvCounts, origin: North) -> list[str]:
    notes = []
    if counts.bad_checksums:
        notes.append(
            f"{counts.bad_checksums} of {counts.packets} metadata packets fail their checksum; left out"
        )
    if counts.skipped_bytes:
        notes.append(f"{counts.skipped_bytes} bytes between metadata packets belong to none")
    if origin == "grid":
        notes.append(
            "the sensor's azimuth counts from UTM grid north (the bearing to the frame centre shows it); "
            "turned to true north"
        )
    if origin == "true" and packets[0].packet.standard == "ST 0601":
        notes.append(
            "the relative azimuth (tag 18) equals the true bearing to the frame centre; taken as true "
            "azimuth, and the angles as against the horizon"
        )
    if packets[0].packet.standard == "ST 0104":
        notes.append("the metadata tell no image roll; the image is taken as level with the horizon")
    elif any(_gimbal(each.packet, origin) is None for each in packets):
        notes.append("some packets do not tell how the sensor points; frames there get no position")
    return notes


def _bearing_to_centre_deg(packet: KlvPacket) -> float | None:
    place = _place(packet)
    latitude = packet.number("frame_centre_latitude_deg")
    longitude = packet.number("frame_centre_longitude_deg")
    if place is None or latitude is None or longitude is None:
        return None
    north, east, _ = np.asarray(
        ned_from_geodetic((latitude, longitude, 0.0), place[0], place[1], 0.0)
    ).reshape(3)
    distance_m = math.hypot(float(north), float(east))
    if not 50.0 < distance_m < 200_000.0:
        return None
    return math.degrees(math.atan2(float(east), float(north)))


def _turn(angle_deg: float) -> float:
    return (angle_deg + 180.0) % 360.0 - 180.0
