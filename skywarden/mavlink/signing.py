"""MAVLink 2 message signing: verify before believing, and never let a forged frame touch the replay state.

Source: MAVLink developer guide, "Message Signing": signature = first 48 bits of SHA-256 over key, header,
payload, checksum, link id and timestamp; the timestamp counts 10 microseconds since 2015-01-01 UTC.
"""

import hashlib
import hmac
from dataclasses import dataclass

from skywarden.errors import ConfigError, InputError
from skywarden.mavlink.dialect import CRC_EXTRA, SIGNATURE_BYTES, SIGNED_FLAG, STX_V2, checksum
from skywarden.mavlink.framing import Frame

KEY_BYTES = 32
EPOCH_NS = 1_420_070_400_000_000_000
TICK_NS = 10_000
NEW_STREAM_BEHIND_TICKS = 60 * 100_000
MAX_STREAMS = 256
_MAX_TICKS = (1 << 48) - 1


@dataclass(kw_only=True, slots=True)
class SigningCounts:
    """Frames by verdict."""

    good: int = 0
    unsigned: int = 0
    wrong_signature: int = 0
    replayed: int = 0
    too_many_streams: int = 0


class SigningGuard:
    """Verifies and signs with one shared key.

    `timestamp` is the link's own counter. The caller persists it and hands it back at the next start, or
    frames recorded before could be replayed; a later value than the saved one is always safe. `now_ns`
    (UTC) of `start` moves it forward to the clock. `unsigned_ids` lists message ids that may come unsigned
    (such as 109, RADIO_STATUS, which radios inject); the default admits none.
    """

    def __init__(
        self, key: bytes, *, link_id: int = 0, timestamp: int = 0, unsigned_ids: frozenset[int] = frozenset()
    ) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"a MAVLink signing key has {KEY_BYTES} bytes, this one has {len(key)}")
        if not (0 <= link_id <= 255 and 0 <= timestamp <= _MAX_TICKS):
            raise ConfigError(f"link id {link_id} or timestamp {timestamp} is out of range")
        self._key = key
        self._link_id = link_id
        self._unsigned_ids = unsigned_ids
        self._streams: dict[tuple[int, int, int], int] = {}
        self.timestamp = timestamp
        self.counts = SigningCounts()

    def advance_to(self, now_ns: int) -> None:
        """Move the timestamp forward to a UTC time in nanoseconds; it never goes back."""
        self.timestamp = max(self.timestamp, min((now_ns - EPOCH_NS) // TICK_NS, _MAX_TICKS))

    def admits(self, frame: Frame) -> bool:
        """Whether the frame carries a good, fresh signature (or is one of the few that need none)."""
        if not frame.is_signed:
            self.counts.unsigned += 1
            return frame.msgid in self._unsigned_ids
        raw = frame.raw
        if not hmac.compare_digest(self._signature(raw[:-6]), raw[-6:]):
            self.counts.wrong_signature += 1
            return False
        timestamp = int.from_bytes(raw[-12:-6], "little")
        stream = (raw[-13], frame.sysid, frame.compid)
        last = self._streams.get(stream)
        if last is None and len(self._streams) >= MAX_STREAMS:
            self.counts.too_many_streams += 1
            return False
        if timestamp <= (self.timestamp - NEW_STREAM_BEHIND_TICKS - 1 if last is None else last):
            self.counts.replayed += 1
            return False
        self._streams[stream] = timestamp
        self.timestamp = max(self.timestamp, timestamp)
        self.counts.good += 1
        return True

    def sign(self, raw: bytes) -> bytes:
        """The unsigned MAVLink 2 frame `raw`, signed. Raises `InputError` when it is no such frame."""
        msgid = int.from_bytes(raw[7:10], "little") if len(raw) >= 12 else -1
        extra = CRC_EXTRA.get(msgid)
        if extra is None or raw[0] != STX_V2 or raw[2] or len(raw) != raw[1] + 12:
            raise InputError(f"{len(raw)} bytes are no unsigned MAVLink 2 frame of a known message")
        covered = bytes((raw[1], SIGNED_FLAG)) + raw[3:-2]
        frame = bytes((STX_V2,)) + covered + checksum(covered + extra).to_bytes(2, "little")
        self.timestamp = min(self.timestamp + 1, _MAX_TICKS)
        frame += bytes((self._link_id,)) + self.timestamp.to_bytes(6, "little")
        signed = frame + self._signature(frame)
        assert len(signed) == len(raw) + SIGNATURE_BYTES
        return signed

    def _signature(self, covered: bytes) -> bytes:
        return hashlib.sha256(self._key + covered).digest()[:6]
