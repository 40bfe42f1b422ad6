"""Imports one sequence of SeaDronesSee: COCO JSON with telemetry per frame, images beside it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sim.importers.options import ImportOptions, ImportReport, Progress
from sim.importers.synthesis import Sample, Synthesiser, thinned, with_velocity
from sim.importers.writing import camera_for, open_flight, report, sensor, source_file, write_samples
from skywarden.errors import InputError
from skywarden.flight import ClockNote, FlightWriter, GimbalMount
from skywarden.geometry.rotations import quaternion_from_euler_deg

MAX_JSON_BYTES = 256_000_000
_QUADROTOR = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_PEOPLE = frozenset({"swimmer", "person", "people", "ignored"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SeaFrame:
    """One annotated frame: its telemetry as a sample, and its picture where that exists."""

    image_id: int
    time_ns: int
    sample: Sample
    path: Path | None
    width_px: int
    height_px: int


def is_seadronessee(tree: object) -> bool:
    """Whether parsed JSON looks like the collection's annotations with telemetry."""
    if not isinstance(tree, dict) or not isinstance(tree.get("images"), list):
        return False
    images = tree["images"][:50]
    return any(isinstance(image, dict) and "meta" in image and "source" in image for image in images)


def load_json(path: Path) -> Any:
    """Parsed JSON within a size limit; raises `InputError`."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes is over the limit of {MAX_JSON_BYTES}")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error


def import_seadronessee(source: Path, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Write one sequence: the named one, or that with the most pictures whose pointing is known."""
    tree = load_json(source)
    if not is_seadronessee(tree):
        raise InputError(f"{source}: is no SeaDronesSee JSON with telemetry (images with meta and source)")
    sequences = _sequences(tree, source.parent / "images", options)
    name = _chosen(sequences, options, source)
    frames = sorted(sequences[name], key=lambda frame: frame.time_ns)
    pictured = [frame for frame in frames if frame.path is not None]
    samples = with_velocity(list(thinned(frame.sample for frame in frames)), span_s=2.0)
    notes = _notes(sequences, name, frames, pictured, options)
    sensors = []
    if pictured:
        width, height = pictured[0].width_px, pictured[0].height_px
        sensors = [
            sensor(
                options,
                camera_for(options, width, height),
                width_px=width,
                height_px=height,
                mount=GimbalMount(),
                frame_lag_sigma_s=0.5,
            )
        ]
    with open_flight(
        out,
        options,
        source=Path(name),
        start_ns=frames[0].time_ns,
        telemetry_source=f"synthesised from {source.name}, sequence {name}: position, height above take-off, "
        "heading, and gimbal pitch and heading; the gimbal is taken as level in roll",
        clock=ClockNote(
            source="date_time of each frame, moved by whole quarter hours onto the log's datetime(utc)",
            sigma_s=0.5,
        ),
        sources=[
            source_file(source),
            *(source_file(frame.path) for frame in pictured if frame.path is not None),
        ],
        sensors=sensors,
        notes=notes,
    ) as writer:
        write_samples(writer, samples, Synthesiser(vehicle_type=_QUADROTOR, knows_utc=True), progress)
        numbers: dict[int, int] = {}
        for number, frame in enumerate(pictured):
            progress(number, len(pictured), "copying images")
            if frame.path is not None:
                writer.add_frame("eo", number, frame.time_ns, frame.path, name=frame.path.stem)
                numbers[frame.image_id] = number
        boxes = _write_truth(writer, tree, numbers)
        counts = {"frames": len(frames), "images": len(pictured), "boxes": boxes}
        return report(writer, "SeaDronesSee sequence", counts)


def _sequences(tree: Mapping[str, Any], folder: Path, options: ImportOptions) -> dict[str, list[SeaFrame]]:
    found: dict[str, list[SeaFrame]] = {}
    for image in tree["images"]:
        if not isinstance(image, dict) or not isinstance(image.get("source"), dict):
            continue
        name = str(image["source"].get("folder_name") or image["source"].get("video") or "")[:100]
        frame = _frame(image, folder, options)
        if name and frame is not None:
            found.setdefault(name, []).append(frame)
    return found


def _frame(image: Mapping[str, Any], folder: Path, options: ImportOptions) -> SeaFrame | None:
    meta = image.get("meta")
    if not isinstance(meta, dict):
        return None
    time_ns = _time_ns(image, meta)
    if time_ns is None:
        return None
    name = Path(str(image.get("file_name", ""))).name
    path = folder / name
    return SeaFrame(
        image_id=int(image.get("id", -1)),
        time_ns=time_ns,
        sample=_sample(meta, time_ns, options),
        path=path if name and path.is_file() else None,
        width_px=int(image.get("width", 0)),
        height_px=int(image.get("height", 0)),
    )


def _time_ns(image: Mapping[str, Any], meta: Mapping[str, Any]) -> int | None:
    """The frame's own local time, moved by whole quarter hours onto the flight log's UTC."""
    local = _moment(image.get("date_time") or meta.get("date_time"))
    utc = _moment(meta.get("datetime(utc)"))
    if local is None:
        return None if utc is None else (utc - _EPOCH) // _EPOCH.resolution * 1000
    if utc is not None:
        local -= timedelta(minutes=15) * round((local - utc) / timedelta(minutes=15))
    return (local - _EPOCH) // _EPOCH.resolution * 1000


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text[:32])
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return moment if 2000 <= moment.year < 2100 else None


def _sample(meta: Mapping[str, Any], time_ns: int, options: ImportOptions) -> Sample:
    rel = _number(meta, "height_above_takeoff(meter)")
    msl = None
    if rel is not None and options.takeoff_alt_msl_m is not None:
        msl = options.takeoff_alt_msl_m + rel
    down, heading = _number(meta, "gimbal_pitch(degrees)"), _number(meta, "gimbal_heading(degrees)")
    gimbal = None
    if down is not None and heading is not None:
        w, x, y, z = quaternion_from_euler_deg(0.0, -down, heading).tolist()
        gimbal = (w, x, y, z)
    north, east, climb = (_number(meta, f"{axis}speed(m/s)") for axis in "xyz")
    return Sample(
        time_ns=time_ns,
        latitude_deg=_number(meta, "latitude", "gps_latitude", "gps_latitude_ref"),
        longitude_deg=_number(meta, "longitude", "gps_longitude", "gps_longitude_ref"),
        alt_msl_m=msl,
        alt_rel_m=rel,
        velocity_ned_mps=None if north is None or east is None or climb is None else (north, east, climb),
        heading_deg=_number(meta, "compass_heading(degrees)"),
        q_ned_gimbal=gimbal,
        speed_mps=_number(meta, "speed(m/s)"),
    )


def _number(meta: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = meta.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _chosen(sequences: dict[str, list[SeaFrame]], options: ImportOptions, source: Path) -> str:
    if not sequences:
        raise InputError(f"{source}: no frame has telemetry with a time; nothing to import")
    if options.sequence is not None:
        matches = [name for name in sequences if name == options.sequence] or [
            name for name in sequences if name.endswith(options.sequence)
        ]
        if len(matches) != 1:
            raise InputError(
                f"{source}: {len(matches)} sequences match {options.sequence!r}; there are: "
                + ", ".join(sorted(sequences))
            )
        return matches[0]
    return max(sorted(sequences), key=lambda name: _worth(sequences[name]))


def _worth(frames: list[SeaFrame]) -> tuple[int, int, int]:
    pointed = sum(frame.path is not None and frame.sample.q_ned_gimbal is not None for frame in frames)
    return pointed, sum(frame.path is not None for frame in frames), len(frames)


def _notes(
    sequences: dict[str, list[SeaFrame]],
    name: str,
    frames: list[SeaFrame],
    pictured: list[SeaFrame],
    options: ImportOptions,
) -> list[str]:
    notes = []
    if options.sequence is None and len(sequences) > 1:
        others = ", ".join(sorted(each for each in sequences if each != name))
        notes.append(
            f"took the sequence {name} of {len(sequences)}; --sequence chooses another: {others}"[:2000]
        )
    if len(pictured) < len(frames):
        notes.append(
            f"{len(frames) - len(pictured)} of {len(frames)} frames have telemetry and no picture here"
        )
    if not any(frame.sample.q_ned_gimbal for frame in frames):
        notes.append("the telemetry does not tell where the camera points: detections get no position")
    if options.takeoff_alt_msl_m is None:
        notes.append(
            "only heights above the take-off place are known; give its height above sea level with "
            "--takeoff-alt-msl-m to get positions"
        )
    return notes


def _write_truth(writer: FlightWriter, tree: Mapping[str, Any], numbers: dict[int, int]) -> int:
    """The annotated boxes of the pictures, one a line; people are left out."""
    labels = {
        category["id"]: str(category["name"])[:64]
        for category in tree.get("categories", [])
        if isinstance(category, dict) and "id" in category and "name" in category
    }
    lines = []
    for each in tree.get("annotations", []):
        if not isinstance(each, dict):
            continue
        number = numbers.get(each.get("image_id", -1))
        label = labels.get(each.get("category_id"), "")
        box = each.get("bbox")
        if number is None or not label or label in _NO_PEOPLE or not isinstance(box, list) or len(box) != 4:
            continue
        x, y, width, height = (float(side) for side in box)
        lines.append(
            json.dumps(
                {
                    "sensor_id": "eo",
                    "frame_number": number,
                    "label": label,
                    "box_px": [x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5],
                }
            )
        )
    if lines:
        writer.add_file("truth_boxes.jsonl", ("\n".join(lines) + "\n").encode())
    return len(lines)
