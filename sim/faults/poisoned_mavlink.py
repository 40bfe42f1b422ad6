"""Scenario S10: poisoned MAVLink: cut, bent, made up, unknown, unsigned and forged frames, by the million."""

import math
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.faults.memory import resident_bytes
from sim.faults.result import Profile, Result
from skywarden.mavlink import decode
from skywarden.mavlink.dialect import CRC_EXTRA, MESSAGES, SIGNATURE_BYTES, SIGNED_FLAG, checksum
from skywarden.mavlink.framing import Frame, Framer, parse_frame
from skywarden.mavlink.signing import SigningGuard
from skywarden.mavlink.synth import MessageMaker


@dataclass(frozen=True, slots=True)
class Plan:
    """Frames in all; frames of each kind of poison (0: what is left, in equal parts); seconds of mutations;
    unknown ids."""

    frames: int
    share: int
    mutation_s: float
    unknown_ids: int = 190_000


PLANS: dict[Profile, Plan] = {
    "quick": Plan(200_000, 20_000, 3.0),
    "full": Plan(10_000_000, 0, 3_600.0),
    "soak": Plan(100_000_000, 0, 8 * 3_600.0),
}
_CHUNK = 5_000
_NS = 1_780_000_000_000_000_000
_SIGNING_KEY = bytes(range(32))
_NOW_TICKS = 40_000_000_000_000
_SPECIAL = (float("nan"), float("inf"), float("-inf"), 3.4e38, -3.4e38, 1e-45)
_FLYING = (
    decode.HEARTBEAT,
    decode.SYSTEM_TIME,
    decode.GPS_RAW_INT,
    decode.SCALED_IMU,
    decode.ATTITUDE,
    decode.ATTITUDE_QUATERNION,
    decode.GLOBAL_POSITION_INT,
    decode.VFR_HUD,
    decode.GPS2_RAW,
    decode.ALTITUDE,
    decode.MOUNT_STATUS,
    decode.EKF_STATUS_REPORT,
    decode.ESTIMATOR_STATUS,
    decode.HOME_POSITION,
    decode.MOUNT_ORIENTATION,
    decode.GIMBAL_DEVICE_ATTITUDE_STATUS,
)


@dataclass(slots=True)
class _Tally:
    """What came of everything that was fed."""

    fed: int = 0
    exceptions: int = 0
    bad_json: int = 0
    kinds: set[str] = field(default_factory=set)


def run(profile: Profile, seed: int, plan: Plan | None = None) -> Result:
    """All kinds of poison in turn, then mutations until the time is up."""
    result = Result("S10", profile, seed)
    began_s = time.monotonic()
    rng, plan = random.Random(seed), plan or PLANS[profile]
    tally = _Tally()
    for make in (_bent, _noise, _made_up, _not_numbers):  # so that what is allocated once is not counted
        _feed(rng, make, _CHUNK, tally)
    _unknown_ids(Framer(), rng, 4 * _CHUNK, tally)
    resident = resident_bytes()
    framer = Framer()
    _unknown_ids(framer, rng, plan.unknown_ids, tally)
    result.expect_at_most(
        f"growth of memory, {plan.unknown_ids:,} unknown ids, MB", _grown_mb(resident), 20.0
    )
    share = plan.share or max(1, (plan.frames - tally.fed) // 5)
    _truncated(result, rng, share, tally)
    for make in (_bent, _noise, _made_up, _not_numbers):
        _feed(rng, make, share, tally)
    _forgery(result, rng, tally)
    _mutations(result, rng, plan.mutation_s, tally)
    _speed(result, rng)
    result.observe("frames fed", tally.fed)
    result.expect_at_least("frames fed, of those asked", tally.fed, min(plan.frames, 10_000_000))
    result.expect_zero("exceptions", tally.exceptions)
    result.expect_zero("decoded messages that are no JSON", tally.bad_json)
    result.expect_at_most("growth of memory over everything, MB", _grown_mb(resident), 20.0)
    result.notes += sorted(tally.kinds)[:5]
    result.seconds = time.monotonic() - began_s
    return result


def _grown_mb(before: int) -> float:
    return max(0, resident_bytes() - before) / 1e6


def _raw(msgid: int, payload: bytes, *, sysid: int = 1, seq: int = 0) -> bytes:
    """A MAVLink 2 frame with a good checksum, whatever its payload (an unknown id gets seed 0)."""
    inside = bytes((len(payload), 0, 0, seq & 255, sysid, 1)) + msgid.to_bytes(3, "little") + payload
    return b"\xfd" + inside + checksum(inside + CRC_EXTRA.get(msgid, b"\0")).to_bytes(2, "little")


def _flight(rng: random.Random, count: int) -> list[bytes]:
    """Frames as a vehicle sends them: heartbeat, attitude, position, parameters with start bytes inside."""
    maker = MessageMaker(1, 1)
    attitude = maker.attitude(time_boot_ms=5, roll_deg=1.0, pitch_deg=2.0, heading_deg=200.0)
    position = maker.global_position_int(
        time_boot_ms=5, latitude_deg=41.0, longitude_deg=12.0, alt_msl_m=500.0, alt_rel_m=100.0
    )
    bodies = [(0, maker.heartbeat()[10:-2]), (30, attitude[10:-2]), (33, position[10:-2])]
    bodies += [(22, rng.randbytes(4) + b"\x01\0\x02\0\xfd\xfe\xfd\x09ABCDEFGH\x09")]
    return [_raw(*bodies[number % 4], seq=number) for number in range(count)]


def _check(frames: list[Frame], node: TelemetryNode, tally: _Tally) -> None:
    """Through everything that reads frames aboard: fields, JSON, poses, conditions."""
    try:
        for frame in frames:
            values = decode.fields(frame)
            text = msgspec.json.encode(values)
            if values is not None and len(msgspec.json.decode(text)) != len(values):
                tally.bad_json += 1
            node.handle(_NS, frame)
        node.conditions(_NS)
        pose = node.platform_pose("uav01", "s1", _NS)
        if pose is not None and b"NaN" in msgspec.json.encode(pose):
            tally.bad_json += 1
    except Exception as error:  # noqa: BLE001 - this is what is counted
        tally.exceptions += 1
        tally.kinds.add(f"{type(error).__name__}: {error}"[:200])


def _feed(
    rng: random.Random, make: Callable[[random.Random, int], Iterator[bytes]], count: int, tally: _Tally
) -> None:
    """`count` frames of one kind, in reads of odd sizes, a new vehicle from time to time."""
    fed = 0
    while fed < count:
        framer, node = Framer(), TelemetryNode(MavlinkConfig())
        node.handle(_NS, _raw(0, MessageMaker(1, 1).heartbeat()[10:-2]))
        size = min(_CHUNK, count - fed)
        stream = b"".join(make(rng, size))
        frames: list[Frame] = []
        try:
            at = 0
            while at < len(stream):
                step = rng.randint(1, 3_000)
                frames += framer.feed(stream[at : at + step])
                at += step
            frames += framer.flush()
        except Exception as error:  # noqa: BLE001 - this is what is counted
            tally.exceptions += 1
            tally.kinds.add(f"framer, {type(error).__name__}: {error}"[:200])
        _check(frames, node, tally)
        fed += size
    tally.fed += fed


def _bent(rng: random.Random, count: int) -> Iterator[bytes]:
    """Every third frame has some bytes changed, taken out or doubled."""
    for raw in _flight(rng, count):
        yield mutated(raw, rng) if rng.random() < 0.33 else raw


def _noise(rng: random.Random, count: int) -> Iterator[bytes]:
    """Random bytes with many start bytes in them."""
    for _ in range(count):
        yield rng.choice((b"\xfd", b"\xfe", b"\xfd\x09\x00", b"\xfe\x09")) + rng.randbytes(rng.randint(0, 40))


def _made_up(rng: random.Random, count: int) -> Iterator[bytes]:
    """Good checksum, known id, random content of any length."""
    ids = sorted(MESSAGES)
    for number in range(count):
        msgid = rng.choice(_FLYING) if number % 2 else rng.choice(ids)
        size = MESSAGES[msgid].size if rng.random() < 0.7 else rng.randint(0, 255)
        yield _raw(msgid, rng.randbytes(size), seq=number)


def _not_numbers(rng: random.Random, count: int) -> Iterator[bytes]:
    """Good checksum, every other number of the content NaN, infinite or at the end of its range."""
    for number in range(count):
        msgid = rng.choice(_FLYING)
        payload = bytearray()
        for one in MESSAGES[msgid].fields:
            for _ in range(1 if one.is_text else one.count):
                payload += _extreme(rng, one.code, one.count if one.is_text else 0)
        yield _raw(msgid, bytes(payload), seq=number)


def _extreme(rng: random.Random, code: str, text: int) -> bytes:
    if text or code in "sc":
        return rng.randbytes(max(1, text))
    if code in "fd":
        value = rng.choice(_SPECIAL) if rng.random() < 0.5 else rng.uniform(-1e3, 1e3)
        return struct.pack(f"<{code}", value)
    size = struct.calcsize(f"<{code}")
    return rng.choice((b"\xff" * size, bytes(size), b"\0" * (size - 1) + b"\x80", rng.randbytes(size)))


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """`raw` with up to four changes: bits, bytes, cuts, doubled and foreign parts."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        what = rng.randrange(6)
        if what == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and data:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFD, 0xFE, 0xFF))
        elif what == 2:
            del data[at : at + rng.randint(1, 12)]
        elif what == 3:
            data[at:at] = data[at : at + rng.randint(1, 40)]
        elif what == 4:
            data[at:at] = rng.randbytes(rng.randint(1, 12))
        else:
            del data[at:]
    return bytes(data)


def _truncated(result: Result, rng: random.Random, count: int, tally: _Tally) -> None:
    """Three of ten frames are cut off; every other one must come out, and nothing else."""
    intact, found, false, unvouched = (
        0,
        0,
        0,
        0,
    )  # a cut-off frame may be completed by the byte that follows: not false
    for first in range(0, count, _CHUNK):
        size = min(_CHUNK, count - first)
        sent: set[bytes] = set()
        made: set[bytes] = set()
        stream = bytearray()
        for raw in _flight(rng, size):
            number = rng.getrandbits(64).to_bytes(8, "little")
            raw = _raw(4, number + bytes((raw[4], 1, 1, 2, 3, 1)), seq=raw[4])
            made.add(raw)
            if rng.random() < 0.3:
                stream += raw[: rng.randint(1, len(raw) - 1)]
            else:
                stream += raw
                sent.add(raw)
        framer = Framer()
        frames = framer.feed(bytes(stream)) + framer.flush()
        came = {frame.raw for frame in frames}
        unvouched += sum(not frame.is_known for frame in frames)
        intact += len(sent)
        found += len(came & sent)
        false += len(came - made)
    tally.fed += count
    result.expect_at_least("intact frames found, 30 % cut off, %", 100 * found / intact, 99.9)
    chance = 0.3 * count / 65_536  # that a checksum of 16 bits fits by accident
    result.expect_at_most("frames found that nobody sent", false, math.ceil(chance + 5 * chance**0.5 + 1))
    result.expect_at_most("of these with an id that nobody knows", unvouched, 1 + count // 100_000)


def _unknown_ids(framer: Framer, rng: random.Random, count: int, tally: _Tally) -> None:
    """Every frame has another id that no dialect knows."""
    framer.feed(_raw(0, MessageMaker(1, 1).heartbeat()[10:-2]))
    ids = [msgid for msgid in range(50_000, 50_000 + count + 500) if msgid not in CRC_EXTRA][:count]
    node = TelemetryNode(MavlinkConfig())
    for first in range(0, count, _CHUNK):
        part = ids[first : first + _CHUNK]
        stream = b"".join(_raw(msgid, rng.randbytes(8), seq=msgid) for msgid in part)
        _check(framer.feed(stream), node, tally)
    tally.fed += count


def _signed(maker: MessageMaker, count: int) -> list[bytes]:
    return [maker.heartbeat(base_mode=number & 127) for number in range(count)]


def _forgery(result: Result, rng: random.Random, tally: _Tally) -> None:
    """Signing is on: forged, unsigned, downgraded and replayed frames between good ones."""
    guard = SigningGuard(_SIGNING_KEY, timestamp=_NOW_TICKS)
    framer = Framer(guard)
    true = MessageMaker(1, 1, signer=SigningGuard(_SIGNING_KEY, timestamp=_NOW_TICKS, link_id=1))
    forger = MessageMaker(
        1, 1, signer=SigningGuard(rng.randbytes(32), timestamp=(1 << 48) - 20_000, link_id=1)
    )
    legitimate, lost, let_in = 0, 0, 0
    earlier: list[bytes] = []
    for raw in _signed(true, 2_000):
        poison = [
            forger.heartbeat(),
            MessageMaker(1, 1).heartbeat(),
            MessageMaker(1, 1, version=1).heartbeat(),
        ]
        poison.append(_raw(60_000, b"unknown"))
        poison.append(_with_flag_only(MessageMaker(1, 1).heartbeat(), rng))
        poison += [rng.choice(earlier)] if earlier else []
        for bad in poison:
            let_in += len(framer.feed(bad))
        lost += len(framer.feed(raw)) != 1
        legitimate += 1
        earlier.append(raw)
        tally.fed += len(poison) + 1
    result.observe("signing: legitimate frames between forged ones", legitimate)
    result.expect_zero("signing: legitimate frames lost", lost)
    result.expect_zero("signing: unsigned, forged or replayed frames let in", let_in)


def _with_flag_only(raw: bytes, rng: random.Random) -> bytes:
    """Says that it is signed, has a good checksum, and a made-up signature."""
    inside = bytes((raw[1], SIGNED_FLAG)) + raw[3:-2]
    msgid = int.from_bytes(raw[7:10], "little")
    good = checksum(inside + CRC_EXTRA[msgid]).to_bytes(2, "little")
    return b"\xfd" + inside + good + rng.randbytes(SIGNATURE_BYTES)


def _mutations(result: Result, rng: random.Random, seconds: float, tally: _Tally) -> None:
    """Our own mutation loop: what gives a new outcome is kept and mutated further."""
    pool = _flight(rng, 8) + list(_made_up(rng, 32))
    seen: set[tuple[object, ...]] = set()
    count, node = 0, TelemetryNode(MavlinkConfig())
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        raw = mutated(rng.choice(pool), rng)
        if rng.random() < 0.5 and len(raw) > 12:
            msgid = int.from_bytes(raw[7:10], "little")
            raw = _raw(msgid if msgid in MESSAGES else rng.choice(_FLYING), raw[10:-2][:255])
        framer = Framer()
        try:
            parse_frame(raw)
            frames = framer.feed(raw) + framer.flush()
        except Exception as error:  # noqa: BLE001 - this is what is counted
            tally.exceptions += 1
            tally.kinds.add(f"mutation, {type(error).__name__}: {error}"[:200])
            continue
        _check(frames, node, tally)
        marks = (
            len(frames),
            framer.counts.bad_crc,
            framer.counts.bad_flags,
            frames[0].msgid if frames else -1,
        )
        outcome = (*marks, len(node.counts))
        if outcome not in seen and len(pool) < 5_000:
            seen.add(outcome)
            pool.append(raw)
        count += 1
        if count % 5_000 == 0:
            node = TelemetryNode(MavlinkConfig())
    tally.fed += count
    result.observe("mutations", count)
    result.observe("kinds of outcome found by mutation", len(seen))


def _speed(result: Result, rng: random.Random) -> None:
    """Framing and telemetry of an ordinary flight, on one core."""
    stream = b"".join(_flight(rng, 40_000))
    framer, node = Framer(), TelemetryNode(MavlinkConfig())
    began_s = time.process_time()
    for at in range(0, len(stream), 4_096):
        for frame in framer.feed(stream[at : at + 4_096]):
            node.handle(_NS, frame)
    seconds = time.process_time() - began_s
    result.expect_at_least("framed and understood, messages/s per core", 40_000 / seconds, 20_000)
