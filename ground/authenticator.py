"""Who may talk to this ground station: a ZAP handler (ZeroMQ RFC 27) of our own over a folder of public keys.

`authorized/PLATFORM_ID.pub` lets a platform in; the folder is read again when it changes, so enrolment and
revocation need no restart. Everything else is refused, also when this handler itself fails. The handler
binds a ROUTER, not a REP, so that no broken request can leave it in a state where it cannot answer.
"""

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from skywarden import keys
from skywarden.errors import LinkError, UsageError
from skywarden.evidence import public_keys_in, public_text
from skywarden.link import ZAP_DOMAIN

_log = structlog.get_logger("ground.authenticator")

KEY_PROPERTY = "X-Key"
_ENDPOINT = "inproc://zeromq.zap.01"
_PLATFORM_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,126}$")
_RESCAN_S = 0.25
_MAX_KEYS = 10_000
_MAX_PART_BYTES = 256
_ZAP_CURVE_PARTS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """One platform that is let in."""

    platform_id: str
    public_key: bytes
    fingerprint: str
    evidence_keys: tuple[bytes, ...] = ()


class AllowList:
    """The folder `authorized/` as a table of keys; safe to ask from any thread, read again on change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._by_key: dict[bytes, Enrolled] = {}
        self._evidence: dict[str, tuple[bytes, ...]] = {}
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._checked_s = 0.0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again now if anything in it changed; an unreadable folder lets nobody in."""
        with self._lock:
            self._checked_s = time.monotonic()
            try:
                stamp = self._look()
                if stamp == self._stamp:
                    return
                self._by_key = self._read()
                self._evidence = {one.platform_id: one.evidence_keys for one in self._by_key.values()}
                self._stamp = stamp
            except OSError as error:
                self._by_key, self._evidence, self._stamp = {}, {}, None
                _log.error("the list of platforms cannot be read, nobody is let in", reason=str(error))

    def platform_of(self, public_key: bytes) -> str | None:
        """The platform with this key, or `None`: not enrolled, revoked, or the key of two platforms."""
        if time.monotonic() - self._checked_s > _RESCAN_S:
            self.refresh()
        with self._lock:
            found = self._by_key.get(public_key)
        return found.platform_id if found is not None else None

    def evidence_keys_of(self, platform_id: str) -> tuple[bytes, ...]:
        """The public evidence keys that this platform may sign with; none when it is not enrolled."""
        if time.monotonic() - self._checked_s > _RESCAN_S:
            self.refresh()
        with self._lock:
            return self._evidence.get(platform_id, ())

    def enrolled(self) -> list[Enrolled]:
        """Everybody who is let in, by platform."""
        self.refresh()
        with self._lock:
            return sorted(self._by_key.values(), key=lambda one: one.platform_id)

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        files = [path for path in self._folder.iterdir() if path.suffix == ".pub"]
        if len(files) > _MAX_KEYS:
            raise OSError(f"{len(files)} key files, at most {_MAX_KEYS} are read")
        stats = ((path.name, path.stat()) for path in files)
        return tuple(sorted((name, stat.st_mtime_ns, stat.st_ino) for name, stat in stats))

    def _read(self) -> dict[bytes, Enrolled]:
        found: dict[bytes, Enrolled] = {}
        doubled: set[bytes] = set()
        for path in sorted(self._folder.glob("*.pub")):
            platform_id = path.stem
            try:
                if not _PLATFORM_ID.fullmatch(platform_id):
                    raise LinkError(f"{platform_id[:40]!r} is not a platform id")
                key = keys.read_public(str(path))
                signers = public_keys_in(path.read_text(encoding="ascii"))
            except LinkError as error:
                _log.error("key file ignored", file=path.name, reason=str(error))
                continue
            if key in found:
                doubled.add(key)
                _log.error("one key for two platforms, neither is let in", file=path.name)
            found[key] = Enrolled(
                platform_id=platform_id,
                public_key=key,
                fingerprint=keys.fingerprint(key),
                evidence_keys=signers,
            )
        return {key: one for key, one in found.items() if key not in doubled}


def enrol(
    folder: Path,
    platform_id: str,
    public_key: bytes,
    *,
    evidence_keys: tuple[bytes, ...] = (),
    replace: bool = False,
) -> Enrolled:
    """Let `platform_id` in with this key; takes effect within a second, also on a running station.

    What one of `evidence_keys` has signed is taken as its record. Raises `UsageError` when the id is not one,
    or is enrolled with another key and `replace` is not set.
    """
    path = _key_path(folder, platform_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    one = Enrolled(
        platform_id=platform_id,
        public_key=public_key,
        fingerprint=keys.fingerprint(public_key),
        evidence_keys=evidence_keys,
    )
    for other in AllowList(folder).enrolled():
        if other.public_key == public_key and other.platform_id != platform_id:
            raise UsageError(f"this key is already that of {other.platform_id}; each platform has its own")
        is_other = other.public_key != public_key or (
            other.evidence_keys and other.evidence_keys != evidence_keys
        )
        if other.platform_id == platform_id and is_other and not replace:
            raise UsageError(
                f"{platform_id} is enrolled with another key ({other.fingerprint}); --replace changes it"
            )
    part = path.with_suffix(".part")
    words = [keys.public_text(public_key), *map(public_text, evidence_keys)]
    part.write_text(" ".join(words) + "\n", encoding="ascii")
    part.chmod(0o600)
    part.replace(path)
    return one


def revoke(folder: Path, platform_id: str) -> None:
    """Let `platform_id` in no more; raises `UsageError` when it was not enrolled."""
    path = _key_path(folder, platform_id)
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise UsageError(f"{platform_id} is not enrolled here") from error


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
        return self._thread.is_alive() and self._bound.is_set()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="ground.zap", daemon=True)

    def _supervise(self) -> None:
        while not self._stopping.wait(0.5):
            if not self._thread.is_alive():
                _log.error("ZAP handler ended, started again")
                self.failures += 1
                self._thread = self._new_thread()
                self._thread.start()

    def _run(self) -> None:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        try:
            socket.bind(_ENDPOINT)
            self._bound.set()
            while not self._stopping.is_set():
                if socket.poll(100):
                    self._serve_one(socket)
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
        self._allow_list.refresh()
        platform_id = self._allow_list.platform_of(key)
        if platform_id is None:
            return self._refusal("unknown key", peer=peer, fingerprint=keys.fingerprint(key))
        self.accepted += 1
        _log.info("platform let in", platform_id=platform_id, peer=peer)
        return [b"200", b"OK", platform_id.encode(), _metadata(KEY_PROPERTY, key.hex())]

    def _refusal(self, reason: str, **facts: str) -> list[bytes]:
        self.refused += 1
        is_own = "fingerprint" in facts and facts["fingerprint"] == self.self_test_fingerprint
        (_log.debug if is_own else _log.warning)("peer refused", reason=reason, **facts)
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


def _key_path(folder: Path, platform_id: str) -> Path:
    if not _PLATFORM_ID.fullmatch(platform_id):
        raise UsageError(
            f"{platform_id[:60]!r} is not a platform id: letters, digits, _ . : - and at most 127"
        )
    return folder / f"{platform_id}.pub"
