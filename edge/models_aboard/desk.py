"""Where orders about models are carried out, in a vision process: stage, promote, roll back, and tell.

Loading takes a second or two, so the desk has a thread of its own; what it changes is a reference inside the
slot's `SwappableDetector`, and the looking thread never waits for it.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from edge.models_aboard.bank import AbsentDetector, Slot
from edge.models_aboard.choices import Choice, ChoiceBook, Place
from edge.models_aboard.config import SwapConfig
from edge.models_aboard.folder_watch import FolderWatch
from edge.models_aboard.orders import (
    CONDITION,
    MAX_ORDERS,
    NOT_LOOKING,
    ModelOrder,
    ModelsReport,
    OrderAnswer,
    SlotReport,
)
from edge.models_aboard.shelf import Shelf
from models.detector import Detector
from models.swap import SwapNews, SwappableDetector
from skywarden.clock import Clock
from skywarden.errors import ModelError, StoreError
from skywarden.messages import Health, HealthState

log = structlog.get_logger("edge.models_aboard")

_TICK_S = 0.25
_END_S = 0.7
_MAX_HEALTH = 200

Load = Callable[[str], Detector]


@dataclass(frozen=True, kw_only=True)
class DeskIds:
    """Whose models these are."""

    platform_id: str
    sensor_id: str
    incarnation: int = 0


@dataclass(kw_only=True, eq=False)
class Berth:
    """A slot with all that changing its model needs.

    `configured` is what the file names; `load` makes a checked and warm detector of a name or folder.
    """

    slot: Slot
    swap: SwappableDetector
    configured: str
    load: Load
    places: dict[str, str]
    reason: str = "as configured"
    since_ns: int = 0
    state: HealthState = "ok"
    told_fault: str = ""


class ModelDesk:
    """See the module. `order`, `report` and `take_health` are for the process's working loop."""

    def __init__(
        self,
        ids: DeskIds,
        berths: Sequence[Berth],
        book: ChoiceBook,
        shelf: Shelf,
        rules: SwapConfig,
        clock: Clock,
        watches: Mapping[str, FolderWatch] | None = None,
    ) -> None:
        """`watches` are folders by slot in which another model may appear."""
        self._ids = ids
        self._berths = {berth.slot.name: berth for berth in berths}
        self._book = book
        self._shelf = shelf
        self._rules = rules
        self._clock = clock
        self._watches = dict(watches or {})
        self._waiting: queue.Queue[ModelOrder] = queue.Queue(maxsize=MAX_ORDERS)
        self._heard: deque[str] = deque(maxlen=256)
        self._answers: deque[OrderAnswer] = deque(maxlen=MAX_ORDERS)
        self._health: deque[Health] = deque(maxlen=_MAX_HEALTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)

    def start(self) -> None:
        """Begin to work; tells at once what flies."""
        try:
            self._book.open()
        except StoreError as error:
            log.error("choices of models are not kept", reason=str(error))
        for berth in self._berths.values():
            berth.since_ns = berth.since_ns or self._clock.utc_ns()
            self._tell(berth, f"{_flies(berth)}: {berth.reason}")
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the book, so that the next start knows that nothing broke."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        try:
            self._book.close()
        except StoreError as error:
            log.error("choices of models are not kept", reason=str(error))
        if self._thread.is_alive():  # it loads a model; nobody waits for that
            self._thread.join(_END_S)

    def order(self, order: ModelOrder) -> None:
        """Take an order; one that was heard before does nothing more."""
        if order.sensor_id != self._ids.sensor_id or order.order_id in self._heard:
            return
        self._heard.append(order.order_id)
        try:
            self._waiting.put_nowait(order)
        except queue.Full:
            self._answer(order, False, f"{MAX_ORDERS} orders wait already")

    def report(self) -> ModelsReport:
        """How everything is now, with the last answers."""
        return ModelsReport(
            incarnation=self._ids.incarnation,
            slots=tuple(self._slot_report(berth) for berth in self._berths.values()),
            answers=tuple(self._answers),
        )

    def take_health(self) -> list[Health]:
        """What has changed since the last call, in order."""
        out = []
        while self._health:
            out.append(self._health.popleft())
        return out

    def turn(self, timeout_s: float = 0.0) -> None:
        """One turn of the thread: an order if one comes in time, folders, news."""
        try:
            order = self._waiting.get(timeout=timeout_s) if timeout_s else self._waiting.get_nowait()
        except queue.Empty:
            order = None
        if order is not None:
            self._carry_out(order)
        for name, watch in self._watches.items():
            if watch.is_new(self._clock.monotonic_ns()):
                self._try_folder(self._berths[name], str(watch.folder))
        for berth in self._berths.values():
            for news in berth.swap.take_news():
                self._note(berth, news)
            self._tell_fault(berth)

    def _work(self) -> None:
        while not self._stop.is_set():
            self.turn(_TICK_S)

    def _carry_out(self, order: ModelOrder) -> None:
        acts = {"stage": self._stage, "promote": self._promote, "rollback": self._roll_back}
        try:
            self._answer(order, True, acts[order.action](self._berth(order.slot), order))
        except (ModelError, StoreError) as error:
            self._answer(order, False, str(error))

    def _berth(self, name: str) -> Berth:
        names = ", ".join(self._berths)
        if not name and len(self._berths) == 1:
            return next(iter(self._berths.values()))
        if name not in self._berths:
            raise ModelError(
                f"{self._ids.sensor_id} has the detectors {names}; say which with --detector"
                if not name
                else f"{self._ids.sensor_id} has no detector {name[:40]!r}; it has {names}"
            )
        return self._berths[name]

    def _stage(self, berth: Berth, order: ModelOrder) -> str:
        if berth.swap.state == "probation":
            raise ModelError(
                f"{berth.swap.model_id} is on probation; wait until it has settled, or roll it back first"
            )
        if order.is_aboard_only and self._shelf.place_of(order.model) is None:
            raise ModelError(
                f"no model aboard is called {order.model[:100]!r}; `skywarden edge model list` shows them"
            )
        detector, place = self._shelf.take(order.model, berth.load)
        if detector.model_id == berth.swap.model_id:
            raise ModelError(f"{detector.model_id} flies already")
        berth.places[detector.model_id] = place
        if _is_absent(berth):
            berth.swap.take_over(detector, self._rules.rules(), "staged where none could fly")
            return f"{detector.model_id} is in order and flies at once, as no other did"
        berth.swap.offer(detector, self._rules.rules())
        return (
            f"{detector.model_id} is in order and looks in the shadow of {berth.swap.model_id}; "
            "`skywarden edge model status` says how it does"
        )

    def _promote(self, berth: Berth, order: ModelOrder) -> str:
        swap = berth.swap
        candidate, state = swap.candidate_id, swap.state
        if candidate is None:
            raise ModelError("nothing is staged; `skywarden edge model stage NAME` comes first")
        if state != "ready" and not order.is_forced:
            why = swap.refusal or f"the shadow has not seen enough yet ({self._comparison(swap)})"
            raise ModelError(
                f"{candidate} is not promoted: {why}. Wait, roll it back, or insist with --force"
            )
        forced = "" if state == "ready" else f", forced: {swap.refusal or self._comparison(swap)}"
        if not swap.promote():
            raise ModelError(f"{candidate} has just gone; `skywarden edge model status` says why")
        return f"{candidate} flies, on probation for {self._rules.probation_frames} looks{forced}"

    def _roll_back(self, berth: Berth, order: ModelOrder) -> str:
        swap = berth.swap
        before = swap.model_id
        if swap.state == "probation" and swap.roll_back():
            return f"{swap.model_id} flies again, {before} is gone"
        candidate = swap.candidate_id
        if swap.withdraw():
            return f"{candidate} is withdrawn, {swap.model_id} flies on"
        choice = self._book.get(berth.slot.name)
        if choice is None or choice.before is None:
            raise ModelError(f"{before} is the first that flies here; there is none to go back to")
        detector = berth.load(choice.before.place)
        berth.places[detector.model_id] = choice.before.place
        swap.take_over(detector, self._rules.rules(), "rolled back on request")
        return (
            f"{detector.model_id} flies again, on probation; {before} is what another roll-back brings back"
        )

    def _try_folder(self, berth: Berth, folder: str) -> None:
        """A model appeared in the folder that the configuration names: it may take over by itself."""
        try:
            detector, place = self._shelf.take(folder, berth.load)
        except ModelError as error:
            log.warning("model refused", folder=folder, reason=str(error))
            self._tell(berth, f"{_flies(berth)}; the model in {folder} is refused: {error}")
            return
        if detector.model_id == berth.swap.model_id:
            return
        berth.places[detector.model_id] = place
        berth.swap.offer(detector, self._rules.rules(takes_over_alone=True))

    def _note(self, berth: Berth, news: SwapNews) -> None:
        choice = self._book.get(berth.slot.name)
        if news.kind == "promoted":
            old = self._place_before(berth, choice, news.model_id)
            now = Place(model_id=news.model_id, place=berth.places[news.model_id])
            self._chosen(berth, now, old, f"promoted {news.text}", is_on_probation=True)
        elif news.kind == "rolled_back" and choice is not None and choice.before is not None:
            self._chosen(berth, choice.before, None, f"{news.model_id} was rolled back, {news.text}")
        elif news.kind == "settled" and choice is not None:
            self._keep(berth, msgspec.structs.replace(choice, is_on_probation=False))
        is_trouble = news.kind == "rolled_back" and "on request" not in news.text
        say = log.warning if is_trouble or news.kind == "rejected" else log.info
        say(f"model {news.kind}", slot=berth.slot.name, model_id=news.model_id, why=news.text)
        state: HealthState = "degraded" if is_trouble else "ok"
        words = {"offered": "is in its shadow", "rejected": "was refused", "passed": "may take over"}
        if news.kind in words:
            self._tell(berth, f"{_flies(berth)}; {news.model_id} {words[news.kind]}: {news.text}")
        else:
            self._tell(berth, f"{_flies(berth)}: {news.kind.replace('_', ' ')}, {news.text}", state)
        self._shelf.tidy(
            self._book.places() | {place for each in self._berths.values() for place in each.places.values()}
        )

    def _place_before(self, berth: Berth, choice: Choice | None, new_id: str) -> Place | None:
        """Of the model that flew until now, from where it is loaded again."""
        if choice is not None and choice.now.model_id != new_id:
            return choice.now
        others = [Place(model_id=one, place=place) for one, place in berth.places.items() if one != new_id]
        return others[0] if others else None

    def _chosen(
        self, berth: Berth, now: Place, before: Place | None, reason: str, *, is_on_probation: bool = False
    ) -> None:
        berth.reason, berth.since_ns = reason[:500], self._clock.utc_ns()
        choice = Choice(
            configured=berth.configured,
            now=now,
            before=before,
            since_ns=berth.since_ns,
            reason=berth.reason,
            is_on_probation=is_on_probation,
        )
        self._keep(berth, choice)

    def _keep(self, berth: Berth, choice: Choice) -> None:
        try:
            self._book.put(berth.slot.name, choice)
        except StoreError as error:
            log.error("the choice of a model is not kept", reason=str(error))

    def _tell(self, berth: Berth, text: str, state: HealthState = "ok") -> None:
        berth.state = state
        self._health.append(self._health_of(berth, CONDITION, state, text, berth.since_ns))

    def _tell_fault(self, berth: Berth) -> None:
        fault = berth.slot.fault
        if bool(fault) == bool(berth.told_fault):
            return
        berth.told_fault = fault
        text = (
            f"{berth.swap.model_id} fails, the other detectors go on: {fault}" if fault else "it looks again"
        )
        now_ns = self._clock.utc_ns()
        self._health.append(self._health_of(berth, NOT_LOOKING, "degraded" if fault else "ok", text, now_ns))

    def _health_of(
        self, berth: Berth, condition: str, state: HealthState, text: str, since_ns: int
    ) -> Health:
        return Health(
            platform_id=self._ids.platform_id,
            component=f"model.{self._ids.sensor_id}.{berth.slot.name}",
            condition=condition,
            state=state,
            time_ns=self._clock.utc_ns(),
            since_ns=since_ns,
            text=text[:512],
        )

    def _answer(self, order: ModelOrder, is_done: bool, text: str) -> None:
        log.info("model order", action=order.action, slot=order.slot, is_done=is_done, answer=text)
        self._answers.append(OrderAnswer(order_id=order.order_id, is_done=is_done, text=text[:512]))

    def _slot_report(self, berth: Berth) -> SlotReport:
        swap = berth.swap
        choice = self._book.get(berth.slot.name)
        is_absent = _is_absent(berth)
        return SlotReport(
            slot=berth.slot.name,
            state="absent" if is_absent else swap.state,
            model_id=None if is_absent else swap.model_id,
            since_ns=berth.since_ns,
            reason=berth.reason[:512],
            before_id=choice.before.model_id if choice is not None and choice.before is not None else None,
            candidate_id=swap.candidate_id,
            comparison=self._comparison(swap) if swap.candidate_id is not None else "",
            refusal=swap.refusal[:512],
            fault=berth.slot.fault[:512],
            look_count=berth.slot.look_count,
        )

    def _comparison(self, swap: SwappableDetector) -> str:
        report = swap.report()
        if report is None:
            return ""
        return f"{report}; {self._rules.shadow_frames} frames and {self._rules.least_boxes} boxes are due"[
            :512
        ]


def _flies(berth: Berth) -> str:
    return "no model flies" if _is_absent(berth) else f"{berth.swap.model_id} flies"


def _is_absent(berth: Berth) -> bool:
    return berth.swap.model_id == AbsentDetector.model_id
