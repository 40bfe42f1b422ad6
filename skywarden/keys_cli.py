"""`skywarden keys`: make a link key and show its public half."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from skywarden import keys

app = App(
    name="keys",
    help="Make and show the keys of the link.\n\n"
    "Examples: `skywarden keys create /etc/skywarden/keys/edge.key`, then hand its public line to the\n"
    "ground: `skywarden ground enrol uav07 swpub1:...`",
)


@app.command
def create(path: Path, *, json_: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Make a new key pair in PATH (mode 0600) and print its public half; an existing file is never replaced.

    Parameters
    ----------
    path: where the key file goes.
    json_: print one JSON object.
    """
    _show(keys.create_key_file(path), as_json=json_)
    return 0


@app.command
def show(path: Path, *, json_: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Print the public half of the key in PATH and its fingerprint; the secret is never shown.

    Parameters
    ----------
    path: the key file.
    json_: print one JSON object.
    """
    _show(keys.load_key_file(path), as_json=json_)
    return 0


def _show(pair: keys.KeyPair, *, as_json: bool) -> None:
    if as_json:
        text = json.dumps({"public_key": pair.public_text, "fingerprint": pair.fingerprint})
    else:
        text = f"{pair.public_text}\nfingerprint {pair.fingerprint}"
    sys.stdout.write(text + "\n")
