"""The worker's side of models: hands orders to the vision processes until they are answered.

Orders come from the local socket and from the ground, each in a thread of its own; the core's one thread
carries them. An order is given to one start of a process only: when the process dies over it, the next one is
not given it again.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from edge.models_aboard.orders import MAX_ORDERS, Action, ModelOrder, ModelsReport, OrderAnswer
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError

log = structlog.get_logger("edge.models_aboard")

PATIENCE_NS = 120 * NS_PER_S
"""So long an order may take; a large model on a small computer loads in a quarter of that."""


@dataclass(slots=True)
class _Pending:
    order: ModelOrder
    answer: "Future[OrderAnswer]"
    deadline_ns: int
    incarnation: int | None = None


class ModelsCore:
    """See the module. `sensors` are the names of the cameras; `now_ns` is monotonic."""

    def __init__(self, sensors: Sequence[str], now_ns: Callable[[], int]) -> None:
        self._sensors = tuple(sensors)
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._reports: dict[str, ModelsReport] = {}

    def submit(
        self,
        action: Action,
        *,
        sensor_id: str = "",
        slot: str = "",
        model: str = "",
        is_forced: bool = False,
        is_from_ground: bool = False,
    ) -> "Future[OrderAnswer]":
        """Have an order carried out; its answer comes when the process has given it, a failure too. From any
        thread. `is_from_ground`: it may name models that are aboard, and no folders. Raises `InputError` for
        one that nobody can carry out."""
        sensor_id = sensor_id or self._only_sensor()
        if sensor_id not in self._sensors:
            raise InputError(f"no sensor is called {sensor_id[:40]!r}; there are {', '.join(self._sensors)}")
        if action == "stage" and not model:
            raise InputError("which model is to be staged? Name it; `skywarden edge model list` knows them")
        order = ModelOrder(
            order_id=f"m-{secrets.token_hex(8)}",
            action=action,
            sensor_id=sensor_id,
            slot=slot,
            model=model,
            is_forced=is_forced,
            is_aboard_only=is_from_ground,
        )
        with self._lock:
            if len(self._pending) >= MAX_ORDERS:
                raise InputError(f"{MAX_ORDERS} orders about models wait already; wait for their answers")
            made = _Pending(order, Future(), self._now_ns() + PATIENCE_NS)
            self._pending[order.order_id] = made
        return made.answer

    def orders(self) -> tuple[ModelOrder, ...]:
        """What the vision processes should be told."""
        with self._lock:
            return tuple(one.order for one in self._pending.values())

    def heard(self, sensor_id: str, report: ModelsReport) -> None:
        """A vision process told how it is."""
        self._reports[sensor_id] = report
        for answer in report.answers:
            with self._lock:
                one = self._pending.get(answer.order_id)
                if one is None or one.order.sensor_id != sensor_id:
                    continue
                del self._pending[answer.order_id]
            one.answer.set_result(answer)

    def tend(self, starts: Mapping[str, int]) -> None:
        """End orders whose process has died over them, or that nobody answers. `starts` counts the starts of
        each sensor's process. Call some times a second."""
        now_ns, over = self._now_ns(), list[tuple[_Pending, str]]()
        with self._lock:
            for one in list(self._pending.values()):
                count = starts.get(one.order.sensor_id, 0)
                is_first = one.incarnation is None
                one.incarnation = count if is_first else one.incarnation
                if one.incarnation != count:
                    over.append((one, "the vision process ended over it and was started anew; see the log"))
                elif now_ns > one.deadline_ns:
                    over.append((one, f"no answer within {PATIENCE_NS / 1e9:.0f} s; is the camera looking?"))
            for one, _ in over:
                del self._pending[one.order.order_id]
        for one, why in over:
            log.warning("model order failed", action=one.order.action, sensor=one.order.sensor_id, reason=why)
            one.answer.set_result(OrderAnswer(order_id=one.order.order_id, is_done=False, text=why))

    def forget(self, sensor_id: str) -> None:
        """The process of this sensor does not run: nothing is known of its models."""
        self._reports.pop(sensor_id, None)

    def reports(self) -> dict[str, ModelsReport]:
        """How every sensor's models are, as last told."""
        return dict(self._reports)

    def close(self) -> None:
        """Nobody will answer any more."""
        with self._lock:
            over, self._pending = list(self._pending.values()), {}
        for one in over:
            one.answer.set_result(
                OrderAnswer(order_id=one.order.order_id, is_done=False, text="the worker stops")
            )

    def _only_sensor(self) -> str:
        if len(self._sensors) != 1:
            known = ", ".join(self._sensors) or "none"
            raise InputError(f"there are the sensors {known}; say which with --sensor")
        return self._sensors[0]
