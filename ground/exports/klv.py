"""MISB KLV: sightings as ST 0601 packets with CE90 and LE90, the covariance in an ST 0903 target."""

from collections.abc import Iterable

from ground.review.entries import State
from ground.store.reading import StoredSighting
from skywarden import klv
from skywarden.geometry import geoid
from skywarden.messages import Sighting
from skywarden.vmti import VmtiSet, encode_vmti, target_of_box


def sighting_packet(stored: StoredSighting, *, review: State = "unreviewed") -> bytes:
    """One sighting as one packet, whose mission field says what people have said of it."""
    sighting = stored.sighting
    prefix = "EXERCISE " if sighting.is_exercise else ""
    values: dict[str, float | int | str] = {
        "precision_time_stamp_us": sighting.time_ns // 1000,
        "mission_id": f"{prefix}{review} {sighting.sortie_id}"[:120],
        "platform_designation": sighting.platform_id,
        "image_source_sensor": sighting.sensor_id,
        "image_coordinate_system": "Geodetic WGS84",
    }
    if sighting.platform_position is not None:
        latitude, longitude, alt_hae_m = sighting.platform_position
        values |= {
            "sensor_latitude_deg": latitude,
            "sensor_longitude_deg": longitude,
            "sensor_alt_msl_m": alt_hae_m - float(geoid.undulation_m(latitude, longitude)),
            "sensor_alt_hae_m": alt_hae_m,
        }
    if sighting.slant_range_m is not None:
        values["slant_range_m"] = sighting.slant_range_m
    return klv.encode_st0601(values | _target(sighting), vmti=_vmti(sighting))


def sighting_packets(found: Iterable[tuple[StoredSighting, State]]) -> bytes:
    """A stream of packets of sightings and what people said of them, in the order given."""
    return b"".join(sighting_packet(stored, review=state) for stored, state in found)


def _target(sighting: Sighting) -> dict[str, float | int | str]:
    position = sighting.position
    if position is None:
        return {}
    undulation_m = float(geoid.undulation_m(position.latitude_deg, position.longitude_deg))
    return {
        "target_location_latitude_deg": position.latitude_deg,
        "target_location_longitude_deg": position.longitude_deg,
        "target_location_alt_msl_m": position.alt_hae_m - undulation_m,
        "target_error_estimate_ce90_m": position.ce90_m,
        "target_error_estimate_le90_m": position.le90_m,
    }


def _vmti(sighting: Sighting) -> bytes:
    target = target_of_box(1, sighting.box_px, sighting.score, sighting.position)
    return encode_vmti(VmtiSet(time_us=None, size_px=None, targets=(target,)))
