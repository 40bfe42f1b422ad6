"""What a worker aboard would say of its own state over a flight: its watches, on virtual time.

The judges are the worker's own: conditions of the telemetry (GNSS integrity, datum, clocks), the camera's
watch, the watch for a computer that is held back, and the board that turns conditions into begins and ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from edge.cameras.config import WatchConfig
from edge.cameras.frame import BgrPixels, CameraFrame, FrameFlag
from edge.cameras.statistics import TILE_COLUMNS, TILE_ROWS, TILE_SIDE, FrameStatistics, measure
from edge.cameras.watch import CameraWatch
from edge.conditions import ConditionBoard
from edge.pose.telemetry import TelemetryNode
from edge.throttle_watch import ThrottleCounters, ThrottleWatch
from edge.vision.loop import fault_of
from sim.faults.gnss import Span
from sim.scenario.flown.looks import FrameLooks
from sim.scenario.land.noise import generator
from skywarden.clock import NS_PER_S
from skywarden.flight.decoding import Image
from skywarden.messages import Health

LOOK_EVERY_NS = NS_PER_S // 2
MAX_TICKS = 400
GRACE_NS = 5 * NS_PER_S
"""So long after the start a worker keeps quiet about what it has not heard yet."""
POSE = "pose"
_ROWS, _COLUMNS = TILE_ROWS * TILE_SIDE, TILE_COLUMNS * TILE_SIDE


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One condition from its beginning to its end; `end_ns` is `None` when it holds to the last."""

    platform_id: str
    component: str
    word: str
    state: str
    begin_ns: int
    end_ns: int | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """When a computer was too hot, as its firmware would have said."""

    spans: tuple[Span, ...] = ()

    def counters(self, now_ns: int) -> ThrottleCounters:
        """What the system would have counted."""
        is_hot = any(span.holds(now_ns) for span in self.spans)
        return ThrottleCounters(firmware=("throttled",) if is_hot else ())


class Aboard:
    """The watches of one sensor's worker; handed frames and time, it notes what is said."""

    def __init__(
        self, platform_id: str, sensor_id: str, size_px: tuple[int, int] | None, begin_ns: int, heat: Heat
    ) -> None:
        self._platform_id, self._sensor_id = platform_id, sensor_id
        self._board = ConditionBoard(platform_id)
        self._camera = CameraWatch(WatchConfig(), started_ns=begin_ns, expected_size_px=size_px)
        self._throttle, self._heat = ThrottleWatch(), heat
        self._begin_ns = self._ticked_ns = begin_ns
        self._looked_ns = 0
        self._open: dict[tuple[str, str], Health] = {}
        self._closed: list[Notice] = []
        self.said: list[Health] = []
        """Each begin and end as it goes to the ground."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All that was said, in order of its beginning; what still holds has no end."""
        still = [_notice(health, None) for health in self._open.values()]
        return tuple(sorted([*self._closed, *still], key=lambda one: (one.begin_ns, one.component, one.word)))

    def heard(self, node: TelemetryNode, now_ns: int) -> None:
        """Telemetry came, or time passed without."""
        if now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        if now_ns - self._begin_ns > GRACE_NS:
            for health in node.conditions(now_ns):
                self._note(health)
        text = self._throttle.look(self._heat.counters(now_ns), now_ns / NS_PER_S)
        self._hold(text is not None, "computer", "throttled", text or "", now_ns)

    def picture(self, number: int, time_ns: int, image: Image) -> str | None:
        """A picture arrived; why it is not to be looked at, `None` for a good one."""
        return self._judged(time_ns, measure(self._frame(number, time_ns, image, ())))

    def undrawn(self, looks: FrameLooks, size_px: tuple[int, int]) -> str | None:
        """A frame arrived that nobody drew: the noise of a live camera, or what a fault made of it."""
        return self._judged(looks.time_ns, made_statistics(looks, size_px))

    def pose(self, reason: str | None, detail: str, time_ns: int) -> None:
        """Why the frame has no pose; `None` where it has one."""
        for (component, word), before in list(self._open.items()):
            if component == POSE and word != reason:
                self._hold(False, POSE, before.condition, "", time_ns)
        if reason is not None:
            self._hold(True, POSE, reason, detail, time_ns)

    def end(self, time_ns: int) -> None:
        """The flight is over."""
        self._tick(time_ns)

    def _judged(self, time_ns: int, statistics: FrameStatistics) -> str | None:
        self._tick(time_ns)
        self._camera.received(time_ns)
        flags = self._camera.observe(time_ns, statistics)
        self._drain()
        blank = np.zeros((1, 1, 3), np.uint8)
        return fault_of(self._frame(0, time_ns, blank, flags))

    def _frame(self, number: int, time_ns: int, image: Image, flags: tuple[FrameFlag, ...]) -> CameraFrame:
        return CameraFrame(
            sensor_id=self._sensor_id,
            frame_number=number,
            time_ns=time_ns,
            stamp_ns=time_ns,
            received_ns=time_ns,
            pts_s=None,
            time_basis="listing",
            pixels=BgrPixels(image),
            flags=flags,
        )

    def _tick(self, time_ns: int) -> None:
        """Time passes up to the next frame, looked at as often as a worker does."""
        step_ns = max(LOOK_EVERY_NS, (time_ns - self._ticked_ns) // MAX_TICKS)
        while self._ticked_ns + step_ns < time_ns:
            self._ticked_ns += step_ns
            self._camera.tick(self._ticked_ns)
        self._ticked_ns = max(self._ticked_ns, time_ns)
        self._drain()

    def _drain(self) -> None:
        for change in self._camera.drain():
            self._note(
                Health(
                    platform_id=self._platform_id,
                    component=f"camera.{self._sensor_id}",
                    condition=change.name,
                    state=change.state,
                    time_ns=change.time_ns,
                    since_ns=change.since_ns,
                    text=change.text[:512],
                )
            )

    def _hold(self, holds: bool, component: str, word: str, text: str, time_ns: int) -> None:
        self._say(self._board.set(holds, component, word, "degraded", text, time_ns))

    def _note(self, health: Health) -> None:
        if health.state == "ok":
            self._say(self._board.end(health.component, health.condition, health.time_ns, health.text))
            return
        self._say(
            self._board.begin(health.component, health.condition, health.state, health.text, health.time_ns)
        )

    def _say(self, health: Health | None) -> None:
        if health is None:
            return
        self.said.append(health)
        key = (health.component, health.condition)
        before = self._open.pop(key, None)
        if health.state != "ok":
            # A condition that becomes graver goes on from where it began.
            begun_ns = health.time_ns if before is None else before.time_ns
            self._open[key] = msgspec.structs.replace(health, time_ns=begun_ns)
        elif before is not None:
            self._closed.append(_notice(before, health.time_ns))


def made_statistics(looks: FrameLooks, size_px: tuple[int, int]) -> FrameStatistics:
    """What the camera's watch would measure of a frame that nobody drew: even grey with a camera's noise.

    A frozen picture has the noise of the frame that it shows; a black one has none.
    """
    shown = looks.frame_number if looks.shows is None else looks.shows
    if looks.spoilt == "black":
        samples = np.zeros((_ROWS, _COLUMNS), np.int16)
    else:
        noise = generator(shown, "camera noise", looks.sensor_id).normal(110.0, 3.0, (_ROWS, _COLUMNS))
        samples = noise.astype(np.int16)
    share = 1.0 if looks.shrunk is None else looks.shrunk
    level = float(samples.mean())
    return FrameStatistics(
        samples=samples,
        width_px=max(round(size_px[0] * share), 16),
        height_px=max(round(size_px[1] * share), 16),
        mean_level=level,
        dark_level=level,
        bright_level=level,
        clipped_share=0.0,
    )


def words_of(notices: Iterable[Notice]) -> list[str]:
    """The words that were said, each once, in order."""
    return list(dict.fromkeys(notice.word for notice in notices))


def _notice(health: Health, end_ns: int | None) -> Notice:
    return Notice(
        platform_id=health.platform_id,
        component=health.component,
        word=health.condition,
        state=health.state,
        begin_ns=health.time_ns,
        end_ns=end_ns,
        text=health.text,
    )
