"""The layers of every export as flat tables: the same columns, with their units in the name, everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ground.review.entries import State
from skywarden.messages import Position
from skywarden.times import rfc3339

Layer = Literal["contacts", "sightings", "tracks", "plots", "ais"]
LAYERS: tuple[Layer, ...] = ("contacts", "sightings", "tracks", "plots", "ais")
Kind = Literal["text", "real", "integer", "time", "flag"]
Value = str | float | int | bool | None
"""Of a time: UTC nanoseconds."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `name` ends with its unit, a time is UTC."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One thing as it leaves: RFC 7946 geometry (None: no place is known), values by column, times in UTC ns.

    `state` is None where nobody reviews (AIS). `path` are (UTC ns, longitude, latitude, height) of a track.
    """

    feature_id: str
    title: str
    geometry: Mapping[str, Any] | None
    values: Mapping[str, Value]
    first_ns: int
    last_ns: int
    state: State | None
    position: Position | None = None
    chip_id: str | None = None
    path: tuple[tuple[int, float, float, float], ...] = ()


_FACE = (
    Column("mark", "text", "empty only where a person has confirmed it; EXERCISE where it is not real"),
    Column("review", "text", "what people said: confirmed, more (wanted), unreviewed"),
    Column("label", "text", "class"),
    Column("score", "real", "of the detector, 0 to 1"),
)
PLACE = (
    Column("latitude_deg", "real", "WGS 84"),
    Column("longitude_deg", "real", "WGS 84"),
    Column("alt_hae_m", "real", "above the ellipsoid"),
    Column("ce90_m", "real", "radius that holds the truth in 90 % of cases"),
    Column("le90_m", "real", "half height that does"),
    Column("ellipse_semi_major_m", "real", "90 % error ellipse"),
    Column("ellipse_semi_minor_m", "real", "90 % error ellipse"),
    Column("ellipse_azimuth_deg", "real", "of its longer axis, from true north"),
    Column("covariance_ee_m2", "real", "east, east"),
    Column("covariance_en_m2", "real", "east, north"),
    Column("covariance_nn_m2", "real", "north, north"),
    Column("covariance_uu_m2", "real", "up, up"),
    Column("surface", "text", "what the ray met: terrain, sea, level"),
)
_NO_PLACE = (
    Column("bearing_deg", "real", "true direction from the platform where there is no place"),
    Column("bearing_sigma_deg", "real", "its one-sigma error"),
    Column("no_position_reason", "text", "why there is no place"),
)
_MOTION = (
    Column("course_deg", "real", "true"),
    Column("speed_mps", "real", "over ground"),
)

TABLES: dict[Layer, tuple[Column, ...]] = {
    "contacts": (
        Column("contact_id", "text", "name of the contact"),
        *_FACE,
        Column("first_seen_utc", "time", ""),
        Column("last_seen_utc", "time", ""),
        *PLACE,
        *_NO_PLACE,
        *_MOTION,
        Column("sighting_count", "integer", "looks"),
        Column("platform_ids", "text", "platforms that saw it, with spaces between"),
        Column("model_id", "text", "detector"),
        Column("is_exercise", "flag", ""),
    ),
    "sightings": (
        Column("sighting_id", "text", "name of the sighting"),
        *_FACE,
        Column("time_utc", "time", "when it was true"),
        *PLACE,
        *_NO_PLACE,
        Column("position_doubt", "text", "why the platform's own position was suspect"),
        Column("slant_range_m", "real", "from the sensor"),
        Column("contact_id", "text", ""),
        Column("track_id", "text", ""),
        Column("platform_id", "text", ""),
        Column("sortie_id", "text", ""),
        Column("sensor_id", "text", ""),
        Column("frame_number", "integer", ""),
        Column("platform_latitude_deg", "real", "where the platform was"),
        Column("platform_longitude_deg", "real", ""),
        Column("platform_alt_hae_m", "real", ""),
        Column("model_id", "text", "detector"),
        Column("is_preview", "flag", "came over a thin link: coarse, without proof"),
        Column("is_exercise", "flag", ""),
    ),
    "tracks": (
        Column("track_id", "text", "name of the track: one object as one platform saw it"),
        *_FACE,
        Column("first_seen_utc", "time", ""),
        Column("last_seen_utc", "time", ""),
        Column("worst_ce90_m", "real", "the largest of its places"),
        Column("sighting_count", "integer", "places in the line"),
        Column("contact_id", "text", ""),
        Column("platform_id", "text", ""),
        Column("sortie_id", "text", ""),
        Column("is_exercise", "flag", ""),
    ),
    "plots": (
        Column("plot_id", "text", "name of the plot"),
        *_FACE,
        Column("first_seen_utc", "time", ""),
        Column("last_seen_utc", "time", ""),
        Column("area_m2", "real", "planimetric"),
        Column("area_low_m2", "real", "5 % limit"),
        Column("area_high_m2", "real", "95 % limit"),
        Column("surface_area_m2", "real", "along the slope"),
        Column("slope_deg", "real", ""),
        *PLACE,
        Column("is_complete", "flag", "whether all of it was seen"),
        Column("look_count", "integer", ""),
        Column("platform_id", "text", ""),
        Column("sortie_id", "text", ""),
        Column("model_id", "text", "segmenter"),
        Column("is_exercise", "flag", ""),
    ),
    "ais": (
        Column("mmsi", "text", "as transmitted"),
        Column("mark", "text", "AIS is what vessels say of themselves"),
        Column("time_utc", "time", "of the report"),
        Column("name", "text", "as transmitted"),
        Column("latitude_deg", "real", "as transmitted, WGS 84"),
        Column("longitude_deg", "real", "as transmitted, WGS 84"),
        Column("speed_mps", "real", "over ground, as transmitted"),
        Column("course_deg", "real", "true, as transmitted"),
        Column("heading_deg", "real", "true, as transmitted"),
    ),
}
"""Columns of each layer, in their order."""


def shown_value(value: Value, kind: Kind) -> Value:
    """The value as text formats and JSON carry it: times as RFC 3339 in UTC."""
    if value is None or kind != "time":
        return value
    return rfc3339(int(value))


def properties_of(row: Row, layer: Layer) -> dict[str, Value]:
    """All columns of a row for JSON."""
    return {one.name: shown_value(row.values[one.name], one.kind) for one in TABLES[layer]}
