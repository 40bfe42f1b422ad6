"""Messages and stations for the tests of the ground."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from ground.config import GroundConfig
from ground.serve import GroundHandle, start_ground
from ground.store.sqlite import Arrival
from skywarden import evidence
from skywarden.geometry.uncertainty import ce90_m
from skywarden.link import keys
from skywarden.messages import Bearing, Chip, Message, PlatformPose, Position, Sighting
from skywarden.topics import topic_of
from skywarden.wire import Record, encode

START_NS = 1_763_000_000_000_000_000
BOOT = "0123456789abcdef" * 2
METRE_DEG = 1 / 111_319.49


def until(holds: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Wait for what another thread or process brings about; fails after `limit_s`."""
    end_s = time.monotonic() + limit_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < end_s, "did not happen in time"
        pause.wait(0.01)


def position(
    north_m: float = 0.0, east_m: float = 0.0, sigma_m: float = 5.0, latitude_deg: float = 0.0
) -> Position:
    """A place near 0 N 20 E (where a degree is the same both ways), round error."""
    variance = sigma_m**2
    return Position(
        latitude_deg=latitude_deg + north_m * METRE_DEG,
        longitude_deg=20.0 + east_m * METRE_DEG,
        alt_hae_m=12.0,
        covariance_enu_m2=(variance, 0.0, 0.0, variance, 0.0, 9.0),
        ce90_m=float(ce90_m([[variance, 0.0], [0.0, variance]])),
        le90_m=4.93,
        surface="sea",
    )


def sighting(
    track: str = "uav07-s1-eo-1",
    number: int = 1,
    *,
    at_s: float = 0.0,
    place: Position | None = None,
    label: str = "vessel",
    score: float = 0.8,
    platform: str = "uav07",
    sensor: str = "eo",
    sortie: str = "s1",
) -> Sighting:
    """A sighting of `track`; without a place it has a bearing."""
    return Sighting(
        sighting_id=f"{track}-{number}",
        track_id=track,
        platform_id=platform,
        sortie_id=sortie,
        sensor_id=sensor,
        frame_number=number,
        time_ns=START_NS + round(at_s * 1e9),
        label=label,
        score=score,
        model_id="anomaly-1",
        box_px=(1.0, 2.0, 3.0, 4.0),
        position=place,
        bearing=None if place is not None else Bearing(azimuth_deg=90.0, elevation_deg=-1.0, sigma_deg=2.0),
        no_position_reason=None if place is not None else "telemetry_stale",
        platform_position=(0.001, 20.0, 120.0),
    )


def chip(of: Sighting, size: int = 2_000) -> Chip:
    """A chip of a sighting."""
    return Chip(
        chip_id=f"chip-{of.sighting_id}",
        sighting_id=of.sighting_id,
        platform_id=of.platform_id,
        time_ns=of.time_ns,
        media_type="image/jpeg",
        width_px=64,
        height_px=64,
        box_in_chip_px=(8.0, 8.0, 56.0, 56.0),
        data=b"\xff\xd8\xff" + b"j" * size,
    )


def pose(platform: str = "uav07", *, at_s: float = 0.0, east_m: float = 0.0) -> PlatformPose:
    """A pose of a platform."""
    return PlatformPose(
        platform_id=platform,
        sortie_id="s1",
        time_ns=START_NS + round(at_s * 1e9),
        received_ns=START_NS + round(at_s * 1e9),
        latitude_deg=0.0,
        longitude_deg=20.0 + east_m * METRE_DEG,
        alt_hae_m=120.0,
        alt_msl_m=100.0,
        alt_rel_m=90.0,
        heading_deg=10.0,
        course_deg=12.0,
        speed_mps=8.0,
        climb_mps=0.0,
        q_ned_body=None,
    )


def arrival(message: Message, seq: int, *, boot: str = BOOT, platform: str = "uav07") -> Arrival:
    """A message as it reaches the store."""
    record = Record(
        platform_id=platform,
        boot_id=boot,
        seq=seq,
        topic=topic_of(message).name,
        time_ns=START_NS,
        body=encode(message),
    )
    return Arrival(record=record, message=message, received_ns=START_NS + 5_000)


def ground_config(folder: Path) -> GroundConfig:
    """A station on free ports in `folder`."""
    return GroundConfig(state=str(folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0")


@contextmanager
def running_ground(folder: Path, link: str = "127.0.0.1:0") -> Iterator[GroundHandle]:
    """A station, stopped at the end."""
    config = GroundConfig(state=str(folder / "ground"), http="127.0.0.1:0", link=link)
    handle = start_ground(config)
    try:
        yield handle
    finally:
        handle.stop()


@lru_cache(maxsize=8)
def authorization(ground: GroundHandle) -> tuple[str, str]:
    """The header that opens a station's API, with everything that an administrator may do."""
    return "Authorization", f"Bearer {ground.program_key()}"


@contextmanager
def running_edge(
    folder: Path, ground: GroundHandle, platform: str = "uav07", *, is_enrolled: bool = True
) -> Iterator[tuple[Outbox, Downlink]]:
    """An outbox with its downlink to `ground`."""
    pair = keys.load_or_create_key_file(folder / platform / "keys" / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / platform / "keys" / "link.evidence.key")
    if is_enrolled:
        ground.enrol(platform, evidence.enrolment_line(pair, signer))
    outbox = Outbox(folder / platform / "outbox.sqlite", platform)
    config = LinkConfig(
        ground=ground.link_address,
        ground_public_key=ground.server_public_key,
        heartbeat_s=0.2,
        retry_min_s=0.5,
        silence_s=2.0,
    )
    downlink = Downlink(config, outbox, pair, evidence_key=signer)
    downlink.start()
    try:
        yield outbox, downlink
    finally:
        downlink.stop()
        outbox.close()


def enrolment(folder: Path, platform: str = "uav07") -> str:
    """The line of keys of a platform of `running_edge`."""
    keys_dir = folder / platform / "keys"
    signer = evidence.load_evidence_key(keys_dir / "link.evidence.key")
    return evidence.enrolment_line(keys.load_key_file(keys_dir / "link.key"), signer)


def put(outbox: Outbox, *messages: Message) -> list[int]:
    """Append messages to an outbox."""
    return outbox.append_many([(topic_of(one).name, START_NS, encode(one)) for one in messages])
