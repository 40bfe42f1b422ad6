"""Judges a run as Jepsen does: every record is unique, and each ends in exactly one class.

stored once, given up aboard (covered by a signed gap record), still waiting aboard, or one of the failures:
stored twice, acknowledged and lost, lost, forged. What was on a disk that was replaced by an old image, or
never confirmed to whoever recorded it, may be missing; nothing else may.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from skywarden.evidence import body_hash
from skywarden.messages import Gap
from skywarden.wire import decode


@dataclass(slots=True)
class Written:
    """One record that somebody recorded: what was promised about it."""

    platform_id: str
    is_durable: bool = False
    is_acknowledged: bool = False
    may_be_gone: bool = False
    is_waiting: bool = False
    names: set[tuple[str, int]] = field(default_factory=set)


@dataclass(slots=True)
class Verdict:
    """How many records ended in which class; `examples` name some of the failures."""

    stored_once: int = 0
    given_up: int = 0
    excused: int = 0
    waiting: int = 0
    stored_twice: int = 0
    acknowledged_and_lost: int = 0
    lost: int = 0
    forged: int = 0
    resent_after_rollback: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there is no failure."""
        return not (self.stored_twice or self.acknowledged_and_lost or self.lost or self.forged)

    def add(self, other: "Verdict") -> None:
        """Count another run's too."""
        for name in (
            "stored_once",
            "given_up",
            "excused",
            "waiting",
            "stored_twice",
            "acknowledged_and_lost",
            "lost",
            "forged",
            "resent_after_rollback",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = (self.examples + other.examples)[:20]


class Checker:
    """Told what is written, promised and acknowledged; `judge` holds the store against it.

    A record is known by SHA-256 of its body. `forge` names bodies that no platform recorded.
    """

    def __init__(self) -> None:
        self.written: dict[bytes, Written] = {}
        self.forged: set[bytes] = set()
        self._by_name: dict[tuple[str, int], bytes] = {}
        self._noted_to: dict[str, int] = {}
        """All numbers up to this one are noted as acknowledged: a platform tells them again each time."""

    def attempt(self, platform_id: str, body: bytes) -> bytes:
        """A platform is about to record this body; its hash."""
        key = body_hash(body)
        self.attempt_hash(platform_id, key)
        return key

    def attempt_hash(self, platform_id: str, key: bytes) -> None:
        """`attempt` with the hash of the body."""
        self.written.setdefault(key, Written(platform_id))

    def promise(self, key: bytes, boot_id: str, seq: int) -> None:
        """The outbox has said that the record is durable under this name."""
        written = self.written[key]
        written.is_durable = True
        written.names.add((boot_id, seq))
        self._by_name[boot_id, seq] = key

    def acknowledge(self, boot_id: str, first: int, last: int) -> None:
        """The outbox has believed the ground that it has these."""
        noted_to = self._noted_to.get(boot_id, 0)
        for seq in range(max(first, noted_to + 1), last + 1):
            key = self._by_name.get((boot_id, seq))
            if key is not None:
                self.written[key].is_acknowledged = True
                noted_to += seq == noted_to + 1
        self._noted_to[boot_id] = noted_to

    def excuse(self, key: bytes) -> None:
        """The disk that held this record was replaced by an older image: it may be gone, and its numbers may
        be given out again."""
        written = self.written[key]
        written.may_be_gone = True
        for name in written.names:
            if self._by_name.get(name) == key:
                del self._by_name[name]
                self._noted_to[name[0]] = min(self._noted_to.get(name[0], 0), name[1] - 1)

    def note_waiting(self, boot_id: str, seq: int) -> None:
        """The platform still holds this one in the end: not delivered yet, and not lost either."""
        key = self._by_name.get((boot_id, seq))
        if key is not None:
            self.written[key].is_waiting = True

    def forge(self, body: bytes) -> None:
        """This body must never be among the stored records."""
        self.forged.add(body_hash(body))

    def judge(self, store: Path, *, may_resend: frozenset[str] = frozenset()) -> Verdict:
        """Classify everything by what the store at `store` holds; nothing runs any more.

        A platform in `may_resend` was restored from an old image: what it held then may come again under its
        new boot id (as records; never as sightings).
        """
        counts, given_up, verdict = self._read(store)
        for key, written in self.written.items():
            count = counts.get(key, 0)
            if count == 1:
                verdict.stored_once += 1
            elif count > 1 and written.platform_id in may_resend:
                verdict.resent_after_rollback += 1
                verdict.stored_once += 1
            elif count > 1:
                verdict.stored_twice += 1
                self._explain(verdict, f"{count} times stored", written)
            elif written.names & given_up:
                verdict.given_up += 1
            elif written.is_waiting:
                verdict.waiting += 1
            elif written.is_acknowledged:
                verdict.acknowledged_and_lost += 1
                self._explain(verdict, "acknowledged and lost", written)
            elif not written.is_durable or written.may_be_gone:
                verdict.excused += 1
            else:
                verdict.lost += 1
                self._explain(verdict, "lost", written)
        return verdict

    def _read(self, store: Path) -> tuple[Counter[bytes], set[tuple[str, int]], Verdict]:
        counts: Counter[bytes] = Counter()
        given_up: set[tuple[str, int]] = set()
        verdict = Verdict()
        db = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            for topic, body in db.execute("SELECT topic, body FROM records"):
                key = body_hash(body)
                counts[key] += 1
                if key in self.forged:
                    verdict.forged += 1
                    verdict.examples.append(f"forged {topic} stored")
                if topic == "gap":
                    gap = decode("gap", body)
                    assert isinstance(gap, Gap)
                    for first, last, _ in gap.ranges:
                        given_up |= {(gap.boot_id, seq) for seq in range(first, last + 1)}
            twice = db.execute("SELECT count(*) - count(DISTINCT sighting_id) FROM sightings").get
            verdict.stored_twice += twice
        finally:
            db.close()
        return counts, given_up, verdict

    def _explain(self, verdict: Verdict, what: str, written: Written) -> None:
        if len(verdict.examples) < 20:
            verdict.examples.append(f"{what}: {written.platform_id} {sorted(written.names)}")
