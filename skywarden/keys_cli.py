"""`skywarden keys`: make a link key and show its public half."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from skywarden.keys import KeyPair

app = App(
    name="keys",
    help="""Make and show the keys of the encrypted link.

For example, make the platform's key, then hand its public line to the ground:

    skywarden keys create /etc/skywarden/keys/edge.key
    skywarden ground enrol uav07 swpub1:...
""",
    default_parameter=Parameter(negative=()),
)


@app.command
def create(path: Path, *, json: bool = False) -> int:
    """Make a new key pair (mode 0600) and print its public half; an existing file is never replaced.

    For example:

        skywarden keys create /etc/skywarden/keys/edge.key

    Parameters
    ----------
    path
        Where the key file goes; its folder is made when there is none.
    json
        Print one JSON object: `public_key` and `fingerprint`.
    """
    from skywarden.keys import create_key_file

    _show(create_key_file(path), as_json=json)
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
        Print one JSON object: `public_key` and `fingerprint`.
    """
    from skywarden.keys import load_key_file

    _show(load_key_file(path), as_json=json)
    return 0


def _show(pair: "KeyPair", *, as_json: bool) -> None:
    if as_json:
        text = json_module.dumps({"public_key": pair.public_text, "fingerprint": pair.fingerprint})
    else:
        text = f"{pair.public_text}\nfingerprint {pair.fingerprint}"
    sys.stdout.write(text + "\n")
