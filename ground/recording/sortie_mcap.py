"""A sortie as MCAP: where the platform was, what it saw with its covariance, images, tracks and plots.

Topics: `/notice` (foxglove.Log), `/platform/fix` and `/sightings/fix` (foxglove.LocationFix; the covariance
is known), `/sightings` (every column of the export's table), `/chips` (foxglove.CompressedImage), `/tracks`
and `/plots` (foxglove.GeoJSON). Messages are JSON with JSON Schema. Log time is UTC, by which readers put
them in order. What the aircraft itself recorded is another file: `skywarden flight export`.
"""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.writer import Writer

from ground.catalogue.sorties import Sortie, selection_of, sightings_of
from ground.exports.geojson import feature
from ground.exports.rows import sighting_row
from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.exports.tables import TABLES, Layer, properties_of
from ground.review.release import CONFIRMED_NOTICE, UNREVIEWED_NOTICE
from ground.store.reading import StoredSighting
from skywarden.errors import StoreError
from skywarden.messages import Position

_KNOWN_COVARIANCE = 3
_UNKNOWN_COVARIANCE = 0
_INFO, _WARNING = 2, 3
_NUMBER: dict[str, Any] = {"type": "number"}
_TEXT: dict[str, Any] = {"type": "string"}
_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "foxglove.LocationFix": {
        "timestamp": _TIME, "frame_id": _TEXT, "latitude": _NUMBER, "longitude": _NUMBER, "altitude": _NUMBER,
        "position_covariance": {"type": "array", "items": _NUMBER},
        "position_covariance_type": {"type": "integer"},
    },
    "foxglove.CompressedImage": {
        "timestamp": _TIME, "frame_id": _TEXT, "format": _TEXT,
        "data": {"type": "string", "contentEncoding": "base64"},
    },
    "foxglove.GeoJSON": {"geojson": _TEXT},
    "foxglove.Log": {"timestamp": _TIME, "level": {"type": "integer"}, "message": _TEXT, "name": _TEXT},
}  # fmt: skip
"""Properties as Foxglove publishes them."""
_KINDS = {"text": "string", "real": "number", "integer": "integer", "time": "string", "flag": "boolean"}


def write_sortie_mcap(
    source: ExportSource, sortie: Sortie, path: Path, *, with_unreviewed: bool
) -> dict[str, int]:
    """Write a new file at `path`; counts by topic. Raises `StoreError` when it cannot be written."""
    notice = source.mark.notice(UNREVIEWED_NOTICE if with_unreviewed else CONFIRMED_NOTICE)
    try:
        with path.open("wb") as out:
            writer: Any = Writer(out)
            writer.start(profile="", library="skywarden")
            recording = _Recording(writer)
            level = _WARNING if with_unreviewed or source.mark.is_exercise else _INFO
            log = {"level": level, "message": notice, "name": "skywarden"}
            recording.write("/notice", "foxglove.Log", sortie.first_ns, log)
            for stored, state in sightings_of(source, sortie, with_unreviewed=with_unreviewed):
                recording.sighting(stored, properties_of(sighting_row(stored, state), "sightings"))
                recording.chip(stored, source)
            wanted = selection_of(sortie, Selection(with_unreviewed=with_unreviewed))
            recording.shapes("tracks", source, wanted, sortie)
            recording.shapes("plots", source, wanted, sortie)
            writer.add_metadata(
                "sortie",
                {"sortie_id": sortie.sortie_id, "platform_id": sortie.platform_id, "notice": notice},
            )
            writer.finish()
    except (OSError, McapError) as error:
        raise StoreError(f"{path}: the recording cannot be written ({error})") from error
    return dict(sorted(recording.counts.items()))


@dataclass
class _Recording:
    writer: Any
    counts: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)

    def sighting(self, stored: StoredSighting, columns: dict[str, Any]) -> None:
        """Where the platform was, where the thing was, and every column."""
        seen = stored.sighting
        if seen.platform_position is not None:
            latitude, longitude, alt_hae_m = seen.platform_position
            place = {"latitude": latitude, "longitude": longitude, "altitude": alt_hae_m}
            unknown = {"position_covariance": [0.0] * 9, "position_covariance_type": _UNKNOWN_COVARIANCE}
            self.write(
                "/platform/fix",
                "foxglove.LocationFix",
                seen.time_ns,
                {"frame_id": seen.platform_id, **place, **unknown},
            )
        if seen.position is not None:
            fix = {"frame_id": seen.track_id, **_fix(seen.position)}
            self.write("/sightings/fix", "foxglove.LocationFix", seen.time_ns, fix)
        self.write("/sightings", "skywarden.Sighting", seen.time_ns, columns)

    def chip(self, stored: StoredSighting, source: ExportSource) -> None:
        """The image cut out around it, where there is one that is whole."""
        if stored.chip_id is None:
            return
        try:
            chip = source.chip(stored.chip_id)
        except StoreError:
            return  # damaged: the store has counted it
        if chip is not None:
            content = {
                "frame_id": stored.sighting.track_id,
                "format": chip.media_type.removeprefix("image/"),
                "data": base64.b64encode(chip.data).decode("ascii"),
            }
            self.write("/chips", "foxglove.CompressedImage", chip.time_ns, content)

    def shapes(self, layer: Layer, source: ExportSource, wanted: Selection, sortie: Sortie) -> None:
        """Each track or plot of the sortie as a feature of its own."""
        for row in source.rows(layer, wanted):
            if row.values.get("sortie_id") == sortie.sortie_id:
                text = json.dumps(feature(row, layer), allow_nan=False)
                self.write(f"/{layer}", "foxglove.GeoJSON", row.last_ns, {"geojson": text})

    def write(self, topic: str, schema: str, time_ns: int, content: dict[str, Any]) -> None:
        """One message as JSON."""
        if schema not in self.schemas:
            tree = {"title": schema, "type": "object", "properties": _properties(schema)}
            self.schemas[schema] = self.writer.register_schema(
                schema, "jsonschema", json.dumps(tree).encode()
            )
        if topic not in self.channels:
            self.channels[topic] = self.writer.register_channel(topic, "json", self.schemas[schema])
        if "timestamp" in _properties(schema):
            stamp = {"sec": time_ns // 1_000_000_000, "nsec": time_ns % 1_000_000_000}
            content = {"timestamp": stamp, **content}
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self.writer.add_message(
            self.channels[topic],
            log_time=time_ns,
            publish_time=time_ns,
            data=json.dumps(content, allow_nan=False).encode(),
            sequence=self.counts[topic] & 0xFFFF_FFFF,
        )


def _properties(schema: str) -> dict[str, Any]:
    if schema in _SCHEMAS:
        return _SCHEMAS[schema]
    return {one.name: {"type": [_KINDS[one.kind], "null"]} for one in TABLES["sightings"]}


def _fix(position: Position) -> dict[str, Any]:
    """Row-major 3x3 in east, north, up, as Foxglove has it."""
    ee, en, eu, nn, nu, uu = position.covariance_enu_m2
    return {
        "latitude": position.latitude_deg,
        "longitude": position.longitude_deg,
        "altitude": position.alt_hae_m,
        "position_covariance": [ee, en, eu, en, nn, nu, eu, nu, uu],
        "position_covariance_type": _KNOWN_COVARIANCE,
    }
