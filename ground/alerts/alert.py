"""An alert: what fired, about which contact, where and why, and what people did about it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ground.alerts.rules import Severity
from skywarden.messages import Label

ReasonWord = Literal[
    "zone",
    "label",
    "score",
    "position",
    "looks",
    "speed",
    "ais",
    "light",
    "hours",
    "dwell",
    "crossing",
    "late",
]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked and held: a word for programs, a sentence for people, the numbers.

    `value` is what was found, `limit` what was asked; units as in the sentence.
    """

    word: ReasonWord
    text: Annotated[str, Meta(max_length=300)]
    value: float | None = None
    limit: float | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. It says that a rule held, never what somebody intends.

    Attributes:
        time_ns: when it was true at the sensor.
        noted_ns: when the station found it.
        place: latitude, longitude (degrees) and CE90 in metres then.
        probability: that it was inside (on the new side of the border), by the covariance.
        is_quiet: it fell into quiet hours: shown, not sounded.
    """

    alert_id: str
    rule_id: str
    rule_name: str
    severity: Severity
    zone_id: str | None
    zone_name: str | None
    contact_id: str
    label: Label
    score: float
    time_ns: int
    noted_ns: int
    place: tuple[float, float, float] | None
    probability: float | None
    speed_mps: float | None
    course_deg: float | None
    why: tuple[Reason, ...]
    is_quiet: bool
    is_exercise: bool
    to_pilot: bool = False
    escalate_after_s: float = 0.0


ActKind = Literal["acknowledged", "escalated", "commented"]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about an alert; `account` is empty for what the station did by itself."""

    kind: ActKind
    time_ns: int
    account: str = ""
    text: str = ""
    severity: Severity | None = None


class LoggedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it stands: its severity now, and what was done about it, oldest first."""

    alert: Alert
    severity: Severity
    acts: tuple[Act, ...]
    version: int

    @property
    def acknowledged(self) -> Act | None:
        """By whom and when; `None` while nobody has."""
        return next((act for act in self.acts if act.kind == "acknowledged"), None)
