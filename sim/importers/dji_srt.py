"""Imports a DJI video with the subtitle file of the same stem, or the subtitle file alone."""

import dataclasses
import math
import statistics
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.srt import SrtBlock, read_srt
from sim.importers.synthesis import Sample, Synthesiser, thinned, with_velocity
from sim.importers.video_index import VideoIndex, index_video
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
from skywarden.geometry.rotations import quaternion_from_euler_deg

_JUMP_US = 1_500_000
_HOUR_US = 3_600_000_000
_QUADROTOR = 2


@dataclass(frozen=True, kw_only=True)
class SrtClock:
    """Video seconds to UTC: piecewise constant offsets, a new piece where the recording paused."""

    starts_s: tuple[float, ...]
    offsets_us: tuple[int, ...]
    sigma_s: float

    def time_ns(self, video_s: float) -> int:
        """UTC nanoseconds of the instant `video_s` of the video."""
        piece = max(0, bisect_right(self.starts_s, video_s + 1e-6) - 1)
        return max(0, (self.offsets_us[piece] + round(video_s * 1e6)) * 1000)


def import_dji(
    srt: Path, video_path: Path | None, out: Path, options: ImportOptions, progress: Progress
) -> ImportReport:
    """Read every block and the video's index, and write the flight; `InputError` when no place is told."""
    blocks = _timed(read_srt(srt), srt)
    placed = sum(block.has_place for block in blocks)
    if placed == 0 and video_path is None:
        raise InputError(
            f"{srt}: {len(blocks)} subtitle blocks were read and none tells a position; nothing to import"
        )
    video = None if video_path is None else index_video(video_path, progress)
    clock, note = _clock(blocks, options, video)
    samples = with_velocity(list(thinned(_sample(block, clock, options) for block in blocks)))
    notes = _notes(blocks, placed, options)
    sensors = []
    if video is not None and video.stream_index is not None:
        sensors = [
            sensor(
                options,
                camera_for(options, video.width_px, video.height_px),
                width_px=video.width_px,
                height_px=video.height_px,
                mount=GimbalMount(),
                frame_lag_sigma_s=max(0.1, clock.sigma_s),
            )
        ]
    source = video_path or srt
    with open_flight(
        out,
        options,
        source=source,
        start_ns=clock.time_ns(blocks[0].start_s or 0.0),
        telemetry_source=f"synthesised from the DJI subtitles {srt.name}; velocities from successive "
        "positions, no attitude of the aircraft",
        clock=note,
        sources=[source_file(path) for path in (srt, video_path) if path is not None],
        sensors=sensors,
        notes=notes,
    ) as writer:
        synthesiser = Synthesiser(vehicle_type=_QUADROTOR, knows_utc=note.is_utc_known)
        write_samples(writer, samples, synthesiser, progress)
        if video is not None:
            write_video(writer, "eo", video, [clock.time_ns(each) for each in video.times_s], progress)
        counts = {"srt_blocks": len(blocks), "srt_blocks_with_position": placed}
        return report(writer, "DJI subtitles" if video is None else "DJI video with subtitles", counts)


def fit_clock(blocks: list[SrtBlock]) -> SrtClock | None:
    """The dates in the blocks against their video times; `None` when no block has a date.

    Stamps jitter by a frame and older firmware writes whole seconds, so each piece takes the median offset.
    """
    pairs = [
        (block.start_s, block.stamp_us - round(block.start_s * 1e6))
        for block in blocks
        if block.stamp_us is not None and block.start_s is not None
    ]
    if not pairs:
        return None
    pieces: list[list[tuple[float, int]]] = []
    for start_s, offset in pairs:
        if not pieces or abs(offset - pieces[-1][0][1]) > _JUMP_US:
            pieces.append([])
        pieces[-1].append((start_s, offset))
    medians = [round(statistics.median(offset for _, offset in piece)) for piece in pieces]
    spread = [
        abs(offset - median) for piece, median in zip(pieces, medians, strict=True) for _, offset in piece
    ]
    has_fraction = any((block.stamp_us or 0) % 1_000_000 for block in blocks)
    return SrtClock(
        starts_s=tuple(piece[0][0] for piece in pieces),
        offsets_us=tuple(medians),
        sigma_s=max(0.02 if has_fraction else 0.3, statistics.fmean(spread) / 1e6),
    )


def _timed(blocks: list[SrtBlock], srt: Path) -> list[SrtBlock]:
    """Blocks with a video time; where the dialect writes only dates, seconds since the first date."""
    if any(block.start_s is not None for block in blocks):
        return [block for block in blocks if block.start_s is not None]
    stamped = [block for block in blocks if block.stamp_us is not None]
    first = stamped[0].stamp_us
    assert first is not None
    timed = []
    last_s = -math.inf
    for block in stamped:
        assert block.stamp_us is not None
        start_s = (block.stamp_us - first) / 1e6
        if start_s < last_s:
            raise InputError(f"{srt}: the dates run backwards at block {block.number}")
        last_s = start_s
        timed.append(_with_start(block, start_s))
    return timed


def _with_start(block: SrtBlock, start_s: float) -> SrtBlock:
    return dataclasses.replace(block, start_s=start_s)


def _clock(
    blocks: list[SrtBlock], options: ImportOptions, video: VideoIndex | None
) -> tuple[SrtClock, ClockNote]:
    fitted = fit_clock(blocks)
    if options.start_utc_ns is not None:
        first_s = blocks[0].start_s or 0.0
        offset = options.start_utc_ns // 1000 - round(first_s * 1e6)
        if fitted is not None:
            offset_of_piece = offset - fitted.offsets_us[0]
            moved = tuple(each + offset_of_piece for each in fitted.offsets_us)
            clock = SrtClock(starts_s=fitted.starts_s, offsets_us=moved, sigma_s=fitted.sigma_s)
        else:
            clock = SrtClock(starts_s=(0.0,), offsets_us=(offset,), sigma_s=0.5)
        return clock, ClockNote(source="start as the user said", sigma_s=clock.sigma_s)
    if fitted is not None:
        zone_us = round((options.utc_offset_hours or 0.0) * _HOUR_US)
        shifted = tuple(each - zone_us for each in fitted.offsets_us)
        clock = SrtClock(starts_s=fitted.starts_s, offsets_us=shifted, sigma_s=fitted.sigma_s)
        if options.utc_offset_hours is not None:
            words = f"dates in the subtitles, zone UTC{options.utc_offset_hours:+g} h as the user said"
            return clock, ClockNote(source=words, sigma_s=clock.sigma_s)
        words = "dates in the subtitles, local time of a zone that is not told, taken as UTC"
        return clock, ClockNote(source=words, is_utc_known=False, sigma_s=None)
    if video is not None and video.created_ns is not None:
        clock = SrtClock(starts_s=(0.0,), offsets_us=(video.created_ns // 1000,), sigma_s=2.0)
        words = "creation time of the video file (whole seconds; some cameras write local time)"
        return clock, ClockNote(source=words, is_utc_known=False, sigma_s=2.0)
    clock = SrtClock(starts_s=(0.0,), offsets_us=(0,), sigma_s=0.0)
    words = "none: the source has no date; times count from 1970-01-01"
    return clock, ClockNote(source=words, is_utc_known=False)


def _sample(block: SrtBlock, clock: SrtClock, options: ImportOptions) -> Sample:
    alt_msl = block.alt_abs_m
    if options.takeoff_alt_msl_m is not None and block.alt_rel_m is not None:
        alt_msl = options.takeoff_alt_msl_m + block.alt_rel_m
    gimbal = None
    if block.gimbal_deg is not None:
        w, x, y, z = quaternion_from_euler_deg(*block.gimbal_deg).tolist()
        gimbal = (w, x, y, z)
    return Sample(
        time_ns=clock.time_ns(block.start_s or 0.0),
        latitude_deg=block.latitude_deg,
        longitude_deg=block.longitude_deg,
        alt_msl_m=alt_msl,
        alt_rel_m=block.alt_rel_m,
        satellites=block.satellites,
        speed_mps=block.speed_mps,
        q_ned_gimbal=gimbal,
    )


def _notes(blocks: list[SrtBlock], placed: int, options: ImportOptions) -> list[str]:
    notes = []
    if placed < len(blocks):
        notes.append(f"{len(blocks) - placed} of {len(blocks)} subtitle blocks tell no position")
    if not any(block.gimbal_deg for block in blocks):
        notes.append("the subtitles do not tell where the camera points: detections get no position")
    if any(block.alt_abs_m is not None for block in blocks) and options.takeoff_alt_msl_m is None:
        notes.append(
            "DJI's absolute height is not surveyed and may be off by tens of metres; "
            "--takeoff-alt-msl-m with the height of the take-off place is better"
        )
    elif any(block.alt_rel_m is not None for block in blocks) and options.takeoff_alt_msl_m is None:
        notes.append(
            "only heights above the take-off place are known; give its height above sea level "
            "with --takeoff-alt-msl-m to get positions"
        )
    elif any(block.alt_plain_m is not None for block in blocks) and options.takeoff_alt_msl_m is None:
        notes.append("the subtitles tell a height without saying above what; it is left out")
    elif placed and not any(block.alt_rel_m is not None for block in blocks):
        notes.append("the subtitles tell no height")
    lengths = {block.focal_length for block in blocks if block.focal_length}
    if len(lengths) == 1 and options.hfov_deg is None and options.calibration is None:
        notes.append(f"the subtitles tell focal_len {lengths.pop():g} without saying of which sensor size")
    return notes
