"""Contacts, sightings, tracks, plots and AIS reports as rows of the export's tables."""

from typing import Any

from ground.exercise.mark import REAL, Mark
from ground.exports.shapes import line_geometry, vertex
from ground.exports.tables import PLACE, Row, Value
from ground.review.entries import State
from ground.store.reading import StoredContact, StoredSighting
from skywarden.ais.reports import PositionReport
from skywarden.geometry.plot_geojson import polygon_geometry
from skywarden.geometry.uncertainty import ellipse_90
from skywarden.messages import Bearing, Plot, Position

AIS_MARK = "AS TRANSMITTED, NOT VERIFIED"
_PLACE_NAMES = tuple(one.name for one in PLACE)


def mark_of(state: State, *, is_exercise: bool = False) -> str:
    """What stands on the face of one thing; empty only where it is real and confirmed."""
    parts = ["EXERCISE"] if is_exercise else []
    if state != "confirmed":
        parts.append(f"NOT CONFIRMED ({state})")
    return ", ".join(parts)


def contact_row(stored: StoredContact, state: State) -> Row:
    """A contact."""
    contact = stored.contact
    return Row(
        feature_id=contact.contact_id,
        title=f"{contact.label} {contact.contact_id}",
        geometry=_point(contact.position),
        values={
            "contact_id": contact.contact_id,
            "mark": mark_of(state, is_exercise=contact.is_exercise),
            "review": state,
            "label": contact.label,
            "score": round(contact.score, 4),
            "first_seen_utc": contact.first_ns,
            "last_seen_utc": contact.last_ns,
            **_place(contact.position),
            **_no_place(contact.bearing, contact.no_position_reason),
            "course_deg": _rounded(contact.course_deg, 1),
            "speed_mps": _rounded(contact.speed_mps, 2),
            "sighting_count": contact.sighting_count,
            "platform_ids": " ".join(contact.platform_ids),
            "model_id": contact.model_id,
            "is_exercise": contact.is_exercise,
        },
        first_ns=contact.first_ns,
        last_ns=contact.last_ns,
        state=state,
        position=contact.position,
        chip_id=stored.best_chip_id,
    )


def sighting_row(stored: StoredSighting, state: State) -> Row:
    """A sighting."""
    seen = stored.sighting
    platform = seen.platform_position or (None, None, None)
    return Row(
        feature_id=seen.sighting_id,
        title=f"{seen.label} {seen.sighting_id}",
        geometry=_point(seen.position),
        values={
            "sighting_id": seen.sighting_id,
            "mark": mark_of(state, is_exercise=seen.is_exercise),
            "review": state,
            "label": seen.label,
            "score": round(seen.score, 4),
            "time_utc": seen.time_ns,
            **_place(seen.position),
            **_no_place(seen.bearing, seen.no_position_reason),
            "position_doubt": seen.position_doubt,
            "slant_range_m": _rounded(seen.slant_range_m, 1),
            "contact_id": stored.contact_id,
            "track_id": seen.track_id,
            "platform_id": seen.platform_id,
            "sortie_id": seen.sortie_id,
            "sensor_id": seen.sensor_id,
            "frame_number": seen.frame_number,
            "platform_latitude_deg": _rounded(platform[0], 8),
            "platform_longitude_deg": _rounded(platform[1], 8),
            "platform_alt_hae_m": _rounded(platform[2], 2),
            "model_id": seen.model_id,
            "is_preview": stored.is_preview,
            "is_exercise": seen.is_exercise,
        },
        first_ns=seen.time_ns,
        last_ns=seen.time_ns,
        state=state,
        position=seen.position,
        chip_id=stored.chip_id,
    )


def track_row(looks: list[tuple[StoredSighting, State]]) -> Row | None:
    """A track as the line through its sightings with a place (in order of time; at least one); `None` without
    any. The newest says the class; one place that nobody has confirmed makes the line unconfirmed."""
    placed = sorted(
        ((one, state) for one, state in looks if one.sighting.position is not None),
        key=lambda look: (look[0].sighting.time_ns, look[0].sighting.sighting_id),
    )
    if not placed:
        return None
    newest = placed[-1][0]
    states = {one for _, one in placed}
    state: State = "unreviewed" if "unreviewed" in states else "more" if "more" in states else "confirmed"
    path = tuple(
        (one.sighting.time_ns, p.longitude_deg, p.latitude_deg, p.alt_hae_m)
        for one, _ in placed
        if (p := one.sighting.position) is not None
    )
    seen = newest.sighting
    worst_m = max(p.ce90_m for one, _ in placed if (p := one.sighting.position) is not None)
    return Row(
        feature_id=seen.track_id,
        title=f"{seen.label} {seen.track_id}",
        geometry=line_geometry(path),
        values={
            "track_id": seen.track_id,
            "mark": mark_of(state, is_exercise=seen.is_exercise),
            "review": state,
            "label": seen.label,
            "score": round(max(one.sighting.score for one, _ in placed), 4),
            "first_seen_utc": path[0][0],
            "last_seen_utc": path[-1][0],
            "worst_ce90_m": round(worst_m, 2),
            "sighting_count": len(path),
            "contact_id": newest.contact_id,
            "platform_id": seen.platform_id,
            "sortie_id": seen.sortie_id,
            "is_exercise": seen.is_exercise,
        },
        first_ns=path[0][0],
        last_ns=path[-1][0],
        state=state,
        path=path,
    )


def plot_row(plot: Plot, state: State) -> Row:
    """A plot with its outline."""
    area, low, high = plot.area_m2
    return Row(
        feature_id=plot.plot_id,
        title=f"{plot.label} {plot.plot_id}",
        geometry=polygon_geometry(plot.rings_deg),
        values={
            "plot_id": plot.plot_id,
            "mark": mark_of(state, is_exercise=plot.is_exercise),
            "review": state,
            "label": plot.label,
            "score": round(plot.score, 4),
            "first_seen_utc": plot.first_ns,
            "last_seen_utc": plot.time_ns,
            "area_m2": round(area, 1),
            "area_low_m2": round(low, 1),
            "area_high_m2": round(high, 1),
            "surface_area_m2": round(plot.surface_area_m2[0], 1),
            "slope_deg": round(plot.slope_deg, 2),
            **_place(plot.position),
            "is_complete": plot.is_complete,
            "look_count": plot.look_count,
            "platform_id": plot.platform_id,
            "sortie_id": plot.sortie_id,
            "model_id": plot.model_id,
            "is_exercise": plot.is_exercise,
        },
        first_ns=plot.first_ns,
        last_ns=plot.time_ns,
        state=state,
        position=plot.position,
    )


def ais_row(report: PositionReport, name: str | None, mark: Mark = REAL) -> Row:
    """One report of a vessel about itself; in an exercise the vessel is none."""
    return Row(
        feature_id=f"{report.mmsi}-{report.time_ns}",
        title=f"{mark.prefix}MMSI {report.mmsi}",
        geometry={"type": "Point", "coordinates": [report.longitude_deg, report.latitude_deg]},
        values={
            "mmsi": report.mmsi,
            "mark": mark.title(AIS_MARK),
            "time_utc": report.time_ns,
            "name": name,
            "latitude_deg": report.latitude_deg,
            "longitude_deg": report.longitude_deg,
            "speed_mps": _rounded(report.sog_mps, 2),
            "course_deg": _rounded(report.cog_deg, 1),
            "heading_deg": _rounded(report.heading_deg, 1),
        },
        first_ns=report.time_ns,
        last_ns=report.time_ns,
        state=None,
    )


def _point(position: Position | None) -> dict[str, Any] | None:
    if position is None:
        return None
    place = vertex(position.longitude_deg, position.latitude_deg, position.alt_hae_m)
    return {"type": "Point", "coordinates": place}


def _place(position: Position | None) -> dict[str, Value]:
    if position is None:
        return dict.fromkeys(_PLACE_NAMES)
    ee, en, _, nn, _, uu = position.covariance_enu_m2
    major, minor, azimuth = ellipse_90([[ee, en], [en, nn]])
    return {
        "latitude_deg": round(position.latitude_deg, 8),
        "longitude_deg": round(position.longitude_deg, 8),
        "alt_hae_m": round(position.alt_hae_m, 2),
        "ce90_m": round(position.ce90_m, 2),
        "le90_m": round(position.le90_m, 2),
        "ellipse_semi_major_m": round(float(major), 2),
        "ellipse_semi_minor_m": round(float(minor), 2),
        "ellipse_azimuth_deg": round(float(azimuth), 1),
        "covariance_ee_m2": round(ee, 4),
        "covariance_en_m2": round(en, 4),
        "covariance_nn_m2": round(nn, 4),
        "covariance_uu_m2": round(uu, 4),
        "surface": position.surface,
    }


def _no_place(bearing: Bearing | None, reason: str | None) -> dict[str, Value]:
    return {
        "bearing_deg": round(bearing.azimuth_deg, 2) if bearing is not None else None,
        "bearing_sigma_deg": round(bearing.sigma_deg, 3) if bearing is not None else None,
        "no_position_reason": reason,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None else None
