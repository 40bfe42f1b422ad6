"""The time offset of a recorded flight: its telemetry as an attitude history, its pictures as a motion."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.image_motion import ImageMotion, ImageMotionEstimator, MotionSettings
from edge.calibration.time_offset import OffsetSettings, TimeOffset, estimate_time_offset
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import FixedMount, GimbalMount
from skywarden.geometry.pose import CameraPose, PoseSigmas

Progress = Callable[[int, int, str], None]

_MARGIN_NS = 4 * NS_PER_S
_SETTLE_NS = 60 * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightMount:
    """How a flight says that its camera is fixed, as the pose buffer asks it."""

    kind: Literal["gimbal", "fixed"]
    roll_deg: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    gimbal_axes: Literal["earth", "body"] = "earth"
    gimbal_device_id: int | None = None


def flight_time_offset(
    reader: FlightReader,
    sensor_id: str,
    *,
    settings: OffsetSettings | None = None,
    longest_s: float = 180.0,
    progress: Progress | None = None,
) -> TimeOffset:
    """The offset of one sensor's frames, from the first `longest_s` of them.

    Whatever lag the flight states is left out of account: the answer is the whole lag. Raises `FlightError`
    where the flight has no lens model, no pictures or no telemetry, `InputError` where nothing moves.
    """
    motion = flight_image_motion(reader, sensor_id, longest_s=longest_s, progress=progress)
    span = int(motion.start_ns.min()), int(motion.end_ns.max())
    return estimate_time_offset(motion, flight_attitude(reader, sensor_id, span), settings)


def flight_image_motion(
    reader: FlightReader, sensor_id: str, *, longest_s: float = 180.0, progress: Progress | None = None
) -> ImageMotion:
    """How the pictures of one sensor move, from the first `longest_s` of them."""
    camera = reader.camera(sensor_id)
    if camera is None:
        raise FlightError(f"{reader.path}: {sensor_id} has no lens model; its field of view must be given")
    follower = ImageMotionEstimator(camera, MotionSettings())
    total = (reader.info.frame_counts or {}).get(sensor_id, 0)
    begin_ns: int | None = None
    for number, (ref, image) in enumerate(reader.images(sensor_id)):
        begin_ns = ref.time_ns if begin_ns is None else begin_ns
        if ref.time_ns - begin_ns > longest_s * NS_PER_S:
            break
        follower.add(ref.time_ns, image)
        if progress is not None:
            progress(number + 1, total, "following the picture")
    return follower.motion()


def flight_attitude(
    reader: FlightReader, sensor_id: str, span_ns: tuple[int, int], *, margin_ns: int = _MARGIN_NS
) -> AttitudeHistory:
    """The camera's poses around a span of frame times, at the times of the telemetry's own samples."""
    mount = mount_of(reader.info.sensor(sensor_id).mount)
    return attitude_of(reader.telemetry(), mount, (span_ns[0] - margin_ns, span_ns[1] + margin_ns))


def attitude_of(
    telemetry: Iterable[tuple[int, bytes]], mount: FlightMount, span_ns: tuple[int, int]
) -> AttitudeHistory:
    """Poses in `span_ns` from raw MAVLink frames in the order of their reception."""
    node = TelemetryNode(MavlinkConfig())
    buffer = node.pose_buffer(mount=mount, sigmas=PoseSigmas())
    poses: list[CameraPose] = []
    waiting: list[int] = []
    heard: set[int] = set()
    for received_ns, raw in telemetry:
        if received_ns > span_ns[1] + _SETTLE_NS:
            break
        node.handle(received_ns, raw)
        if node.history is None:
            continue
        streams = [node.history.attitudes] if mount.kind == "fixed" else list(node.history.gimbals.values())
        for newest in (stream.latest for stream in streams):
            is_wanted = newest is not None and span_ns[0] <= newest.time_ns <= span_ns[1]
            if newest is not None and is_wanted and newest.time_ns not in heard:
                heard.add(newest.time_ns)
                waiting.append(newest.time_ns)
        while waiting and buffer.covers(waiting[0]):
            pose = buffer.pose_at(waiting.pop(0))
            if isinstance(pose, CameraPose):
                poses.append(pose)
    return AttitudeHistory.from_poses(poses)


def mount_of(mount: FixedMount | GimbalMount) -> FlightMount:
    """What the pose buffer wants to know of a flight's mount."""
    if isinstance(mount, FixedMount):
        return FlightMount(
            kind="fixed", roll_deg=mount.roll_deg, pitch_deg=mount.pitch_deg, yaw_deg=mount.yaw_deg
        )
    return FlightMount(kind="gimbal", gimbal_device_id=mount.gimbal_device_id or None)
