"""`skywarden doctor` finds what is really wrong, in situations made for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skywarden.doctor import Finding, examine, zoo_models

pytestmark = pytest.mark.slow

BLOCKED = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
from skywarden.cli import run
sys.exit(run(["doctor", "--json"]))
"""


def found_in_child(*words: str, path: Path | None = None, code: str | None = None) -> dict[str, Finding]:
    """The findings of a doctor in a fresh process, by check; its exit code says whether one failed."""
    asked = ["-c", code] if code else ["-m", "skywarden.cli", "doctor", "--json", *words]
    environ = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    done = subprocess.run(
        [sys.executable, "-P", *asked], capture_output=True, text=True, timeout=60, env=environ, check=False
    )
    tree = json.loads(done.stdout)
    findings = {one["check"]: Finding(**one) for one in tree["findings"]}
    has_failed = any(one.state == "failed" for one in findings.values())
    assert tree["is_good"] is not has_failed
    assert done.returncode == int(has_failed)
    assert done.stderr == ""
    return findings


def of(check: str, findings: list[Finding]) -> Finding:
    (one,) = (finding for finding in findings if finding.check == check)
    return one


def pretend_installed(folder: Path, name: str) -> None:
    info = folder / f"{name.replace('-', '_')}-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n", encoding="utf-8")


@pytest.mark.parametrize("name", ["opencv-python-headless", "opencv_contrib_python"])
def test_two_opencv_variants_are_named_with_the_cure(tmp_path: Path, name: str) -> None:
    pretend_installed(tmp_path, name)
    finding = found_in_child(path=tmp_path)["one OpenCV"]
    assert finding.state == "failed"
    assert name.replace("_", "-") in finding.text
    assert finding.remedy.startswith("pip uninstall opencv-")


def test_two_onnx_runtimes_are_named(tmp_path: Path) -> None:
    pretend_installed(tmp_path, "onnxruntime-gpu")
    assert found_in_child(path=tmp_path)["one ONNX Runtime"].state == "failed"


def test_a_strangers_package_of_our_name_is_found_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    findings = found_in_child(path=tmp_path)
    assert str(tmp_path) in findings["package models"].text
    assert findings["models"].state == "ok", "our own models are looked at all the same"


@pytest.mark.parametrize(
    ("module", "check", "state", "remedy"),
    [
        ("av", "video decoder", "advice", "skywarden[edge]"),
        ("apsw", "durable store", "advice", "skywarden[ground]"),
        ("cv2", "OpenCV loads", "failed", "libgl1"),
        ("zmq", "encrypted link", "failed", "pyzmq"),
    ],
)
def test_a_missing_package_is_told_with_the_way_to_get_it(
    module: str, check: str, state: str, remedy: str
) -> None:
    finding = found_in_child(code=BLOCKED.format(name=module))[check]
    assert finding.state == state
    assert remedy in finding.remedy


def test_a_clock_before_the_release_fails_and_a_later_one_does_not(tmp_path: Path) -> None:
    early = of("clock", examine(tmp_path, now_s=0.0))
    assert early.state == "failed"
    assert "1970-01-01" in early.text
    assert "timedatectl" in early.remedy
    assert of("clock", examine(tmp_path, now_s=1_900_000_000.0)).state != "failed"


def test_a_state_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    finding = of("state folder", examine(tmp_path / "file" / "state"))
    assert finding.state == "failed"
    assert "Not a directory" in finding.text
    assert "--state" in finding.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_without_permission_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert of("state folder", examine(tmp_path / "state")).state == "failed"


def test_the_doctor_leaves_nothing_behind(tmp_path: Path) -> None:
    finding = of("state folder", examine(tmp_path / "state" / "deeper"))
    assert finding.state == "ok"
    assert finding.text.endswith("can be made")
    assert list(tmp_path.iterdir()) == []


def test_the_models_of_the_package_are_verified(tmp_path: Path) -> None:
    present = [model.name for model in zoo_models() if model.is_present]
    assert {"anomaly", "vessel-nadir", "vessel-oblique"} <= set(present)
    finding = of("models", examine(tmp_path))
    assert finding.state == "ok"
    assert "verified" in finding.text
    assert all(name in finding.text for name in present)


def test_every_finding_that_is_not_in_order_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for finding in examine(tmp_path / "file" / "state", now_s=0.0):
        assert (finding.state == "ok") == (finding.remedy == ""), finding
