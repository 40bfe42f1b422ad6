"""What the ladder brings down a narrow link, against first-in-first-out and newest-first.

A made patrol: objects come into view, are looked at every two seconds for some minutes, with a chip every
ten; the link has a constant rate and is silent for an hour in the middle. Each order is given the same
records and the same bytes; a large record is sent in pieces, and what comes first may go between; the clock
is virtual. What counts is measured without the ladder's own numbers: how long after the first look at an
object the ground first hears of it (silence not counted), and a plain reckoning of value: 4 points for
knowing of an object of the class that matters, 1 for another, half as much for the first picture of it; the
n-th look or picture that comes is worth 1/n^2 of the first, as a mean of n gains; all of it is halved with
every ten minutes that it comes late.
"""

import heapq
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge.triage.config import TriageConfig
from edge.triage.ladder import Ladder
from skywarden.messages import Chip, Position, Sighting
from skywarden.wire import encode

RATES = (500, 5_000, 50_000, 5_000_000)
SEEDS = (1, 2, 3)
DURATION_S = 2 * 3_600
SILENT_S = (1_800, 5_400)
GOAL_VALUE = 2.0

_OBJECTS = 120
_LOOK_S, _CHIP_EVERY = 2, 5
_CHIP_BYTES = 9_000
_HALF_S = 600.0
_MATTERS = 0.2
_CONFIG = TriageConfig(class_value={"smuggler": 4.0})
_RECORD_BYTES = 60
"""What a record costs on the link beyond its message."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record: whose, when, how large, and what it is."""

    number: int
    object_number: int
    made_s: int
    size: int
    is_picture: bool
    message: Sighting | Chip


@dataclass(slots=True)
class Outcome:
    """What the ground had in the end."""

    alert_s: list[float] = field(default_factory=list)
    unheard: int = 0
    value: float = 0.0
    sent_bytes: int = 0


@dataclass(slots=True)
class _Known:
    """What the ground knows of each object."""

    heard_s: dict[int, float] = field(default_factory=dict)
    looks: Counter[int] = field(default_factory=Counter)
    pictures: Counter[int] = field(default_factory=Counter)


def run() -> dict[str, Any]:
    """Figures by rate: medians of time to the first alert, value per byte as ratios."""
    figures: dict[str, Any] = {"objects": _OBJECTS * len(SEEDS)}
    for rate in RATES:
        totals = {name: Outcome() for name in ("fifo", "newest", "order", "ladder")}
        for seed in SEEDS:
            items = patrol(seed)
            for name, outcome in totals.items():
                deliver(items, name, rate, outcome)
        figures[str(rate)] = {
            name: {
                "alert_p50_s": round(statistics.median(one.alert_s), 1),
                "alert_p90_s": round(_p90(one.alert_s), 1),
                "unheard": one.unheard,
                "value": round(one.value, 1),
                "value_per_kib": round(1024 * one.value / max(1, one.sent_bytes), 4),
            }
            for name, one in totals.items()
        }
        for peer in ("fifo", "newest"):
            figures[f"value_against_{peer}_{rate}"] = round(totals["ladder"].value / totals[peer].value, 2)
    return figures


def patrol(seed: int) -> list[Item]:
    """All records of a patrol in the order in which they are made."""
    rng = random.Random(seed)
    rows: list[tuple[int, int, Sighting | Chip]] = []
    for number in range(_OBJECTS):
        first_s, looks = rng.randrange(DURATION_S - 600), rng.randrange(20, 180)
        label = "smuggler" if rng.random() < _MATTERS else "vessel"
        for look in range(looks):
            at_s = first_s + look * _LOOK_S
            sighting = _sighting(number, look, at_s, label, rng)
            rows.append((at_s, number, sighting))
            if look % _CHIP_EVERY == 0:
                rows.append((at_s, number, _chip(sighting, rng)))
    rows.sort(key=lambda row: row[0])
    return [
        Item(place, number, at_s, len(encode(message)) + _RECORD_BYTES, isinstance(message, Chip), message)
        for place, (at_s, number, message) in enumerate(rows)
    ]


def deliver(items: Sequence[Item], name: str, rate: int, outcome: Outcome) -> None:
    """Send a patrol's records at `rate` bytes a second in one order; add to `outcome`."""
    ladder = Ladder(_CONFIG)
    picture_bytes = ladder.picture_bytes(float(rate), 0)
    waiting: list[tuple[float, float, int, Item, int]] = []
    coming, known, begun = iter(items), _Known(), dict[int, float]()
    weights = {one.object_number: _weight(one.message) for one in items if isinstance(one.message, Sighting)}
    upcoming = next(coming, None)
    for now_s in range(DURATION_S + 1):
        while upcoming is not None and upcoming.made_s <= now_s:
            is_sized = name == "ladder" and upcoming.is_picture
            size = min(upcoming.size, picture_bytes) if is_sized else upcoming.size
            key = _place(ladder, name, upcoming, size, now_s)
            if key is not None:
                heapq.heappush(waiting, (*key, upcoming.number, upcoming, size))
            upcoming = next(coming, None)
        if SILENT_S[0] <= now_s < SILENT_S[1]:
            continue
        budget = float(rate)
        while waiting and budget > 0.0:
            item, size = waiting[0][3:]
            sent = min(budget, size - begun.get(item.number, 0.0))
            budget -= sent
            outcome.sent_bytes += round(sent)
            begun[item.number] = begun.get(item.number, 0.0) + sent
            if begun[item.number] >= size:
                heapq.heappop(waiting)
                del begun[item.number]
                _arrives(item, weights[item.object_number], now_s, known, outcome)
    firsts: dict[int, int] = {}
    for item in items:
        firsts.setdefault(item.object_number, item.made_s)
    outcome.unheard += len(firsts) - len(known.heard_s)
    outcome.alert_s += [
        _open_s(made_s, known.heard_s.get(number, float(DURATION_S))) for number, made_s in firsts.items()
    ]


def _place(ladder: Ladder, name: str, item: Item, size: int, now_s: int) -> tuple[float, float] | None:
    if name == "fifo":
        return 0.0, float(item.number)
    if name == "newest":
        return 0.0, -float(item.number)
    worth = ladder.judge(item.message, size, float(now_s))
    return None if worth is None else (float(worth.priority), -(worth.rank_ms + 1_000.0 * now_s))


def _weight(sighting: Sighting) -> float:
    return 4.0 if sighting.label == "smuggler" else 1.0


def _arrives(item: Item, weight: float, now_s: int, known: _Known, outcome: Outcome) -> None:
    counts = known.pictures if item.is_picture else known.looks
    counts[item.object_number] += 1
    if not item.is_picture:
        known.heard_s.setdefault(item.object_number, float(now_s))
    share = (0.5 if item.is_picture else 1.0) / counts[item.object_number] ** 2
    outcome.value += weight * share * float(0.5 ** ((now_s - item.made_s) / _HALF_S))


def _open_s(made_s: int, heard_s: float) -> float:
    """Seconds between, without the silence."""
    silent = max(0.0, min(heard_s, SILENT_S[1]) - max(made_s, SILENT_S[0]))
    return heard_s - made_s - silent


def _p90(values: list[float]) -> float:
    return sorted(values)[int(0.9 * len(values))]


def _sighting(number: int, look: int, at_s: int, label: str, rng: random.Random) -> Sighting:
    ce90_m = rng.uniform(5.0, 60.0)
    variance = (ce90_m / 2.15) ** 2
    return msgspec.structs.replace(
        _SIGHTING,
        sighting_id=f"20260101T000000Z_uav07.eo.t{number}.f{look}",
        track_id=f"20260101T000000Z_uav07.eo.t{number}",
        frame_number=look,
        time_ns=1_780_000_000_000_000_000 + at_s * 1_000_000_000,
        label=label,
        score=rng.uniform(0.4, 0.95),
        position=Position(
            latitude_deg=rng.uniform(50.0, 51.0),
            longitude_deg=rng.uniform(1.0, 2.0),
            alt_hae_m=44.0,
            covariance_enu_m2=(variance, 0.0, 0.0, variance, 0.0, 9.0),
            ce90_m=ce90_m,
            le90_m=5.0,
            surface="sea",
        ),
    )


def _chip(sighting: Sighting, rng: random.Random) -> Chip:
    return Chip(
        chip_id=f"{sighting.sighting_id}.chip",
        sighting_id=sighting.sighting_id,
        platform_id="uav07",
        time_ns=sighting.time_ns,
        media_type="image/jpeg",
        width_px=256,
        height_px=256,
        box_in_chip_px=(64.0, 64.0, 192.0, 192.0),
        data=bytes(int(_CHIP_BYTES * rng.uniform(0.6, 1.4))),
    )


_SIGHTING = Sighting(
    sighting_id="s",
    track_id="t",
    platform_id="uav07",
    sortie_id="20260101T000000Z_uav07",
    sensor_id="eo",
    frame_number=0,
    time_ns=0,
    label="vessel",
    score=0.5,
    model_id="anomaly-0123456789ab",
    box_px=(670.0, 32.0, 684.0, 46.0),
    position=None,
    bearing=None,
    no_position_reason=None,
    slant_range_m=1015.5,
    platform_position=(50.5, 1.5, 302.0),
    size_m=(9.1, 3.1),
)
