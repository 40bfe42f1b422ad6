"""Accuracy on a real flight: import, detector, location and tracks against ground panels."""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from sim.accuracy.section import Section
from sim.analyze import AnalyzeOptions, analyze
from sim.importers import import_flight
from skywarden.geometry import geodesy
from skywarden.geometry.terrain import load_terrain

FloatArray = npt.NDArray[np.float64]

PANEL_A = (-35.363026, 149.164328)


def section(data: Path, scratch: Path) -> Section:
    """The flight over level ground and over SRTM terrain."""
    terrain = data / "terrain" / "S36E149_srtm3.tif"
    parts = [
        "The whole chain: import, anomaly detector, location, tracking. Panel A's reference was computed "
        "from the same flight by hand, not surveyed; the other panels have none. *Inside* counts looks "
        "whose stated CE90 circle, drawn round the look, holds the track's mean.\n",
        "| ground | track | looks | mean offset east, north | scatter RMS | inside CE90 |",
        "|---|---|---|---|---|---|",
    ]
    for title, surface in (("level at take-off", None), ("SRTM terrain", terrain)):
        results, tracks, frames = real_flight(data, surface, scratch / title.replace(" ", "-"))
        for number, result in enumerate(results):
            name = "panel A" if number == 0 else f"{result.east_m:+.0f}, {result.north_m:+.0f} m off A"
            offset = f"{result.east_m:+.2f}, {result.north_m:+.2f}" if number == 0 else ""
            parts.append(
                f"| {title} | {name} | {result.looks} | {offset} | {result.rms_m:.2f} "
                f"| {result.inside} of {result.looks} |"
            )
        parts.append(f"| {title} | *all tracks: {tracks} in {frames} frames* | | | | |")
    return Section(
        title="Real flight (CanberraUAV 2018, fixed nadir camera, 18 frames)", text="\n".join(parts)
    )


@dataclass(frozen=True, kw_only=True)
class PanelResult:
    """One track of the real flight: where it lies against panel A's reference, and how its looks scatter."""

    looks: int
    east_m: float
    north_m: float
    rms_m: float
    inside: int


def real_flight(data: Path, terrain: Path | None, scratch: Path) -> tuple[list[PanelResult], int, int]:
    """Every track of the 2018 flight with four looks or more; and the counts of tracks and frames."""
    flight, out = scratch / "flight", scratch / "out"
    import_flight(data / "recordings" / "cuav-2018", flight)
    surface = load_terrain(terrain) if terrain else None
    report = analyze(flight, out, AnalyzeOptions(surface=surface))
    features = msgspec.json.decode((out / "sightings.geojson").read_bytes())["features"]
    looks: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for feature in features:
        if feature["geometry"] is not None:
            longitude, latitude, _ = feature["geometry"]["coordinates"]
            east, north = _east_north_m(latitude, longitude)
            looks[feature["properties"]["track_id"]].append((east, north, feature["properties"]["ce90_m"]))
    results = [_panel(np.array(rows)) for rows in looks.values() if len(rows) >= 4]
    return (
        sorted(results, key=lambda result: math.hypot(result.east_m, result.north_m)),
        report.tracks,
        report.frames,
    )


def _panel(rows: FloatArray) -> PanelResult:
    middle = rows[:, :2].mean(axis=0)
    away = np.hypot(*(rows[:, :2] - middle).T)
    return PanelResult(
        looks=len(rows),
        east_m=float(middle[0]),
        north_m=float(middle[1]),
        rms_m=float(np.sqrt(np.mean(away**2))),
        inside=int((away <= rows[:, 2]).sum()),
    )


def _east_north_m(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    enu = geodesy.enu_from_geodetic((latitude_deg, longitude_deg, 0.0), *PANEL_A, 0.0)
    return float(enu[0]), float(enu[1])
