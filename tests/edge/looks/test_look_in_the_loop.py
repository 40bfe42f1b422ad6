"""A look on order comes out of the working loop of a sensor, after what the frame came to."""

import threading

from edge.bus import Control
from edge.looks.maker import LookIds, LookMaker
from edge.looks.plan import LookOrder
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from edge.vision.loop import LoopSettings, VisionLoop
from edge.vision.pending import PendingFrames
from edge.vision.pipeline import VisionNode
from skywarden.messages import Detections, Look
from tests.edge import eyes
from tests.edge.vision.test_vision_loop import CLOCK, Camera, Collected, Poses, picture
from tests.ground.scenes import until


class _Ordering(Collected):
    """A bus on which the core orders looks of this camera."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Control | None = Control(
            picture_bytes=2_000,
            looks={"eo": LookOrder(period_s=0.0, max_bytes=8_000, width_px=160, is_live=True)},
        )

    def control(self) -> Control | None:
        given, self.order = self.order, None
        return given


def test_a_look_on_order_comes_after_the_messages_of_its_frame() -> None:
    bus, camera = _Ordering(), Camera()
    maker = LookMaker(LookIds(platform_id="uav07", sortie_id="s1", sensor_id="eo", kind="eo"))
    detector = eyes.ScriptedDetector(lambda image: [eyes.box(60.0, 50.0)])
    loop = VisionLoop(
        LoopSettings(platform_id="uav07"),
        VisionNode(eyes.IDS, eyes.settings(), detector),
        camera,
        TelemetryNode(MavlinkConfig()),
        PendingFrames(Poses(), wait_s=0.6),
        bus,
        CLOCK,
        looks=maker,
    )
    thread = threading.Thread(target=loop.run, name="rest")
    thread.start()
    numbers = iter(range(1, 10_000))

    def has_look() -> bool:
        camera.put(picture(next(numbers)))
        return bool(bus.of(Look))

    try:
        until(has_look, 30.0)
    finally:
        loop.stop()
        thread.join(10.0)
        maker.close()
    look = bus.of(Look)[0]
    assert isinstance(look, Look)
    assert look.is_live
    assert look.detection_count == 1
    kinds = [type(message) for message in bus.messages]
    assert kinds.index(Detections) < kinds.index(Look)
