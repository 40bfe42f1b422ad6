"""What AIS should have said of each vessel when it was last seen, and how well the station said it."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from ground.ais.motion import expected_interval_s
from ground.ais.verdict import Verdict
from sim.range.faults.spell import Spell
from sim.range.score.naming import Named
from sim.range.score.truth import RunTruth
from sim.range.watch import Watched
from sim.scenario.fleet.transmit import LEAD_S, chance_of_report
from sim.scenario.tables.fleet import Ais as Told
from sim.scenario.tables.fleet import Vessel
from sim.scenario.world import World
from skywarden.ais.reports import PositionReport, read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.clock import NS_PER_S

AisTruth = Literal["matched", "silent", "doubtful", "unheard"]
WORDS = ("matched", "silent", "doubtful", "unheard", "undecided")
RECENT_S, AFTER_S, CLONE_S = 600.0, 240.0, 1_800.0
OFF_M = 300.0


class Ais(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts on contacts that are vessels: Brier score over the five words, and the table truth > word.

    `brier` is `None` where the station heard nobody at all: whether such a receiver is deaf or the sea is
    empty of AIS, nobody can tell, so nothing is judged; `vessels` then counts them all the same.
    """

    vessels: int
    brier: float | None
    table: dict[str, dict[str, int]]
    false_silent: int


def ais(truth: RunTruth, watched: Watched, names: Named) -> Ais:
    """The last verdict on each contact that is one of the scenario's vessels, when it was last seen."""
    air = OnAir(truth, watched)
    table: dict[str, dict[str, int]] = {}
    squares = []
    for contact in watched.contacts:
        verdict, name = watched.verdicts.get(contact.contact_id), names.of(contact)
        if verdict is None or name not in air.vessels or contact.position_ns is None:
            continue
        true_word = air.truth_of(name, (contact.position_ns - truth.scenario.start_ns) / NS_PER_S)
        row = table.setdefault(true_word, {})
        row[verdict.word] = row.get(verdict.word, 0) + 1
        squares.append(_brier(verdict, true_word))
    return Ais(
        vessels=len(squares),
        brier=round(float(np.mean(squares)), 4) if squares and air.heard_s else None,
        table={word: dict(sorted(row.items())) for word, row in sorted(table.items())},
        false_silent=sum(row.get("silent", 0) for word, row in table.items() if word != "silent"),
    )


class OnAir:
    """Who was heard when, and what somebody who knew everything would say of a vessel; times in seconds from
    the start of the scenario."""

    def __init__(self, truth: RunTruth, watched: Watched) -> None:
        self._scenario, self._until_s = truth.scenario, watched.run.seconds
        self.vessels = {vessel.id: vessel for vessel in truth.scenario.vessels}
        self.heard_s = _heard(watched)
        spells = (spell for platform in watched.spells.values() for spell in platform)
        self._deaf = [_seconds_of(spell, truth) for spell in spells if spell.kind == "ais_silence"]

    @cached_property
    def _world(self) -> World:
        return World(self._scenario)

    def truth_of(self, vessel_id: str, at_s: float) -> AisTruth:
        """The right word on a vessel at an instant.

        *Silent*: it sent nothing then, and had it sent, its reports of the minutes around would have been
        heard with more than one in two; *unheard* where they would not. A wrong place is one that is 300 m
        off or more; a number is doubtful when both that use it were heard in the last half hour.
        """
        vessel = self.vessels[vessel_id]
        if vessel.ais is None:
            return self._quiet(vessel, at_s - RECENT_S, at_s)
        gap = next(((start, end) for start, end in vessel.ais.gaps_s if start <= at_s <= end), None)
        if gap is not None:
            word = self._quiet(vessel, gap[0], at_s, until_s=gap[1])
            return word if word == "silent" else self._of_sender(vessel, vessel.ais, at_s)
        return self._of_sender(vessel, vessel.ais, at_s)

    def _of_sender(self, vessel: Vessel, told: Told, at_s: float) -> AisTruth:
        heard = self.heard_s.get(told.mmsi, ())
        if not any(at_s - RECENT_S <= one <= at_s + AFTER_S for one in heard):
            return "unheard"
        if self._is_shared(told.mmsi) and any(at_s - CLONE_S <= one <= at_s for one in heard):
            return "doubtful"
        return "doubtful" if self._is_off(vessel, told, at_s) else "matched"

    def _is_shared(self, mmsi: str) -> bool:
        return sum(one.ais is not None and one.ais.mmsi == mmsi for one in self._scenario.vessels) > 1

    def _is_off(self, vessel: Vessel, told: Told, at_s: float) -> bool:
        if told.wrong_from_s is not None and at_s >= told.wrong_from_s:
            return math.hypot(*told.offset_m) >= OFF_M
        if told.frozen_from_s is None or at_s < told.frozen_from_s:
            return False
        now, then = (self._world.fleet.motion(vessel.id, one) for one in (at_s, told.frozen_from_s))
        return math.hypot(now.x_m - then.x_m, now.y_m - then.y_m) >= OFF_M

    def _quiet(self, vessel: Vessel, from_s: float, at_s: float, until_s: float = math.inf) -> AisTruth:
        """Of one that sends nothing: would it have been heard, while the receiver worked and we listened?"""
        until_s = min(until_s, at_s + AFTER_S, self._until_s)
        motion = self._world.fleet.motion(vessel.id, at_s)
        station = "B" if vessel.ais is None else vessel.ais.station
        interval_s = expected_interval_s(station, motion.speed_mps, 0)
        listened_s = self._listened_s(max(from_s, -LEAD_S), until_s)
        missed = 1.0 - chance_of_report(self._scenario.ais, motion.x_m, motion.y_m)
        return "silent" if missed ** (listened_s / interval_s) < 0.5 else "unheard"

    def _listened_s(self, from_s: float, until_s: float) -> float:
        deaf_s = sum(max(0.0, min(until_s, end) - max(from_s, start)) for start, end in self._deaf[:1])
        return max(0.0, until_s - from_s - deaf_s)


def _heard(watched: Watched) -> Mapping[str, Sequence[float]]:
    """By number, when a place of it was heard."""
    reader, found = SentenceReader(), dict[str, list[float]]()
    for time_ns, line in watched.sentences:
        heard = reader.take(line, time_ns)
        for report in read_report(heard) if heard is not None else ():
            if isinstance(report, PositionReport):
                found.setdefault(report.mmsi, []).append((time_ns - watched.run.start_ns) / NS_PER_S)
    return found


def _seconds_of(spell: Spell, truth: RunTruth) -> tuple[float, float]:
    start_ns = truth.scenario.start_ns
    return (spell.span.start_ns - start_ns) / NS_PER_S, (spell.span.end_ns - start_ns) / NS_PER_S


def _brier(verdict: Verdict, true_word: str) -> float:
    return float(sum((getattr(verdict, word) - (word == true_word)) ** 2 for word in WORDS))
