"""Where tracks were at some instants: asked by many at once, worked out together, remembered by each."""

from collections.abc import Sequence
from typing import NamedTuple

from ground.config import ContactsConfig
from ground.fusion.estimate import Estimate, Lot, Spot, estimates
from ground.fusion.track import FusionTrack


class Question(NamedTuple):
    """Where was this track at an instant, or if it never moved (`STANDING`)? It has a place; `is_whole` asks
    for all of the estimate, else for the place alone."""

    track: FusionTrack
    at_ns: int
    is_whole: bool


def answered(questions: Sequence[Question], config: ContactsConfig) -> list[Estimate | Spot]:
    """An `Estimate` for each question that is whole, a `Spot` for each other."""
    found: list[Estimate | Spot | None] = []
    lots: dict[tuple[str, int], tuple[Question, Lot]] = {}
    for one in questions:
        known = one.track.known_at(one.at_ns, is_whole=one.is_whole)
        if known is None and (one.track.track_id, one.at_ns) not in lots:
            lot = one.track.lot(one.at_ns, config)
            known = one.track.still_known(one.at_ns, lot, is_whole=one.is_whole)
            if known is None:
                lots[one.track.track_id, one.at_ns] = one, lot
        found.append(known)
    worked_out = estimates([lot for _, lot in lots.values()], config)
    made = dict(zip(lots, worked_out, strict=True))
    for key, (one, lot) in lots.items():
        one.track.remember(one.at_ns, lot, made[key], is_whole=one.is_whole)
    return [
        known if known is not None else _as_asked(one, made[one.track.track_id, one.at_ns])
        for one, known in zip(questions, found, strict=True)
    ]


def _as_asked(question: Question, made: Estimate) -> Estimate | Spot:
    return made if question.is_whole else made.spot
