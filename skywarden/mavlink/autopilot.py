"""Which of the systems on a link is the autopilot of our platform: told by heartbeats, never by ids."""

from skywarden.clock import NS_PER_S
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Frame

SETTLE_NS = 3 * NS_PER_S
LOST_NS = 5 * NS_PER_S
MAX_CANDIDATES = 16
Address = tuple[int, int]


class AutopilotPicker:
    """Takes the one autopilot that is heard; among several only the configured system id decides.

    `sysid` 0 means: the one that is there. An autopilot is a component whose HEARTBEAT names an autopilot
    kind other than 8 (invalid). Within 3 s of the first one all others are counted; the choice then stays
    until that autopilot has been silent for 5 s and another speaks alone.
    """

    def __init__(self, sysid: int = 0) -> None:
        self._sysid = sysid
        self._last_ns: dict[Address, int] = {}
        self._first_ns: int | None = None
        self._chosen: Address | None = None
        self._kind = 0

    def observe(self, frame: Frame, received_ns: int) -> None:
        """Take a HEARTBEAT (any other message is ignored)."""
        if frame.msgid != decode.HEARTBEAT or not frame.is_known:
            return
        heartbeat = decode.heartbeat(frame)
        address = (frame.sysid, frame.compid)
        if not heartbeat.is_autopilot or frame.sysid == 0:
            return
        if self._sysid and frame.sysid != self._sysid:
            return
        if address not in self._last_ns and len(self._last_ns) >= MAX_CANDIDATES:
            return
        self._last_ns[address] = received_ns
        if self._first_ns is None:
            self._first_ns = received_ns
        if address == self._chosen or self._chosen is None:
            self._kind = heartbeat.autopilot
        self._choose(received_ns)

    @property
    def address(self) -> Address | None:
        """(system id, component id) of our autopilot; None when none or several are heard."""
        return self._chosen

    @property
    def kind(self) -> int:
        """MAV_AUTOPILOT of the chosen one: 3 ArduPilot, 12 PX4."""
        return self._kind

    @property
    def is_ambiguous(self) -> bool:
        """Several autopilots are heard and none is chosen."""
        return self._chosen is None and len(self._last_ns) > 1

    @property
    def candidates(self) -> list[Address]:
        """Every autopilot heard of late."""
        return sorted(self._last_ns)

    def is_settled(self, now_ns: int) -> bool:
        """Whether the 3 s in which another autopilot could speak up have passed."""
        if self._chosen is None or self._first_ns is None:
            return False
        return bool(self._sysid) or now_ns - self._first_ns >= SETTLE_NS

    def _choose(self, now_ns: int) -> None:
        self._last_ns = {
            address: heard for address, heard in self._last_ns.items() if abs(now_ns - heard) <= LOST_NS
        }
        if self._chosen is not None and self._chosen not in self._last_ns:
            self._chosen, self._first_ns = None, now_ns
        assert self._first_ns is not None
        if len(self._last_ns) == 1:
            self._chosen = next(iter(self._last_ns))
        elif self._chosen is not None and now_ns - self._first_ns < SETTLE_NS:
            self._chosen = None
