"""`skywarden models harvest`: from a station's store to a set to learn from.

It lies here because it needs both sides: the store and the review are the ground's, the set is the models',
and neither of the two may import the other.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from models.evaluation.harvest import HarvestCase, write_harvest
from skywarden.errors import InputError, UsageError

if TYPE_CHECKING:
    from ground.review.harvest import ReviewedSighting
    from ground.store.reading import StoreReader


def harvest(
    store: Path,
    *,
    out: Path,
    uncertain: Annotated[tuple[float, float], Parameter(negative="")] = (0.3, 0.7),
    looks: int = 20,
    json: bool = False,
) -> int:
    """Write reviewed and uncertain sightings of a ground station as a COCO set, to train on.

    What it says to people stands with its name, in `models/cli.py`.

    Parameters
    ----------
    store
        The station's state folder, with store.sqlite and review.sqlite.
    out
        A new folder for the set.
    uncertain
        From which score to which an unreviewed sighting counts as uncertain.
    looks
        At most so many looks of each contact.
    json
        Print one object.
    """
    low, high = uncertain
    if not 0.0 <= low <= high <= 1.0 or looks < 1:
        raise UsageError(f"uncertain from {low} to {high}, {looks} looks; scores are 0 to 1, looks from 1")
    folder = store.parent if store.is_file() else store
    counts = write_harvest(_cases(folder, (low, high), looks), out)
    written = counts["confirmed"] + counts["rejected"] + counts["uncertain"]
    if json:
        tree = {"out": str(out), **counts}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
    else:
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing"
        sys.stdout.write(f"{out}: {said}\n")
    return 0 if written else 3


def _cases(folder: Path, uncertain: tuple[float, float], looks: int) -> Iterator[HarvestCase]:
    from ground.review.book import ReviewBook
    from ground.review.harvest import reviewed
    from ground.review.log import read_entries, review_path
    from ground.serve import store_path
    from ground.store.reading import SqliteReader

    if not store_path(folder).is_file():
        raise InputError(f"{folder}: holds no store of a ground station ({store_path(folder).name})")
    book = ReviewBook(read_entries(review_path(folder)))
    reader = SqliteReader(store_path(folder))
    try:
        for one in reviewed(reader, book, states=("confirmed", "rejected", "unreviewed"), looks=looks):
            case = _case(one, reader, uncertain)
            if case is not None:
                yield case
    finally:
        reader.close()


def _case(
    one: "ReviewedSighting", reader: "StoreReader", uncertain: tuple[float, float]
) -> HarvestCase | None:
    sighting = one.stored.sighting
    is_open = one.state not in ("confirmed", "rejected")
    if one.stored.is_preview or (is_open and not uncertain[0] <= sighting.score <= uncertain[1]):
        return None
    chip = reader.chip(one.stored.chip_id) if one.stored.chip_id is not None else None
    # A chip of another look of the track shows another moment: its box is not this one's.
    if chip is None or chip.sighting_id != sighting.sighting_id:
        return None
    return HarvestCase(
        image=bytes(chip.data),
        media_type=chip.media_type,
        box_px=chip.box_in_chip_px,
        label=sighting.label,
        score=sighting.score,
        model_id=sighting.model_id,
        state="confirmed"
        if one.state == "confirmed"
        else "rejected"
        if one.state == "rejected"
        else "uncertain",
        site=f"{sighting.platform_id}/{sighting.sortie_id}",
        time_ns=sighting.time_ns,
        decided_by_person=not is_open,
    )
