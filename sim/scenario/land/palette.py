"""What the ground looks like: colours of a day, by greenness and water; grey levels of a thermal night.

Thermal levels stand for temperatures, `COLDEST_K` at 0 and `KELVIN_PER_LEVEL` more with each level; what is
warm and what is cold after dark follows the usual order (water and stone keep the day's heat, roofs and open
grass lose it to the sky, crowns lie between).
"""

from dataclasses import dataclass

import numpy as np

from sim.scenario.tables.place import Sea

Bgr = tuple[float, float, float]

COLDEST_K = 279.15
KELVIN_PER_LEVEL = 20.0 / 255.0


def level_of(celsius: float) -> float:
    """The grey level (0..255) of a temperature in a thermal palette."""
    return (celsius + 273.15 - COLDEST_K) / KELVIN_PER_LEVEL


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """Blue, green, red of every cover, as a camera would show it at noon (or grey levels of warmth)."""

    dry_grass: Bgr = (84, 142, 150)
    green_grass: Bgr = (66, 124, 112)
    scrub: Bgr = (52, 94, 82)
    forest: Bgr = (34, 62, 46)
    crown: Bgr = (46, 92, 66)
    soil: Bgr = (94, 126, 158)
    rock: Bgr = (118, 126, 132)
    sand: Bgr = (164, 194, 212)
    wet_sand: Bgr = (112, 142, 160)
    deep: Bgr = (66, 44, 17)
    shallow: Bgr = (128, 124, 62)
    sand_under_water: Bgr = (150, 168, 142)
    road_edge: Bgr = (104, 140, 160)
    road: Bgr = (138, 172, 192)
    road_rut: Bgr = (118, 152, 172)
    asphalt: Bgr = (96, 98, 100)
    asphalt_edge: Bgr = (120, 138, 146)
    marking: Bgr = (206, 212, 214)
    concrete: Bgr = (168, 174, 178)
    stone: Bgr = (120, 126, 130)
    cleared_light: Bgr = (148, 186, 214)
    cleared_dark: Bgr = (126, 166, 198)
    crop: Bgr = (56, 128, 84)
    maize: Bgr = (70, 142, 128)
    straw: Bgr = (128, 178, 194)
    pasture: Bgr = (72, 146, 122)
    orchard: Bgr = (44, 92, 66)
    ash: Bgr = (44, 48, 52)
    pond: Bgr = (74, 78, 54)
    is_thermal: bool = False


def eo_palette(sea: Sea, greenness: float) -> Palette:
    """Colours of a day; `greenness` from parched (-1) to lush (1)."""
    waters: dict[str, tuple[Bgr, Bgr, Bgr]] = {
        "ocean": ((66, 44, 17), (128, 124, 62), (150, 168, 142)),
        "green": ((62, 66, 30), (104, 120, 78), (118, 142, 132)),
        "brown": ((66, 92, 98), (84, 114, 124), (96, 130, 144)),
    }
    deep, shallow, under = waters[sea.water]
    plain = Palette(deep=deep, shallow=shallow, sand_under_water=under)
    dry = max(-greenness, 0.0)
    lush = max(greenness, 0.0)
    return Palette(
        deep=deep,
        shallow=shallow,
        sand_under_water=under,
        dry_grass=_towards(_towards(plain.dry_grass, (108, 168, 184), 0.8 * dry), (64, 134, 112), 0.7 * lush),
        green_grass=_towards(
            _towards(plain.green_grass, (98, 152, 160), 0.8 * dry), (46, 116, 84), 0.7 * lush
        ),
        scrub=_towards(_towards(plain.scrub, (78, 116, 116), 0.8 * dry), (42, 92, 66), 0.6 * lush),
        forest=_towards(plain.forest, (50, 78, 72), 0.6 * dry),
        crown=_towards(_towards(plain.crown, (64, 104, 96), 0.6 * dry), (38, 94, 58), 0.5 * lush),
        soil=_towards(plain.soil, (82, 104, 138), 0.5 * lush),
        pasture=_towards(_towards(plain.pasture, (110, 168, 176), 0.8 * dry), (54, 134, 92), 0.6 * lush),
    )


def thermal_palette() -> Palette:
    """Warmth some hours after dark."""

    def grey(celsius: float) -> Bgr:
        level = level_of(celsius)
        return (level, level, level)

    return Palette(
        dry_grass=grey(11.6), green_grass=grey(12.4), scrub=grey(13.6), forest=grey(14.8), crown=grey(15.0),
        soil=grey(14.2), rock=grey(17.2), sand=grey(14.6), wet_sand=grey(14.6), deep=grey(15.0),
        shallow=grey(15.4), sand_under_water=grey(15.3), road_edge=grey(14.6), road=grey(15.6),
        road_rut=grey(15.9), asphalt=grey(17.6), asphalt_edge=grey(15.4), marking=grey(17.2),
        concrete=grey(16.8), stone=grey(17.4), cleared_light=grey(13.8), cleared_dark=grey(14.4),
        crop=grey(12.9), maize=grey(13.1), straw=grey(11.8), pasture=grey(12.0), orchard=grey(14.4),
        ash=grey(14.9), pond=grey(15.2), is_thermal=True,
    )  # fmt: skip


def thermal_of(colour: tuple[float, ...]) -> Bgr:
    """The grey level of a painted solid: black engines are hot, dark hulls warm, pale roofs cold."""
    brightness = float(np.mean(colour[:3]))
    celsius = 26.0 if brightness < 45.0 else 21.5 - 10.0 * min(brightness / 230.0, 1.0)
    level = level_of(celsius)
    return (level, level, level)


def _towards(colour: Bgr, other: Bgr, share: float) -> Bgr:
    low, high = np.array(colour), np.array(other)
    found = low + (high - low) * share
    return (float(found[0]), float(found[1]), float(found[2]))
