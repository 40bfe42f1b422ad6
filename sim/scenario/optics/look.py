"""Light on a scene: what sky, haze, foam and sunlight look like from noon to night, and in warmth."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.scenario.land.palette import level_of
from sim.scenario.tables.place import Light, Sea

Bgr = tuple[float, float, float]
FloatArray = npt.NDArray[np.float64]

LOWEST_SUN_DEG = 7.0
"""Shadows and shading are drawn as if the sun stood no lower."""

# Sun elevation, brightness after the camera's own exposure, tint, sky (blue, green, red), noise factor.
_DAY: tuple[tuple[float, float, Bgr, Bgr, float], ...] = (
    (-18.0, 0.08, (1.30, 1.00, 0.80), (16.0, 12.0, 10.0), 3.4),
    (-8.0, 0.22, (1.28, 1.00, 0.84), (66.0, 50.0, 44.0), 2.6),
    (-3.0, 0.44, (1.14, 0.94, 0.94), (140.0, 112.0, 118.0), 1.9),
    (1.0, 0.66, (0.94, 0.93, 1.08), (168.0, 150.0, 176.0), 1.5),
    (6.0, 0.80, (0.86, 0.95, 1.08), (186.0, 182.0, 200.0), 1.2),
    (14.0, 0.94, (0.95, 0.98, 1.03), (216.0, 198.0, 182.0), 1.0),
    (25.0, 1.00, (1.00, 1.00, 1.00), (232.0, 204.0, 172.0), 1.0),
    (90.0, 1.00, (1.00, 1.00, 1.00), (232.0, 204.0, 172.0), 1.0),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Constants that the renderer mixes with; colours are blue, green, red.

    `gain` scales ground and solids; `direct` is how much of the light comes straight from the sun (0 gives no
    shading and no shadows); `sun` points to it, east, north, up.
    """

    gain: Bgr
    sky: Bgr
    haze: Bgr
    foam: Bgr
    glint: Bgr
    direct: float
    noise: float
    sun: tuple[float, float, float]
    is_thermal: bool


def sun_direction(light: Light) -> tuple[float, float, float]:
    """Unit vector east, north, up to the sun, not below `LOWEST_SUN_DEG`."""
    azimuth = math.radians(light.sun_azimuth_deg)
    elevation = math.radians(max(light.sun_elevation_deg, LOWEST_SUN_DEG))
    level = math.cos(elevation)
    return (math.sin(azimuth) * level, math.cos(azimuth) * level, math.sin(elevation))


def direct_share(light: Light) -> float:
    """How much of the light comes straight from the sun: 1 by day, 0 from 2 degrees below the horizon on."""
    share = min(max((light.sun_elevation_deg + 2.0) / 14.0, 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)


def eo_look(light: Light, sea: Sea) -> Look:
    """What a camera sees by this light."""
    elevations = np.array([row[0] for row in _DAY])

    def between(values: FloatArray) -> float:
        return float(np.interp(light.sun_elevation_deg, elevations, values))

    def colour(column: int) -> Bgr:
        rows = np.array([row[column] for row in _DAY])
        return (between(rows[:, 0]), between(rows[:, 1]), between(rows[:, 2]))

    brightness = between(np.array([row[1] for row in _DAY]))
    tint, sky = colour(2), colour(3)
    direct = direct_share(light)
    low_sun = float(np.clip((20.0 - light.sun_elevation_deg) / 18.0, 0.0, 1.0))
    warm = (236.0 - 90.0 * low_sun, 250.0 - 46.0 * low_sun, 255.0)
    strength = direct * sea.glint
    return Look(
        gain=(brightness * tint[0], brightness * tint[1], brightness * tint[2]),
        sky=sky,
        haze=(0.96 * sky[0], 1.01 * sky[1], 1.08 * sky[2]),
        foam=(226.0 * brightness * tint[0], 232.0 * brightness * tint[1], 230.0 * brightness * tint[2]),
        glint=(warm[0] * strength, warm[1] * strength, warm[2] * strength),
        direct=direct,
        noise=between(np.array([row[4] for row in _DAY])),
        sun=sun_direction(light),
        is_thermal=False,
    )


def thermal_look(light: Light) -> Look:
    """What a thermal camera sees: the sky is cold, the air between as warm as the night."""
    air, foam = level_of(13.0), level_of(14.6)
    return Look(
        gain=(1.0, 1.0, 1.0),
        sky=(-30.0, -30.0, -30.0),
        haze=(air, air, air),
        foam=(foam, foam, foam),
        glint=(0.0, 0.0, 0.0),
        direct=0.0,
        noise=1.0,
        sun=sun_direction(light),
        is_thermal=True,
    )
