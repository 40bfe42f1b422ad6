"""What time it is for things that expire, whatever is done to the machine's clock.

Sessions and codes are held to the monotonic clock (and end with the boot they began in) as well as to UTC;
keys, which live longer than a boot, to the latest UTC that this station ever knew.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from ground.accounts.database import AccountsDatabase
from skywarden.clock import Clock

_KEEP_EVERY_NS = 60 * 1_000_000_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: `utc_ns` never goes back while the station runs and never below what it once knew; `mono_ns`
    counts within `boot`."""

    utc_ns: int
    mono_ns: int
    boot: str

    @property
    def mono_s(self) -> float:
        """The monotonic clock in seconds."""
        return self.mono_ns / 1e9


class Moments:
    """Asks the clock, and remembers in the file of accounts how late it has been."""

    def __init__(self, clock: Clock, database: AccountsDatabase, boot: str | None = None) -> None:
        self._clock = clock
        self._database = database
        self._boot = boot or boot_id()
        self._start_mono_ns = clock.monotonic_ns()
        with database.reading() as db:
            floor_ns: int = db.execute("SELECT value FROM marks WHERE name = 'latest_utc_ns'").get or 0
        self._start_utc_ns = max(clock.utc_ns(), floor_ns)
        self._kept_ns = floor_ns

    def now(self) -> Moment:
        """Now. A clock set ahead makes things expire early, one set back never makes them last."""
        mono_ns = self._clock.monotonic_ns()
        steady_ns = self._start_utc_ns + mono_ns - self._start_mono_ns
        return Moment(max(steady_ns, self._clock.utc_ns()), mono_ns, self._boot)

    def keep(self) -> None:
        """Make the steady time durable, at most once a minute."""
        steady_ns = self._start_utc_ns + self._clock.monotonic_ns() - self._start_mono_ns
        if steady_ns - self._kept_ns < _KEEP_EVERY_NS:
            return
        self._kept_ns = steady_ns
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO marks VALUES('latest_utc_ns', ?) "
                "ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)",
                (steady_ns,),
            )


def boot_id() -> str:
    """Which run of the operating system this is; where it does not tell, which run of this process."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)
