"""What another model would change: contacts gained, lost and moved over some flights, with their pictures.

Both models fly the same flights through the same chain. Contacts are the same thing when their looks overlap
in the picture of the same frame, or else when their places lie in their joint 90 % ellipse. What is the same
thing at another place, outside that ellipse, has moved.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from sim.analyze import AnalyzeOptions
from sim.range.chain import steps_of
from sim.range.score.truth import METRES_PER_DEG
from skywarden.errors import UsageError
from skywarden.messages import Chip, Position, Sighting

CHI_SQUARE_2_90 = 4.605170185988092
SAME_IOU = 0.3
MAX_FLIGHTS = 100
Kind = Literal["gained", "lost", "moved"]
KINDS: tuple[Kind, ...] = ("gained", "lost", "moved")
Look = tuple[str, int]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as one model has it; the chip is its surest look's, `None` where no picture was cut."""

    contact_id: str
    label: str
    score: float
    looks: int
    latitude_deg: float | None
    longitude_deg: float | None
    ce90_m: float | None
    chip_type: str | None = None
    chip: bytes | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One contact that is not as it was; `by_m` is how far it moved."""

    kind: Kind
    before: Side | None
    after: Side | None
    by_m: float | None = None


class ModelDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from model A to model B; `same` contacts are in both, at the same place."""

    model_a: str
    model_b: str
    flights: tuple[str, ...]
    contacts_a: int
    contacts_b: int
    same: int
    changes: tuple[Change, ...]

    def of(self, kind: Kind) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]


@dataclass(frozen=True, kw_only=True)
class Flown:
    """What a model found over all flights: contacts, their looks (by sensor and frame), their chips."""

    contacts: tuple[Contact, ...]
    looks: dict[str, dict[Look, Sighting]]
    chips: dict[str, Chip]


def diff_models(
    flights: Sequence[Path], model_a: str, model_b: str, options: AnalyzeOptions | None = None
) -> ModelDiff:
    """Fly both models over every flight; raises what `sim.analyze.analyze` does, `UsageError` for none."""
    if not 1 <= len(flights) <= MAX_FLIGHTS:
        raise UsageError(f"{len(flights)} flights: name from 1 to {MAX_FLIGHTS}")
    options = options or AnalyzeOptions()
    before, after = (
        flown(flights, replace(options, model=model, min_score=0.0)) for model in (model_a, model_b)
    )
    return compared(before, after, model_a, model_b, tuple(flight.name for flight in flights))


def flown(flights: Sequence[Path], options: AnalyzeOptions) -> Flown:
    """What one model makes of the flights, with the station's own fusion of all of them."""
    sightings: list[Sighting] = []
    chips: dict[str, Chip] = {}
    for flight in flights:
        for step in steps_of(flight, options):
            for message in step.outcome.messages:
                if isinstance(message, Sighting):
                    sightings.append(message)
                elif isinstance(message, Chip):
                    chips[message.sighting_id] = message
    book = ContactBook(ContactsConfig())
    for sighting in sorted(sightings, key=lambda one: (one.time_ns, one.sighting_id)):
        book.add(sighting)
    contacts = tuple(sorted(book.settle().changed, key=lambda one: one.contact_id))
    owner = {track: contact.contact_id for contact in contacts for track in contact.track_ids}
    looks: dict[str, dict[Look, Sighting]] = {contact.contact_id: {} for contact in contacts}
    for sighting in sightings:
        if sighting.track_id in owner:
            sensor = f"{sighting.sortie_id}/{sighting.sensor_id}"
            looks[owner[sighting.track_id]][sensor, sighting.frame_number] = sighting
    return Flown(contacts=contacts, looks=looks, chips=chips)


def compared(before: Flown, after: Flown, model_a: str, model_b: str, flights: tuple[str, ...]) -> ModelDiff:
    """Pair the contacts, the surest pair first, and tell what is left over or has moved."""
    pairs = _pairs(before, after)
    changes: list[Change] = []
    for old, new in pairs:
        by_m = _moved_m(old.position, new.position)
        if by_m is not None:
            sides = (_side(before, old), _side(after, new))
            changes.append(Change(kind="moved", before=sides[0], after=sides[1], by_m=round(by_m, 2)))
    same = len(pairs) - len(changes)
    kept_old, kept_new = {old.contact_id for old, _ in pairs}, {new.contact_id for _, new in pairs}
    lost = [_side(before, one) for one in before.contacts if one.contact_id not in kept_old]
    gained = [_side(after, one) for one in after.contacts if one.contact_id not in kept_new]
    changes += [Change(kind="lost", before=one, after=None) for one in sorted(lost, key=_weight)]
    changes += [Change(kind="gained", before=None, after=one) for one in sorted(gained, key=_weight)]
    return ModelDiff(
        model_a=model_a,
        model_b=model_b,
        flights=flights,
        contacts_a=len(before.contacts),
        contacts_b=len(after.contacts),
        same=same,
        changes=tuple(changes),
    )


def squared_distance(one: Position, two: Position) -> tuple[float, float]:
    """Metres between two places, and their squared Mahalanobis distance by the sum of their covariances."""
    scale = METRES_PER_DEG * math.cos(math.radians(one.latitude_deg))
    away_deg = (two.longitude_deg - one.longitude_deg + 180.0) % 360.0 - 180.0
    off = np.array([away_deg * scale, (two.latitude_deg - one.latitude_deg) * METRES_PER_DEG])
    covariance = np.diag([1e-4, 1e-4])
    for place in (one, two):
        ee, en, _, nn, _, _ = place.covariance_enu_m2
        covariance = covariance + np.array([[ee, en], [en, nn]])
    return float(np.hypot(*off)), float(off @ np.linalg.solve(covariance, off))


def _pairs(before: Flown, after: Flown) -> list[tuple[Contact, Contact]]:
    """By most frames in which both have the thing, then by nearness; each contact at most once."""
    rated: list[tuple[float, float, int, int]] = []
    for row, old in enumerate(before.contacts):
        for column, new in enumerate(after.contacts):
            shared = _shared_looks(before.looks[old.contact_id], after.looks[new.contact_id])
            apart = math.inf
            if old.position is not None and new.position is not None:
                apart = squared_distance(old.position, new.position)[1]
            if shared or (apart <= CHI_SQUARE_2_90 and not _same_frames(before, old, after, new)):
                rated.append((-float(shared), apart, row, column))
    found, rows, columns = [], set(), set()
    for _, _, row, column in sorted(rated):
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            found.append((before.contacts[row], after.contacts[column]))
    return found


def _shared_looks(old: dict[Look, Sighting], new: dict[Look, Sighting]) -> int:
    return sum(_iou(old[look].box_px, new[look].box_px) >= SAME_IOU for look in old.keys() & new.keys())


def _same_frames(before: Flown, old: Contact, after: Flown, new: Contact) -> bool:
    """Whether both were seen in one frame: two boxes that lie apart there are two things, however near."""
    return bool(before.looks[old.contact_id].keys() & after.looks[new.contact_id].keys())


def _moved_m(old: Position | None, new: Position | None) -> float | None:
    """How far, when it is beyond the joint 90 % ellipse; `None` when it is not, or a place is missing."""
    if old is None or new is None:
        return None
    away_m, squared = squared_distance(old, new)
    return away_m if squared > CHI_SQUARE_2_90 else None


def _side(found: Flown, contact: Contact) -> Side:
    looks = sorted(found.looks[contact.contact_id].values(), key=lambda one: (-one.score, one.time_ns))
    chip = next((found.chips[one.sighting_id] for one in looks if one.sighting_id in found.chips), None)
    place = contact.position
    return Side(
        contact_id=contact.contact_id,
        label=contact.label,
        score=round(contact.score, 4),
        looks=contact.sighting_count,
        latitude_deg=None if place is None else round(place.latitude_deg, 7),
        longitude_deg=None if place is None else round(place.longitude_deg, 7),
        ce90_m=None if place is None else round(place.ce90_m, 2),
        chip_type=None if chip is None else chip.media_type,
        chip=None if chip is None else bytes(chip.data),
    )


def _weight(side: Side) -> tuple[int, float, str]:
    """Most looks first: what matters most comes first."""
    return -side.looks, -side.score, side.contact_id


def _iou(one: Sequence[float], two: Sequence[float]) -> float:
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / max(sum(areas) - shared, 1e-9)
