"""What is kept of one track's sightings: of each two seconds the best look, and the ids of all.

Each look is kept encoded, a third of what it takes as an object, and decoded for one answer at a time. When
a track is quiet all of it is packed; nothing is lost by it, and the next sighting has it open again.
"""

import zlib
from bisect import bisect_left, bisect_right

import msgspec

from ground.fusion.looks import Look
from skywarden.clock import NS_PER_S

SLOT_NS = 2 * NS_PER_S
"""Of looks so close together the best one stands for all: what they do not share is the least part."""

MAX_SLOTS = 900


class _Open(msgspec.Struct, array_like=True):
    """Slots of the looks, ascending, the looks, encoded, and ids of all sightings."""

    slots: list[int]
    looks: list[bytes]
    seen: set[str]


_decoder = msgspec.msgpack.Decoder(_Open)
_look_decoder = msgspec.msgpack.Decoder(Look)
_look_encoder = msgspec.msgpack.Encoder(enc_hook=float)
"""Where sightings did not come over a link their numbers may be numpy's."""


class KeptLooks:
    """Looks in order of time, at most one for each slot; not safe from several threads."""

    __slots__ = ("_kept", "count", "first_ns", "last_ns")

    def __init__(self) -> None:
        self.count = 0
        """How many sightings were seen: it grows with each new one, and so tells whether any came."""
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        """Times of the oldest and the newest look; `None` without any."""
        self._kept: _Open | bytes = _Open([], [], set())

    @property
    def is_packed(self) -> bool:
        """Whether looks must be unpacked for an answer."""
        return isinstance(self._kept, bytes)

    def see(self, sighting_id: str) -> bool:
        """Note a sighting; False when it was known."""
        seen = self._opened().seen
        if sighting_id in seen:
            return False
        seen.add(sighting_id)
        self.count += 1
        return True

    def take(self, look: Look) -> None:
        """Keep a look, unless a better one fills its slot; beyond `MAX_SLOTS` the oldest goes."""
        kept, slot = self._opened(), look.time_ns // SLOT_NS
        index = bisect_left(kept.slots, slot)
        if index == len(kept.slots) or kept.slots[index] != slot:
            kept.slots.insert(index, slot)
            kept.looks.insert(index, _look_encoder.encode(look))
        elif look.worth < _look_decoder.decode(kept.looks[index]).worth:
            kept.looks[index] = _look_encoder.encode(look)
        if len(kept.slots) > MAX_SLOTS:
            del kept.slots[0], kept.looks[0]
        self.first_ns = _look_decoder.decode(kept.looks[0]).time_ns
        self.last_ns = _look_decoder.decode(kept.looks[-1]).time_ns

    def between(self, begin_ns: int | None = None, end_ns: int | None = None) -> list[Look]:
        """Looks from `begin_ns` to `end_ns`, by slots; all without them."""
        kept = self._at_hand()
        low = 0 if begin_ns is None else bisect_left(kept.slots, begin_ns // SLOT_NS)
        high = len(kept.slots) if end_ns is None else bisect_right(kept.slots, end_ns // SLOT_NS)
        return [_look_decoder.decode(look) for look in kept.looks[low:high]]

    def nearest(self, at_ns: int) -> Look:
        """The look next to an instant; there must be one."""
        kept = self._at_hand()
        index = bisect_left(kept.slots, at_ns // SLOT_NS)
        around = [_look_decoder.decode(look) for look in kept.looks[max(0, index - 1) : index + 2]]
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
        if not isinstance(self._kept, bytes):
            self._kept = zlib.compress(msgspec.msgpack.encode(self._kept), zlib.Z_BEST_SPEED)

    def _opened(self) -> _Open:
        """Open from now on."""
        self._kept = self._at_hand()
        return self._kept

    def _at_hand(self) -> _Open:
        return _decoder.decode(zlib.decompress(self._kept)) if isinstance(self._kept, bytes) else self._kept
