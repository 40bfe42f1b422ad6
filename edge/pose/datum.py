"""What an autopilot's heights count from: the receiver's own geoid against EGM96, and heights mixed up."""

from collections import deque
from statistics import median
from typing import Literal

from skywarden.clock import NS_PER_S
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.heights import HaeM, MslM
from skywarden.mavlink.decode import GpsRaw

Datum = Literal["auto", "msl", "ellipsoid"]

LIMIT_M = 3.0
SAMPLES = 9
MIN_SAMPLES = 3
FRESH_NS = 5 * NS_PER_S
SAME_PLACE_DEG = 1e-3
MIX_UP_M = 12.0
MIX_UP_SHARE = 0.25


class HeightDatum:
    """Turns what an autopilot calls MSL into heights above the ellipsoid; a plain object, handed time.

    `auto`: the receiver's own undulation where it tells one (that undoes the geoid model which the receiver
    applied), else EGM96's. Attributes:
        alarm: the sentence of a height datum alarm, or None.
    """

    def __init__(self, datum: Datum) -> None:
        self._datum = datum
        self._undulations_m: deque[float] = deque(maxlen=SAMPLES)
        self._told_ns = 0
        self._model = (float("nan"), float("nan"), 0.0)
        self._shifts: deque[float] = deque(maxlen=SAMPLES)
        self._above_sea_m: MslM | None = None
        self.alarm: str | None = None

    def take_receiver(self, gps: GpsRaw, now_ns: int) -> None:
        """What a receiver with a fix says of both heights."""
        self._above_sea_m = gps.alt_msl_m
        if gps.undulation_m is not None:
            self._undulations_m.append(gps.undulation_m)
            self._told_ns = now_ns

    def take_estimate(self, height_m: float, now_ns: int) -> None:
        """The autopilot's own height, to see whether it is the ellipsoid's in the field for MSL."""
        if self._above_sea_m is not None and self._is_told(now_ns):
            self._shifts.append(height_m - self._above_sea_m)

    def hae_m(self, height: MslM, latitude_deg: float, longitude_deg: float, now_ns: int) -> HaeM:
        """Above the ellipsoid, by the configured datum; sets `alarm`."""
        if self._datum == "ellipsoid":
            return HaeM(float(height))
        return HaeM(height + self._undulation_m(latitude_deg, longitude_deg, now_ns))

    def fix_heights(self, gps: GpsRaw, now_ns: int) -> tuple[HaeM, MslM] | None:
        """Both heights of a receiver's own fix; None where it tells neither."""
        assert gps.latitude_deg is not None
        assert gps.longitude_deg is not None
        place = (gps.latitude_deg, gps.longitude_deg)
        if gps.alt_msl_m is not None:
            above_ellipsoid = self.hae_m(gps.alt_msl_m, *place, now_ns)
            if self._datum == "auto" and gps.alt_ellipsoid_m is not None:
                above_ellipsoid = gps.alt_ellipsoid_m
            return above_ellipsoid, gps.alt_msl_m
        if gps.alt_ellipsoid_m is None:
            return None
        offset_m = 0.0 if self._datum == "ellipsoid" else self._undulation_m(*place, now_ns)
        return gps.alt_ellipsoid_m, MslM(gps.alt_ellipsoid_m - offset_m)

    def _is_told(self, now_ns: int) -> bool:
        return len(self._undulations_m) >= MIN_SAMPLES and abs(now_ns - self._told_ns) <= FRESH_NS

    def _undulation_m(self, latitude_deg: float, longitude_deg: float, now_ns: int) -> float:
        model_m = self._model_m(latitude_deg, longitude_deg)
        if self._datum == "msl":
            self.alarm = None
            return model_m
        if not self._is_told(now_ns):
            return model_m
        told_m = median(self._undulations_m)
        self.alarm = self._alarm(told_m, model_m)
        return told_m

    def _alarm(self, told_m: float, model_m: float) -> str | None:
        advice = "set mavlink.height_datum to msl or ellipsoid after checking"
        if abs(told_m - model_m) > LIMIT_M:
            return (
                f"the receiver's two heights differ by {told_m:.1f} m, EGM96 says {model_m:.1f} m: one is "
                f"not what it claims; {advice}"
            )
        if len(self._shifts) < MIN_SAMPLES or abs(told_m) < MIX_UP_M:
            return None
        shift_m = median(self._shifts)
        if abs(shift_m - told_m) < MIX_UP_SHARE * abs(told_m):
            return (
                f"the autopilot's height is {shift_m:.1f} m above its receiver's MSL height, about the "
                f"undulation of {told_m:.1f} m: it sends heights above the ellipsoid as MSL; {advice}"
            )
        return None

    def _model_m(self, latitude_deg: float, longitude_deg: float) -> float:
        """EGM96's undulation; within 1e-3 degrees (100 m, some mm of it) of the last place, that one's."""
        latitude, longitude, known_m = self._model
        if abs(latitude - latitude_deg) < SAME_PLACE_DEG and abs(longitude - longitude_deg) < SAME_PLACE_DEG:
            return known_m
        found_m = float(undulation_m(latitude_deg, longitude_deg))
        self._model = (latitude_deg, longitude_deg, found_m)
        return found_m
