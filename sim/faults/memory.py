"""How much memory a process holds, from the kernel."""

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int | None = None) -> int:
    """Resident memory of this process or of `pid`; 0 when it is gone."""
    try:
        words = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(words[1]) * _PAGE_BYTES
