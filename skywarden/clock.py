"""Where time comes from. Logic never asks: workers hand it in; only the rim holds one of these."""

import time
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Two readings: `utc_ns` is data (it may jump), `monotonic_ns` is for timers (it never does)."""

    def utc_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def utc_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as the operating system tells."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the operating system's monotonic clock."""
        return time.monotonic_ns()
