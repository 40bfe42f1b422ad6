"""Rules of the house that a reader cannot see at a glance, held by tests."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("skywarden", "edge", "ground", "models", "sim")
SOURCES = sorted(
    path
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if "node_modules" not in path.parts and "console" not in path.parts
)
MOST_MODULES = 20
FAULTS = Path("sim/faults")  # one module for each scenario of the table
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


@pytest.mark.slow  # `make check` asks the linter itself
def test_imports_go_down_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_module_says_what_it_is_for_and_has_a_name_of_its_own() -> None:
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(_tree(path))]
    assert silent == [], "a module's first line says what it is for"
    assert [str(path.relative_to(ROOT)) for path in SOURCES if path.stem in BANNED_NAMES] == []


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_room_is_crowded() -> None:
    modules = Counter(path.parent.relative_to(ROOT) for path in SOURCES if path.stem != "__init__")
    crowded = {str(room): count for room, count in modules.items() if count > MOST_MODULES and room != FAULTS}
    assert crowded == {}, "redesign the room rather than add a corridor"


def test_nothing_unpickles_or_evaluates_and_only_command_lines_print() -> None:
    pattern = re.compile(
        r"\bpickle\.(loads?|dumps?|(Unp|P)ickler)\b|from pickle|\b(marshal|shelve|yaml\.load)\b"
        r"|(?<!\.)\b(eval|exec)\("
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and not line.lstrip().startswith(("#", '"'))
    ]
    assert found == []


def test_most_functions_fit_on_a_screen() -> None:
    lengths = [
        node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    ]
    share = sum(length <= 40 for length in lengths) / len(lengths)
    assert share >= 0.95, f"only {share:.1%} of functions fit in 40 lines"


def test_no_person_class_exists() -> None:
    from skywarden.topics import TOPICS

    assert not any("person" in name or "face" in name for name in TOPICS)


def test_the_package_offers_one_command_and_every_room_its_subcommands() -> None:
    points = distribution("skywarden").entry_points
    assert {point.name for point in points if point.group == "console_scripts"} == {"skywarden"}
    for point in points:
        if point.group in ("console_scripts", "skywarden.commands"):
            assert callable(point.load())


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_a_stranger_does_not_shadow_ours(room: str) -> None:
    module = __import__(room)
    assert Path(module.__file__ or "").resolve().parent == ROOT / room


def test_importing_the_contract_stays_light() -> None:
    code = (
        "import sys, skywarden.wire, skywarden.config, skywarden.errors; "
        "heavy = {'cv2', 'onnxruntime', 'av', 'fastapi', 'pydantic', 'scipy', 'rasterio', 'pymavlink'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_pins_carry_hashes_and_no_addresses() -> None:
    for path in (ROOT / "constraints").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, f"{path.name} names an address"
        pins = re.findall(r"^[a-z0-9][^ \n]*==", text, flags=re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


def test_a_companion_computer_installs_nothing_of_ground_or_training() -> None:
    text = (ROOT / "constraints" / "edge.txt").read_text(encoding="utf-8")
    for name in ("fastapi", "uvicorn", "pydantic", "rasterio", "scipy", "torch", "onnx==", "pytest", "mcap"):
        assert not re.search(rf"^{name}", text, flags=re.MULTILINE), f"edge pins {name}"
