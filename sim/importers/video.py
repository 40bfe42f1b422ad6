"""Imports a video by what travels inside it: MISB KLV, GoPro's GPMF, or nothing but pictures."""

from pathlib import Path

from sim.importers.gopro import has_gpmf, import_gopro
from sim.importers.misb import import_klv_video, klv_of
from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.video_index import VideoIndex, index_video
from sim.importers.writing import camera_for, open_flight, report, sensor, source_file, write_video
from skywarden.errors import InputError
from skywarden.flight import ClockNote, GimbalMount


def import_video(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Read the container once and hand it to the importer of its metadata."""
    video = index_video(source, progress)
    if has_gpmf(video):
        return import_gopro(video, out, options, progress)
    if video.data and klv_of(video)[1].packets:
        return import_klv_video(video, out, options, progress)
    return _import_bare(video, out, options, progress)


def _import_bare(video: VideoIndex, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Pictures without telemetry: the flight replays and detects, and knows no place."""
    if video.stream_index is None or not video.pts:
        raise InputError(f"{video.path}: holds no picture and no metadata that is understood")
    start_ns = options.start_utc_ns
    if start_ns is not None:
        clock = ClockNote(source="start as the user said")
    elif video.created_ns is not None:
        start_ns = video.created_ns
        words = "creation time of the video file (the camera's own clock, perhaps local time)"
        clock = ClockNote(source=words, is_utc_known=False)
    else:
        start_ns = 0
        words = "none: the source has no date; times count from 1970-01-01"
        clock = ClockNote(source=words, is_utc_known=False)
    first_s = video.times_s[0]
    eye = sensor(
        options,
        camera_for(options, video.width_px, video.height_px),
        width_px=video.width_px,
        height_px=video.height_px,
        mount=GimbalMount(),
        frame_lag_sigma_s=0.5,
    )
    with open_flight(
        out,
        options,
        source=video.path,
        start_ns=start_ns,
        telemetry_source="none: the video holds no telemetry",
        clock=clock,
        sources=[source_file(video.path)],
        sensors=[eye],
        notes=["the source holds no telemetry: detections get no position"],
    ) as writer:
        times: list[int | None] = [start_ns + round((each - first_s) * 1e9) for each in video.times_s]
        write_video(writer, "eo", video, times, progress)
        return report(writer, "video without telemetry", {"pictures": len(video.pts)})
