"""What is missing, doubled or off on a machine, each finding with what to do about it."""

import hashlib
import importlib
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["ok", "advice", "failed"]
OPENCV_VARIANTS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ONNX_VARIANTS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
MIN_FREE_BYTES = 2_000_000_000
HOME = Path(__file__).resolve().parent.parent
"""The folder that holds all packages of skywarden, ours whatever stands before it in the search path."""
RELEASE_TIME_S = 1_793_491_200  # 2026-11-01: a clock before this release is wrong


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, how it stands, what to do."""

    check: str
    state: State
    text: str
    remedy: str = ""


class ZooModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the package describes: its name, promised SHA-256, and whether the file is here."""

    name: str
    sha256: str
    file: Path

    @property
    def is_present(self) -> bool:
        """Whether the file is here; some are only described, for people to bring."""
        return self.file.is_file()


def examine(state_dir: Path | None = None, *, now_s: float | None = None) -> list[Finding]:
    """All findings for this machine, in a fixed order.

    `state_dir` is where it will write (default: XDG); `now_s` stands for the clock, seconds of Unix time.
    """
    folder = state_dir or default_state_dir()
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        lambda: _variants("OpenCV", "cv2", OPENCV_VARIANTS),
        lambda: _variants("ONNX Runtime", "onnxruntime", ONNX_VARIANTS),
        _opencv_imports,
        _shadowed_rooms,
        _zoo,
        _console,
        _decoder,
        _sqlite,
        _curve,
        _gstreamer,
        lambda: _clock(time.time() if now_s is None else now_s),
        lambda: _writable(folder),
        lambda: _space(folder),
        _serial,
    ]
    return [finding for check in checks for finding in check()]


def default_state_dir() -> Path:
    """`$STATE_DIRECTORY` under systemd, else `$XDG_STATE_HOME/skywarden`, else `~/.local/state/skywarden`."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "skywarden"


def _python() -> Iterator[Finding]:
    yield Finding(check="python", state="ok", text=f"Python {sys.version.split()[0]}")


def _variants(title: str, module: str, names: tuple[str, ...]) -> Iterator[Finding]:
    found = {str(dist.name).lower().replace("_", "-") for dist in distributions()}
    installed = sorted(found.intersection(names))
    check = f"one {title}"
    if not installed:
        remedy = f"pip install {names[0]}"
        yield Finding(check=check, state="failed", text=f"no package provides {module}", remedy=remedy)
    elif len(installed) > 1:
        keep = installed[0]
        others = " ".join(installed[1:])
        yield Finding(
            check=check,
            state="failed",
            text=f"{' and '.join(installed)} share one folder; the last one installed wins",
            remedy=f"pip uninstall {others} && pip install --force-reinstall --no-deps {keep}",
        )
    else:
        yield Finding(check=check, state="ok", text=f"{installed[0]} {version(installed[0])}")


def _opencv_imports() -> Iterator[Finding]:
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        remedy = "apt-get install libgl1 libglib2.0-0, or install opencv-python-headless instead"
        yield Finding(check="OpenCV loads", state="failed", text=str(error), remedy=remedy)
        return
    yield Finding(check="OpenCV loads", state="ok", text=f"version {cv2.__version__}")


def _shadowed_rooms() -> Iterator[Finding]:
    for room in ("edge", "ground", "models", "sim"):
        # Found, not imported: a stranger's package of this name may do anything when it is run.
        spec = importlib.util.find_spec(room)
        places = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
        if not places:
            remedy = "pip install --force-reinstall --no-deps skywarden"
            text = f"skywarden's own {room} is not there"
            yield Finding(check=f"package {room}", state="failed", text=text, remedy=remedy)
        elif places[0] != HOME / room:
            yield Finding(
                check=f"package {room}",
                state="failed",
                text=f"{places[0]} stands in front of skywarden's own {room}",
                remedy=f"uninstall the package that owns it, or take {places[0].parent} out of PYTHONPATH",
            )


def zoo_models() -> list[ZooModel]:
    """The models that the package describes, by name; read without the code of the rooms."""
    found = []
    for place in sorted((HOME / "models" / "zoo").glob("*/model.toml")):
        tree = tomllib.loads(place.read_text(encoding="utf-8"))
        file = place.parent / str(tree["file"])
        found.append(ZooModel(name=str(tree["name"]), sha256=str(tree["sha256"]), file=file))
    return found


def _zoo() -> Iterator[Finding]:
    check, remedy = "models", "pip install --force-reinstall --no-deps skywarden"
    try:
        known = zoo_models()
        here = [model for model in known if model.is_present]
        wrong = [model.name for model in here if _sha256(model.file) != model.sha256]
    except (OSError, ValueError, KeyError) as error:
        text = f"the models of the package cannot be read ({error})"
        yield Finding(check=check, state="failed", text=text, remedy=remedy)
        return
    if wrong or not here:
        text = f"not as described: {', '.join(wrong)}" if wrong else "no model came with the package"
        yield Finding(check=check, state="failed", text=text, remedy=remedy)
        return
    absent = [model.name for model in known if not model.is_present]
    note = f"; only described, bring the file: {', '.join(absent)}" if absent else ""
    text = f"{', '.join(model.name for model in here)} verified by SHA-256{note}"
    yield Finding(check=check, state="ok", text=text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _console() -> Iterator[Finding]:
    folder = HOME / "ground" / "console" / "dist"
    if (folder / "index.html").is_file() and any((folder / "assets").glob("*.js")):
        yield Finding(check="web console", state="ok", text="built")
    else:
        text = f"{folder} holds no built console; the ground station would serve only its API"
        remedy = "make console (needs Node 20), or install the wheel; not needed on a machine that only flies"
        yield Finding(check="web console", state="advice", text=text, remedy=remedy)


def _decoder() -> Iterator[Finding]:
    try:
        av = importlib.import_module("av")
        codec = importlib.import_module("av.codec").Codec
    except ModuleNotFoundError:
        remedy = "pip install 'skywarden[edge]' (not needed on a machine that is only a ground station)"
        yield Finding(check="video decoder", state="advice", text="PyAV is not installed", remedy=remedy)
        return
    except ImportError as error:
        remedy = "pip install --force-reinstall av"
        yield Finding(check="video decoder", state="failed", text=f"PyAV: {error}", remedy=remedy)
        return
    missing = [name for name in ("h264", "hevc", "mpeg2video", "mjpeg") if not _opens(codec, name)]
    if missing:
        remedy = "pip install --force-reinstall av (its wheels carry the decoders; a source build may not)"
        text = f"PyAV {av.__version__} has no decoder for {', '.join(missing)}"
        yield Finding(check="video decoder", state="failed", text=text, remedy=remedy)
    else:
        text = f"PyAV {av.__version__} decodes H.264, H.265, MPEG-2 and MJPEG"
        yield Finding(check="video decoder", state="ok", text=text)


def _opens(codec: Callable[[str, str], object], name: str) -> bool:
    try:
        codec(name, "r")
    except (ValueError, OSError):
        return False
    return True


def _sqlite() -> Iterator[Finding]:
    try:
        apsw = importlib.import_module("apsw")
    except ImportError:
        text = f"APSW is not installed; Python's own SQLite {sqlite3.sqlite_version} is not used"
        remedy = "pip install 'skywarden[edge]' or 'skywarden[ground]'"
        yield Finding(check="durable store", state="advice", text=text, remedy=remedy)
        return
    found = str(apsw.sqlitelibversion())
    if tuple(int(part) for part in found.split(".")) < (3, 51, 3):
        text = f"SQLite {found} has the WAL-reset corruption bug (fixed in 3.51.3)"
        yield Finding(check="durable store", state="failed", text=text, remedy="pip install --upgrade apsw")
    else:
        yield Finding(check="durable store", state="ok", text=f"SQLite {found} through APSW")


def _curve() -> Iterator[Finding]:
    try:
        zmq = importlib.import_module("zmq")
    except ImportError as error:
        yield Finding(check="encrypted link", state="failed", text=str(error), remedy="pip install pyzmq")
        return
    if zmq.has("curve"):
        yield Finding(check="encrypted link", state="ok", text=f"ZeroMQ {zmq.zmq_version()} with CURVE")
    else:
        remedy = "pip install --force-reinstall pyzmq (its wheels carry CURVE)"
        yield Finding(
            check="encrypted link", state="failed", text="ZeroMQ was built without CURVE", remedy=remedy
        )


def _gstreamer() -> Iterator[Finding]:
    if shutil.which("gst-launch-1.0"):
        yield Finding(check="GStreamer", state="ok", text="gst-launch-1.0 found")
    else:
        remedy = "apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good (only for gst: cameras)"
        yield Finding(
            check="GStreamer", state="advice", text="gst-launch-1.0 is not installed", remedy=remedy
        )


def _clock(now_s: float) -> Iterator[Finding]:
    if now_s < RELEASE_TIME_S:
        text = f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now_s))}, before this release was made"
        remedy = "set the time (timedatectl set-ntp true, or a GNSS time source with chrony)"
        yield Finding(check="clock", state="failed", text=text, remedy=remedy)
        return
    synchronised = _timedatectl("NTPSynchronized")
    if synchronised == "no":
        remedy = "timedatectl set-ntp true, or chrony with the autopilot's GNSS"
        yield Finding(check="clock", state="advice", text="the clock is not synchronised", remedy=remedy)
    else:
        known = (
            "synchronised" if synchronised == "yes" else "plausible; whether it is synchronised is not known"
        )
        yield Finding(check="clock", state="ok", text=known)


def _timedatectl(name: str) -> str | None:
    program = shutil.which("timedatectl")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "show", "--property", name, "--value"],
            capture_output=True,
            text=True,
            timeout=3,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _writable(folder: Path) -> Iterator[Finding]:
    """Writes a file without a name where the folder is or would be made; leaves nothing behind."""
    check = "state folder"
    try:
        place = _existing(folder)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"skywarden")
            os.fsync(file.fileno())
    except OSError as error:
        user = os.environ.get("USER", "this user")
        remedy = f"give {user} write permission there, or name another folder with --state"
        text = f"{folder}: {error.strerror}"
        yield Finding(check=check, state="failed", text=text, remedy=remedy)
    else:
        text = f"{folder} can be written" if place == folder else f"{folder} can be made"
        yield Finding(check=check, state="ok", text=text)


def _existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists; raises `OSError` where that cannot be seen."""
    for place in (folder, *folder.parents):
        try:
            place.stat()
        except FileNotFoundError:
            continue
        return place
    return Path()


def _space(folder: Path) -> Iterator[Finding]:
    try:
        free = shutil.disk_usage(_existing(folder)).free
    except OSError:
        return  # the check before has said why
    if free < MIN_FREE_BYTES:
        remedy = "free space, or record to another disk (recorder.folder)"
        yield Finding(check="disk space", state="advice", text=f"{free / 1e9:.1f} GB free", remedy=remedy)
    else:
        yield Finding(check="disk space", state="ok", text=f"{free / 1e9:.0f} GB free")


def _serial() -> Iterator[Finding]:
    ports = sorted(
        str(path)
        for pattern in ("ttyAMA*", "ttyACM*", "ttyUSB*", "ttyTHS*")
        for path in Path("/dev").glob(pattern)
    )
    denied = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if denied:
        remedy = "sudo usermod -aG dialout $USER, then log in again"
        yield Finding(
            check="serial ports", state="failed", text=f"no permission for {', '.join(denied)}", remedy=remedy
        )
    elif ports:
        yield Finding(check="serial ports", state="ok", text=", ".join(ports))
