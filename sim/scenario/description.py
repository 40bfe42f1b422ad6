"""A whole scenario from its TOML file: read, checked, its named shapes drawn, its seasons told apart.

Positions in a scenario are metres east and north of the place; the world turns them into WGS 84. What the
tables may say stands in `sim.scenario.tables`.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from sim.scenario.land.noise import generator
from sim.scenario.land.shapes import outline_of
from sim.scenario.tables.faults import Fault
from sim.scenario.tables.fleet import AisReceiver, Vessel
from sim.scenario.tables.flying import Platform
from sim.scenario.tables.land import Decoy, Land, Parcel, Plot, Structure
from sim.scenario.tables.place import Light, Place, Sea, Season, Weather
from sim.scenario.tables.units import Name
from skywarden.config import Config, load_config
from skywarden.errors import ConfigError

PieceT = TypeVar("PieceT", Plot, Parcel)

MAX_TEXELS = 60e6


class Scenario(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole scenario; the same file and the same seed give the same bytes."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=120)]
    about: Annotated[str, Meta(max_length=1000)] = ""
    """What happens, and what a good watch makes of it."""
    seed: Annotated[int, Meta(ge=0, le=2**32)] = 1
    start_unix_s: Annotated[int, Meta(ge=946_684_800, le=4_000_000_000)]
    duration_s: Annotated[float, Meta(gt=0.0, le=21_600.0)] = 120.0
    vary_m: Annotated[float, Meta(ge=0.0, le=500.0)] = 0.0
    """How far another seed than the file's moves vessels at the start; it also turns sun and wind a bit."""
    place: Place
    light: Light = Light()
    weather: Weather = Weather()
    sea: Sea = Sea()
    land: Land = Land()
    seasons: Annotated[tuple[Season, ...], Meta(max_length=12)] = ()
    season: Annotated[str, Meta(max_length=60)] = ""
    """Which of its seasons it is seen in; `in_season` says so, never a file."""
    plots: Annotated[tuple[Plot, ...], Meta(max_length=500)] = ()
    parcels: Annotated[tuple[Parcel, ...], Meta(max_length=500)] = ()
    structures: Annotated[tuple[Structure, ...], Meta(max_length=500)] = ()
    decoys: Annotated[tuple[Decoy, ...], Meta(max_length=500)] = ()
    vessels: Annotated[tuple[Vessel, ...], Meta(max_length=500)] = ()
    ais: AisReceiver = AisReceiver()
    platforms: Annotated[tuple[Platform, ...], Meta(min_length=1, max_length=32)]
    fault: Annotated[tuple[Fault, ...], Meta(max_length=200)] = ()

    @property
    def start_ns(self) -> int:
        """When the scenario begins, UTC nanoseconds."""
        return self.start_unix_s * 1_000_000_000

    @property
    def land_seed(self) -> int:
        """What coast, relief and plants are drawn by."""
        return self.seed if self.land.seed is None else self.land.seed

    def platform(self, platform_id: str) -> Platform:
        """The platform of that id; raises `ConfigError` when the scenario has none."""
        for platform in self.platforms:
            if platform.id == platform_id:
                return platform
        known = ", ".join(platform.id for platform in self.platforms)
        raise ConfigError(f"scenario {self.name} has no platform {platform_id[:60]!r}; it has {known}")

    def in_season(self, season_id: str) -> "Scenario":
        """The scenario as it is at one of its visits: start, light, growth, and only the plots of then.

        Its `seasons` are then empty. Raises `ConfigError` for a season that it does not have.
        """
        known = {season.id: season for season in self.seasons}
        if season_id not in known:
            names = ", ".join(known) or "none"
            raise ConfigError(f"scenario {self.name} has no season {season_id[:40]!r}; it has {names}")
        season = known[season_id]
        return msgspec.structs.replace(
            self,
            start_unix_s=season.start_unix_s,
            light=season.light or self.light,
            weather=season.weather or self.weather,
            land=msgspec.structs.replace(self.land, greenness=season.greenness),
            plots=tuple(_grown(plot, season_id) for plot in self.plots if _is_there(plot, season_id)),
            parcels=tuple(_grown(one, season_id) for one in self.parcels if _is_there(one, season_id)),
            seasons=(),
            season=season_id,
        )


def builtin_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that come with skywarden, sorted."""
    folder = resources.files("sim") / "scenarios"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_scenario(name_or_path: str | Path, *, seed: int | None = None) -> Scenario:
    """Read a built-in scenario by name, or a TOML file by path; `seed` overrides the file's.

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
        with resources.as_file(resources.files("sim") / "scenarios" / f"{name_or_path}.toml") as builtin:
            found = _checked(load_config(Scenario, builtin, prefix="SCENARIO", environ={}), builtin)
    else:
        found = _checked(load_config(Scenario, path, prefix="SCENARIO", environ={}), path)
    return found if seed is None or seed == found.seed else varied(found, seed)


def varied(scenario: Scenario, seed: int) -> Scenario:
    """The scenario by another seed: the same story with other errors, noise and draws.

    Where it has `vary_m`, vessels that are not tied to a place begin elsewhere, and light and wind differ.
    """
    rng = generator(seed, "varied", scenario.name)
    share = min(scenario.vary_m / 50.0, 1.0)
    moved = []
    for vessel in scenario.vessels:
        shift = np.clip(rng.normal(0.0, scenario.vary_m / 2.0, 2), -scenario.vary_m, scenario.vary_m)
        is_tied = vessel.speed_mps == 0.0 and not vessel.steps
        at = vessel.at if is_tied else (vessel.at[0] + float(shift[0]), vessel.at[1] + float(shift[1]))
        moved.append(msgspec.structs.replace(vessel, at=at))
    sun, wind = (float(value) * share for value in rng.normal(0.0, 1.0, 2))
    light, sea = scenario.light, scenario.sea
    return msgspec.structs.replace(
        scenario,
        seed=seed,
        vessels=tuple(moved),
        light=msgspec.structs.replace(light, sun_azimuth_deg=(light.sun_azimuth_deg + 12.0 * sun) % 360.0),
        sea=msgspec.structs.replace(sea, wind_mps=min(max(sea.wind_mps * (1.0 + 0.08 * wind), 0.5), 25.0)),
    )


def _is_there(piece: Plot | Parcel, season_id: str) -> bool:
    return not piece.growth_by_season or season_id in piece.growth_by_season


def _grown(piece: PieceT, season_id: str) -> PieceT:
    growth = piece.growth_by_season.get(season_id, piece.growth)
    return msgspec.structs.replace(piece, growth=growth, growth_by_season={})


def _checked(scenario: Scenario, path: Path) -> Scenario:
    for what in ("plots", "parcels", "structures", "decoys", "vessels", "platforms", "seasons"):
        ids = [item.id for item in getattr(scenario, what)]
        doubled = sorted({item for item in ids if ids.count(item) > 1})
        if doubled:
            raise ConfigError(
                f"{path}: {what}: id {doubled[0]!r} stands {ids.count(doubled[0])} times; ids are unique"
            )
    if scenario.season:
        raise ConfigError(f"{path}: season: is said by --season when it is flown; write [[seasons]] here")
    place = scenario.place
    if place.east_m - place.west_m < 100.0 or place.north_m - place.south_m < 100.0:
        raise ConfigError(
            f"{path}: place: the world must reach at least 100 m from west to east and south to north"
        )
    _check_platforms(scenario, path)
    _check_vessels(scenario, path)
    _check_faults(scenario, path)
    if place.terrain and not Path(place.terrain).is_absolute():
        place = msgspec.structs.replace(place, terrain=str(path.parent / place.terrain))
    return msgspec.structs.replace(
        scenario,
        place=place,
        plots=tuple(_outlined(plot, path) for plot in scenario.plots),
        parcels=tuple(_outlined(parcel, path) for parcel in scenario.parcels),
    )


def _outlined(piece: PieceT, path: Path) -> PieceT:
    """The piece with its outline as points."""
    if piece.shape is not None and not piece.outline:
        return msgspec.structs.replace(piece, outline=outline_of(piece.shape, piece.id), shape=None)
    if piece.shape is not None or len(piece.outline) < 3:
        raise ConfigError(f"{path}: {piece.id}: give an outline of at least 3 points, or a shape, not both")
    return piece


def _check_platforms(scenario: Scenario, path: Path) -> None:
    vessels = {vessel.id for vessel in scenario.vessels}
    for platform in scenario.platforms:
        west, south, east, north = platform.look_area
        texels = (east - west) * (north - south) / platform.texel_m**2
        if east <= west or north <= south or texels > MAX_TEXELS:
            raise ConfigError(
                f"{path}: platforms: {platform.id}: look_area must go west, south, east, north "
                f"and hold at most 60 million texels of texel_m (it holds {texels / 1e6:.0f} million)"
            )
        sweep = platform.camera.sweep
        if sweep is not None and sweep.reference == "point" and sweep.at is None:
            raise ConfigError(f"{path}: platforms: {platform.id}: a sweep about a point needs `at`")
        if sweep is not None and sweep.reference == "vessel" and sweep.follow not in vessels:
            raise ConfigError(
                f"{path}: platforms: {platform.id}: sweep follows {sweep.follow!r}, which is no vessel here"
            )


def _check_vessels(scenario: Scenario, path: Path) -> None:
    vessels = {vessel.id for vessel in scenario.vessels}
    platforms = {platform.id for platform in scenario.platforms}
    for vessel in scenario.vessels:
        where = f"{path}: vessels: {vessel.id}"
        if vessel.colour_bgr is not None and len(vessel.colour_bgr) != 3:
            raise ConfigError(f"{where}: colour_bgr needs 3 numbers, not {len(vessel.colour_bgr)}")
        for step in vessel.steps:
            if step.do in ("transit", "beach") and step.to is None:
                raise ConfigError(f"{where}: a step to {step.do} needs `to`")
            if step.do == "meet" and (step.other not in vessels or step.other == vessel.id):
                raise ConfigError(f"{where}: meets {step.other!r}, which is no other vessel here")
            if step.do == "flee" and step.other not in platforms:
                raise ConfigError(f"{where}: flees {step.other!r}, which is no platform here")


def _check_faults(scenario: Scenario, path: Path) -> None:
    platforms = {platform.id for platform in scenario.platforms}
    for number, fault in enumerate(scenario.fault):
        if fault.end_s is not None and fault.end_s <= fault.at_s:
            raise ConfigError(
                f"{path}: fault {number} ({fault.kind}): ends at {fault.end_s:g} s, "
                f"but begins at {fault.at_s:g} s"
            )
        if fault.platform is not None and fault.platform not in platforms:
            raise ConfigError(
                f"{path}: fault {number} ({fault.kind}): {fault.platform!r} is no platform here"
            )
