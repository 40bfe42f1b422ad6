"""Settings of what is told to MAVLink ground stations."""

from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import ConfigError
from skywarden.mavlink.connection import parse_connection

MavlinkWord = Literal["ais_vessel", "adsb_vehicle", "tracking_geo", "statustext"]


class MavlinkOutConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MAVLink ground station, a table `[[mavlink_out]]`. Nothing that it sends is acted on.

    Attributes:
        connection: as pymavlink writes it, such as udpout:192.168.1.20:14550.
        what: "ais_vessel" (vessels), "adsb_vehicle" (everything; QGroundControl draws these on its map),
            "tracking_geo" (the newest as CAMERA_TRACKING_GEO_STATUS), "statustext" (a line when something
            becomes known). An autopilot that hears ADSB_VEHICLE may evade it: give "adsb_vehicle" only to a
            connection that ends at a ground station.
        unreviewed: also what no person has confirmed, marked so in name and call sign.
        interval_s: each thing is told so often.
        max_per_s: messages a second, heartbeats apart.
        keep_s: what was seen longer ago is not told.
        system_id: MAVLink system that says it; not that of an autopilot.
    """

    connection: Annotated[str, Meta(min_length=1, max_length=1024)]
    what: Annotated[tuple[MavlinkWord, ...], Meta(min_length=1, max_length=4)] = ("ais_vessel", "statustext")
    unreviewed: bool = False
    interval_s: Annotated[float, Meta(ge=0.5, le=600.0)] = 5.0
    max_per_s: Annotated[float, Meta(ge=0.5, le=500.0)] = 20.0
    keep_s: Annotated[float, Meta(ge=5.0, le=86_400.0)] = 600.0
    system_id: Annotated[int, Meta(ge=1, le=255)] = 246

    def __post_init__(self) -> None:
        """Refuse what is no connection, and recordings."""
        try:
            if parse_connection(self.connection).kind == "file":
                raise ValueError(f"connection: {self.connection!r} is a recording and hears nothing")
        except ConfigError as error:
            raise ValueError(f"connection: {error}") from error
