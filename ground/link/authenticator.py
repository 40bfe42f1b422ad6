"""Who may talk to this ground station: a ZAP handler (ZeroMQ RFC 27) of our own over a folder of public keys.

`authorized/PLATFORM_ID.pub` lets a platform in; the folder is read again when it changes, so enrolment and
revocation need no restart. Everything else is refused, also when this handler itself fails. The handler
binds a ROUTER, not a REP, so that no broken request can leave it in a state where it cannot answer.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from ground.link.admission import RefusalLog
from ground.link.key_files import KeyLine, file_of, is_platform_id, read_lines, write_lines
from skywarden.clock import Clock, SystemClock
from skywarden.errors import LinkError, UsageError
from skywarden.link import keys
from skywarden.link.protocol import ZAP_DOMAIN

_log = structlog.get_logger("ground.link.authenticator")

KEY_PROPERTY = "X-Key"
_ENDPOINT = "inproc://zeromq.zap.01"
_RESCAN_S = 0.25
_LOOK_CLOSELY_S = 2.0
_MAX_KEYS = 10_000
_MAX_PART_BYTES = 256
_ZAP_CURVE_PARTS = 7
_SUPERVISE_S = 0.2
_HANGS_S = 3.0

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """One key of one platform that is let in, `until_ns` (UTC) when it is on its way out."""

    platform_id: str
    public_key: bytes
    fingerprint: str
    evidence_keys: tuple[bytes, ...] = ()
    until_ns: int | None = None


class AllowList:
    """The folder `authorized/` as a table of keys; safe to ask from any thread, read again on change.

    A key that ends at some time ends by the monotonic clock too: turning the clock back keeps it no longer,
    and a key that has ended is taken out of its file.
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._by_key: dict[bytes, Enrolled] = {}
        self._evidence: dict[str, tuple[bytes, ...]] = {}
        self._ends_ns: dict[tuple[str, bytes], int] = {}
        self._stamp: _Stamp | None = None
        self._folder_ns = 0
        self._checked_s = self._looked_s = 0.0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again now if anything in it changed; an unreadable folder lets nobody in."""
        self._refresh(is_close_look=True)

    def platform_of(self, public_key: bytes) -> str | None:
        """The platform with this key, or `None`: not enrolled, revoked, over, or the key of two platforms."""
        self._refresh_after(_RESCAN_S)
        with self._lock:
            found = self._by_key.get(public_key)
        return found.platform_id if found is not None else None

    def platform_of_knocking(self, public_key: bytes) -> str | None:
        """`platform_of` for a new connection: who was enrolled a moment ago gets in at once."""
        found = self.platform_of(public_key)
        if found is None:
            self._refresh_after(0.0)
            found = self.platform_of(public_key)
        return found

    def evidence_keys_of(self, platform_id: str) -> tuple[bytes, ...]:
        """The public evidence keys that this platform may sign with; none when it is not enrolled."""
        self._refresh_after(_RESCAN_S)
        with self._lock:
            return self._evidence.get(platform_id, ())

    def enrolled(self) -> list[Enrolled]:
        """Everybody who is let in, by platform, the newest key of each first."""
        self.refresh()
        with self._lock:
            return sorted(self._by_key.values(), key=lambda one: (one.platform_id, one.until_ns is not None))

    def _refresh_after(self, seconds: float) -> None:
        """Strangers make the station look at the folder's own stamp, not at ten thousand files."""
        now_s = time.monotonic()
        if now_s - self._checked_s > seconds:
            self._refresh(is_close_look=now_s - self._looked_s > _LOOK_CLOSELY_S)

    def _refresh(self, *, is_close_look: bool) -> None:
        with self._lock:
            self._checked_s = time.monotonic()
            try:
                folder_ns = self._folder.stat().st_mtime_ns
                if is_close_look or folder_ns != self._folder_ns:
                    self._looked_s = self._checked_s
                    stamp = self._look()
                    if stamp != self._stamp:
                        self._by_key = self._read()
                        self._stamp = stamp
                        self._index()
                    self._folder_ns = folder_ns
                self._end_keys()
            except OSError as error:
                self._by_key, self._evidence, self._stamp, self._folder_ns = {}, {}, None, 0
                _log.error("the list of platforms cannot be read, nobody is let in", reason=str(error))

    def _index(self) -> None:
        self._evidence = {}
        for one in sorted(self._by_key.values(), key=lambda one: one.until_ns is not None):
            known = self._evidence.get(one.platform_id, ())
            fresh = tuple(key for key in one.evidence_keys if key not in known)
            self._evidence[one.platform_id] = known + fresh

    def _end_keys(self) -> None:
        """Forget keys whose time is over, for good."""
        leaving = [one for one in self._by_key.values() if one.until_ns is not None]
        if not leaving:
            return
        utc_ns, now_ns = self._clock.utc_ns(), self._clock.monotonic_ns()
        for one in leaving:
            assert one.until_ns is not None
            name, end_ns = (one.platform_id, one.public_key), now_ns + one.until_ns - utc_ns
            end_ns = self._ends_ns[name] = min(end_ns, self._ends_ns.get(name, end_ns))
            if now_ns < end_ns:
                continue
            del self._by_key[one.public_key]
            self._index()
            _log.info("an old key has ended", platform_id=one.platform_id, fingerprint=one.fingerprint)
            path = file_of(self._folder, one.platform_id)
            try:
                write_lines(path, [line for line in read_lines(path) if line.public != one.public_key])
            except LinkError as error:
                _log.error("an ended key stays in its file", file=path.name, reason=str(error))

    def _look(self) -> _Stamp:
        files = [path for path in self._folder.iterdir() if path.suffix == ".pub"]
        if len(files) > _MAX_KEYS:
            raise OSError(f"{len(files)} key files, at most {_MAX_KEYS} are read")
        stats = ((path.name, path.stat()) for path in files)
        return tuple(sorted((name, stat.st_mtime_ns, stat.st_ino) for name, stat in stats))

    def _read(self) -> dict[bytes, Enrolled]:
        found: dict[bytes, Enrolled] = {}
        doubled: set[bytes] = set()
        for path in sorted(self._folder.glob("*.pub")):
            try:
                if not is_platform_id(path.stem):
                    raise LinkError(f"{path.stem[:40]!r} is not a platform id")
                lines = read_lines(path)
            except LinkError as error:
                _log.error("key file ignored", file=path.name, reason=str(error))
                continue
            for line in lines:
                if line.public in found:
                    doubled.add(line.public)
                    _log.error("one key for two platforms, neither is let in", file=path.name)
                found[line.public] = _enrolled(path.stem, line)
        return {key: one for key, one in found.items() if key not in doubled}


def enrol(
    folder: Path,
    platform_id: str,
    public_key: bytes,
    *,
    evidence_keys: tuple[bytes, ...] = (),
    replace: bool = False,
    overlap_until_ns: int | None = None,
) -> Enrolled:
    """Let `platform_id` in with this key; takes effect within a second, also on a running station.

    What one of `evidence_keys` has signed is taken as its record. With `overlap_until_ns` (UTC) the keys that
    are replaced stay good until then. Raises `UsageError` when the id is not one, or is enrolled with another
    key and `replace` is not set.
    """
    path = file_of(folder, platform_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = KeyLine(public=public_key, evidence=evidence_keys)
    before: list[KeyLine] = []
    for other in AllowList(folder).enrolled():
        if other.public_key == public_key and other.platform_id != platform_id:
            raise UsageError(f"this key is already that of {other.platform_id}; each platform has its own")
        if other.platform_id != platform_id:
            continue
        is_other = other.public_key != public_key or (
            other.evidence_keys and other.evidence_keys != evidence_keys
        )
        if is_other and other.until_ns is None and not replace:
            raise UsageError(
                f"{platform_id} is enrolled with another key ({other.fingerprint}); --replace changes it"
            )
        if other.public_key != public_key:
            until_ns = other.until_ns or overlap_until_ns
            before.append(KeyLine(public=other.public_key, evidence=other.evidence_keys, until_ns=until_ns))
    kept = [one for one in before if one.until_ns is not None] if overlap_until_ns is not None else []
    write_lines(path, [line, *kept])
    return _enrolled(platform_id, line)


def revoke(folder: Path, platform_id: str) -> None:
    """Let `platform_id` in no more, with none of its keys; raises `UsageError` when it was not enrolled."""
    path = file_of(folder, platform_id)
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise UsageError(f"{platform_id} is not enrolled here") from error


def evidence_keys_in(entries: Sequence[Enrolled]) -> dict[str, tuple[bytes, ...]]:
    """Every evidence key of each platform."""
    found: dict[str, tuple[bytes, ...]] = {}
    for one in entries:
        found[one.platform_id] = found.get(one.platform_id, ()) + one.evidence_keys
    return found


def _enrolled(platform_id: str, line: KeyLine) -> Enrolled:
    return Enrolled(
        platform_id=platform_id,
        public_key=line.public,
        fingerprint=keys.fingerprint(line.public),
        evidence_keys=line.evidence,
        until_ns=line.until_ns,
    )


class Authenticator:
    """The ZAP handler in thread `ground.zap`, and a second thread that starts it again should it ever end.

    Counters: `accepted`, `refused`. Raises `LinkError` when the handler cannot be bound.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allow_list: AllowList) -> None:
        self._context = context
        self._allow_list = allow_list
        self._stopping = threading.Event()
        self._bound = threading.Event()
        self._socket: zmq.Socket[bytes] | None = None
        self._thread = self._new_thread()
        self._supervisor = threading.Thread(target=self._supervise, name="ground.zap-watch", daemon=True)
        self._refusals = RefusalLog()
        self._turned_s = time.monotonic()
        self.accepted = 0
        self.refused = 0
        self.self_test_fingerprint: str | None = None
        self.failures = 0

    def start(self) -> None:
        """Bind the handler; raises `LinkError` when it is not up within 2 s."""
        self._thread.start()
        if not self._bound.wait(2.0):
            self._stopping.set()
            raise LinkError("the ZAP handler did not come up within 2 s; nobody could be authenticated")
        self._supervisor.start()

    def stop(self) -> None:
        """End both threads; afterwards nobody is let in."""
        self._stopping.set()
        for thread in (self._supervisor, self._thread):
            if thread.is_alive():
                thread.join(2.0)

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        is_turning = time.monotonic() - self._turned_s < _HANGS_S
        return self._thread.is_alive() and self._bound.is_set() and is_turning

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="ground.zap", daemon=True)

    def _supervise(self) -> None:
        while not self._stopping.wait(_SUPERVISE_S):
            if not self._thread.is_alive():
                _log.error("ZAP handler ended, started again")
                self.failures += 1
                self._thread = self._new_thread()
                self._thread.start()

    def _run(self) -> None:
        try:
            self._answer_all()
        except Exception as error:  # noqa: BLE001 - the outermost loop: it is started again
            _log.error("ZAP handler failed", error=str(error), kind=type(error).__name__)

    def _answer_all(self) -> None:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        try:
            socket.bind(_ENDPOINT)
            self._bound.set()
            while not self._stopping.is_set():
                self._turned_s = time.monotonic()
                if socket.poll(100):
                    self._serve_one(socket)
                self._refusals.turn()
        finally:
            self._bound.clear()
            socket.close(linger=0)

    def _serve_one(self, socket: zmq.Socket[bytes]) -> None:
        parts = socket.recv_multipart()
        if b"" not in parts:
            return
        split = parts.index(b"") + 1
        request = parts[split:]
        try:
            answer = self._answer(request)
        except Exception as error:  # noqa: BLE001 - default deny, and the handler must not die
            self.failures += 1
            _log.error("ZAP request failed, refused", reason=str(error))
            answer = [b"500", b"handler failed", b"", b""]
        request_id = request[1] if len(request) > 1 else b""
        socket.send_multipart([*parts[:split], b"1.0", request_id, *answer])

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """Status code, status text, user id, metadata."""
        if len(request) != _ZAP_CURVE_PARTS or any(len(part) > _MAX_PART_BYTES for part in request):
            return self._refusal("not a CURVE request")
        version, _, domain, address, _, mechanism, key = request
        peer = address.decode("ascii", "replace")
        if version != b"1.0" or mechanism != b"CURVE" or domain != ZAP_DOMAIN.encode():
            return self._refusal("wrong mechanism or domain", peer=peer)
        platform_id = self._allow_list.platform_of_knocking(key)
        if platform_id is None:
            return self._refusal("unknown key", peer=peer, fingerprint=keys.fingerprint(key))
        self.accepted += 1
        _log.info("platform let in", platform_id=platform_id, peer=peer)
        return [b"200", b"OK", platform_id.encode(), _metadata(KEY_PROPERTY, key.hex())]

    def _refusal(self, reason: str, *, peer: str = "?", **facts: str) -> list[bytes]:
        self.refused += 1
        if "fingerprint" not in facts or facts["fingerprint"] != self.self_test_fingerprint:
            self._refusals.refuse(reason, peer, **facts)
        return [b"400", b"refused", b"", b""]


def prove_refusal(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, server_key: bytes, authenticator: Authenticator
) -> None:
    """Knock with a key that nobody knows; raises `LinkError` unless our handler refuses it within 5 s."""
    stranger = keys.new_key_pair()
    authenticator.self_test_fingerprint = stranger.fingerprint
    refused_before = authenticator.refused
    client = context.socket(zmq.DEALER)
    client.linger = 0
    monitor = client.get_monitor_socket()
    try:
        client.curve_serverkey = keys.curve_option(server_key)
        client.curve_publickey, client.curve_secretkey = stranger.public_z85, stranger.secret_z85
        client.connect(endpoint)
        end_s = time.monotonic() + 5.0
        while time.monotonic() < end_s:
            if not monitor.poll(100):
                continue
            event = recv_monitor_message(monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                raise LinkError(f"self-test: {endpoint} let in a key that nobody enrolled; not serving")
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and authenticator.refused > refused_before:
                return
        raise LinkError(f"self-test: {endpoint} did not answer an unknown key within 5 s; not serving")
    finally:
        client.disable_monitor()
        monitor.close(linger=0)
        client.close(linger=0)


def _metadata(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode(), value.encode()
    return bytes([len(raw_name)]) + raw_name + len(raw_value).to_bytes(4, "big") + raw_value
