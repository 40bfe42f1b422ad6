"""A sortie as a folder that explains itself: catalogue, STAC Item, sightings, tracks, recording, picture."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ground.catalogue.sorties import Sortie, selection_of, sightings_of
from ground.catalogue.stac import Asset, asset_of_file, catalogue_of, extent_of, item_of
from ground.exports.files import MEDIA_TYPES, write_export
from ground.exports.selection import Selection
from ground.exports.source import ExportSource
from ground.recording.sortie_mcap import write_sortie_mcap
from skywarden import __version__
from skywarden.errors import InputError, StoreError

MCAP_TYPE = "application/vnd.mcap"
_FLIGHT_FILES = {
    "flight.json": ("what was recorded aboard", "application/json", "metadata"),
    "telemetry.tlog": ("telemetry as it was received (MAVLink)", "application/octet-stream", "data"),
    "frames.jsonl": ("times of the frames", "application/jsonl", "metadata"),
    "ais.nmea": ("AIS heard aboard", "text/plain", "data"),
    "MANIFEST.sha256": ("checksums of the recording", "text/plain", "metadata"),
}
_VIDEO = {".mp4": "video/mp4", ".ts": "video/mp2t", ".mkv": "video/matroska"}
_MAX_VIDEOS = 100
_MAX_MANIFEST_BYTES = 50_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeFolder:
    """Where the Item lies, what it says on its face, and the names of its assets."""

    item: Path
    notice: str
    assets: tuple[str, ...]


def write_stac_folder(
    source: ExportSource,
    sortie: Sortie,
    folder: Path,
    *,
    with_unreviewed: bool,
    made_ns: int,
    flight: Path | None = None,
) -> MadeFolder:
    """Write `folder`/catalog.json and `folder`/ITEM/...; `flight` is the recording from aboard.

    Another sortie into the same folder joins the catalogue. Raises `StoreError` when it cannot be written,
    `InputError` when the folder holds another catalogue or the flight is none.
    """
    place = folder / sortie.item_id
    try:
        place.mkdir(parents=True, exist_ok=True)
        assets = _assets(source, sortie, place, with_unreviewed=with_unreviewed, made_ns=made_ns)
        if flight is not None:
            assets += _flight_assets(flight)
        extent = extent_of(
            stored for stored, _ in sightings_of(source, sortie, with_unreviewed=with_unreviewed)
        )
        item = item_of(
            sortie,
            extent,
            assets,
            with_unreviewed=with_unreviewed,
            made_ns=made_ns,
            self_href=f"./{sortie.item_id}.json",
            catalogue_href="../catalog.json",
            version=__version__,
            exercise=source.mark,
        )
        item_path = place / f"{sortie.item_id}.json"
        _write_json(item_path, item)
        _join_catalogue(folder, sortie.item_id, item["properties"]["title"])
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return MadeFolder(
        item=item_path,
        notice=item["properties"]["skywarden:notice"],
        assets=tuple(one.key for one in assets),
    )


def _assets(
    source: ExportSource, sortie: Sortie, place: Path, *, with_unreviewed: bool, made_ns: int
) -> list[Asset]:
    wanted = selection_of(sortie, Selection(with_unreviewed=with_unreviewed))
    mark = source.mark.prefix + ("UNREVIEWED: " if with_unreviewed else "")
    prefix = "UNREVIEWED-" if with_unreviewed else ""
    sightings, tracks, recording = (
        place / source.mark.file_name(f"{prefix}{name}")
        for name in ("sightings.geojson", "tracks.gpkg", "sortie.mcap")
    )
    write_export("geojson", ("sightings",), source, wanted, sightings, time_ns=made_ns)
    tracks.unlink(missing_ok=True)  # GDAL would add to it
    write_export("gpkg", ("tracks", "plots"), source, wanted, tracks, time_ns=made_ns)
    write_sortie_mcap(source, sortie, recording, with_unreviewed=with_unreviewed)
    found = [
        asset_of_file(
            sightings, "sightings", f"./{sightings.name}", f"{mark}sightings", MEDIA_TYPES["geojson"]
        ),
        asset_of_file(tracks, "tracks", f"./{tracks.name}", f"{mark}tracks and plots", MEDIA_TYPES["gpkg"]),
        asset_of_file(recording, "recording", f"./{recording.name}", f"{mark}recording (MCAP)", MCAP_TYPE),
    ]
    thumbnail = _thumbnail(source, sortie, place, with_unreviewed=with_unreviewed)
    return [*found, thumbnail] if thumbnail is not None else found


def _thumbnail(source: ExportSource, sortie: Sortie, place: Path, *, with_unreviewed: bool) -> Asset | None:
    """The chip of the surest look; a damaged one counts as none."""
    best: tuple[float, str] | None = None
    for stored, _ in sightings_of(source, sortie, with_unreviewed=with_unreviewed):
        if stored.chip_id is not None and (best is None or stored.sighting.score > best[0]):
            best = stored.sighting.score, stored.chip_id
    if best is None:
        return None
    try:
        chip = source.chip(best[1])
    except StoreError:
        return None
    if chip is None:
        return None
    path = place / f"thumbnail.{chip.media_type.removeprefix('image/')}"
    path.write_bytes(chip.data)
    title = source.mark.prefix + ("UNREVIEWED: the surest look" if with_unreviewed else "the surest look")
    return asset_of_file(path, "thumbnail", f"./{path.name}", title, chip.media_type, ("thumbnail",))


def _flight_assets(flight: Path) -> list[Asset]:
    """The files of a recording where they lie, with the checksums that its manifest states."""
    if not (flight / "flight.json").is_file():
        raise InputError(f"{flight} is no flight folder: it has no flight.json")
    stated = _manifest(flight)
    found = [
        _flight_asset(flight, name, title, media_type, role, stated)
        for name, (title, media_type, role) in _FLIGHT_FILES.items()
        if (flight / name).is_file()
    ]
    videos = [one for one in sorted((flight / "video").glob("*")) if one.suffix.lower() in _VIDEO]
    for video in videos[:_MAX_VIDEOS]:
        name = video.relative_to(flight).as_posix()
        found.append(
            _flight_asset(flight, name, f"video {video.stem}", _VIDEO[video.suffix.lower()], "data", stated)
        )
    return found


def _flight_asset(
    flight: Path, name: str, title: str, media_type: str, role: str, stated: dict[str, str]
) -> Asset:
    path = flight / name
    return Asset(
        key=f"flight-{name.replace('/', '-')}",
        href=path.resolve().as_uri(),
        title=f"recording aboard: {title}",
        media_type=media_type,
        roles=(role,),
        size_bytes=path.stat().st_size,
        sha256=stated.get(name),
    )


def _manifest(flight: Path) -> dict[str, str]:
    path = flight / "MANIFEST.sha256"
    if not path.is_file() or path.stat().st_size > _MAX_MANIFEST_BYTES:
        return {}
    found = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        checksum, _, name = line.partition("  ")
        if len(checksum) == hashlib.sha256().digest_size * 2 and all(
            one in "0123456789abcdef" for one in checksum
        ):
            found[name] = checksum
    return found


def _join_catalogue(folder: Path, item_id: str, title: str) -> None:
    path = folder / "catalog.json"
    items: dict[str, tuple[str, str, str]] = {}
    if path.is_file():
        items = _known_items(path)
    items[item_id] = f"./{item_id}/{item_id}.json", title, item_id
    _write_json(path, catalogue_of([items[name] for name in sorted(items)], "./catalog.json"))


def _known_items(path: Path) -> dict[str, tuple[str, str, str]]:
    try:
        tree = json.loads(path.read_bytes())
        links = [one for one in tree["links"] if one["rel"] == "item"]
        is_ours = tree["id"] == catalogue_of([], "")["id"]
        found = [(str(one["href"]), str(one.get("title", ""))) for one in links]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no STAC catalogue; name another folder") from error
    if not is_ours:
        raise InputError(f"{path} is the catalogue of something else; name another folder")
    return {Path(href).stem: (href, title, Path(href).stem) for href, title in found}


def _write_json(path: Path, tree: object) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(tree, indent=2, allow_nan=False) + "\n", "utf-8")
    part.replace(path)
