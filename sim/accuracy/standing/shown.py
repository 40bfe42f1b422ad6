"""Which contacts a station would show under way, beside what truth says of the things in their looks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edge.vision.pipeline import Outcome
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from sim.scenario.seen import FrameTruth, thing_at
from skywarden.messages import Sighting


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownContact:
    """One contact as it was last shown: what most of its looks show, how many those are, how fast that is;
    whether it was shown with a course at any time, and the speed shown at the end (`None`: none)."""

    thing: str | None
    looks: int
    true_speed_mps: float
    was_moving: bool
    speed_mps: float | None


def shown_contacts(
    found: Sequence[Outcome], truth: Sequence[FrameTruth], *, with_words: bool
) -> list[ShownContact]:
    """The contacts that the sightings of one sensor's flight come to, frame by frame.

    Without words the station judges motion by places alone, as for platforms that say nothing of it.
    """
    frames = {frame.frame_number: frame for frame in truth}
    book, moved = ContactBook(ContactsConfig()), set[str]()
    last: dict[str, Contact] = {}
    seen: dict[str, list[tuple[str | None, float]]] = {}
    for outcome in found:
        for message in outcome.messages:
            if isinstance(message, Sighting) and message.position is not None:
                thing = thing_at(frames[message.frame_number], message.box_px)
                known = (None, 0.0) if thing is None else (thing.id, thing.speed_mps or 0.0)
                seen.setdefault(message.track_id, []).append(known)
                book.add(message if with_words else _wordless(message))
        changes = book.settle()
        for contact_id in changes.removed:
            last.pop(contact_id, None)
        last.update({contact.contact_id: contact for contact in changes.changed})
        moved |= {contact.contact_id for contact in changes.changed if contact.speed_mps is not None}
    shown = []
    for contact_id, contact in sorted(last.items()):
        things = [known for track_id in contact.track_ids for known in seen[track_id]]
        (thing_id, speed_mps), looks = Counter(things).most_common(1)[0]
        shown.append(
            ShownContact(
                thing=thing_id,
                looks=looks,
                true_speed_mps=speed_mps,
                was_moving=contact_id in moved,
                speed_mps=contact.speed_mps,
            )
        )
    return shown


def _wordless(sighting: Sighting) -> Sighting:
    return msgspec.structs.replace(sighting, motion=None, velocity_en_mps=None)
