"""Settings of AIS: where sentences come from, how long they are kept, how contacts are held against them."""

from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import ConfigError
from skywarden.mavlink.connection import parse_connection

AIS_BAUD = 38_400


class VerdictConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How contacts are held against AIS.

    Attributes:
        silent_share: of vessels here, those that do not send AIS (before anything is known).
        horizon_s: reports older than this place no vessel.
        radius_m: vessels farther from a look than this (and than its gate) are no candidates.
        max_sigma_m: a look less certain than this, per axis, decides nothing.
        match_probability: from here on "matched" is said.
        silent_probability: from here on "silent" is said.
    """

    silent_share: Annotated[float, Meta(ge=0.001, le=0.9)] = 0.2
    horizon_s: Annotated[float, Meta(ge=60.0, le=86_400.0)] = 3_600.0
    radius_m: Annotated[float, Meta(ge=100.0, le=100_000.0)] = 12_000.0
    max_sigma_m: Annotated[float, Meta(ge=1.0, le=100_000.0)] = 1_000.0
    match_probability: Annotated[float, Meta(ge=0.5, le=0.9999)] = 0.9
    silent_probability: Annotated[float, Meta(ge=0.5, le=0.9999)] = 0.9


class AisSourceConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver or feed.

    Attributes:
        name: what it is called in the status.
        connection: udpin:0.0.0.0:10110, tcp:HOST:PORT (we call), tcpin:0.0.0.0:PORT (we are called),
            serial:/dev/ttyUSB0:38400, file:/path/to/log.
        format: "nmea" for sentences, "mavlink" for AIS_VESSEL of an autopilot with a receiver.
        latitude_deg: where the antenna stands; without a place the model of what it hears knows only the map.
        longitude_deg: see `latitude_deg`.
        height_m: of the antenna above the sea, which decides how far it hears.
        platform_id: the platform that carries the receiver, instead of a place.
    """

    name: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_.\-]+$")]
    connection: Annotated[str, Meta(min_length=1, max_length=1024)]
    format: Literal["nmea", "mavlink"] = "nmea"
    latitude_deg: Annotated[float, Meta(ge=-90.0, le=90.0)] | None = None
    longitude_deg: Annotated[float, Meta(ge=-180.0, le=180.0)] | None = None
    height_m: Annotated[float, Meta(ge=0.0, le=20_000.0)] = 15.0
    platform_id: Annotated[str, Meta(max_length=128)] = ""

    def __post_init__(self) -> None:
        """Refuse what is no connection, and half a place."""
        try:
            parse_connection(self.connection, baud=AIS_BAUD)
        except ConfigError as error:
            raise ValueError(f"connection of {self.name}: {error}") from error
        if (self.latitude_deg is None) != (self.longitude_deg is None):
            raise ValueError(f"{self.name} has half a place: give latitude_deg and longitude_deg, or neither")
        if self.latitude_deg is not None and self.platform_id:
            raise ValueError(f"{self.name} stands at a place or is carried by {self.platform_id}, not both")


class AisConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AIS at the station.

    Attributes:
        source: receivers and feeds, each a table `[[ais.source]]`.
        keep_days: how long reports are kept; what is learnt about the receivers stays.
        shore: GeoJSON file with the shore as lines or polygons, for "course towards the shore at night".
        verdict: how contacts are held against AIS.
    """

    source: Annotated[tuple[AisSourceConfig, ...], Meta(max_length=16)] = ()
    keep_days: Annotated[float, Meta(ge=0.1, le=3650.0)] = 30.0
    shore: Annotated[str, Meta(max_length=4096)] = ""
    verdict: VerdictConfig = VerdictConfig()

    def __post_init__(self) -> None:
        """Refuse two sources of one name."""
        names = [one.name for one in self.source]
        if len(set(names)) != len(names):
            raise ValueError(f"two sources of AIS have one name: {sorted(names)}")
