"""Notices that another model lies in a folder; a plain object, time handed in."""

from pathlib import Path

from skywarden.clock import NS_PER_S

PERIOD_NS = 10 * NS_PER_S
_PARTS = ("model.toml", "model.onnx", "model.sig")


class FolderWatch:
    """Looks every ten seconds; each state of the folder is new once."""

    def __init__(self, folder: Path, *, period_ns: int = PERIOD_NS) -> None:
        self.folder = folder
        self._period_ns = period_ns
        self._next_ns = 0
        self._tried: tuple[tuple[str, int, int], ...] = ()

    def is_new(self, now_ns: int) -> bool:
        """Whether a model that was not tried is there, and whole (`now_ns`: monotonic)."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._period_ns
        found = self._contents()
        if not found or found == self._tried or found != self._contents():
            return False
        self._tried = found
        return True

    def _contents(self) -> tuple[tuple[str, int, int], ...]:
        try:
            if not (self.folder / "model.toml").is_file():
                return ()
            parts = [path for path in (self.folder / name for name in _PARTS) if path.is_file()]
            return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in parts)
        except OSError:
            return ()
