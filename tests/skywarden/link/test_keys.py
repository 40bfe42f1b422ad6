"""Keys are made private, stay private, and come back the same."""

import json
import stat
from pathlib import Path

import pytest

from skywarden import evidence
from skywarden.errors import LinkError
from skywarden.link import keys
from skywarden.link.keys_cli import app


def test_a_new_key_file_is_readable_by_its_owner_only_and_reads_back_the_same(tmp_path: Path) -> None:
    made = keys.create_key_file(tmp_path / "keys" / "link.key")
    assert stat.S_IMODE((tmp_path / "keys" / "link.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    read = keys.load_key_file(tmp_path / "keys" / "link.key")
    assert (read.public, read.secret) == (made.public, made.secret)


def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "link.key"
    keys.create_key_file(path)
    path.chmod(0o640)
    with pytest.raises(LinkError, match="0640; run `chmod 600"):
        keys.load_key_file(path)


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open" / "link.key"
    keys.create_key_file(path)
    path.parent.chmod(0o777)
    with pytest.raises(LinkError, match="chmod 700"):
        keys.load_key_file(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    made = keys.create_key_file(tmp_path / "link.key")
    with pytest.raises(LinkError, match="never overwritten"):
        keys.create_key_file(tmp_path / "link.key")
    assert keys.load_key_file(tmp_path / "link.key").public == made.public


def test_the_secret_is_in_no_repr() -> None:
    pair = keys.new_key_pair()
    assert repr(pair.secret) not in repr(pair)
    assert "secret" not in repr(pair)


def test_a_public_key_travels_as_text_and_the_secret_one_is_recognised(tmp_path: Path) -> None:
    pair = keys.create_key_file(tmp_path / "link.key")
    assert keys.parse_public(f"  {pair.public_text} uav07 of unit 3\n") == pair.public
    assert keys.read_public(str(tmp_path / "link.key")) == pair.public
    secret = next(word for word in (tmp_path / "link.key").read_text().split() if "swsec1:" in word)
    with pytest.raises(LinkError, match="SECRET"):
        keys.parse_public(secret)
    with pytest.raises(LinkError, match="SECRET") as refusal:
        keys.read_public(secret)
    assert secret not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "swpub1:", "swpub1:short", "swpub1:" + "!" * 43, "ssh-ed25519 AAAA"])
def test_what_is_not_a_public_key_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(LinkError):
        keys.parse_public(text)


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    one, two = keys.create_key_file(tmp_path / "a.key"), keys.create_key_file(tmp_path / "b.key")
    mixed = (tmp_path / "a.key").read_text().replace(one.public_text, two.public_text)
    (tmp_path / "a.key").write_text(mixed)
    with pytest.raises(LinkError, match="do not belong together"):
        keys.load_key_file(tmp_path / "a.key")


def test_fingerprints_differ_and_are_short_enough_to_read_out() -> None:
    prints = {keys.new_key_pair().fingerprint for _ in range(20)}
    assert len(prints) == 20
    assert all(len(text) == 24 for text in prints)


def test_the_command_makes_and_shows_a_key_without_its_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.key"
    assert app(["create", str(path)], result_action="return_value") == 0
    assert app(["show", str(path), "--json"], result_action="return_value") == 0
    printed = capsys.readouterr().out
    shown = json.loads(printed.splitlines()[-1])
    assert shown["public_key"] == keys.load_key_file(path).public_text
    signer = evidence.load_evidence_key(tmp_path / "edge.evidence.key")
    assert shown["evidence_key"] == signer.public_text
    assert printed.splitlines()[0] == evidence.enrolment_line(keys.load_key_file(path), signer)
    assert "swsec1" not in printed
    assert "swevsec1" not in printed
