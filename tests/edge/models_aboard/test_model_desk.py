"""Orders about models: staged, promoted, refused, rolled back; told, and remembered over restarts."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.config import ModelConfig, SensorConfig
from edge.gaze.gaze import Gaze
from edge.models_aboard.choices import ChoiceBook
from edge.models_aboard.config import SwapConfig, TurnsConfig
from edge.models_aboard.desk import DeskIds, ModelDesk
from edge.models_aboard.opening import OpenedModels, open_models
from edge.models_aboard.orders import (
    CONDITION,
    NOT_LOOKING,
    Action,
    ModelOrder,
    OrderAnswer,
    SlotReport,
)
from edge.models_aboard.shelf import Shelf
from models.catalogue import ZOO, load_detector
from models.detector import Detector
from models.intake.manifest import SIGNATURE_NAME, Trust, trusted_keys
from skywarden.clock import SystemClock
from skywarden.errors import ModelError
from skywarden.evidence import EvidenceKey
from tests.edge.models_aboard.agency import KEY, agency_model, sign

SWAP = SwapConfig(shadow_frames=2, every=1, least_boxes=2, probation_frames=2, most_time_ratio=100.0)
IDS = DeskIds(platform_id="uav07", sensor_id="eo")
MEADOW = np.full((160, 192, 3), (60, 110, 40), dtype=np.uint8)
MEADOW[60:70, 80:92] = (30, 20, 230)


def quickly(model: ModelConfig, gaze: Gaze | None, place: str) -> Detector:
    """With every check but the golden image, which takes most of the time."""
    trust = None
    if model.trusted_keys:
        trust = Trust(keys=trusted_keys(model.trusted_keys), now_ns=time.time_ns())
    return load_detector(place, trust=trust, self_test=False)


@dataclass
class Aboard:
    """A sensor's models as a process has them, without the process."""

    folder: Path
    models: tuple[ModelConfig, ...] = (ModelConfig(name="anomaly", trusted_keys=KEY.public_text),)
    opened: OpenedModels = field(init=False)
    orders: int = 0
    load: Callable[[ModelConfig, Gaze | None, str], Detector] = quickly

    def __post_init__(self) -> None:
        sensor = msgspec.convert({"camera": {"url": "images"}}, SensorConfig)
        sensor = msgspec.structs.replace(sensor, detector=self.models, turns=TurnsConfig())
        self.opened = open_models(sensor, SWAP, IDS, self.folder, SystemClock(), self.load)

    @property
    def desk(self) -> ModelDesk:
        return self.opened.desk

    @property
    def slot(self) -> SlotReport:
        return self.desk.report().slots[0]

    def give(self, action: Action, model: str = "", slot: str = "", *, force: bool = False) -> OrderAnswer:
        self.orders += 1
        order = ModelOrder(
            order_id=f"o{self.orders}",
            action=action,
            sensor_id="eo",
            slot=slot,
            model=model,
            is_forced=force,
        )
        self.desk.order(order)
        self.desk.order(order)  # the core repeats it until it is answered
        self.desk.turn()
        self.desk.turn()
        return self.desk.report().answers[-1]

    def look(self, count: int = 1) -> None:
        for _ in range(count):
            self.opened.bank.detect(MEADOW)
        self.desk.turn()

    def texts(self) -> list[str]:
        return [one.text for one in self.desk.take_health() if one.condition == CONDITION]


def state(aboard: Aboard) -> str:
    return aboard.slot.state


@pytest.fixture
def agency(tmp_path: Path) -> Path:
    return agency_model(tmp_path / "stick")


def test_a_signed_model_is_staged_compared_promoted_and_settles(tmp_path: Path, agency: Path) -> None:
    aboard = Aboard(tmp_path / "models")
    staged = aboard.give("stage", str(agency))
    assert staged.is_done, staged.text
    shutil.rmtree(agency)  # the stick may go
    assert state(aboard) == "shadow"
    early = aboard.give("promote")
    assert not early.is_done
    assert "has not seen enough yet" in early.text
    aboard.look(2)
    assert state(aboard) == "ready", aboard.slot
    assert "2 of 2 boxes kept" in aboard.slot.comparison
    assert aboard.give("promote").is_done
    assert state(aboard) == "probation"
    assert aboard.opened.bank.detect(MEADOW).model_id.startswith("agency:")
    aboard.look(2)
    assert state(aboard) == "single"
    assert str(aboard.slot.before_id).startswith("anomaly:")
    told = " | ".join(aboard.texts())
    for word in ("is in its shadow", "may take over", "agency:", "promoted", "settled"):
        assert word in told


def test_the_choice_outlives_a_restart_and_may_be_taken_back_then(tmp_path: Path, agency: Path) -> None:
    before = Aboard(tmp_path / "models")
    before.give("stage", str(agency))
    before.look(2)
    before.give("promote")
    before.look(3)
    before.desk.stop()
    after = Aboard(tmp_path / "models")
    assert str(after.slot.model_id).startswith("agency:")
    back = after.give("rollback")
    assert back.is_done, back.text
    assert str(after.slot.model_id).startswith("anomaly:")
    after.look(3)
    after.desk.stop()
    assert str(Aboard(tmp_path / "models").slot.model_id).startswith("anomaly:")


def test_what_ended_its_process_on_probation_does_not_fly_again(tmp_path: Path, agency: Path) -> None:
    before = Aboard(tmp_path / "models")
    before.give("stage", str(agency))
    assert before.give("promote", force=True).is_done
    after = Aboard(tmp_path / "models")  # nobody closed the book: the process died
    assert str(after.slot.model_id).startswith("anomaly:")
    assert "while agency:" in after.slot.reason


def test_a_clean_stop_on_probation_resumes_it(tmp_path: Path, agency: Path) -> None:
    before = Aboard(tmp_path / "models")
    before.give("stage", str(agency))
    assert before.give("promote", force=True).is_done
    before.desk.stop()
    after = Aboard(tmp_path / "models")
    assert str(after.slot.model_id).startswith("agency:")
    assert after.slot.state == "probation"


def test_a_chosen_model_that_is_spoiled_on_the_disk_gives_way_to_the_configured_one(
    tmp_path: Path, agency: Path
) -> None:
    before = Aboard(tmp_path / "models")
    before.give("stage", str(agency))
    before.give("promote", force=True)
    before.look(3)
    before.desk.stop()
    (file,) = (tmp_path / "models").glob("staged/*/model.onnx")
    file.write_bytes(file.read_bytes()[:-2] + b"\x00\x00")
    after = Aboard(tmp_path / "models")
    assert str(after.slot.model_id).startswith("anomaly:")
    assert "sha256" in after.slot.reason


def test_the_file_counts_when_it_names_another_model_than_it_did(tmp_path: Path, agency: Path) -> None:
    before = Aboard(tmp_path / "models")
    before.give("stage", str(agency))
    before.give("promote", force=True)
    before.desk.stop()
    others = (ModelConfig(name=str(ZOO / "anomaly"), slot="anomaly"),)
    assert str(Aboard(tmp_path / "models", others).slot.model_id).startswith("anomaly:")


def test_what_nobody_trusted_has_signed_is_refused_and_leaves_nothing(tmp_path: Path, agency: Path) -> None:
    aboard = Aboard(tmp_path / "models")
    sign(agency, EvidenceKey.from_secret(bytes(range(1, 33))))
    refused = aboard.give("stage", str(agency))
    assert not refused.is_done
    assert "none of its 1 signatures" in refused.text
    sign(agency, KEY, date(2026, 1, 1))
    assert "expired" in aboard.give("stage", str(agency)).text
    (agency / SIGNATURE_NAME).unlink()
    assert "nobody stands for this model" in aboard.give("stage", str(agency)).text
    assert aboard.slot.state == "single"
    assert list((tmp_path / "models" / "staged").iterdir()) == []


def test_a_model_that_the_shadow_speaks_against_needs_somebody_who_insists(tmp_path: Path) -> None:
    blind = agency_model(tmp_path / "blind", threshold=1.0)
    aboard = Aboard(tmp_path / "models")
    assert aboard.give("stage", str(blind)).is_done
    aboard.look(3)
    assert state(aboard) == "refused"
    refused = aboard.give("promote")
    assert not refused.is_done
    assert "keeps 0.00 of the boxes" in refused.text
    assert "--force" in refused.text
    forced = aboard.give("promote", force=True)
    assert forced.is_done
    assert "forced" in forced.text
    assert len(aboard.opened.bank.detect(MEADOW)) == 0
    assert aboard.give("rollback").is_done
    assert len(aboard.opened.bank.detect(MEADOW)) == 1


def test_over_an_empty_sea_nothing_is_proved(tmp_path: Path, agency: Path) -> None:
    aboard = Aboard(tmp_path / "models")
    aboard.give("stage", str(agency))
    for _ in range(5):
        aboard.opened.bank.detect(np.full_like(MEADOW, 80))
    aboard.desk.turn()
    assert aboard.slot.state == "shadow"
    assert "0 of 0 boxes kept" in aboard.give("promote").text


def test_orders_that_cannot_be_carried_out_say_what_to_do(tmp_path: Path, agency: Path) -> None:
    aboard = Aboard(tmp_path / "models", (ModelConfig(), ModelConfig(name="anomaly", slot="second")))
    assert "say which with --detector" in aboard.give("promote").text
    assert "it has anomaly, second" in aboard.give("promote", slot="third").text
    assert "comes first" in aboard.give("promote", slot="second").text
    assert "none to go back to" in aboard.give("rollback", slot="second").text
    assert "no model is called 'nothing-known'" in aboard.give("stage", "nothing-known", "second").text
    assert "flies already" in aboard.give("stage", "anomaly", "second").text
    assert aboard.give("stage", str(agency), "second").is_done
    withdrawn = aboard.give("rollback", slot="second")
    assert withdrawn.is_done
    assert "is withdrawn" in withdrawn.text


def test_one_of_several_that_cannot_be_loaded_leaves_its_place_and_may_be_filled(tmp_path: Path) -> None:
    models = (ModelConfig(), ModelConfig(name="yolox-nano-coco", slot="coco"))
    aboard = Aboard(tmp_path / "models", models)
    absent = aboard.desk.report().slots[1]
    assert (absent.state, absent.model_id) == ("absent", None)
    assert len(aboard.opened.bank.detect(MEADOW)) == 1
    aboard.desk.turn()
    faults = [one for one in aboard.desk.take_health() if one.condition == NOT_LOOKING]
    assert [(one.component, one.state) for one in faults] == [("model.eo.coco", "degraded")]
    filled = aboard.give("stage", "vessel-oblique", "coco")
    assert filled.is_done
    assert "flies at once" in filled.text
    with pytest.raises(ModelError):
        Aboard(tmp_path / "alone", (ModelConfig(name="yolox-nano-coco"),))


def test_a_damaged_book_is_no_reason_not_to_fly(tmp_path: Path) -> None:
    path = tmp_path / "models" / "eo.choices"
    path.parent.mkdir()
    for spoiled in (b"", b"\xff" * 40, b"\x93\x01\xc3\x81\xa1a\x90", b"x" * 300_000):
        path.write_bytes(spoiled)
        assert ChoiceBook(path).get("anomaly") is None
    assert str(Aboard(tmp_path / "models").slot.model_id).startswith("anomaly:")


def test_a_full_disk_refuses_to_stage_and_names_the_room_that_is_due(tmp_path: Path, agency: Path) -> None:
    shelf = Shelf(tmp_path / "staged", min_free_bytes=10**18)
    with pytest.raises(ModelError, match="MB are due to stage this model"):
        shelf.take(str(agency), lambda place: place)
    assert list((tmp_path / "staged").iterdir()) == []


def test_only_what_is_aboard_has_a_name(tmp_path: Path, agency: Path) -> None:
    shelf = Shelf(tmp_path / "staged")
    for wanted in ("../../etc", "..", ".", "/", ":", "", str(agency), "anomaly:../..", "anomaly:ffff"):
        assert shelf.place_of(wanted) is None
    assert shelf.place_of("anomaly:fd113e") == "anomaly"
    _, place = shelf.take(str(agency), lambda place: place)
    assert shelf.place_of("agency") == place
    aboard = Aboard(tmp_path / "models")
    order = ModelOrder(order_id="g1", action="stage", sensor_id="eo", model=str(agency), is_aboard_only=True)
    aboard.desk.order(order)
    aboard.desk.turn()
    assert "no model aboard is called" in aboard.desk.report().answers[-1].text
