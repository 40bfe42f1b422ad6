"""Small files that are whole whenever the power goes: written beside, on the disk, then under their name."""

import os
from pathlib import Path


def replace_durably(path: Path, data: bytes) -> None:
    """Put `data` under `path` in one step; old or new stands there after a power cut, never a part.

    The folder must exist. Raises `OSError` as the file system says it.
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
