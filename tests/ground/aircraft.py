"""An aircraft that answers operators, for tests: outbox, downlink and triage, as the worker has them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from edge.triage.config import TriageConfig
from edge.triage.core import TriageCore
from edge.triage.frame_ring import FrameNote, FrameRing, KeptSighting
from ground.serve import GroundHandle
from skywarden import evidence
from skywarden.link import keys
from skywarden.messages import Sighting
from tests.ground.scenes import START_NS


@contextmanager
def running_aircraft(folder: Path, ground: GroundHandle) -> Iterator[Outbox]:
    """Outbox, downlink and triage as the worker puts them together, in `folder`."""
    pair = keys.load_or_create_key_file(folder / "keys" / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / "keys" / "link.evidence.key")
    ground.enrol("uav07", evidence.enrolment_line(pair, signer))
    outbox = Outbox(folder / "outbox.sqlite", "uav07")
    core = TriageCore(TriageConfig(frames_min_free_bytes=0), "uav07", outbox, folder)
    config = LinkConfig(
        ground=ground.link_address,
        ground_public_key=ground.server_public_key,
        heartbeat_s=0.2,
        retry_min_s=0.5,
        silence_s=2.0,
    )
    downlink = Downlink(config, outbox, pair, evidence_key=signer, on_tasking=core.on_tasking)
    downlink.start()
    stopping = threading.Event()

    def work() -> None:
        while not stopping.wait(0.05):
            outbox.append_many(core.tend(time.time_ns()))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield outbox
    finally:
        stopping.set()
        worker.join(5.0)
        downlink.stop()
        outbox.close()


def keep_frame(folder: Path, look: Sighting) -> None:
    """Keep a grey source frame of `look`, as the vision process does."""
    image = np.full((600, 800, 3), 120, np.uint8)
    ok, data = cv2.imencode(".jpg", image)
    assert ok
    kept = KeptSighting(sighting_id=look.sighting_id, track_id=look.track_id, box_px=(300, 200, 500, 300))
    ring = FrameRing(folder / "frames" / "eo", max_bytes=10_000_000, min_free_bytes=0)
    assert ring.add("f1", data.tobytes(), FrameNote(frame_number=1, time_ns=START_NS, sightings=(kept,)))
