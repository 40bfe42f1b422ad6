"""What a scenario file may say: place, light, sea, land, things and platforms, as frozen structs from TOML.

Positions in a scenario are metres east and north of the place; the world turns them into WGS 84.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from skywarden.config import Config, load_config
from skywarden.errors import ConfigError

Metres = Annotated[float, Meta(ge=-20_000.0, le=20_000.0)]
Size = Annotated[float, Meta(gt=0.0, le=500.0)]
Degrees = Annotated[float, Meta(ge=-360.0, le=360.0)]
Speed = Annotated[float, Meta(ge=0.0, le=60.0)]
Rate = Annotated[float, Meta(gt=0.0, le=200.0)]
Sigma = Annotated[float, Meta(ge=0.0, le=100.0)]
Name = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9\-]+$")]
Point = tuple[Metres, Metres]


class Place(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the origin lies on WGS 84 and how far the world reaches from it (metres east and north)."""

    latitude_deg: Annotated[float, Meta(ge=-70.0, le=70.0)]
    longitude_deg: Annotated[float, Meta(ge=-180.0, le=180.0)]
    note: Annotated[str, Meta(max_length=400)] = ""
    west_m: Metres = -2200.0
    east_m: Metres = 2200.0
    south_m: Metres = -1500.0
    north_m: Metres = 1500.0


class Light(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sun stands and how far one sees (distance at which contrast falls to 5 %)."""

    sun_azimuth_deg: Degrees = 300.0
    sun_elevation_deg: Annotated[float, Meta(ge=5.0, le=90.0)] = 42.0
    visibility_m: Annotated[float, Meta(ge=200.0, le=200_000.0)] = 16_000.0


class Sea(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wind that makes the waves; it blows towards `wind_towards_deg`."""

    wind_mps: Annotated[float, Meta(ge=0.5, le=25.0)] = 5.0
    wind_towards_deg: Degrees = 20.0


class Hill(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rise of the land: a bell of this height and these radii along and across `azimuth_deg`."""

    at: Point
    height_m: Size
    length_m: Annotated[float, Meta(gt=10.0, le=5_000.0)]
    width_m: Annotated[float, Meta(gt=10.0, le=5_000.0)]
    azimuth_deg: Degrees = 0.0


class Land(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The land lies north of the coast line, which swings about `coast_north_m`."""

    coast_north_m: Metres = 0.0
    coast_swing_m: Annotated[float, Meta(ge=0.0, le=500.0)] = 70.0
    hills: Annotated[tuple[Hill, ...], Meta(max_length=40)] = ()
    roads: Annotated[tuple[tuple[Point, ...], ...], Meta(max_length=40)] = ()
    forest_cover: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.45


class Plot(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cultivated plot: its outline and its rows."""

    id: Name
    outline: Annotated[tuple[Point, ...], Meta(min_length=3, max_length=64)]
    row_spacing_m: Annotated[float, Meta(ge=0.4, le=10.0)] = 1.8
    row_azimuth_deg: Degrees = 0.0
    growth: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.6


StructureKind = Literal["hut", "shed", "nursery"]


class Structure(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A small building: hut, tin-roofed shed, or plastic-covered nursery."""

    id: Name
    kind: StructureKind
    at: Point
    heading_deg: Degrees = 0.0
    length_m: Size = 6.0
    width_m: Size = 4.0


VesselKind = Literal["go_fast", "fishing", "skiff", "ship"]


class Vessel(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vessel: where it is at the start and how it moves from there (a straight line or a circle)."""

    id: Name
    kind: VesselKind
    at: Point
    heading_deg: Degrees
    speed_mps: Speed = 0.0
    turn_dps: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    colour_bgr: tuple[Annotated[int, Meta(ge=0, le=255)], ...] | None = None


class Sweep(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gimbal that swings to and fro about an azimuth, counted from the nose or from true north."""

    reference: Literal["nose", "north"] = "nose"
    azimuth_deg: Degrees = 0.0
    amplitude_deg: Annotated[float, Meta(ge=0.0, le=180.0)] = 0.0
    period_s: Annotated[float, Meta(ge=1.0, le=600.0)] = 30.0
    pitch_deg: Annotated[float, Meta(ge=-90.0, le=20.0)] = -35.0


class CameraSection(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The camera: picture size, lens, rate; a gimbal (`sweep`) or, without one, a fixed nadir mount."""

    sensor_id: Name = "eo"
    width_px: Annotated[int, Meta(ge=64, le=4096)] = 960
    height_px: Annotated[int, Meta(ge=64, le=4096)] = 540
    hfov_deg: Annotated[float, Meta(ge=1.0, le=120.0)] = 50.0
    distortion: Annotated[tuple[float, ...], Meta(max_length=5)] = ()
    sweep: Sweep | None = None
    noise_sigma: Annotated[float, Meta(ge=0.0, le=30.0)] = 2.2
    jpeg_quality: Annotated[int, Meta(ge=30, le=100)] = 90
    frame_lag_s: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.0


class Errors(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One-sigma errors of what the platform says about itself, each drawn once for a flight or told so.

    Attributes:
        horizontal_m: GNSS, per horizontal axis; it drifts.
        vertical_m: GNSS height; it drifts.
        drift_time_s: how slowly.
        tilt_bias_deg: roll and pitch of the autopilot's attitude, each.
        heading_bias_deg: the autopilot's heading, and with it every azimuth.
        attitude_noise_deg: of each told attitude, per angle.
        gimbal_bias_deg: the gimbal's own idea of the vertical, roll and pitch each.
        gimbal_noise_deg: of each told gimbal attitude, per angle.
        boresight_deg: how the camera sits on its gimbal or body, per axis.
        time_offset_s: not drawn: what the delays of the link come to (see `telemetry.LINK_DELAY_S`).
        surface_m: not drawn: how far the middle of a thing stands above what the rays meet.
        pixel_px: not drawn: where a detector finds the middle of a thing.
    """

    horizontal_m: Sigma = 0.8
    vertical_m: Sigma = 1.2
    drift_time_s: Annotated[float, Meta(ge=1.0, le=10_000.0)] = 90.0
    tilt_bias_deg: Sigma = 0.15
    heading_bias_deg: Sigma = 0.6
    attitude_noise_deg: Sigma = 0.05
    gimbal_bias_deg: Sigma = 0.1
    gimbal_noise_deg: Sigma = 0.03
    boresight_deg: Sigma = 0.1
    time_offset_s: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.01
    surface_m: Sigma = 0.5
    pixel_px: Sigma = 1.0


class Platform(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A platform: its flight plan (corners flown round and round, rounded to `turn_radius_m`) and camera."""

    id: Name
    sysid: Annotated[int, Meta(ge=1, le=250)]
    vehicle: Literal["fixed_wing", "quadrotor"] = "fixed_wing"
    plan: Annotated[tuple[Point, ...], Meta(min_length=3, max_length=200)]
    turn_radius_m: Annotated[float, Meta(ge=1.0, le=2_000.0)] = 120.0
    alt_msl_m: Annotated[float, Meta(ge=5.0, le=8_000.0)]
    speed_mps: Annotated[float, Meta(ge=0.5, le=80.0)] = 18.0
    home: Point
    look_area: tuple[Metres, Metres, Metres, Metres]
    """West, south, east, north of what the camera may come to see; it is painted in detail."""
    texel_m: Annotated[float, Meta(ge=0.05, le=5.0)] = 0.5
    camera: CameraSection
    errors: Errors = Errors()


class Scenario(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole scenario; the same file and the same seed give the same bytes."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=120)]
    seed: Annotated[int, Meta(ge=0, le=2**32)] = 1
    start_unix_s: Annotated[int, Meta(ge=946_684_800, le=4_000_000_000)]
    place: Place
    light: Light = Light()
    sea: Sea = Sea()
    land: Land = Land()
    plots: Annotated[tuple[Plot, ...], Meta(max_length=500)] = ()
    structures: Annotated[tuple[Structure, ...], Meta(max_length=500)] = ()
    vessels: Annotated[tuple[Vessel, ...], Meta(max_length=500)] = ()
    platforms: Annotated[tuple[Platform, ...], Meta(min_length=1, max_length=32)]

    @property
    def start_ns(self) -> int:
        """When the scenario begins, UTC nanoseconds."""
        return self.start_unix_s * 1_000_000_000

    def platform(self, platform_id: str) -> Platform:
        """The platform of that id; raises `ConfigError` when the scenario has none."""
        for platform in self.platforms:
            if platform.id == platform_id:
                return platform
        known = ", ".join(platform.id for platform in self.platforms)
        raise ConfigError(f"scenario {self.name} has no platform {platform_id[:60]!r}; it has {known}")


def builtin_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that come with skywarden, sorted."""
    folder = resources.files("sim.scenario") / "builtin"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a built-in scenario by name, or a TOML file by path.

    Raises `ConfigError`, naming the file and the key, on anything unknown, out of range or doubled.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in builtin_scenarios():
            known = ", ".join(builtin_scenarios())
            raise ConfigError(
                f"no scenario is called {str(name_or_path)[:60]!r}; built in are {known}; "
                "a file must end in .toml"
            )
        with resources.as_file(
            resources.files("sim.scenario") / "builtin" / f"{name_or_path}.toml"
        ) as builtin:
            return _checked(load_config(Scenario, builtin, prefix="SCENARIO", environ={}), builtin)
    return _checked(load_config(Scenario, path, prefix="SCENARIO", environ={}), path)


def _checked(scenario: Scenario, path: Path) -> Scenario:
    for what in ("plots", "structures", "vessels", "platforms"):
        ids = [item.id for item in getattr(scenario, what)]
        doubled = sorted({item for item in ids if ids.count(item) > 1})
        if doubled:
            raise ConfigError(
                f"{path}: {what}: id {doubled[0]!r} stands {ids.count(doubled[0])} times; ids are unique"
            )
    place = scenario.place
    if place.east_m - place.west_m < 100.0 or place.north_m - place.south_m < 100.0:
        raise ConfigError(
            f"{path}: place: the world must reach at least 100 m from west to east and south to north"
        )
    for platform in scenario.platforms:
        west, south, east, north = platform.look_area
        texels = (east - west) * (north - south) / platform.texel_m**2
        if east <= west or north <= south or texels > 60e6:
            raise ConfigError(
                f"{path}: platforms: {platform.id}: look_area must go west, south, east, north "
                f"and hold at most 60 million texels of texel_m (it holds {texels / 1e6:.0f} million)"
            )
    for vessel in scenario.vessels:
        if vessel.colour_bgr is not None and len(vessel.colour_bgr) != 3:
            raise ConfigError(
                f"{path}: vessels: {vessel.id}: colour_bgr needs 3 numbers, not {len(vessel.colour_bgr)}"
            )
    return scenario
