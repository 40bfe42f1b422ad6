"""`skywarden keys`: make a link key and show its public half."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from skywarden.evidence import EvidenceKey
    from skywarden.keys import KeyPair

app = App(
    name="keys",
    help="""Make and show the keys of the encrypted link.

For example, make the platform's key, then hand its public line to the ground:

    skywarden keys create /etc/skywarden/keys/edge.key
    skywarden ground enrol uav07 "swpub1:... swev1:..."
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
    from skywarden.keys import create_key_file

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
    from skywarden.keys import load_key_file

    pair = load_key_file(path)
    beside = evidence_key_path(path)
    _show(pair, load_evidence_key(beside) if beside.exists() else None, as_json=json)
    return 0


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
