"""`skywarden ground` from the outside."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import apsw
import pytest

from ground.cli import app
from ground.link.authenticator import AllowList
from skywarden import evidence
from skywarden.errors import StoreError, UsageError, VerificationError
from skywarden.link import keys
from tests.ground.scenes import position, put, running_edge, running_ground, sighting


def _run(*words: str) -> int:
    result = app(list(words), result_action="return_value")
    assert isinstance(result, int)
    return result


def test_enrol_status_and_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = keys.create_key_file(tmp_path / "edge.key")
    state = str(tmp_path / "state")
    assert _run("enrol", "uav07", pair.public_text, "--state", state) == 0
    assert pair.fingerprint in capsys.readouterr().out
    assert _run("status", "--json", "--state", state) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["platforms"] == [
        {
            "platform_id": "uav07",
            "fingerprint": pair.fingerprint,
            "evidence_fingerprints": [],
            "last_heard": None,
            "clock": None,
        }
    ]
    assert status["station_key"].startswith("swpub1:")
    assert _run("revoke", "uav07", "--state", state) == 0
    with pytest.raises(UsageError):
        _run("revoke", "uav07", "--state", state)


@pytest.mark.slow
def test_verify_proves_a_running_store_and_finds_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(tmp_path / "ground")
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, *[sighting(number=n, at_s=n, place=position()) for n in range(1, 6)])
        assert downlink.wait_until_delivered(10)
        assert _run("verify", "--json", "--state", state) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (found["records"], found["signed"], found["proved"], found["damaged"]) == (5, 5, 5, 0)
    db = apsw.Connection(str(tmp_path / "ground" / "store.sqlite"))
    db.execute("UPDATE records SET body = body || x'00' WHERE seq = 3")
    db.close()
    with pytest.raises(VerificationError, match="do not fit"):
        _run("verify", "--state", state)
    assert "record 3 (sighting) is not what was stored" in capsys.readouterr().err


def test_both_keys_are_enrolled_by_one_line_or_by_the_platforms_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = keys.create_key_file(tmp_path / "edge.key")
    signer = evidence.create_evidence_key(evidence.evidence_key_path(tmp_path / "edge.key"))
    (tmp_path / "edge.pub").write_text(evidence.enrolment_line(pair, signer) + "\n")
    for number, given in enumerate(
        (evidence.enrolment_line(pair, signer), str(tmp_path / "edge.pub"), str(tmp_path / "edge.key"))
    ):
        state = tmp_path / f"state{number}"
        assert _run("enrol", "uav07", given, "--state", str(state)) == 0
        assert signer.fingerprint in capsys.readouterr().out
        assert _run("status", "--state", str(state)) == 0
        assert signer.fingerprint in capsys.readouterr().out
        enrolled = AllowList(state / "authorized")
        assert enrolled.evidence_keys_of("uav07") == (signer.public,)
        assert enrolled.evidence_keys_of("uav08") == ()
    assert _run("enrol", "uav07", pair.public_text, "--state", str(tmp_path / "bare")) == 0
    assert "kept aside" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--replace"):
        _run("enrol", "uav07", pair.public_text, "--state", str(tmp_path / "state0"))


@pytest.mark.slow
def test_export_writes_geojson_while_the_station_runs(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, *[sighting(number=n, at_s=n, place=position()) for n in range(1, 6)])
        assert downlink.wait_until_delivered(10)
        out = tmp_path / "sightings.geojson"
        state = str(tmp_path / "ground")
        words = ("export", "sightings", "--format", "geojson", "--output", str(out), "--state", state)
        assert _run(*words) == 0
        assert json.loads(out.read_text())["features"] == [], "nobody has confirmed anything"
        assert _run(*words, "--unreviewed") == 0
        collection = json.loads(out.read_text())
        assert collection["notice"].startswith("UNREVIEWED")
        assert collection["numberMatched"] == 5
        assert len(collection["features"]) == 5


def test_export_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ground serve"):
        _run("export", "sightings", "--state", str(tmp_path))


@pytest.mark.slow
def test_serve_prints_its_addresses_and_ends_on_sigterm_with_143(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "skywarden.cli", "ground", "serve", "--state", str(tmp_path / "state")),
            *("--http", "127.0.0.1:0", "--link", "127.0.0.1:0"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert child.stdout is not None
    try:
        url = child.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            assert answer.status == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 143
    finally:
        if child.poll() is None:
            child.kill()
            child.wait(5)
        child.stdout.close()


@pytest.mark.slow
def test_backup_and_restore_bring_a_station_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = str(tmp_path / "ground")
    target = tmp_path / "copies" / "store.backup"
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, *[sighting(number=n, at_s=n, place=position()) for n in range(1, 6)])
        assert downlink.wait_until_delivered(10)
        assert _run("backup", str(target), "--json", "--state", state) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["records"] == 5
        with pytest.raises(StoreError, match="stop it"):
            _run("restore", str(target), "--force", "--state", state)
    with pytest.raises(StoreError, match="--force"):
        _run("restore", str(target), "--state", state)
    assert _run("restore", str(target), "--force", "--json", "--state", state) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["records"] == 5
    assert Path(made["set_aside"]).exists()
    assert _run("status", "--json", "--state", state) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["sightings"] == 5


@pytest.mark.slow
def test_expire_erases_what_is_old_and_hold_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, archive = str(tmp_path / "ground"), tmp_path / "q3.archive"
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, *[sighting(f"t{n % 2}", n, at_s=n, place=position()) for n in range(1, 7)])
        assert downlink.wait_until_delivered(10)
        with pytest.raises(StoreError, match="another ground station"):
            _run("expire", "--sightings-days", "1", "--state", state)
    with pytest.raises(UsageError, match="more than 0"):
        _run("expire", "--state", state)
    with pytest.raises(UsageError, match="--reason"):
        _run("hold", "track", "t1", "--state", state)
    assert _run("hold", "track", "t1", "--reason", "case 4711", "--state", state) == 0
    words = ("expire", "--sightings-days", "1e-9", "--json", "--state", state)
    capsys.readouterr()
    assert _run(*words, "--archive", str(archive)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["erased"], found["held"]) == ({"sighting": 3}, 3)
    assert _run("hold", "track", "t1", "--release", "--state", state) == 0
    capsys.readouterr()
    assert _run(*words) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == {"sighting": 3}
    assert _run("verify", "--json", "--state", state) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == 6
    assert archive.exists()
