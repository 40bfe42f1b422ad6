"""The vessel models' data: sets, labels, sites held back, shares of the mix."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.training.augment import View
from models.training.errors import TrainingError
from models.training.mine import FalseAlarm, around_alarms
from models.training.mix import Source, with_objects, without_objects
from models.training.readers import read_plain, read_render, read_voc, read_yolo
from models.training.rendered.thermal import as_thermal
from models.training.sample import IGNORED, Boxes, Sample
from models.training.splits import sites_by_likeness, split_by_site

CLASSES = ("vessel",)
COCO_SEEDS = ((8, 14, 33, 36, 37),)
"""Boat, bird, kite, skateboard, surfboard: what a COCO detector takes a boat for from overhead."""
SEED = "vessels-13"
HELD_BACK = 0.15
VALIDATE_SEED = "vessels-choose-1"
VALIDATED = 0.10
"""Of the sites that are not held back: thresholds and candidates are chosen on these, nothing is learnt."""

OVERHEAD = View(long_side_px=(320.0, 1300.0), is_overhead=True)
DRONE = View(long_side_px=(416.0, 1400.0), is_overhead=True, near_object=0.9)
SIDE = View(long_side_px=(160.0, 900.0), is_overhead=False)
LAND = View(long_side_px=(400.0, 2000.0), is_overhead=True)
OBLIQUE = View(long_side_px=(600.0, 1400.0), is_overhead=False, near_object=0.9)
ASLANT = View(long_side_px=(400.0, 1400.0), is_overhead=False, tilt_deg=(25.0, 72.0))
SEEN = Path(__file__).with_name("seen.json")
"""What a person saw: boxes in frames that came without labels, and boats that a labeller forgot."""


class Split(NamedTuple):
    """One set in three: to learn from, held back for the figures, and to choose thresholds on."""

    learn: list[Sample]
    held: list[Sample]
    validate: list[Sample]


@dataclass(frozen=True, kw_only=True)
class VesselData:
    """Everything read, by the name of the set, in three parts as in `Split`."""

    learn: dict[str, list[Sample]]
    held: dict[str, list[Sample]]
    validate: dict[str, list[Sample]]


def read_vessel_data(imagery: Path, renders: Sequence[Path] = ()) -> VesselData:
    """Read every set under `imagery` (the folder of public sets) and split each by site."""
    split = {name: read_set(imagery, name) for name in SETS}
    rendered = [sample for folder in renders for sample in read_render(folder, {"vessel": 0})]
    split["render"] = Split(rendered, [], [])
    return VesselData(
        learn={name: parts.learn for name, parts in split.items()},
        held={name: parts.held for name, parts in split.items()},
        validate={name: parts.validate for name, parts in split.items()},
    )


def read_set(imagery: Path, name: str) -> Split:
    """One of `SETS`, split by site. Frames from drones are too few to give any to validation."""
    rest, held = split_by_site(SETS[name](imagery), HELD_BACK, SEED)
    if name in {"drone", "drone_extra"}:
        return Split(rest, held, []) if name == "drone" else Split([*rest, *held], [], [])
    learn, validate = split_by_site(rest, VALIDATED, VALIDATE_SEED)
    return Split(learn, held, validate)


def vessel_sources(data: VesselData, *, oblique: bool, alarms: Sequence[FalseAlarm] = ()) -> list[Source]:
    """The mix: mostly overhead, or (`oblique`) mostly from the side and aslant; hard negatives more often."""
    drone, side, ships = data.learn["drone"], data.learn["side"], data.learn["ships"]
    extra, land = data.learn["drone_extra"], data.learn["land"]
    outlined = tuple(s for s in side if s.outlines and any(o is not None for o in s.outlines))
    water = without_objects(drone)
    sources = [
        Source(name="ships", samples=ships, share=0.24 if oblique else 0.48, view=OVERHEAD),
        Source(name="aslant", samples=with_objects(ships), share=0.14 if oblique else 0.05, view=ASLANT),
        Source(name="boats", samples=with_objects(drone), share=0.10 if oblique else 0.08, view=DRONE),
        Source(name="extra", samples=extra, share=0.09 if oblique else 0.03, view=OBLIQUE),
        Source(name="water", samples=water, share=0.03, view=DRONE),
        Source(name="side", samples=with_objects(side), share=0.12 if oblique else 0.07, view=SIDE),
        Source(name="pasted", samples=water, share=0.10 if oblique else 0.04, view=OBLIQUE, pasted=outlined),
        Source(name="land", samples=land, share=0.10, view=LAND),
        Source(name="render", samples=data.learn["render"], share=0.10 if oblique else 0.04, view=OBLIQUE),
        Source(name="lures", samples=around_alarms(ships, alarms), share=0.05, view=OVERHEAD),
        Source(name="roofs", samples=around_alarms(land, alarms), share=0.05, view=LAND),
    ]
    return [source for source in sources if source.samples]


def thermal_sources(data: VesselData, alarms: Sequence[FalseAlarm] = ()) -> list[Source]:
    """The mix for thermal cameras: day images shown as thermal, thermal renders, thermal streets.

    Of the renders those count whose pictures are grey; what `alarms` says of day images is left out.
    """
    made = [
        source if source.name == "render" else replace(source, change=as_thermal)
        for source in vessel_sources(data, oblique=False)
        if source.name != "land"
    ]
    streets = [sample for sample in data.learn["land"] if sample.site.startswith("hituav")]
    fields = [sample for sample in data.learn["land"] if not sample.site.startswith("hituav")]
    made += [
        Source(name="streets", samples=streets, share=0.10, view=LAND),
        Source(name="roofs", samples=around_alarms(streets, alarms), share=0.06, view=LAND),
        Source(name="fields", samples=fields, share=0.06, view=LAND, change=as_thermal),
    ]
    return [source for source in made if source.samples]


def _ships(imagery: Path) -> list[Sample]:
    folder = imagery / "vessels-nadir-ships621"
    samples = read_voc(folder / "images", folder / "annotations", {"boat": 0})
    sites = sites_by_likeness(samples)
    samples = with_seen(samples, "ships")
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


def _drone_extra(imagery: Path) -> list[Sample]:
    """Frames from aslant that came without labels; of other flights and cameras than those held back."""
    samples = read_plain(imagery / "vessels-drone-seadronessee" / "unlabelled_extra", lambda path: path.stem)
    return with_seen(samples, "drone_extra")


def with_seen(samples: Sequence[Sample], name: str, path: Path = SEEN) -> list[Sample]:
    """Samples with the boxes that a person added to set `name`, by file name: vessels, and boxes to ignore.

    Raises `TrainingError` when the file is not what it should be.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))[name]
        seen = {
            file: (
                [*told["vessel"], *told["ignored"]],
                [0] * len(told["vessel"]) + [IGNORED] * len(told["ignored"]),
            )
            for file, told in rows.items()
        }
        added = {
            file: (np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(kinds, dtype=np.int64))
            for file, (boxes, kinds) in seen.items()
        }
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: holds no boxes for {name} ({error!r})") from error
    return [
        _with_boxes(sample, *added[sample.path.name]) if sample.path.name in added else sample
        for sample in samples
    ]


def _with_boxes(sample: Sample, boxes: Boxes, kinds: npt.NDArray[np.int64]) -> Sample:
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes, boxes]),
        classes=np.concatenate([sample.classes, kinds]),
        outlines=(*sample.outlines, *[None] * len(boxes)) if sample.outlines else (),
    )


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
    "drone_extra": _drone_extra,
    "side": _side,
    "land": _land,
}
"""Readers of the public sets, by the name used here."""
