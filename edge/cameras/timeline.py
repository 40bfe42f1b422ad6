"""From a stream's presentation times and arrival times to UTC at exposure: even spacing, least delay."""

from collections import deque

from skywarden.clock import NS_PER_S

_WINDOW_NS = 20 * NS_PER_S
_JUMP_NS = 2 * NS_PER_S
_MAX_PAIRS = 2048


class LiveTimeline:
    """Maps presentation times of a live stream to UTC.

    A frame cannot arrive before it was taken, and the least delayed frame of the last 20 s was delayed by
    `latency_s`. So UTC is presentation time plus the smallest (arrival minus presentation) of that
    window, less `latency_s`: network jitter and decoder bursts fall out, slow drift of the
    camera's clock is followed.
    A jump of more than 2 s (camera restarted, clock set) begins a new window.
    """

    def __init__(self, latency_s: float) -> None:
        self._latency_ns = round(latency_s * NS_PER_S)
        self._pairs: deque[tuple[int, int]] = deque()

    def stamp_ns(self, received_ns: int, pts_ns: int | None) -> int:
        """UTC at exposure of the frame that arrived at `received_ns` (UTC) and is presented at `pts_ns`."""
        if pts_ns is None:
            return received_ns - self._latency_ns
        offset = received_ns - pts_ns
        if self._pairs and (
            abs(offset - self._pairs[0][1]) > _JUMP_NS or received_ns < self._pairs[-1][0] - _JUMP_NS
        ):
            self._pairs.clear()
        while self._pairs and self._pairs[-1][1] >= offset:
            self._pairs.pop()
        self._pairs.append((received_ns, offset))
        while self._pairs[0][0] < received_ns - _WINDOW_NS or len(self._pairs) > _MAX_PAIRS:
            self._pairs.popleft()
        return pts_ns + self._pairs[0][1] - self._latency_ns


def driver_stamp_ns(utc_ns: int, monotonic_ns: int, buffer_ms: float) -> int | None:
    """UTC of a V4L2 buffer whose driver stamped it `buffer_ms` on the monotonic clock.

    `None` when the stamp is not of that clock: not positive, ahead of now, or older than 2 s.
    """
    age_ns = monotonic_ns - round(buffer_ms * 1e6)
    if buffer_ms <= 0 or not 0 <= age_ns <= 2 * NS_PER_S:
        return None
    return utc_ns - age_ns
