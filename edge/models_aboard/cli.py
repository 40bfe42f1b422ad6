"""`skywarden edge model`: which models fly, and another one in flight, on the companion computer."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from skywarden.errors import ConfigError, ModelError
from skywarden.times import rfc3339

if TYPE_CHECKING:
    from edge.models_aboard.control_socket import Answer

model = App(
    name="model",
    help="""The models of a worker that runs: which fly, try another one, let it take over, go back.

For example:

    skywarden edge model status
    skywarden edge model stage /media/stick/harbour-model --wait
    skywarden edge model promote
    skywarden edge model rollback
""",
    default_parameter=Parameter(negative=()),
)

Config = Annotated[Path | None, Parameter(name="--config")]

_POLL_S = 0.5


@model.command(name="list")
def list_models(*, config: Config = None, json: bool = False) -> int:
    """List the models that can be staged by name: the package's and those staged before.

    Needs no running worker. Exits with 3 when a description is broken.

    For example:

        skywarden edge model list
        skywarden edge model list --config edge.toml --json

    Parameters
    ----------
    config
        The platform's TOML file; when not given, where `skywarden edge run` looks for it.
    json
        Print a list of objects with name, model_id, task, labels, place and is_present.
    """
    from edge.models_aboard.shelf import SHELF, Shelf
    from models.catalogue import ZOO

    found = Shelf(_state(config) / "models" / SHELF).catalogue()
    rows = [
        {
            "name": entry.description.name,
            "model_id": entry.description.model_id,
            "task": entry.description.task,
            "version": entry.description.version,
            "labels": list(entry.description.allowed_labels),
            "place": "package" if entry.folder.is_relative_to(ZOO) else "staged",
            "is_present": entry.is_present,
        }
        for entry in found.entries
    ]
    if json:
        _print_json(rows)
    else:
        for row in rows:
            there = "" if row["is_present"] else "  (its file is not here)"
            sys.stdout.write(f"{row['model_id']:<40} {row['place']:<8} {row['task']}{there}\n")
    for place, why in found.broken:
        sys.stderr.write(f"skywarden: {place}: {why}\n")
    return 3 if found.broken else 0


@model.command
def status(*, config: Config = None, json: bool = False) -> int:
    """Show which model flies in each detector, what is staged beside it and how it does there.

    For example:

        skywarden edge model status
        skywarden edge model status --json

    Exits with 69 when no worker runs.

    Parameters
    ----------
    config
        The platform's TOML file; when not given, where `skywarden edge run` looks for it.
    json
        Print one JSON object: `detectors` with sensor, detector, state, model_id, since, candidate_id,
        comparison, refusal, before_id, fault, look_count.
    """
    answer = _asked(config, "status")
    _show(answer, as_json=json)
    return 0


@model.command
def stage(
    model: str,
    *,
    sensor: str = "",
    detector: str = "",
    wait: bool = False,
    config: Config = None,
    json: bool = False,
) -> int:
    """Check a model, load it, and let it look in the shadow of the one that flies; nothing it says leaves.

    Its signature is checked first (by `trusted_keys` of the configuration), then its structure and the golden
    image. A folder is copied into the worker's own, so that the stick it came on may go.

    For example:

        skywarden edge model stage vessel-nadir
        skywarden edge model stage /media/stick/harbour-model --sensor eo --detector vessel-oblique --wait

    Exits with 1 when it is refused, 69 when no worker runs.

    Parameters
    ----------
    model
        A name that `skywarden edge model list` shows, or a folder with `model.toml`.
    sensor
        For which camera; may be left out where there is one.
    detector
        In whose place; may be left out where the camera has one detector.
    wait
        Return when the shadow has come to a verdict; exits with 1 when it speaks against the model.
    config
        The platform's TOML file; when not given, where `skywarden edge run` looks for it.
    json
        Print one JSON object: `is_done`, `text` and `detectors`.
    """
    place = str(Path(model).resolve()) if "/" in model or Path(model).is_dir() else model
    answer = _asked(config, "stage", sensor=sensor, detector=detector, model=place)
    if wait and answer.is_done:
        answer = _verdict(config, sensor, detector)
    return _end(answer, as_json=json)


@model.command
def promote(
    *, sensor: str = "", detector: str = "", force: bool = False, config: Config = None, json: bool = False
) -> int:
    """Put the staged model in charge from the next frame on; the old one stays loaded until that has settled.

    Refused while the shadow has not seen enough, and when it speaks against the model (limits: `swap` of the
    configuration).

    For example:

        skywarden edge model promote
        skywarden edge model promote --detector vessel-oblique --force

    Exits with 1 when it is refused, 69 when no worker runs.

    Parameters
    ----------
    sensor
        Of which camera; may be left out where there is one.
    detector
        In whose place; may be left out where the camera has one detector.
    force
        Promote it against the shadow's verdict, or before there is one.
    config
        The platform's TOML file; when not given, where `skywarden edge run` looks for it.
    json
        Print one JSON object: `is_done`, `text` and `detectors`.
    """
    return _end(_asked(config, "promote", sensor=sensor, detector=detector, force=force), as_json=json)


@model.command
def rollback(*, sensor: str = "", detector: str = "", config: Config = None, json: bool = False) -> int:
    """Go back: a staged model is let go; else the model of before flies again.

    For example:

        skywarden edge model rollback
        skywarden edge model rollback --sensor eo --detector anomaly --json

    Exits with 1 when there is none to go back to, 69 when no worker runs.

    Parameters
    ----------
    sensor
        Of which camera; may be left out where there is one.
    detector
        In whose place; may be left out where the camera has one detector.
    config
        The platform's TOML file; when not given, where `skywarden edge run` looks for it.
    json
        Print one JSON object: `is_done`, `text` and `detectors`.
    """
    return _end(_asked(config, "rollback", sensor=sensor, detector=detector), as_json=json)


def _asked(config: Path | None, ask: str, **words: object) -> "Answer":
    from edge.models_aboard.control_socket import Question, ask_worker

    return ask_worker(_state(config), msgspec.convert({"ask": ask, **words}, Question))


def _verdict(config: Path | None, sensor: str, detector: str) -> "Answer":
    """Ask until the shadow has ended."""
    while True:
        answer = _asked(config, "status")
        own = [
            one
            for one in answer.detectors
            if sensor in ("", one.sensor) and detector in ("", one.detector) and one.state == "shadow"
        ]
        if not own:
            return _judged(answer, sensor, detector)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{own[0].comparison[:150]:<150}")
        time.sleep(_POLL_S)


def _judged(answer: "Answer", sensor: str, detector: str) -> "Answer":
    own = [one for one in answer.detectors if sensor in ("", one.sensor) and detector in ("", one.detector)]
    is_good = any(one.state in ("ready", "probation") for one in own)
    against = next(
        (one.refusal for one in own if one.refusal), "the staged model is gone; see the worker's log"
    )
    ready = next((one.comparison for one in own if one.state == "ready"), "it flies")
    return msgspec.structs.replace(answer, is_done=is_good, text=ready if is_good else against)


def _end(answer: "Answer", *, as_json: bool) -> int:
    if as_json:
        _show(answer, as_json=True)
        return 0 if answer.is_done else 1
    if not answer.is_done:
        raise ModelError(answer.text)
    sys.stdout.write(f"{answer.text}\n")
    return 0


def _show(answer: "Answer", *, as_json: bool) -> None:
    if as_json:
        tree = msgspec.to_builtins(answer)
        for one in tree["detectors"]:
            one["since"] = rfc3339(one.pop("since_ns"))
        _print_json(tree)
        return
    for one in answer.detectors:
        sys.stdout.write(f"{one.sensor}/{one.detector}: {one.model_id or 'no model'} ({one.state})\n")
        for name, value in (
            ("since", f"{rfc3339(one.since_ns)}, {one.reason}"),
            ("staged", one.candidate_id),
            ("shadow", one.comparison),
            ("refused", one.refusal),
            ("before it", one.before_id),
            ("fault", one.fault),
        ):
            if value:
                sys.stdout.write(f"    {name:<10} {value}\n")


def _state(config: Path | None) -> Path:
    from edge.config import EdgeConfig
    from edge.models_aboard.control_socket import state_of
    from skywarden.config import find_config, load_config
    from skywarden.doctor import default_state_dir

    place = config or find_config("edge.toml")
    if place is None:
        raise ConfigError("no configuration: name the worker's TOML file with --config")
    settings = load_config(EdgeConfig, place, prefix="edge")
    return state_of(settings.state, default_state_dir() / "edge" / settings.platform_id)


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
