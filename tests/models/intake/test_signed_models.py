"""Who may bring a model: signatures that hold load, all else is refused before the engine sees a byte."""

import base64
import contextlib
import json
import shutil
import tomllib
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import ZOO, load_detector, require_signed, resolve
from models.description import FORBIDDEN_LABELS, load_description
from models.intake.cli import describe, sign, verify
from models.intake.foreign import Wishes, describe_foreign, to_toml
from models.intake.literals import read_names, read_numbers
from models.intake.manifest import (
    PAYLOAD_TYPE,
    SIGNATURE_NAME,
    Manifest,
    Trust,
    manifest_of,
    open_manifest,
    sign_manifest,
    trusted_keys,
)
from models.session import read_model, sha256_of
from skywarden.errors import ModelError, UsageError
from skywarden.evidence import EvidenceKey, create_evidence_key

NOW_NS = 1_800_000_000_000_000_000
KEY = EvidenceKey.from_secret(bytes(range(32)))
OTHER = EvidenceKey.from_secret(bytes(range(1, 33)))
TRUST = Trust(keys=(KEY.public,), now_ns=NOW_NS)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the anomaly model outside of the package, signed by KEY."""
    folder = tmp_path / "mine"
    shutil.copytree(ZOO / "anomaly", folder)
    put_signature(folder, KEY)
    return folder


def load(model: Path | str) -> Manifest | None:
    """What `load_detector` does before it makes a session."""
    description, file = resolve(model)
    found = sha256_of(read_model(file))
    if found != description.sha256:
        raise ModelError(f"{file}: its sha256 is another one")
    return require_signed(description, file, found, TRUST)


def put_signature(folder: Path, key: EvidenceKey, expires: date | None = None) -> None:
    description, _ = resolve(folder)
    data = (folder / "model.toml").read_bytes()
    manifest = manifest_of(description, data, now_ns=NOW_NS, expires=expires)
    (folder / SIGNATURE_NAME).write_bytes(sign_manifest(manifest, key))


@pytest.mark.slow
def test_a_signed_model_loads_and_the_package_s_own_needs_no_signature(model: Path) -> None:
    assert load_detector(model, trust=TRUST, self_test=False).labels == ("anomaly",)
    assert load("anomaly") is None
    strict = Trust(keys=(KEY.public,), now_ns=NOW_NS, trusts_package=False)
    with pytest.raises(ModelError, match="nobody stands for"):
        load_detector("anomaly", trust=strict)


def test_a_model_without_signature_is_refused(model: Path) -> None:
    (model / SIGNATURE_NAME).unlink()
    with pytest.raises(ModelError, match="nobody stands for"):
        load_detector(model, trust=TRUST)


def test_a_signature_of_somebody_else_is_refused(model: Path) -> None:
    put_signature(model, OTHER)
    with pytest.raises(ModelError, match="not trusted here"):
        load(model)
    with pytest.raises(ModelError, match="0 trusted keys"):
        load_detector(model, trust=Trust(keys=(), now_ns=NOW_NS))


def test_an_expired_signature_is_refused_from_the_day_after(model: Path) -> None:
    put_signature(model, KEY, expires=date(2027, 1, 15))  # NOW_NS is in the morning of that day
    load(model)
    put_signature(model, KEY, expires=date(2027, 1, 14))
    with pytest.raises(ModelError, match="expired on 2027-01-14"):
        load(model)


def test_a_description_that_was_changed_after_signing_is_refused(model: Path) -> None:
    path = model / "model.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("threshold = 0.65", "threshold = 0.99"), "utf-8")
    with pytest.raises(ModelError, match="changed after it was signed"):
        load(model)


def test_a_swapped_file_is_refused_even_with_its_hash_written_anew(model: Path) -> None:
    file = model / "model.onnx"
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        load(model)


def test_a_manifest_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(model, other)
    path = other / "model.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('name = "anomaly"', 'name = "another"'), "utf-8")
    put_signature(other, KEY)
    load(other)
    shutil.copy(other / SIGNATURE_NAME, model / SIGNATURE_NAME)
    with pytest.raises(ModelError, match="changed after it was signed"):
        load(model)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_an_envelope_with_any_byte_changed_never_opens_to_another_manifest(data: st.DataObject) -> None:
    description, _ = resolve("anomaly")
    manifest = manifest_of(description, b"as it is", now_ns=NOW_NS)
    envelope = bytearray(sign_manifest(manifest, KEY))
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        assert open_manifest(bytes(envelope), TRUST, "fuzzed") == manifest


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=400), st.recursive(st.none() | st.text(), st.lists, max_leaves=20)))
@settings(max_examples=60, deadline=None)
def test_envelopes_of_anything_are_refused(value: object) -> None:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    with pytest.raises(ModelError):
        open_manifest(data, TRUST, "fuzzed")


def test_a_payload_of_another_type_is_refused_though_its_signature_holds() -> None:
    payload = b'{"name": "x"}'
    kind = "application/other"
    signed = KEY.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload))
    tree = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "k", "sig": base64.b64encode(signed).decode()}],
    }
    with pytest.raises(ModelError, match="application/other"):
        open_manifest(json.dumps(tree).encode(), TRUST, "other")
    tree["payloadType"] = PAYLOAD_TYPE
    with pytest.raises(ModelError, match="none of its 1 signatures"):
        open_manifest(json.dumps(tree).encode(), TRUST, "other")


def test_a_signature_file_that_is_too_large_is_not_read(model: Path) -> None:
    (model / SIGNATURE_NAME).write_bytes(b" " * 100_000)
    with pytest.raises(ModelError, match="100000 bytes"):
        load(model)


def test_keys_come_from_a_line_or_a_file_and_secrets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.pub"
    path.write_text(f"# ours\n{KEY.public_text}\n{OTHER.public_text} # the other\n", encoding="utf-8")
    assert trusted_keys(str(path)) == (KEY.public, OTHER.public)
    assert trusted_keys(KEY.public_text) == (KEY.public,)
    secret = tmp_path / "secret.key"
    create_evidence_key(secret)
    for bad in (str(secret), str(tmp_path / "absent"), "swev1:short"):
        with pytest.raises(ModelError):
            trusted_keys(bad)


@pytest.mark.slow
def test_sign_and_verify_by_command(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "agency.key"
    assert sign(str(model), key=key, new_key=True, expires=date(2099, 1, 1)) == 0
    public = capsys.readouterr().out.split()[-1]
    assert verify(str(model), trust=public, json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["signer"] == public
    assert report["expires"] == "2099-01-01"
    with pytest.raises(ModelError, match="not trusted here"):
        verify(str(model), trust=OTHER.public_text)


def exported(size: tuple[int, ...] = (1, 6, 4), /, **metadata: str) -> bytes:
    """A network like YOLOv8's: (1, 3, 32, 32) in, (1, 6, 4) out, two classes; it says only the mean."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    flat = helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0)
    wide = helper.make_node("Expand", ["mean", "shape"], ["output0"])
    shape = helper.make_tensor("shape", onnx.TensorProto.INT64, [3], size)
    graph = helper.make_graph(
        [flat, wide],
        "tiny",
        [helper.make_tensor_value_info("images", kind, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", kind, size)],
        initializer=[shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


ULTRALYTICS = {
    "names": "{0: 'boat', 1: 'person'}",
    "imgsz": "[32, 32]",
    "task": "detect",
    "stride": "32",
    "license": "AGPL-3.0",
}


def test_a_foreign_model_is_described_by_its_own_metadata_signed_and_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "boats"
    folder.mkdir()
    (folder / "boats.onnx").write_bytes(exported(**ULTRALYTICS))
    assert describe(folder / "boats.onnx") == 0
    (folder / "model.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    description = load_description(folder / "model.toml")
    assert description.decode == "yolov8"
    assert description.allow == {"boat": "vessel"}
    assert description.input.channels == "rgb"
    assert description.input.std == (255.0, 255.0, 255.0)
    assert description.licence == "AGPL-3.0"
    put_signature(folder, KEY)
    assert load_detector(folder, trust=TRUST).labels == ("vessel",)


def test_a_description_that_the_file_would_be_refused_with_is_not_written() -> None:
    three = Wishes(name="mine", decode="yolov8", labels=("boat", "buoy", "pier"))
    with pytest.raises(ModelError, match=r"outputs are output0 float32 \(1, 6, 4\)"):
        describe_foreign(exported(), "mine.onnx", three, file_name="m.onnx")


def test_what_a_file_leaves_open_has_to_be_said() -> None:
    wishes = Wishes(name="mine")
    with pytest.raises(ModelError, match="--labels"):
        describe_foreign(exported(), "mine.onnx", wishes, file_name="m.onnx")
    pets = exported(**{**ULTRALYTICS, "names": "{0: 'cat', 1: 'dog'}"})
    with pytest.raises(ModelError, match="--allow"):
        describe_foreign(pets, "mine.onnx", wishes, file_name="m.onnx")
    one = exported(**{**ULTRALYTICS, "names": "['boat']"})
    with pytest.raises(ModelError, match="--decode"):
        describe_foreign(one, "mine.onnx", wishes, file_name="m.onnx")
    asked = Wishes(name="mine", allow={"person": "person"})
    with pytest.raises(ModelError, match="never let through"):
        describe_foreign(exported(**ULTRALYTICS), "mine.onnx", asked, file_name="m.onnx")
    with pytest.raises(UsageError, match="CLASS=LABEL"):
        describe(Path("mine.onnx"), allow=("boat",))


@pytest.mark.parametrize(
    "rows, normalise, decode, is_decoded",
    [(21, "255", "yolox", False), (21, "none", "yolox", True), (63, "none", "yolov5", False)],
)
def test_rows_of_yolox_and_of_yolov5_are_told_apart_by_their_number_and_reach(
    rows: int, normalise: Literal["none", "255"], decode: str, is_decoded: bool
) -> None:
    wishes = Wishes(name="mine", labels=("boat", "buoy"), normalise=normalise)
    text = describe_foreign(exported((1, rows, 7)), "mine.onnx", wishes, file_name="m.onnx")
    tree = tomllib.loads(text)
    assert tree["decode"] == decode
    assert tree.get("yolox", {"is_decoded": False})["is_decoded"] == is_decoded
    with pytest.raises(ModelError, match="neither YOLOX's nor YOLOv5's"):
        describe_foreign(exported((1, 50, 7)), "mine.onnx", wishes, file_name="m.onnx")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("stem", "strides"),
    [("nanodet_m_416_coco", "[8, 16, 32]"), ("picodet_s_416_coco", "[8, 16, 32, 64]")],
)
def test_heads_of_bins_are_told_by_what_they_write(real_data: Path, stem: str, strides: str) -> None:
    path = real_data / "onnx" / f"{stem}.onnx"
    wishes = Wishes(
        name=stem, labels=[f"c{n}" for n in range(80)], allow={"c8": "vessel"}, normalise="imagenet"
    )
    text = describe_foreign(path.read_bytes(), str(path), wishes, file_name=path.name)
    assert 'decode = "gfl"' in text
    assert f"strides = {strides}" in text
    assert "bins = 8" in text


def test_notes_of_our_own_exporter_are_understood() -> None:
    notes = {
        "skywarden.decode": '{"kind": "yolov8", "nms_iou": 0.7}',
        "skywarden.preprocess": '{"order": "bgr"}',
    }
    text = describe_foreign(
        exported(names="{0: 'boat', 1: 'buoy'}", **notes), "m", Wishes(name="m"), file_name="m.onnx"
    )
    assert "[yolov8]\nnms_iou = 0.7" in text
    assert 'channels = "bgr"' in text


@given(st.text(max_size=200))
@settings(max_examples=50, deadline=None)
def test_metadata_of_anything_gives_names_or_one_sentence(text: str) -> None:
    for read in (read_names, read_numbers):
        with contextlib.suppress(ModelError):
            assert isinstance(read(text), tuple)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_names_written_as_python_writes_them_are_read_back(names: list[str]) -> None:
    plain = [name for name in names if name.isprintable()]
    assert read_names(repr(dict(enumerate(plain)))) == tuple(plain)
    assert read_names(repr(plain)) == tuple(plain)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20) | st.integers(-5, 5) | st.floats(0, 1)))
@settings(max_examples=60, deadline=None)
def test_a_description_of_anything_is_written_as_toml_that_can_be_read(section: dict[str, object]) -> None:
    assert tomllib.loads(to_toml({"allow": section}))["allow"] == section


@given(st.binary(max_size=200), st.integers(0, 4000))
@settings(max_examples=50, deadline=None)
def test_a_description_file_with_anything_in_it_is_refused_or_sound(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    text = bytearray((ZOO / "anomaly" / "model.toml").read_bytes())
    text[place : place + len(junk)] = junk
    path = tmp_path_factory.mktemp("fuzz") / "model.toml"
    path.write_bytes(text)
    try:
        description = load_description(path)
    except ModelError:
        return
    for label in description.allowed_labels:
        assert label.lower() not in FORBIDDEN_LABELS
