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
from sim.accuracy.section import Section

MOST_IMAGES = 60
"""Of one set, evenly spaced: the whole part stays near a minute for half a dozen models."""

_SETS = (
    ("ships", "Overhead: ships621"),
    ("drone", "From a drone: SeaDronesSee, boats"),
    ("side", "From the side"),
)
_GOALS = {
    "ships": "over 24 px AP50 0.995, AP50-95 0.83; all sizes AP50 0.85, AP30 0.95, recall at 1 FP 0.88",
    "drone": "AP50 0.94, recall at 1 FP 0.98",
    "side": "none set",
}


@dataclass(frozen=True, kw_only=True)
class _Model:
    name: str
    threshold: float
    detector: NetworkDetector


def section(data: Path, scratch: Path) -> Section:
    """The part of the page about detectors."""
    sets, how = _held_back(data / "imagery")
    models = list(_models(data / "onnx", scratch))
    figures: dict[tuple[str, str], dict[str, Any]] = {}
    for model in models:
        empty = look_at(model.detector, sets["land"])
        for key, _ in _SETS:
            looked = look_at(model.detector, sets[key])
            tree = evaluate(looked, task="detect", threshold=model.threshold)
            tree["on_land"] = alarms_on_empty(empty, tree, model.threshold)
            figures[model.name, key] = tree
    parts = [_introduction(how, len(sets["land"].images))]
    for key, title in _SETS:
        parts += [
            f"### {title}",
            _table(models, key, figures),
            f"Goal: {_GOALS[key]}.",
            _calibration(key, figures),
        ]
    return Section(title="Detectors", text="\n\n".join(part for part in parts if part))


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
        if entry.is_present and entry.description.task == "detect":
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
        strides = "" if "nanodet" not in stem else "\n[gfl]\nstrides = [8, 16, 32]\n"
        text = describe_foreign(data, str(path), wish, file_name=path.name)
        (made / "model.toml").write_text(
            text.replace("\n[golden]", f"{strides}\n[golden]", 1), encoding="utf-8"
        )
        (made / path.name).write_bytes(data)
        yield _loaded(f"{name} (public)", str(made), 0.3)


def _loaded(name: str, place: str, threshold: float) -> _Model:
    detector = load_detector(place, threshold=LEAST_SCORE)
    # Which file it was, so that a page made before a model was trained anew shows it.
    shown = f"{name} `{detector.description.sha256[:8]}`"
    return _Model(name=shown, threshold=threshold, detector=detector)


def _held_back(imagery: Path) -> tuple[dict[str, Dataset], str]:
    """The sets that no model of ours has learnt from, by the split that training itself uses."""
    from models.training.sample import IGNORED
    from models.training.vessels import read_vessel_data

    held = read_vessel_data(imagery).held
    sets = {}
    for key, samples in held.items():
        images = []
        for sample in samples:
            objects = [
                TruthObject(label="boat", box=_edges(box.tolist()), is_ignored=int(number) == IGNORED)
                for box, number in zip(sample.boxes, sample.classes, strict=True)
            ]
            images.append(LabelledImage(path=sample.path, objects=tuple(objects)))
        whole = Dataset(folder=imagery, kind="held back", labels=("boat",), images=tuple(images))
        sets[key] = whole.thinned(MOST_IMAGES)
    return sets, (
        "The images are those that training holds back, drawn by site (`models/training/splits.py`): "
        "near-doubles, frames of one video and neighbouring tiles stay on one side."
    )


def _edges(box: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _table(models: Sequence[_Model], key: str, figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    first = figures[models[0].name, key]
    large = first["by_size"]["over_24px"]["objects"]
    rows = [
        f"{first['images']} images, {first['objects']} boats, {large} of them over 24 px.",
        "",
        "| model | AP50 | AP50-95 | AP30 | recall at 1 FP | over 24 px: AP50 | AP50-95 | "
        "false alarms on land | ms |",
        "|---|---|---|---|---|---|---|---|---|",
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
