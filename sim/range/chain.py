"""The edge chain over one platform of a run: its frames where there are some, else looks drawn from truth.

Everything behind the detector is the real one: telemetry from MAVLink bytes, poses, geolocation, tracker, and
the watches that say when any of it is not to be trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from edge.vision.pipeline import Frame, Outcome
from models.catalogue import load_detector
from models.detection import DetectionBatch, PolygonShape, Shape, make_batch
from models.detector import Detector, Inference
from models.letterbox import Placement
from sim.analyze import AnalyzeOptions, HeardTelemetry, sensor_node
from sim.range.aboard import Aboard, Heat, Notice
from sim.scenario.flown.looks import LOOKS_JSONL, FrameLooks, Look
from sim.scenario.runner import TERRAIN_NAME
from skywarden.errors import FlightError
from skywarden.flight.decoding import Image
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import Sensor
from skywarden.geometry.pose import NoPose
from skywarden.geometry.terrain import load_terrain
from skywarden.messages import Chip, Health, Plot

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


@dataclass(kw_only=True, slots=True)
class Flown:
    """All that came of one platform's flight.

    Attributes:
        notices: what the worker said of its own state, by its own watches; `said` as it goes to the ground.
        plots: every plot as it was known at the end.
    """

    steps: list[Step] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    said: list[Health] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


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
            [_shape(look) for look in found] if any(look.outline_px for look in found) else (),
        )

    def detect(self, image_bgr_u8: npt.NDArray[np.uint8]) -> DetectionBatch:
        """The looks at the frame that was turned to."""
        return self.read(self.infer(image_bgr_u8))

    def warm_up(self) -> None:
        """Nothing to warm."""


def fly_through(
    flight: Path,
    options: AnalyzeOptions | None = None,
    *,
    begin_ns: int | None = None,
    until_ns: int | None = None,
    heat: Heat | None = None,
) -> Flown:
    """What each frame of a platform's flight comes to, sensor by sensor, in the order of the frames.

    Rays meet the scenario's terrain where the flight has it beside it. The watches look on from
    `begin_ns` (the first message that is heard) until `until_ns`. Raises what `sim.analyze.analyze` does.
    """
    options = options or AnalyzeOptions()
    terrain = flight / TERRAIN_NAME
    if options.surface is None and terrain.exists():
        options = replace(options, surface=load_terrain(terrain))
    reader, flown = FlightReader(flight), Flown()
    for sensor in reader.info.sensors:
        detector = load_detector(options.model, threads=options.threads) if sensor.media else LooksDetector()
        chain = _Chain(reader, sensor, detector, options, begin_ns, heat or Heat())
        arrived = _pictures(reader, sensor) if sensor.media else _looks(reader, sensor)
        flown.steps.extend(chain.step(one) for one in arrived)
        chain.end(until_ns)
        flown.notices.extend(chain.aboard.notices)
        flown.said.extend(chain.aboard.said)
        flown.plots.extend(chain.node.plots())
    return flown


def steps_of(flight: Path, options: AnalyzeOptions | None = None) -> Iterator[Step]:
    """The frames of `fly_through` alone."""
    yield from fly_through(flight, options).steps


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arrived:
    """One frame as it came; `looks` where nobody drew it."""

    number: int
    stamp_ns: int
    image: Image
    looks: FrameLooks | None = None


class _Chain:
    """The worker of one sensor, frame by frame."""

    def __init__(
        self,
        reader: FlightReader,
        sensor: Sensor,
        detector: Detector,
        options: AnalyzeOptions,
        begin_ns: int | None,
        heat: Heat,
    ) -> None:
        self._reader, self._sensor, self._detector = reader, sensor, detector
        self.node = sensor_node(reader, sensor, detector, options)
        size = (sensor.width_px or 0, sensor.height_px or 0)
        self._size = size if all(size) else (640, 480)
        if begin_ns is None:
            begin_ns = next((time_ns for time_ns, _ in reader.telemetry()), 0)
        self.aboard = Aboard(
            reader.info.platform_id,
            sensor.sensor_id,
            size if all(size) else None,
            begin_ns,
            heat,
        )
        self._heard = HeardTelemetry(reader, sensor, options, watch=self.aboard.heard)

    def step(self, one: _Arrived) -> Step:
        """One frame through everything."""
        time_ns = self._heard.up_to(one.stamp_ns)
        fault = (
            self.aboard.picture(one.number, one.stamp_ns, one.image)
            if one.looks is None
            else self.aboard.undrawn(one.looks, self._size)
        )
        if one.looks is not None and isinstance(self._detector, LooksDetector):
            self._detector.turn_to(one.looks)
        frame = Frame(
            frame_number=one.number, time_ns=time_ns, received_ns=one.stamp_ns, image=one.image, fault=fault
        )
        pose = self._heard.poses.pose_at(time_ns)
        if isinstance(pose, NoPose):
            self.aboard.pose(pose.reason, pose.detail, one.stamp_ns)
        else:
            self.aboard.pose(pose.doubt, "the position is in doubt", one.stamp_ns)
        outcome = self.node.finish(self.node.detect(frame), pose)
        if one.looks is not None:  # nobody drew what a chip would show
            told = [message for message in outcome.messages if not isinstance(message, Chip)]
            outcome = replace(outcome, messages=told)
        return _step(self._reader, self._sensor, one.number, one.stamp_ns, time_ns, outcome)

    def end(self, until_ns: int | None) -> None:
        """The last frame is done with."""
        if until_ns is not None:
            self._heard.up_to(until_ns)
            self.aboard.end(until_ns)


def _shape(look: Look) -> Shape | None:
    return PolygonShape(exterior=np.array(look.outline_px)) if len(look.outline_px) >= 3 else None


def _pictures(reader: FlightReader, sensor: Sensor) -> Iterator[_Arrived]:
    for ref, image in reader.images(sensor.sensor_id):
        yield _Arrived(number=ref.frame_number, stamp_ns=ref.time_ns, image=image)


def _looks(reader: FlightReader, sensor: Sensor) -> Iterator[_Arrived]:
    size = (sensor.height_px or 1, sensor.width_px or 1)
    whole = np.zeros((*size, 3), np.uint8)
    for looks in read_looks(reader.path / LOOKS_JSONL):
        if looks.sensor_id != sensor.sensor_id or looks.spoilt == "corrupt":
            continue  # what no decoder takes never arrives
        image = whole
        if looks.shrunk is not None:
            image = np.zeros((round(size[0] * looks.shrunk), round(size[1] * looks.shrunk), 3), np.uint8)
        yield _Arrived(number=looks.frame_number, stamp_ns=looks.time_ns, image=image, looks=looks)


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
