"""Where a scenario lies, its light and weather, its sea, and the seasons in which it is visited."""

from typing import Annotated, Literal

from msgspec import Meta

from sim.scenario.tables.units import Degrees, Metres, Name, Share
from skywarden.config import Config


class Place(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the origin lies on WGS 84 and how far the world reaches from it (metres east and north).

    `terrain` names a GeoTIFF or SRTM file (a path beside the scenario file, or absolute) whose heights then
    replace the procedural relief; what it holds at or below 0 m is sea.
    """

    latitude_deg: Annotated[float, Meta(ge=-70.0, le=70.0)]
    longitude_deg: Annotated[float, Meta(ge=-180.0, le=180.0)]
    note: Annotated[str, Meta(max_length=400)] = ""
    west_m: Metres = -2200.0
    east_m: Metres = 2200.0
    south_m: Metres = -1500.0
    north_m: Metres = 1500.0
    terrain: Annotated[str, Meta(max_length=500)] = ""


class Light(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sun stands and how far one sees (distance at which contrast falls to 5 %).

    Below 12 degrees the light turns warm, below the horizon blue and dim, and a camera's noise grows.
    """

    sun_azimuth_deg: Degrees = 300.0
    sun_elevation_deg: Annotated[float, Meta(ge=-18.0, le=90.0)] = 42.0
    visibility_m: Annotated[float, Meta(ge=200.0, le=200_000.0)] = 16_000.0


class Weather(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wind at flying height, which platforms head into, and the share of ground under cloud shadow."""

    wind_mps: Annotated[float, Meta(ge=0.0, le=25.0)] = 0.0
    wind_towards_deg: Degrees = 20.0
    cloud_cover: Share = 0.0


class Sea(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wind that makes the waves; it blows towards `wind_towards_deg`.

    `whitecaps` and `glint` scale how much of either is seen; `water` is what the water itself looks like.
    """

    wind_mps: Annotated[float, Meta(ge=0.5, le=25.0)] = 5.0
    wind_towards_deg: Degrees = 20.0
    whitecaps: Annotated[float, Meta(ge=0.0, le=4.0)] = 1.0
    glint: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    water: Literal["ocean", "green", "brown"] = "ocean"
    is_sheltered: bool = False
    """No surf breaks on the shore: a harbour, a river."""


class Season(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One visit of a scenario that is flown in several seasons."""

    id: Name
    start_unix_s: Annotated[int, Meta(ge=946_684_800, le=4_000_000_000)]
    greenness: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.0
    light: Light | None = None
    weather: Weather | None = None
