"""The configuration of an edge that is to fly a recorded flight: lens and mount as the flight tells."""

import json
from pathlib import Path

import msgspec

from skywarden.errors import FlightError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import GimbalMount, Mount, Sensor


def edge_toml(
    reader: FlightReader,
    *,
    platform_id: str,
    state: Path,
    mavlink: str,
    inbox: Path,
    ground: str = "",
    ground_key: str = "",
    terrain: Path | None = None,
    min_score: float = 0.0,
    model: str = "anomaly",
    is_exercise: bool = False,
    transport: str = "auto",
) -> str:
    """TOML text for one edge with the flight's first sensor, whose images appear in the folder `inbox`.

    Raises `FlightError` when the flight has no sensor.
    """
    if not reader.info.sensors:
        raise FlightError(f"{reader.path}: the flight has no sensor for an edge to look through")
    sensor = reader.info.sensors[0]
    lines = [
        f"platform_id = {_quoted(platform_id)}",
        f"state = {_quoted(state)}",
        f"is_exercise = {_word(is_exercise)}",
        "[mavlink]",
        f"connection = {_quoted(mavlink)}",
        "[link]",
        f"ground = {_quoted(ground)}",
        f"ground_public_key = {_quoted(ground_key)}",
        f"transport = {_quoted(transport)}",
        "[recorder]",
        "frames_per_s = 0.5",
        "min_free_bytes = 500000000",
        "[metrics]",
        'listen = "127.0.0.1:0"',
        "[[sensor]]",
        "[sensor.camera]",
        f"sensor_id = {_quoted(sensor.sensor_id)}",
        f"kind = {_quoted(sensor.kind)}",
        f"url = {_quoted(inbox)}",
        "follow = true",
        f"frame_lag_s = {sensor.frame_lag_s!r}",
        *_lens(reader, sensor.sensor_id),
        "[sensor.mount]",
        *_mount(sensor.mount),
        "[sensor.sigma]",
        *_sigma(sensor),
        "[sensor.model]",
        f"name = {_quoted(model)}",
        f"min_score = {min_score!r}",
        "[sensor.surface]",
        *(('kind = "terrain"', f"path = {_quoted(terrain)}") if terrain else ('kind = "level"',)),
    ]
    return "\n".join(lines) + "\n"


def _lens(reader: FlightReader, sensor_id: str) -> list[str]:
    camera = reader.camera(sensor_id)
    if camera is None:
        return []
    names = ("width_px", "height_px", "fx", "fy", "cx", "cy")
    numbers = [f"{name} = {getattr(camera, name)!r}" for name in names]
    return ["[sensor.lens]", *numbers, f"distortion = {[float(value) for value in camera.distortion]!r}"]


def _mount(mount: Mount) -> list[str]:
    if isinstance(mount, GimbalMount):
        device = mount.gimbal_device_id
        return ['kind = "gimbal"', *([f"gimbal_device_id = {device}"] if device else [])]
    angles = {"roll_deg": mount.roll_deg, "pitch_deg": mount.pitch_deg, "yaw_deg": mount.yaw_deg}
    return ['kind = "fixed"', *(f"{name} = {float(angle)!r}" for name, angle in angles.items())]


def _sigma(sensor: Sensor) -> list[str]:
    """The flight's own error budget; the usual one where it states none, but always its time offset."""
    told = {} if sensor.sigma is None else msgspec.to_builtins(sensor.sigma)
    told["time_offset_s"] = sensor.frame_lag_sigma_s
    return [f"{name} = {float(value)!r}" for name, value in told.items() if value is not None]


def _quoted(text: str | Path) -> str:
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _word(value: bool) -> str:
    return "true" if value else "false"
