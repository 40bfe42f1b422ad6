"""`skywarden ground users`, `tls`, `access-log` from the outside, beside a running station."""

import io
import json
import ssl
import stat
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ground.cli import app
from ground.config import GroundConfig
from ground.http import tls
from ground.serve import start_ground
from skywarden.errors import AccessError, ConfigError, StoreError, UsageError, VerificationError
from tests.ground.scenes import authorization, running_ground

PASSWORD = "harbour lantern 7 otters"


def _run(*words: str) -> int:
    result = app(list(words), result_action="return_value")
    assert isinstance(result, int)
    return result


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert _run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_accounts_are_kept_beside_a_running_station(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_ground(tmp_path) as ground:
        state = ("--state", str(tmp_path / "ground"))
        made = _said(capsys, "users", "add", "maria", "--role", "operator", *state)
        assert (made["account"], made["role"]) == ("maria", "operator")
        ground.doorkeeper.use_code(str(made["code"]), PASSWORD, "10.0.0.1")
        assert _said(capsys, "users", "list", *state)["accounts"] == [
            {
                "account": "maria",
                "role": "operator",
                "has_password": True,
                "is_disabled": False,
                "sessions": 1,
                "keys": 0,
            }
        ]
        assert _run("users", "role", "maria", "supervisor", *state) == 0
        monkeypatch.setattr("sys.stdin", io.StringIO("a wholly new phrase 5\n"))
        assert _said(capsys, "users", "reset", "maria", "--password", *state)["code"] is None
        with pytest.raises(AccessError):
            ground.doorkeeper.sign_in("maria", PASSWORD, "127.0.0.1")
        token = ground.doorkeeper.sign_in("maria", "a wholly new phrase 5", "127.0.0.1")
        found = _said(capsys, "users", "sessions", "maria", "--end", "all", *state)["sessions"]
        assert isinstance(found, list)
        assert len(found) == 1
        assert not hasattr(ground.doorkeeper.sessions.identify(token), "account")
        assert _run("users", "disable", "maria", *state) == 0
        with pytest.raises(UsageError, match="enable"):
            _run("users", "reset", "maria", *state)
        assert _run("users", "enable", "maria", *state) == 0
        capsys.readouterr()
        assert _run("access-log", "--last", "100", *state) == 0
        lines = capsys.readouterr().out.splitlines()
        assert any("maria: operator becomes supervisor" in line for line in lines)
        assert not any("phrase" in line or PASSWORD in line for line in lines)
        assert _said(capsys, "access-log", "--verify", *state)["problems"] == []


@pytest.mark.slow
def test_a_key_is_shown_once_and_ends_when_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_ground(tmp_path) as ground:
        state = ("--state", str(tmp_path / "ground"))
        _run("users", "add", "maria", "--role", "viewer", *state)
        capsys.readouterr()
        key = str(_said(capsys, "users", "key", "maria", "--title", "display", *state)["key"])
        request = urllib.request.Request(
            f"{ground.http_url}/api/v1/status", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        listed = _said(capsys, "users", "keys", *state)
        assert key.split("_", 2)[2] not in json.dumps(listed)
        assert _run("users", "keys", "--revoke", key.split("_")[1], *state) == 0
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == 401


@pytest.mark.slow
def test_an_export_on_the_command_line_is_in_the_access_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_ground(tmp_path):
        state = ("--state", str(tmp_path / "ground"))
        assert _run("export", "contacts", "--out", str(tmp_path / "out.geojson"), *state) == 0
        capsys.readouterr()
        _run("access-log", "--json", *state)
        last = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (last["action"], last["address"]) == ("export", "local")
        assert "contacts" in last["what"]


def test_a_changed_log_ends_with_3(tmp_path: Path) -> None:
    import sqlite3

    state = ("--state", str(tmp_path))
    _run("users", "add", "maria", *state)
    with sqlite3.connect(tmp_path / "accounts.sqlite") as db:
        db.execute("DROP TRIGGER access_log_is_final")
        db.execute("UPDATE access_log SET event = replace(event, 'maria', 'mario') WHERE number = 1")
    db.close()
    with pytest.raises(VerificationError) as found:
        _run("access-log", "--verify", *state)
    assert found.value.exit_code == 3


@pytest.mark.slow
def test_another_address_needs_a_certificate_and_then_speaks_https(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "ground"
    config = GroundConfig(state=str(state), http="0.0.0.0:0", link="127.0.0.1:0")
    with pytest.raises(ConfigError, match="tls create"):
        start_ground(config)
    made = _said(capsys, "tls", "create", "--name", "localhost", "--name", "127.0.0.1", "--state", str(state))
    assert _said(capsys, "tls", "show", "--state", str(state)) == made
    with pytest.raises(UsageError, match="--replace"):
        _run("tls", "create", "--name", "localhost", "--state", str(state))
    for path in (tls.certificate_path(state), tls.private_key_path(state)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    handle = start_ground(config)
    try:
        port = handle.http_address.rpartition(":")[2]
        assert handle.http_url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(tls.certificate_path(state)))
        request = urllib.request.Request(
            f"https://127.0.0.1:{port}/api/v1/status", headers=dict([authorization(handle)])
        )
        with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
            assert answer.status == 200
        _, code = handle.first_sign_in() or ("", "")
        body = json.dumps({"code": code, "password": PASSWORD}).encode()
        request = urllib.request.Request(
            f"https://127.0.0.1:{port}/api/v1/session/code",
            data=body,
            headers={"Content-Type": "application/json", "Origin": f"https://127.0.0.1:{port}"},
        )
        with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
            cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert word in cookie
    finally:
        handle.stop()


def test_a_certificate_of_ones_own_is_taken_over_only_with_its_key(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    tls.create_certificate(tmp_path / "a", ["a.example"], now=now)
    tls.create_certificate(tmp_path / "b", ["b.example"], now=now)
    files = [tls.certificate_path(tmp_path / "a"), tls.private_key_path(tmp_path / "a")]
    found = tls.import_certificate(tmp_path / "c", files[0], files[1], now=now)
    assert found == tls.load_certificate(tmp_path / "c")
    assert found.names == ("a.example",)
    with pytest.raises(UsageError, match="not the one"):
        tls.import_certificate(tmp_path / "d", files[0], tls.private_key_path(tmp_path / "b"), now=now)
    with pytest.raises(UsageError, match="good from"):
        tls.import_certificate(tmp_path / "d", files[0], files[1], now=now + timedelta(days=500))
    with pytest.raises(UsageError, match="PEM"):
        tls.import_certificate(tmp_path / "d", files[1], files[1], now=now)
    tls.private_key_path(tmp_path / "c").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        tls.check_files(tmp_path / "c")
    assert not tls.has_certificate(tmp_path / "d")


@pytest.mark.parametrize("name", ["", "a b", "http://x", "x" * 300, "a..b"])
def test_what_is_no_host_name_gets_no_certificate(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        tls.create_certificate(tmp_path, [name], now=datetime.now(UTC))


@pytest.mark.slow
def test_what_cannot_be_logged_is_not_shown(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground:
        header = dict([authorization(ground)])
        ground.doorkeeper.log.close()
        request = urllib.request.Request(f"{ground.http_url}/api/v1/contacts.geojson", headers=header)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 503
        assert "logged" in json.loads(refused.value.read())["error"]
        refused.value.close()
        with pytest.raises(StoreError):
            ground.doorkeeper.note_local("export", "x")


@pytest.mark.slow
def test_a_large_body_and_a_flood_are_refused(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground:
        request = urllib.request.Request(
            f"{ground.http_url}/api/v1/session",
            data=b"x" * 20_000,
            headers={"Content-Type": "application/json"},
        )
        codes = []
        for _ in range(160):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            codes.append(refused.value.code)
            refused.value.close()
        assert codes[0] == 413
        assert 429 in codes
