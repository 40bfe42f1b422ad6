"""Scenario S12: models that are cut, bent, swapped, unsigned, expired or not what they say, in flight.

Every one must be refused before an engine sees it (onnxruntime alone notices almost none of the flipped bits:
it is asked about some of them as the anchor), the model in charge must go on looking, and no label outside of
its list may come out. A process that is killed while it looks is S1's.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from models.catalogue import ZOO, load_detector, resolve
from models.intake.manifest import SIGNATURE_NAME, Trust, manifest_of, sign_manifest
from models.session import MAX_MODEL_BYTES, ModelSession
from models.swap import SwappableDetector
from sim.faults.result import Profile, Result
from skywarden.errors import ModelError
from skywarden.evidence import EvidenceKey

_CUTS: dict[Profile, int] = {"quick": 60, "full": 1_000, "soak": 20_000}
_FLIPS: dict[Profile, int] = {"quick": 60, "full": 1_000, "soak": 20_000}
_BLOCKS: dict[Profile, int] = {"quick": 20, "full": 200, "soak": 2_000}
_ANCHORS: dict[Profile, int] = {"quick": 4, "full": 60, "soak": 400}
_LOOK_EVERY = 20
_BLOCK_BYTES = 64
_NOW_NS = 1_800_000_000_000_000_000
_KEY = EvidenceKey.from_secret(bytes(range(32)))
_STRANGER = EvidenceKey.from_secret(bytes(range(1, 33)))
_TRUST = Trust(keys=(_KEY.public,), now_ns=_NOW_NS)

Spoil = Callable[[Path], None]


@dataclass(slots=True)
class Tally:
    """Attempts of one kind: how many, how many refused, and by what else than a sentence of ours."""

    tried: int = 0
    refused: int = 0
    crashed: int = 0


def run(profile: Profile, seed: int) -> Result:
    """Every kind of spoiled model, as often as the profile says, beside a model that works."""
    result = Result("S12", profile, seed)
    began_s = time.monotonic()
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="skywarden-models-") as folder:
        good = Path(folder) / "good"
        shutil.copytree(ZOO / "anomaly", good)
        _sign(good, _KEY)
        detector = SwappableDetector(load_detector(good, trust=_TRUST))
        watch = _Watch(detector)
        tallies: dict[str, Tally] = {}
        for kind, spoil in _cases(profile, choose):
            place = Path(folder) / "candidate"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(good, place)
            spoil(place)
            _offer(detector, place, tallies.setdefault(kind, Tally()))
            watch.look_now_and_then()
        watch.look()
        for kind, tally in tallies.items():
            result.expect_equal(f"{kind}: refused", tally.refused, tally.tried)
        result.expect_zero("ended in anything but a sentence", sum(one.crashed for one in tallies.values()))
        result.expect_zero("looks that the model in charge failed", watch.failed)
        result.expect_zero("labels outside of its list", watch.foreign)
        result.observe("looks meanwhile", watch.looks)
        loaded, count = _anchor(good / "model.onnx", _ANCHORS[profile], choose)
        result.observe(f"flips that onnxruntime alone would load, of {count}", loaded)
    result.seconds = time.monotonic() - began_s
    return result


class _Watch:
    """Looks with the model in charge, the same picture every time, and compares."""

    def __init__(self, detector: SwappableDetector) -> None:
        self._detector = detector
        self._picture = np.random.default_rng(7).integers(80, 100, (160, 192, 3), dtype=np.uint8)
        self._picture[60:70, 80:92] = 250
        self._due = detector.detect(self._picture).box_px
        self._turn = self.looks = self.failed = self.foreign = 0

    def look_now_and_then(self) -> None:
        self._turn += 1
        if self._turn % _LOOK_EVERY == 0:
            self.look()

    def look(self) -> None:
        batch = self._detector.detect(self._picture)
        self.looks += 1
        self.failed += not np.array_equal(batch.box_px, self._due)
        self.foreign += sum(batch.labels[at] != "anomaly" for at in batch.label_index.tolist())


def _offer(detector: SwappableDetector, place: Path, tally: Tally) -> None:
    tally.tried += 1
    try:
        detector.offer(load_detector(place, trust=_TRUST, self_test=False))
    except ModelError:
        tally.refused += 1
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError, RecursionError, KeyError):
        tally.crashed += 1


def _cases(profile: Profile, choose: random.Random) -> Iterator[tuple[str, Spoil]]:
    for _ in range(_CUTS[profile]):
        yield "cut short", _bent(lambda data: data[: choose.randrange(len(data))])
    for _ in range(_FLIPS[profile]):
        yield "one bit flipped", _bent(lambda data: _flipped(data, choose))
    for _ in range(_BLOCKS[profile]):
        yield "64 bytes overwritten", _bent(lambda data: _overwritten(data, choose))
    # An empty note at its end: the same network as far as an engine can tell.
    yield "swapped for another file", _bent(lambda data: data + b"\x72\x00")
    yield "too large", _grown
    yield "signed by a stranger", lambda place: _sign(place, _STRANGER)
    yield "signature expired", lambda place: _sign(place, _KEY, date(2026, 1, 1))
    yield "not signed", lambda place: (place / SIGNATURE_NAME).unlink()
    yield "signature of another model", _other_signature
    for kind, old, new in (
        ("label outside of the list", 'anomaly = "anomaly"', 'anomaly = "person"'),
        ("threshold changed", "threshold = 0.65", "threshold = 0.36"),
        ("input of another shape", 'tensor = "u8_hwc"', 'tensor = "u8_nhwc"'),
    ):
        yield kind, _edited(old, new, None)
    yield "label outside of the list, signed", _edited('anomaly = "anomaly"', 'anomaly = "person"', _KEY)
    for _ in range(_BLOCKS[profile]):
        yield "description overwritten", _bent(lambda data: _overwritten(data, choose), "model.toml")
        yield "signature overwritten", _bent(lambda data: _overwritten(data, choose), SIGNATURE_NAME)


def _bent(change: Callable[[bytes], bytes], name: str = "model.onnx") -> Spoil:
    def spoil(place: Path) -> None:
        path = place / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _edited(old: str, new: str, signer: EvidenceKey | None) -> Spoil:
    def spoil(place: Path) -> None:
        path = place / "model.toml"
        before = resolve(place)[0]
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
        if signer is not None:
            manifest = manifest_of(before, path.read_bytes(), now_ns=_NOW_NS)
            (place / SIGNATURE_NAME).write_bytes(sign_manifest(manifest, signer))

    return spoil


def _grown(place: Path) -> None:
    with (place / "model.onnx").open("r+b") as file:
        file.truncate(MAX_MODEL_BYTES + 1)


def _other_signature(place: Path) -> None:
    description, _ = resolve("yolox-nano-coco")
    manifest = manifest_of(description, b"", now_ns=_NOW_NS)
    (place / SIGNATURE_NAME).write_bytes(sign_manifest(manifest, _KEY))


def _sign(place: Path, key: EvidenceKey, expires: date | None = None) -> None:
    description, _ = resolve(place)
    manifest = manifest_of(description, (place / "model.toml").read_bytes(), now_ns=_NOW_NS, expires=expires)
    (place / SIGNATURE_NAME).write_bytes(sign_manifest(manifest, key))


def _flipped(data: bytes, choose: random.Random) -> bytes:
    bent = bytearray(data)
    bent[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    return bytes(bent)


def _overwritten(data: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(data))
    return data[:start] + choose.randbytes(_BLOCK_BYTES) + data[start + _BLOCK_BYTES :]


def _anchor(file: Path, count: int, choose: random.Random) -> tuple[int, int]:
    """How many flipped copies the engine takes when nothing but it checks them."""
    loaded = 0
    for _ in range(count):
        try:
            ModelSession(_flipped(file.read_bytes(), choose), origin="bent")
            loaded += 1
        except ModelError:
            pass
    return loaded, count
