"""AIS reports of a file, by vessel: NMEA lines with their time of reception, or JSON lines."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyais
from pyais.exceptions import AISBaseException

from edge.calibration.control_points import KNOT_MPS, VesselReport, stamped_ns
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.times import parse_rfc3339

MAX_FILE_BYTES = 64_000_000
MAX_LINE_BYTES = 1024
MAX_VESSELS = 2000

POSITION_TYPES = frozenset({1, 2, 3, 18, 19})
STATIC_TYPES = frozenset({5, 19, 24})

_SENTENCE = re.compile(rb"![A-Z]{2}VD[MO],(\d),(\d),(\d?),[^*]{1,120}\*[0-9A-Fa-f]{2}")
_TAG_TIME = re.compile(rb"\\[^\\]{0,80}\bc:(\d{9,13})[^\\]{0,80}\\")
_TRAILING_TIME = re.compile(rb"\*[0-9A-Fa-f]{2},(\d{9,10})\b")

Dimensions = tuple[float, float, float, float]


def read_ais(path: Path) -> dict[str, list[VesselReport]]:
    """Position reports by MMSI (as text), in the order of the file.

    NMEA needs the time of reception, as a tag block (`\\c:1700000000*hh\\!AIVDM...`) or behind the
    checksum (`!AIVDM,...*hh,1700000000`). A JSON line has `time` (RFC 3339), `mmsi`, `lat_deg`, `lon_deg`,
    and may have `sog_kn`, `cog_deg`, `heading_deg`, `accuracy`, `second`, `dimensions` (A, B, C, D). Raises
    `InputError` when no report has a time and a place.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes are over the limit of {MAX_FILE_BYTES}")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    book = _Book()
    for line in lines:
        if 0 < len(line) <= MAX_LINE_BYTES:
            book.take(line.strip())
    reports = book.reports()
    if not reports:
        raise InputError(
            f"{path}: no position report with a time among {len(lines)} lines ({book.timeless} had no time "
            "of reception: a tag block \\c:SECONDS\\ or ,SECONDS behind the checksum)"
        )
    return reports


class _Book:
    """Reports and dimensions as they come."""

    def __init__(self) -> None:
        self.timeless = 0
        self._found: dict[str, list[VesselReport]] = defaultdict(list)
        self._dimensions: dict[str, Dimensions] = {}
        self._parts: dict[tuple[bytes, bytes], list[bytes]] = {}

    def take(self, line: bytes) -> None:
        if line.startswith(b"{"):
            self._take_json(line)
            return
        sentence = _SENTENCE.search(line)
        if sentence is None:
            return
        whole = self._whole(sentence)
        if whole is None:
            return
        try:
            tree = pyais.decode(*whole).asdict()
        except (AISBaseException, ValueError, IndexError, KeyError):
            return
        kind, name = tree.get("msg_type"), str(tree.get("mmsi", ""))
        if kind in STATIC_TYPES and tree.get("to_bow") is not None:
            self._dimensions[name] = tuple(  # type: ignore[assignment]
                float(tree.get(key) or 0) for key in ("to_bow", "to_stern", "to_port", "to_starboard")
            )
        if kind in POSITION_TYPES:
            self._position(tree, name, _received_ns(line))

    def reports(self) -> dict[str, list[VesselReport]]:
        """By vessel, with the dimensions that any of its messages told."""
        found = {}
        for name, rows in sorted(self._found.items()):
            bow, stern, port, starboard = self._dimensions.get(name, (0.0, 0.0, 0.0, 0.0))
            found[name] = [
                row
                if row.to_bow_m + row.to_stern_m > 0.0
                else replace(row, to_bow_m=bow, to_stern_m=stern, to_port_m=port, to_starboard_m=starboard)
                for row in rows
            ]
        return found

    def _whole(self, sentence: re.Match[bytes]) -> list[bytes] | None:
        """All parts of a message, once the last has come; a few that never end are forgotten."""
        total, number = int(sentence[1]), int(sentence[2])
        if total == 1:
            return [sentence[0]]
        key = (sentence[1], sentence[3])
        if number == 1:
            if len(self._parts) > 64:
                self._parts.clear()
            self._parts[key] = []
        parts = self._parts.get(key)
        if parts is None or len(parts) != number - 1:
            return None
        parts.append(sentence[0])
        return self._parts.pop(key) if len(parts) == total else None

    def _position(self, tree: dict[str, Any], name: str, received_ns: int | None) -> None:
        if received_ns is None:
            self.timeless += 1
            return
        time_ns = stamped_ns(received_ns, int(tree.get("second", 60)))
        latitude, longitude = float(tree["lat"]), float(tree["lon"])
        if time_ns is None or not (abs(latitude) <= 90.0 and abs(longitude) <= 180.0):
            return
        speed, course, heading = float(tree["speed"]), float(tree["course"]), float(tree["heading"])
        self._add(
            name,
            VesselReport(
                mmsi=int(name),
                time_ns=time_ns,
                latitude_deg=latitude,
                longitude_deg=longitude,
                sog_mps=speed * KNOT_MPS if speed < 102.25 else None,
                cog_deg=course if course < 360.0 else None,
                heading_deg=heading if heading < 360.0 else None,
                is_accurate=bool(tree.get("accuracy", False)),
            ),
        )

    def _add(self, name: str, report: VesselReport) -> None:
        if name in self._found or len(self._found) < MAX_VESSELS:
            self._found[name].append(report)

    def _take_json(self, line: bytes) -> None:
        try:
            row = msgspec.json.decode(line, type=_Row)
            received_ns = parse_rfc3339(row.time)
        except (msgspec.DecodeError, InputError, RecursionError):
            return
        time_ns = received_ns if row.second is None else stamped_ns(received_ns, row.second)
        if time_ns is None:
            return
        bow, stern, port, starboard = row.dimensions
        self._add(
            str(row.mmsi),
            VesselReport(
                mmsi=row.mmsi,
                time_ns=time_ns // NS_PER_S * NS_PER_S,
                latitude_deg=row.lat_deg,
                longitude_deg=row.lon_deg,
                sog_mps=None if row.sog_kn is None else row.sog_kn * KNOT_MPS,
                cog_deg=row.cog_deg,
                heading_deg=row.heading_deg,
                is_accurate=row.accuracy,
                to_bow_m=bow,
                to_stern_m=stern,
                to_port_m=port,
                to_starboard_m=starboard,
            ),
        )


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """One JSON line."""

    time: str
    mmsi: int
    lat_deg: float
    lon_deg: float
    sog_kn: float | None = None
    cog_deg: float | None = None
    heading_deg: float | None = None
    accuracy: bool = False
    second: int | None = None
    dimensions: Dimensions = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not (abs(self.lat_deg) <= 90.0 and abs(self.lon_deg) <= 180.0 and 0 <= self.mmsi < 10**9):
            raise ValueError(f"no place or no vessel: {self.mmsi}, {self.lat_deg}, {self.lon_deg}")
        if self.sog_kn is not None and not 0.0 <= self.sog_kn <= 102.2:
            raise ValueError(f"a speed of {self.sog_kn} kn")
        if not all(0.0 <= each <= 511.0 for each in self.dimensions):
            raise ValueError(f"dimensions {self.dimensions}")


def _received_ns(line: bytes) -> int | None:
    found = _TAG_TIME.search(line) or _TRAILING_TIME.search(line)
    if found is None:
        return None
    number = int(found[1])
    return number * (NS_PER_S // 1000) if number > 10**11 else number * NS_PER_S
