"""A file that only one process at a time may hold: two writers of one store would damage it."""

import fcntl
import os
from pathlib import Path

from skywarden.errors import StoreError


def hold(path: Path, taken: str) -> int:
    """Make `path` and lock it; the descriptor holds the lock until it is closed, also by the process's end.

    Raises `StoreError` with the sentence `taken` when another process holds it, or when it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be made ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(taken) from error
    return descriptor
