"""A model of an agency: the anomaly network in another file, under its own description and signature."""

import hashlib
import shutil
from datetime import date
from pathlib import Path

from models.catalogue import ZOO, resolve
from models.intake.manifest import SIGNATURE_NAME, manifest_of, sign_manifest
from skywarden.evidence import EvidenceKey

KEY = EvidenceKey.from_secret(bytes(range(32)))


def agency_model(folder: Path, threshold: float = 0.66, *, key: EvidenceKey = KEY) -> Path:
    """The anomaly model under another threshold and the agency's signature."""
    shutil.copytree(ZOO / "anomaly", folder)
    toml = folder / "model.toml"
    text = toml.read_text(encoding="utf-8").replace('name = "anomaly"', 'name = "agency"', 1)
    toml.write_text(text.replace("threshold = 0.65", f"threshold = {threshold}"), encoding="utf-8")
    data = (
        folder / "model.onnx"
    ).read_bytes() + b"\x72\x00"  # a note at the end: another file, the same network
    (folder / "model.onnx").write_bytes(data)
    description, _ = resolve(ZOO / "anomaly")
    toml.write_text(
        toml.read_text(encoding="utf-8").replace(description.sha256, hashlib.sha256(data).hexdigest()),
        encoding="utf-8",
    )
    sign(folder, key)
    return folder


def sign(folder: Path, key: EvidenceKey, expires: date | None = None) -> None:
    description, _ = resolve(folder)
    manifest = manifest_of(
        description, (folder / "model.toml").read_bytes(), now_ns=1_800_000_000_000_000_000, expires=expires
    )
    (folder / SIGNATURE_NAME).write_bytes(sign_manifest(manifest, key))
