"""`skywarden models`: list, check, run on images, evaluate, bench, describe, sign, verify, harvest."""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from models.evaluation.cli import evaluate
from models.intake.cli import describe, sign, verify
from skywarden.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from models.detection import DetectionBatch
    from models.network import NetworkDetector

app = App(
    name="models",
    help="""Detectors: list them, check them, run them on images, measure them.

For example:

    skywarden models list
    skywarden models check anomaly
    skywarden models run anomaly frames/*.jpg --out drawn
    skywarden models evaluate anomaly ./ships --json
    skywarden models bench anomaly --width 1920 --height 1080
""",
    default_parameter=Parameter(negative=()),
)

Folders = Annotated[tuple[Path, ...], Parameter(name="--folder", negative="")]
Providers = Annotated[tuple[str, ...], Parameter(name="--provider", negative="")]

for _command in (evaluate, describe, sign, verify):
    app.command(_command)
# Reads the ground's store, which models may not know: by name, imported only when it is asked for.
app.command(
    "sim.harvest:harvest",
    name="harvest",
    help="""Write reviewed and uncertain sightings of a ground station as a COCO set, to train on.

Confirmed sightings become objects, rejected ones images without any; what nobody has judged and the model
was unsure of goes into a file of its own, to be labelled. Previews are left out. No name of a person is
written. Exits with 3 when there was nothing to write.

For example:

    skywarden models harvest /var/lib/skywarden --out ./harvest
    skywarden models harvest ./state --out ./harvest --uncertain 0.2 0.6 --json
""",
)


@app.command(name="list")
def list_models(*, folder: Folders = (), json: bool = False) -> int:
    """List every model that is described in the package and in further folders.

    Exits with 3 when a description is broken.

    For example:

        skywarden models list
        skywarden models list --folder ./my-models --json

    Parameters
    ----------
    folder
        A further folder of models (`NAME/model.toml`); may be given more than once, comes before the
        package's.
    json
        Print a list of objects with name, task, sha256 and more.
    """
    from models.catalogue import find_models

    catalogue = find_models(folder)
    rows = [
        {
            "name": entry.description.name,
            "task": entry.description.task,
            "version": entry.description.version,
            "sha256": entry.description.sha256,
            "labels": list(entry.description.allowed_labels),
            "licence": entry.description.licence,
            "summary": entry.description.summary,
            "file": str(entry.file),
            "is_present": entry.is_present,
        }
        for entry in catalogue.entries
    ]
    if json:
        _print_json(rows)
    else:
        _print_table(rows)
    for place, why in catalogue.broken:
        sys.stderr.write(f"skywarden: {place}: {why}\n")
    return 3 if catalogue.broken else 0


@app.command
def check(
    model: str,
    *,
    folder: Folders = (),
    provider: Providers = (),
    threads: int = 1,
    trust: str | None = None,
    json: bool = False,
) -> int:
    """Load a model as the edge would; exits with 1 and says what is wrong.

    For example:

        skywarden models check anomaly
        skywarden models check ./my-model --provider auto --trust agency.pub

    Parameters
    ----------
    model
        A name from `models list`, a folder with a model.toml, or an ONNX file.
    folder
        A further folder of models.
    provider
        Execution provider in order of preference: tensorrt, cuda, openvino, coreml, xnnpack, cpu, or auto.
    threads
        Threads of one inference; 0 is all cores but one.
    trust
        Public keys (swev1:...), or a file of them: refuse a model that none of them has signed.
    json
        Print one object.
    """
    detector = _load(model, folder, provider, threads, trust)
    report = {
        "name": detector.description.name,
        "model_id": detector.model_id,
        "sha256": detector.description.sha256,
        "labels": list(detector.labels),
        "task": detector.description.task,
        "threads": detector.threads,
        "providers": list(detector.provider_report.used),
        "refused": dict(detector.provider_report.refused),
        "is_ok": True,
    }
    if json:
        _print_json(report)
    else:
        print(
            f"{detector.model_id}: sha256, inputs, outputs and golden image are right; "
            f"{detector.provider_report}"
        )
    return 0


@app.command
def run(
    model: str,
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    *,
    out: Path | None = None,
    folder: Folders = (),
    provider: Providers = (),
    threads: int = 1,
    json: bool = False,
) -> int:
    """Detect in image files. Exits with 3 when an image could not be read; the others are still done.

    For example:

        skywarden models run anomaly frames/*.jpg --out drawn
        skywarden models run ./my-model frame.png --json

    Parameters
    ----------
    model
        A name from `models list`, a folder with a model.toml, or an ONNX file.
    images
        Image files.
    out
        Write each image with its boxes drawn into this folder, as PNG.
    folder
        A further folder of models.
    provider
        Execution provider in order of preference.
    threads
        Threads of one inference.
    json
        One JSON object per image and line.
    """
    from models.evaluation.pictures import read_image

    if not images:
        raise UsageError("no image given; name one or more files")
    detector = _load(model, folder, provider, threads)
    unread, drawn = 0, Counter[str]()
    for path in images:
        try:
            image = read_image(path)
            batch = detector.detect(image)
        except InputError as error:
            if isinstance(error, ModelError):
                raise
            unread += 1
            sys.stderr.write(f"skywarden: {error}\n")
            continue
        if out is not None:
            drawn[path.stem] += 1  # of two folders' frames of one name, none overwrites the other
            _draw(image, batch, out / f"{path.stem}{f'-{n}' if (n := drawn[path.stem]) > 1 else ''}.png")
        _print_batch(path, detector, batch, json)
    return 3 if unread else 0


@app.command
def bench(
    model: str,
    *,
    width: int = 1920,
    height: int = 1080,
    rounds: int = 20,
    folder: Folders = (),
    provider: Providers = (),
    threads: int = 1,
    json: bool = False,
) -> int:
    """Measure one model on this machine: whole detection and the bare network, interleaved, medians.

    For example:

        skywarden models bench anomaly
        skywarden models bench anomaly --width 1280 --height 720 --threads 2

    Parameters
    ----------
    model
        A name from `models list`, a folder with a model.toml, or an ONNX file.
    width
        Of the made-up frame, in pixels.
    height
        Of the made-up frame, in pixels.
    rounds
        How often each is measured.
    folder
        A further folder of models.
    provider
        Execution provider in order of preference.
    threads
        Threads of one inference.
    json
        Print one object.
    """
    from models.speed import measure_detector

    if not (1 <= rounds <= 10_000 and 16 <= width <= 16_384 and 16 <= height <= 16_384):
        raise UsageError(f"{rounds} rounds at {width} x {height}; 1 to 10000 rounds, sides 16 to 16384 px")
    figures = measure_detector(_load(model, folder, provider, threads), (width, height), rounds)
    if json:
        _print_json(figures)
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    return 0


@app.command
def golden(model: str, *, folder: Folders = ()) -> int:
    """Print the sha256 and the [golden] section for a model.toml, as this machine computes them now.

    For example:

        skywarden models golden ./my-model >> my-model/model.toml

    Parameters
    ----------
    model
        A folder with a model.toml whose sha256 or golden section is to be renewed.
    folder
        A further folder of models.
    """
    from models.catalogue import resolve
    from models.golden import as_toml, measure
    from models.letterbox import make_fit
    from models.session import ModelSession, read_model, sha256_of

    description, file = resolve(model, folder)
    data = read_model(file)
    session = ModelSession(data, origin=str(file))
    print(f'sha256 = "{sha256_of(data)}"\n')
    print(as_toml(measure(session, make_fit(description.input)), description.golden.tolerance), end="")
    return 0


def _load(
    model: str,
    folder: tuple[Path, ...],
    provider: tuple[str, ...],
    threads: int,
    trust: str | None = None,
) -> "NetworkDetector":
    from models.catalogue import load_detector
    from models.intake.manifest import Trust, trusted_keys

    trusted = None if trust is None else Trust(keys=trusted_keys(trust), now_ns=time.time_ns())
    return load_detector(
        model, folders=folder, providers=provider or ("cpu",), threads=threads, trust=trusted
    )


def _draw(image: Any, batch: "DetectionBatch", path: Path) -> None:
    import cv2
    import numpy as np

    from models.evaluation.pictures import write_image

    drawn = image.copy()
    for at, (box, score, label) in enumerate(zip(batch.box_px, batch.score, batch.label_index, strict=True)):
        rings = _rings(batch, at)
        x0, y0, x1, y1 = (round(float(edge)) for edge in box)
        if rings:
            cv2.polylines(drawn, [np.round(ring).astype(np.int32) for ring in rings], True, (0, 255, 255), 2)
        else:
            cv2.rectangle(drawn, (x0 - 3, y0 - 3), (x1 + 3, y1 + 3), (0, 255, 255), 1)
        text = f"{batch.labels[label]} {score:.2f}"
        cv2.putText(drawn, text, (x0 - 3, y0 - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1)
    write_image(path, drawn)


def _print_batch(path: Path, detector: "NetworkDetector", batch: "DetectionBatch", json: bool) -> None:
    found: list[dict[str, Any]] = [
        {
            "label": batch.labels[label],
            "score": round(float(score), 4),
            "box_px": [round(float(edge), 2) for edge in box],
        }
        for box, score, label in zip(batch.box_px, batch.score, batch.label_index, strict=True)
    ]
    for at, one in enumerate(found):
        if rings := _rings(batch, at):
            one["rings_px"] = [[[round(x, 2), round(y, 2)] for x, y in ring.tolist()] for ring in rings]
    stands = _stands(detector, batch)
    if json:
        line: dict[str, Any] = {"image": str(path), "model_id": detector.model_id, "detections": found}
        if stands is not None:
            line["stands"] = stands
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        return
    print(f"{path}: {len(found)} found")
    for stand in stands or ():
        print(f"  {stand['label']} of {stand['count']}, {stand['spacing_px']} px apart")
    for one in found:
        print(f"  {one['score']:.2f} {one['label']} {one['box_px']}")


def _stands(detector: "NetworkDetector", batch: "DetectionBatch") -> list[dict[str, Any]] | None:
    """Where single plants stand together, for a model whose description says how."""
    from models.plants.stands import stands_of

    rules = detector.description.stand
    if rules is None:
        return None
    return [
        {
            "label": rules.label,
            "count": stand.count,
            "spacing_px": round(stand.spacing_px, 1),
            "irregularity": round(stand.irregularity, 3),
        }
        for stand in stands_of(batch, rules)
    ]


def _rings(batch: "DetectionBatch", at: int) -> tuple[Any, ...]:
    """Corners of a detection's outline, then of its holes; empty where it has a box alone."""
    from models.detection import PolygonShape

    shape = batch.shapes[at] if batch.shapes else None
    return (shape.exterior, *shape.holes) if isinstance(shape, PolygonShape) else ()


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _print_table(rows: list[dict[str, Any]]) -> None:
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        for row in rows:
            state = "present" if row["is_present"] else "absent"
            print(f"{row['name']}\t{row['task']}\t{state}\t{row['sha256']}\t{','.join(row['labels'])}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "task", "file", "sha256", "labels", "what it is"):
        table.add_column(column, overflow="fold")
    for row in rows:
        state = "present" if row["is_present"] else "absent"
        table.add_row(
            row["name"], row["task"], state, row["sha256"][:16], ", ".join(row["labels"]), row["summary"]
        )
    Console().print(table)
