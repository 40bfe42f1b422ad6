"""Palms of one mosaic, split by strips of ground, and pictures of woods, fields and water without any."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.training.augment import View
from models.training.errors import TrainingError
from models.training.mix import Source
from models.training.readers import read_coco, read_plain
from models.training.sample import Sample

CLASSES = ("plant",)
COCO_SEEDS = ((50, 58),)
"""Broccoli and potted plant: what a COCO detector has nearest to a crown from above."""
TILE_PX = 512
STRIPS_PX = ((1536, 2816), (6400, 7936))
"""Held back: ground of the mosaic from the first to the second column, all the way from north to south."""

CROWNS = View(long_side_px=(330.0, 900.0), is_overhead=True, near_object=0.6)
OPEN = View(long_side_px=(500.0, 1600.0), is_overhead=True)

_TILE = re.compile(r"^tile_(\d{1,6})_(\d{1,6})_")


def read_palms(folder: Path) -> tuple[list[Sample], list[Sample]]:
    """Tiles to learn from and tiles held back; no ground is in both, tiles on a border are in neither."""
    samples = read_coco(folder, folder / "_annotations.coco.json", {"palm-tree": 0, "0": 0})
    learn, held = [], []
    for sample in samples:
        left = column_of(sample.path)
        right = left + TILE_PX
        if any(first <= left and right <= last for first, last in STRIPS_PX):
            held.append(replace(sample, site="held-back strips"))
        elif all(right <= first or left >= last for first, last in STRIPS_PX):
            learn.append(replace(sample, site="learnt strips"))
    return learn, held


def column_of(path: Path) -> int:
    """The tile's left edge in the mosaic. Raises `TrainingError` for a name that does not say."""
    found = _TILE.match(path.name)
    if found is None:
        raise TrainingError(f"{path.name}: the name of a tile is tile_COLUMN_ROW_...")
    return int(found.group(1))


def read_without_plants(imagery: Path) -> tuple[dict[str, list[Sample]], list[Sample]]:
    """Images without plants that one could count: by source to learn from, and fields that are held back."""
    fields = read_plain(imagery / "parcels-agoro-naip")
    return {
        "woods": read_plain(imagery / "plants-treecrowns-deepforest"),
        "fields": fields[::2],
        "water": read_plain(imagery / "vessels-drone-seadronessee")[::8],
    }, fields[1::2]


def plant_sources(palms: Sequence[Sample], empty: dict[str, list[Sample]]) -> list[Source]:
    """The mix: palms mostly, a little of what holds none."""
    sources = [Source(name="palms", samples=list(palms), share=0.88, view=CROWNS)]
    shares = {"woods": 0.06, "fields": 0.03, "water": 0.03}
    sources += [
        Source(name=name, samples=samples, share=shares[name], view=OPEN)
        for name, samples in empty.items()
        if samples
    ]
    return sources
