"""A platform's outbox in memory, for scenarios that need its batches in any order: chained and signed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skywarden import evidence
from skywarden.evidence import EvidenceKey
from skywarden.link.protocol import Batch, Head, Signature, encode_batch
from skywarden.messages import Bearing, Sighting
from skywarden.wire import Entry, Record, encode, encode_entry

NS = 1_780_000_000_000_000_000


@dataclass(slots=True)
class SignedSource:
    """Records 1.. of one boot, and batches of them in any order."""

    platform_id: str
    boot_id: str
    key: EvidenceKey
    records: list[Record] = field(default_factory=list)
    chain: list[bytes] = field(default_factory=list)
    number: int = 0

    def grow(self, count: int, tag: str = "") -> None:
        """Record `count` sightings more."""
        for _ in range(count):
            seq = len(self.records) + 1
            record = Record(
                platform_id=self.platform_id,
                boot_id=self.boot_id,
                seq=seq,
                topic="sighting",
                time_ns=NS + seq,
                body=encode(_sighting(self.platform_id, f"{tag}{seq}", seq)),
                mono_ns=seq,
                clock=1,
            )
            before = self.chain[-1] if self.chain else evidence.chain_start(self.platform_id, self.boot_id)
            self.records.append(record)
            self.chain.append(evidence.chain_next(before, evidence.leaf_of(record)))

    def batch(self, seqs: Sequence[int]) -> bytes:
        """A signed batch of these records, as an edge sends it now."""
        self.number += 1
        chosen = [self.records[seq - 1] for seq in seqs]
        head = Head(seq=len(self.records), chain=self.chain[-1])
        text = evidence.seal_text(
            self.platform_id,
            self.boot_id,
            self.number,
            head.seq,
            head.chain,
            [evidence.leaf_of(one) for one in chosen],
        )
        return encode_batch(
            Batch(
                number=self.number,
                platform_id=self.platform_id,
                boot_id=self.boot_id,
                sent_ns=NS,
                last_seq=len(self.records),
                pending=len(self.records),
                records=tuple(
                    encode_entry(
                        Entry(
                            seq=one.seq,
                            topic=one.topic,
                            time_ns=one.time_ns,
                            body=one.body,
                            mono_ns=one.mono_ns,
                            clock=one.clock,
                        )
                    )
                    for one in chosen
                ),
                head=head,
                signature=Signature(key_id=evidence.key_id(self.key.public), signature=self.key.sign(text)),
            )
        )


def _sighting(platform_id: str, name: str, number: int) -> Sighting:
    return Sighting(
        sighting_id=f"{platform_id}.{name}",
        track_id=f"{platform_id}.t{number % 50}",
        platform_id=platform_id,
        sortie_id="s1",
        sensor_id="eo",
        frame_number=number,
        time_ns=NS + number,
        label="vessel",
        score=0.5,
        model_id="m",
        box_px=(1.0, 2.0, 3.0, 4.0),
        position=None,
        bearing=Bearing(azimuth_deg=90.0, elevation_deg=-1.0, sigma_deg=2.0),
        no_position_reason="telemetry_stale",
    )
