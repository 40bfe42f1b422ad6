"""What is wrong with a running station, in sentences: for `/readyz`, `/api/v1/status` and the console.

What can be counted only (messages refused for their rate, connections that found no room) is a problem while
it goes on, and for a minute after.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ground.link.datagram_port import DatagramPort
from ground.link.receiver import Receiver
from ground.link.thin_link import ThinLinkPort

_GOES_ON_S = 60.0


class Living(Protocol):
    """Something with a thread of its own."""

    @property
    def is_alive(self) -> bool:
        """Whether it does its work."""
        ...


@dataclass(slots=True)
class Rising:
    """A counter that counts as a problem for `kept_s` after it last rose; the first look only remembers."""

    kept_s: float = _GOES_ON_S
    _count: int | None = None
    _rose: list[tuple[float, int]] = field(default_factory=list)

    def look(self, count: int, now_s: float) -> int:
        """By how much it rose in the last `kept_s` seconds."""
        risen = count - self._count if self._count is not None else count
        self._count = count
        if risen > 0:
            self._rose.append((now_s, risen))
        self._rose = [one for one in self._rose[-200:] if now_s - one[0] < self.kept_s]
        return sum(number for _, number in self._rose)


class StationProblems:
    """Call it for the sentences; call it at least once a minute, so that what rises is seen (any thread).

    `others` are further sources of sentences.
    """

    def __init__(
        self,
        receiver: Receiver,
        authenticator: Living,
        monotonic_s: Callable[[], float],
        *,
        datagrams: DatagramPort | None = None,
        thin: ThinLinkPort | None = None,
        store_warnings: Sequence[str] = (),
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._monotonic_s = monotonic_s
        self._datagrams = datagrams
        self._thin = thin
        self._store_warnings = tuple(store_warnings)
        self._lock = threading.Lock()
        self._over_rate, self._no_room = Rising(), Rising()
        self.others: list[Callable[[], list[str]]] = []

    @property
    def is_working(self) -> bool:
        """Whether the parts live without which nothing comes in; when not, a new start helps."""
        return self._receiver.is_alive and self._authenticator.is_alive

    def __call__(self) -> list[str]:
        """Everything that is wrong now."""
        now_s = self._monotonic_s()
        found = [*self._store_warnings, *self._of_parts(), *self._of_load(now_s), *self._of_records()]
        return found + [sentence for source in self.others for sentence in source()]

    def _of_parts(self) -> list[str]:
        found = []
        if not self._receiver.is_alive:
            found.append("nothing is received: the receiver has ended")
        if not self._authenticator.is_alive:
            found.append("nobody new is let in: the authenticator is down")
        if self._datagrams is not None:
            if not self._datagrams.is_alive:
                found.append("no datagrams are taken in: their thread has ended; platforms have TCP only")
            elif self._datagrams.fault is not None:
                found.append(f"datagrams are not taken in: {self._datagrams.fault}")
        if self._thin is not None:
            if not self._thin.is_alive:
                found.append("nothing is read from the telemetry radio: its thread has ended")
            elif self._thin.fault is not None:
                found.append(f"the telemetry radio (thin_link) is not read: {self._thin.fault}")
        if not self._receiver.door.is_alive:
            found.append("strangers at the link's port are refused, but not logged: that thread has ended")
        return found

    def _of_load(self, now_s: float) -> list[str]:
        found = []
        refused = self._receiver.counts.refused_rate
        refused += self._datagrams.rates.refused if self._datagrams is not None else 0
        with self._lock:
            over_rate = self._over_rate.look(refused, now_s)
            no_room = self._no_room.look(self._receiver.door.accept_failures, now_s)
        if over_rate:
            found.append(
                f"{over_rate} messages in the last minute were over what one platform may send and were "
                "refused (they stay aboard); the log names the platform"
            )
        if no_room:
            found.append(
                f"{no_room} connections in the last minute found no room: too many open files; raise "
                "LimitNOFILE of the service, or see in the log who connects so often"
            )
        return found

    def _of_records(self) -> list[str]:
        receiver, found = self._receiver, []
        if receiver.store_problem is not None:
            found.append(f"records are not stored, platforms keep them: {receiver.store_problem}")
        for platform_id, reason in sorted(receiver.intake.untrusted.items()):
            found.append(
                f"what {platform_id} sends is kept aside and waits aboard: {reason}; enrol it with both of "
                "its keys (`skywarden keys show` aboard prints the line)"
            )
        if receiver.intake.alarms:
            found.append(f"the order of records does not fit: {receiver.intake.alarms[-1]}")
        if receiver.counts.forks:
            found.append(
                f"{receiver.counts.forks} records came with a number that was taken (kept in quarantine): a "
                "platform's outbox was restored from a copy, or someone forges"
            )
        return found
