"""Where a station's files lie in its state folder."""

from pathlib import Path


def store_path(state_dir: Path) -> Path:
    """Where the store lies."""
    return state_dir / "store.sqlite"


def authorized_dir(state_dir: Path) -> Path:
    """Where the public keys of the platforms lie that are let in."""
    return state_dir / "authorized"


def server_key_path(state_dir: Path) -> Path:
    """Where the station's own key lies."""
    return state_dir / "keys" / "server.key"
