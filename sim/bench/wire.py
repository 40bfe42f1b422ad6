"""What the link's own bytes cost: a sighting encoded, through CURVE, and decoded, against bare pyzmq.

Gathering is counted in virtual time: batches for each look while replies take their time, and how long an
alert waits aboard.

Cost is processor time of both ends in one process, of the same bytes through the same kinds of sockets
(DEALER to ROUTER over TCP), encrypted and checked on our side only. Delay is from the moment before encoding
in another process to the moment after decoding here, a sighting at a time, the two ways in turn; the outbox's
disk and the signature of a batch are not in it.
"""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import zmq

from edge.link.config import LinkConfig
from edge.link.outbox import Outbox
from edge.link.sender import LinkCore
from edge.triage.worth import Graded, Worth
from sim.bench.ingest import made_sighting
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.link.protocol import KIND_BATCH, Batch, Reply, decode_batch, encode_batch, encode_reply
from skywarden.messages import Ack, Sighting
from skywarden.wire import Entry, decode, decode_entry, encode, encode_entry

ROUNDS = 5
BATCHES = {1: 1_500, 50: 120}
DELAYS = 400
PAUSE_S = 0.004
_STEPS = 1_000

_read_batch = msgspec.msgpack.Decoder(Batch).decode
_read_entry = msgspec.msgpack.Decoder(Entry).decode
_read_sighting = msgspec.msgpack.Decoder(Sighting).decode

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


def run() -> dict[str, Any]:
    """Cost at one and at fifty sightings a batch, and delay."""
    found: dict[str, Any] = {}
    for size, count in BATCHES.items():
        found.update(_cost(size, count))
    return {**found, **_gathered(), **_delay(), "goal_cost": 1.5, "goal_delay_us": 150.0}


def batch_of(sightings: list[Sighting], number: int) -> bytes:
    """Sightings as the bytes of one batch."""
    return encode_batch(
        Batch(
            number=number,
            platform_id="uav07",
            boot_id="ab" * 16,
            sent_ns=sightings[0].time_ns,
            last_seq=number,
            pending=0,
            records=tuple(
                encode_entry(
                    Entry(seq=number, topic="sighting", time_ns=one.time_ns, body=encode(one)),
                )
                for one in sightings
            ),
        )
    )


def sightings_in(payload: bytes | memoryview) -> list[Any]:
    """What a batch holds, decoded and checked."""
    entries = [decode_entry(one) for one in decode_batch(payload).records]
    return [decode(one.topic, one.body) for one in entries]


def _decoded_alone(payload: memoryview) -> list[Sighting]:
    """The same by msgspec alone: types and ranges, without sizes, versions and names."""
    entries = [_read_entry(one[1:]) for one in _read_batch(payload[1:]).records]
    return [_read_sighting(one.body[1:]) for one in entries]


def _gathered() -> dict[str, Any]:
    """Looks at 20 a second and an alert every second, replies after 150 ms: with gathering and without."""
    found: dict[str, Any] = {}
    for name, gather_s in (("gathered", LinkConfig().gather_s), ("at_once", 0.0)):
        with TemporaryDirectory() as folder, closing(Outbox(Path(folder) / "o.sqlite", "uav07")) as outbox:
            flight = _Flight(outbox, gather_s)
            for step in range(1, _STEPS):
                flight.step(step)
            found[f"batches_a_look_{name}"] = flight.batches / flight.looks
            found[f"alert_wait_ms_{name}"] = max(flight.alert_waits_s) * 1e3
    return found


class _Flight:
    """An outbox and its link in virtual time, steps of 10 ms; replies come 150 ms after their batch."""

    def __init__(self, outbox: Outbox, gather_s: float) -> None:
        self.outbox = outbox
        self.core = LinkCore(
            config=LinkConfig(gather_s=gather_s), source=outbox, jitter=Random(1), key=EvidenceKey.new()
        )
        self.batches = self.looks = 0
        self.alert_waits_s: list[float] = []
        self._had = 0
        self._alerts: dict[int, float] = {}
        self._under_way: deque[tuple[float, int]] = deque()

    def step(self, step: int) -> None:
        """One step: replies that are due, what is seen, what goes."""
        now_s = step * 0.01
        while self._under_way and self._under_way[0][0] <= now_s:
            self.core.on_reply(self._reply(self._under_way.popleft()[1]), now_s, 0)
        if step % 5 == 0:
            is_alert = step % 100 == 0
            body = encode(made_sighting(step, 47.0, 8.0))
            graded = Graded.of("sighting", step, body, Worth(priority=0 if is_alert else 2))
            (seq,) = self.outbox.append_many([graded])
            self.looks += 1
            if is_alert:
                self._alerts[seq] = now_s
        while (payload := self.core.next_batch(now_s, 0)) is not None:
            batch = decode_batch(payload)
            self.batches += bool(batch.records)
            self._under_way.append((now_s + 0.15, batch.number))
            for seq in [decode_entry(one).seq for one in batch.records]:
                self._had = max(self._had, seq)
                if (made_s := self._alerts.pop(seq, None)) is not None:
                    self.alert_waits_s.append(now_s - made_s)

    def _reply(self, number: int) -> bytes:
        ack = Ack(platform_id="uav07", boot_id=self.outbox.boot_id, contiguous_seq=self._had)
        return encode_reply(Reply(number=number, ground_ns=0, ack=ack))


def _cost(size: int, count: int) -> dict[str, Any]:
    sightings = [made_sighting(number, 47.0, 8.0) for number in range(1, size + 1)]
    payload = batch_of(sightings, 1)
    with ExitStack() as ends:
        context: Context = zmq.Context()
        ends.callback(context.destroy, linger=0)
        raw, ours = _pair(context, pair=None), _pair(context, pair=keys.new_key_pair())
        costs: dict[str, list[float]] = {"raw": [], "curve": [], "encoded": [], "msgspec": [], "whole": []}
        for number in range(ROUNDS + 1):
            one = {
                "raw": _round(raw, count, lambda: payload, len),
                "curve": _round(ours, count, lambda: payload, len),
                "encoded": _round(ours, count, lambda: batch_of(sightings, 1), len),
                "msgspec": _round(ours, count, lambda: batch_of(sightings, 1), _decoded_alone),
                "whole": _round(ours, count, lambda: batch_of(sightings, 1), sightings_in),
            }
            for name, cost in one.items():
                if number:  # the first warms up
                    costs[name].append(cost)
    each = {name: median(found) / count / size * 1e6 for name, found in costs.items()}
    return {
        f"raw_us_{size}": each["raw"],
        f"curve_us_{size}": each["curve"] - each["raw"],
        f"encode_us_{size}": each["encoded"] - each["curve"],
        f"decode_us_{size}": each["whole"] - each["encoded"],
        f"msgspec_us_{size}": each["msgspec"] - each["encoded"],
        f"curve_ratio_{size}": median(a / b for a, b in zip(costs["curve"], costs["raw"], strict=True)),
        f"cost_us_{size}": each["whole"],
        f"cost_ratio_{size}": median(a / b for a, b in zip(costs["whole"], costs["raw"], strict=True)),
    }


def _pair(context: Context, *, pair: keys.KeyPair | None) -> tuple[Socket, Socket]:
    """A DEALER connected to a ROUTER; with CURVE when there are keys."""
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    if pair is not None:
        client = keys.new_key_pair()
        router.curve_server = True
        router.curve_secretkey = pair.secret_z85
        dealer.curve_serverkey = pair.public_z85
        dealer.curve_publickey, dealer.curve_secretkey = client.public_z85, client.secret_z85
    dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
    return router, dealer


def _round(
    sockets: tuple[Socket, Socket],
    count: int,
    make: Callable[[], bytes],
    take: Callable[[Any], object],
) -> float:
    """Processor seconds of sending and taking so many messages, thirty under way at a time."""
    router, dealer = sockets
    began = time.process_time()
    for start in range(0, count, 30):
        number = min(30, count - start)
        for _ in range(number):
            dealer.send_multipart([KIND_BATCH, make()])
        for _ in range(number):
            take(router.recv_multipart(copy=False)[2].buffer)
    return time.process_time() - began


@contextmanager
def _awake() -> Iterator[None]:
    """Processors that do not fall asleep: in a virtual machine one may take until its next tick (4 ms) to
    wake, which is all that a delay of 0.1 ms would tell then. All else goes before these processes."""
    idle = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    spinners = [subprocess.Popen([sys.executable, "-c", idle]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in spinners:
            one.kill()
            one.wait()


def _delay() -> dict[str, Any]:
    """Medians of both ways, messages in turn from another process."""
    server = keys.new_key_pair()
    with ExitStack() as ends:
        ends.enter_context(_awake())
        context: Context = zmq.Context()
        ends.callback(context.destroy, linger=0)
        raw, ours = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
        ours.curve_server = True
        ours.curve_secretkey = server.secret_z85
        ports = [one.bind_to_random_port("tcp://127.0.0.1") for one in (raw, ours)]
        command = [sys.executable, "-m", "sim.bench.wire", *map(str, ports), server.public_text]
        sender = subprocess.Popen(command)
        ends.callback(sender.wait)
        ends.callback(sender.kill)
        delays: dict[Socket, list[float]] = {raw: [], ours: []}
        poller = zmq.Poller()
        for one in delays:
            poller.register(one, zmq.POLLIN)
        while len(delays[ours]) < DELAYS:
            ready = poller.poll(30_000)
            if not ready:
                raise RuntimeError(f"the sender fell silent after {len(delays[ours])} messages")
            for socket, _ in ready:
                frames = socket.recv_multipart(copy=False)
                if socket is ours:
                    (sighting,) = sightings_in(frames[2].buffer)
                    sent_ns = sighting.time_ns
                else:
                    sent_ns = int(bytes(frames[2].buffer[:20]))
                delays[socket].append((time.monotonic_ns() - sent_ns) / 1e3)
    raw_us, ours_us = median(delays[raw][20:]), median(delays[ours][20:])
    return {"delay_raw_us": raw_us, "delay_us": ours_us, "delay_more_us": ours_us - raw_us}


def _send(ports: list[int], server_key: str) -> None:
    """The other process: a bare message and a sighting in turn, each with the moment it was made."""
    with ExitStack() as ends:
        context: Context = zmq.Context()
        ends.callback(context.destroy, linger=2_000)
        raw, ours = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        client = keys.new_key_pair()
        ours.curve_serverkey = keys.curve_option(keys.parse_public(server_key))
        ours.curve_publickey, ours.curve_secretkey = client.public_z85, client.secret_z85
        for socket, port in zip((raw, ours), ports, strict=True):
            socket.connect(f"tcp://127.0.0.1:{port}")
        size = len(batch_of([made_sighting(1, 47.0, 8.0)], 1))
        for number in range(DELAYS + 50):
            time.sleep(PAUSE_S)
            raw.send_multipart([KIND_BATCH, f"{time.monotonic_ns():020}".encode().ljust(size)])
            time.sleep(PAUSE_S)
            made = made_sighting(number, 47.0, 8.0)
            ours.send_multipart([KIND_BATCH, batch_of([_at(made, time.monotonic_ns())], number)])


def _at(sighting: Sighting, time_ns: int) -> Sighting:
    values = {name: getattr(sighting, name) for name in sighting.__struct_fields__}
    return Sighting(**{**values, "time_ns": time_ns})


if __name__ == "__main__":
    _send([int(sys.argv[1]), int(sys.argv[2])], sys.argv[3])
