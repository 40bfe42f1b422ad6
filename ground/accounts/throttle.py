"""How often something may be tried: plain objects that are handed the time.

Nobody can lock a person out for good: what an address fails at slows that address down, at most for
`MOST_WAIT_S`; the count over all addresses slows strangers only, never an address from which the account was
last used, and never the station's own machine.
"""

import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass

FREE_FAILURES = 5
MOST_WAIT_S = 900.0
_FIRST_WAIT_S = 2.0
_FORGET_S = 3_600.0
_ADDRESS_FAILURES = 40
_ACCOUNT_FAILURES = 100
_STRANGER_WAIT_S = 60.0
_MAX_ENTRIES = 20_000


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float


class _Tally:
    """Failures by key, forgotten after an hour of quiet; bounded, the longest quiet goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Failures] = OrderedDict()

    def failures(self, key: str, now_s: float) -> _Failures | None:
        found = self._kept.get(key)
        if found is not None and now_s - found.last_s > _FORGET_S:
            del self._kept[key]
            return None
        return found

    def add(self, key: str, now_s: float) -> None:
        found = self.failures(key, now_s) or _Failures(0, now_s)
        found.count, found.last_s = found.count + 1, now_s
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > _MAX_ENTRIES:
            self._kept.popitem(last=False)

    def take_back(self, key: str) -> None:
        found = self._kept.get(key)
        if found is not None:
            found.count -= 1
            if found.count <= 0:
                del self._kept[key]

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)


class SignInThrottle:
    """Attempts to sign in, by account and address, by address, and by account; safe from any thread.

    An attempt counts as failed from its beginning, so that a thousand at once are no way around.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs = _Tally()
        self._addresses = _Tally()
        self._accounts = _Tally()
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, account: str, address: str, now_s: float) -> float:
        """Seconds to wait before an attempt is taken; at 0.0 it is taken, and counted."""
        near = network_of(address)
        pair = f"{account}\n{near}"
        with self._lock:
            wait_s = max(
                _wait_s(self._pairs.failures(pair, now_s), FREE_FAILURES, now_s),
                _wait_s(self._addresses.failures(near, now_s), _ADDRESS_FAILURES, now_s),
                self._stranger_wait_s(account, near, now_s),
            )
            if wait_s > 0.0:
                return wait_s
            for tally, key in ((self._pairs, pair), (self._addresses, near), (self._accounts, account)):
                tally.add(key, now_s)
            return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """The attempt was right: this pair starts anew."""
        near = network_of(address)
        with self._lock:
            self._pairs.forget(f"{account}\n{near}")
            self._addresses.take_back(near)
            self._accounts.take_back(account)
            self._familiar[account, near] = None
            self._familiar.move_to_end((account, near))
            while len(self._familiar) > _MAX_ENTRIES:
                self._familiar.popitem(last=False)

    def _stranger_wait_s(self, account: str, near: str, now_s: float) -> float:
        if near == "loopback" or (account, near) in self._familiar:
            return 0.0
        found = self._accounts.failures(account, now_s)
        if found is None or found.count < _ACCOUNT_FAILURES:
            return 0.0
        return max(0.0, found.last_s + _STRANGER_WAIT_S - now_s)


def _wait_s(found: _Failures | None, free: int, now_s: float) -> float:
    if found is None or found.count < free:
        return 0.0
    wait_s = min(MOST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(20, found.count - free))
    return max(0.0, found.last_s + wait_s - now_s)


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 one, a /64 of IPv6, "loopback", or the text itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif not parsed.is_loopback:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
    return "loopback" if parsed.is_loopback else str(parsed)


class RequestRate:
    """A bucket of requests for each key (a session, a strange address); safe from any thread."""

    def __init__(self, *, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """0.0 takes the request; more are the seconds until one would be taken."""
        with self._lock:
            left, at_s = self._buckets.pop(key, (self._burst, now_s))
            left = min(self._burst, left + max(0.0, now_s - at_s) * self._per_s)
            is_taken = left >= 1.0
            self._buckets[key] = (left - 1.0 if is_taken else left, now_s)
            while len(self._buckets) > _MAX_ENTRIES:
                self._buckets.popitem(last=False)
            return 0.0 if is_taken else (1.0 - left) / self._per_s
