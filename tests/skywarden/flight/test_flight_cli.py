"""`skywarden flight`: what it prints about a flight and how it exits."""

import json
from pathlib import Path

import pytest

from skywarden.cli import run
from skywarden.flight import ClockNote, FlightWriter
from skywarden.mavlink.synth import MessageMaker

START_NS = 1_800_000_000_000_000_000


@pytest.fixture
def flight(tmp_path: Path) -> Path:
    path, maker = tmp_path / "flight", MessageMaker(7, 1)
    clock = ClockNote(source="test [bold]")
    with FlightWriter(
        path, sortie_id="s1", platform_id="uav07", telemetry_source="test", clock=clock, sensors=[]
    ) as writer:
        for step in range(5):
            raw = maker.attitude(time_boot_ms=step * 100, roll_deg=0.0, pitch_deg=0.0, heading_deg=90.0)
            writer.append_telemetry(START_NS + step * 100_000_000, raw)
    return path


def test_show_prints_a_table_and_with_json_one_object(
    flight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["flight", "show", str(flight)]) == 0
    said = capsys.readouterr().out
    assert "5 MAVLink frames" in said
    assert "test [bold]" in said, "what a recording holds is no markup"
    assert run(["flight", "show", str(flight), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["platform_id"] == "uav07"


def test_verify_says_all_is_well_and_then_what_is_not(
    flight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["flight", "verify", str(flight)]) == 0
    printed = capsys.readouterr()
    assert "files as listed" in printed.out
    assert printed.err == ""
    log = flight / "telemetry.tlog"
    log.write_bytes(log.read_bytes()[:-1])
    assert run(["flight", "verify", str(flight)]) == 3
    assert "changed: telemetry.tlog" in capsys.readouterr().out
    assert run(["flight", "verify", str(flight), "--json", "-q"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["is_good"] is False
    assert report["changed"] == ["telemetry.tlog"]


def test_export_writes_an_mcap_and_never_over_one(
    flight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "flight.mcap"
    assert run(["flight", "export", str(flight), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "bytes": out.stat().st_size}
    assert run(["flight", "export", str(flight), "--out", str(out)]) == 1
    assert "already there" in capsys.readouterr().err
    assert run(["flight", "export", str(flight), "--out", str(out / "below")]) == 1
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1e999}'])
@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_flight_json_of_nonsense_is_a_sentence(
    verb: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flight.json").write_bytes(content)
    assert run(["flight", verb, str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("skywarden: ")
    assert printed.err.count("\n") == 1
