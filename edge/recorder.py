"""Writes a sortie as a flight folder that replays: every telemetry byte, and images at a stated rate."""

import contextlib
import shutil
from pathlib import Path

from edge.config import EdgeConfig, SensorConfig
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError
from skywarden.flight.schema import ClockNote, FixedMount, GimbalMount, Sensor
from skywarden.flight.writer import FlightWriter

FLUSH_NS = NS_PER_S
DURABLE_NS = 10 * NS_PER_S
"""A crash that cuts the power costs at most so much of the recording."""

SPACE_CHECK_NS = 10 * NS_PER_S


class Recorder:
    """The sortie's flight folder. Disk trouble stops the recording, never the flight: see `fault`.

    Used by one thread. `now_ns` arguments are monotonic, `time_ns` arguments UTC.
    """

    def __init__(self, config: EdgeConfig, sortie_id: str, folder: Path) -> None:
        self._config = config
        self._folder = folder / sortie_id
        self._flushed_ns = 0
        self._durable_ns = 0
        self._space_ns = -SPACE_CHECK_NS
        self._has_space = True
        self.fault: str | None = None
        self.telemetry_count = 0
        self.frame_count = 0
        self._writer: FlightWriter | None = None
        if not config.recorder.is_on:
            return
        try:
            self._writer = FlightWriter(
                self._folder,
                sortie_id=sortie_id,
                platform_id=config.platform_id,
                telemetry_source=f"heard aboard on {config.mavlink.connection}",
                clock=ClockNote(source="clock of the companion computer, at reception"),
                sensors=[_sensor(sensor) for sensor in config.sensor],
            )
        except FlightError as error:
            self.fault = str(error)

    @property
    def path(self) -> Path | None:
        """Where the flight is written, `None` when recording is off or failed at the start."""
        return self._folder if self._writer is not None else None

    @property
    def keeps_images(self) -> bool:
        """Whether images are wanted now: recording works and the disk has room."""
        return self._writer is not None and self._has_space and self._config.recorder.frames_per_s > 0

    def telemetry(self, received_ns: int, raw: bytes) -> None:
        """Append one MAVLink frame as it was heard."""
        if self._writer is None:
            return
        try:
            self._writer.append_telemetry(received_ns, raw)
            self.telemetry_count += 1
        except FlightError as error:
            self._stop(error)

    def image(self, sensor_id: str, frame_number: int, stamp_ns: int, data: bytes, suffix: str) -> None:
        """Keep one encoded image."""
        if not self.keeps_images or self._writer is None:
            return
        try:
            self._writer.add_frame(sensor_id, frame_number, stamp_ns, data, suffix=suffix)
            self.frame_count += 1
        except FlightError as error:
            self._stop(error)

    def tend(self, now_ns: int) -> None:
        """Flush once a second, to the disk itself every ten, and watch the free space; call from the loop."""
        if self._writer is None:
            return
        try:
            if now_ns - self._space_ns >= SPACE_CHECK_NS:
                self._space_ns = now_ns
                self._has_space = shutil.disk_usage(self._folder).free >= self._config.recorder.min_free_bytes
            if now_ns - self._flushed_ns >= FLUSH_NS:
                self._flushed_ns = now_ns
                is_durable = now_ns - self._durable_ns >= DURABLE_NS
                self._durable_ns = now_ns if is_durable else self._durable_ns
                self._writer.flush(is_durable=is_durable)
        except (FlightError, OSError) as error:
            self._stop(error)

    def close(self) -> None:
        """Complete the flight folder."""
        if self._writer is None:
            return
        try:
            self._writer.flush(is_durable=True)
            self._writer.close()
            self._writer = None
        except (FlightError, OSError) as error:
            self._stop(error)

    @property
    def has_space(self) -> bool:
        """Whether the disk has the room that the configuration asks for."""
        return self._has_space

    def _stop(self, error: FlightError | OSError) -> None:
        self.fault = str(error)
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(FlightError, OSError):  # the disk has refused already; nothing is new
                writer.abandon()


def _sensor(config: SensorConfig) -> Sensor:
    mount = config.mount
    boresight = FixedMount(roll_deg=mount.roll_deg, pitch_deg=mount.pitch_deg, yaw_deg=mount.yaw_deg)
    return Sensor(
        sensor_id=config.camera.sensor_id,
        kind=config.camera.kind,
        camera=None if config.lens is None else config.lens.model().to_jsonable(),
        camera_note="from the worker's configuration" if config.lens else "uncalibrated",
        mount=boresight if mount.kind == "fixed" else GimbalMount(gimbal_device_id=mount.gimbal_device_id),
        frame_lag_s=config.camera.frame_lag_s,
        frame_lag_sigma_s=config.sigma.time_offset_s,
        sigma=config.sigma.recorded(),
    )
