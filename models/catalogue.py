"""Finds models by name, folder, file or hash, and loads them: identity first, then the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from models.description import MAX_DESCRIPTION_BYTES, ModelDescription, load_description
from models.intake.manifest import (
    SIGNATURE_NAME,
    Manifest,
    Trust,
    open_manifest,
    read_envelope,
    require_match,
)
from models.network import NetworkDetector
from models.session import ModelSession, expand_providers, read_model, sha256_of
from skywarden.errors import ModelError

ZOO = Path(__file__).resolve().parent / "zoo"
"""The models that come with the package."""

_DESCRIPTION_NAME = "model.toml"
_MAX_FOLDERS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueEntry:
    """A described model; its file may be absent, when only the description comes with the package."""

    description: ModelDescription
    folder: Path

    @property
    def file(self) -> Path:
        """Where the ONNX file is, or should be."""
        return self.folder / self.description.file

    @property
    def is_present(self) -> bool:
        """Whether the ONNX file is there (its sha256 is checked when it is loaded)."""
        return self.file.is_file()


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """All described models, by name in order, and the folders with a broken description and why."""

    entries: tuple[CatalogueEntry, ...]
    broken: tuple[tuple[Path, str], ...]

    def named(self, name: str) -> CatalogueEntry | None:
        """The entry of this name."""
        return next((entry for entry in self.entries if entry.description.name == name), None)

    def with_sha256(self, sha256: str) -> CatalogueEntry | None:
        """The entry whose file has this hash."""
        return next((entry for entry in self.entries if entry.description.sha256 == sha256), None)


def find_models(folders: Sequence[Path] = ()) -> Catalogue:
    """Every `NAME/model.toml` in the given folders and in the package's zoo; the first of a name counts."""
    entries: dict[str, CatalogueEntry] = {}
    broken: list[tuple[Path, str]] = []
    for root in (*folders, ZOO):
        if not root.is_dir():
            broken.append((root, "there is no such folder"))
            continue
        for path in sorted(root.glob(f"*/{_DESCRIPTION_NAME}"))[:_MAX_FOLDERS]:
            try:
                entry = CatalogueEntry(description=load_description(path), folder=path.parent)
            except ModelError as error:
                broken.append((path.parent, str(error)))
                continue
            entries.setdefault(entry.description.name, entry)
    return Catalogue(entries=tuple(entries[name] for name in sorted(entries)), broken=tuple(broken))


def resolve(name_or_path: str | Path, folders: Sequence[Path] = ()) -> tuple[ModelDescription, Path]:
    """Description and ONNX file of a model.

    `name_or_path` is a name in the catalogue, a folder with a `model.toml`, such a file itself, or an ONNX
    file: described by the `model.toml` beside it that names it, or by whichever entry of the catalogue has
    its sha256. Raises `ModelError`.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if path.is_dir() and (path / _DESCRIPTION_NAME).is_file():
        path = path / _DESCRIPTION_NAME
    if path.suffix == ".toml":
        description = load_description(path)
        return description, path.parent / description.file
    if path.suffix == ".onnx":
        return _described(path, folders), path
    catalogue = find_models(folders)
    entry = catalogue.named(text)
    if entry is None and path.exists():
        what = f"folder without a {_DESCRIPTION_NAME}" if path.is_dir() else "file that does not end in .onnx"
        raise ModelError(
            f"{text[:200]}: a {what}; a model is an ONNX file with a {_DESCRIPTION_NAME} beside it"
        )
    if entry is None:
        known = ", ".join(entry.description.name for entry in catalogue.entries) or "none"
        reasons = [f"; {folder} is broken: {why}" for folder, why in catalogue.broken if folder.name == text]
        raise ModelError(f"no model is called {text[:200]!r}; known are {known}{''.join(reasons)}")
    return entry.description, entry.file


def load_detector(
    name_or_path: str | Path,
    *,
    threads: int = 1,
    providers: Sequence[str] = ("cpu",),
    folders: Sequence[Path] = (),
    deterministic: bool = True,
    self_test: bool = True,
    trust: Trust | None = None,
    threshold: float | None = None,
) -> NetworkDetector:
    """The detector for a model that `resolve` finds, ready to run.

    The file's sha256 must be the one in its description before a session is made, and with `trust` somebody
    who is trusted must have signed both; the golden image is run after. `providers` are keys of
    `models.session.PROVIDERS` or "auto", in order of preference: one that cannot make the session or that
    computes the golden image otherwise is passed over, with the reason in the report. `threads` 0 is all
    cores but one. `threshold` takes the place of the description's own. Raises `ModelError`.
    """
    description, file = resolve(name_or_path, folders)
    data = read_model(file)
    found = sha256_of(data)
    if found != description.sha256:
        raise ModelError(
            f"{file}: its sha256 is {found[:16]}..., its description says {description.sha256[:16]}...; "
            "the file is damaged or another one. Fetch it again, or describe it anew"
        )
    if trust is not None:
        require_signed(description, file, found, trust)
    if threshold is not None:
        description = with_threshold(description, threshold)
    wanted, failed = expand_providers(providers), dict[str, str]()
    while True:
        session = ModelSession(
            data,
            origin=str(file),
            threads=threads,
            providers=[name for name in wanted if name not in failed],
            deterministic=deterministic,
        )
        report = session.provider_report
        try:
            detector = NetworkDetector(description, session, self_test=self_test)
        except ModelError as error:
            if report.used[0] == "cpu":
                raise
            failed[report.used[0]] = str(error)[:300]
            continue
        refused = tuple(sorted({**dict(report.refused), **failed}.items()))
        session.provider_report = replace(report, wanted=wanted, refused=refused)
        return detector


def require_signed(
    description: ModelDescription, file: Path, file_sha256: str, trust: Trust
) -> Manifest | None:
    """What a trusted key has signed about this model and description; raises `ModelError` when nobody has.

    `None` for a model of the package's own zoo, where `trust` lets that do.
    """
    place = _description_place(description, file)
    if trust.trusts_package and place.resolve().is_relative_to(ZOO):
        return None
    try:
        description_bytes = place.read_bytes()[: MAX_DESCRIPTION_BYTES + 1]
    except OSError as error:
        raise ModelError(f"{place}: cannot be read ({error.strerror})") from error
    path = place.parent / SIGNATURE_NAME
    manifest = open_manifest(read_envelope(path), trust, str(path))
    require_match(manifest, description, description_bytes, file_sha256, str(path))
    if load_description(place) != description:
        raise ModelError(f"{place}: changed while it was read")
    return manifest


def with_threshold(description: ModelDescription, threshold: float) -> ModelDescription:
    """The same description with another least score; never below what regions grow at."""
    floor = description.anomaly.grow_threshold if description.anomaly is not None else 0.0
    return msgspec.structs.replace(description, threshold=min(1.0, max(threshold, floor)))


def _description_place(description: ModelDescription, file: Path) -> Path:
    """Where the description lies: beside the file, or where the zoo describes a file that lies elsewhere."""
    beside = file.parent / _DESCRIPTION_NAME
    known = ZOO / description.name / _DESCRIPTION_NAME
    if not beside.is_file() and known.is_file() and load_description(known) == description:
        return known
    return beside


def _described(file: Path, folders: Sequence[Path]) -> ModelDescription:
    beside = file.parent / _DESCRIPTION_NAME
    if beside.is_file():
        description = load_description(beside)
        if description.file == file.name:
            return description
    sha256 = sha256_of(read_model(file))
    entry = find_models(folders).with_sha256(sha256)
    if entry is None:
        raise ModelError(
            f"{file}: no model.toml beside it names it, and no known model has its sha256 {sha256[:16]}...; "
            "write a model.toml that says how to feed and read it"
        )
    return entry.description
