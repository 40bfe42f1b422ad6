"""Makes looks of frames in a thread of its own: what was seen has been handed on before a look is begun.

Scaling down happens at once (the frame may go then); the search for a quality that fits the bytes does not.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import structlog

from edge.looks.plan import LookOrder
from edge.vision.chips import Encoded, encode_within
from edge.vision.pipeline import Frame, Outcome
from skywarden.clock import NS_PER_S
from skywarden.messages import MAX_LOOK_BOXES, FrameInfo, Look

_log = structlog.get_logger("edge.looks")

_JPEG_QUALITIES = (80, 65, 50, 38)
_BOX_BYTES = 14

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class LookIds:
    """Whose looks these are; `kind` is the camera's, "eo" or "thermal"."""

    platform_id: str
    sortie_id: str
    sensor_id: str
    kind: str
    is_exercise: bool = False


class LookMaker:
    """One sensor's looks. `want`, `consider` and `finished` are for one thread; `close` at the end."""

    def __init__(self, ids: LookIds) -> None:
        self._ids = ids
        self._order: LookOrder | None = None
        self._due_ns = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="edge.look")
        self._work: Future[Look] | None = None

    def want(self, orders: Mapping[str, LookOrder]) -> None:
        """What the core wants now; a shorter period counts at once."""
        before, self._order = self._order, orders.get(self._ids.sensor_id)
        is_sooner = self._order is not None and before is not None and self._order.period_s < before.period_s
        if before is None or is_sooner:
            self._due_ns = 0

    def consider(self, frame: Frame, outcome: Outcome, now_ns: int) -> bool:
        """Begin a look of this frame when one is due (monotonic ns) and none is under way; whether it did."""
        order = self._order
        if order is None or self._work is not None or now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + int(order.period_s * NS_PER_S)
        small = scaled_to_width(frame.image, order.width_px)
        size_px = (frame.image.shape[1], frame.image.shape[0])
        self._work = self._worker.submit(
            _made, self._ids, replace(frame, image=small), size_px, outcome, order
        )
        return True

    def finished(self) -> Look | None:
        """The look that was begun, once it is made."""
        if self._work is None or not self._work.done():
            return None
        work, self._work = self._work, None
        try:
            return work.result()
        except (cv2.error, MemoryError, ValueError) as error:  # the next frame may do
            _log.warning("no look could be made", sensor=self._ids.sensor_id, reason=str(error))
            return None

    def close(self) -> None:
        """Let go of the thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def scaled_to_width(image: Image, width_px: int) -> Image:
    """A copy of the image (H, W, 3), at most `width_px` wide and four times as high."""
    height, width = image.shape[:2]
    scale = min(1.0, width_px / width, 4.0 * width_px / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale >= 1.0:
        return image.copy()
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encoded_look(image: Image, max_bytes: int) -> Encoded:
    """The image in at most `max_bytes` if that can be: the best JPEG that fits, for it costs a hundredth of
    the time, else what `encode_within` makes of it."""
    height_px, width_px = image.shape[:2]
    for quality in _JPEG_QUALITIES:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if ok and len(data) <= max_bytes:
            return Encoded(
                data=data.tobytes(),
                media_type="image/jpeg",
                width_px=width_px,
                height_px=height_px,
                scale=1.0,
            )
    return encode_within(image, max_bytes, best_quality=_JPEG_QUALITIES[-1])


def _made(ids: LookIds, frame: Frame, size_px: tuple[int, int], outcome: Outcome, order: LookOrder) -> Look:
    """The look of a frame that had `size_px` before it was scaled down."""
    width_px, height_px = size_px
    batch = outcome.batch
    best = np.argsort(-batch.score, kind="stable")[:MAX_LOOK_BOXES]
    encoded = encoded_look(frame.image, max(600, order.max_bytes - _BOX_BYTES * len(best)))
    if len(encoded.data) > order.max_bytes:
        raise ValueError(f"{len(encoded.data)} bytes at the least, {order.max_bytes} are free")
    info = next((one for one in outcome.messages if isinstance(one, FrameInfo)), None)
    prefix, numbers = _tracks(outcome, best.tolist())
    names = sorted({batch.labels[batch.label_index[index]] for index in best})
    where = outcome.locations
    has_centre = where is not None and where.status[-1] == "ok"
    return Look(
        platform_id=ids.platform_id,
        sortie_id=ids.sortie_id,
        sensor_id=ids.sensor_id,
        frame_number=frame.frame_number,
        time_ns=frame.time_ns,
        kind="thermal" if ids.kind == "thermal" else "eo",
        media_type=encoded.media_type,
        width_px=encoded.width_px,
        height_px=encoded.height_px,
        frame_width_px=width_px,
        frame_height_px=height_px,
        data=encoded.data,
        labels=tuple(names),
        box_u16=box_shares(batch.box_px[best], width_px, height_px).tobytes(),
        score_u8=np.clip(np.rint(batch.score[best] * 255.0), 0, 255).astype(np.uint8).tobytes(),
        label_index_u8=bytes(names.index(batch.labels[batch.label_index[index]]) for index in best),
        track_number=numbers,
        track_prefix=prefix,
        detection_count=len(batch),
        footprint=info.footprint if info is not None else (),
        frame_centre=info.frame_centre if info is not None else None,
        ce90_m=float(where.ce90_m[-1]) if where is not None and has_centre else None,
        no_position_reason=info.no_position_reason if info is not None else None,
        position_doubt=outcome.position_doubt,
        is_live=order.is_live,
        is_exercise=ids.is_exercise,
    )


def box_shares(box_px: npt.NDArray[np.float32], width_px: int, height_px: int) -> npt.NDArray[np.uint16]:
    """Boxes (N, 4) in pixels, origin at the centre of the upper left one, as 65535ths of the frame."""
    size = np.array([width_px, height_px, width_px, height_px], dtype=np.float64)
    shares = np.clip((box_px.astype(np.float64) + 0.5) / size, 0.0, 1.0)
    return np.rint(shares * 65_535.0).astype("<u2")


def _tracks(outcome: Outcome, chosen: list[int]) -> tuple[str | None, tuple[int, ...]]:
    """What the ids of the tracks of these detections begin with, and their numbers; 0 for none."""
    parts = [outcome.track_ids.get(index, "").rpartition(".t") for index in chosen]
    prefix = next((head for head, _, number in parts if number.isdigit()), None)
    return prefix, tuple(int(tail) if head == prefix and tail.isdigit() else 0 for head, _, tail in parts)
