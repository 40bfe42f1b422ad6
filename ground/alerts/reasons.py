"""Why an alert fired, in words and numbers: one reason for each thing that its rule asked."""

from collections.abc import Iterator, Sequence

from ground.ais.sun import NIGHT_DEG, sun_elevation_deg
from ground.alerts.alert import Reason
from ground.alerts.rules import Rule
from ground.alerts.zones import Zone
from ground.fusion.contact import Contact
from skywarden.clock import NS_PER_S


def of(rule: Rule, contact: Contact, ais: Sequence[str], at_ns: int) -> Iterator[Reason | None]:
    """One for each thing beside zone and time inside that a rule asks; `None` where it does not hold."""
    if not rule.is_in_force(at_ns):
        yield None
        return
    if rule.hours:
        minute = rule.minute_of_day(at_ns)
        yield Reason(word="hours", text=f"at {minute // 60:02d}:{minute % 60:02d}, in the rule's hours")
    if rule.light != "any":
        yield _light(rule, contact, at_ns)
    yield _looks(rule, contact)
    if rule.labels:
        yield Reason(word="label", text=f"it is a {contact.label}") if contact.label in rule.labels else None
    if rule.min_score > 0.0:
        yield _score(rule, contact)
    if rule.max_ce90_m is not None:
        yield _sureness(rule.max_ce90_m, contact)
    if rule.min_speed_mps is not None or rule.max_speed_mps is not None:
        yield _speed(rule, contact)
    if rule.ais:
        held = [word for word in ais if word in rule.ais]
        yield Reason(word="ais", text=f"AIS says: {', '.join(held)}") if held else None


def inside(zone: Zone, probability: float, rule: Rule) -> Reason:
    """It is in a zone."""
    text = f"inside {zone.name} with {probability:.0%} ({rule.min_probability:.0%} asked)"
    return Reason(word="zone", text=text, value=probability, limit=rule.min_probability)


def passed(zone: Zone, probability: float, rule: Rule) -> Reason:
    """It came in or went out."""
    came = "came into" if rule.trigger == "enters" else "left"
    text = f"{came} {zone.name}, sure to {probability:.0%} ({rule.min_probability:.0%} asked)"
    return Reason(word="zone", text=text, value=probability, limit=rule.min_probability)


def crossed(zone: Zone, distance_m: float, probability: float, rule: Rule) -> Reason:
    """It is on the other side of a line."""
    text = f"crossed {zone.name}, now {distance_m:.0f} m beyond, sure to {probability:.0%}"
    return Reason(word="crossing", text=text, value=probability, limit=rule.min_probability)


def dwelt(rule: Rule, since_ns: int | None, at_ns: int) -> Iterator[Reason]:
    """It stayed, where that was asked."""
    if rule.dwell_s > 0.0 and since_ns is not None:
        held_s = (at_ns - since_ns) / NS_PER_S
        text = f"for {_span(held_s)} ({_span(rule.dwell_s)} asked)"
        yield Reason(word="dwell", text=text, value=held_s, limit=rule.dwell_s)


def late(seconds: float) -> Reason:
    """The news is old."""
    return Reason(word="late", text=f"the news is {_span(seconds)} old", value=seconds)


def _light(rule: Rule, contact: Contact, at_ns: int) -> Reason | None:
    """Darkness is that of its own place: a rule of hours knows no seasons."""
    if contact.position is None:
        return None
    sun_deg = sun_elevation_deg(at_ns, contact.position.latitude_deg, contact.position.longitude_deg)
    is_dark = sun_deg < NIGHT_DEG
    if is_dark is not (rule.light == "dark"):
        return None
    word = "dark" if is_dark else "daylight"
    side = "below" if sun_deg < 0.0 else "above"
    text = f"it was {word} there (sun {abs(sun_deg):.0f} degrees {side} the horizon)"
    return Reason(word="light", text=text, value=sun_deg, limit=NIGHT_DEG)


def _looks(rule: Rule, contact: Contact) -> Reason | None:
    count, least = contact.sighting_count, rule.min_looks
    if count < least:
        return None
    times = f"{count} time{'s' if count != 1 else ''}"
    return Reason(word="looks", text=f"seen {times} (at least {least})", value=count, limit=least)


def _score(rule: Rule, contact: Contact) -> Reason | None:
    if contact.score < rule.min_score:
        return None
    text = f"score {contact.score:.2f} (at least {rule.min_score:.2f})"
    return Reason(word="score", text=text, value=contact.score, limit=rule.min_score)


def _sureness(most_m: float, contact: Contact) -> Reason | None:
    if contact.position is None or contact.position.ce90_m > most_m:
        return None
    ce90_m = contact.position.ce90_m
    return Reason(
        word="position",
        text=f"place good to {ce90_m:.0f} m (at most {most_m:.0f} m)",
        value=ce90_m,
        limit=most_m,
    )


def _speed(rule: Rule, contact: Contact) -> Reason | None:
    """A thing with a place and no speed is at rest as far as anybody can tell."""
    if contact.position is None:
        return None
    speed = contact.speed_mps or 0.0
    low, high = rule.min_speed_mps, rule.max_speed_mps
    if (low is not None and speed < low) or (high is not None and speed > high):
        return None
    words = (("at least", low), ("at most", high))
    asked = " and ".join(f"{word} {value:g}" for word, value in words if value is not None)
    limit = low if low is not None else high
    return Reason(word="speed", text=f"speed {speed:.1f} m/s ({asked})", value=speed, limit=limit)


def _span(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7_200.0 else f"{seconds / 3_600.0:.1f} h"
