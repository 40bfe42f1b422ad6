"""The worker's side of triage: judges what vision says, answers operators, tells vision what is wanted.

All but `on_tasking` is for the core's one thread.
"""

from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from edge.bus import Control
from edge.chips import MAX_REGION_BYTES, cut_region
from edge.outbox import Entry, Outbox
from edge.triage.config import TriageConfig
from edge.triage.frame_ring import KeptFrame, find_kept
from edge.triage.ladder import Ladder
from edge.triage.requests import RequestBook, Verdict, receipt_of
from edge.triage.worth import PLAIN, Graded, Worth
from skywarden.errors import InputError, StoreError
from skywarden.messages import Chip, Message, Sighting, Tasking
from skywarden.wire import encode

_log = structlog.get_logger("edge.triage")

_MAX_WAITING = 64
_ASKED_FOR = Worth(PLAIN, 14.0)
"""A picture that somebody waits for goes before other pictures and repeats, after alerts and conditions."""
_MAX_FRAME_FILE_BYTES = 64_000_000


class TriageCore:
    """See the module; `state` is the worker's folder.

    Attributes:
        frames_dir: where vision processes keep source frames, one folder a sensor.
        ladder: the judge.
        book: what operators have asked for.
    """

    def __init__(self, config: TriageConfig, platform_id: str, outbox: Outbox, state: Path) -> None:
        self.frames_dir = state / "frames"
        self.book = RequestBook(state / "requests.msgpack")
        self.ladder = Ladder(config, self.book)
        self._config = config
        self._platform_id = platform_id
        self._outbox = outbox
        self._heard: deque[Tasking] = deque(maxlen=_MAX_WAITING)

    def graded(self, topic: str, message: Message, body: bytes, utc_ns: int, mono_ns: int) -> list[Entry]:
        """A durable message as entries for the outbox, with its worth; none for a picture not worth it."""
        if not isinstance(message, Sighting | Chip):
            return [(topic, utc_ns, body)]
        worth = self.ladder.judge(message, len(body), mono_ns / 1e9)
        return [] if worth is None else [Graded.of(topic, utc_ns, body, worth)]

    def on_tasking(self, tasking: Tasking) -> None:
        """A request came up the link; from any thread."""
        self._heard.append(tasking)

    def tend(self, utc_ns: int) -> list[Entry]:
        """Answer what came, end what is over; receipts for the outbox. Call some times a second."""
        out: list[Entry] = []
        while self._heard:
            tasking = self._heard.popleft()
            try:
                out += self._answer(tasking, utc_ns)
            except StoreError as error:  # not kept, not answered: the station asks again
                _log.error("request not taken", tasking_id=tasking.tasking_id, reason=str(error))
        if self.book.open():
            out += self._end_what_is_over(utc_ns)
        return out

    def control(self, goodput_bytes_per_s: float | None, cap_bytes_per_s: int) -> Control:
        """What the vision processes are told."""
        return Control(
            picture_bytes=self.ladder.picture_bytes(goodput_bytes_per_s, cap_bytes_per_s),
            min_scores=self.book.min_scores(),
        )

    def _answer(self, tasking: Tasking, utc_ns: int) -> list[Entry]:
        if self.book.get(tasking.tasking_id) is None:
            verdict, place = self.book.judge(tasking, utc_ns), ("", 0)
            if verdict.state == "accepted" and tasking.kind == "full_resolution":
                verdict, place = self._picture(tasking, utc_ns)
            self.book.note(tasking, verdict, utc_ns, boot_id=place[0], seq=place[1])
            _log.info("request", tasking_id=tasking.tasking_id, kind=tasking.kind, state=verdict.state)
        return self._receipt(tasking.tasking_id, utc_ns)

    def _picture(self, tasking: Tasking, utc_ns: int) -> tuple[Verdict, tuple[str, int]]:
        assert tasking.sighting_id is not None, "the book refuses those without"
        if not self._config.frames_max_bytes:
            return Verdict(
                "refused", "this platform keeps no source frames (triage.frames_max_bytes is 0)"
            ), ("", 0)
        kept = find_kept(self.frames_dir, tasking.sighting_id)
        if kept is None:
            return Verdict("refused", "the source frame is not kept (any more)"), ("", 0)
        try:
            picture = _cut(kept, tasking, self._platform_id)
        except InputError as error:
            return Verdict("refused", str(error)), ("", 0)
        body = encode(picture)
        seq = self._outbox.append_many([Graded.of("chip", utc_ns, body, _ASKED_FOR)])[0]
        where = "" if kept.is_exact else f"; of frame {kept.sighting.sighting_id}, the nearest kept"
        text = f"{picture.width_px}x{picture.height_px}, {len(body)} bytes, as {picture.chip_id}{where}"
        return Verdict("accepted", text), (self._outbox.boot_id, seq)

    def _end_what_is_over(self, utc_ns: int) -> list[Entry]:
        out: list[Entry] = []
        try:
            for request, verdict in self.book.due(utc_ns, self._outbox.holds):
                self.book.note(request.tasking, verdict, utc_ns)
                out += self._receipt(request.tasking.tasking_id, utc_ns)
        except StoreError as error:
            _log.error("request not ended", reason=str(error))
        return out

    def _receipt(self, tasking_id: str, utc_ns: int) -> list[Entry]:
        request = self.book.get(tasking_id)
        if request is None:
            return []
        return [("receipt", utc_ns, encode(receipt_of(request, self._platform_id, utc_ns)))]


def _cut(kept: KeptFrame, tasking: Tasking, platform_id: str) -> Chip:
    """The region, or the frame when a label says so; raises `InputError` for a file that is no image."""
    try:
        data = kept.path.read_bytes() if kept.path.stat().st_size <= _MAX_FRAME_FILE_BYTES else b""
    except OSError as error:
        raise InputError(f"the source frame cannot be read ({error.strerror})") from error
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"the source frame {kept.path.name} is damaged")
    assert tasking.sighting_id is not None
    return cut_region(
        image,
        None if tasking.is_whole_frame else kept.sighting.box_px,
        sighting_id=tasking.sighting_id,
        platform_id=platform_id,
        time_ns=kept.time_ns,
        max_bytes=MAX_REGION_BYTES,
    )
