"""A silent link in miniature: does what waits aboard stay within its bound, and does it leave in the end?

The platform's own outbox on a disk of this machine; time is handed in. The long, mixed version is
`skywarden sim faults S24`.
"""

import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge.link.outbox import Outbox
from sim.faults.contents import made_chip
from skywarden.clock import NS_PER_S
from skywarden.messages import Ack
from skywarden.wire import encode

START_NS = 1_780_000_000 * NS_PER_S
MAX_BYTES = 160_000


@dataclass(frozen=True, kw_only=True)
class Outage:
    """Share of the bound that was held at most, and what was left when the ground had said it has all."""

    held_share: float
    left: int


class _Clock:
    def __init__(self) -> None:
        self.now_ns = START_NS

    def utc_ns(self) -> int:
        """What it was set to."""
        return self.now_ns

    def monotonic_ns(self) -> int:
        """The same; it never goes back."""
        return self.now_ns


def outage(folder: Path, *, records: int = 120, seed: int = 1) -> Outage:
    """Queue `records` pictures (three times the bound) in silence, then acknowledge everything."""
    rng, clock = random.Random(seed), _Clock()
    held = 0
    with closing(Outbox(folder / "outbox.sqlite", "uav01", max_bytes=MAX_BYTES, clock=clock)) as outbox:
        for number in range(records):
            clock.now_ns += NS_PER_S // 10
            chip = made_chip(f"c{number}", f"s{number}", "uav01", clock.now_ns, rng.randbytes(4_000))
            outbox.append_many([("chip", clock.now_ns, encode(chip))])
            held = max(held, outbox.state().held_bytes)
        state = outbox.state()
        outbox.acknowledge(
            Ack(
                platform_id=outbox.platform_id,
                boot_id=outbox.boot_id,
                contiguous_seq=state.last_seq,
                missing=(),
            )
        )
        left = outbox.state().held
    return Outage(held_share=held / MAX_BYTES, left=left)
