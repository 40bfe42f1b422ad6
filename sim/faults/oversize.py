"""Scenario S14: what is too large, too deep or claims to be, is refused by a limit; the queue goes on."""

import contextlib
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import zmq

from edge.geolocation.cases import read_cases
from ground.config import GroundConfig
from ground.link.authenticator import enrol
from ground.link.intake import Intake
from ground.serve import GroundHandle, authorized_dir, start_ground
from ground.store.sqlite import SqliteStore
from sim.faults.memory import resident_bytes
from sim.faults.nodes import NoContacts
from sim.faults.result import Profile, Result
from sim.faults.signed import NS, SignedSource
from skywarden import evidence
from skywarden.errors import SkywardenError
from skywarden.evidence import EvidenceKey
from skywarden.flight.decoding import read_image
from skywarden.geometry.terrain import load_terrain
from skywarden.link import enrolment, keys
from skywarden.link.protocol import (
    KIND_BATCH,
    MAX_BATCH_BYTES,
    MAX_UNITS,
    UNIT_BYTES,
    Batch,
    Fragment,
    Head,
    Signature,
    decode_reply,
    encode_batch,
)
from skywarden.topics import TOPICS
from skywarden.wire import Entry, Record, encode_entry


@dataclass(frozen=True, slots=True)
class Plan:
    """Poisoned records; rounds of so many messages of 64 MiB."""

    cases: int
    rounds: int = 2
    messages: int = 4


PLANS: dict[Profile, Plan] = {"quick": Plan(500), "full": Plan(5_000), "soak": Plan(50_000)}
_PLATFORM = "uav01"
_MEGABYTE = 1_000_000
_DEEP = b"\x91" * 10_000 + b"\xc0"
_DEEP_MAP = b"\x81\xa1a" * 10_000 + b"\xc0"
_CLAIMS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
)


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """Records and batches first, then files, then messages of 64 MiB to a running station."""
    result = Result("S14", profile, seed)
    began_s = time.monotonic()
    plan = plan or PLANS[profile]
    before, rng = structlog.get_config(), random.Random(seed)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-s14-") as folder:
            _records(result, Path(folder), plan.cases, rng)
            _files(result, Path(folder))
        with tempfile.TemporaryDirectory(prefix="skywarden-s14-") as folder:
            _station(result, Path(folder), plan, rng)
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


def _poison(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Bodies of records that nobody may believe, by topic, without end."""
    label = b"\xdb" + struct.pack(">I", _MEGABYTE) + b"x" * _MEGABYTE
    boxes = b"\xc6" + struct.pack(">I", 160_000) + bytes(160_000)
    topics = sorted(name for name, topic in TOPICS.items() if topic.policy == "durable")
    shapes: list[Callable[[int], bytes]] = [
        lambda limit: _DEEP[:limit],
        lambda limit: _DEEP_MAP[:limit],
        lambda limit: b"\xdc\x00\x30" + b"\xc0" * 47 + _DEEP[: max(0, limit - 60)],
        lambda limit: b"\x9d" + b"\xc0" * 12 + label[: limit - 20],
        lambda limit: b"\x9a\xa5uav01\xa2s1\xa2eo\x01\x01\xa1m\x91\xa6vessel" + boxes[: limit - 40],
        lambda limit: rng.choice(_CLAIMS),
        lambda limit: rng.randbytes(min(limit, rng.randint(1, 4_000))),
        lambda limit: b"\xc1" * min(limit, 100),
    ]
    while True:
        for topic in topics:
            for shape in shapes:
                yield topic, shape(TOPICS[topic].max_bytes)


def _records(result: Result, folder: Path, count: int, rng: random.Random) -> None:
    """One poisoned record after the other, signed and chained as it must be, each followed by a good one."""
    source = SignedSource(
        _PLATFORM, f"{rng.getrandbits(128):032x}", EvidenceKey.from_secret(rng.randbytes(32))
    )
    store = SqliteStore(folder / "store.sqlite", NoContacts())
    intake = Intake(store=store, evidence_keys=lambda platform_id: (source.key.public,))
    poison, worst_s, bad, exceptions = _poison(rng), 0.0, 0, 0
    resident = resident_bytes()
    for number in range(count):
        if number == 50:
            resident = resident_bytes()
        _append(source, *next(poison))
        source.grow(1)
        began_s = time.monotonic()
        try:
            for junk in (rng.choice(_CLAIMS), _DEEP, _batch_of(rng), bytes(MAX_BATCH_BYTES + 1)):
                bad += intake.open(_PLATFORM, junk, len(junk), NS) is not None
            _deliver(intake, source.batch((len(source.records) - 1, len(source.records))))
        except Exception as error:  # noqa: BLE001 - this is what is counted
            exceptions += 1
            result.notes.append(f"{type(error).__name__}: {error}"[:200])
        worst_s = max(worst_s, time.monotonic() - began_s)
        source.records[-2] = source.records[-1]  # delivered; only the poison itself is that large
    bad += _fragments(intake, source)
    standing = store.standing(_PLATFORM, source.boot_id, (len(source.records),))
    counts = store.counts()
    result.observe("poisoned records and batches", 5 * count)
    result.expect_zero("exceptions", exceptions)
    result.expect_zero("batches that should have been refused", bad)
    result.expect_equal("poisoned records in quarantine", counts.quarantined, count)
    result.expect_equal("good records behind them stored", counts.records - counts.quarantined, count)
    arrived = 0 if standing is None else standing.ack.contiguous_seq
    result.expect_equal("acknowledged, so that nothing is blocked", arrived, 2 * count)
    result.expect_at_most("a poisoned record and the next good one, worst s", worst_s, 1.0)
    result.expect_at_most("growth of memory, MB", max(0, resident_bytes() - resident) / 1e6, 32.0)
    store.close()


def _append(source: SignedSource, topic: str, body: bytes) -> None:
    seq = len(source.records) + 1
    record = Record(
        platform_id=_PLATFORM,
        boot_id=source.boot_id,
        seq=seq,
        topic=topic,
        time_ns=NS + seq,
        body=body,
        mono_ns=seq,
        clock=1,
    )
    start = evidence.chain_start(_PLATFORM, source.boot_id)
    source.records.append(record)
    source.chain.append(
        evidence.chain_next(source.chain[-1] if source.chain else start, evidence.leaf_of(record))
    )


def _batch_of(rng: random.Random) -> bytes:
    """A batch of far too many tiny records."""
    tiny = encode_entry(Entry(seq=0, topic="health", time_ns=NS, body=b"\xc0"))
    batch = Batch(
        number=1,
        platform_id=_PLATFORM,
        boot_id=f"{rng.getrandbits(128):032x}",
        sent_ns=NS,
        last_seq=0,
        pending=0,
        records=(),
    )
    head = encode_batch(batch)
    return head.replace(b"\x90", b"\xdd" + struct.pack(">I", 5_000) + tiny * 5_000, 1)


def _fragments(intake: Intake, source: SignedSource) -> int:
    """Beginnings of a thousand records of half a megabyte, never finished; how many the store still keeps."""
    first = len(source.records)
    for number in range(1_000):
        piece = Fragment(
            seq=first + 10 + number,
            topic="chip",
            time_ns=NS,
            mono_ns=1,
            clock=1,
            total_bytes=MAX_UNITS * UNIT_BYTES,
            body_hash=bytes(32),
            offset=0,
            data=bytes(UNIT_BYTES),
        )
        leaf = evidence.leaf_from(_PLATFORM, source.boot_id, piece.seq, "chip", NS, 1, 1, piece.body_hash)
        source.number += 1
        head = Head(seq=piece.seq, chain=bytes(32))
        text = evidence.seal_text(
            _PLATFORM,
            source.boot_id,
            source.number,
            head.seq,
            head.chain,
            [evidence.fragment_hash(leaf, 0, piece.data)],
        )
        signature = Signature(key_id=evidence.key_id(source.key.public), signature=source.key.sign(text))
        _deliver(
            intake,
            encode_batch(
                Batch(
                    number=source.number,
                    platform_id=_PLATFORM,
                    boot_id=source.boot_id,
                    sent_ns=NS,
                    last_seq=piece.seq,
                    pending=1,
                    records=(),
                    fragments=(piece,),
                    head=head,
                    signature=signature,
                )
            ),
        )
    standing = intake.store.standing(_PLATFORM, source.boot_id, ())
    return 0 if standing is None or len(standing.partial) <= 32 else len(standing.partial)


def _deliver(intake: Intake, payload: bytes) -> None:
    parcel = intake.open(_PLATFORM, payload, len(payload), NS)
    if parcel is not None:
        intake.commit([parcel])


def _files(result: Result, folder: Path) -> None:
    """Files that grow when they are opened, or say that they are enormous."""
    deep = b'{"cases": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    (folder / "deep.json").write_bytes(deep)
    (folder / "huge.png").write_bytes(_png(50_000, 50_000))
    (folder / "wide.png").write_bytes(_png(1_000_000_000, 3))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("format.npy", "grid.npy", "heights_hae_m.npy"):
            archive.writestr(name, bytes(64 * _MEGABYTE))
    np.savez_compressed(
        folder / "wide.npz", format=np.int32(1), grid=np.zeros(7), heights_hae_m=np.zeros(8 * _MEGABYTE)
    )
    openers: Sequence[tuple[str, Callable[[Path], object]]] = (
        ("deep.json", read_cases),
        ("huge.png", read_image),
        ("wide.png", read_image),
        ("bomb.npz", load_terrain),
        ("wide.npz", load_terrain),
    )
    (folder / "small").write_bytes(b"{}")
    for _, opener in openers:  # so that what is imported once is not counted
        with contextlib.suppress(SkywardenError):
            opener(folder / "small")
    opened, resident = [], resident_bytes()
    for name, opener in openers:
        try:
            opener(folder / name)
        except SkywardenError:
            continue
        except Exception as error:  # noqa: BLE001 - this is what is counted
            opened.append(f"{name}: {type(error).__name__}")
        else:
            opened.append(f"{name}: opened")
    for data in (_DEEP[:1_000], *_CLAIMS, bytes(2_000)):
        for reader in (enrolment.decode, decode_reply):
            try:
                reader(data)
            except SkywardenError:
                continue
            opened.append(f"{reader.__name__} took {data[:5]!r}")
    result.expect_zero("files and answers that should have been refused", len(opened))
    result.notes += opened
    result.expect_at_most("growth of memory by files, MB", max(0, resident_bytes() - resident) / 1e6, 32.0)


def _png(width: int, height: int) -> bytes:
    """A PNG that states a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _station(result: Result, folder: Path, plan: Plan, rng: random.Random) -> None:
    """Enrolled, and sends messages of 64 MiB: its connection ends, the other platform notices nothing."""
    ground = start_ground(GroundConfig(state=str(folder), http="127.0.0.1:0", link="127.0.0.1:0"))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        good = _client(ground, context, "uav01")
        hostile = keys.create_key_file(folder / "hostile" / "link.key")
        enrol(authorized_dir(ground.state_dir), "uav02", hostile.public)
        heartbeat = encode_batch(
            Batch(
                number=1, platform_id="uav01", boot_id="0" * 32, sent_ns=NS, last_seq=0, pending=0, records=()
            )
        )
        hostile_key = folder / "hostile" / "link.key"
        there: list[_Round] = []
        elsewhere: list[_Round] = []
        resident, messages = resident_bytes(), ground.receiver.counts.messages
        with _sink() as sink:
            for _ in range(plan.rounds):
                elsewhere.append(_meanwhile(good, heartbeat, (*sink, str(hostile_key)), plan.messages))
                target = (ground.link_address, ground.server_public_key, str(hostile_key))
                there.append(_meanwhile(good, heartbeat, target, plan.messages))
        _half_a_message(ground, rng)
        good_trips = [_round_trip(good, heartbeat) for _ in range(50)]
        trips = len(good_trips) + sum(len(one.delays) for one in there + elsewhere)
        taken = ground.receiver.counts.messages - messages - trips
        cut = sum(one.cut for one in there)
        result.expect_equal(
            "messages of 64 MiB that cost their sender the connection", cut, plan.rounds * plan.messages
        )
        result.expect_zero("messages of 64 MiB that were taken", taken)
        grown_mb = max(0, resident_bytes() - resident) / 1e6
        result.expect_at_most("growth of memory by messages of 64 MiB, MB", grown_mb, 32.0)
        calm_s = _p99([delay for one in elsewhere for delay in one.delays])
        busy_s = _p99([delay for one in there for delay in one.delays])
        result.observe("round trip of another platform, p99, they go elsewhere, ms", 1e3 * calm_s)
        result.observe("round trip of another platform, p99, they come here, ms", 1e3 * busy_s)
        result.expect_at_most("p99 of another platform, times that", busy_s / calm_s, 1.2)
        result.observe("processor of a round trip, they go elsewhere, us", 1e6 * _cost(elsewhere))
        result.observe("processor of a round trip, they come here, us", 1e6 * _cost(there))
        good.close(linger=0)
    finally:
        context.destroy(linger=0)
        ground.stop()


@dataclass(frozen=True, slots=True)
class _Round:
    """Round trips of another platform while messages of 64 MiB were sent, and the processor time of all."""

    delays: list[float]
    cpu_s: float
    cut: int


def _meanwhile(
    good: "zmq.Socket[bytes]", heartbeat: bytes, target: tuple[str, str, str], messages: int
) -> _Round:
    """Messages of 64 MiB go to `target` (address, its key, the sender's key file); round trips meanwhile."""
    command = [sys.executable, "-m", "sim.faults.big_sender", *target, str(messages)]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    delays: list[float] = []
    began_s = time.process_time()
    while sender.poll() is None or len(delays) < 300:
        delays.append(_round_trip(good, heartbeat))
        time.sleep(0.002)
    cpu_s = time.process_time() - began_s
    return _Round(delays, cpu_s, sender.communicate(timeout=30)[0].split().count("cut"))


@contextlib.contextmanager
def _sink() -> Iterator[tuple[str, str]]:
    """A port that is not the station's: its address and key."""
    command = [sys.executable, "-m", "sim.faults.big_sink"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, _, key = process.stdout.readline().strip().partition(" ")
        try:
            yield address, key
        finally:
            process.communicate(timeout=30)


def _cost(rounds: list[_Round]) -> float:
    return sum(one.cpu_s for one in rounds) / max(1, sum(len(one.delays) for one in rounds))


def _client(
    ground: GroundHandle, context: "zmq.Context[zmq.Socket[bytes]]", platform: str
) -> "zmq.Socket[bytes]":
    pair = keys.new_key_pair()
    enrol(authorized_dir(ground.state_dir), platform, pair.public)
    client = context.socket(zmq.DEALER)
    client.linger = 0
    client.sndtimeo = 5_000
    client.curve_serverkey = keys.curve_option(keys.parse_public(ground.server_public_key))
    client.curve_publickey, client.curve_secretkey = pair.public_z85, pair.secret_z85
    client.connect(f"tcp://{ground.link_address}")
    return client


def _round_trip(client: "zmq.Socket[bytes]", payload: bytes) -> float:
    began_s = time.monotonic()
    client.send_multipart([KIND_BATCH, payload])
    if client.poll(10_000):
        client.recv_multipart()
    return time.monotonic() - began_s


def _half_a_message(ground: GroundHandle, rng: random.Random) -> None:
    """Raw TCP: a greeting, then a frame that says it has 2^62 bytes."""
    host, _, port = ground.link_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15 + 32))
        connection.sendall(b"\x06" + struct.pack(">Q", 1 << 62) + rng.randbytes(10_000))


def _p99(delays: list[float]) -> float:
    return sorted(delays)[min(len(delays) - 1, round(0.99 * len(delays)))]
