"""How well parcels are outlined and plants counted, on images that no model learnt from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.catalogue import load_detector
from models.detection import DetectionBatch, PolygonShape, make_batch
from models.evaluation.areas import AreaTally
from models.evaluation.dataset import Dataset, LabelledImage, TruthObject, truth_of
from models.evaluation.pictures import read_image
from models.evaluation.run import LEAST_SCORE, alarms_on_empty, evaluate, look_at
from sim.accuracy.section import Section

FIELDS, PALMS = "parcels-agoro-naip", "plants-oilpalm"

_PROTOTYPE = "0.927 | 0.735 (of the boundary map; its outlines 0.52) | 0.600"
_GOAL = "0.95 | 0.82 | 0.72"


def section(data: Path, scratch: Path) -> Section:
    """The part of the page about parcels and plantations."""
    imagery = data / "imagery"
    parts = [_parcels(held_back_fields(imagery)), _plants(imagery)]
    return Section(title="Parcels and plantations", text="\n\n".join(parts))


def held_back_fields(imagery: Path) -> Dataset:
    """The images with fields that training holds back, as a set to evaluate on."""
    from models.training.parcels.fields import read_fields, split_fields

    images = []
    for sample in split_fields(read_fields(imagery / FIELDS))[1]:
        # Corners as they stand in the file, as `models evaluate` takes them: training adds half a pixel.
        objects = [
            TruthObject(
                label="parcel",
                box=_edges([*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()]),
                rings=(tuple((float(x), float(y)) for x, y in ring.tolist()),),
            )
            for ring in (one - 0.5 for one in sample.rings)
        ]
        images.append(LabelledImage(path=sample.path, objects=tuple(objects)))
    return Dataset(folder=imagery / FIELDS, kind="held back", labels=("parcel",), images=tuple(images))


def _parcels(held: Dataset) -> str:
    detector = load_detector("parcel")
    described = detector.description
    rows = [
        "### Parcels",
        f"{len(held.images)} held-back images of 1024 px with {sum(len(i.objects) for i in held.images)} "
        "outlined fields, drawn by squares of half a degree: no neighbour was learnt from. US Midwest, "
        "straight above, about 1.9 m per pixel (told by roads half a mile apart; the set does not say). In "
        "brackets 95 % bootstraps over images. Boundary F1 is that of the outlines that come out, at 3 px.",
        "",
        "| | field IoU | boundary F1 | instance AP50 | ms per image |",
        "|---|---|---|---|---|",
        _baseline_row("all of it one field", held, _everything),
        _baseline_row("edges (Canny), what they enclose", held, _enclosed),
    ]
    for flips, name in ((1, "as it flies"), (4, "mean of 4 mirrored looks")):
        detector.set_flips(flips)
        tree = evaluate(look_at(detector, held), task="segment", threshold=described.threshold)
        shown = f"`{described.sha256[:8]}` {name}"
        rows.append(_row(shown, tree, f"{tree['cpu_ms_per_image']:.0f}"))
    rows += [f"| prototype, on 10 other images | {_PROTOTYPE} | |", f"| goal | {_GOAL} | |"]
    return "\n".join(rows)


def _row(name: str, tree: dict[str, Any], milliseconds: str) -> str:
    cells = [
        f"{tree[key]:.3f} ({tree[f'{key}_interval'][0]:.2f} to {tree[f'{key}_interval'][1]:.2f})"
        for key in ("field_iou", "boundary_f1", "instance_ap50")
    ]
    return f"| {name} | {' | '.join(cells)} | {milliseconds} |"


def _baseline_row(name: str, held: Dataset, look: Any) -> str:
    tally = AreaTally()
    for one in held.images:
        image = read_image(one.path)
        size = (image.shape[1], image.shape[0])
        tally.add(look(image), truth_of(one, {"parcel": "parcel"}, ("parcel",), size), size)
    return _row(name, tally.figures(), "")


def _everything(image: npt.NDArray[np.uint8]) -> DetectionBatch:
    height, width = image.shape[:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    return _batch([corners], image)


def _enclosed(image: npt.NDArray[np.uint8]) -> DetectionBatch:
    """What lies between edges, of at least 2000 px: what one gets without any learning."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 2.0)
    edges = cv2.dilate(cv2.Canny(grey, 20, 60), np.ones((5, 5), dtype=np.uint8))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats((edges == 0).astype(np.uint8), connectivity=4)
    rings = []
    for number in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= 2000) + 1:
        found, _ = cv2.findContours(
            (numbers == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        rings.append(max(found, key=cv2.contourArea).reshape(-1, 2).astype(np.float64))
    return _batch([ring for ring in rings if len(ring) >= 3], image)


def _batch(rings: Sequence[npt.NDArray[np.float64]], image: npt.NDArray[np.uint8]) -> DetectionBatch:
    boxes = np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in rings]).reshape(-1, 4)
    zero = np.zeros(len(rings), dtype=np.uint8)
    size = (image.shape[1], image.shape[0])
    shapes = [PolygonShape(exterior=ring) for ring in rings]
    return make_batch(boxes, np.ones(len(rings)), zero, ("parcel",), size, shapes)


def _plants(imagery: Path) -> str:
    from models.training.plants.palms import read_palms, read_without_plants

    held = read_palms(imagery / PALMS)[1]
    threshold = load_detector("plantation").description.threshold
    detector = load_detector("plantation", threshold=LEAST_SCORE)
    images = [
        LabelledImage(
            path=sample.path,
            objects=tuple(TruthObject(label="plant", box=_edges(box.tolist())) for box in sample.boxes),
        )
        for sample in held
    ]
    tiles = Dataset(folder=imagery / PALMS, kind="held back", labels=("plant",), images=tuple(images))
    looked = look_at(detector, tiles)
    tree = evaluate(looked, task="detect", threshold=threshold)
    bare = [LabelledImage(path=sample.path) for sample in read_without_plants(imagery)[1]]
    empty = Dataset(folder=imagery, kind="held back", labels=("plant",), images=tuple(bare))
    alarms = alarms_on_empty(look_at(detector, empty), tree, threshold) or {}
    low, high = tree["count_error_interval"]
    return "\n".join(
        [
            "### Plantations",
            f"{len(images)} held-back tiles of 512 px with {sum(len(i.objects) for i in images)} oil palms, "
            "two strips across the one mosaic that there is; no ground of theirs was learnt from. The same "
            "plantation, camera and day: other crops and places are not measured.",
            "",
            "| | count error per tile | count over all | AP50 (at most 100 boxes a tile) | "
            "false plants per image of fields | ms per tile |",
            "|---|---|---|---|---|---|",
            f"| `{detector.description.sha256[:8]}` | {tree['count_error']:.1%} ({low:.1%} to {high:.1%}) | "
            f"{tree['count_bias']:+.1%} | {tree['ap50']:.3f} | {alarms.get('per_image', '–')} "
            f"({len(bare)} images) | {tree['cpu_ms_per_image']:.0f} |",
            "| goal | 6 % | | | | |",
        ]
    )


def _edges(values: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = values
    return x0, y0, x1, y1
