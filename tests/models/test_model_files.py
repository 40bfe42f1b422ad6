"""What is not a sound, known and described model is refused by name of what is wrong."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.catalogue import ZOO, find_models, load_detector, resolve
from models.description import load_description
from models.onnx_scan import scan
from models.session import MAX_MODEL_BYTES, ModelSession, read_model
from skywarden.errors import ModelError


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the anomaly model's folder that a test may spoil."""
    folder = tmp_path / "copied"
    shutil.copytree(ZOO / "anomaly", folder)
    return folder


def edit(folder: Path, old: str, new: str) -> Path:
    path = folder / "model.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def onnx_bytes(**changes: object) -> bytes:
    """A tiny model: y = x + one, with what a test changes."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    kind = changes.get("dtype", onnx.TensorProto.FLOAT)
    shape = changes.get("shape", [1, 3, 8, 8])
    one = helper.make_tensor("one", kind, [1], [1.0])
    if changes.get("external"):
        one.ClearField("float_data")
        one.data_location = onnx.TensorProto.EXTERNAL
        one.external_data.add(key="location", value="/etc/passwd")
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in changes.get("inputs", ["x"])]
    node = helper.make_node("Add", ["x", "one"], ["y"], domain=changes.get("domain", ""))
    output = helper.make_tensor_value_info("y", kind, shape)
    graph = helper.make_graph([node], "tiny", inputs, [output], initializer=[one])
    sets = [helper.make_opsetid("", 17), *[helper.make_opsetid(d, 1) for d in changes.get("domains", [])]]
    return helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString()


@pytest.mark.slow
def test_every_truncation_and_every_flipped_bit_is_refused_before_a_session_is_made(copied: Path) -> None:
    file = copied / "model.onnx"
    data = file.read_bytes()
    choose = random.Random(1)
    spoiled = [data[: choose.randrange(1, len(data))] for _ in range(60)]
    for _ in range(60):
        flipped = bytearray(data)
        flipped[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        spoiled.append(bytes(flipped))
    for variant in spoiled:
        file.write_bytes(variant)
        with pytest.raises(ModelError, match="sha256"):
            load_detector(copied)


def test_truncated_and_overwritten_bytes_never_raise_anything_but_a_model_error() -> None:
    data = (ZOO / "anomaly" / "model.onnx").read_bytes()
    choose = random.Random(2)
    refused = 0
    for _ in range(200):
        spoiled = bytearray(data[: choose.randrange(len(data))])
        if spoiled and choose.random() < 0.7:
            start = choose.randrange(len(spoiled))
            spoiled[start : start + 64] = choose.randbytes(64)
        try:
            scan(bytes(spoiled), "spoiled")
        except ModelError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"not a model", b"\x08" * 40, b"PK\x03\x04" + bytes(100)], ids=repr
)
def test_what_is_no_onnx_file_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="ONNX"):
        ModelSession(data, origin="mine.onnx")


def test_weights_in_other_files_are_refused() -> None:
    with pytest.raises(ModelError, match="another file"):
        ModelSession(onnx_bytes(external=True), origin="mine.onnx")


def test_operators_of_an_unknown_domain_are_refused() -> None:
    with pytest.raises(ModelError, match=r"evil\.example"):
        ModelSession(onnx_bytes(domain="evil.example", domains=["evil.example"]), origin="mine.onnx")


def test_a_model_with_two_inputs_is_refused_with_their_names() -> None:
    with pytest.raises(ModelError, match=r"2 inputs \(x .*z "):
        ModelSession(onnx_bytes(inputs=["x", "z"]), origin="mine.onnx")


def test_an_input_of_another_type_than_described_is_named() -> None:
    session = ModelSession(onnx_bytes(), origin="mine.onnx")
    session.require_input("float32", (1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"x float32 \(1, 3, 8, 8\).*image uint8 \(1, 8, 8, 3\)"):
        session.require_input("uint8", (1, 8, 8, 3))


def test_a_graph_that_the_engine_refuses_becomes_one_sentence() -> None:
    with pytest.raises(ModelError, match="onnxruntime refuses it"):
        ModelSession(
            onnx_bytes(shape=[1, 3, 8, 8], domain="com.microsoft", domains=["com.microsoft"]), origin="m"
        )


def test_a_wrong_tensor_at_inference_becomes_a_model_error() -> None:
    session = ModelSession(onnx_bytes(), origin="mine.onnx")
    assert session.run(np.zeros((1, 3, 8, 8), dtype=np.float32))[0].sum() == 192
    with pytest.raises(ModelError, match="inference failed"):
        session.run(np.zeros((1, 3, 9, 9), dtype=np.float32))


def test_providers_that_are_not_there_are_reported_and_the_cpu_answers() -> None:
    session = ModelSession(onnx_bytes(), origin="mine.onnx", providers=("tensorrt", "cuda", "cpu"))
    report = session.provider_report
    assert report.used[-1] == "cpu"
    assert {name for name, _ in report.refused} | set(report.used) == {"tensorrt", "cuda", "cpu"}
    with pytest.raises(ModelError, match="quantum"):
        ModelSession(onnx_bytes(), origin="mine.onnx", providers=("quantum",))


def test_a_provider_in_two_precisions_is_used_once_and_the_first_way_asked_for_holds() -> None:
    wanted = ("openvino_bf16", "openvino", "cpu")
    report = ModelSession(onnx_bytes(), origin="mine.onnx", providers=wanted).provider_report
    assert report.wanted == wanted
    assert "openvino" in dict(report.refused)
    assert report.used[-1] == "cpu"


def test_no_number_of_threads_leaves_one_core_to_the_rest() -> None:
    cores = len(os.sched_getaffinity(0))
    assert ModelSession(onnx_bytes(), origin="mine.onnx", threads=0).threads == max(1, min(64, cores - 1))


def test_auto_asks_for_the_fastest_first_and_the_cpu_last() -> None:
    report = ModelSession(onnx_bytes(), origin="mine.onnx", providers=("auto",)).provider_report
    assert report.wanted == ("tensorrt", "cuda", "openvino", "coreml", "xnnpack", "cpu")


@pytest.mark.parametrize("threads", [-1, 65])
def test_threads_are_a_number_that_makes_sense(threads: int) -> None:
    with pytest.raises(ModelError, match="threads"):
        ModelSession(onnx_bytes(), origin="mine.onnx", threads=threads)


def test_a_file_over_the_size_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    with pytest.raises(ModelError, match=str(MAX_MODEL_BYTES)):
        read_model(path)


@pytest.mark.slow
def test_a_model_that_computes_something_else_fails_its_golden_image(copied: Path) -> None:
    edit(copied, "mean = 0.0", "mean = 0.1")
    with pytest.raises(ModelError, match="golden image"):
        load_detector(copied)
    load_detector(copied, self_test=False)


@pytest.mark.parametrize(
    "old, new, what",
    [
        ('anomaly = "anomaly"', 'anomaly = "person"', "person"),
        ('anomaly = "anomaly"', 'anomaly = "Small-Face"', "Face"),
        ('labels = ["anomaly"]', 'labels = ["anomaly", "person"]\nx = 1', "unknown field"),
        ('anomaly = "anomaly"', 'boat = "vessel"', "boat"),
        ('decode = "anomaly"', 'decode = "yolox"', r"\[yolox\]"),
        ('fit = "reduce"', 'fit = "letterbox"', "width_px"),
        ("threshold = 0.6", "threshold = 1.6", "threshold"),
        ("threshold = 0.6", "threshold = 0.1", "grow_threshold"),
        ('file = "model.onnx"', 'file = "../../etc/passwd"', "file"),
        ('name = "anomaly"', 'name = "An Anomaly"', "name"),
        ("sha256 = ", "sha256 = 5 #", "sha256"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_with_the_reason(
    copied: Path, old: str, new: str, what: str
) -> None:
    with pytest.raises(ModelError, match=what):
        load_description(edit(copied, old, new))


def test_the_environment_cannot_change_a_description(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWARDEN_MODEL__THRESHOLD", "0.01")
    assert load_description(copied / "model.toml").threshold == 0.65


def test_a_model_is_found_by_name_folder_description_file_and_hash(copied: Path) -> None:
    moved = copied / "elsewhere" / "renamed.onnx"
    moved.parent.mkdir()
    shutil.copy(copied / "model.onnx", moved)
    for way in ("anomaly", copied, copied / "model.toml", copied / "model.onnx", moved):
        description, file = resolve(way)
        assert description.name == "anomaly"
        assert file.is_file()


def test_a_file_that_nobody_describes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(onnx_bytes())
    with pytest.raises(ModelError, match=r"model\.toml"):
        load_detector(path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"known are anomaly"):
        load_detector("nothing-of-that-name")


def test_the_catalogue_lists_further_folders_first_and_names_the_broken(tmp_path: Path) -> None:
    shutil.copytree(ZOO / "anomaly", tmp_path / "anomaly")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.toml").write_text("name = ", encoding="utf-8")
    catalogue = find_models([tmp_path, tmp_path / "absent"])
    entry = catalogue.named("anomaly")
    assert entry is not None
    assert entry.folder == tmp_path / "anomaly"
    assert [path.name for path, _ in catalogue.broken] == ["broken", "absent"]


def test_every_model_in_the_zoo_has_a_card_and_allows_no_person() -> None:
    catalogue = find_models()
    assert catalogue.broken == ()
    for entry in catalogue.entries:
        assert (entry.folder / "CARD.md").is_file()
        assert "person" not in entry.description.allowed_labels
