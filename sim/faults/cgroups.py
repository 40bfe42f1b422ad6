"""Control groups of one's own for processes that are to be starved: version 1 or 2, whichever can be made."""

import contextlib
import os
import subprocess
from pathlib import Path

from skywarden.errors import PeerUnavailableError

_GROUPS = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


class CpuGroup:
    """Processes that start in it (`argv`) get a share of one core; raises `PeerUnavailableError` when the
    machine allows no such group."""

    def __init__(self, name: str) -> None:
        self._is_two = (_GROUPS / "cgroup.controllers").exists()
        self._folder = (_GROUPS if self._is_two else _GROUPS / "cpu") / name
        knob = "cpu.max" if self._is_two else "cpu.cfs_quota_us"
        try:
            if self._is_two:
                (_GROUPS / "cgroup.subtree_control").write_text("+cpu", encoding="ascii")
            self._folder.mkdir()
            self.set_share(None)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.rmdir()
            raise PeerUnavailableError(f"no control group with {knob} can be made ({error})") from error

    def argv(self, command: list[str]) -> list[str]:
        """The command that runs `command` inside."""
        return ["sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh", *command]

    def set_share(self, share: float | None) -> None:
        """At most so much of one core from now on; `None` for all."""
        quota = round(share * _PERIOD_US) if share is not None else None
        if self._is_two:
            text = f"{quota if quota is not None else 'max'} {_PERIOD_US}"
            (self._folder / "cpu.max").write_text(text, encoding="ascii")
            return
        (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US), encoding="ascii")
        (self._folder / "cpu.cfs_quota_us").write_text(str(quota or -1), encoding="ascii")

    def close(self) -> None:
        """Take it away; what ran in it must have ended."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


class MemoryGroup:
    """One running process is put into it and gets no more memory than this; see `CpuGroup`."""

    def __init__(self, name: str, most_bytes: int) -> None:
        is_two = (_GROUPS / "cgroup.controllers").exists()
        self._folder = (_GROUPS if is_two else _GROUPS / "memory") / name
        knob = "memory.max" if is_two else "memory.limit_in_bytes"
        try:
            if is_two:
                (_GROUPS / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
            self._folder.mkdir()
            (self._folder / knob).write_text(str(most_bytes), encoding="ascii")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.rmdir()
            raise PeerUnavailableError(f"no control group with {knob} can be made ({error})") from error

    def take(self, pid: int) -> None:
        """Move a process into it."""
        (self._folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def close(self) -> None:
        """Take it away; what ran in it must have ended."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that live."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in found.stdout.split()]


def group_name(scenario: str) -> str:
    """A name that no other run uses."""
    return f"skywarden-{scenario}-{os.getpid()}"
