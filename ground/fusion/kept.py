"""What is kept of one track's sightings: of each two seconds the best look, and the ids of all.

Whole while more come. When a track is quiet it is packed, and looks are unpacked for one answer at a time;
nothing is lost by it, and the next sighting has it whole again.
"""

import zlib
from bisect import bisect_left, bisect_right

import msgspec

from ground.fusion.looks import Look
from skywarden.clock import NS_PER_S

SLOT_NS = 2 * NS_PER_S
"""Of looks so close together the best one stands for all: what they do not share is the least part."""

MAX_SLOTS = 900
_FAST = 1  # of zlib's levels


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """Looks in order of time, and ids of all sightings."""

    looks: list[Look]
    seen: set[str]


_decoder = msgspec.msgpack.Decoder(_Packed)


class KeptLooks:
    """Looks in order of time, at most one for each slot; not safe from several threads."""

    __slots__ = ("_looks", "_packed", "_seen", "count", "first_ns", "last_ns")

    def __init__(self) -> None:
        self.count = 0
        """How many sightings were seen: it grows with each new one, and so tells whether any came."""
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        """Times of the oldest and the newest look; `None` without any."""
        self._looks: list[Look] = []
        self._seen: set[str] = set()
        self._packed: bytes | None = None

    @property
    def is_packed(self) -> bool:
        """Whether looks must be unpacked for an answer."""
        return self._packed is not None

    def see(self, sighting_id: str) -> bool:
        """Note a sighting; False when it was known."""
        self._unpack()
        if sighting_id in self._seen:
            return False
        self._seen.add(sighting_id)
        self.count += 1
        return True

    def take(self, look: Look) -> None:
        """Keep a look, unless a better one fills its slot; beyond `MAX_SLOTS` the oldest goes."""
        self._unpack()
        slot = _slot_of(look)
        index = bisect_left(self._looks, slot, key=_slot_of)
        if index == len(self._looks) or _slot_of(self._looks[index]) != slot:
            self._looks.insert(index, look)
        elif look.worth < self._looks[index].worth:
            self._looks[index] = look
        if len(self._looks) > MAX_SLOTS:
            del self._looks[0]
        self.first_ns, self.last_ns = self._looks[0].time_ns, self._looks[-1].time_ns

    def between(self, begin_ns: int | None = None, end_ns: int | None = None) -> list[Look]:
        """Looks from `begin_ns` to `end_ns`, by slots; all without them."""
        looks = self._at_hand()
        low = 0 if begin_ns is None else bisect_left(looks, begin_ns // SLOT_NS, key=_slot_of)
        high = len(looks) if end_ns is None else bisect_right(looks, end_ns // SLOT_NS, key=_slot_of)
        return looks[low:high]

    def nearest(self, at_ns: int) -> Look:
        """The look next to an instant; there must be one."""
        looks = self._at_hand()
        index = bisect_left(looks, at_ns // SLOT_NS, key=_slot_of)
        around = looks[max(0, index - 1) : index + 2]
        return min(around, key=lambda look: (abs(look.time_ns - at_ns), look.time_ns))

    def nearest_ns(self, at_ns: int) -> int:
        """The time of that look, which is quickly told before the first and after the last one."""
        assert self.first_ns is not None
        assert self.last_ns is not None
        if not self.first_ns < at_ns < self.last_ns:
            return self.first_ns if at_ns <= self.first_ns else self.last_ns
        return self.nearest(at_ns).time_ns

    def pack(self) -> None:
        """Take less memory until the next sighting."""
        if self._packed is None:
            whole = msgspec.msgpack.encode(_Packed(self._looks, self._seen))
            self._packed = zlib.compress(whole, _FAST)
            self._looks, self._seen = [], set()

    def _unpack(self) -> None:
        if self._packed is not None:
            found = _unpacked(self._packed)
            self._looks, self._seen, self._packed = found.looks, found.seen, None

    def _at_hand(self) -> list[Look]:
        return self._looks if self._packed is None else _unpacked(self._packed).looks


def _unpacked(packed: bytes) -> _Packed:
    return _decoder.decode(zlib.decompress(packed))


def _slot_of(look: Look) -> int:
    return look.time_ns // SLOT_NS
