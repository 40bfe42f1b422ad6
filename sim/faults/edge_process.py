"""One platform as a process of its own: records, sends, and prints what it was promised; for real processes.

Usage: python -m sim.faults.edge_process FOLDER PLATFORM GROUND GROUND_KEY RECORDS_PER_S
Lines: those of `sim/faults/processes.py`, and `held COUNT`. SIGTERM stops it recording, which it says with
`stopped`; it sends on until it is killed.
"""

import random
import signal
import sys
import threading
import time
from pathlib import Path

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from sim.faults.contents import made_chip, made_sighting
from skywarden import evidence
from skywarden.evidence import body_hash
from skywarden.link import keys
from skywarden.link.protocol import Head, acknowledged_ranges
from skywarden.logs import configure_logs
from skywarden.messages import Ack
from skywarden.wire import encode

_said = threading.Lock()


class TellingOutbox(Outbox):
    """Prints what it believes to be delivered."""

    def acknowledge(self, ack: Ack, head: Head | None = None) -> int:
        """See `Outbox`."""
        boot_id, last_seq = self.boot_id, self.state().last_seq
        count = super().acknowledge(ack, head)
        if count and self.boot_id == boot_id:
            for first, last in acknowledged_ranges(ack):
                say("acknowledged", boot_id, first, min(last, last_seq))
        return count


def say(*words: object) -> None:
    """One line, at once."""
    with _said:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()


def main(folder: Path, platform_id: str, ground: str, ground_key: str, rate: float) -> None:
    """Record at `rate` until SIGTERM, send until the end."""
    configure_logs("json", verbosity=-1)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    pair = keys.load_or_create_key_file(folder / "link.key")
    signer = evidence.load_or_create_evidence_key(folder / "link.evidence.key")
    outbox = TellingOutbox(folder / "outbox.sqlite", platform_id)
    config = LinkConfig(
        ground=ground,
        ground_public_key=ground_key,
        heartbeat_s=0.25,
        silence_s=2.0,
        retry_min_s=0.5,
        retry_max_s=5.0,
    )
    downlink = Downlink(config, outbox, pair, evidence_key=signer)
    downlink.start()
    rng, number = random.Random(), 0
    while not stopping.wait(rng.uniform(0.5, 1.5) / rate):
        number += 1
        _record(outbox, platform_id, f"{rng.getrandbits(64):016x}", number)
        if number % 10 == 0:
            say("held", outbox.state().held)
    say("held", outbox.state().held)
    say("stopped")
    while True:
        say("held", outbox.state().held)
        time.sleep(0.2)


def _record(outbox: Outbox, platform_id: str, nonce: str, number: int) -> None:
    utc_ns = time.time_ns()
    track_id = f"{platform_id}.t{number % 20}"
    sighting = made_sighting(f"{platform_id}.{nonce}", track_id, platform_id, number, utc_ns)
    entries = [("sighting", utc_ns, encode(sighting))]
    if number % 25 == 0:
        data = random.randbytes(80_000 if number % 50 else 12_000)
        chip = made_chip(f"{platform_id}.c{nonce}", sighting.sighting_id, platform_id, utc_ns, data)
        entries.append(("chip", utc_ns, encode(chip)))
    for _, _, body in entries:
        say("attempt", body_hash(body).hex())
    for seq, (_, _, body) in zip(outbox.append_many(entries), entries, strict=True):
        say("durable", outbox.boot_id, seq, body_hash(body).hex())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]))
