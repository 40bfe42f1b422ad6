"""The settings of alerts, as they stand in the station's file."""

from typing import Annotated

from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import ConfigError
from skywarden.mavlink.connection import parse_connection


class AlertsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who else is told of alerts.

    Attributes:
        pilot: MAVLink connection to the pilot's ground station, as pymavlink writes it, such as
            udpout:192.168.1.20:14550; alerts whose rule says so are sent there as STATUSTEXT. Empty for none.
    """

    pilot: Annotated[str, Meta(max_length=1024)] = ""

    def __post_init__(self) -> None:
        """Refuse what is no connection."""
        try:
            if self.pilot:
                parse_connection(self.pilot)
        except ConfigError as error:
            raise ValueError(f"pilot: {error}") from error
