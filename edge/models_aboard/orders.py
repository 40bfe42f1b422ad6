"""What the worker's core and its vision processes tell each other about models."""

from typing import Annotated, Literal

from msgspec import Meta

from skywarden.messages import Count, Id, Message, Text, TimeNs

Action = Literal["stage", "promote", "rollback"]
SlotState = Literal["single", "shadow", "ready", "refused", "probation", "absent"]

CONDITION = "in_charge"
"""The condition under which every change of a model is told; its text says which model flies and why."""

NOT_LOOKING = "not_looking"
"""The condition of a detector that fails while others go on."""

MAX_PLACE_CHARS = 1024
MAX_ORDERS = 16
MAX_SLOTS = 16


class ModelOrder(Message, frozen=True, kw_only=True, array_like=True):
    """Do something about the model in one slot of one sensor.

    `model` is what to stage: a name of the zoo, a model staged before, or a folder aboard. `is_forced`
    promotes what the shadow speaks against, or what it has not seen enough of. With `is_aboard_only` a
    folder is not taken for a model: the order came from elsewhere.
    """

    order_id: Id
    action: Action
    sensor_id: Id
    slot: Annotated[str, Meta(max_length=32)] = ""
    model: Annotated[str, Meta(max_length=MAX_PLACE_CHARS)] = ""
    is_forced: bool = False
    is_aboard_only: bool = False


class OrderAnswer(Message, frozen=True, kw_only=True, array_like=True):
    """What became of an order; `text` is a sentence for who gave it."""

    order_id: Id
    is_done: bool
    text: Text


class SlotReport(Message, frozen=True, kw_only=True, array_like=True):
    """One slot as it is now.

    `model_id` is in charge since `since_ns`, by what `reason` says; `before_id` is what a roll-back brings
    back. `candidate_id` is staged: `comparison` is what the shadow has seen so far, `refusal` why it may not
    take over. `fault` is why the slot does not look. `look_count` counts its looks since the process began.
    """

    slot: Annotated[str, Meta(max_length=32)]
    state: SlotState
    model_id: Id | None
    since_ns: TimeNs
    reason: Text = ""
    before_id: Id | None = None
    candidate_id: Id | None = None
    comparison: Text = ""
    refusal: Text = ""
    fault: Text = ""
    look_count: Count = 0


class ModelsReport(Message, frozen=True, kw_only=True, array_like=True):
    """All slots of one sensor, and the answers to the last orders. Sent once a second."""

    incarnation: Count
    slots: Annotated[tuple[SlotReport, ...], Meta(max_length=MAX_SLOTS)]
    answers: Annotated[tuple[OrderAnswer, ...], Meta(max_length=MAX_ORDERS)] = ()
