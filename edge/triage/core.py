"""The worker's side of triage: judges what vision says, answers operators, tells vision what is wanted.

All but `on_tasking` is for the core's one thread.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from edge.bus import Control
from edge.link.outbox import Entry, Outbox
from edge.looks.config import LooksConfig
from edge.looks.plan import least_rate, look_orders
from edge.models_aboard.core import ModelsCore
from edge.models_aboard.orders import OrderAnswer
from edge.triage.config import TriageConfig
from edge.triage.frame_ring import find_kept
from edge.triage.ladder import Ladder
from edge.triage.requests import Request, RequestBook, Verdict, receipt_of
from edge.triage.worth import PLAIN, Graded, Worth
from edge.vision.chips import MAX_REGION_BYTES, cut_region
from skywarden.errors import InputError, StoreError
from skywarden.messages import Chip, Message, Sighting, Tasking
from skywarden.wire import encode

_log = structlog.get_logger("edge.triage")

_THIN_FOR_S = 10.0
_MAX_WAITING = 64
_MAX_CUTTING = 8
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

    def __init__(
        self,
        config: TriageConfig,
        platform_id: str,
        outbox: Outbox,
        state: Path,
        *,
        looks: LooksConfig | None = None,
        sensors: Sequence[str] = (),
        models: ModelsCore | None = None,
    ) -> None:
        """`sensors` are the cameras that a live view may be asked of; without any nobody is refused.
        `models` carries orders about models; without it they are refused."""
        self._models = models
        self._model_orders: dict[str, tuple[Tasking, Future[OrderAnswer]]] = {}
        self._looks, self._sensors = looks or LooksConfig(), sensors
        self._thin_since_s: float | None = None
        self.frames_dir = state / "frames"
        self.book = RequestBook(state / "requests.msgpack", live_longest_s=self._looks.live_longest_s)
        self.ladder = Ladder(config, self.book)
        self._config = config
        self._platform_id = platform_id
        self._outbox = outbox
        self._heard: deque[Tasking] = deque(maxlen=_MAX_WAITING)
        self._cutter = ThreadPoolExecutor(1, thread_name_prefix="edge.cut")
        self._cutting: dict[str, tuple[Tasking, Future[tuple[Verdict, Chip | None]]]] = {}

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
        try:
            out += self._hand_over_cut(utc_ns)
        except StoreError as error:  # the station asks again, and it is cut again
            _log.error("picture not taken", reason=str(error))
        try:
            out += self._answer_about_models(utc_ns)
        except StoreError as error:  # the station asks again, and finds that it was done
            _log.error("answer about a model not kept", reason=str(error))
        if self.book.open():
            out += self._end_what_is_over(utc_ns)
        return out

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that is being cut and asked of models has its answer, which `tend` then hands over;
        whether that came within `timeout_s`."""
        work: list[Future[Any]] = [given for _, given in self._cutting.values()]
        work += [given for _, given in self._model_orders.values()]
        return not wait(work, timeout_s).not_done

    def close(self) -> None:
        """Let go of the thread; what was not cut is asked for again."""
        self._cutter.shutdown(wait=False, cancel_futures=True)

    def control(
        self, goodput_bytes_per_s: float | None, cap_bytes_per_s: int, look_rate: float = 0.0
    ) -> Control:
        """What the vision processes are told; `look_rate` is what the link carries at least, bytes a second,
        0 where no looks are wanted."""
        return Control(
            picture_bytes=self.ladder.picture_bytes(goodput_bytes_per_s, cap_bytes_per_s),
            min_scores=self.book.min_scores(),
            looks=look_orders(self._looks, self._sensors, look_rate, self.book.live_views()),
        )

    def why_no_live(self, look_rate: float, now_s: float) -> str | None:
        """Why a live view that was asked for has got no pictures for a while (monotonic seconds), in words;
        `None` when it gets some."""
        if not self.book.live_views() or look_rate >= least_rate(self._looks):
            self._thin_since_s = None
            return None
        if self._thin_since_s is None:
            self._thin_since_s = now_s
        if now_s - self._thin_since_s < _THIN_FOR_S:
            return None
        needed = least_rate(self._looks) / 1e3
        return (
            f"a live view was asked for, but the link was seen to carry {look_rate / 1e3:.1f} kB/s at the "
            f"least; pictures need {needed:.1f} kB/s, so that no alert waits behind them"
        )

    def _answer(self, tasking: Tasking, utc_ns: int) -> list[Entry]:
        if self.book.get(tasking.tasking_id) is None:
            verdict = self.book.judge(tasking, utc_ns)
            if verdict.state == "accepted" and tasking.kind == "full_resolution":
                if self._config.frames_max_bytes:
                    self._begin_to_cut(tasking)
                    return []  # the receipt follows
                text = "this platform keeps no source frames (triage.frames_max_bytes is 0)"
                verdict = Verdict("refused", text)
            if verdict.state == "accepted" and tasking.kind == "model":
                if tasking.tasking_id in self._model_orders:
                    return []
                if (why := self._order_model(tasking)) is None:
                    return []  # the receipt follows
                verdict = Verdict("refused", why)
            if (why := self._why_not_live(tasking)) is not None:
                verdict = Verdict("refused", why)
            self._note(tasking, verdict, utc_ns)
            if verdict.state != "refused":
                return self._receipt(tasking.tasking_id, utc_ns) + self._end(
                    self.book.ended_by(tasking), utc_ns
                )
        return self._receipt(tasking.tasking_id, utc_ns)

    def _why_not_live(self, tasking: Tasking) -> str | None:
        if tasking.kind != "live_view":
            return None
        if not self._looks.live_share:
            return "this platform gives no live views (looks.live_share is 0)"
        if tasking.sensor_id is not None and self._sensors and tasking.sensor_id not in self._sensors:
            return f"there is no camera {tasking.sensor_id!r}; there are {', '.join(self._sensors)}"
        return None

    def _order_model(self, tasking: Tasking) -> str | None:
        """Have it carried out; why it cannot be, in words, or `None`."""
        order = tasking.model_order
        if self._models is None or order is None:
            return "this platform changes no models in flight"
        try:
            given = self._models.submit(
                order.action,
                sensor_id=tasking.sensor_id or "",
                slot=order.detector or "",
                model=order.model or "",
                is_forced=order.is_forced,
                is_from_ground=True,
            )
        except InputError as error:
            return str(error)
        self._model_orders[tasking.tasking_id] = (tasking, given)
        return None

    def _answer_about_models(self, utc_ns: int) -> list[Entry]:
        out: list[Entry] = []
        for tasking_id, (tasking, given) in list(self._model_orders.items()):
            if given.done():
                del self._model_orders[tasking_id]
                answer = given.result()
                verdict = Verdict("done" if answer.is_done else "refused", answer.text)
                self._note(tasking, verdict, utc_ns)
                out += self._receipt(tasking_id, utc_ns)
        return out

    def _begin_to_cut(self, tasking: Tasking) -> None:
        """In a thread: a search on quality of a large picture takes a second. Beyond a few, the station asks
        again."""
        if tasking.tasking_id not in self._cutting and len(self._cutting) < _MAX_CUTTING:
            work = self._cutter.submit(_cut, self.frames_dir, tasking, self._platform_id)
            self._cutting[tasking.tasking_id] = (tasking, work)

    def _hand_over_cut(self, utc_ns: int) -> list[Entry]:
        out: list[Entry] = []
        for tasking_id, (tasking, work) in list(self._cutting.items()):
            if not work.done():
                continue
            del self._cutting[tasking_id]
            verdict, picture = work.result()
            boot_id, seq = "", 0
            if picture is not None:
                entry = Graded.of("chip", utc_ns, encode(picture), _ASKED_FOR)
                seq, boot_id = self._outbox.append_many([entry])[0], self._outbox.boot_id
            self._note(tasking, verdict, utc_ns, boot_id=boot_id, seq=seq)
            out += self._receipt(tasking_id, utc_ns)
        return out

    def _note(
        self, tasking: Tasking, verdict: Verdict, utc_ns: int, *, boot_id: str = "", seq: int = 0
    ) -> None:
        self.book.note(tasking, verdict, utc_ns, boot_id=boot_id, seq=seq)
        _log.info("request", tasking_id=tasking.tasking_id, kind=tasking.kind, state=verdict.state)

    def _end_what_is_over(self, utc_ns: int) -> list[Entry]:
        return self._end(self.book.due(utc_ns, self._outbox.holds), utc_ns)

    def _end(self, over: list[tuple[Request, Verdict]], utc_ns: int) -> list[Entry]:
        out: list[Entry] = []
        try:
            for request, verdict in over:
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


def _cut(frames_dir: Path, tasking: Tasking, platform_id: str) -> tuple[Verdict, Chip | None]:
    """The region round the sighting, or the whole frame; without a picture why there is none."""
    assert tasking.sighting_id is not None, "the book refuses those without"
    try:
        kept = find_kept(frames_dir, tasking.sighting_id)
        if kept is None:
            return Verdict("refused", "the source frame is not kept (any more)"), None
        is_too_large = kept.path.stat().st_size > _MAX_FRAME_FILE_BYTES
        data = b"" if is_too_large else kept.path.read_bytes()
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            return Verdict("refused", f"the source frame {kept.path.name} is damaged"), None
        picture = cut_region(
            image,
            None if tasking.is_whole_frame else kept.sighting.box_px,
            sighting_id=tasking.sighting_id,
            platform_id=platform_id,
            time_ns=kept.time_ns,
            max_bytes=MAX_REGION_BYTES,
        )
    except (OSError, cv2.error, MemoryError) as error:
        return Verdict("refused", f"the source frame cannot be read ({error})"), None
    where = "" if kept.is_exact else f"; of frame {kept.sighting.sighting_id}, the nearest kept"
    size = f"{picture.width_px}x{picture.height_px}, {len(picture.data)} bytes"
    return Verdict("accepted", f"{size}, as {picture.chip_id}{where}"), picture
