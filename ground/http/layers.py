"""Map layers from a folder: `NAME.geojson`, `NAME.pmtiles`, images with a `NAME.json` for where they lie."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import structlog
from msgspec import Meta

from skywarden.messages import Latitude, Longitude

_log = structlog.get_logger("ground.http.layers")

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,100}$")
Kind = Literal["geojson", "image", "tiles"]
_IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
PMTILES_TYPE = "application/vnd.pmtiles"
_MAX_SIDECAR_BYTES = 65_536
_MAX_LAYERS = 200


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """`NAME.json` beside a layer: `coordinates` are corners from the upper left, clockwise, [lon, lat]."""

    title: Annotated[str, Meta(max_length=200)] | None = None
    coordinates: (
        tuple[
            tuple[Longitude, Latitude],
            tuple[Longitude, Latitude],
            tuple[Longitude, Latitude],
            tuple[Longitude, Latitude],
        ]
        | None
    ) = None
    style: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer that can be served."""

    name: str
    path: Path
    kind: Kind
    media_type: str
    sidecar: Sidecar


def find_layers(folder: Path) -> list[Layer]:
    """The layers in `folder` by file name; files that are not layers, and symbolic links, are passed over."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir())[: _MAX_LAYERS * 4]:
        suffix = path.suffix.lower()
        if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        if suffix == ".geojson":
            found.append(_layer(path, "geojson", "application/geo+json"))
        elif suffix == ".pmtiles":
            found.append(_layer(path, "tiles", PMTILES_TYPE))
        elif suffix in _IMAGE_TYPES:
            layer = _layer(path, "image", _IMAGE_TYPES[suffix])
            if layer.sidecar.coordinates is not None:
                found.append(layer)
    return found[:_MAX_LAYERS]


def _layer(path: Path, kind: Kind, media_type: str) -> Layer:
    return Layer(name=path.stem, path=path, kind=kind, media_type=media_type, sidecar=_sidecar(path))


def _sidecar(path: Path) -> Sidecar:
    beside = path.with_suffix(".json")
    try:
        if not beside.is_file() or beside.stat().st_size > _MAX_SIDECAR_BYTES:
            return Sidecar()
        return msgspec.json.decode(beside.read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        _log.warning("layer description ignored", file=beside.name, reason=str(error))
        return Sidecar()
