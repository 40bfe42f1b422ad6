"""`skywarden models describe`, `sign` and `verify`: how somebody's own model comes in."""

import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from skywarden.errors import LinkError, ModelError, UsageError

Folders = Annotated[tuple[Path, ...], Parameter(name="--folder", negative="")]


def describe(
    file: Path,
    *,
    name: str | None = None,
    allow: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    labels: str = "",
    decode: str | None = None,
    size: str | None = None,
    threshold: float = 0.3,
    channels: str | None = None,
    normalise: Literal["none", "255", "imagenet"] | None = None,
    licence: str | None = None,
    version: str = "1",
) -> int:
    """Write the model.toml of an ONNX file that somebody else exported, to stdout.

    Classes, size and kind of output are taken from the file's own metadata where it has any (as Ultralytics
    and skywarden export them); what stays open is asked for. Only classes that are allowed ever leave the
    model, under the name that they are given here; people and weapons are never allowed.

    For example:

        skywarden models describe mine.onnx --name boats --allow boat=vessel > model.toml
        skywarden models describe pico.onnx --decode gfl --normalise imagenet --labels boat,buoy

    Parameters
    ----------
    file
        The ONNX file; put it and the model.toml into a folder of the model's name.
    name
        Of the model; else made of the file's.
    allow
        CLASS=LABEL: a class that may leave, and as what. May be given more than once.
    labels
        All classes in order, by comma, where the file names none.
    decode
        How to read the outputs: yolox, gfl, yolov5, yolov8, end_to_end, detr, fastestdet, segment, classify.
    size
        Of the input, as in 640x640, where the file leaves it free.
    threshold
        Least score that leaves.
    channels
        bgr or rgb.
    normalise
        What is done to 0..255 before the network: none, 255 (divided by it), or imagenet (its mean, spread).
    licence
        Of the model.
    version
        Of the model.
    """
    from models.intake.foreign import Wishes, describe_foreign
    from models.session import read_model

    wishes = Wishes(
        name=name or _name_of(file),
        version=version,
        licence=licence,
        allow=dict(_pair(one) for one in allow),
        labels=tuple(one.strip() for one in labels.split(",") if one.strip()),
        decode=decode,
        threshold=threshold,
        size_px=_size(size),
        channels=channels,
        normalise=normalise,
    )
    sys.stdout.write(describe_foreign(read_model(file), str(file), wishes, file_name=file.name))
    return 0


def sign(
    model: str,
    *,
    key: Path,
    new_key: bool = False,
    expires: date | None = None,
    folder: Folders = (),
) -> int:
    """Sign a model: its file, its description, its classes. Writes model.sig beside its model.toml.

    The model is loaded and its golden image run first: what does not work is not signed. Prints the public
    key that the aircraft must trust.

    For example:

        skywarden models sign ./boats --key agency.key --new-key
        skywarden models sign ./boats --key agency.key --expires 2027-12-31

    Parameters
    ----------
    model
        A folder with a model.toml.
    key
        The file with the secret signing key; it stays with whoever signs and never goes aboard.
    new_key
        Make the key first; the file must not exist.
    expires
        Last day on which the model may be loaded.
    folder
        A further folder of models.
    """
    from models.catalogue import load_detector, resolve
    from models.intake.manifest import SIGNATURE_NAME, manifest_of, sign_manifest
    from skywarden.evidence import create_evidence_key, load_evidence_key

    description, file = resolve(model, folder)
    place = file.parent / "model.toml"
    try:
        signer = create_evidence_key(key) if new_key else load_evidence_key(key)
        description_bytes = place.read_bytes()
    except LinkError as error:
        raise ModelError(str(error)) from error
    except OSError as error:
        raise ModelError(f"{place}: cannot be read ({error.strerror})") from error
    load_detector(model, folders=folder)
    manifest = manifest_of(description, description_bytes, now_ns=time.time_ns(), expires=expires)
    out = place.parent / SIGNATURE_NAME
    out.write_bytes(sign_manifest(manifest, signer))
    until = "" if expires is None else f" until {expires.isoformat()}"
    print(f"{out}: {description.model_id} signed{until} by {signer.public_text}")
    return 0


def verify(model: str, *, trust: str, folder: Folders = (), json: bool = False, package: bool = True) -> int:
    """Check who has signed a model, as the edge does before loading; exits with 1 and says what is wrong.

    For example:

        skywarden models verify ./boats --trust agency.pub
        skywarden models verify ./boats --trust swev1:... --json

    Parameters
    ----------
    model
        A name from `models list`, or a folder with a model.toml.
    trust
        Public keys (swev1:...), or a file of them.
    folder
        A further folder of models.
    json
        Print one object.
    package
        Let models of the package's own zoo pass without a signature; --no-package asks for one there too.
    """
    from models.catalogue import require_signed, resolve
    from models.intake.manifest import SIGNATURE_NAME, Trust, read_envelope, signer_of, trusted_keys
    from models.session import read_model, sha256_of

    trusted = Trust(keys=trusted_keys(trust), now_ns=time.time_ns(), trusts_package=package)
    description, file = resolve(model, folder)
    found = sha256_of(read_model(file))
    if found != description.sha256:
        raise ModelError(f"{file}: its sha256 is {found[:16]}..., described is {description.sha256[:16]}...")
    manifest = require_signed(description, file, found, trusted)
    report: dict[str, Any] = {"name": description.name, "sha256": found, "is_good": True, "signer": None}
    if manifest is not None:
        signer = signer_of(read_envelope(file.parent / SIGNATURE_NAME), trusted)
        report |= {"signer": signer, "signed_on": manifest.signed_on, "expires": manifest.expires}
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    elif manifest is None:
        print(f"{description.model_id}: is the package's own, sha256 as described")
    else:
        until = "without end" if manifest.expires is None else f"until {manifest.expires.isoformat()}"
        print(f"{description.model_id}: signed by {report['signer']} on {manifest.signed_on}, {until}")
    return 0


def _name_of(file: Path) -> str:
    name = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "-" for one in file.stem)
    return name.lower().strip("-_.")[:64] or "model"


def _pair(text: str) -> tuple[str, str]:
    name, equals, label = text.partition("=")
    if not (name and equals and label):
        raise UsageError(f"--allow {text[:60]!r}: say CLASS=LABEL, as in boat=vessel")
    return name, label


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, times, height = text.lower().partition("x")
    if not (times and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise UsageError(f"--size {text[:40]!r}: say WIDTHxHEIGHT, as in 640x640")
    return int(width), int(height)
