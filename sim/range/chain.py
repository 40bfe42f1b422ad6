"""The edge chain over one platform of a run: its frames where there are some, else looks drawn from truth.

Everything behind the detector is the real one: telemetry from MAVLink bytes, poses, geolocation, tracker.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edge.vision.pipeline import Frame, Outcome
from models.catalogue import load_detector
from models.detection import DetectionBatch, make_batch
from models.detector import Inference
from models.letterbox import Placement
from sim.analyze import AnalyzeOptions, HeardTelemetry, sensor_node
from sim.scenario.flown.looks import LOOKS_JSONL, FrameLooks
from sim.scenario.runner import TERRAIN_NAME
from skywarden.errors import FlightError
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import Sensor
from skywarden.geometry.terrain import load_terrain
from skywarden.messages import Chip

LOOK_LABELS = ("vessel", "plot", "structure")
LOOKS_MODEL = "looks:0000000000000000"
_MAX_LOOKS_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What one frame came to; `stamp_ns` is when it was at hand aboard."""

    platform_id: str
    sensor_id: str
    frame_number: int
    stamp_ns: int
    time_ns: int
    outcome: Outcome


class LooksDetector:
    """Answers from `looks.jsonl` in place of a network; `turn_to` says which frame is the next."""

    model_id = LOOKS_MODEL

    def __init__(self, labels: tuple[str, ...] = LOOK_LABELS) -> None:
        self.labels = labels
        self._next: FrameLooks | None = None

    def turn_to(self, frame: FrameLooks) -> None:
        """The next question is about this frame."""
        self._next = frame

    def infer(self, image_bgr_u8: npt.NDArray[np.uint8]) -> Inference:
        """Nothing to compute."""
        size = (image_bgr_u8.shape[1], image_bgr_u8.shape[0])
        return Inference(outputs=[], placement=Placement(image_size_px=size, placed_size_px=size))

    def read(self, inference: Inference) -> DetectionBatch:
        """The looks at the frame that was turned to."""
        found = () if self._next is None else self._next.looks
        return make_batch(
            np.array([look.box_px for look in found], np.float32).reshape(-1, 4),
            np.array([look.score for look in found], np.float32),
            np.array([self.labels.index(look.label) for look in found], np.uint8),
            self.labels,
            inference.placement.image_size_px,
        )

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """The looks at the frame that was turned to."""
        return self.read(self.infer(image_bgr_u8))

    def warm_up(self) -> None:
        """Nothing to warm."""


def steps_of(flight: Path, options: AnalyzeOptions | None = None) -> Iterator[Step]:
    """What each frame of a platform's flight comes to, sensor by sensor, in the order of the frames.

    Rays meet the scenario's terrain where the flight has it beside it. Raises what `sim.analyze.analyze`
    does.
    """
    options = options or AnalyzeOptions()
    terrain = flight / TERRAIN_NAME
    if options.surface is None and terrain.exists():
        options = replace(options, surface=load_terrain(terrain))
    reader = FlightReader(flight)
    for sensor in reader.info.sensors:
        yield from _pictured(reader, sensor, options) if sensor.media else _looked(reader, sensor, options)


def _pictured(reader: FlightReader, sensor: Sensor, options: AnalyzeOptions) -> Iterator[Step]:
    node = sensor_node(reader, sensor, load_detector(options.model, threads=options.threads), options)
    heard = HeardTelemetry(reader, sensor, options)
    for ref, image in reader.images(sensor.sensor_id):
        time_ns = heard.up_to(ref.time_ns)
        frame = Frame(frame_number=ref.frame_number, time_ns=time_ns, received_ns=ref.time_ns, image=image)
        outcome = node.finish(node.detect(frame), heard.poses.pose_at(time_ns))
        yield _step(reader, sensor, ref.frame_number, ref.time_ns, time_ns, outcome)


def _looked(reader: FlightReader, sensor: Sensor, options: AnalyzeOptions) -> Iterator[Step]:
    detector = LooksDetector()
    node = sensor_node(reader, sensor, detector, options)
    heard = HeardTelemetry(reader, sensor, options)
    blank = np.zeros((sensor.height_px or 1, sensor.width_px or 1, 3), np.uint8)
    for looks in read_looks(reader.path / LOOKS_JSONL):
        if looks.sensor_id != sensor.sensor_id:
            continue
        time_ns = heard.up_to(looks.time_ns)
        detector.turn_to(looks)
        frame = Frame(
            frame_number=looks.frame_number, time_ns=time_ns, received_ns=looks.time_ns, image=blank
        )
        outcome = node.finish(node.detect(frame), heard.poses.pose_at(time_ns))
        told = [message for message in outcome.messages if not isinstance(message, Chip)]
        outcome = replace(outcome, messages=told)
        yield _step(reader, sensor, looks.frame_number, looks.time_ns, time_ns, outcome)


def read_looks(path: Path) -> list[FrameLooks]:
    """The looks of a flight without pictures; raises `FlightError` when there are none that can be read."""
    try:
        if path.stat().st_size > _MAX_LOOKS_BYTES:
            raise FlightError(f"{path}: larger than {_MAX_LOOKS_BYTES} bytes; fly a shorter run")
        return [msgspec.json.decode(line, type=FrameLooks) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise FlightError(f"{path}: the flight has neither pictures nor looks ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise FlightError(f"{path}: {error}") from error


def _step(
    reader: FlightReader, sensor: Sensor, number: int, stamp_ns: int, time_ns: int, outcome: Outcome
) -> Step:
    return Step(
        platform_id=reader.info.platform_id,
        sensor_id=sensor.sensor_id,
        frame_number=number,
        stamp_ns=stamp_ns,
        time_ns=time_ns,
        outcome=outcome,
    )
