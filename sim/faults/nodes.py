"""Edge and ground as the simulation runs them: the real cores and the real SQLite on a disk of our own."""

import contextlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from edge.link.backlog import Backlog, Entry
from edge.link.downlink import LinkConfig, LinkCore
from edge.link.outbox import Outbox
from ground.fusion.contact import ContactChanges, Recall
from ground.link.intake import Intake, Parcel
from ground.store.sqlite import SqliteStore
from sim.faults.bugs import Bug, EagerStore, ForgetfulStore, SilentOutbox, TrustingOutbox
from sim.faults.checker import Checker
from sim.faults.disk import CrashDisk
from skywarden.errors import StoreError, WireError
from skywarden.evidence import EvidenceKey, body_hash
from skywarden.link.protocol import acknowledged_ranges, decode_batch, decode_reply
from skywarden.messages import Sighting

START_NS = 1_780_000_000_000_000_000


@dataclass(slots=True)
class NodeClock:
    """One machine's clocks: UTC may jump, the monotonic one starts anew with the machine."""

    now_s: float = 0.0
    offset_s: float = 0.0
    booted_s: float = 0.0

    def utc_ns(self) -> int:
        """UTC as this machine believes it; never below 1970 nor beyond what a message can say."""
        return min(max(0, START_NS + round((self.now_s + self.offset_s) * 1e9)), 4_000_000_000_000_000_000)

    def monotonic_ns(self) -> int:
        """Nanoseconds since the machine started."""
        return round((self.now_s - self.booted_s) * 1e9) + 1


class NoContacts:
    """Contacts play no part in the delivery."""

    def knows(self, track_id: str) -> bool:
        """Every track, so that none is looked up."""
        return True

    def add(self, sighting: Sighting) -> None:
        """Nothing."""

    def settle(self) -> ContactChanges:
        """No changes."""
        return ContactChanges(changed=(), removed=())

    def rest(self, now_s: float, recall: Recall) -> int:
        """Nothing to put aside."""
        return 0

    def forget_before(self, time_ns: int) -> int:
        """Nothing to forget."""
        return 0


class _Noted:
    """An outbox whose promises the checker hears."""

    def __init__(self, outbox: Outbox, checker: Checker) -> None:
        self._outbox, self._checker = outbox, checker

    def append_many(self, entries: Sequence[Entry]) -> list[int]:
        seqs = self._outbox.append_many(entries)
        for seq, (_, _, body) in zip(seqs, entries, strict=True):
            self._checker.promise(body_hash(body), self._outbox.boot_id, seq)
        return seqs

    def append_loss(self, time_ns: int, counts: dict[str, int]) -> int:
        return self._outbox.append_loss(time_ns, counts)


class EdgeNode:
    """One platform: outbox, backlog and link core; dies and comes back."""

    def __init__(
        self, platform_id: str, folder: Path, rng: random.Random, checker: Checker, bugs: frozenset[Bug]
    ) -> None:
        self.platform_id = platform_id
        self.folder = folder
        self.rng = rng
        self.key = EvidenceKey.from_secret(rng.randbytes(32))
        self.disk = CrashDisk(random.Random(rng.getrandbits(64)))
        self.clock = NodeClock()
        self.checker = checker
        self.bugs = bugs
        self.outbox: Outbox | None = None
        self.core: LinkCore | None = None
        self.backlog: Backlog | None = None
        self.image: set[bytes] | None = None
        self.was_rolled_back = False
        self.renewals = 0
        self.appended: list[bytes] = []
        self.config = LinkConfig(
            heartbeat_s=0.5, silence_s=3.0, retry_min_s=0.5, retry_max_s=4.0, batch_bytes=16_384
        )

    @property
    def is_up(self) -> bool:
        """Whether the machine runs."""
        return self.outbox is not None

    def start(self, now_s: float) -> bool:
        """Open the outbox and the link; False when the disk does not let it."""
        self.disk.restart()
        self.clock.now_s = self.clock.booted_s = now_s
        kind = Outbox
        if "sheds silently" in self.bugs:
            kind = SilentOutbox
        elif "trusts an old image" in self.bugs:
            kind = TrustingOutbox
        try:
            self.outbox = kind(
                self.folder / "outbox.sqlite",
                self.platform_id,
                max_bytes=160_000,
                clock=self.clock,
                vfs=self.disk.name,
                entropy=lambda: f"{self.rng.getrandbits(128):032x}",
            )
        except StoreError:
            self.die(power=False)
            return False
        self.core = LinkCore(
            config=self.config,
            source=self.outbox,
            jitter=random.Random(self.rng.getrandbits(64)),
            key=self.key,
        )
        self.backlog = Backlog(_Noted(self.outbox, self.checker), max_bytes=400_000)
        return True

    def die(self, *, power: bool) -> int:
        """Kill -9, or the loss of power with what was not synced; writes that were lost or torn."""
        self.disk.is_dead = True
        if self.outbox is not None:
            self.renewals += self.outbox.renewals
            self.outbox.abandon()
        self.outbox = self.core = self.backlog = None
        return self.disk.lose_power() if power else 0

    def append(self, entries: Sequence[Entry]) -> None:
        """Record something."""
        if self.backlog is None:
            return
        for _, _, body in entries:
            self.appended.append(self.checker.attempt(self.platform_id, body))
        self.backlog.append_many(entries)

    def send(self, now_s: float) -> list[bytes]:
        """What the link would send now."""
        if self.core is None or self.outbox is None:
            return []
        sent = []
        for _ in range(8):
            payload = self.core.next_batch(now_s, self.clock.utc_ns())
            if payload is None:
                break
            sent.append(payload)
            if "takes sent for delivered" in self.bugs:
                self._believe_sent(payload)
        return sent

    def receive(self, payload: bytes, now_s: float) -> None:
        """A reply came."""
        if self.core is None or self.outbox is None:
            return
        boot_id = self.outbox.boot_id
        try:
            self.core.on_reply(payload, now_s, self.clock.utc_ns())
        except WireError:
            return
        if self.outbox.boot_id != boot_id:
            self._note_new_names()
            return
        ack = decode_reply(payload).ack
        if ack is not None and ack.boot_id == boot_id:
            last = self.outbox.state().last_seq
            for first, end in acknowledged_ranges(ack):
                self.checker.acknowledge(boot_id, first, min(end, last))

    def take_image(self) -> None:
        """Copy the disk, to be restored later; the machine must be off."""
        if self.is_up or not (self.folder / "outbox.sqlite").exists():
            return
        shutil.rmtree(self._image_folder, ignore_errors=True)
        shutil.copytree(self.folder, self._image_folder)
        self.image = set(self.appended)

    def restore_image(self) -> bool:
        """Put the old copy in place of the disk; what was recorded since may be gone."""
        if self.is_up or self.image is None:
            return False
        shutil.rmtree(self.folder)
        shutil.copytree(self._image_folder, self.folder)
        self.disk.replace_files()
        for key in set(self.appended) - self.image:
            self.checker.excuse(key)
        self.was_rolled_back = True
        return True

    @property
    def _image_folder(self) -> Path:
        return self.folder.with_name(self.folder.name + "-image")

    def _note_new_names(self) -> None:
        """The outbox goes on under a new name: the same records, other numbers."""
        assert self.outbox is not None
        for record in self.outbox.pending(10**9, limit_records=10**6):
            key = body_hash(record.body)
            if key in self.checker.written:
                self.checker.promise(key, self.outbox.boot_id, record.seq)

    def _believe_sent(self, payload: bytes) -> None:
        assert self.outbox is not None
        sent = decode_batch(payload)
        with contextlib.suppress(apsw.Error, StoreError):
            if sent.records:
                seqs = [record.seq for record in self.outbox.pending(10**9, limit_records=10**6)]
                self.outbox._db.execute("DELETE FROM records")
                self.outbox._db.execute("UPDATE meta SET held = 0, held_bytes = 0")
                for seq in seqs:
                    self.checker.acknowledge(self.outbox.boot_id, seq, seq)


class GroundNode:
    """The station: intake and store; dies and comes back."""

    def __init__(self, folder: Path, rng: random.Random, bugs: frozenset[Bug]) -> None:
        self.path = folder / "store.sqlite"
        self.disk = CrashDisk(random.Random(rng.getrandbits(64)))
        self.disk.is_lying = "does not sync" in bugs
        self.clock = NodeClock()
        self.bugs = bugs
        self.keys: dict[str, tuple[bytes, ...]] = {}
        self.store: SqliteStore | None = None
        self.intake: Intake | None = None
        self.inbox: list[tuple[str, bytes]] = []
        self.totals: dict[str, int] = {}

    @property
    def is_up(self) -> bool:
        """Whether the machine runs."""
        return self.store is not None

    def start(self, now_s: float) -> bool:
        """Open the store; False when the disk does not let it."""
        self.disk.restart()
        self.clock.now_s = self.clock.booted_s = now_s
        kind = SqliteStore
        if "acknowledges before the commit" in self.bugs:
            kind = EagerStore
        elif "knows no duplicates" in self.bugs:
            kind = ForgetfulStore
        try:
            self.store = kind(self.path, NoContacts(), vfs=self.disk.name)
        except StoreError:
            self.die(power=False)
            return False
        believes = "believes any signature" in self.bugs
        self.intake = Intake(
            store=self.store,
            evidence_keys=(lambda platform_id: ()) if believes else self._keys_of,
            policy="accept" if believes else "quarantine",
        )
        return True

    def die(self, *, power: bool) -> int:
        """Kill -9, or the loss of power with what was not synced; writes that were lost or torn."""
        self.disk.is_dead = True
        self.inbox.clear()
        if self.intake is not None:
            for name in (
                "stored",
                "duplicates",
                "forks",
                "quarantined",
                "untrusted",
                "refused_signature",
                "pieces",
            ):
                self.totals[name] = self.totals.get(name, 0) + getattr(self.intake.counts, name)
            self.totals["alarms"] = self.totals.get("alarms", 0) + self.intake.counts.alarms
        if self.store is not None:
            self.store.abandon()
        self.store = self.intake = None
        return self.disk.lose_power() if power else 0

    def work(self) -> list[tuple[str, bytes]]:
        """Commit what came in and answer it: (platform, reply)."""
        if self.intake is None or not self.inbox:
            return []
        inbox, self.inbox = self.inbox, []
        parcels: list[Parcel] = []
        for platform_id, payload in inbox:
            parcel = self.intake.open(platform_id, payload, len(payload), self.clock.utc_ns())
            if parcel is not None:
                parcels.append(parcel)
        is_committed = self.intake.commit(parcels)
        return [
            (
                parcel.platform_id,
                self.intake.reply(parcel, is_committed=is_committed, ground_ns=self.clock.utc_ns()),
            )
            for parcel in parcels
        ]

    def _keys_of(self, platform_id: str) -> tuple[bytes, ...]:
        return self.keys.get(platform_id, ())
