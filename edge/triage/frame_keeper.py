"""Which source frames are kept for requests: those of new chips, and of sightings once a second."""

from collections.abc import Sequence

import cv2

from edge.triage.frame_ring import FrameNote, FrameRing, KeptSighting
from edge.vision.pipeline import Frame
from skywarden.clock import NS_PER_S
from skywarden.messages import Chip, Message, Sighting

JPEG_QUALITY = 95
PERIOD_NS = NS_PER_S


class FrameKeeper:
    """Hands frames that sightings were made of to the ring; `prefix` begins the ids of this process."""

    def __init__(self, ring: FrameRing, prefix: str) -> None:
        self._ring = ring
        self._prefix = prefix
        self._kept_ns: int | None = None

    def consider(self, frame: Frame, messages: Sequence[Message]) -> bool:
        """Keep `frame` when what it came to is worth it; whether it was kept."""
        sightings = [
            KeptSighting(sighting_id=one.sighting_id, track_id=one.track_id, box_px=one.box_px)
            for one in messages
            if isinstance(one, Sighting) and one.frame_number == frame.frame_number
        ]
        if not sightings:
            return False
        is_due = self._kept_ns is None or not 0 <= frame.time_ns - self._kept_ns < PERIOD_NS
        if not is_due and not any(isinstance(one, Chip) for one in messages):
            return False
        ok, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            return False
        self._kept_ns = frame.time_ns
        note = FrameNote(
            frame_number=frame.frame_number, time_ns=frame.time_ns, sightings=tuple(sightings[:500])
        )
        return self._ring.add(f"{self._prefix}.f{frame.frame_number:09}", data.tobytes(), note)
