"""Rules: what about a contact makes an alert, and when it may make a noise."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.messages import Id, Label

Severity = Literal["notice", "warning", "urgent"]
SEVERITIES: tuple[Severity, ...] = ("notice", "warning", "urgent")

Trigger = Literal["inside", "enters", "leaves", "crosses", "anywhere"]
"""inside: is in a zone (at once, or after `dwell_s`); enters and leaves: was surely on the other side of
its border before; crosses: a line; anywhere: no zone is asked."""

Light = Literal["any", "dark", "day"]
"""dark: after the end of civil twilight and before its beginning, at the contact's own place."""

MAX_RULES = 500

_Minutes = Annotated[int, Meta(ge=0, le=1440)]


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time of day, in minutes since midnight of the station's zone; `until` before `from_` goes over
    midnight."""

    from_: _Minutes = msgspec.field(name="from")
    until: _Minutes

    def hold(self, minute: int) -> bool:
        """Whether a minute of the day lies in it."""
        if self.from_ <= self.until:
            return self.from_ <= minute < self.until
        return minute >= self.from_ or minute < self.until


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. All that is asked must hold; what is left out is not asked.

    Attributes:
        zone_ids: the zones it is about; empty for all zones of a fitting kind.
        labels: kinds of things; empty for all.
        min_score: the least score of a contact's best look.
        max_ce90_m: a place less sure than this does not alert.
        min_looks: a contact of fewer sightings does not alert.
        min_probability: that it is inside (enters, leaves, crosses: on the new side), by its covariance.
        min_speed_mps, max_speed_mps: of contacts whose speed is known; a thing at rest has speed 0.
        ais: verdicts of the AIS comparison that alert, such as "silent"; empty for all.
        light: by the sun at the contact's place and time; without a place "dark" and "day" do not hold.
        hours: times of day when it is in force; empty for always.
        quiet: times of day when it is logged and makes no noise.
        utc_offset_min: what "time of day" means.
        dwell_s: it must have been inside so long.
        again_after_s: the same contact alerts anew by this rule after so long away, not earlier.
        escalate_after_s: nobody has acknowledged it for so long: one step more severe; 0 for never.
        to_pilot: tell the pilot's ground station too, as STATUSTEXT.
    """

    rule_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    trigger: Trigger
    severity: Severity = "warning"
    is_on: bool = True
    zone_ids: Annotated[tuple[Id, ...], Meta(max_length=200)] = ()
    labels: Annotated[tuple[Label, ...], Meta(max_length=50)] = ()
    min_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    max_ce90_m: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    min_looks: Annotated[int, Meta(ge=1, le=10_000)] = 2
    min_probability: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.9
    min_speed_mps: Annotated[float, Meta(ge=0.0, le=200.0)] | None = None
    max_speed_mps: Annotated[float, Meta(ge=0.0, le=200.0)] | None = None
    ais: Annotated[tuple[Label, ...], Meta(max_length=20)] = ()
    light: Light = "any"
    hours: Annotated[tuple[Hours, ...], Meta(max_length=10)] = ()
    quiet: Annotated[tuple[Hours, ...], Meta(max_length=10)] = ()
    utc_offset_min: Annotated[int, Meta(ge=-840, le=840)] = 0
    dwell_s: Annotated[float, Meta(ge=0.0, le=604_800.0)] = 0.0
    again_after_s: Annotated[float, Meta(ge=0.0, le=2_592_000.0)] = 1_800.0
    escalate_after_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 0.0
    to_pilot: bool = False

    def minute_of_day(self, time_ns: int) -> int:
        """Of a moment, in this rule's zone."""
        moment = datetime.fromtimestamp(time_ns // NS_PER_S, UTC)
        return (moment.hour * 60 + moment.minute + self.utc_offset_min) % 1440

    def is_in_force(self, time_ns: int) -> bool:
        """Whether it is on at this time of day."""
        return self.is_on and (not self.hours or self._within(self.hours, time_ns))

    def is_quiet(self, time_ns: int) -> bool:
        """Whether an alert now makes no noise."""
        return self._within(self.quiet, time_ns)

    def _within(self, hours: tuple[Hours, ...], time_ns: int) -> bool:
        minute = self.minute_of_day(time_ns)
        return any(one.hold(minute) for one in hours)


def check_rule(rule: Rule) -> Rule:
    """The same rule; raises `InputError` where its parts contradict each other."""
    low, high = rule.min_speed_mps, rule.max_speed_mps
    if low is not None and high is not None and low > high:
        raise InputError(f"rule {rule.name!r}: the least speed {low:g} m/s is above the most, {high:g} m/s")
    if rule.dwell_s and rule.trigger not in ("inside", "anywhere"):
        raise InputError(f"rule {rule.name!r}: a dwell time goes with 'inside', not with {rule.trigger!r}")
    if rule.trigger == "anywhere" and rule.zone_ids:
        raise InputError(f"rule {rule.name!r}: 'anywhere' names no zones")
    return rule


def more_severe(severity: Severity) -> Severity:
    """One step up, as far as there is one."""
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
