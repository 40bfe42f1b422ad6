"""Golden replays: every node of every short recording says what it said; and a flight repeats to the byte."""

from pathlib import Path

import pytest

from sim.range.golden.compare import SUFFIX, differences, read_golden, readable, write_golden
from sim.range.golden.folder import check, reasons, update
from sim.range.golden.recordings import RECORDINGS, Recording, recording_of
from sim.range.golden.replay import NODES, Row, flight_hash
from sim.scenario.description import load_scenario
from sim.scenario.flown.runs import RunOptions, fly
from skywarden.cli import run
from skywarden.errors import FlightError, UsageError
from tests.sim.range_yard import YARD

pytestmark = pytest.mark.xdist_group("range")
GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three seconds of the yard, without pictures."""
    folder = tmp_path_factory.mktemp("yard")
    (folder / "yard.toml").write_text(YARD)
    options = RunOptions(with_frames=False, seconds=3.0, jobs=1)
    return fly(load_scenario(str(folder / "yard.toml")), folder / "run", options).flights


@pytest.fixture
def recording(yard: dict[str, Path]) -> Recording:
    """The yard as a recording."""
    return Recording(name="yard", make=lambda data, scratch: yard)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [one.name for one in RECORDINGS if one.needs is None])
def test_a_flown_recording_gives_its_golden(name: str, tmp_path: Path) -> None:
    (found,) = check(GOLDEN, tmp_path, [recording_of(name)])
    assert found.differences is not None
    assert not found.differences, "\n" + readable(name, found.differences)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [one.name for one in RECORDINGS if one.needs is not None])
def test_a_real_recording_gives_its_golden(name: str, real_data: Path) -> None:
    (found,) = check(GOLDEN, real_data, [recording_of(name)])
    assert found.differences is not None
    assert not found.differences, "\n" + readable(name, found.differences)


def test_every_node_has_a_golden_and_every_golden_a_recording() -> None:
    files = {path.name.removesuffix(SUFFIX): path for path in GOLDEN.glob(f"*{SUFFIX}")}
    assert set(files) == {one.name for one in RECORDINGS}
    nodes = {row.node for path in files.values() for row in read_golden(path)}
    assert nodes == set(NODES)
    assert sum(path.stat().st_size for path in files.values()) < 600_000
    assert all(len(reason.reason) >= 10 for reason in reasons(GOLDEN))


def test_one_flight_many_times_gives_one_hash(yard: dict[str, Path]) -> None:
    assert len({flight_hash(yard["swing-1"]) for _ in range(3)}) == 1
    assert flight_hash(yard["swing-1"]) != flight_hash(yard["bank-1"])


def test_the_command_repeats_a_flight(yard: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "golden", "repeat", str(yard["bank-1"]), "--times", "3", "-q"]) == 0
    assert capsys.readouterr().out.startswith("3 of 3: ")
    assert run(["sim", "golden", "repeat", str(yard["bank-1"]), "--times", "1", "-q"]) == 2


def test_goldens_are_renewed_with_a_reason_that_is_kept(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--reason"):
        update(tmp_path, tmp_path, [recording], "  ", "2026-11-22")
    assert list(tmp_path.iterdir()) == []
    changed = update(tmp_path, tmp_path, [recording], "The first of all", "2026-11-22")
    assert changed["yard"] > 50
    assert update(tmp_path, tmp_path, [recording], "Nothing is new here", "2026-11-23") == {}
    assert [reason.reason for reason in reasons(tmp_path)] == ["The first of all"]
    (found,) = check(tmp_path, tmp_path, [recording])
    assert found.differences == ()
    path = tmp_path / f"yard{SUFFIX}"
    rows = read_golden(path)
    write_golden(path, rows[1:])
    (found,) = check(tmp_path, tmp_path, [recording])
    assert found.differences is not None
    assert [str(one).endswith("is new") for one in found.differences] == [True]


def test_what_needs_data_that_is_not_there_is_said_to_be_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sim", "golden", "check", "--only", "cuav-2018", "--data", str(tmp_path), "-q"]
    assert run([*words, "--folder", str(GOLDEN)]) == 0
    assert "skipped" in capsys.readouterr().out
    assert run(["sim", "golden", "check", "--only", "atlantis"]) == 2


def test_floats_may_differ_by_their_tolerance_and_words_may_not() -> None:
    def row(**value: object) -> Row:
        return Row(node="locate", key="eo/1", value=[value])

    before = row(latitude_deg=1.0, alt_hae_m=430.0, score=0.5, status="ok", box_px=[1.0, 2.0])
    close = row(latitude_deg=1.00000005, alt_hae_m=430.01, score=0.5005, status="ok", box_px=[1.05, 2.0])
    assert differences([before], [close]) == []
    far = row(latitude_deg=1.0001, alt_hae_m=433.5, score=0.5, status="near_horizon", box_px=[1.0])
    lines = [str(one) for one in differences([before], [far])]
    assert lines == [
        "locate eo/1 [0].latitude_deg: 1.0 -> 1.0001 (+0.0001)",
        "locate eo/1 [0].alt_hae_m: 430.0 -> 433.5 (+3.5)",
        "locate eo/1 [0].status: ok -> near_horizon",
        "locate eo/1 [0].box_px.length: 2 -> 1 (-1)",
    ]
    gone = differences([before, before], [before])
    assert [str(one) for one in gone] == ["locate eo/1 #2: is gone"]
    assert readable("yard", gone).splitlines()[0] == "yard: 1 differences"


def test_a_damaged_golden_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / f"yard{SUFFIX}"
    with pytest.raises(FlightError, match="update"):
        read_golden(path)
    path.write_bytes(b"\x1f\x8b not a golden")
    with pytest.raises(FlightError, match="golden"):
        read_golden(path)
    write_golden(path, [Row(node="pose", key="1", value={"alt_m": 1.5})])
    first = path.read_bytes()
    write_golden(path, read_golden(path))
    assert path.read_bytes() == first
