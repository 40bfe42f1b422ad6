"""Makes a flight folder from foreign recordings; each importer is a module, this one finds the right one."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sim.importers.options import ImportOptions, ImportReport, Progress, silent
from skywarden.errors import InputError
from skywarden.flight import FixedMount, FlightReader, GimbalMount
from skywarden.flight.schema import FLIGHT_JSON

__all__ = ["ImportOptions", "ImportReport", "Progress", "Source", "detect", "import_flight"]

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".mkv", ".avi", ".m4v"})
_HEAD_BYTES = 64
_DATAFLASH = b"\xa3\x95"
_ULOG = b"ULog\x01\x12\x35"
_KLV = bytes.fromhex("060e2b34")
_MAVLINK = (b"\xfd", b"\xfe")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a path was taken for: `kind` names the importer, `companion` the file that goes with it."""

    kind: str
    path: Path
    companion: Path | None = None


def import_flight(
    source: Path,
    out: Path,
    *,
    platform_id: str | None = None,
    sortie_id: str | None = None,
    hfov_deg: float | None = None,
    calibration: Path | None = None,
    mount: FixedMount | GimbalMount | None = None,
    frame_lag_s: float | None = None,
    start_utc_ns: int | None = None,
    utc_offset_hours: float | None = None,
    takeoff_alt_msl_m: float | None = None,
    sequence: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Make the flight folder `out` from `source`; see `ImportOptions` for what the user may add.

    Raises `InputError` (or its kinds) with one sentence when the source cannot be used; nothing is left in
    `out` then. `out` must not exist, or be an empty folder.
    """
    options = ImportOptions(
        platform_id=platform_id,
        sortie_id=sortie_id,
        hfov_deg=hfov_deg,
        calibration=calibration,
        mount=mount,
        frame_lag_s=frame_lag_s,
        start_utc_ns=start_utc_ns,
        utc_offset_hours=utc_offset_hours,
        takeoff_alt_msl_m=takeoff_alt_msl_m,
        sequence=sequence,
    )
    found = detect(source)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is already there and not an empty folder; name a new one")
    existed = out.exists()
    is_done = False
    try:
        result = _run(found, out, options, progress or silent)
        is_done = True
        return result
    finally:
        if not is_done and out.exists():
            shutil.rmtree(out, ignore_errors=True)
            if existed:
                out.mkdir()


def detect(source: Path) -> Source:
    """What `source` is, by its content first, else by its name; raises `InputError`."""
    if source.is_dir():
        return _detect_folder(source)
    if not source.is_file():
        raise InputError(f"{source}: there is no such file or folder")
    head = _head(source)
    suffix = source.suffix.lower()
    if head.startswith(_ULOG):
        return Source(kind="px4", path=source)
    if head.startswith(_KLV):
        return Source(kind="klv", path=source)
    if head.startswith(_DATAFLASH):
        return Source(kind="ardupilot", path=source)
    if suffix == ".srt":
        return Source(kind="dji", path=source, companion=_beside(source, VIDEO_SUFFIXES))
    if suffix in VIDEO_SUFFIXES:
        subtitles = _beside(source, frozenset({".srt"}))
        return (
            Source(kind="video", path=source)
            if subtitles is None
            else Source(kind="dji", path=subtitles, companion=source)
        )
    if suffix == ".json":
        return Source(kind="seadronessee", path=source)
    if suffix in (".tlog", ".raw", ".mavlink") or head[:1] in _MAVLINK or head[8:9] in _MAVLINK:
        return Source(kind="tlog", path=source)
    raise InputError(
        f"{source}: of no kind that can be imported (tlog, .bin, .ulg, .srt, video, .klv, SeaDronesSee JSON, "
        "or a folder of a tlog with images)"
    )


def _detect_folder(folder: Path) -> Source:
    if (folder / FLIGHT_JSON).is_file():
        FlightReader(folder)
        raise InputError(f"{folder}: already is a flight folder; it needs no import")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    by_kind: dict[str, list[Path]] = {}
    for path in files:
        by_kind.setdefault(path.suffix.lower(), []).append(path)
    if by_kind.get(".tlog"):
        from sim.importers.tlog_images import IMAGE_SUFFIXES

        has_images = any(by_kind.get(suffix) for suffix in IMAGE_SUFFIXES)
        videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
        if has_images or len(by_kind[".tlog"]) > 1:
            return Source(kind="folder", path=folder)
        if len(videos) == 1:
            return Source(kind="tlog and video", path=by_kind[".tlog"][0], companion=videos[0])
        if videos:
            raise InputError(f"{folder}: holds a tlog and {len(videos)} videos; one of each is needed")
        return Source(kind="tlog", path=by_kind[".tlog"][0])
    annotations = [path for path in by_kind.get(".json", []) if "telemetry" in path.name]
    if annotations:
        return Source(kind="seadronessee", path=annotations[0])
    singles = [
        path for path in files if path.suffix.lower() in VIDEO_SUFFIXES | {".srt", ".bin", ".ulg", ".klv"}
    ]
    stems = {path.stem.lower() for path in singles}
    if len(stems) == 1:
        return detect(singles[0])
    raise InputError(
        f"{folder}: holds {len(files)} files of which {len(stems)} could be imported; name one of them, "
        "or a folder with one tlog and its images or video"
    )


def _run(source: Source, out: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """The importer of the kind, imported only now: each brings its own heavy library."""
    match source.kind:
        case "tlog":
            from sim.importers.tlog_images import import_tlog

            return import_tlog(source.path, out, options, progress)
        case "folder":
            from sim.importers.tlog_images import import_folder

            return import_folder(source.path, out, options, progress)
        case "tlog and video":
            from sim.importers.tlog_video import import_tlog_video

            assert source.companion is not None
            return import_tlog_video(source.path, source.companion, out, options, progress)
        case "dji":
            from sim.importers.dji_srt import import_dji

            return import_dji(source.path, source.companion, out, options, progress)
        case "klv":
            from sim.importers.misb import import_klv_file

            return import_klv_file(source.path, out, options, progress)
        case "px4":
            from sim.importers.px4_log import import_px4

            return import_px4(source.path, out, options, progress)
        case "ardupilot":
            from sim.importers.ardupilot_log import import_ardupilot

            return import_ardupilot(source.path, out, options, progress)
        case "seadronessee":
            from sim.importers.seadronessee import import_seadronessee

            return import_seadronessee(source.path, out, options, progress)
        case _:
            from sim.importers.video import import_video

            return import_video(source.path, out, options, progress)


def _beside(path: Path, suffixes: frozenset[str]) -> Path | None:
    """The file of the same stem with one of `suffixes`, in any case of letters."""
    for other in sorted(path.parent.iterdir()):
        if other.stem.lower() == path.stem.lower() and other.suffix.lower() in suffixes and other.is_file():
            return other
    return None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
