"""An order about a model that came up the link: carried out once, answered with a receipt."""

from pathlib import Path

import msgspec

from edge.link.outbox import Outbox
from edge.models_aboard.core import ModelsCore
from edge.models_aboard.orders import ModelsReport, OrderAnswer
from edge.triage.config import TriageConfig
from edge.triage.core import TriageCore
from skywarden import wire
from skywarden.messages import ModelRequest, Tasking, TaskingReceipt

T0 = 1_780_000_000_000_000_000
S = 1_000_000_000
ORDER = Tasking(
    tasking_id="ask-0001",
    platform_id="uav07",
    time_ns=T0,
    expires_ns=T0 + 60 * S,
    kind="model",
    model_order=ModelRequest(action="stage", model="vessel-nadir", detector="vessels"),
)


def told(core: TriageCore, *heard: Tasking) -> list[tuple[str, str]]:
    for one in heard:
        core.on_tasking(one)
    receipts = [wire.decode("receipt", body) for _, _, body in core.tend(T0 + S)]
    return [(one.state, one.text) for one in receipts if isinstance(one, TaskingReceipt)]


def test_it_is_carried_out_once_and_answered_when_it_is(tmp_path: Path) -> None:
    models = ModelsCore(["eo"], lambda: 0)
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    core = TriageCore(TriageConfig(), "uav07", outbox, tmp_path, models=models)
    try:
        assert told(core, ORDER, ORDER) == []
        (order,) = models.orders()
        assert (order.sensor_id, order.slot, order.model) == ("eo", "vessels", "vessel-nadir")
        assert order.is_aboard_only
        answer = OrderAnswer(order_id=order.order_id, is_done=True, text="it looks in the shadow")
        models.heard("eo", ModelsReport(incarnation=0, slots=(), answers=(answer,)))
        assert told(core) == [("done", "it looks in the shadow")]
        assert told(core, ORDER) == [("done", "it looks in the shadow")], "again only the receipt"
        assert models.orders() == ()
    finally:
        core.close()
        outbox.close()


def test_what_cannot_be_done_is_refused_in_words(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    models = ModelsCore(["eo", "ir"], lambda: 0)
    core = TriageCore(TriageConfig(), "uav07", outbox, tmp_path, models=models)
    plain = TriageCore(TriageConfig(), "uav07", outbox, tmp_path / "other")
    try:
        [(state, text)] = told(core, ORDER)
        assert state == "refused"
        assert "say which" in text
        bare = msgspec.structs.replace(ORDER, tasking_id="ask-0002", model_order=None)
        assert told(core, bare)[0][0] == "refused"
        (tmp_path / "other").mkdir()
        assert "changes no models" in told(plain, ORDER)[0][1]
    finally:
        core.close()
        plain.close()
        outbox.close()
