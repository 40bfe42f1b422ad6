"""Where the sun stands, for what "at night" means at a place."""

import math

_NS_PER_DAY = 86_400_000_000_000
_J2000_DAYS = 10_957.5  # days from 1970-01-01 00:00 to 2000-01-01 12:00
NIGHT_DEG = -6.0
"""Below this elevation (the end of civil twilight) it is night at sea."""


def sun_elevation_deg(time_ns: int, latitude_deg: float, longitude_deg: float) -> float:
    """Elevation of the sun's centre, degrees, without refraction; good to 0.02 degrees from 1950 to 2050.

    The low-precision formulas of the Astronomical Almanac (page C5): mean longitude and anomaly, the
    equation of the centre to two terms, and sidereal time.
    """
    days = time_ns / _NS_PER_DAY - _J2000_DAYS
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360.0)
    mean = (280.460 + 0.9856474 * days) % 360.0
    longitude = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2.0 * anomaly))
    tilt = math.radians(23.439 - 4e-7 * days)
    declination = math.asin(math.sin(tilt) * math.sin(longitude))
    ascension = math.atan2(math.cos(tilt) * math.sin(longitude), math.cos(longitude))
    sidereal = math.radians((280.46062 + 360.98564737 * days + longitude_deg) % 360.0)
    latitude = math.radians(latitude_deg)
    sine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        sidereal - ascension
    )
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def is_night(time_ns: int, latitude_deg: float, longitude_deg: float) -> bool:
    """Whether civil twilight has ended there."""
    return sun_elevation_deg(time_ns, latitude_deg, longitude_deg) < NIGHT_DEG
