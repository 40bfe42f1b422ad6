"""Many platforms in one process, for scenario L1: they record at a rate, send, and say what is promised.

Usage: python -m sim.faults.load_fleet FOLDER GROUND GROUND_KEY STAGES, with STAGES such as `500:5,2000:60`
(sightings a second for so many seconds, one hundredth of that in stills of 20 kB). FOLDER holds a folder with
keys for each platform; there each leaves `records.sha256`, the hashes of its records by number. A line of
JSON after each stage; an empty line on the input ends the stages early. Then nothing is recorded any more,
and when everything is acknowledged (or nothing moves for a minute) the last line tells what each platform
believes. Outboxes are in memory: it is the station that is on trial, and the disks of two hundred aircraft
are not one disk.
"""

import contextlib
import random
import sys
import threading
import time
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import zmq

from edge.link.config import LinkConfig
from edge.link.outbox import OutboxState, PendingRecord
from edge.link.sender import LinkCore
from edge.triage.config import TriageConfig
from edge.triage.ladder import Ladder
from ground.store.sequences import SequenceSet
from sim.faults.contents import made_chip
from skywarden import evidence
from skywarden.evidence import body_hash
from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH, KIND_REPLY, Head, acknowledged_ranges
from skywarden.messages import Ack, Position, Sighting
from skywarden.topics import TOPICS
from skywarden.wire import Record, encode

FRAMES_PER_S = 5.0
STILL_SHARE = 0.01
_STILL_BYTES = 20_000
_PRIORITIES = 3
_TRACKS = 10
_TRACK_LIFE_FRAMES = 300
_SHARED_DEG = 2e-5
_OWN_DEG = 8e-6
"""Errors of places: a platform's looks share most of theirs, as in every recorded flight."""
_TURN_MS = 4
_PATIENCE_S = 60.0
_MAX_DELAY_MS = 60_000


class Believed(msgspec.Struct, frozen=True, kw_only=True):
    """What one platform believes at the end: numbers given out, and those the station acknowledged."""

    platform_id: str
    boot_id: str
    last_seq: int
    sightings: int
    acknowledged: tuple[tuple[int, int], ...]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage came to; delays in seconds from recording to acknowledgement."""

    asked_per_s: float
    seconds: float
    recorded: int
    stills: int
    p50_s: float
    p99_s: float
    worst_s: float
    held: int
    batches: int
    cpu_s: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The last line."""

    drained_s: float
    held: int
    platforms: tuple[Believed, ...]


@dataclass(slots=True)
class Delays:
    """How long acknowledgements took, in whole milliseconds."""

    counts: "array[int]" = field(default_factory=lambda: array("q", bytes(8 * (_MAX_DELAY_MS + 1))))

    def note(self, seconds: float) -> None:
        """One record was acknowledged after so long."""
        self.counts[min(_MAX_DELAY_MS, max(0, round(seconds * 1e3)))] += 1

    def quantile(self, share: float) -> float:
        """The delay, in seconds, that this share does not exceed; 0 when there is none."""
        wanted, seen = share * sum(self.counts), 0
        for milliseconds, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return milliseconds / 1e3
        return 0.0


class MemoryOutbox:
    """`RecordSource` in memory: chained as the real one, gone with the process."""

    def __init__(self, platform_id: str, journal: BinaryIO, entropy: random.Random) -> None:
        self.on_append: Callable[[], None] | None = None
        self.platform_id = platform_id
        self.boot_id = f"{entropy.getrandbits(128):032x}"
        self.believed = SequenceSet()
        self.delays = Delays()
        self._journal = journal
        self._last = self._acknowledged = 0
        self._chain = evidence.chain_start(platform_id, self.boot_id)
        self._held: list[dict[int, tuple[PendingRecord, float]]] = [{} for _ in range(_PRIORITIES)]

    def append(self, topic: str, body: bytes, priority: int, now_s: float) -> None:
        """Record a message now; 0 is an alert."""
        self._last += 1
        record = Record(
            platform_id=self.platform_id,
            boot_id=self.boot_id,
            seq=self._last,
            topic=topic,
            time_ns=time.time_ns(),
            body=body,
            mono_ns=int(now_s * 1e9),
            clock=1,
        )
        hashed = body_hash(body)
        self._journal.write(hashed)
        self._chain = evidence.chain_next(self._chain, evidence.leaf_of(record, hashed))
        pending = PendingRecord(
            seq=record.seq,
            topic=topic,
            priority=priority,
            time_ns=record.time_ns,
            body=body,
            mono_ns=record.mono_ns,
            clock=record.clock,
        )
        self._held[priority][record.seq] = (pending, now_s)

    def pending(
        self,
        limit_bytes: int,
        *,
        limit_records: int = 200,
        skip: Collection[int] = (),
        fresh_from: int = 0,
    ) -> list[PendingRecord]:
        """See `RecordSource`: alerts first, then other sightings and stills, the newest of each first."""
        chosen: list[PendingRecord] = []
        size = 0
        for held in self._held:
            for seq in reversed(held):
                if seq in skip:
                    continue
                record = held[seq][0]
                size += len(record.body)
                if chosen and (size > limit_bytes or len(chosen) >= limit_records):
                    return chosen
                chosen.append(record)
        return chosen

    def acknowledge(self, ack: Ack, head: Head | None = None) -> int:
        """See `RecordSource`."""
        now_s, count = time.monotonic(), 0
        for first, last in acknowledged_ranges(ack):
            self.believed.add_range(first, min(last, self._last))
            for held in self._held:
                for seq in [seq for seq in held if first <= seq <= last]:
                    _, recorded_s = held.pop(seq)
                    self.delays.note(now_s - recorded_s)
                    count += 1
        self._acknowledged += count
        return count

    def state(self) -> OutboxState:
        """See `RecordSource`."""
        return OutboxState(
            held=sum(map(len, self._held)),
            held_bytes=0,
            last_seq=self._last,
            acknowledged=self._acknowledged,
            shed=0,
            shed_bytes=0,
            head=self._chain,
        )


@dataclass(slots=True)
class Platform:
    """One aircraft: its outbox, its end of the link, and what it sees."""

    number: int
    outbox: MemoryOutbox
    core: LinkCore
    socket: "zmq.Socket[bytes]"
    rng: random.Random
    ladder: Ladder = field(default_factory=lambda: Ladder(TriageConfig()))
    due_s: float = 0.0
    send_s: float = 0.0
    frame: int = 0
    sightings: int = 0
    owed: float = 0.0
    bias: tuple[float, float] = (0.0, 0.0)
    """What all its places are off by, degrees east and north: heading, boresight, GNSS."""

    def see(self, now_s: float, per_frame: float) -> None:
        """One frame: so many things on average."""
        self.frame += 1
        self.owed += per_frame
        while self.owed >= 1.0:
            self.owed -= 1.0
            self.sightings += 1
            sighting = self._sighting()
            body = encode(sighting)
            worth = self.ladder.judge(sighting, len(body), now_s)
            assert worth is not None  # every look is sent
            self.outbox.append("sighting", body, worth.priority, now_s)
            self.send_s = now_s

    def picture(self, now_s: float) -> None:
        """A still of what was seen last."""
        name = f"{self.outbox.boot_id[:8]}.{self.sightings}"
        data = self.rng.randbytes(_STILL_BYTES)
        sighting_id = f"{self.outbox.platform_id}.{name}"
        chip = made_chip(
            f"{sighting_id}.{self.frame}", sighting_id, self.outbox.platform_id, time.time_ns(), data
        )
        self.outbox.append("chip", encode(chip), TOPICS["chip"].priority, now_s)
        self.send_s = now_s

    def _sighting(self) -> Sighting:
        """One of ten things below, each of them in view for a minute."""
        platform_id, thing = self.outbox.platform_id, self.sightings % _TRACKS
        track = f"{platform_id}.t{thing + _TRACKS * (self.frame // _TRACK_LIFE_FRAMES)}"
        east = self.bias[0] + self.rng.gauss(0.0, _OWN_DEG)
        north = self.bias[1] + self.rng.gauss(0.0, _OWN_DEG)
        latitude_deg = 45.0 + 0.05 * (self.number % 20)
        longitude_deg = 10.0 + 0.05 * (self.number // 20) + 2e-5 * (self.frame % _TRACK_LIFE_FRAMES)
        return Sighting(
            sighting_id=f"{platform_id}.{self.outbox.boot_id[:8]}.{self.sightings}",
            track_id=track,
            platform_id=platform_id,
            sortie_id=f"{platform_id}.s1",
            sensor_id="eo",
            frame_number=self.frame,
            time_ns=time.time_ns(),
            label="vessel",
            score=0.75,
            model_id="detector-0123456789ab",
            box_px=(670.0, 32.0, 684.0, 46.0),
            position=Position(
                latitude_deg=latitude_deg + 0.004 * thing + north,
                longitude_deg=longitude_deg + east,
                alt_hae_m=2.5,
                covariance_enu_m2=(9.0, 0.5, 0.0, 4.0, 0.0, 2.25),
                ce90_m=5.6,
                le90_m=2.5,
                surface="sea",
            ),
            bearing=None,
            no_position_reason=None,
            slant_range_m=101.5,
            platform_position=(latitude_deg + 0.02, longitude_deg, 702.0),
        )


class Fleet:
    """All platforms of the folder, turned by one thread."""

    def __init__(self, folder: Path, ground: str, ground_key: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ends = contextlib.ExitStack()
        self._ends.callback(self._context.destroy, linger=0)
        self._poller = zmq.Poller()
        server_key = keys.parse_public(ground_key)
        config = LinkConfig(ground=ground, ground_public_key=ground_key)
        self.platforms: list[Platform] = []
        self._of_socket: dict[object, Platform] = {}
        for place in sorted(one for one in folder.iterdir() if one.is_dir()):
            self._add(place, config, ground, server_key)
        self._still_turn = 0
        self._stills_owed = 0.0

    def _add(self, folder: Path, config: LinkConfig, ground: str, server_key: bytes) -> None:
        rng = random.Random(folder.name)
        journal = self._ends.enter_context((folder / "records.sha256").open("wb"))
        outbox = MemoryOutbox(folder.name, journal, random.SystemRandom())
        pair = keys.load_key_file(folder / "link.key")
        signer = evidence.load_evidence_key(folder / "link.evidence.key")
        socket = self._context.socket(zmq.DEALER)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 64, 256
        socket.curve_serverkey = keys.curve_option(server_key)
        socket.curve_publickey, socket.curve_secretkey = pair.public_z85, pair.secret_z85
        socket.connect(f"tcp://{ground}")
        core = LinkCore(config=config, source=outbox, jitter=rng, key=signer)
        bias = rng.gauss(0.0, _SHARED_DEG), rng.gauss(0.0, _SHARED_DEG)
        platform = Platform(len(self.platforms), outbox, core, socket, rng, bias=bias)
        self.platforms.append(platform)
        self._of_socket[socket] = platform
        self._poller.register(socket, zmq.POLLIN)

    def close(self) -> None:
        """End all connections and files."""
        self._ends.close()

    def turn(self) -> None:
        """Wait a moment for answers, take them in, let those send that have something or may have."""
        for socket, _ in self._poller.poll(_TURN_MS):
            platform = self._of_socket[socket]
            with contextlib.suppress(zmq.Again):
                while True:
                    kind, payload = platform.socket.recv_multipart(zmq.DONTWAIT)
                    if kind == KIND_REPLY:
                        platform.core.on_reply(payload, time.monotonic(), time.time_ns())
                        platform.send_s = 0.0
        now_s = time.monotonic()
        for platform in self.platforms:
            if platform.send_s <= now_s:
                self._send(platform)

    def _send(self, platform: Platform) -> None:
        for _ in range(4):
            now_s = time.monotonic()
            payload = platform.core.next_batch(now_s, time.time_ns())
            if payload is None:
                platform.send_s = now_s + platform.core.wait_s(now_s)
                return
            try:
                platform.socket.send_multipart([KIND_BATCH, payload], zmq.DONTWAIT)
            except zmq.Again:
                return  # as if the radio had lost it: it is sent again

    def stage(self, per_s: float, seconds: float, stopping: threading.Event) -> Stage:
        """Record at this rate for so long."""
        delays = Delays()
        before = [(one.outbox.state(), one.sightings, one.core.state(0.0).batches) for one in self.platforms]
        for one in self.platforms:
            one.outbox.delays = delays
        began_s, cpu_s = time.monotonic(), time.process_time()
        per_frame = per_s / len(self.platforms) / FRAMES_PER_S
        for one in self.platforms:
            one.due_s = began_s + one.rng.random() / FRAMES_PER_S
        last_s = began_s
        while (now_s := time.monotonic()) < began_s + seconds and not stopping.is_set():
            self._record(now_s, per_frame)
            self._picture(now_s, (now_s - last_s) * per_s * STILL_SHARE)
            last_s = now_s
            self.turn()
        sightings = sum(one.sightings for one in self.platforms) - sum(one[1] for one in before)
        records = sum(one.outbox.state().last_seq for one in self.platforms)
        return Stage(
            asked_per_s=per_s,
            seconds=time.monotonic() - began_s,
            recorded=sightings,
            stills=records - sum(one[0].last_seq for one in before) - sightings,
            p50_s=delays.quantile(0.50),
            p99_s=delays.quantile(0.99),
            worst_s=delays.quantile(1.0),
            held=self.held,
            batches=sum(one.core.state(0.0).batches for one in self.platforms) - sum(b for *_, b in before),
            cpu_s=time.process_time() - cpu_s,
        )

    def _record(self, now_s: float, per_frame: float) -> None:
        for one in self.platforms:
            while one.due_s <= now_s:
                one.see(now_s, per_frame)
                one.due_s += 1.0 / FRAMES_PER_S

    def _picture(self, now_s: float, count: float) -> None:
        self._stills_owed += count
        while self._stills_owed >= 1.0:
            self._stills_owed -= 1.0
            self._still_turn = (self._still_turn + 1) % len(self.platforms)
            self.platforms[self._still_turn].picture(now_s)

    @property
    def held(self) -> int:
        """Records that are not acknowledged yet."""
        return sum(one.outbox.state().held for one in self.platforms)

    def drain(self) -> Told:
        """Nothing new; until everything is acknowledged, or nothing has moved for a minute."""
        began_s = moved_s = time.monotonic()
        held = self.held
        while held and time.monotonic() < moved_s + _PATIENCE_S:
            self.turn()
            if self.held < held:
                held, moved_s = self.held, time.monotonic()
        return Told(
            drained_s=time.monotonic() - began_s,
            held=self.held,
            platforms=tuple(
                Believed(
                    platform_id=one.outbox.platform_id,
                    boot_id=one.outbox.boot_id,
                    last_seq=one.outbox.state().last_seq,
                    sightings=one.sightings,
                    acknowledged=tuple(one.outbox.believed.ranges()),
                )
                for one in self.platforms
            ),
        )


def say(value: Stage | Told) -> None:
    """One line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _heed(stopping: threading.Event) -> None:
    sys.stdin.readline()
    stopping.set()


def main(folder: Path, ground: str, ground_key: str, stages: str) -> None:
    """All stages, then the quiet phase."""
    stopping = threading.Event()
    threading.Thread(target=_heed, args=(stopping,), daemon=True).start()
    fleet = Fleet(folder, ground, ground_key)
    try:
        for part in stages.split(","):
            per_s, _, seconds = part.partition(":")
            if not stopping.is_set():
                say(fleet.stage(float(per_s), float(seconds), stopping))
        told = fleet.drain()
    finally:
        fleet.close()
    say(told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
