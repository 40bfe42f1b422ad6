"""What the tests of the vision chain share: a scripted detector, poses that look down or ahead, frames."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.vision.pipeline import Frame, Outcome, SensorIds, VisionNode, VisionSettings
from models.detection import DetectionBatch, make_batch
from models.detector import Inference
from models.letterbox import Placement
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas

S = 1_000_000_000
T0 = 1_760_000_000 * S
WIDTH, HEIGHT = 640, 480
PLACE = (45.0, 7.0)
GROUND_HAE_M = 600.0
CAMERA = CameraModel.from_hfov(WIDTH, HEIGHT, 60.0)
IDS = SensorIds(platform_id="uav07", sortie_id="20251009T085320Z_uav07", sensor_id="eo")
LABELS = ("anomaly", "vessel")

Row = tuple[float, float, float, float, float, int]
"""A detection: x0, y0, x1, y1, score, label index."""
Script = Callable[[int], Sequence[Row]]
"""What the detector answers to its n-th image (from 0)."""


def box(x: float, y: float, *, size: float = 10.0, score: float = 0.9, label: int = 0) -> Row:
    """A detection around a pixel."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2, score, label)


class ScriptedDetector:
    """A `Detector` that answers by a script instead of looking."""

    model_id = "scripted:0123456789abcdef"
    labels = LABELS

    def __init__(self, script: Script) -> None:
        self._script = script
        self.infer_count = 0

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        return self.read(self.infer(image_bgr_u8))

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        height, width = image_bgr_u8.shape[:2]
        if min(height, width) < 8:
            raise InputError(f"an image of {width} x {height} px; sides are 8 to 16384 px")
        rows = np.array(self._script(self.infer_count), dtype=np.float32).reshape(-1, 6)
        self.infer_count += 1
        size = (width, height)
        return Inference([rows], Placement(image_size_px=size, placed_size_px=size))

    def read(self, inference: Inference) -> DetectionBatch:
        rows = inference.outputs[0]
        return make_batch(
            rows[:, :4],
            rows[:, 4],
            rows[:, 5].astype(np.uint8),
            self.labels,
            inference.placement.image_size_px,
        )

    def warm_up(self) -> None:
        """Nothing to warm up."""


def frame(number: int, *, at_s: float | None = None, fault: str | None = None, scale: float = 1.0) -> Frame:
    """Frame `number`, ten a second, of a chequer of chance that depends on the number only."""
    time_ns = T0 + round((number / 10 if at_s is None else at_s) * S)
    tiles = np.random.default_rng(number).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    size = (max(1, round(WIDTH * scale)), max(1, round(HEIGHT * scale)))
    image = np.asarray(cv2.resize(tiles, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    return Frame(
        frame_number=number, time_ns=time_ns, received_ns=time_ns + S // 20, image=image, fault=fault
    )


def pose(
    time_ns: int,
    *,
    elevation_deg: float = -90.0,
    height_m: float = 100.0,
    level_m: float | None = GROUND_HAE_M,
) -> CameraPose:
    """A camera `height_m` above the ground that looks north, or straight down with north at the top."""
    return CameraPose(
        time_ns=time_ns,
        latitude_deg=PLACE[0],
        longitude_deg=PLACE[1],
        alt_hae_m=GROUND_HAE_M + height_m,
        rotation_ned_from_camera=rotations.matrix_from_euler_deg(0.0, elevation_deg, 0.0)
        @ rotations.GIMBAL_FROM_CAMERA,
        velocity_ned_mps=np.zeros(3),
        angular_rate_dps=0.0,
        sigmas=PoseSigmas(),
        level_alt_hae_m=level_m,
        source="test",
    )


def no_pose(time_ns: int, reason: str = "telemetry_stale") -> NoPose:
    """No pose, and why."""
    return NoPose(time_ns=time_ns, reason=reason, detail="the last sample is 3.2 s old")


def settings(camera: CameraModel | None = CAMERA, **changes: Any) -> VisionSettings:
    """The settings of a plain chain."""
    return VisionSettings(camera=camera, **changes)


def node(script: Script, given: VisionSettings | None = None, ids: SensorIds = IDS) -> VisionNode:
    """A chain whose detector answers by `script`."""
    return VisionNode(ids, given or settings(), ScriptedDetector(script))


def fly(eyes: VisionNode, frames: Sequence[Frame], **view: float) -> list[Outcome]:
    """Every frame through the chain, each with its pose."""
    return [eyes.finish(eyes.detect(each), pose(each.time_ns, **view)) for each in frames]
