"""An aircraft that answers operators, for tests: outbox, downlink and triage, as the worker has them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from edge.triage.config import TriageConfig
from edge.triage.core import TriageCore
from edge.triage.frame_ring import FrameNote, FrameRing, KeptSighting
from edge.triage.worth import Graded, Worth
from ground.serve import GroundHandle
from skywarden import evidence
from skywarden.link import keys
from skywarden.messages import Chip, Sighting
from skywarden.topics import topic_of
from skywarden.wire import encode
from tests.ground.scenes import START_NS


@dataclass
class Aircraft:
    """What flies: what `see` is handed is judged and recorded in the thread that answers operators."""

    outbox: Outbox
    core: TriageCore
    downlink: Downlink
    judged: dict[str, Worth] = field(default_factory=dict)
    min_scores: dict[str, float] = field(default_factory=dict)
    _seen: deque[Sighting | Chip] = field(default_factory=deque)

    def see(self, *looks: Sighting | Chip) -> None:
        """Looks at things and their pictures, as vision hands them to the worker's core."""
        self._seen.extend(looks)

    def work(self) -> None:
        """One turn of the worker's core."""
        now_ns = time.time_ns()
        entries = self.core.tend(now_ns)
        while self._seen:
            look = self._seen.popleft()
            topic = topic_of(look).name
            for entry in self.core.graded(topic, look, encode(look), now_ns, time.monotonic_ns()):
                assert isinstance(entry, Graded)
                if isinstance(look, Sighting):
                    self.judged[look.sighting_id] = entry.worth
                entries.append(entry)
        self.outbox.append_many(entries)
        self.min_scores = self.core.control(None, 0).min_scores


@contextmanager
def running_aircraft(folder: Path, ground: GroundHandle) -> Iterator[Outbox]:
    """The outbox of `flying`."""
    with flying(folder, ground) as aircraft:
        yield aircraft.outbox


@contextmanager
def flying(folder: Path, ground: GroundHandle, platform: str = "uav07") -> Iterator[Aircraft]:
    """Outbox, downlink and triage as the worker puts them together, in `folder`."""
    pair = keys.load_or_create_key_file(folder / "keys" / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / "keys" / "link.evidence.key")
    ground.enrol(platform, evidence.enrolment_line(pair, signer))
    outbox = Outbox(folder / "outbox.sqlite", platform)
    core = TriageCore(TriageConfig(frames_min_free_bytes=0), platform, outbox, folder, sensors=("eo",))
    config = LinkConfig(
        ground=ground.link_address,
        ground_public_key=ground.server_public_key,
        heartbeat_s=0.2,
        retry_min_s=0.5,
        silence_s=2.0,
    )
    downlink = Downlink(config, outbox, pair, evidence_key=signer, on_tasking=core.on_tasking)
    downlink.start()
    stopping, aircraft = threading.Event(), Aircraft(outbox, core, downlink)

    def run() -> None:
        while not stopping.wait(0.05):
            aircraft.work()

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        yield aircraft
    finally:
        stopping.set()
        worker.join(5.0)
        core.close()
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
