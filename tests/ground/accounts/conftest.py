"""A doorkeeper on a clock that the test turns."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.accounts.doorkeeper import AccountsConfig, Doorkeeper
from ground.accounts.passwords import Passwords

NOW_NS = 1_780_000_000_000_000_000


class TurnedClock:
    """UTC and the monotonic clock, turned by hand and apart from each other."""

    def __init__(self) -> None:
        self.utc_s = 0.0
        self.mono_s = 0.0

    def utc_ns(self) -> int:
        return NOW_NS + round(self.utc_s * 1e9)

    def monotonic_ns(self) -> int:
        return 5_000_000_000 + round(self.mono_s * 1e9)

    def wait(self, seconds: float) -> None:
        """Both go on, as they should."""
        self.utc_s += seconds
        self.mono_s += seconds


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def opened(folder: Path, clock: TurnedClock, boot: str = "boot-1") -> Doorkeeper:
    """A doorkeeper with cheap passwords: idle after an hour, over after eight."""
    config = AccountsConfig(session_idle_s=3_600.0, session_s=28_800.0, code_s=600.0)
    return Doorkeeper(folder, config, clock=clock, boot=boot, passwords=Passwords(memory_kib=64, passes=1))


@pytest.fixture
def keeper(tmp_path: Path, clock: TurnedClock) -> Iterator[Doorkeeper]:
    made = opened(tmp_path, clock)
    yield made
    made.close()
