"""`skywarden keys`: make, show, enrol, rotate and revoke the keys of the encrypted link."""

import json as json_module
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Parameter

from skywarden.errors import UsageError

if TYPE_CHECKING:
    from skywarden.evidence import EvidenceKey
    from skywarden.link.keys import KeyPair

app = App(
    name="keys",
    help="""Make, enrol, rotate and revoke the keys of the encrypted link.

For example, make the platform's keys, then enrol them with the code that `skywarden ground invite` shows:

    skywarden keys create /etc/skywarden/keys/edge.key
    skywarden keys enrol 10.0.0.5:5691 uav07 --key /etc/skywarden/keys/edge.key
""",
    default_parameter=Parameter(negative=()),
)


@app.command
def create(path: Path, *, json: bool = False) -> int:
    """Make a link key and an evidence key (mode 0600) and print the public halves; none is ever replaced.

    The evidence key signs what is recorded; it lies beside the link key (`edge.evidence.key`).

    For example:

        skywarden keys create /etc/skywarden/keys/edge.key

    Parameters
    ----------
    path
        Where the key file goes; its folder is made when there is none.
    json
        Print one JSON object: `public_key`, `fingerprint`, `evidence_key` and `evidence_fingerprint`.
    """
    from skywarden.evidence import create_evidence_key, evidence_key_path
    from skywarden.link.keys import create_key_file

    _show(create_key_file(path), create_evidence_key(evidence_key_path(path)), as_json=json)
    return 0


@app.command
def show(path: Path, *, json: bool = False) -> int:
    """Print the public half of a key and its fingerprint; the secret is never shown.

    For example:

        skywarden keys show /etc/skywarden/keys/edge.key

    Parameters
    ----------
    path
        The key file.
    json
        Print one JSON object: `public_key`, `fingerprint`, `evidence_key` and `evidence_fingerprint` (null
        where there is no evidence key beside it, as on a ground station).
    """
    from skywarden.evidence import evidence_key_path, load_evidence_key
    from skywarden.link.keys import load_key_file

    pair = load_key_file(path)
    beside = evidence_key_path(path)
    _show(pair, load_evidence_key(beside) if beside.exists() else None, as_json=json)
    return 0


@app.command
def enrol(
    station: str, platform: str, *, key: Path, station_file: Path | None = None, json: bool = False
) -> int:
    """Enrol this platform: at a waiting station with its one-time code, or with a stick.

    The code is asked for at the terminal, or read from the first line of standard input; it is never an
    argument. With the path of a station's key (on a stick) that key is taken, and this platform's public
    keys are written beside it for `skywarden ground enrol`. Compare the fingerprints either way.

    For example:

        skywarden keys enrol 10.0.0.5:5691 uav07 --key /etc/skywarden/keys/edge.key
        skywarden keys enrol /media/stick/station.pub uav07 --key /etc/skywarden/keys/edge.key

    Parameters
    ----------
    station
        HOST:PORT that `skywarden ground invite` shows, or the file of the station's public key.
    platform
        This platform's id, as in its edge.toml.
    key
        This platform's key file; the evidence key lies beside it.
    station_file
        Where the station's public key is kept (default: station.pub beside KEY); put its path into
        `link.ground_public_key`.
    json
        Print one JSON object: `station_fingerprint`, `station_file`, `fingerprint`, `evidence_fingerprint`.
    """
    from skywarden import evidence
    from skywarden.link import keys

    pair, signer = keys.load_key_file(key), evidence.load_evidence_key(evidence.evidence_key_path(key))
    place = station_file or key.parent / "station.pub"
    if station.startswith("/") or station.startswith(".") or Path(station).is_file():
        station_key = keys.read_public(station)
        keys.keep_public(place, keys.public_text(station_key))
        line = evidence.enrolment_line(pair, signer)
        keys.keep_public(Path(station).parent / f"{_file_name(platform)}.pub", line)
    else:
        from skywarden.link.enrolment import read_code
        from skywarden.link.enrolment_call import call_station

        station_key = call_station(_address(station), read_code(_ask_code()), platform, pair, signer)
        keys.keep_public(place, keys.public_text(station_key))
    found = {
        "station_fingerprint": keys.fingerprint(station_key),
        "station_file": str(place),
        "fingerprint": pair.fingerprint,
        "evidence_fingerprint": signer.fingerprint,
    }
    if json:
        sys.stdout.write(json_module.dumps(found) + "\n")
        return 0
    sys.stdout.write(f"station's fingerprint  {found['station_fingerprint']}\n")
    sys.stdout.write(f"our fingerprint        {found['fingerprint']}\n")
    sys.stdout.write(f"our evidence key       {found['evidence_fingerprint']}\n")
    sys.stdout.write(f'edge.toml, section link: key_file = "{key}"\n')
    sys.stdout.write(f'                         ground_public_key = "{place}"\n')
    return 0


@app.command
def rotate(path: Path, *, finish: bool = False, json: bool = False) -> int:
    """Make the next pair of keys, vouched for by the evidence key of today; --finish begins to use it.

    First without --finish: it prints a line for `skywarden ground enrol PLATFORM "LINE"`, which lets in old
    and new keys for a day (see --overlap-hours there). Then with --finish aboard, and restart the worker:
    what waits in its outbox goes on with the new keys.

    For example:

        skywarden keys rotate /etc/skywarden/keys/edge.key
        skywarden keys rotate /etc/skywarden/keys/edge.key --finish

    Parameters
    ----------
    path
        The key file in use.
    finish
        Put the next keys in place of those in use, which stay beside them as `.old`.
    json
        Print one JSON object: `line`, `fingerprint` and `is_finished`.
    """
    from skywarden.link import rotation

    if finish:
        pair, line = rotation.finish(path), None
    else:
        pair, line = rotation.prepare(path)
    if json:
        found = {"line": line, "fingerprint": pair.fingerprint, "is_finished": finish}
        sys.stdout.write(json_module.dumps(found) + "\n")
        return 0
    if line is not None:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"fingerprint of the {'key in use' if finish else 'next key'} {pair.fingerprint}\n")
    return 0


@app.command
def revoke(
    platform: str, *, state: Path | None = None, config: Path | None = None, json: bool = False
) -> int:
    """On the ground: let PLATFORM in no more, with none of its keys; the same as `skywarden ground revoke`.

    For example:

        skywarden keys revoke uav07

    Parameters
    ----------
    platform
        The platform's id.
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object: `platform_id` and `is_enrolled`.
    """
    station = import_module("ground.station.options").StationFiles(state=state, config=config)
    code: int = import_module("ground.cli").revoke(platform, station=station, json=json)
    return code


def _ask_code() -> str:
    """The code from a person or a pipe; it is not shown while it is typed."""
    if sys.stdin is not None and sys.stdin.isatty():
        from getpass import getpass

        return getpass("one-time code: ")
    return (sys.stdin.readline(200) if sys.stdin is not None else "").strip()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text[:80]!r} is neither HOST:PORT, such as 10.0.0.5:5691, nor a file of a key")
    return host.strip("[]"), int(port)


def _file_name(platform: str) -> str:
    if not platform or not all(one.isalnum() or one in "_.:-" for one in platform) or platform[0] in ".-":
        raise UsageError(f"{platform[:60]!r} is not a platform id: letters, digits, _ . : - and at most 127")
    return platform


def _show(pair: "KeyPair", signer: "EvidenceKey | None", *, as_json: bool) -> None:
    if as_json:
        found = {
            "public_key": pair.public_text,
            "fingerprint": pair.fingerprint,
            "evidence_key": signer.public_text if signer else None,
            "evidence_fingerprint": signer.fingerprint if signer else None,
        }
        sys.stdout.write(json_module.dumps(found) + "\n")
        return
    sys.stdout.write(f"{pair.public_text}{' ' + signer.public_text if signer else ''}\n")
    sys.stdout.write(f"fingerprint {pair.fingerprint}\n")
    if signer:
        sys.stdout.write(f"evidence fingerprint {signer.fingerprint}\n")
