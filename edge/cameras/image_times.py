"""When an image file was taken, as its name or a listing tells; UTC or a stated zone, never a guess."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skywarden.errors import ConfigError, InputError

MAX_LISTING_BYTES = 64_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_NS = 946_684_800 * 10**9  # 2000-01-01
_MAX_NS = 4_102_444_800 * 10**9  # 2100-01-01
_UNIT_NS = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9}
_DIGITS_NS = {19: 1, 16: 1000, 13: 10**6, 10: 10**9}

_PACKED = re.compile(r"(?<!\d)(\d{14})(\d{0,9})Z")
_ISO = re.compile(
    r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)[Tt_ -](\d\d)[:.h-]?(\d\d)[:.m-]?(\d\d)(?:[.,_](\d{1,9}))?\d*"
    r"(Z|[+-]\d\d:?\d\d)"
)
_EPOCH_DIGITS = re.compile(r"(?<!\d)(\d{19}|\d{16}|\d{13})(?![\dZ])")


def time_from_name(name: str) -> int | None:
    """UTC nanoseconds told by a file name, or `None`.

    Understood: `YYYYMMDDhhmmss[fraction digits]Z` (CanberraUAV writes hundredths), ISO 8601 basic or extended
    with `Z` or an offset, and epoch nanoseconds, microseconds or milliseconds (19, 16, 13 digits). A time
    without a zone is local time somewhere and is not taken.
    """
    if match := _PACKED.search(name):
        digits = match.group(1)
        parts = (digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14])
        return _utc_ns(parts, match.group(2), "Z")
    if match := _ISO.search(name):
        return _utc_ns(match.groups()[:6], match.group(7) or "", match.group(8))
    if match := _EPOCH_DIGITS.search(name):
        return _plausible(int(match.group(1)) * _DIGITS_NS[len(match.group(1))])
    return None


def parse_rfc3339(text: str) -> int:
    """UTC nanoseconds of an RFC 3339 time with zone; raises `ConfigError`."""
    match = _ISO.fullmatch(text.strip())
    found = _utc_ns(match.groups()[:6], match.group(7) or "", match.group(8)) if match else None
    if found is None:
        raise ConfigError(f"{text!r} is not a time with zone such as 2018-08-05T01:00:44.80Z")
    return found


def read_listing(path: Path) -> dict[str, int]:
    """File name to UTC nanoseconds, from a CSV with a heading or a JSON list of objects or plain object.

    The file's column is `file`, `filename`, `name` or `image`; the time's is `time_ns`, `time_us`, `time_ms`,
    `time_s` (epoch) or `time`, `time_utc`, `timestamp` (RFC 3339). A JSON object maps names to such texts or
    to epoch nanoseconds. Raises `InputError` naming the row that does not fit.
    """
    try:
        if path.stat().st_size > MAX_LISTING_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes is over the limit of {MAX_LISTING_BYTES}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    times: dict[str, int] = {}
    for number, row in enumerate(_rows(path, text), start=1):
        name, time_ns = _entry(path, number, row)
        times[name] = time_ns
    if not times:
        raise InputError(f"{path}: lists no image")
    return times


def _rows(path: Path, text: str) -> Iterator[dict[str, object]]:
    if path.suffix.lower() != ".json":
        yield from (
            {str(k).strip().lower(): v for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))
        )
        return
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if isinstance(tree, dict):
        yield from (
            {"file": name, "time_ns" if isinstance(v, int) else "time": v} for name, v in tree.items()
        )
    elif isinstance(tree, list) and all(isinstance(row, dict) for row in tree):
        yield from tree
    else:
        raise InputError(f"{path}: is neither an object nor a list of objects")


def _entry(path: Path, number: int, row: dict[str, object]) -> tuple[str, int]:
    name = next((row[key] for key in ("file", "filename", "name", "image") if row.get(key)), None)
    if not isinstance(name, str) or "/" in name or "\\" in name or name in (".", ".."):
        raise InputError(f"{path}: entry {number} names no plain file ({str(name)[:60]!r})")
    for unit, factor in _UNIT_NS.items():
        value = row.get(f"time_{unit}")
        if value not in (None, ""):
            return name, _epoch(path, number, value, factor)
    text = next((row[key] for key in ("time", "time_utc", "timestamp") if row.get(key)), None)
    if not isinstance(text, str):
        raise InputError(f"{path}: entry {number} ({name[:60]}) has no time")
    try:
        return name, parse_rfc3339(text)
    except ConfigError as error:
        raise InputError(f"{path}: entry {number} ({name[:60]}): {error}") from error


def _epoch(path: Path, number: int, value: object, factor: int) -> int:
    text = str(value).strip()
    match = re.fullmatch(r"(\d{1,19})(?:\.(\d{1,9})\d*)?", text)
    found = None
    if match and not isinstance(value, bool):
        fraction = match.group(2) or ""
        found = int(match.group(1)) * factor + (
            int(fraction) * factor // 10 ** len(fraction) if fraction else 0
        )
    if found is None or _plausible(found) is None:
        raise InputError(f"{path}: entry {number}: {text[:40]!r} is no time between 2000 and 2100")
    return found


def _utc_ns(parts: tuple[str | None, ...], fraction: str, zone: str) -> int | None:
    try:
        year, month, day, hour, minute, second = (int(part or "") for part in parts)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    passed = moment - _EPOCH - zone_offset(zone)
    whole_ns = (passed.days * 86_400 + passed.seconds) * 10**9
    return _plausible(whole_ns + (int(fraction[:9].ljust(9, "0")) if fraction else 0))


def zone_offset(zone: str) -> timedelta:
    """The offset from UTC of "Z" or "+hh:mm"; the caller has matched the form."""
    if zone == "Z":
        return timedelta(0)
    sign = -1 if zone[0] == "-" else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))


def _plausible(time_ns: int) -> int | None:
    return time_ns if _MIN_NS <= time_ns < _MAX_NS else None
