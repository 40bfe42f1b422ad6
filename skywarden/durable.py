"""Small files that are whole whenever the power goes: written beside, on the disk, then under their name."""

import os
from pathlib import Path


def replace_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` under `path` in one step; old or new stands there after a power cut, never a part.

    `mode` are the permissions of the file (less the process's mask): it has them before it has content, and
    what somebody else left under the name of the part is not written to. The folder must exist. Raises
    `OSError` as the file system says it.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
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
