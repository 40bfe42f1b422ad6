"""Times as text and back: RFC 3339 UTC with microseconds, and ISO 8601 basic form for names."""

from datetime import UTC, datetime

NS_PER_US = 1000


def rfc3339(time_ns: int) -> str:
    """UTC nanoseconds as `2026-11-21T18:42:10.123456Z`."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // NS_PER_US:06d}Z"


def basic_utc(time_ns: int) -> str:
    """UTC nanoseconds as `20261121T184210Z`, for names of sorties and folders."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y%m%dT%H%M%SZ}"
