"""How good the detectors are: every model on every labelled set, on images that no model learnt from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.catalogue import find_models, load_detector
from models.evaluation.dataset import Dataset, LabelledImage, TruthObject
from models.evaluation.run import LEAST_SCORE, alarms_on_empty, evaluate, look_at
from models.intake.foreign import Wishes, describe_foreign
from models.network import NetworkDetector
from models.session import read_model
from models.training.sample import IGNORED, Sample
from sim.accuracy.section import Section

MOST_IMAGES = 60
"""Of one set, evenly spaced: the whole part stays near a minute for half a dozen models."""
MOST_MADE = 40
"""Of a set that is made from another."""
CURVE = "curve.json"
EIGHT = "eight.json"

_SETS = (
    ("ships", "Overhead: ships621"),
    ("drone", "From a drone: SeaDronesSee, boats"),
    ("side", "From the side"),
    ("aslant", "Aslant: ships621, tilted by 30 to 70 degrees"),
    ("thermal", "Thermal: ships621 shown as thermal"),
)
_GOALS = {
    "ships": "over 24 px AP50 0.995, AP50-95 0.83; all sizes AP50 0.85, AP30 0.95, recall at 1 FP 0.88",
    "drone": "AP50 0.94, recall at 1 FP 0.98",
    "side": "none set",
    "aslant": "recall with 25 boxes 0.70 in real harbours and open water; none with labels is here",
    "thermal": "none set",
}
_MADE_OF = {
    "aslant": "No labelled set aslant is at hand. These are the held-back overhead images, warped as a "
    "camera aslant sees that plane: foreshortened and crowded, but nothing stands up.",
    "thermal": "No thermal image of a vessel is at hand. These are the held-back day images with warmth "
    "drawn at random (`models/training/rendered/thermal.py`); only the land, thermal streets, is real. The "
    "day model stands beside for comparison.",
}


@dataclass(frozen=True, kw_only=True)
class _Model:
    name: str
    threshold: float
    detector: NetworkDetector
    is_thermal: bool = False

    def is_for(self, key: str) -> bool:
        """Whether it is judged on a set: thermal models on thermal ones, and the nadir model beside them."""
        if key == "thermal":
            return self.is_thermal or self.name.startswith("vessel-nadir")
        return not self.is_thermal


def section(data: Path, scratch: Path) -> Section:
    """The part of the page about detectors."""
    sets, empty, how = _held_back(data / "imagery", scratch)
    models = list(_models(data / "onnx", scratch))
    figures: dict[tuple[str, str], dict[str, Any]] = {}
    for model in models:
        seen = {key: look_at(model.detector, land) for key, land in empty.items() if model.is_for(key)}
        for key, _ in _SETS:
            if not model.is_for(key):
                continue
            looked = look_at(model.detector, sets[key])
            tree = evaluate(looked, task="detect", threshold=model.threshold)
            tree["on_land"] = alarms_on_empty(seen[_land_of(key)], tree, model.threshold)
            figures[model.name, key] = tree
    parts = [_introduction(how, len(empty["day"].images))]
    for key, title in _SETS:
        shown = [model for model in models if model.is_for(key)]
        if shown:
            parts += [
                f"### {title}",
                _MADE_OF.get(key, ""),
                _table(shown, key, figures),
                f"Goal: {_GOALS[key]}.",
                _calibration(key, figures),
            ]
    parts += _curve()
    parts += _eight()
    return Section(title="Detectors", text="\n\n".join(part for part in parts if part))


def _land_of(key: str) -> str:
    return "thermal" if key == "thermal" else "day"


def _introduction(how: str, land_count: int) -> str:
    return (
        "Average precision as COCO defines it (pycocotools referees ours in the tests), at most 100 boxes "
        "per image; `recall at 1 FP`: found at one false alarm per image on average. "
        f"{how} At most {MOST_IMAGES} images of a set, evenly spaced; each whole image once, as the model's "
        "own input takes it, no tiles. Intervals are 95 % bootstraps over images. `false alarms on land` are "
        f"boxes per image on {land_count} images of fields, woods, plantations and thermal streets without "
        "any boat, at the score that finds 80 % of all boats (in brackets: of those over 24 px) of the set; "
        "a dash: the model never finds so many. `ms` is processor time of a whole detection on a shared "
        "machine: compare, do not quote. Public COCO detectors answer as `boat` only. The anomaly detector "
        "learnt nothing and names nothing: every boat is an anomaly to it, and so is much else."
    )


def _models(folder: Path, scratch: Path) -> Iterable[_Model]:
    """Ours from the zoo that detect, then the public COCO detectors, described as an agency would its own."""
    for entry in find_models().entries:
        finds = set(entry.description.allow.values()) & {"vessel", "anomaly"}
        if entry.is_present and entry.description.task == "detect" and finds:
            yield _loaded(entry.description.name, str(entry.folder), entry.description.threshold)
    names = tuple((folder / "coco80.names").read_text(encoding="utf-8").split("\n"))
    labels = tuple(name.strip() for name in names if name.strip())
    wishes = {
        "picodet_s_416_coco": Wishes(name="", decode="gfl", normalise="imagenet", channels="rgb"),
        "nanodet_m_416_coco": Wishes(name="", decode="gfl", normalise="imagenet"),
        "yolox_nano_416_coco": Wishes(name="", decode="yolox"),
        "fastestdet_352_coco": Wishes(name="", decode="fastestdet", normalise="255"),
    }
    for stem, said in wishes.items():
        path = folder / f"{stem}.onnx"
        if not path.is_file():
            continue
        name = stem.replace("_", "-")
        made = scratch / name
        made.mkdir()
        wish = replace(said, name=name, labels=labels, allow={"boat": "vessel"})
        data = read_model(path)
        text = describe_foreign(data, str(path), wish, file_name=path.name)
        (made / "model.toml").write_text(text, encoding="utf-8")
        (made / path.name).write_bytes(data)
        yield _loaded(f"{name} (public)", str(made), 0.3)


def _loaded(name: str, place: str, threshold: float) -> _Model:
    detector = load_detector(place, threshold=LEAST_SCORE)
    # Which file it was, so that a page made before a model was trained anew shows it.
    shown = f"{name} `{detector.description.sha256[:8]}`"
    return _Model(name=shown, threshold=threshold, detector=detector, is_thermal="thermal" in name)


def _held_back(imagery: Path, scratch: Path) -> tuple[dict[str, Dataset], dict[str, Dataset], str]:
    """The sets that no model of ours has learnt from, by the split that training itself uses; land without
    vessels, by day and thermal; and a sentence about them."""
    from models.training.rendered.aslant import write_aslant
    from models.training.rendered.thermal import write_as_thermal
    from models.training.vessels import SETS, read_set

    held = {name: read_set(imagery, name).held for name in SETS}
    few = [held["ships"][at] for at in _evenly(len(held["ships"]), MOST_MADE)]
    held["aslant"] = write_aslant(few, scratch / "aslant")
    held["thermal"] = write_as_thermal(few, scratch / "as-thermal")
    streets = [sample for sample in held["land"] if sample.site.startswith("hituav")]
    sets = {key: _dataset(imagery, held[key]) for key, _ in _SETS}
    empty = {"day": _dataset(imagery, held["land"]), "thermal": _dataset(imagery, streets)}
    return (
        sets,
        empty,
        (
            "The images are those that training holds back, drawn by site (`models/training/splits.py`): "
            "near-doubles, frames of one video and neighbouring tiles stay on one side. Where "
            "thresholds and candidates were chosen, the cards say."
        ),
    )


def _evenly(count: int, most: int) -> list[int]:
    return [at * count // most for at in range(most)] if count > most else list(range(count))


def _dataset(imagery: Path, samples: Sequence[Sample]) -> Dataset:
    images = []
    for sample in samples:
        objects = [
            TruthObject(label="boat", box=_edges(box.tolist()), is_ignored=int(number) == IGNORED)
            for box, number in zip(sample.boxes, sample.classes, strict=True)
        ]
        images.append(LabelledImage(path=sample.path, objects=tuple(objects)))
    whole = Dataset(folder=imagery, kind="held back", labels=("boat",), images=tuple(images))
    return whole.thinned(MOST_IMAGES)


def _curve() -> list[str]:
    """The learning curves that training left beside models of the zoo."""
    from models.training.choosing.curve import read_curve

    parts = []
    for entry in find_models().entries:
        path = Path(str(entry.folder)) / CURVE
        if not path.is_file():
            continue
        rows = [
            f"| {row['crops']:.0f} | {row['ap50']:.3f} | {row['ap50_over_24px']:.3f} "
            f"| {row['recall_at_1fp']:.3f} |"
            for row in read_curve(path)
        ]
        parts += [
            f"### Learning curve of {entry.description.name}",
            "Checkpoints of its training, averaged weights, on all held-back ships (62 images), counted as "
            "`python -m models.training curve` does. Not the last but the best of them flies.",
            "\n".join(["| crops seen | AP50 | over 24 px | recall at 1 FP |", "|---|---|---|---|", *rows]),
        ]
    return parts


def _edges(box: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _table(models: Sequence[_Model], key: str, figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    first = figures[models[0].name, key]
    large = first["by_size"]["over_24px"]["objects"]
    rows = [
        f"{first['images']} images, {first['objects']} boats, {large} of them over 24 px.",
        "",
        "| model | AP50 | AP50-95 | AP30 | recall at 1 FP | recall, 25 boxes | over 24 px: AP50 | AP50-95 | "
        "false alarms on land | ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model in models:
        tree = figures[model.name, key]
        over = tree["by_size"]["over_24px"]
        land = tree["on_land"] or {}
        cells = [
            model.name,
            _with(tree["ap50"], tree.get("ap50_interval")),
            _shown(tree["ap50_95"]),
            _shown(tree["ap30"]),
            _with(tree["recall_at_1fp"], tree.get("recall_at_1fp_interval")),
            _shown(tree["recall_at_25_boxes"]),
            _shown(over["ap50"]),
            _shown(over["ap50_95"]),
            f"{_shown(land.get('at_80_recall'))} ({_shown(land.get('at_80_recall_over_24px'))})",
            f"{tree['cpu_ms_per_image']:.0f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _calibration(key: str, figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    said = [
        f"{name} {tree['calibration']['error_before']:.2f} to {tree['calibration']['error_after']:.2f} "
        f"(T {tree['calibration']['temperature']:.2f})"
        for (name, where), tree in figures.items()
        if where == key and tree.get("calibration")
    ]
    if not said:
        return ""
    return (
        "How far scores are from shares of hits (expected calibration error), before and after a temperature "
        f"found on the other half of the images: {'; '.join(said)}."
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 1.0 else f"{value:.2f}"


def _with(value: float | None, limits: Sequence[float] | None) -> str:
    return _shown(value) if limits is None else f"{_shown(value)} ({limits[0]:.2f} to {limits[1]:.2f})"


def _eight() -> list[str]:
    """What eight bits cost and gain, where training left that beside a model of the zoo."""
    from models.training.eight.told import read_compared

    parts = []
    for entry in find_models().entries:
        path = Path(str(entry.folder)) / EIGHT
        if not path.is_file():
            continue
        rows = [
            f"| {row['name']} | {row['bytes'] / 1e6:.1f} | {row['ap50']:.3f} | {row['ap50_over_12']:.3f} "
            f"| {row['ap50_over_24']:.3f} | {row['ap50_95_over_24']:.3f} | {row['recall_at_1fp']:.3f} "
            f"| {row['speed']:.2f} |"
            for row in read_compared(path)
        ]
        parts += [
            f"### Eight bits: {entry.description.name}",
            "Files judged on all held-back ships and timed in turns (bare network, one thread, processor "
            "time) by `python -m models.training eight compare`; speed against the first. Goal: 1 point "
            "lost at 1.8 times the speed. How each was made, and what is missing: docs/training.md.",
            "| file | MB | AP50 | over 12 px | over 24 px | AP50-95 over 24 px | recall at 1 FP | speed |\n"
            "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows),
        ]
    return parts
