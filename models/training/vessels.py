"""The vessel models' data: sets, labels, sites held back, shares of the mix."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.training.augment import View
from models.training.mine import FalseAlarm, around_alarms
from models.training.mix import Source, with_objects, without_objects
from models.training.readers import read_plain, read_render, read_voc, read_yolo
from models.training.sample import IGNORED, Sample
from models.training.splits import sites_by_likeness, split_by_site

CLASSES = ("vessel",)
COCO_SEEDS = ((8, 14, 33, 36, 37),)
"""Boat, bird, kite, skateboard, surfboard: what a COCO detector takes a boat for from overhead."""
SEED = "vessels-13"
HELD_BACK = 0.15

OVERHEAD = View(long_side_px=(320.0, 1300.0), is_overhead=True)
DRONE = View(long_side_px=(416.0, 1400.0), is_overhead=True, near_object=0.9)
SIDE = View(long_side_px=(160.0, 900.0), is_overhead=False)
LAND = View(long_side_px=(400.0, 2000.0), is_overhead=True)
OBLIQUE = View(long_side_px=(600.0, 1400.0), is_overhead=False, near_object=0.9)


@dataclass(frozen=True, kw_only=True)
class VesselData:
    """Everything read: samples to learn from and samples held back, by the name of the set."""

    learn: dict[str, list[Sample]]
    held: dict[str, list[Sample]]


def read_vessel_data(imagery: Path, renders: Sequence[Path] = ()) -> VesselData:
    """Read every set under `imagery` (the folder of public sets) and split each by site."""
    learn, held = {}, {}
    for name in SETS:
        learn[name], held[name] = read_set(imagery, name)
    learn["render"] = [sample for folder in renders for sample in read_render(folder, {"vessel": 0})]
    held["render"] = []
    return VesselData(learn=learn, held=held)


def read_set(imagery: Path, name: str) -> tuple[list[Sample], list[Sample]]:
    """One of `SETS`: samples to learn from, samples held back."""
    return split_by_site(SETS[name](imagery), HELD_BACK, SEED)


def vessel_sources(data: VesselData, *, oblique: bool, alarms: Sequence[FalseAlarm] = ()) -> list[Source]:
    """The mix: mostly overhead, or (`oblique`) mostly from the side and aslant; hard negatives more often."""
    shares = {
        "ships": 0.30 if oblique else 0.54,
        "boats": 0.17 if oblique else 0.14,
        "water": 0.04,
        "side": 0.17 if oblique else 0.06,
        "pasted": 0.15 if oblique else 0.06,
        "land": 0.09,
        "render": 0.08 if oblique else 0.05,
    }
    drone, side = data.learn["drone"], data.learn["side"]
    outlined = tuple(s for s in side if s.outlines and any(o is not None for o in s.outlines))
    water = without_objects(drone)
    sources = [
        Source(name="ships", samples=data.learn["ships"], share=shares["ships"], view=OVERHEAD),
        Source(name="boats", samples=with_objects(drone), share=shares["boats"], view=DRONE),
        Source(name="water", samples=water, share=shares["water"], view=DRONE),
        Source(name="side", samples=with_objects(side), share=shares["side"], view=SIDE),
        Source(name="pasted", samples=water, share=shares["pasted"], view=OBLIQUE, pasted=outlined),
        Source(name="land", samples=data.learn["land"], share=shares["land"], view=LAND),
        Source(name="render", samples=data.learn["render"], share=shares["render"], view=OBLIQUE),
    ]
    known = [*data.learn["ships"], *data.learn["land"]]
    sources.append(Source(name="alarms", samples=around_alarms(known, alarms), share=0.08, view=OVERHEAD))
    return [source for source in sources if source.samples]


def _ships(imagery: Path) -> list[Sample]:
    folder = imagery / "vessels-nadir-ships621"
    samples = read_voc(folder / "images", folder / "annotations", {"boat": 0})
    sites = sites_by_likeness(samples)
    return [replace(sample, site=f"ships-{site}") for sample, site in zip(samples, sites, strict=True)]


def _drone(imagery: Path) -> list[Sample]:
    """Frames of one video are one site; where a folder holds many short videos, frames in a row are."""
    folder = imagery / "vessels-drone-seadronessee"
    rows = json.loads((folder / "annotations_with_telemetry.json").read_text(encoding="utf-8"))["images"]
    video = {str(row["file_name"]): str(row["source"].get("folder_name", "")) for row in rows}
    names = ["swimmer", "boat", "jetski", "life_saving_appliances", "buoy"]
    samples = read_yolo(folder / "images", folder / "labels", names, {"boat": 0, "jetski": IGNORED})
    made, previous, start = [], -10, 0
    for sample in sorted(samples, key=lambda s: int(s.path.stem)):
        number = int(sample.path.stem)
        if number - previous > 6:
            start = number
        previous = number
        made.append(replace(sample, site=f"drone-{video.get(sample.path.name, '')}-{start}"))
    return made


def _side(imagery: Path) -> list[Sample]:
    folder = imagery / "vessels-sideview"
    first, second = folder / "public_domain_boat2", folder / "ccby_ship2_polygons"
    names = ["41", "6", "8", "boat", "buoy", "object", "ship"]
    ours = {"8": 0, "boat": 0, "ship": 0, "object": IGNORED, "41": IGNORED, "6": IGNORED}
    samples = read_yolo(first / "images", first / "labels", names, ours)
    samples += read_yolo(second / "images", second / "labels", ["ship"], {"ship": 0})
    return [replace(sample, site=f"side-{sample.path.stem.split('_')[0]}") for sample in samples]


def _land(imagery: Path) -> list[Sample]:
    """Fields, woods, palms, towns in infrared: no vessel in any of them."""
    return [
        *read_plain(imagery / "parcels-agoro-naip"),
        *read_plain(imagery / "plants-treecrowns-deepforest"),
        *read_plain(imagery / "plants-oilpalm", lambda path: "oilpalm-" + path.stem.split("_")[1]),
        *read_plain(imagery / "thermal-hituav", lambda path: "hituav-" + "_".join(path.stem.split("_")[:4])),
    ]


SETS: dict[str, Callable[[Path], list[Sample]]] = {
    "ships": _ships,
    "drone": _drone,
    "side": _side,
    "land": _land,
}
"""Readers of the public sets, by the name used here."""
