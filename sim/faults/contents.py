"""What made platforms record in the scenarios: a sighting, a chip, a health condition."""

from skywarden.messages import Bearing, Chip, Health, Sighting


def made_sighting(
    sighting_id: str, track_id: str, platform_id: str, frame_number: int, time_ns: int
) -> Sighting:
    """A sighting without a place, with a bearing."""
    return Sighting(
        sighting_id=sighting_id,
        track_id=track_id,
        platform_id=platform_id,
        sortie_id="s1",
        sensor_id="eo",
        frame_number=frame_number,
        time_ns=time_ns,
        label="vessel",
        score=0.5,
        model_id="m",
        box_px=(1.0, 2.0, 3.0, 4.0),
        position=None,
        bearing=Bearing(azimuth_deg=90.0, elevation_deg=-1.0, sigma_deg=2.0),
        no_position_reason="telemetry_stale",
    )


def made_chip(chip_id: str, sighting_id: str, platform_id: str, time_ns: int, data: bytes) -> Chip:
    """A chip of a sighting; its bytes are not a picture."""
    return Chip(
        chip_id=chip_id,
        sighting_id=sighting_id,
        platform_id=platform_id,
        time_ns=time_ns,
        media_type="image/jpeg",
        width_px=64,
        height_px=64,
        box_in_chip_px=(8.0, 8.0, 56.0, 56.0),
        data=data,
    )


def made_health(platform_id: str, text: str, time_ns: int) -> Health:
    """A camera that stalled."""
    return Health(
        platform_id=platform_id,
        component="camera.eo",
        condition="stalled",
        state="degraded",
        time_ns=time_ns,
        since_ns=time_ns,
        text=text,
    )
