"""AIS reports of a file, by vessel: NMEA lines with their time of reception, or JSON lines."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec

from edge.calibration.control_points import KNOT_MPS, VesselReport, stamped_ns
from skywarden.ais.reports import PositionReport, read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError, WireError
from skywarden.times import parse_rfc3339

MAX_FILE_BYTES = 64_000_000
MAX_LINE_BYTES = 1024
MAX_VESSELS = 2000

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
        self._sentences = SentenceReader()

    def take(self, line: bytes) -> None:
        if line.startswith(b"{"):
            self._take_json(line)
            return
        heard = self._sentences.take(line)
        if heard is None:
            return
        if heard.received_ns is None:
            self.timeless += 1
            return
        try:
            reports = read_report(heard)
        except WireError:
            return
        for report in reports:
            if report.kind not in ("A", "B"):
                continue
            if isinstance(report, PositionReport):
                self._position(report)
            elif report.hull_m is not None:
                bow, stern, port, starboard = report.hull_m
                self._dimensions[str(int(report.mmsi))] = (
                    float(bow),
                    float(stern),
                    float(port),
                    float(starboard),
                )

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

    def _position(self, report: PositionReport) -> None:
        if not report.has_second:
            return
        self._add(
            str(int(report.mmsi)),
            VesselReport(
                mmsi=int(report.mmsi),
                time_ns=report.time_ns,
                latitude_deg=report.latitude_deg,
                longitude_deg=report.longitude_deg,
                sog_mps=report.sog_mps,
                cog_deg=report.cog_deg,
                heading_deg=report.heading_deg,
                is_accurate=report.is_accurate,
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
