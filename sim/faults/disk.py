"""A disk that can lose power: an SQLite VFS that remembers what was synced and what was not.

Files are real ones. Beside each file lies, in memory, what a disk that lost power now would certainly hold,
and the writes since the last sync, each of which such a disk may hold, lose or tear at a 512-byte sector. A
disk can also die at its n-th operation, be full, refuse to sync, or be slow.
"""

import contextlib
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

_SECTOR_BYTES = 512
_names = itertools.count(1)

Write = tuple[int, bytes | None]
"""Offset and data; without data a truncation at the offset."""


@dataclass(slots=True)
class _Contents:
    durable: bytearray
    unsynced: list[Write] = field(default_factory=list)


class CrashDisk(apsw.VFS):
    """See the module. Open databases on it with `vfs=disk.name`.

    Attributes:
        operations: writes, syncs and truncations so far.
        die_at: the operation at which the machine dies; everything afterwards fails.
        refuse_at: the one operation that fails with an I/O error.
        is_full: writes are refused as on a full disk.
        is_lying: syncs do nothing (a disk, or a setting, that does not keep its word).
        sync_count: syncs so far, for a model of slowness.
    """

    def __init__(self, rng: random.Random) -> None:
        self.name = f"skywarden-crash-{next(_names)}"
        self.rng = rng
        self.operations = 0
        self.sync_count = 0
        self.die_at: int | None = None
        self.refuse_at: int | None = None
        self.is_dead = False
        self.is_full = False
        self.is_lying = False
        self.contents: dict[str, _Contents] = {}
        super().__init__(self.name, "")

    def excepthook(self, kind: Any, value: Any, trace: Any) -> bool:
        """Refusals are meant; SQLite passes them on as its own errors."""
        return True

    def xOpen(self, name: Any, flags: list[int]) -> "_CrashFile":  # noqa: N802 (APSW's name)
        """A file of this disk; new to it, what is in it counts as synced."""
        file = _CrashFile(self, name, flags)
        if file.path is not None and file.path not in self.contents:
            path = Path(file.path)
            self.contents[file.path] = _Contents(bytearray(path.read_bytes() if path.exists() else b""))
        return file

    def xDelete(self, filename: str, sync_dir: bool) -> None:  # noqa: N802 (APSW's name)
        """Remove a file, for good."""
        self.step()
        self.contents.pop(filename, None)
        super().xDelete(filename, sync_dir)

    def xRandomness(self, count: int) -> bytes:  # noqa: N802 (APSW's name)
        """SQLite's own random numbers come from the seed too."""
        return self.rng.randbytes(count)

    def step(self, *, writes: bool = False) -> None:
        """One operation; raises what SQLite is to see when the machine is dead, dies now, or is full."""
        self.operations += 1
        if self.die_at is not None and self.operations >= self.die_at:
            self.is_dead = True
        if self.is_dead:
            raise apsw.IOError("the machine is dead")
        if self.operations == self.refuse_at:
            raise apsw.IOError("the disk failed once")
        if writes and self.is_full:
            raise apsw.FullError("no space left")

    def lose_power(self) -> int:
        """What was not synced is kept, lost or torn, write by write; how many writes were lost or torn.

        Connections must have been let go of before.
        """
        lost = 0
        for path, contents in self.contents.items():
            for offset, data in contents.unsynced:
                fate = self.rng.random()
                if data is None:
                    if fate < 0.5:
                        del contents.durable[offset:]
                elif fate < 0.4:
                    _put(contents.durable, offset, data)
                elif fate < 0.6:
                    lost += 1
                    for start in range(0, len(data), _SECTOR_BYTES):
                        if self.rng.random() < 0.5:
                            sector = data[start : start + _SECTOR_BYTES]
                            _put(contents.durable, offset + start, sector)
                else:
                    lost += 1
            contents.unsynced.clear()
            if not path.endswith("-shm"):
                Path(path).write_bytes(contents.durable)
        self._forget_shared_memory()
        return lost

    def restart(self) -> None:
        """The machine runs again, with what its files hold now."""
        self.is_dead, self.die_at, self.is_full = False, None, False

    def replace_files(self) -> None:
        """The files were replaced from outside (an old image): take them as they are."""
        self.contents.clear()
        self._forget_shared_memory()

    def _forget_shared_memory(self) -> None:
        for path in [Path(path) for path in self.contents]:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name.removesuffix("-wal") + "-shm").unlink()


class _CrashFile(apsw.VFSFile):
    def __init__(self, disk: CrashDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.path: str | None = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)

    def excepthook(self, kind: Any, value: Any, trace: Any) -> bool:
        """See `CrashDisk.excepthook`."""
        return True

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 (APSW's name)
        self.disk.step(writes=True)
        if self.path is not None:
            self.disk.contents[self.path].unsynced.append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 (APSW's name)
        self.disk.step()
        if self.path is not None:
            self.disk.contents[self.path].unsynced.append((size, None))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 (APSW's name)
        if self.disk.is_dead:
            return  # of no effect; SQLite asks once more when it lets go of the file
        self.disk.step()
        self.disk.sync_count += 1
        if self.path is None or self.disk.is_lying:
            return
        contents = self.disk.contents[self.path]
        for offset, data in contents.unsynced:
            if data is None:
                del contents.durable[offset:]
            else:
                _put(contents.durable, offset, data)
        contents.unsynced.clear()


def _put(contents: bytearray, offset: int, data: bytes) -> None:
    if len(contents) < offset:
        contents.extend(bytes(offset - len(contents)))
    contents[offset : offset + len(data)] = data
