"""A technician enrols a platform: by code, by stick, with new keys; nobody without the code is let in."""

import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import pytest

from ground.link.authenticator import AllowList, enrol
from ground.link.enrolments import enrol_line
from ground.link.invitation import MAX_TRIES, Invitation
from ground.serve import authorized_dir
from skywarden import evidence
from skywarden.errors import LinkError, PeerUnavailableError, UsageError, WireError
from skywarden.evidence import EvidenceKey
from skywarden.link import enrolment, keys, rotation
from skywarden.link.enrolment import Hello, Offer, PlatformSide, Proof, StationSide, Welcome
from skywarden.link.enrolment_call import call_station
from skywarden.link.keys_cli import app as keys_app
from tests.ground.scenes import position, put, running_edge, running_ground, sighting

CODE = enrolment.read_code(enrolment.new_code())
STATION = keys.new_key_pair()


class _Waiting:
    """An invitation on a free port, in a thread."""

    def __init__(self, *, minutes: float = 1.0, letters: str = CODE) -> None:
        self.let_in: list[Hello] = []
        self.failure: Exception | None = None
        self.invitation = Invitation(letters, "uav07", STATION.public, self.let_in.append)
        self._minutes = minutes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listening.getsockname()
        self._thread = threading.Thread(target=self._wait)

    def _wait(self) -> None:
        try:
            self.invitation.wait(self._listening, self._minutes)
        except (LinkError, PeerUnavailableError, OSError) as error:
            self.failure = error

    def __enter__(self) -> "_Waiting":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(20 if error is None else 0)
        self._listening.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


def _platform() -> tuple[keys.KeyPair, EvidenceKey]:
    return keys.new_key_pair(), EvidenceKey.new()


@pytest.mark.slow
def test_with_the_code_both_sides_learn_each_others_keys() -> None:
    pair, signer = _platform()
    with _Waiting() as waiting:
        assert call_station(waiting.address, CODE, "uav07", pair, signer) == STATION.public
    assert [(one.link_key, one.evidence_key) for one in waiting.let_in] == [(pair.public, signer.public)]


@pytest.mark.slow
def test_wrong_codes_are_told_apart_from_junk_and_end_the_invitation() -> None:
    pair, signer = _platform()
    others = [enrolment.read_code(enrolment.new_code()) for _ in range(MAX_TRIES)]
    with _Waiting() as waiting:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0", b"\xff\xff" + b"x" * 50, b"\0\x04junk", b""):
            with socket.create_connection(waiting.address, timeout=5) as connection:
                connection.sendall(junk)
                with contextlib.suppress(OSError):  # the station may have hung up already
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(100):
                        pass
        assert waiting.invitation.tries == 0
        for number, code in enumerate(others):
            with pytest.raises(LinkError, match="the code is another one"):
                call_station(waiting.address, code, "uav07", pair, signer)
            assert waiting.invitation.tries == number + 1
    assert isinstance(waiting.failure, LinkError)
    assert "void" in str(waiting.failure)
    assert waiting.let_in == []
    with pytest.raises(PeerUnavailableError, match="ground invite"):
        call_station(waiting.address, CODE, "uav07", pair, signer)


def test_a_code_ends_with_its_time() -> None:
    with _Waiting(minutes=0.002) as waiting:
        pass
    assert isinstance(waiting.failure, PeerUnavailableError)


@pytest.mark.slow
def test_a_code_is_for_one_platform_only() -> None:
    with _Waiting(minutes=0.05) as waiting, pytest.raises(LinkError, match="for uav07, not for uav08"):
        call_station(waiting.address, CODE, "uav08", *_platform())
    assert waiting.let_in == []


def test_a_station_without_the_code_is_not_believed() -> None:
    side = PlatformSide(CODE, "uav07", *_platform())
    side.answer(Offer(station_key=STATION.public, nonce=bytes(16)))
    with pytest.raises(LinkError, match="does not have the code"):
        side.conclude(Welcome(mac=bytes(32)))


@pytest.mark.slow
def test_whoever_sits_between_and_changes_a_key_is_found_out() -> None:
    pair, signer = _platform()
    ground, side = StationSide(CODE, "uav07", STATION.public), PlatformSide(CODE, "uav07", pair, signer)
    stranger = keys.new_key_pair()
    swapped = Hello(
        version=1,
        platform_id="uav07",
        link_key=stranger.public,
        evidence_key=signer.public,
        nonce=side.hello.nonce,
    )
    proof = side.answer(ground.offer(swapped))
    with pytest.raises(LinkError, match="another one"):
        ground.judge(proof)
    honest = StationSide(CODE, "uav07", STATION.public)
    offer = honest.offer(side.hello)
    theirs = Offer(station_key=stranger.public, nonce=offer.nonce)
    with pytest.raises(LinkError, match="another one"):
        honest.judge(side.answer(theirs))


@pytest.mark.slow
def test_an_evidence_key_that_one_does_not_have_cannot_be_enrolled() -> None:
    pair, signer = _platform()
    ground, side = StationSide(CODE, "uav07", STATION.public), PlatformSide(CODE, "uav07", pair, signer)
    proof = side.answer(ground.offer(side.hello))
    with pytest.raises(LinkError, match="does not have the evidence key"):
        ground.judge(Proof(mac=proof.mac, signature=bytes(64)))
    assert ground.judge(proof)[0] == side.hello


def test_a_code_reads_the_same_however_it_is_typed_and_a_slip_is_seen() -> None:
    code = enrolment.new_code()
    letters = enrolment.read_code(code)
    assert enrolment.read_code(f" {code.lower().replace('-', ' ')} ") == letters
    assert enrolment.read_code(letters.replace("0", "o").replace("1", "l")) == letters
    wrong = 0
    for place in range(10):
        slipped = letters[:place] + ("2" if letters[place] != "2" else "3") + letters[place + 1 :]
        try:
            enrolment.read_code(slipped)
        except UsageError:
            wrong += 1
    assert wrong >= 9
    for text in ("", "K7QM", letters + "2", "U" * 12):
        with pytest.raises(UsageError):
            enrolment.read_code(text)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\xa5hello", b"x" * 2_000, b"\x92\xa5offer\xc0"])
def test_damaged_messages_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        enrolment.decode(data)


@pytest.mark.slow
def test_invite_and_enrol_by_the_commands_and_no_secret_is_seen_anywhere(tmp_path: Path) -> None:
    state, aboard = tmp_path / "ground", tmp_path / "aboard" / "edge.key"
    run = [sys.executable, "-m", "skywarden.cli"]
    subprocess.run([*run, "keys", "create", str(aboard)], check=True, capture_output=True, timeout=60)
    words = ["ground", "invite", "uav07", "--listen", "127.0.0.1:0", "--state", str(state), "--json"]
    waiting = subprocess.Popen([*run, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiting.stdout is not None
    shown = json.loads(waiting.stdout.readline())
    words = ["keys", "enrol", shown["listen"], "uav07", "--key", str(aboard), "--json"]
    done = subprocess.run(
        [*run, *words], input=shown["code"] + "\n", capture_output=True, text=True, timeout=60, check=True
    )
    said, complaints = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, complaints
    there, here = json.loads(said), json.loads(done.stdout)
    assert there["fingerprint"] == here["fingerprint"]
    assert there["evidence_fingerprint"] == here["evidence_fingerprint"]
    assert shown["station_fingerprint"] == here["station_fingerprint"]
    assert keys.fingerprint(keys.read_public(here["station_file"])) == shown["station_fingerprint"]
    assert AllowList(authorized_dir(state)).platform_of(keys.load_key_file(aboard).public) == "uav07"
    for text in (said, complaints, done.stdout, done.stderr):
        assert "sec1:" not in text
    assert shown["code"] not in complaints + done.stdout + done.stderr


def test_a_stick_carries_public_keys_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stick, aboard = tmp_path / "stick", tmp_path / "aboard" / "edge.key"
    stick.mkdir()
    keys.keep_public(stick / "station.pub", STATION.public_text)
    pair = keys.create_key_file(aboard)
    signer = evidence.create_evidence_key(evidence.evidence_key_path(aboard))
    words = ["enrol", str(stick / "station.pub"), "uav07", "--key", str(aboard)]
    assert keys_app(words, result_action="return_value") == 0
    assert STATION.fingerprint in capsys.readouterr().out
    assert keys.read_public(str(aboard.parent / "station.pub")) == STATION.public
    one = enrol_line(tmp_path / "authorized", "uav07", str(stick / "uav07.pub"), now_ns=time.time_ns())
    assert (one.public_key, one.evidence_keys) == (pair.public, (signer.public,))
    assert not [path for path in stick.iterdir() if "sec1:" in path.read_text()]
    monkeypatch.setattr(sys, "stdin", io.StringIO("no code\n"))
    with pytest.raises(UsageError, match="12 letters"):
        keys_app(
            ["enrol", "127.0.0.1:9", "uav07", "--key", str(aboard)],
            result_action="return_value",
            exit_on_error=False,
        )


def test_a_key_that_is_open_to_others_enrols_nobody(tmp_path: Path) -> None:
    aboard = tmp_path / "edge.key"
    keys.create_key_file(aboard)
    evidence.create_evidence_key(evidence.evidence_key_path(aboard))
    aboard.chmod(0o644)
    with pytest.raises(LinkError, match="0644; run `chmod 600"):
        keys_app(
            ["enrol", "127.0.0.1:9", "uav07", "--key", str(aboard)],
            result_action="return_value",
            exit_on_error=False,
        )


class _Hands:
    """A clock that is set by hand; UTC may jump, the monotonic one goes on."""

    def __init__(self) -> None:
        self.utc, self.mono = 1_780_000_000_000_000_000, 5_000_000_000

    def utc_ns(self) -> int:
        return self.utc

    def monotonic_ns(self) -> int:
        return self.mono

    def pass_s(self, seconds: float) -> None:
        self.utc += round(seconds * 1e9)
        self.mono += round(seconds * 1e9)


def test_old_and_new_keys_overlap_and_the_old_one_ends_for_good_though_the_clock_goes_back(
    tmp_path: Path,
) -> None:
    clock, folder = _Hands(), tmp_path / "authorized"
    old, new = keys.new_key_pair(), keys.new_key_pair()
    enrol(folder, "uav07", old.public)
    enrol(folder, "uav07", new.public, replace=True, overlap_until_ns=clock.utc + 3_600 * 10**9)
    allowed = AllowList(folder, clock)
    assert [allowed.platform_of(key) for key in (old.public, new.public)] == ["uav07", "uav07"]
    clock.pass_s(3_000)
    clock.utc -= 3_600 * 10**9
    allowed.refresh()
    assert allowed.platform_of(old.public) == "uav07"
    clock.pass_s(700)
    allowed.refresh()
    assert [allowed.platform_of(key) for key in (old.public, new.public)] == [None, "uav07"]
    clock.utc -= 20 * 365 * 86_400 * 10**9
    for again in (allowed, AllowList(folder, clock)):
        again.refresh()
        assert [again.platform_of(key) for key in (old.public, new.public)] == [None, "uav07"]


def test_new_keys_are_vouched_for_by_the_old_evidence_key_and_by_no_other(tmp_path: Path) -> None:
    path, folder = tmp_path / "edge.key", tmp_path / "authorized"
    old = keys.create_key_file(path)
    signer = evidence.create_evidence_key(evidence.evidence_key_path(path))
    enrol(folder, "uav07", old.public, evidence_keys=(signer.public,))
    pair, line = rotation.prepare(path)
    assert rotation.prepare(path)[0].public == pair.public
    other = keys.create_key_file(tmp_path / "other.key")
    stranger = evidence.create_evidence_key(evidence.evidence_key_path(tmp_path / "other.key"))
    assert other.public != old.public
    _, forged = rotation.prepare(tmp_path / "other.key")
    with pytest.raises(LinkError, match="not by an evidence key that uav07"):
        enrol_line(folder, "uav07", forged, now_ns=time.time_ns())
    words = line.split()
    swapped = " ".join((words[0], stranger.public_text, words[2]))
    with pytest.raises(LinkError, match="not by an evidence key that uav07"):
        enrol_line(folder, "uav07", swapped, now_ns=time.time_ns())
    enrol_line(folder, "uav07", line, now_ns=time.time_ns())
    allowed = AllowList(folder)
    assert [allowed.platform_of(key) for key in (old.public, pair.public)] == ["uav07", "uav07"]
    assert len(allowed.evidence_keys_of("uav07")) == 2
    assert rotation.finish(path).public == pair.public
    assert evidence.load_evidence_key(evidence.evidence_key_path(path)).public != signer.public
    with pytest.raises(LinkError, match="no next key"):
        rotation.finish(path)


@pytest.mark.slow
def test_rotation_loses_no_record_and_doubles_none(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground:
        folder = authorized_dir(tmp_path / "ground")
        with running_edge(tmp_path, ground) as (outbox, downlink):
            put(outbox, sighting(number=1, place=position()))
            assert downlink.wait_until_delivered(10)
        key = next(
            path for path in tmp_path.rglob("*.key") if "ground" not in path.parts and "evi" not in path.name
        )
        _, line = rotation.prepare(key)
        enrol_line(folder, "uav07", line, now_ns=time.time_ns(), overlap_hours=1.0)
        with running_edge(tmp_path, ground, is_enrolled=False) as (outbox, downlink):
            put(outbox, sighting(number=2, place=position()))
            assert downlink.wait_until_delivered(20)
        rotation.finish(key)
        with running_edge(tmp_path, ground, is_enrolled=False) as (outbox, downlink):
            put(outbox, sighting(number=3, place=position()))
            assert downlink.wait_until_delivered(20)
        assert ground.store.counts().sightings == 3
        assert ground.receiver.counts.untrusted == 0


def test_keys_revoke_is_the_grounds_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair, state = keys.new_key_pair(), tmp_path / "ground"
    enrol(authorized_dir(state), "uav07", pair.public)
    assert keys_app(["revoke", "uav07", "--state", str(state)], result_action="return_value") == 0
    assert "uav07" in capsys.readouterr().out
    assert AllowList(authorized_dir(state)).platform_of(pair.public) is None
