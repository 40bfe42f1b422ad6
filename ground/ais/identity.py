"""What the nine digits of an MMSI say, and when they cannot be true (ITU-R M.585)."""

from typing import Literal

Station = Literal["ship", "coast", "aircraft", "beacon", "tender", "aid", "group", "unknown"]

_MADE_UP = frozenset({"123456789", "987654321"})


def station_of(mmsi: str) -> Station:
    """What kind of station has such a number."""
    if len(mmsi) != 9 or not (mmsi.isascii() and mmsi.isdigit()):
        return "unknown"
    if mmsi.startswith("00"):
        return "coast"
    if mmsi.startswith("111"):
        return "aircraft"
    if mmsi[:3] in ("970", "972", "974"):
        return "beacon"
    if mmsi.startswith("98"):
        return "tender"
    if mmsi.startswith("99"):
        return "aid"
    if mmsi.startswith("0"):
        return "group"
    return "ship" if 201 <= int(mmsi[:3]) <= 775 else "unknown"


def number_doubt(mmsi: str) -> str | None:
    """Why no vessel can have this number; `None` when one can."""
    if len(set(mmsi)) == 1 or mmsi in _MADE_UP:
        return "the number is made up: all digits alike, or counted through"
    if station_of(mmsi) == "unknown":
        return f"no country has numbers that begin with {mmsi[:3]}"
    return None


def imo_doubt(imo: int | None) -> str | None:
    """Why this IMO number is none: its last digit is that of the sum of the others times 7 to 2."""
    if imo is None:
        return None
    digits = f"{imo:07d}"
    if len(digits) != 7:
        return f"an IMO number has seven digits, {imo} has {len(digits)}"
    total = sum(int(digit) * weight for digit, weight in zip(digits[:6], range(7, 1, -1), strict=True))
    return None if total % 10 == int(digits[6]) else f"the check digit of IMO {imo} is wrong"


_TYPES = {
    30: "fishing", 31: "towing", 32: "towing", 33: "dredging", 34: "diving", 35: "military", 36: "sailing",
    37: "pleasure craft", 50: "pilot", 51: "search and rescue", 52: "tug", 53: "port tender",
    55: "law enforcement", 58: "medical", 59: "special craft",
}  # fmt: skip
_TENS = {2: "wing in ground", 4: "high-speed craft", 6: "passenger", 7: "cargo", 8: "tanker", 9: "other"}


def type_name(ship_type: int | None) -> str | None:
    """The ship type (0 to 99) in a word or two; `None` when it is not told."""
    if ship_type is None or not 20 <= ship_type <= 99:
        return None
    return _TYPES.get(ship_type) or _TENS.get(ship_type // 10, "other")


FASTEST_MPS = {
    "fishing": 10.3, "towing": 9.0, "dredging": 9.0, "sailing": 10.3, "tug": 9.0, "cargo": 15.5,
    "tanker": 10.3, "passenger": 23.0, "high-speed craft": 31.0, "diving": 13.0, "port tender": 15.5,
}  # fmt: skip
"""Speeds (m/s) that hardly any vessel of the type passes; 10.3 m/s are 20 knots."""
