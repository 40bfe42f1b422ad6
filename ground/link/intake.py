"""What a station does with a batch, without sockets: check it, commit it, say what is committed.

Handed bytes, times and whose connection they came over; gives back the reply. Nothing is acknowledged before
the store has committed it. A record that is damaged goes to quarantine and is acknowledged, so that it
blocks nothing; a batch whose signature is wrong is refused; records that nobody vouches for are kept aside
and not acknowledged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from ground.exercise.mark import REAL, Mark
from ground.store.arrivals import Arrival, ArrivedFragment, Ingested, Outcome, Place, Seal, judged
from ground.store.seam import Standing, Store
from skywarden import evidence
from skywarden.errors import StoreError, WireError
from skywarden.link.protocol import MAX_SIGNED_ITEMS, Batch, Fragment, Reply, decode_batch, encode_reply
from skywarden.messages import Message
from skywarden.topics import TOPICS
from skywarden.wire import Entry, Record, decode_entry

_log = structlog.get_logger("ground.link.intake")

EvidencePolicy = Literal["quarantine", "accept"]
"""What becomes of records that no enrolled evidence key signed."""

_MAX_ALARMS = 100


@dataclass(slots=True)
class ReceiverCounts:
    """Everything that came in, and what became of it."""

    messages: int = 0
    bytes: int = 0
    stored: int = 0
    duplicates: int = 0
    forks: int = 0
    quarantined: int = 0
    newest: int = 0
    pieces: int = 0
    undecodable: int = 0
    untrusted: int = 0
    refused_identity: int = 0
    refused_revoked: int = 0
    refused_signature: int = 0
    refused_rate: int = 0
    store_failures: int = 0
    failures: int = 0
    alarms: int = 0


@dataclass(slots=True)
class Parcel:
    """One batch on its way through; `outcomes` are those of `arrivals` once it is committed."""

    platform_id: str
    batch: Batch
    size: int
    received_ns: int
    arrivals: list[Arrival] = field(default_factory=list)
    fragments: list[ArrivedFragment] = field(default_factory=list)
    newest: list[Message] = field(default_factory=list)
    outcomes: tuple[Outcome, ...] = ()
    refused: int = 0
    is_trusted: bool = True


@dataclass(slots=True)
class Intake:
    """See the module; used by one thread. `evidence_keys` tells the public evidence keys of a platform.

    Attributes:
        counts: everything that came in.
        store_problem: why the store does not commit, `None` while it does.
        untrusted: platforms whose records nobody vouches for, and why.
        alarms: forks and broken chains in words, the first hundred.
    """

    store: Store
    evidence_keys: Callable[[str], Sequence[bytes]]
    policy: EvidencePolicy = "quarantine"
    mark: Mark = REAL
    counts: ReceiverCounts = field(default_factory=ReceiverCounts)
    store_problem: str | None = None
    untrusted: dict[str, str] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    _complained: set[tuple[str, str]] = field(default_factory=set)

    def open(
        self, platform_id: str, payload: bytes | memoryview, size: int, received_ns: int
    ) -> Parcel | None:
        """The batch in a message that came over `platform_id`'s connection, or `None` when it is refused."""
        try:
            batch = decode_batch(payload)
        except WireError as error:
            self.complain(platform_id, str(error), "undecodable")
            return None
        if batch.platform_id != platform_id:
            self.complain(platform_id, f"batch claims to be {batch.platform_id}'s", "refused_identity")
            return None
        parcel = Parcel(platform_id, batch, size, received_ns)
        self._unpack(parcel)
        return parcel

    def commit(self, parcels: Sequence[Parcel]) -> bool:
        """Store what the parcels hold in one transaction; whether it is committed."""
        for parcel in parcels:
            if not parcel.is_trusted:
                self._set_aside(parcel)
        arrivals = [arrival for parcel in parcels for arrival in parcel.arrivals]
        fragments = [piece for parcel in parcels for piece in parcel.fragments]
        try:
            is_empty = not arrivals and not fragments
            done = Ingested(outcomes=()) if is_empty else self.store.ingest(arrivals, fragments)
        except StoreError as error:
            self._store_fails(error)
            return False
        if not is_empty:
            self._store_works()
        self._distribute(parcels, done)
        return True

    def reply(self, parcel: Parcel, *, is_committed: bool, ground_ns: int) -> bytes:
        """The answer to a parcel's batch; with an acknowledgement only when the parcel was committed."""
        reply = Reply(number=parcel.batch.number, ground_ns=ground_ns, takes_looks=True)
        standing = self._standing(parcel) if is_committed else None
        if standing is not None:
            reply = Reply(
                number=parcel.batch.number,
                ground_ns=ground_ns,
                ack=standing.ack,
                head=standing.head,
                partial=standing.partial,
                takes_looks=True,
            )
        return encode_reply(reply)

    def complain(self, platform_id: str, reason: str, counter: str) -> None:
        """Count always, log the first of its kind from each platform."""
        if counter:
            setattr(self.counts, counter, getattr(self.counts, counter) + 1)
        kind = (platform_id, counter or reason)
        if kind not in self._complained and len(self._complained) < 1_000:
            self._complained.add(kind)
            _log.warning("refused (logged once)", platform_id=platform_id, reason=reason[:300])

    def _standing(self, parcel: Parcel) -> Standing | None:
        about = [arrival.record.seq for arrival in parcel.arrivals]
        try:
            return self.store.standing(parcel.platform_id, parcel.batch.boot_id, about)
        except StoreError as error:
            self._store_fails(error)
            return None

    def _unpack(self, parcel: Parcel) -> None:
        durable: list[tuple[Record, bytes]] = []
        for data in parcel.batch.records:
            record = self._record(parcel, data)
            if record is None:
                continue
            if record.seq:
                durable.append((record, evidence.leaf_of(record)))
            else:
                self._take_newest(parcel, record)
        pieces = parcel.batch.fragments
        if not durable and not pieces:
            return
        if strange := next((piece.topic for piece in pieces if not _can_be_hashed(piece.topic)), None):
            self._refuse(parcel, len(durable) + len(pieces), f"a topic of {len(strange.encode())} bytes")
            return
        if len(durable) + len(pieces) > MAX_SIGNED_ITEMS:
            reason = f"{len(durable) + len(pieces)} records in a batch, at most {MAX_SIGNED_ITEMS} are signed"
            self._refuse(parcel, len(durable) + len(pieces), reason)
            return
        hashes = [leaf for _, leaf in durable] + [self._piece_hash(parcel, piece) for piece in pieces]
        places = [(record.seq, 0, 0) for record, _ in durable]
        places += [(piece.seq, piece.offset, len(piece.data)) for piece in pieces]
        seal, problem = self._seal(parcel, hashes, tuple(places))
        if problem == "forged":
            self._refuse(parcel, len(hashes), "its signature is wrong")
            return
        self._note_trust(parcel, problem)
        for record, leaf in durable:
            message, poison = judged(record)
            if (strange := self.mark.stranger(message)) is not None:
                self._note_stranger(parcel, strange)
            parcel.arrivals.append(
                Arrival(
                    record=record,
                    message=message,
                    received_ns=parcel.received_ns,
                    reason=poison,
                    seal=seal,
                    known_leaf=leaf,
                )
            )
        parcel.fragments = [
            ArrivedFragment(
                platform_id=parcel.platform_id,
                boot_id=parcel.batch.boot_id,
                fragment=piece,
                received_ns=parcel.received_ns,
                seal=seal,
            )
            for piece in pieces
        ]

    def _record(self, parcel: Parcel, data: bytes) -> Record | None:
        try:
            entry: Entry = decode_entry(data)
        except WireError as error:
            parcel.refused += 1
            self.complain(parcel.platform_id, str(error), "undecodable")
            return None
        if not _can_be_hashed(entry.topic):
            parcel.refused += 1
            self.complain(parcel.platform_id, f"a topic of {len(entry.topic.encode())} bytes", "undecodable")
            return None
        return Record(
            platform_id=parcel.platform_id,
            boot_id=parcel.batch.boot_id,
            seq=entry.seq,
            topic=entry.topic,
            time_ns=entry.time_ns,
            body=entry.body,
            mono_ns=entry.mono_ns,
            clock=entry.clock,
        )

    def _take_newest(self, parcel: Parcel, record: Record) -> None:
        message, reason = judged(record)
        if message is not None:
            parcel.newest.append(message)
        else:
            parcel.refused += 1
            self.complain(parcel.platform_id, reason or "not valid", "undecodable")

    def _piece_hash(self, parcel: Parcel, piece: Fragment) -> bytes:
        leaf = evidence.leaf_from(
            parcel.platform_id,
            parcel.batch.boot_id,
            piece.seq,
            piece.topic,
            piece.time_ns,
            piece.mono_ns,
            piece.clock,
            piece.body_hash,
        )
        return evidence.fragment_hash(leaf, piece.offset, piece.data)

    def _seal(
        self, parcel: Parcel, hashes: Sequence[bytes], places: tuple[Place, ...]
    ) -> tuple[Seal | None, str | None]:
        """The batch's seal; without one, why nobody vouches for it, or "forged"."""
        batch, known = parcel.batch, self.evidence_keys(parcel.platform_id)
        if batch.signature is None or batch.head is None:
            return None, "its records are not signed"
        signer = next((key for key in known if evidence.key_id(key) == batch.signature.key_id), None)
        if signer is None:
            return None, "the evidence key that signs its records is not enrolled"
        text = evidence.seal_text(
            parcel.platform_id, batch.boot_id, batch.number, batch.head.seq, batch.head.chain, hashes
        )
        last = max(place[0] for place in places)
        if batch.head.seq < last or not evidence.is_signed_by(signer, batch.signature.signature, text):
            return None, "forged"
        seal = Seal(
            platform_id=parcel.platform_id,
            boot_id=batch.boot_id,
            number=batch.number,
            head_seq=batch.head.seq,
            head=batch.head.chain,
            public_key=signer,
            signature=batch.signature.signature,
            places=places,
        )
        return seal, None

    def _note_trust(self, parcel: Parcel, problem: str | None) -> None:
        if problem is None:
            self.untrusted.pop(parcel.platform_id, None)
            return
        has_keys = bool(self.evidence_keys(parcel.platform_id))
        if self.policy == "accept" and not has_keys:
            return
        parcel.is_trusted = False
        self.untrusted[parcel.platform_id] = problem
        self.complain(parcel.platform_id, f"{problem}: kept aside, not acknowledged", "")

    def _note_stranger(self, parcel: Parcel, reason: str) -> None:
        """What is real has no place in an exercise: it is kept aside, and the platform keeps it too."""
        parcel.is_trusted = False
        self.untrusted[parcel.platform_id] = reason
        self.complain(parcel.platform_id, f"{reason}: kept aside, not acknowledged", "")

    def _refuse(self, parcel: Parcel, count: int, reason: str) -> None:
        parcel.refused += count
        self.complain(parcel.platform_id, f"batch {parcel.batch.number}: {reason}", "refused_signature")

    def _set_aside(self, parcel: Parcel) -> None:
        """Records that nobody vouches for are kept, but count as not received; the platform keeps them."""
        aside, parcel.arrivals, parcel.fragments = parcel.arrivals, [], []
        self.counts.untrusted += len(aside)
        try:
            self.store.quarantine(aside, self.untrusted.get(parcel.platform_id, "nobody vouches for it"))
        except StoreError as error:
            self._store_fails(error)

    def _distribute(self, parcels: Sequence[Parcel], done: Ingested) -> None:
        """Tell every parcel what became of its records, and count."""
        offset = 0
        for parcel in parcels:
            count = len(parcel.arrivals)
            parcel.outcomes = done.outcomes[offset : offset + count]
            offset += count
            self.counts.newest += len(parcel.newest)
            self.counts.pieces += len(parcel.fragments)
            for piece in parcel.fragments:
                for arrival, outcome in done.completed:
                    if _is_of(arrival, piece):
                        parcel.arrivals.append(arrival)
                        parcel.outcomes += (outcome,)
            self.counts.stored += parcel.outcomes.count("stored")
            self.counts.duplicates += parcel.outcomes.count("duplicate")
            self.counts.forks += parcel.outcomes.count("fork")
            self.counts.quarantined += parcel.outcomes.count("quarantined")
        for alarm in done.alarms:
            self.counts.alarms += 1
            _log.error("alarm", reason=alarm)
            if len(self.alarms) < _MAX_ALARMS:
                self.alarms.append(alarm)

    def _store_fails(self, error: StoreError) -> None:
        self.counts.store_failures += 1
        if self.store_problem is None:
            _log.error("records cannot be stored, nothing is acknowledged", reason=str(error))
        self.store_problem = str(error)

    def _store_works(self) -> None:
        if self.store_problem is not None:
            _log.info("records are stored again")
            self.store_problem = None


def _can_be_hashed(topic: str) -> bool:
    """A leaf holds the length of its topic in one byte; 64 characters may be 256 bytes."""
    return topic in TOPICS or len(topic.encode()) < 256


def _is_of(arrival: Arrival, piece: ArrivedFragment) -> bool:
    """Whether this piece was the one that completed the record."""
    record = arrival.record
    is_same = (record.platform_id, record.boot_id, record.seq) == (
        piece.platform_id,
        piece.boot_id,
        piece.fragment.seq,
    )
    return is_same and arrival.seal is piece.seal
