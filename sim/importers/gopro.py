"""Imports GoPro videos: the Karma drone's autopilot stream, or the camera's own GPS."""

import dataclasses
import math
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sim.importers.gpmf import Row, Stream, read_gpmf
from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Sample, Synthesiser, with_velocity
from sim.importers.video_index import DataPacket, VideoIndex
from sim.importers.writing import (
    camera_for,
    open_flight,
    report,
    sensor,
    source_file,
    write_samples,
    write_video,
)
from skywarden.errors import InputError
from skywarden.flight import ClockNote, GimbalMount

METADATA_HANDLER = "GoPro MET"
_QUADROTOR = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_KARMA_SIGMA_S = 0.25
_CAMERA_SIGMA_S = 0.5


@dataclass(kw_only=True)
class _Heard:
    """Samples on the source's own clock (seconds), and what ties that clock to the video and to UTC."""

    samples: list[tuple[float, Sample]] = field(default_factory=list)
    video_offsets_s: list[float] = field(default_factory=list)
    utc_offsets_s: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, stream: Stream) -> None:
        self.counts[stream.key] = self.counts.get(stream.key, 0) + len(stream.rows)


def has_gpmf(video: VideoIndex) -> bool:
    """Whether the container has GoPro's metadata stream."""
    return any(METADATA_HANDLER in name for name in video.handlers.values())


def import_gopro(video: VideoIndex, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Write the flight of a GoPro video; raises `InputError` when its metadata hold no position."""
    packets = [
        packet for packet in video.data if METADATA_HANDLER in video.handlers.get(packet.stream_index, "")
    ]
    heard, words, sigma_s = _read(packets)
    if not any(sample.has_place for _, sample in heard.samples):
        raise InputError(
            f"{video.path}: {len(packets)} GPMF packets were read and none tells a position "
            "(no GPS fix, or GPS off)"
        )
    to_utc_s, clock = _utc(heard, video, options, sigma_s)
    samples = [_moved(sample, seconds + to_utc_s) for seconds, sample in heard.samples]
    samples = with_velocity(sorted(samples, key=lambda sample: sample.time_ns))
    to_source_s = statistics.median(heard.video_offsets_s)
    times: list[int | None] = [round((each + to_source_s + to_utc_s) * 1e9) for each in video.times_s]
    notes = ["the metadata do not tell where the camera points: detections get no position"]
    eye = sensor(
        options,
        camera_for(options, video.width_px, video.height_px),
        width_px=video.width_px,
        height_px=video.height_px,
        mount=GimbalMount(),
        frame_lag_sigma_s=sigma_s,
    )
    with open_flight(
        out,
        options,
        source=video.path,
        start_ns=samples[0].time_ns,
        telemetry_source=f"synthesised from GPMF in {video.path.name}: {words}",
        clock=clock,
        sources=[source_file(video.path)],
        sensors=[eye],
        notes=notes,
    ) as writer:
        synthesiser = Synthesiser(vehicle_type=_QUADROTOR, knows_utc=clock.is_utc_known)
        write_samples(writer, samples, synthesiser, progress)
        write_video(writer, "eo", video, times, progress)
        return report(writer, "GoPro video with GPMF", {"gpmf_packets": len(packets)} | heard.counts)


def _read(packets: list[DataPacket]) -> tuple[_Heard, str, float]:
    parsed = [(packet, read_gpmf(packet.data)) for packet in packets]
    if any(stream.key == "GLPI" and stream.rows for _, streams in parsed for stream in streams):
        heard = _Heard()
        for packet, streams in parsed:
            _take_karma(heard, packet, streams)
        return heard, "position, velocity and attitude of the Karma's autopilot", _KARMA_SIGMA_S
    heard = _Heard()
    for packet, streams in parsed:
        _take_camera(heard, packet, streams)
    return heard, "the camera's own GPS, no attitude", _CAMERA_SIGMA_S


def _take_karma(heard: _Heard, packet: DataPacket, streams: list[Stream]) -> None:
    """Karma rows carry seconds since the autopilot's start; SYST ties them to UTC."""
    for stream in streams:
        if stream.key not in ("GLPI", "ATTD", "GPRI", "SYST"):
            continue
        heard.count(stream)
        if stream.key == "SYST":
            heard.utc_offsets_s += [row[1] - row[0] for row in stream.rows if row[1] > 946_684_800.0]
            continue
        for row in stream.rows:
            sample = _karma_sample(stream.key, row)
            if sample is not None:
                heard.samples.append((row[0], sample))
        if stream.key == "ATTD" and stream.rows and packet.time_s is not None:
            middle = packet.time_s + (packet.duration_s or 1.0) / 2
            heard.video_offsets_s.append(statistics.fmean(row[0] for row in stream.rows) - middle)


def _karma_sample(key: str, row: Row) -> Sample | None:
    if key == "GLPI" and len(row) >= 9:
        return Sample(
            time_ns=0,
            latitude_deg=row[1],
            longitude_deg=row[2],
            alt_msl_m=row[3],
            alt_rel_m=row[4],
            velocity_ned_mps=(row[5], row[6], row[7]),
            heading_deg=row[8] if 0.0 <= row[8] <= 360.0 else None,
        )
    if key == "ATTD" and len(row) >= 4 and all(math.isfinite(angle) for angle in row[1:4]):
        roll, pitch, yaw = (math.degrees(angle) for angle in row[1:4])
        return Sample(time_ns=0, roll_deg=roll, pitch_deg=pitch, heading_deg=yaw % 360.0)
    return None


def _take_camera(heard: _Heard, packet: DataPacket, streams: list[Stream]) -> None:
    """Rows of the camera's GPS lie evenly over their packet; GPSU or GPS9 say when that was."""
    for stream in streams:
        if stream.key not in ("GPS5", "GPS9") or packet.time_s is None:
            continue
        heard.count(stream)
        heard.video_offsets_s.append(0.0)
        fix = stream.settings.get("GPSF")
        fix_type = int(fix[0]) if isinstance(fix, tuple) and fix else None
        is_msl = stream.settings.get("GPSA") == "MSLV"
        stamp = _camera_utc_s(stream)
        if stamp is not None and (fix_type is None or fix_type >= 2):
            heard.utc_offsets_s.append(stamp - packet.time_s)
        step_s = (packet.duration_s or 1.0) / max(1, len(stream.rows))
        for number, row in enumerate(stream.rows):
            sample = _camera_sample(stream.key, row, fix_type, is_msl=is_msl)
            if sample is not None:
                heard.samples.append((packet.time_s + number * step_s, sample))


def _camera_sample(key: str, row: Row, fix_type: int | None, *, is_msl: bool) -> Sample | None:
    if key == "GPS9" and len(row) >= 9:
        fix_type = int(row[8])
    if len(row) < 5 or (fix_type is not None and fix_type < 2):
        return None
    return Sample(
        time_ns=0,
        latitude_deg=row[0],
        longitude_deg=row[1],
        alt_msl_m=row[2] if is_msl else None,
        alt_hae_m=None if is_msl else row[2],
        speed_mps=row[3],
        fix_type=fix_type,
    )


def _camera_utc_s(stream: Stream) -> float | None:
    stamp = stream.settings.get("GPSU")
    if isinstance(stamp, str):
        try:
            moment = datetime.strptime(stamp[:12], "%y%m%d%H%M%S").replace(tzinfo=UTC)
            return (moment - _EPOCH) / timedelta(seconds=1) + float("0" + stamp[12:] if stamp[12:] else 0)
        except ValueError:
            return None
    if stream.key == "GPS9" and stream.rows and len(stream.rows[0]) >= 7:
        days, seconds = stream.rows[0][5:7]
        if 0 < days < 36_525:
            return (_EPOCH_2000 - _EPOCH) / timedelta(seconds=1) + days * 86_400.0 + seconds
    return None


def _utc(heard: _Heard, video: VideoIndex, options: ImportOptions, sigma_s: float) -> tuple[float, ClockNote]:
    """Seconds from the source's own clock to UTC."""
    to_source_s = statistics.median(heard.video_offsets_s)
    if options.start_utc_ns is not None:
        start_s = options.start_utc_ns / 1e9
        return start_s - to_source_s, ClockNote(source="start as the user said", sigma_s=sigma_s)
    if heard.utc_offsets_s:
        words = "UTC in the GPMF metadata; pictures against it by the packets' places in the video"
        return statistics.median(heard.utc_offsets_s), ClockNote(source=words, sigma_s=sigma_s)
    if video.created_ns is not None:
        words = "creation time of the video file (the camera's own clock, perhaps local time)"
        return video.created_ns / 1e9 - to_source_s, ClockNote(source=words, is_utc_known=False)
    words = "none: the source has no date; times count from 1970-01-01"
    return -to_source_s, ClockNote(source=words, is_utc_known=False)


def _moved(sample: Sample, utc_s: float) -> Sample:
    return dataclasses.replace(sample, time_ns=max(0, round(utc_s * 1e9)))
