"""What is shipped: the wheel carries what runs and nothing that does not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDED = (
    "ground/console/dist/index.html",
    "models/zoo/anomaly/model.onnx",
    "models/zoo/anomaly/model.toml",
    "models/zoo/anomaly/CARD.md",
    "sim/scenarios/coast-and-hill.toml",
    "skywarden/data/egm96_15.npz",
    "skywarden/py.typed",
    "edge/worker.py",
)
UNWANTED = (
    "ground/console/src",
    "ground/console/node_modules",
    "ground/console/dev",
    "models/training",
    "tests/",
)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    if not (ROOT / "ground" / "console" / "dist" / "index.html").exists():
        pytest.skip("the console is not built: make console")
    out = tmp_path_factory.mktemp("wheel")
    hatchling = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(hatchling, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = out.glob("*.whl")
    assert wheel.stat().st_size < 22_000_000, "a companion computer fetches this over a thin line"
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_the_wheel_carries_console_models_scenario_and_geoid(members: set[str]) -> None:
    assert [name for name in NEEDED if name not in members] == []


@pytest.mark.slow
def test_the_wheel_carries_no_sources_of_the_console_no_training_and_no_tests(members: set[str]) -> None:
    assert sorted(name for name in members if name.startswith(UNWANTED)) == []
