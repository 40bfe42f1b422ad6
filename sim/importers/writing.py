"""The last part of every import: samples and pictures into a flight folder, with where they came from."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sim.importers.options import ImportOptions, ImportReport, Progress, platform_name
from sim.importers.synthesis import Sample, Synthesiser, synthesise
from sim.importers.video_index import VideoIndex
from skywarden.errors import InputError
from skywarden.flight import ClockNote, FlightWriter, Sensor, SourceFile
from skywarden.flight.schema import Mount
from skywarden.geometry.camera import CameraModel
from skywarden.times import basic_utc

MAX_CALIBRATION_BYTES = 1_000_000


def source_file(path: Path, name: str | None = None) -> SourceFile:
    """Name, size and SHA-256 of a source; raises `InputError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return SourceFile(name=name or path.name, sha256=digest.hexdigest(), size_bytes=path.stat().st_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def open_flight(
    out: Path,
    options: ImportOptions,
    *,
    source: Path,
    start_ns: int,
    telemetry_source: str,
    clock: ClockNote,
    sources: Iterable[SourceFile],
    sensors: Iterable[Sensor] = (),
    notes: Iterable[str] = (),
) -> FlightWriter:
    """A writer whose ids follow from the user's words, the source's name and its first instant."""
    platform_id = platform_name(options, source)
    return FlightWriter(
        out,
        sortie_id=options.sortie_id or f"{basic_utc(start_ns)}_{platform_id}",
        platform_id=platform_id,
        telemetry_source=telemetry_source,
        clock=clock,
        sensors=sensors,
        sources=sources,
        notes=notes,
    )


def write_samples(
    writer: FlightWriter, samples: Sequence[Sample], synthesiser: Synthesiser, progress: Progress
) -> None:
    """Synthesise the telemetry of all samples into the flight."""
    synthesise(
        samples,
        synthesiser,
        writer.append_telemetry,
        lambda done: progress(done, len(samples), "writing telemetry"),
    )


def write_video(
    writer: FlightWriter,
    sensor_id: str,
    video: VideoIndex,
    times_ns: Sequence[int | None],
    progress: Progress,
) -> None:
    """Copy the video and give every picture whose time is known its line."""
    if video.stream_index is None:
        return
    progress(0, 0, f"copying {video.path.name}")
    name = writer.add_video(
        sensor_id,
        video.path,
        stream_index=video.stream_index,
        time_base=video.time_base,
        codec=video.codec,
        frames=len(video.pts),
    )
    number = 0
    for pts, time_ns in zip(video.pts, times_ns, strict=True):
        if time_ns is not None:
            writer.add_video_frame(sensor_id, number, time_ns, video=name, pts=pts)
            number += 1


def report(writer: FlightWriter, kind: str, source_counts: dict[str, int]) -> ImportReport:
    """Close the flight and say what came of it."""
    info = writer.close()
    return ImportReport(
        kind=kind,
        path=str(writer.path),
        platform_id=info.platform_id,
        sortie_id=info.sortie_id,
        telemetry_count=info.telemetry_count or 0,
        frame_counts=info.frame_counts or {},
        source_counts=source_counts,
        notes=info.notes,
    )


def camera_for(
    options: ImportOptions,
    width_px: int,
    height_px: int,
    *,
    hfov_deg: float | None = None,
    vfov_deg: float | None = None,
    told_by: str = "",
) -> tuple[CameraModel | None, str]:
    """The camera and where it comes from: the user's calibration or angle, or the source's own angle.

    `(None, why)` when nobody knows. Raises `InputError` for a calibration that does not fit.
    """
    if options.calibration is not None:
        camera = read_calibration(options.calibration)
        if (camera.width_px, camera.height_px) != (width_px, height_px):
            camera = camera.scaled_to(width_px, height_px)
        return camera, f"calibration {options.calibration.name}"
    if options.hfov_deg is not None:
        camera = CameraModel.from_hfov(width_px, height_px, options.hfov_deg)
        return (
            camera,
            f"horizontal field of view {options.hfov_deg:g} degrees as the user said, no distortion",
        )
    if hfov_deg is None:
        return None, "uncalibrated: the source tells no field of view; import again with --hfov-deg"
    camera = CameraModel.from_hfov(width_px, height_px, hfov_deg)
    words = f"horizontal field of view {hfov_deg:.3f} degrees from {told_by}, no distortion"
    if vfov_deg is not None:
        upright = CameraModel.from_hfov(height_px, width_px, vfov_deg)
        camera = CameraModel(
            width_px=width_px, height_px=height_px, fx=camera.fx, fy=upright.fx, cx=camera.cx, cy=camera.cy
        )
        words = f"field of view {hfov_deg:.3f} x {vfov_deg:.3f} degrees from {told_by}, no distortion"
    return camera, words


def read_calibration(path: Path) -> CameraModel:
    """Intrinsics from JSON: ours (`fx`, `fy`, ...), or `K` and `D` with the resolution they were taken at."""
    try:
        if path.stat().st_size > MAX_CALIBRATION_BYTES:
            raise InputError(f"{path}: a calibration of {path.stat().st_size} bytes is over the limit")
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if isinstance(tree, dict) and "fx" in tree:
        return CameraModel.from_jsonable(tree)
    try:
        matrix, distortion = tree["K"], tree.get("D") or []
        if distortion and isinstance(distortion[0], list):
            distortion = distortion[0]
        return CameraModel.from_jsonable(
            {
                "width_px": _size(tree, "xresolution", "width"),
                "height_px": _size(tree, "yresolution", "height"),
                "fx": matrix[0][0],
                "fy": matrix[1][1],
                "cx": matrix[0][2],
                "cy": matrix[1][2],
                "distortion": list(distortion)[:5],
            }
        )
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path}: no camera calibration (fx, fy, cx, cy or K and D): {error!r}") from error


def sensor(
    options: ImportOptions,
    camera: tuple[CameraModel | None, str],
    *,
    width_px: int,
    height_px: int,
    mount: Mount,
    frame_lag_s: float = 0.0,
    frame_lag_sigma_s: float,
    sensor_id: str = "eo",
) -> Sensor:
    """One camera; the user's mount and lag win over the source's."""
    model, note = camera
    return Sensor(
        sensor_id=sensor_id,
        width_px=width_px,
        height_px=height_px,
        camera=None if model is None else model.to_jsonable(),
        camera_note=note,
        mount=options.mount or mount,
        frame_lag_s=frame_lag_s if options.frame_lag_s is None else options.frame_lag_s,
        frame_lag_sigma_s=frame_lag_sigma_s,
    )


def _size(tree: dict[str, Any], *names: str) -> int:
    for name in names:
        if name in tree:
            return int(tree[name])
    raise KeyError(names[0])
