"""Imports a telemetry log with one video beside it; when the video began must be known."""

from pathlib import Path

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.tlog_images import copy_log, count_log, count_notes, log_clock
from sim.importers.video_index import index_video
from sim.importers.writing import camera_for, open_flight, report, sensor, source_file, write_video
from skywarden.errors import InputError
from skywarden.flight import GimbalMount

_TOLD_SIGMA_S, _CREATED_SIGMA_S = 0.2, 1.0


def import_tlog_video(
    log: Path, video_path: Path, out: Path, options: ImportOptions, progress: Progress
) -> ImportReport:
    """The first picture is put at the user's `start_utc_ns`, else at the container's creation time.

    Raises `InputError` when neither is known, or the video then lies outside the telemetry.
    """
    counts = count_log(log, progress)
    video = index_video(video_path, progress)
    start_ns = options.start_utc_ns or video.created_ns
    if video.stream_index is None or not video.pts:
        raise InputError(f"{video_path}: holds no picture")
    if start_ns is None:
        raise InputError(f"{video_path}: does not tell when it began; say it with --start")
    first_s = video.times_s[0]
    times: list[int | None] = [start_ns + round((each - first_s) * 1e9) for each in video.times_s]
    if start_ns > counts.last_ns or (times[-1] or 0) < counts.first_ns:
        raise InputError(
            f"{video_path}: begins {(start_ns - counts.first_ns) / 1e9:.0f} s after the telemetry, which "
            f"lasts {(counts.last_ns - counts.first_ns) / 1e9:.0f} s; say when it began with --start"
        )
    notes = count_notes(counts)
    if options.start_utc_ns is None:
        notes.append(
            "the video is put at its creation time, which counts whole seconds and may be local time; "
            "--start is better"
        )
    if options.mount is None:
        notes.append("camera taken as on a gimbal that tells its attitude by MAVLink; --mount says otherwise")
    eye = sensor(
        options,
        camera_for(options, video.width_px, video.height_px),
        width_px=video.width_px,
        height_px=video.height_px,
        mount=GimbalMount(),
        frame_lag_sigma_s=_TOLD_SIGMA_S if options.start_utc_ns is not None else _CREATED_SIGMA_S,
    )
    with open_flight(
        out,
        options,
        source=log.parent,
        start_ns=min(counts.first_ns, start_ns),
        telemetry_source=f"{log.name}, as it was recorded",
        clock=log_clock(counts),
        sources=[source_file(log), source_file(video_path)],
        sensors=[eye],
        notes=notes,
    ) as writer:
        copy_log(writer, log, counts)
        write_video(writer, "eo", video, times, progress)
        return report(writer, "telemetry log with video", counts.as_dict() | {"pictures": len(video.pts)})
