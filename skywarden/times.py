"""Times as text and back: RFC 3339 UTC with microseconds, and ISO 8601 basic form for names."""

from datetime import UTC, datetime

from skywarden.errors import InputError

NS_PER_US = 1000


def rfc3339(time_ns: int) -> str:
    """UTC nanoseconds as `2026-11-21T18:42:10.123456Z`."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // NS_PER_US:06d}Z"


def parse_rfc3339(text: str) -> int:
    """UTC nanoseconds of a time with zone; raises `InputError` when it is none or names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is not a time such as 2026-11-21T18:42:10Z") from error
    if moment.tzinfo is None:
        raise InputError(f"{text[:40]!r} names no zone; write Z for UTC, or +02:00")
    whole = moment.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000_000 + moment.microsecond * NS_PER_US


def basic_utc(time_ns: int) -> str:
    """UTC nanoseconds as `20261121T184210Z`, for names of sorties and folders."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y%m%dT%H%M%SZ}"
