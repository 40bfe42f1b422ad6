"""A folder of images as a camera: finished (sorted by time) or live (images appear while we look)."""

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.cameras import exif
from edge.cameras.config import CameraConfig
from edge.cameras.frame import U8, U16, BgrPixels, CameraFrame, GreyPixels, Pixels, TimeBasis
from edge.cameras.gain import GainControl
from edge.cameras.image_times import read_listing, time_from_name
from edge.cameras.source import FrameMaker
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import CameraError, InputError

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
_AS_IT_IS = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
"""All bits of all channels, and not turned by EXIF: a calibration is of the sensor as it lies."""

_POLL_S = 0.05
_FULL_SCAN_NS = NS_PER_S
_SETTLE_NS = NS_PER_S // 5
_GIVE_UP_NS = 5 * NS_PER_S


@dataclass(kw_only=True, slots=True)
class _Growing:
    """An image that may still be written: its size when last seen, since when it has that size."""

    size: int
    since_ns: int


class FolderSource:
    """Images of one folder, not of its subfolders; names that begin with a dot are not looked at.

    Finished folder: every image must have a time (listing, name or EXIF), they come in the order of time.
    Live folder: images come in the order of name as they are complete; one without a time has its own
    modification date. Something that writes should write under another ending and rename.
    """

    def __init__(self, config: CameraConfig, folder: str, clock: Clock) -> None:
        self._config = config
        self._folder = Path(folder)
        self._clock = clock
        self._maker = FrameMaker(config)
        self._gain = GainControl(config.gain)
        self._listing: dict[str, int] = {}
        self._queue: deque[tuple[int, str, TimeBasis]] = deque()
        self._seen: set[str] = set()
        self._growing: dict[str, _Growing] = {}
        self._folder_changed_ns = -1
        self._scanned_mono_ns = 0
        self._first_ns: int | None = None
        self._first_mono_ns = 0
        self._damaged = 0
        self._is_open = False

    @property
    def is_finished(self) -> bool:
        """All images of a finished folder were delivered."""
        return self._is_open and not self._config.follow and not self._queue

    @property
    def waits_for_demand(self) -> bool:
        """Frames are read as they come."""
        return False

    @property
    def received_count(self) -> int:
        """Images delivered since `open`."""
        return self._maker.count

    @property
    def damaged_count(self) -> int:
        """Images that were no images, too large, or did not decode."""
        return self._damaged

    def open(self) -> None:
        """Look at the folder; raises `CameraError` when it is none, is empty, or images have no time."""
        if not self._folder.is_dir():
            raise CameraError(f"{self._folder}: is not a folder")
        if self._config.listing:
            self._listing = read_listing(Path(self._config.listing))
        names = self._names()
        self._is_open = True
        if self._config.follow:
            if not self._config.include_existing:
                self._seen = set(names)
            return
        if not names:
            raise CameraError(
                f"{self._folder}: has no image ({', '.join(sorted(IMAGE_ENDINGS))}); "
                "set follow = true when images will appear"
            )
        self._queue = deque(sorted(self._timed(names)))

    def read(self, wait_s: float) -> CameraFrame | None:
        """The next image, waiting up to `wait_s` for one to appear or to be due."""
        until_ns = self._clock.monotonic_ns() + round(wait_s * NS_PER_S)
        while self._is_open:
            if self._config.follow and not self._queue:
                self._look()
            if self._queue and self._is_due(self._queue[0][0]):
                frame = self._made(*self._queue.popleft())
                if frame is not None:
                    return frame
                continue
            left_s = (until_ns - self._clock.monotonic_ns()) / NS_PER_S
            if left_s <= 0 or self.is_finished:
                return None
            time.sleep(min(_POLL_S, left_s))
        return None

    def poll(self) -> None:
        """Nothing to do: `read` keeps the counts."""

    def abort(self) -> None:
        """Let a waiting `read` return."""
        self._is_open = False

    def close(self) -> None:
        """Forget the folder."""
        self._is_open = False
        self._queue.clear()

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                    and os.path.splitext(entry.name)[1].lower() in IMAGE_ENDINGS  # noqa: PTH122 (100,000 names)
                    and entry.is_file()
                )
        except OSError as error:
            raise CameraError(f"{self._folder}: cannot be read ({error.strerror})") from error

    def _timed(self, names: list[str]) -> list[tuple[int, str, TimeBasis]]:
        timed = [(self._time_of(name, None), name) for name in names]
        without = [name for found, name in timed if found is None]
        if without:
            raise CameraError(
                f"{self._folder}: {len(without)} of {len(names)} images tell no time (first: {without[0]}); "
                "give a listing, or exif_utc_offset when their EXIF times name no zone"
            )
        return [(found[0], name, found[1]) for found, name in timed if found is not None]

    def _time_of(self, name: str, data: bytes | None) -> tuple[int, TimeBasis] | None:
        if name in self._listing:
            return self._listing[name], "listing"
        from_name = time_from_name(name)
        if from_name is not None:
            return from_name, "name"
        if data is None:
            try:
                with (self._folder / name).open("rb") as file:
                    data = file.read(exif.HEADER_BYTES)
            except OSError:
                return None
        header = exif.read_header(data)
        from_exif = exif.exif_time_ns(header, self._config.exif_utc_offset) if header else None
        return None if from_exif is None else (from_exif, "exif")

    def _is_due(self, time_ns: int) -> bool:
        if self._config.follow or self._config.pacing == "none":
            return True
        now_ns = self._clock.monotonic_ns()
        if self._first_ns is None:
            self._first_ns, self._first_mono_ns = time_ns, now_ns
        return now_ns - self._first_mono_ns >= time_ns - self._first_ns

    def _look(self) -> None:
        """Queue the images of a live folder that are new and complete."""
        now_ns = self._clock.monotonic_ns()
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except OSError as error:
            raise CameraError(f"{self._folder}: is gone ({error.strerror})") from error
        if (
            changed_ns == self._folder_changed_ns
            and not self._growing
            and now_ns - self._scanned_mono_ns < _FULL_SCAN_NS
        ):
            return
        self._folder_changed_ns, self._scanned_mono_ns = changed_ns, now_ns
        names = self._names()
        self._seen.intersection_update(names)
        self._growing = {name: state for name, state in self._growing.items() if name in names}
        for name in names:
            if name not in self._seen and self._is_ready(name, now_ns):
                self._seen.add(name)
                self._growing.pop(name, None)
                self._queue.append((0, name, "modified"))

    def _is_ready(self, name: str, now_ns: int) -> bool:
        path = self._folder / name
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                start = file.read(8)
                file.seek(max(0, size - 64))
                end = file.read(64)
        except OSError:
            return False
        state = self._growing.setdefault(name, _Growing(size=size, since_ns=now_ns))
        if state.size != size:
            state.size, state.since_ns = size, now_ns
        if exif.is_complete(start + end):
            return True
        has_end_mark = start[:2] == b"\xff\xd8" or start[:4] == b"\x89PNG"
        return now_ns - state.since_ns >= (_GIVE_UP_NS if has_end_mark or size == 0 else _SETTLE_NS)

    def _made(self, stamp_ns: int, name: str, basis: TimeBasis) -> CameraFrame | None:
        """The frame, or `None` for a file that is no usable image (counted)."""
        path = self._folder / name
        received_ns = self._clock.utc_ns()
        try:
            size = path.stat().st_size
            if size > self._config.max_image_bytes:
                raise InputError(f"{path}: {size} bytes is over the limit of {self._config.max_image_bytes}")
            data = path.read_bytes()
            if self._config.follow:
                found = self._time_of(name, data)
                stamp_ns, basis = found if found is not None else (path.stat().st_mtime_ns, "modified")
            pixels = self._decoded(path, data, stamp_ns)
        except (OSError, InputError):
            self._damaged += 1
            return None
        return self._maker.make(pixels, stamp_ns=stamp_ns, received_ns=received_ns, basis=basis, name=name)

    def _decoded(self, path: Path, data: bytes, stamp_ns: int) -> Pixels:
        header = exif.read_header(data)
        if header is None:
            raise InputError(f"{path}: is no JPEG, PNG or TIFF image")
        if not 0 < header.width_px * header.height_px <= self._config.max_pixels:
            raise InputError(
                f"{path}: {header.width_px}x{header.height_px} is over the limit of "
                f"{self._config.max_pixels} pixels"
            )
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_IT_IS)
        except cv2.error as error:
            raise InputError(f"{path}: does not decode") from error
        if image is None:
            raise InputError(f"{path}: does not decode")
        return self._pixels(path, image, stamp_ns)

    def _pixels(self, path: Path, image: np.ndarray, stamp_ns: int) -> Pixels:
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.ndim == 2 and image.dtype == np.uint16:
            raw: U16 = image
            return self._gain.apply(raw, stamp_ns)
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        if image.dtype != np.uint8:
            raise InputError(f"{path}: pixels of type {image.dtype} are not 8 or 16 bit")
        if image.ndim == 2:
            grey: U8 = image
            return GreyPixels(grey)
        return BgrPixels(np.ascontiguousarray(image[:, :, :3]))
