"""Four kinds of height as four types that the checker does not let pass for each other, and the ways between.

A bare `float` is no height: where a function asks for an `HaeM`, mypy refuses a number, an `MslM`, an
`AboveHomeM` and an `AboveTerrainM`. There is one way from each kind to another, and it names what it needs:
the geoid at a place, the home's height, the ground's height. At run time a height is a plain number and costs
nothing. Columns (numpy) say their kind in their name: `alt_hae_m`, `alt_msl_m`, `alt_rel_m`, `height_agl_m`.
"""

import math
from typing import NewType

from skywarden.errors import InputError
from skywarden.geometry import geoid

HaeM = NewType("HaeM", float)
"""Above the WGS 84 ellipsoid, metres (`alt_hae_m`): what everything inside is computed in."""
MslM = NewType("MslM", float)
"""Above the EGM96 geoid, "above sea level", metres (`alt_msl_m`)."""
AboveHomeM = NewType("AboveHomeM", float)
"""Above the take-off place, metres (`alt_rel_m`)."""
AboveTerrainM = NewType("AboveTerrainM", float)
"""Above the ground straight below, metres (`height_agl_m`)."""

LOWEST_M, HIGHEST_M = -12_000.0, 100_000.0


def hae(height_m: float) -> HaeM:
    """A number from outside that claims to be above the ellipsoid; raises `InputError` where none can be."""
    return HaeM(_checked(height_m, "above the ellipsoid"))


def msl(height_m: float) -> MslM:
    """A number from outside that claims to be above the geoid; raises `InputError` where none can be."""
    return MslM(_checked(height_m, "above sea level"))


def above_home(height_m: float) -> AboveHomeM:
    """A number from outside that claims to be above the take-off place; raises `InputError` as above."""
    return AboveHomeM(_checked(height_m, "above home"))


def above_terrain(height_m: float) -> AboveTerrainM:
    """A number from outside that claims to be above the ground; raises `InputError` as above."""
    return AboveTerrainM(_checked(height_m, "above the ground"))


def hae_from_msl(
    height: MslM, latitude_deg: float, longitude_deg: float, *, undulation_m: float | None = None
) -> HaeM:
    """Above the ellipsoid from above the geoid: HAE = MSL + undulation.

    `undulation_m` is for a sender that states its own (a receiver with another geoid); EGM96's otherwise.
    """
    return HaeM(height + _undulation(latitude_deg, longitude_deg, undulation_m))


def msl_from_hae(
    height: HaeM, latitude_deg: float, longitude_deg: float, *, undulation_m: float | None = None
) -> MslM:
    """Above the geoid from above the ellipsoid; the inverse of `hae_from_msl`."""
    return MslM(height - _undulation(latitude_deg, longitude_deg, undulation_m))


def hae_from_home(height: AboveHomeM, home: HaeM) -> HaeM:
    """Above the ellipsoid from above the take-off place, whose own height must be known."""
    return HaeM(height + home)


def home_from_hae(height: HaeM, home: HaeM) -> AboveHomeM:
    """Above the take-off place from above the ellipsoid."""
    return AboveHomeM(height - home)


def hae_from_terrain(height: AboveTerrainM, ground: HaeM) -> HaeM:
    """Above the ellipsoid from above the ground, whose own height (a `Surface` knows it) must be known."""
    return HaeM(height + ground)


def terrain_from_hae(height: HaeM, ground: HaeM) -> AboveTerrainM:
    """Above the ground from above the ellipsoid."""
    return AboveTerrainM(height - ground)


def datum_error_m(above_ellipsoid: HaeM, above_sea: MslM, latitude_deg: float, longitude_deg: float) -> float:
    """How far a receiver's own undulation (its HAE minus its MSL) is from EGM96, in metres.

    Beyond about 3 m one of its two heights is not what it claims to be: ellipsoid height in the MSL field
    (MAVLink issues 1829 and 2167), or the undulation applied with the wrong sign.
    """
    return float(above_ellipsoid - above_sea) - float(geoid.undulation_m(latitude_deg, longitude_deg))


def _undulation(latitude_deg: float, longitude_deg: float, stated_m: float | None) -> float:
    if stated_m is None:
        return float(geoid.undulation_m(latitude_deg, longitude_deg))
    if not abs(stated_m) <= 150.0:
        raise InputError(f"a geoid undulation of {stated_m} m; on the earth it is -107 to 86")
    return float(stated_m)


def _checked(height_m: float, what: str) -> float:
    if not (math.isfinite(height_m) and LOWEST_M <= height_m <= HIGHEST_M):
        raise InputError(f"a height of {height_m} m {what}; expected {LOWEST_M:g} to {HIGHEST_M:g}")
    return float(height_m)
