"""Contacts in, alerts out: a plain object that is handed what changed and the time.

Inside and outside are judged by the position's covariance, and a border counts as passed only when both sides
were sure: a place that trembles over a border does not alert ten times. Each contact alerts once by a rule
and zone until it has been away for a while. A contact that merges with another keeps what was known of both.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ground.alerts import reasons
from ground.alerts.alert import Alert, Reason
from ground.alerts.rules import Rule
from ground.alerts.zones import Zone, ZoneShape
from ground.fusion.contact import Contact
from skywarden.clock import NS_PER_S
from skywarden.messages import Position

EXCLUSION = Rule(
    rule_id="exclusion", name="Exclusion zone entered", trigger="inside", severity="urgent", to_pilot=True
)
"""In force without anybody making it; a rule of this id takes its place."""

_MUTE_PROBABILITY = 0.9
_LATE_S = 600.0
_MAX_CONTACTS = 50_000


@dataclass(slots=True)
class _Watch:
    """What is remembered of one contact under one rule and zone; times are of the sensor."""

    is_inside: bool | None = None
    since_ns: int | None = None
    away_ns: int | None = None
    has_fired: bool = False
    fired_ns: int | None = None
    sure: Position | None = None
    sure_side: bool | None = None


@dataclass(slots=True)
class _Known:
    last_ns: int = -1
    seen: tuple[object, ...] = ()
    watches: dict[tuple[str, str], _Watch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """That a zone's part of a rule holds now."""

    probability: float | None
    reasons: tuple[Reason, ...]


class AlertEngine:
    """See the module. Not safe from several threads."""

    def __init__(self, zones: Sequence[Zone] = (), rules: Sequence[Rule] = ()) -> None:
        self.asks_ais = False
        """Whether a rule in force asks what AIS says."""
        self._known: dict[str, _Known] = {}
        self._contact_of: dict[str, str] = {}
        self._shapes: dict[str, ZoneShape] = {}
        self._mute: list[ZoneShape] = []
        self._rules: list[tuple[Rule, list[ZoneShape]]] = []
        self.configure(zones, rules)

    def configure(self, zones: Sequence[Zone], rules: Sequence[Rule]) -> None:
        """Watch these zones by these rules from now on; what is known of the same ones stays."""
        before = self._shapes
        self._shapes = {}
        for zone in zones:
            old = before.get(zone.zone_id)
            self._shapes[zone.zone_id] = old if old is not None and old.zone == zone else ZoneShape(zone)
        self._mute = [shape for shape in self._shapes.values() if shape.zone.kind == "mute"]
        self.asks_ais = any(rule.ais and rule.is_on for rule in rules)
        by_id = {EXCLUSION.rule_id: EXCLUSION} | {rule.rule_id: rule for rule in rules}
        self._rules = [(rule, self._zones_of(rule)) for rule in by_id.values() if rule.is_on]
        valid = {(rule.rule_id, "") for rule, _ in self._rules}
        valid |= {(rule.rule_id, shape.zone.zone_id) for rule, shapes in self._rules for shape in shapes}
        for known in self._known.values():
            known.watches = {key: watch for key, watch in known.watches.items() if key in valid}
            known.seen = ()

    def remember(self, alerts: Sequence[Alert]) -> None:
        """Alerts of before a restart, so that they do not fire again."""
        for alert in sorted(alerts, key=lambda one: one.time_ns):
            known = self._known.setdefault(alert.contact_id, _Known())
            watch = known.watches.setdefault((alert.rule_id, alert.zone_id or ""), _Watch())
            watch.has_fired, watch.fired_ns = True, alert.time_ns

    def observe(
        self, contacts: Sequence[Contact], now_ns: int, ais: Mapping[str, Sequence[str]] | None = None
    ) -> list[Alert]:
        """What contacts as they are now set off, one after the other; the same ones again set off nothing.

        `ais`: the words that hold of each contact, such as ("silent",), by its id; needed where `asks_ais`.
        """
        words = ais or {}
        return [
            alert
            for contact in contacts
            for alert in self._observed(contact, tuple(words.get(contact.contact_id, ())), now_ns)
        ]

    def _observed(self, contact: Contact, words: tuple[str, ...], now_ns: int) -> list[Alert]:
        at_ns = contact.position_ns if contact.position_ns is not None else contact.last_ns
        known = self._adopted(contact)
        seen = (at_ns, contact.sighting_count, contact.label, contact.score, words)
        if at_ns < known.last_ns or seen == known.seen:
            return []
        known.last_ns, known.seen = at_ns, seen
        sure = _Probabilities(contact.position)
        fired = []
        for rule, shapes in self._rules:
            held = self._conditions(rule, contact, words, at_ns)
            for shape in shapes if rule.trigger != "anywhere" else [None]:
                zone_id = shape.zone.zone_id if shape is not None else ""
                watch = known.watches.setdefault((rule.rule_id, zone_id), _Watch())
                found = self._triggered(rule, shape, watch, contact, sure, at_ns, is_held=held is not None)
                if found is None or held is None or self._is_muted(contact, rule):
                    continue
                watch.has_fired, watch.fired_ns = True, at_ns
                zone = shape.zone if shape is not None else None
                fired.append(_made(rule, zone, contact, at_ns, now_ns, found, held))
        if not known.watches:  # no rule asks: nothing is worth remembering
            self.forget(contact.contact_id)
            for track_id in contact.track_ids:
                self._contact_of.pop(track_id, None)
        return fired

    def forget(self, contact_id: str) -> None:
        """A contact that is no more."""
        self._known.pop(contact_id, None)

    def _adopted(self, contact: Contact) -> _Known:
        """What is known of a contact, also under names that its tracks had before."""
        known = self._known.setdefault(contact.contact_id, _Known())
        for track_id in contact.track_ids:
            before = self._contact_of.get(track_id)
            if before is not None and before != contact.contact_id:
                for key, watch in self._known.get(before, _Known()).watches.items():
                    mine = known.watches.get(key)
                    if mine is None or (watch.fired_ns or -1) > (mine.fired_ns or -1):
                        known.watches[key] = watch
            self._contact_of[track_id] = contact.contact_id
        if len(self._known) > _MAX_CONTACTS:
            self._thin(contact.contact_id)
        return known

    def _thin(self, kept: str) -> None:
        """Drop the tenth that was seen longest ago, at once, so that few contacts pay for it; not `kept`."""
        by_age = sorted(self._known, key=lambda name: (name == kept, self._known[name].last_ns))
        for name in by_age[: len(by_age) // 10]:
            del self._known[name]
        self._contact_of = {t: c for t, c in self._contact_of.items() if c in self._known}

    def _zones_of(self, rule: Rule) -> list[ZoneShape]:
        if rule.zone_ids:
            chosen = [self._shapes[name] for name in rule.zone_ids if name in self._shapes]
        else:
            chosen = list(self._shapes.values())
        if rule.trigger == "crosses":
            fitting = {"line"}
        elif rule.rule_id == EXCLUSION.rule_id:
            fitting = {"exclusion"}
        elif rule.zone_ids:
            fitting = {"area", "corridor", "exclusion"}
        else:
            fitting = {"area", "corridor"}
        return [shape for shape in chosen if shape.zone.kind in fitting]

    def _is_muted(self, contact: Contact, rule: Rule) -> bool:
        """Surely in a mute zone; an exclusion zone is louder."""
        if contact.position is None or rule.rule_id == EXCLUSION.rule_id:
            return False
        return any(shape.probability(contact.position) >= _MUTE_PROBABILITY for shape in self._mute)

    def _conditions(
        self, rule: Rule, contact: Contact, ais: Sequence[str], at_ns: int
    ) -> tuple[Reason, ...] | None:
        """Why all that a rule asks beside its zone holds; `None` when something does not."""
        held: list[Reason] = []
        for found in reasons.of(rule, contact, ais, at_ns):
            if found is None:
                return None
            held.append(found)
        return tuple(held)

    def _triggered(
        self,
        rule: Rule,
        shape: ZoneShape | None,
        watch: _Watch,
        contact: Contact,
        sure: "_Probabilities",
        at_ns: int,
        *,
        is_held: bool,
    ) -> _Found | None:
        if shape is None:
            is_due = _is_due(watch, rule, at_ns, is_inside=is_held)
            return _Found(None, tuple(reasons.dwelt(rule, watch.since_ns, at_ns))) if is_due else None
        if contact.position is None:
            return None
        if rule.trigger == "crosses":
            return _crossing(rule, shape, watch, contact.position, at_ns)
        probability = sure.inside(shape)
        was_inside = watch.is_inside
        if probability >= rule.min_probability:
            is_inside = True
        elif probability <= 1.0 - rule.min_probability:
            is_inside = False
        else:
            return None
        watch.is_inside = is_inside
        if rule.trigger == "inside":
            if not _is_due(watch, rule, at_ns, is_inside=is_inside):
                return None
            dwelt = tuple(reasons.dwelt(rule, watch.since_ns, at_ns))
            return _Found(probability, (reasons.inside(shape.zone, probability, rule), *dwelt))
        wanted = rule.trigger == "enters"
        if was_inside is None or was_inside is is_inside or is_inside is not wanted:
            return None
        if not _is_again(watch, rule, at_ns):
            return None
        shown = probability if wanted else 1.0 - probability
        return _Found(shown, (reasons.passed(shape.zone, shown, rule),))


class _Probabilities:
    """Of one position in each zone, worked out once for all rules."""

    def __init__(self, position: Position | None) -> None:
        self._position = position
        self._found: dict[str, float] = {}

    def inside(self, shape: ZoneShape) -> float:
        assert self._position is not None
        name = shape.zone.zone_id
        if name not in self._found:
            self._found[name] = shape.probability(self._position)
        return self._found[name]


def _is_due(watch: _Watch, rule: Rule, at_ns: int, *, is_inside: bool) -> bool:
    """Whether being inside (or holding) alerts now; arms anew after long enough away."""
    if not is_inside:
        watch.since_ns = None
        if watch.away_ns is None:
            watch.away_ns = at_ns
        return False
    if watch.away_ns is not None:
        if at_ns - watch.away_ns >= rule.again_after_s * NS_PER_S:
            watch.has_fired = False
        watch.away_ns = None
    if watch.since_ns is None:
        watch.since_ns = at_ns
    return not watch.has_fired and at_ns - watch.since_ns >= rule.dwell_s * NS_PER_S


def _is_again(watch: _Watch, rule: Rule, at_ns: int) -> bool:
    return watch.fired_ns is None or at_ns - watch.fired_ns >= rule.again_after_s * NS_PER_S


def _crossing(rule: Rule, shape: ZoneShape, watch: _Watch, position: Position, at_ns: int) -> _Found | None:
    distance_m, probability = shape.side(position)
    if probability < rule.min_probability:
        return None
    is_left = distance_m > 0.0
    before, was_left = watch.sure, watch.sure_side
    watch.sure, watch.sure_side = position, is_left
    if before is None or was_left is is_left or not shape.crossed(before, position):
        return None
    if not _is_again(watch, rule, at_ns):
        return None
    return _Found(probability, (reasons.crossed(shape.zone, abs(distance_m), probability, rule),))


def _made(
    rule: Rule,
    zone: Zone | None,
    contact: Contact,
    at_ns: int,
    now_ns: int,
    found: _Found,
    held: tuple[Reason, ...],
) -> Alert:
    zone_id = zone.zone_id if zone is not None else None
    key = "|".join((rule.rule_id, zone_id or "", contact.contact_id, str(at_ns)))
    place = contact.position
    late_s = (now_ns - at_ns) / NS_PER_S
    return Alert(
        alert_id=f"a-{hashlib.sha256(key.encode()).hexdigest()[:20]}",
        rule_id=rule.rule_id,
        rule_name=rule.name,
        severity=rule.severity,
        zone_id=zone_id,
        zone_name=zone.name if zone is not None else None,
        contact_id=contact.contact_id,
        label=contact.label,
        score=contact.score,
        time_ns=at_ns,
        noted_ns=now_ns,
        place=(place.latitude_deg, place.longitude_deg, place.ce90_m) if place is not None else None,
        probability=found.probability,
        speed_mps=contact.speed_mps,
        course_deg=contact.course_deg,
        why=(*found.reasons, *held, *([reasons.late(late_s)] if late_s > _LATE_S else [])),
        is_quiet=rule.is_quiet(now_ns),
        is_exercise=contact.is_exercise,
        to_pilot=rule.to_pilot,
        escalate_after_s=rule.escalate_after_s,
    )
