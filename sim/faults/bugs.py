"""Mistakes planted on purpose: a harness that does not find them proves nothing."""

import random
from collections.abc import Sequence
from typing import Literal

import msgspec

from edge.link.outbox import Outbox
from ground.store.arrivals import Arrival, ArrivedFragment, Ingested
from ground.store.sqlite import SqliteStore, Standing
from skywarden.link.protocol import Head
from skywarden.messages import Gap

Bug = Literal[
    "acknowledges before the commit",
    "takes sent for delivered",
    "knows no duplicates",
    "does not sync",
    "believes any signature",
    "sheds silently",
    "trusts an old image",
]

BUGS: tuple[Bug, ...] = (
    "acknowledges before the commit",
    "takes sent for delivered",
    "knows no duplicates",
    "does not sync",
    "believes any signature",
    "sheds silently",
    "trusts an old image",
)


class EagerStore(SqliteStore):
    """Says that it has what it will only write with the next batch."""

    _waiting: tuple[Arrival, ...] = ()

    def ingest(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment] = ()) -> Ingested:
        before, self._waiting = self._waiting, tuple(arrivals)
        super().ingest(before, fragments)
        return Ingested(outcomes=tuple("stored" for _ in arrivals))

    def standing(self, platform_id: str, boot_id: str, about: Sequence[int]) -> Standing:
        standing = super().standing(platform_id, boot_id, about)
        waiting = {
            one.record.seq
            for one in self._waiting
            if (one.record.platform_id, one.record.boot_id) == (platform_id, boot_id)
        }
        last = standing.ack.contiguous_seq
        while last + 1 in waiting:
            last += 1
        missing = tuple((max(first, last + 1), end) for first, end in standing.ack.missing if end > last)
        ack = msgspec.structs.replace(standing.ack, contiguous_seq=last, missing=missing)
        return Standing(ack=ack, head=standing.head, partial=standing.partial)


class ForgetfulStore(SqliteStore):
    """Takes every delivery for a new one."""

    _rng = random.Random(1)

    def ingest(self, arrivals: Sequence[Arrival], fragments: Sequence[ArrivedFragment] = ()) -> Ingested:
        done = super().ingest(arrivals, fragments)
        again = [
            Arrival(
                record=msgspec.structs.replace(one.record, boot_id=f"{self._rng.getrandbits(128):032x}"),
                message=None,
                received_ns=one.received_ns,
                reason="planted",
            )
            for one, outcome in zip(arrivals, done.outcomes, strict=True)
            if outcome == "duplicate"
        ]
        if again:
            super().ingest(again)
        return done


class SilentOutbox(Outbox):
    """Gives records up and tells nobody which."""

    def _gaps(self, victims: list[tuple[int, str, int, bytes]], time_ns: int) -> list[Gap]:
        return []


class TrustingOutbox(Outbox):
    """Takes whatever the ground says for its own."""

    def _is_ours(self, ranges: list[tuple[int, int]], head: Head | None) -> bool:
        return True
