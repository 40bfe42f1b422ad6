"""One delivery from an outbox into a store, in one process: `python -m sim.faults.one_delivery FOLDER COUNT`.

Prints what is promised as soon as it is: `durable BOOT SEQ HASH`, `acknowledged BOOT FIRST LAST`. Scenario
S1b lets the kernel kill it, or refuse, at each of its writes.
"""

import random
import sys
from pathlib import Path

from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import Outbox
from ground.link.intake import Intake
from ground.store.sqlite import SqliteStore
from sim.faults.nodes import NoContacts
from skywarden.evidence import EvidenceKey, body_hash
from skywarden.link.protocol import acknowledged_ranges, decode_reply
from skywarden.messages import Health
from skywarden.wire import encode

KEY = EvidenceKey.from_secret(bytes(range(32)))
PLATFORM = "uav01"
NS = 1_780_000_000_000_000_000


def deliver(folder: Path, count: int) -> None:
    """Record `count` conditions, and deliver whatever the outbox holds."""
    outbox = Outbox(folder / "outbox.sqlite", PLATFORM)
    bodies = [_body(number) for number in range(count)]
    for body in bodies:
        _say("attempt", body_hash(body).hex())
    for body, seq in zip(
        bodies, outbox.append_many([("health", NS, body) for body in bodies]) if bodies else (), strict=True
    ):
        _say("durable", outbox.boot_id, seq, body_hash(body).hex())
    store = SqliteStore(folder / "store.sqlite", NoContacts())
    intake = Intake(store=store, evidence_keys=lambda platform_id: (KEY.public,))
    core = LinkCore(config=LinkConfig(), source=outbox, jitter=random.Random(1), key=KEY)
    now_s = 0.0
    while outbox.state().held and now_s < 60.0:
        now_s += 0.1
        payload = core.next_batch(now_s, NS)
        if payload is None:
            continue
        parcel = intake.open(PLATFORM, payload, len(payload), NS)
        assert parcel is not None
        reply = intake.reply(parcel, is_committed=intake.commit([parcel]), ground_ns=NS)
        core.on_reply(reply, now_s, NS)
        ack = decode_reply(reply).ack
        for first, last in acknowledged_ranges(ack) if ack is not None else []:
            _say("acknowledged", outbox.boot_id, first, last)
    store.close()
    outbox.close()


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _body(number: int) -> bytes:
    nonce = random.SystemRandom().getrandbits(64)
    return encode(
        Health(
            platform_id=PLATFORM,
            component="camera.eo",
            condition="stalled",
            state="degraded",
            time_ns=NS,
            since_ns=NS,
            text=f"condition {number} {nonce:016x}",
        )
    )


if __name__ == "__main__":
    deliver(Path(sys.argv[1]), int(sys.argv[2]))
