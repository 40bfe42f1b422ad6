"""From a sensor's configuration and what was chosen in flights before to detectors that are ready to look."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from edge.config import ModelConfig, SensorConfig
from edge.gaze.gaze import Gaze
from edge.gaze.outlook import Outlook
from edge.models_aboard.bank import AbsentDetector, DetectorBank, Slot
from edge.models_aboard.choices import Choice, ChoiceBook, Place
from edge.models_aboard.config import SwapConfig
from edge.models_aboard.desk import Berth, DeskIds, ModelDesk
from edge.models_aboard.folder_watch import FolderWatch
from edge.models_aboard.shelf import SHELF, Shelf
from edge.models_aboard.turns import Turn
from edge.vision.detectors import configured_detector, configured_gaze, log_loaded
from models.detection import MAX_BOXES
from models.detector import Detector
from models.swap import SwappableDetector
from skywarden.clock import Clock
from skywarden.errors import ModelError, StoreError

log = structlog.get_logger("edge.models_aboard")


@dataclass(frozen=True, kw_only=True)
class OpenedModels:
    """A sensor's detectors, who changes them, and who hears where to look (`None`: nobody does)."""

    bank: DetectorBank
    desk: ModelDesk
    gaze: "Gazes | None"


class Gazes:
    """The gazes of several detectors of one sensor as one."""

    def __init__(self, gazes: list[Gaze]) -> None:
        self._gazes = gazes

    def tell(self, outlook: Outlook | None) -> None:
        """As `Gaze.tell`, to all."""
        for gaze in self._gazes:
            gaze.tell(outlook)


def loaded(model: ModelConfig, gaze: Gaze | None, place: str) -> Detector:
    """The detector that a section asks for, of the model at `place`; raises `ModelError`."""
    detector = configured_detector(model, place, gaze)
    log_loaded(detector)
    return detector


def open_models(
    sensor: SensorConfig,
    swap: SwapConfig,
    ids: DeskIds,
    folder: Path | None,
    clock: Clock,
    load: Callable[[ModelConfig, Gaze | None, str], Detector] = loaded,
) -> OpenedModels:
    """Load what is configured, or was chosen since; `folder` keeps choices and staged models, `None` nothing.

    Of several detectors one that cannot be loaded leaves its slot empty, with the reason; raises `ModelError`
    when it is the only one, or none can be.
    """
    book = ChoiceBook(folder / f"{ids.sensor_id}.choices" if folder is not None else None)
    shelf = Shelf((folder or Path("/nonexistent")) / SHELF)
    gazes: list[Gaze] = []
    berths: list[Berth] = []
    for model in sensor.detectors:
        gaze = configured_gaze(model) if model.is_tiled else None
        gazes += [gaze] if gaze is not None else []
        berths.append(
            _berth(model, book, partial(load, model, gaze), swap, is_alone=len(sensor.detectors) == 1)
        )
    if all(berth.swap.model_id == AbsentDetector.model_id for berth in berths):
        raise ModelError(f"none of the detectors can be loaded; {berths[0].reason}")
    bank = DetectorBank(
        [berth.slot for berth in berths], looks=sensor.turns.looks, budget_s=sensor.turns.budget_s
    )
    watches = {m.slot_name: FolderWatch(Path(m.next)) for m in sensor.detectors if m.next}
    desk = ModelDesk(ids, berths, book, shelf, swap, clock, watches)
    return OpenedModels(bank=bank, desk=desk, gaze=Gazes(gazes) if gazes else None)


def _berth(
    model: ModelConfig, book: ChoiceBook, load: Callable[[str], Detector], swap: SwapConfig, *, is_alone: bool
) -> Berth:
    choice = book.get(model.slot_name)
    if choice is not None and choice.configured != model.name:
        log.info("the file names another model; the choice is over", slot=model.slot_name, model=model.name)
        _forgotten(book, model)
        choice = None
    swappable, places, reason = None, dict[str, str](), "as configured"
    if choice is not None:
        swappable, reason = _chosen(model, book, choice, load, swap, places)
    if swappable is None:
        try:
            swappable = SwappableDetector(_noted(load(model.name), model.name, places))
        except ModelError as error:
            if is_alone:
                raise
            log.error("model not loaded, the others fly", slot=model.slot_name, reason=str(error))
            swappable, reason = SwappableDetector(AbsentDetector(str(error))), str(error)
    slot = Slot(
        name=model.slot_name,
        detector=swappable,
        turn=Turn(every=model.every, share=model.share),
        min_score=model.min_score,
        max_detections=min(model.max_detections, MAX_BOXES),
        classes=model.classes,
    )
    since_ns = choice.since_ns if choice is not None and book.get(model.slot_name) is not None else 0
    return Berth(
        slot=slot,
        swap=swappable,
        configured=model.name,
        load=load,
        places=places,
        reason=reason[:500],
        since_ns=since_ns,
    )


def _chosen(
    model: ModelConfig,
    book: ChoiceBook,
    choice: Choice,
    load: Callable[[str], Detector],
    swap: SwapConfig,
    places: dict[str, str],
) -> tuple[SwappableDetector | None, str]:
    """What was chosen, if it can be trusted; else what flew before, and why."""
    if choice.is_on_probation and book.ended_open:
        why = f"rolled back: the process ended while {choice.now.model_id} was on probation"
        return _instead(model, book, choice, load, places, why)
    try:
        now = load(choice.now.place)
        if not choice.is_on_probation:
            return SwappableDetector(_noted(now, choice.now.place, places)), choice.reason
        before = choice.before or Place(model_id="-", place=model.name)
        swappable = SwappableDetector(_noted(load(before.place), before.place, places))
        swappable.take_over(_noted(now, choice.now.place, places), swap.rules(), "resumed after a restart")
        return swappable, choice.reason
    except ModelError as error:
        return _instead(model, book, choice, load, places, f"rolled back: {error}")


def _instead(
    model: ModelConfig,
    book: ChoiceBook,
    choice: Choice,
    load: Callable[[str], Detector],
    places: dict[str, str],
    why: str,
) -> tuple[SwappableDetector | None, str]:
    log.warning("model rolled back", slot=model.slot_name, model_id=choice.now.model_id, why=why)
    places.clear()
    _forgotten(book, model)
    if choice.before is None or choice.before.place == model.name:
        return None, why
    try:
        return SwappableDetector(_noted(load(choice.before.place), choice.before.place, places)), why
    except ModelError as error:
        log.error("model not loaded, the configured one flies", slot=model.slot_name, reason=str(error))
        return None, why


def _noted(detector: Detector, place: str, places: dict[str, str]) -> Detector:
    places[detector.model_id] = place
    return detector


def _forgotten(book: ChoiceBook, model: ModelConfig) -> None:
    try:
        book.put(model.slot_name, None)
    except StoreError as error:
        log.error("the choice of a model is not kept", reason=str(error))
