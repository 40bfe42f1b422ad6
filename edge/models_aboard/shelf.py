"""Models that were staged aboard: checked copies in the worker's own folder; a choice outlives the stick.

A copy is made under a name that nobody looks for, checked there, and renamed: what stands on the shelf was
whole and signed when it came, and is checked again whenever it is loaded.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from models.catalogue import ZOO, Catalogue, CatalogueEntry, find_models, resolve
from models.description import MAX_DESCRIPTION_BYTES, ModelDescription, load_description
from models.intake.manifest import MAX_ENVELOPE_BYTES, SIGNATURE_NAME
from models.session import MAX_MODEL_BYTES
from skywarden.errors import ModelError

SHELF = "staged"
"""The folder's name beside the choices."""

MAX_KEPT = 12
MIN_FREE_BYTES = 200_000_000
_DESCRIPTION_NAME = "model.toml"

LoadedT = TypeVar("LoadedT")


class Shelf:
    """The staged models in one folder."""

    def __init__(self, folder: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self.folder = folder
        self._min_free_bytes = min_free_bytes

    def catalogue(self) -> Catalogue:
        """Staged models, and those of the package."""
        return find_models([self.folder] if self.folder.is_dir() else [])

    def place_of(self, wanted: str) -> str | None:
        """From where a model that is aboard is loaded: its name, or the staged folder.

        `wanted` is a name, or name and first digits of the sha256 as in a model's id. A staged one comes
        before one of the package.
        """
        name, _, digits = wanted.partition(":")
        for entry in self._staged():
            about = entry.description
            if about.name == name and about.sha256.startswith(digits):
                return str(entry.folder)
        known = find_models().named(name)
        return name if known is not None and known.description.sha256.startswith(digits) else None

    def _staged(self) -> list[CatalogueEntry]:
        """Staged models, the newest first; several may have one name."""
        found: list[tuple[int, CatalogueEntry]] = []
        for path in self.folder.glob("[!.]*/model.toml"):
            with contextlib.suppress(ModelError, OSError):
                entry = CatalogueEntry(description=load_description(path), folder=path.parent)
                found.append((path.stat().st_mtime_ns, entry))
        return [entry for _, entry in sorted(found, key=lambda pair: (-pair[0], str(pair[1].folder)))]

    def take(self, wanted: str, load: Callable[[str], LoadedT]) -> tuple[LoadedT, str]:
        """Load a model, and the place from which it can be loaded again.

        What is neither of the package nor here already is copied first, and loaded from the copy, which
        stays only when that succeeds. Raises `ModelError`, also when the disk is too full.
        """
        place = self.place_of(wanted)
        if place is not None:
            return load(place), place
        description, file = resolve(wanted)
        if file.resolve().is_relative_to(ZOO) or file.resolve().is_relative_to(self.folder.resolve()):
            return load(wanted), wanted
        kept = self.folder / f"{description.name}.{description.sha256[:16]}"
        part = self._copied(description, file)
        try:
            loaded = load(str(part))
            shutil.rmtree(kept, ignore_errors=True)
            part.rename(kept)
        except OSError as error:
            raise ModelError(f"{kept}: cannot be written ({error.strerror})") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return loaded, str(kept)

    def tidy(self, used: Collection[str]) -> None:
        """Remove the oldest that nobody uses, beyond so many, and what was left of copies."""
        if not self.folder.is_dir():
            return
        found = sorted(
            (path for path in self.folder.iterdir() if path.is_dir()),
            key=lambda path: path.stat().st_mtime_ns,
        )
        whole = [path for path in found if not path.name.startswith(".")]
        free = [path for path in whole if str(path) not in used]
        for path in free[: max(0, len(whole) - MAX_KEPT)]:
            shutil.rmtree(path, ignore_errors=True)

    def _copied(self, description: ModelDescription, file: Path) -> Path:
        parts = [
            (file, MAX_MODEL_BYTES, True),
            (file.parent / _DESCRIPTION_NAME, MAX_DESCRIPTION_BYTES, True),
            (file.parent / SIGNATURE_NAME, MAX_ENVELOPE_BYTES, False),
        ]
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            size = sum(path.stat().st_size for path, _, _ in parts if path.is_file())
            free = shutil.disk_usage(self.folder).free
            if free < size + self._min_free_bytes:
                due_mb = (size + self._min_free_bytes) / 1e6
                raise ModelError(
                    f"{self.folder}: {free / 1e6:.0f} MB are free, {due_mb:.0f} MB are due to stage "
                    "this model; make room"
                )
            folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.folder))
            for path, limit, is_due in parts:
                if is_due or path.is_file():
                    _copy(path, folder / path.name, limit)
        except OSError as error:
            raise ModelError(f"{file}: cannot be staged ({error.strerror})") from error
        if not (folder / description.file).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            raise ModelError(f"{file}: its description speaks of {description.file}, which is elsewhere")
        return folder


def _copy(source: Path, to: Path, limit_bytes: int) -> None:
    """A plain file of at most so many bytes, on the disk when this returns."""
    with source.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ModelError(f"{source}: over {limit_bytes} bytes")
    with to.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
