"""What every camera source can do, and which one a configuration asks for."""

from collections.abc import Iterator
from typing import Protocol

from edge.cameras.address import parse_address, runs_in_process
from edge.cameras.config import CameraConfig
from edge.cameras.frame import CameraFrame, Pixels, TimeBasis
from skywarden.clock import NS_PER_S, Clock


class CameraSource(Protocol):
    """Frames one after the other; used by one thread at a time."""

    def open(self) -> None:
        """Start; raises `CameraError` when that is not possible, `ConfigError` when it never will be."""
        ...

    def read(self, wait_s: float) -> CameraFrame | None:
        """The next frame, or `None` when none came within about `wait_s`, or ever will (`is_finished`).

        Raises `CameraError` when the source broke and must be opened again.
        """
        ...

    @property
    def is_finished(self) -> bool:
        """Whether a file or folder was delivered to its end. Live sources never finish."""
        ...

    @property
    def received_count(self) -> int:
        """Frames received since `open`, also those that nobody took."""
        ...

    @property
    def damaged_count(self) -> int:
        """Pictures or packets that could not be decoded since `open`."""
        ...

    @property
    def waits_for_demand(self) -> bool:
        """Whether `read` should be called only when a frame is wanted, and `poll` in between."""
        ...

    def poll(self) -> None:
        """Bring the counts up to date without taking a frame; raises as `read` does."""
        ...

    def abort(self) -> None:
        """Called from another thread: make a waiting `open` or `read` end soon, where the source can."""
        ...

    def close(self) -> None:
        """Stop and let go of everything; may be called twice."""
        ...


class FrameMaker:
    """Stamps frames of one sensor: numbers them and takes the configured lag off their time."""

    def __init__(self, config: CameraConfig) -> None:
        self._sensor_id = config.sensor_id
        self._lag_ns = round(config.frame_lag_s * NS_PER_S)
        self._count = 0

    @property
    def count(self) -> int:
        """How many frames were made."""
        return self._count

    def make(
        self,
        pixels: Pixels,
        *,
        stamp_ns: int,
        received_ns: int,
        basis: TimeBasis,
        pts_s: float | None = None,
        name: str = "",
        is_corrupt: bool = False,
    ) -> CameraFrame:
        """The next frame."""
        frame = CameraFrame(
            sensor_id=self._sensor_id,
            frame_number=self._count,
            time_ns=max(0, stamp_ns - self._lag_ns),
            stamp_ns=max(0, stamp_ns),
            received_ns=received_ns,
            pts_s=pts_s,
            time_basis=basis,
            pixels=pixels,
            flags=("corrupt",) if is_corrupt else (),
            name=name,
        )
        self._count += 1
        return frame


def make_source(config: CameraConfig, clock: Clock, *, keep_all: bool = False) -> CameraSource:
    """The source for `config`, not yet open; raises `ConfigError` when `url` means nothing.

    `keep_all` matters only for a camera in a process of its own: hand over every frame instead of the newest.
    """
    if runs_in_process(config):
        from edge.cameras.child_source import ChildSource

        return ChildSource(config, keep_all=keep_all)
    return make_source_here(config, clock)


def make_source_here(config: CameraConfig, clock: Clock) -> CameraSource:
    """The source for `config` in this process. Heavy imports happen only for the kind that is asked for."""
    address = parse_address(config.url)
    if address.kind == "folder":
        from edge.cameras.folder_source import FolderSource

        return FolderSource(config, address.target, clock)
    if address.kind == "gst":
        from edge.cameras.gst_source import GstSource

        return GstSource(config, address.target, clock)
    if address.kind == "v4l2":
        from edge.cameras.v4l2_source import V4l2Source

        return V4l2Source(config, int(address.target), clock)
    from edge.cameras.av_source import AvSource

    return AvSource(config, address, clock)


def frames_of(source: CameraSource, *, wait_s: float = 0.25) -> Iterator[CameraFrame]:
    """Every frame of a finite source, which is opened and closed around it; for replay and analysis."""
    source.open()
    try:
        while not source.is_finished:
            frame = source.read(wait_s)
            if frame is not None:
                yield frame
    finally:
        source.close()
