"""Boxes and telemetry of SeaDronesSee videos as the field-of-view estimator wants them."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from edge.calibration.attitude import MIN_POSES, AttitudeHistory
from edge.calibration.field_of_view import Boxes
from sim.importers.seadronessee import load_json
from skywarden.geometry import geodesy, rotations

LABELS = ("boat", "buoy")
_EDGE_PX = 3
"""A box so near the picture's border is cut off there: it says neither middle nor waterline."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS = (
    "latitude",
    "longitude",
    "height_above_takeoff(meter)",
    "gimbal_pitch(degrees)",
    "gimbal_heading(degrees)",
)


def sea_videos(annotations: Path, *, min_boxes: int = 30) -> dict[str, tuple[Boxes, AttitudeHistory]]:
    """By name, each video with telemetry and at least `min_boxes` boxes round boats and buoys."""
    tree = load_json(annotations)
    names = {category["id"]: category["name"] for category in tree["categories"]}
    boxes: dict[int, list[tuple[str, list[float]]]] = defaultdict(list)
    for each in tree["annotations"]:
        if names.get(each["category_id"]) in LABELS:
            boxes[each["image_id"]].append((names[each["category_id"]], each["bbox"]))
    videos: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for image in tree["images"]:
        if image.get("meta") and image.get("date_time"):
            videos[str(image["source"].get("folder_name"))].append(image)
    found = {}
    for name, images in sorted(videos.items()):
        history = _history(images)
        seen = _boxes(images, boxes)
        if history is not None and len(seen.time_ns) >= min_boxes:
            found[name] = seen, history
    return found


def _boxes(images: list[dict[str, Any]], boxes: dict[int, list[tuple[str, list[float]]]]) -> Boxes:
    rows = [
        (_ns(image["date_time"]), label, x + width / 2, y + height)
        for image in images
        for label, (x, y, width, height) in boxes[image["id"]]
        if _is_whole(image, x, y, width, height)
    ]
    return Boxes(
        time_ns=np.array([row[0] for row in rows], dtype=np.int64),
        centre_px=np.array([row[2:] for row in rows], dtype=np.float64).reshape(-1, 2),
        label=[row[1] for row in rows],
        width_px=images[0]["width"],
        height_px=images[0]["height"],
    )


def _is_whole(image: dict[str, Any], x: float, y: float, width: float, height: float) -> bool:
    right, bottom = image["width"] - _EDGE_PX, image["height"] - _EDGE_PX
    return x > _EDGE_PX and y > _EDGE_PX and x + width < right and y + height < bottom


def _history(images: list[dict[str, Any]]) -> AttitudeHistory | None:
    """One sample for each second of the log: frames between repeat it."""
    rows: dict[int, list[float]] = {}
    for image in images:
        meta = image["meta"]
        values = [meta.get(key) for key in _KEYS]
        if all(isinstance(value, int | float) and np.isfinite(value) for value in values):
            rows.setdefault(_log_ns(image), [float(value) for value in values if value is not None])
    if len(rows) < MIN_POSES:
        return None
    times = np.array(sorted(rows), dtype=np.int64)
    table = np.array([rows[int(time_ns)] for time_ns in times])
    housing = rotations.matrix_from_euler_deg(np.zeros(len(table)), -table[:, 3], table[:, 4])
    places = (table[:, 0], table[:, 1], table[:, 2])
    return AttitudeHistory(
        times_ns=times,
        q_ned_camera=rotations.quaternion_from_matrix(housing @ rotations.GIMBAL_FROM_CAMERA),
        position_ned_m=geodesy.ned_from_geodetic(places, table[0, 0], table[0, 1], table[0, 2]),
        height_m=table[:, 2],
    )


def _log_ns(image: dict[str, Any]) -> int:
    """The log's own second, moved by whole quarter hours to the frames' local time."""
    frame, told = _moment(image["date_time"]), image["meta"].get("datetime(utc)")
    if not isinstance(told, str):
        return _ns(image["date_time"])
    log = _moment(told)
    log += timedelta(minutes=15) * round((frame - log) / timedelta(minutes=15))
    return int((log - _EPOCH) / timedelta(microseconds=1)) * 1000


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _ns(text: str) -> int:
    return int((_moment(text) - _EPOCH) / timedelta(microseconds=1)) * 1000
