"""`skywarden models evaluate`: a model against a labelled folder."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from skywarden.errors import UsageError

Folders = Annotated[tuple[Path, ...], Parameter(name="--folder", negative="")]
Providers = Annotated[tuple[str, ...], Parameter(name="--provider", negative="")]

_SHOWN = (
    "images",
    "objects",
    "ap50",
    "ap50_95",
    "ap30",
    "recall_at_1fp",
    "recall_at_25_boxes",
    "field_iou",
    "boundary_f1",
    "instance_ap50",
    "count_error",
    "cpu_ms_per_image",
)


def evaluate(
    model: str,
    dataset: Path,
    *,
    kind: Literal["coco", "voc", "yolo", "via", "empty"] | None = None,
    split: str | None = None,
    names: str = "",
    map: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    empty: Path | None = None,
    tiles: float | None = None,
    flips: int | None = None,
    limit: int | None = None,
    sheet: Path | None = None,
    folder: Folders = (),
    provider: Providers = (),
    threads: int = 1,
    json: bool = False,
) -> int:
    """Measure a model on a labelled image folder: COCO, Pascal VOC, YOLO, or VIA polygons.

    Boxes: average precision at overlaps of 0.5, 0.5 to 0.95 and 0.3, recall at one false alarm per image and
    with 25 boxes per image, by size; false alarms on images without objects; whether scores mean what they
    say; how far counts are off. Areas: overlap, boundary F1 at 3 px, average precision of single areas.
    Numbers are COCO's (at most 100 boxes per image; counts are of all), from score 0.001 on. Exits with 3
    when images could not be read.

    For example:

        skywarden models evaluate vessel-nadir ./ships --json
        skywarden models evaluate boats ./set --map boat=vessel --sheet sheet.png
        skywarden models evaluate boats ./yolo --names swimmer,boat --empty ./fields

    Parameters
    ----------
    model
        A name from `models list`, a folder with a model.toml, or an ONNX file.
    dataset
        The folder, or one COCO file.
    kind
        Which format, where a folder could be read in two ways; empty takes all images as without objects.
    split
        test, val or train, where a set has them; else the first of these that is there.
    names
        Class names of a YOLO set in order, by comma, where none are beside it.
    map
        CLASS=LABEL: a class of the set is this label of the model. May be given more than once.
    empty
        A folder of images without any object: false alarms are counted there too.
    tiles
        Look in tiles, at this many pixels of the network for each of the image, instead of at the whole.
    flips
        Average 2 or 4 mirrored looks, for models whose answer is maps; costs as many times the time.
    limit
        At most so many images, evenly spaced.
    sheet
        Write a picture of misses, false alarms and hits; of areas, outlines over the worst images.
    folder
        A further folder of models.
    provider
        Execution provider in order of preference.
    threads
        Threads of one inference.
    json
        Print one object.
    """
    from models.catalogue import load_detector, resolve
    from models.evaluation.area_sheet import area_sheet
    from models.evaluation.contact_sheet import contact_sheet
    from models.evaluation.pictures import require_picture_name, write_image
    from models.evaluation.reading import read_dataset
    from models.evaluation.run import LEAST_SCORE, alarms_on_empty, look_at
    from models.evaluation.run import evaluate as figures_of
    from skywarden.progress import progress_bar

    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least one image")
    if sheet is not None:
        require_picture_name(sheet)
    description, _ = resolve(model, folder)
    least = description.threshold if description.task == "segment" else LEAST_SCORE
    network = load_detector(
        model, folders=folder, providers=provider or ("cpu",), threads=threads, threshold=least
    )
    if flips is not None:
        network.set_flips(flips)
    detector = network if tiles is None else _tiled(network, tiles)
    listed = [one.strip() for one in names.split(",") if one.strip()]
    labelled = read_dataset(dataset, kind=kind, split=split, names=listed).thinned(limit)
    with progress_bar("evaluate", is_quiet=json) as report:
        looked = look_at(detector, labelled, mapping=dict(_pair(one) for one in map), progress=report)
        figures = figures_of(looked, task=description.task, threshold=description.threshold)
        if empty is not None and description.task != "segment":
            without = read_dataset(empty, kind="empty").thinned(limit)
            alarms = look_at(detector, without, progress=report)
            figures["false_alarms_on_empty"] = alarms_on_empty(alarms, figures, description.threshold)
    tree = {"name": description.name, "sha256": description.sha256, **figures}
    if sheet is not None:
        areas = description.task == "segment"
        write_image(sheet, area_sheet(looked) if areas else contact_sheet(looked, description.threshold))
    for line in looked.failed:
        sys.stderr.write(f"skywarden: {line}\n")
    _print(tree, json)
    return 3 if looked.failed else 0


def _tiled(network: Any, scale: float) -> Any:
    from models.tiling.detector import TiledDetector

    if network.is_seamless:
        network.set_scale(scale)
        return network
    return TiledDetector.everywhere(network, scale=scale)


def _pair(text: str) -> tuple[str, str]:
    name, equals, label = text.partition("=")
    if not (name and equals and label):
        raise UsageError(f"--map {text[:60]!r}: say CLASS=LABEL, as in boat=vessel")
    return name, label


def _print(tree: dict[str, Any], json: bool) -> None:
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
        return
    print(f"{tree['name']} on {tree['dataset']} ({tree['kind']})")
    for key in _SHOWN:
        if tree.get(key) is not None:
            limits = tree.get(f"{key}_interval")
            print(f"  {key:20} {tree[key]}" + (f"  ({limits[0]} to {limits[1]})" if limits else ""))
    for size, figures in (tree.get("by_size") or {}).items():
        shown = ", ".join(f"{key} {figures[key]}" for key in ("objects", "ap50", "ap50_95", "recall_at_1fp"))
        print(f"  {size:20} {shown}")
    alarms = tree.get("false_alarms_on_empty") or tree.get("false_alarms")
    if alarms:
        print(f"  false alarms         {alarms['per_image']} per image on {alarms['images']} without objects")
    calibration = tree.get("calibration")
    if calibration:
        print(f"  score error          {calibration['error']}, temperature {calibration['temperature']}")
    for note in tree["notes"]:
        print(f"  note: {note}")
