"""What operators have asked of this platform: each request answered, remembered over restarts, ended in time.

A plain object over one small file; time is handed in. A request that comes again is answered again with what
became of it and does nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import structlog
from msgspec import Meta

from edge.triage.worth import Interest
from skywarden.durable import replace_durably
from skywarden.errors import StoreError
from skywarden.messages import LatLon, Message, Sighting, Tasking, TaskingReceipt, Text, TimeNs

_log = structlog.get_logger("edge.requests")

MAX_REQUESTS = 256
MAX_IN_FORCE = 64
MAX_FILE_BYTES = 8_000_000
KEPT_NS = 7 * 86_400 * 1_000_000_000
MAX_LIVE_S = 3_600.0
MAX_EXPIRY_NS = 30 * 86_400 * 1_000_000_000

State = Literal["accepted", "refused", "done"]


class Request(Message, frozen=True, kw_only=True, array_like=True):
    """A request, what became of it, and (for a picture) the record that answers it."""

    tasking: Tasking
    state: State
    text: Text
    changed_ns: TimeNs
    boot_id: str = ""
    seq: int = 0


class _File(Message, frozen=True, kw_only=True, array_like=True):
    version: Literal[1]
    requests: Annotated[tuple[Request, ...], Meta(max_length=MAX_REQUESTS)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said to a new request."""

    state: State
    text: str


class RequestBook:
    """Every request that was heard; what cannot be kept on disk is not accepted."""

    def __init__(self, path: Path, *, live_longest_s: float = MAX_LIVE_S) -> None:
        self._path = path
        self.live_longest_s = live_longest_s
        self._requests: dict[str, Request] = {}
        self._read()

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, tasking_id: str) -> Request | None:
        """The request of this id, if it was ever heard."""
        return self._requests.get(tasking_id)

    def open(self) -> list[Request]:
        """Those that were accepted and are not done."""
        return [one for one in self._requests.values() if one.state == "accepted"]

    def judge(self, tasking: Tasking, utc_ns: int) -> Verdict:
        """Whether a request of the kinds that stay in force can be accepted; why not, in words."""
        if tasking.expires_ns <= utc_ns:
            late_s = (utc_ns - tasking.expires_ns) / 1e9
            return Verdict("refused", f"it had expired {late_s:.0f} s before it arrived")
        if len(self.open()) >= MAX_IN_FORCE:
            return Verdict("refused", f"{MAX_IN_FORCE} requests are in force already")
        if tasking.kind == "threshold" and tasking.score is None:
            return Verdict("refused", "a threshold needs a score")
        if tasking.kind == "mute_area" and len(tasking.area) < 3:
            return Verdict("refused", f"an area of {len(tasking.area)} corners is none")
        if tasking.kind == "follow" and tasking.sighting_id is None and tasking.label is None:
            return Verdict("refused", "following needs a sighting or a label")
        if tasking.kind == "live_view":
            return self._judge_live(tasking, utc_ns)
        if tasking.kind == "model" and tasking.model_order is None:
            return Verdict("refused", "an order about a model needs to say which")
        if tasking.kind == "full_resolution" and tasking.sighting_id is None:
            return Verdict("refused", "a picture at full resolution needs a sighting")
        return Verdict("accepted", _IN_FORCE[tasking.kind])

    def _judge_live(self, tasking: Tasking, utc_ns: int) -> Verdict:
        if tasking.frames_per_s == 0.0:
            return Verdict("done", "the live view is off")
        left_s = (tasking.expires_ns - utc_ns) / 1e9
        if left_s > self.live_longest_s:
            return Verdict(
                "refused", f"a live view of {left_s:.0f} s; at most {self.live_longest_s:.0f} s at a time"
            )
        return Verdict("accepted", _IN_FORCE[tasking.kind])

    def live_views(self) -> dict[str, Tasking]:
        """The live views in force by sensor ("" for all); the one that was asked for last counts."""
        asked = [one.tasking for one in self.open() if one.tasking.kind == "live_view"]
        asked.sort(key=lambda tasking: (tasking.time_ns, tasking.tasking_id))
        return {one.sensor_id or "": one for one in asked}

    def ended_by(self, tasking: Tasking) -> list[tuple[Request, Verdict]]:
        """The live views that this one takes the place of, or stops: those of its sensor, or all."""
        if tasking.kind != "live_view":
            return []
        is_stop = tasking.frames_per_s == 0.0
        verdict = Verdict("done", "stopped" if is_stop else "a later request took its place")
        return [
            (one, verdict)
            for one in self.open()
            if one.tasking.kind == "live_view"
            and one.tasking.tasking_id != tasking.tasking_id
            and one.tasking.time_ns <= tasking.time_ns
            and tasking.sensor_id in (None, one.tasking.sensor_id)
        ]

    def note(
        self, tasking: Tasking, verdict: Verdict, utc_ns: int, *, boot_id: str = "", seq: int = 0
    ) -> None:
        """Remember what became of a request, durably; raises `StoreError`."""
        before = dict(self._requests)
        self._requests[tasking.tasking_id] = Request(
            tasking=tasking,
            state=verdict.state,
            text=verdict.text[:512],
            changed_ns=utc_ns,
            boot_id=boot_id,
            seq=seq,
        )
        self._trim(utc_ns)
        try:
            self._write()
        except OSError as error:
            self._requests = before
            raise StoreError(f"{self._path}: the request cannot be kept ({error.strerror})") from error

    def due(self, utc_ns: int, is_held: Callable[[str, int], bool]) -> list[tuple[Request, Verdict]]:
        """Requests that are over now: expired, or (a picture) acknowledged by the ground."""
        over: list[tuple[Request, Verdict]] = []
        for one in self.open():
            if one.tasking.kind == "full_resolution":
                if one.seq and not is_held(one.boot_id, one.seq):
                    over.append((one, Verdict("done", "the picture is on the ground")))
            elif one.tasking.expires_ns <= utc_ns:
                over.append((one, Verdict("done", "its time is over, all is as before")))
        return over

    def interest_in(self, sighting: Sighting) -> Interest:
        """What is asked for concerns this object: it is followed, or lies in an area that is muted."""
        is_followed = is_muted = False
        for one in self.open():
            tasking = one.tasking
            if tasking.kind == "follow":
                is_track = (
                    tasking.sighting_id is not None and _track_of(tasking.sighting_id) == sighting.track_id
                )
                is_label = tasking.sighting_id is None and tasking.label == sighting.label
                is_followed = is_followed or is_track or is_label
            elif tasking.kind == "mute_area" and sighting.position is not None:
                place = (sighting.position.latitude_deg, sighting.position.longitude_deg)
                of_label = tasking.label is None or tasking.label == sighting.label
                is_muted = is_muted or (of_label and is_inside(place, tasking.area))
        return Interest(is_followed=is_followed, is_muted=is_muted and not is_followed)

    def min_scores(self) -> dict[str, float]:
        """The thresholds in force by label ("" for all); the one that was asked for last counts."""
        asked = [one.tasking for one in self.open() if one.tasking.kind == "threshold"]
        asked.sort(key=lambda tasking: (tasking.time_ns, tasking.tasking_id))
        return {one.label or "": one.score for one in asked if one.score is not None}

    def _trim(self, utc_ns: int) -> None:
        """Forget the oldest that are over; those in force stay."""
        over = sorted(
            (one for one in self._requests.values() if one.state != "accepted"),
            key=lambda one: one.changed_ns,
        )
        for one in over:
            is_old = utc_ns - one.changed_ns > KEPT_NS
            if is_old or len(self._requests) > MAX_REQUESTS:
                del self._requests[one.tasking.tasking_id]

    def _read(self) -> None:
        try:
            if self._path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"{self._path} is over {MAX_FILE_BYTES} bytes")
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ValueError) as error:
            _log.error(
                "requests are forgotten, their file cannot be read", path=str(self._path), reason=str(error)
            )
            return
        self._requests = {one.tasking.tasking_id: one for one in found.requests}

    def _write(self) -> None:
        data = msgspec.msgpack.encode(_File(version=1, requests=tuple(self._requests.values())))
        replace_durably(self._path, data)


_IN_FORCE = {
    "threshold": "the threshold holds until it expires",
    "mute_area": "what is seen there is logged and waits behind everything else",
    "follow": "every look at it goes first",
    "full_resolution": "on its way",
    "model": "on its way",
    "live_view": "pictures as often as the link allows, until it expires",
}


def receipt_of(request: Request, platform_id: str, utc_ns: int) -> TaskingReceipt:
    """What goes down about a request."""
    return TaskingReceipt(
        tasking_id=request.tasking.tasking_id,
        platform_id=platform_id,
        time_ns=utc_ns,
        state=request.state,
        text=request.text,
    )


def is_inside(place: LatLon, area: tuple[LatLon, ...]) -> bool:
    """Whether a place lies in a polygon of (latitude, longitude), by the even-odd rule; also across 180."""
    corners = np.asarray(area, dtype=np.float64)
    y = corners[:, 0] - place[0]
    x = (corners[:, 1] - place[1] + 180.0) % 360.0 - 180.0
    y_next, x_next = np.roll(y, -1), np.roll(x, -1)
    is_crossing = (y > 0.0) != (y_next > 0.0)
    rise = np.where(is_crossing, y_next - y, 1.0)
    return bool((is_crossing & (x - y * (x_next - x) / rise > 0.0)).sum() % 2)


def _track_of(sighting_id: str) -> str:
    return sighting_id.rpartition(".")[0]
