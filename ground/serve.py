"""Puts the ground station together: keys, store, link, picture, web; starts and stops all of it in order."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import uvicorn
import zmq

from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import Role, Scope
from ground.ais.hearing import Receiver as AisReceiver
from ground.ais.store import AisStore, ais_path
from ground.ais.watch import AisWatch
from ground.alerts.start import start_alerts
from ground.config import GroundConfig, host_and_port, is_loopback
from ground.fusion.book import ContactBook
from ground.fusion.history import ContactHistory, RecordedBook
from ground.fusion.rulings import Ruling
from ground.http import tls
from ground.http.api import Station, create_app
from ground.http.gate import Rule, rules_of
from ground.http.metrics import GroundMetrics
from ground.http.session_routes import Cookie
from ground.http.views import LINK_STALE_S, POSE_STALE_S
from ground.link.admission import allow_many_connections
from ground.link.authenticator import AllowList, Authenticator, enrol, prove_refusal
from ground.link.datagram_port import DatagramPort
from ground.link.intake import EvidencePolicy
from ground.link.receiver import Receiver
from ground.link.tasking import TaskingCourier, TaskingDesk
from ground.link.thin_link import ThinLinkPort, ThinReader
from ground.picture.clocks import ClockFile, NotedClock
from ground.picture.live import LivePicture
from ground.problems import StationProblems
from ground.review.desk import ReviewDesk
from ground.review.log import ReviewLog, review_path
from ground.store.keeper import RetentionKeeper
from ground.store.retention import Erased, Expired
from ground.store.sqlite import SqliteStore, Store
from skywarden.clock import Clock, SystemClock
from skywarden.errors import ConfigError, LinkError, StoreError
from skywarden.evidence import public_keys_in
from skywarden.link import keys
from skywarden.link.datagram_session import Gate
from skywarden.messages import TaskingReceipt

_log = structlog.get_logger("ground.serve")

_Stop = Callable[[], None]

_TICK_S = 1.0
_CLOCK_BEATS = 3
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def store_path(state_dir: Path) -> Path:
    """Where the store lies."""
    return state_dir / "store.sqlite"


def authorized_dir(state_dir: Path) -> Path:
    """Where the public keys of the platforms lie that are let in."""
    return state_dir / "authorized"


def server_key_path(state_dir: Path) -> Path:
    """Where the station's own key lies."""
    return state_dir / "keys" / "server.key"


class GroundHandle:
    """A running ground station; `stop` ends it within 5 s, whatever its readers do."""

    def __init__(
        self,
        *,
        state_dir: Path,
        http_address: str,
        link_address: str,
        server_public_key: str,
        store: Store,
        picture: LivePicture,
        receiver: Receiver,
        authenticator: Authenticator,
        problems: StationProblems,
        doorkeeper: Doorkeeper,
        desk: TaskingDesk,
        ais: AisWatch,
        retention: RetentionKeeper,
        is_tls: bool,
        rules: list[Rule],
        cookie_name: str,
        parts: "_Parts",
    ) -> None:
        self.state_dir = state_dir
        self.http_address = http_address
        self.link_address = link_address
        self.server_public_key = server_public_key
        self.store = store
        self.picture = picture
        self.receiver = receiver
        self.authenticator = authenticator
        self.problems = problems
        self.doorkeeper = doorkeeper
        self.desk = desk
        self.ais = ais
        self.retention = retention
        self.is_tls = is_tls
        self.rules = rules
        self.cookie_name = cookie_name
        self._parts = parts

    @property
    def http_url(self) -> str:
        """Where the console and the API are."""
        return f"{'https' if self.is_tls else 'http'}://{self.http_address}"

    def first_sign_in(self) -> tuple[str, str] | None:
        """Name and one-time code of the first administrator; `None` when an administrator can sign in.

        A code of before ends; show it to the person who starts the station and keep it nowhere.
        """
        return self.doorkeeper.first_code()

    def page(self, code: str) -> str:
        """The console's address that uses a one-time code; after `#` it never leaves the browser."""
        return f"{self.http_url}/#once={code}"

    def sign_in_page(self, name: str, role: Role) -> str:
        """The console's address that opens one session of `name` without a password, for a demo."""
        return self.page(self.doorkeeper.session_code(name, role))

    def program_key(self, name: str = "program", role: Role = Role.ADMINISTRATOR) -> str:
        """An API key for this program's own questions, good for a day: `Authorization: Bearer KEY`."""
        return self.doorkeeper.program_key(name, role, frozenset(Scope), 86_400.0)

    def enrol(self, platform_id: str, public_key: str) -> None:
        """Let a platform in (`swpub1:... swev1:...`), as `skywarden ground enrol` does."""
        enrol(
            authorized_dir(self.state_dir),
            platform_id,
            keys.parse_public(public_key),
            evidence_keys=public_keys_in(public_key),
        )

    @property
    def is_working(self) -> bool:
        """Whether a supervisor should leave it alone; `problems` tells what is wrong all the same."""
        return self.problems.is_working

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until `stop` is called or a part has ended for good; False after `timeout_s`."""
        return self._parts.ended.wait(timeout_s)

    def stop(self) -> None:
        """End everything: readers, web, link, store. May be called twice."""
        self._parts.stop()


class _Parts:
    """What has been started, ended in the opposite order."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._stops: list[tuple[str, _Stop]] = []
        self._lock = threading.Lock()

    def add(self, name: str, stop: _Stop) -> None:
        self._stops.append((name, stop))

    def stop(self) -> None:
        with self._lock:
            self.ended.set()
            while self._stops:
                name, stop = self._stops.pop()
                began_s = time.monotonic()
                stop()
                if time.monotonic() - began_s > 2.5:
                    _log.warning("a part was slow to end", part=name)


def start_ground(config: GroundConfig, clock: Clock | None = None) -> GroundHandle:
    """Start a ground station and return when it takes records and answers requests.

    Raises `ConfigError` (an address others can reach without `insecure_http`), `LinkError` (address in use,
    keys, the self-test of the authenticator), `StoreError`. Nothing is left running then.
    """
    clock = clock or SystemClock()
    http_host, http_port = host_and_port(config.http, "http")
    link_host, link_port = host_and_port(config.link, "link")
    _check_reach(config, http_host)
    parts = _Parts()
    try:
        return _started(config, clock, (http_host, http_port), (link_host, link_port), parts)
    except BaseException:
        parts.stop()
        raise


def _check_reach(config: GroundConfig, host: str) -> None:
    """Passwords and pictures go over a network only with TLS, or when somebody said otherwise."""
    if tls.has_certificate(config.state_dir()):
        tls.check_files(config.state_dir())
        return
    if is_loopback(host):
        return
    if not config.insecure_http:
        raise ConfigError(
            f"http = {config.http!r} can be reached by others, and this station has no certificate: run "
            "`skywarden ground tls create --name HOST`, or use 127.0.0.1 with a tunnel, or say "
            "--insecure-http if everybody on the network may read passwords"
        )
    _log.warning("no TLS: passwords and pictures go over the network for all to read", http=config.http)


def _started(
    config: GroundConfig, clock: Clock, http: tuple[str, int], link: tuple[str, int], parts: _Parts
) -> GroundHandle:
    state_dir = config.state_dir()
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    server_key = keys.load_or_create_key_file(server_key_path(state_dir))
    allow_list = AllowList(authorized_dir(state_dir))
    horizon_s = config.contacts.horizon_s
    history = ContactHistory(state_dir / "contacts.sqlite")
    parts.add("contact history", history.close)
    book = RecordedBook(ContactBook(config.contacts), history, clock)
    store = SqliteStore(store_path(state_dir), book, horizon_s=horizon_s)
    parts.add("store", store.close)
    picture = LivePicture(first_revision=clock.utc_ns() // 1_000)
    store.settle(picture.next_revision())
    picture.restore(store.platforms(), store.health())
    receiver, authenticator, link_address, station_problems = _start_link(
        server_key, allow_list, store, picture, clock, link, config, parts
    )
    metrics = GroundMetrics(receiver, authenticator, picture, store, clock)
    doorkeeper = Doorkeeper(state_dir, config.accounts, clock=clock)
    parts.add("accounts", doorkeeper.close)
    desk = _start_desk(state_dir, receiver, picture, clock, parts)
    review = _start_review(state_dir, store, picture, parts)
    keeper = _start_retention(config, store, picture, doorkeeper, clock, parts)
    station_problems.others.append(keeper.problems)
    station_problems.others.append(receiver.problems)
    ais = _start_ais(config, picture, clock, parts)
    station_problems.others.append(ais.problems)
    alerts, alert_problems = start_alerts(state_dir, config.alerts, store, picture, clock, ais, parts.add)
    station_problems.others.append(alert_problems)
    is_tls = tls.has_certificate(state_dir)
    web_socket = _listening(*http)
    parts.add("web socket", web_socket.close)
    station = Station(
        store=store,
        picture=picture,
        clock=clock,
        problems=station_problems,
        metrics=metrics.text,
        layers_dir=config.layers_dir(),
        console_dir=config.console_dir(),
        allowed_hosts=_LOOPBACK_NAMES if is_loopback(http[0]) else None,
        doorkeeper=doorkeeper,
        desk=desk,
        review=review,
        ais=ais,
        alerts=alerts,
        history=history,
        rule=_ruling(book, store, picture),
        contacts=config.contacts,
        cookie=_cookie(server_key.fingerprint, is_tls=is_tls, longest_s=config.accounts.session_s),
        link_address=link_address,
        server_public_key=server_key.public_text,
        started_ns=clock.utc_ns(),
    )
    rules = _start_web(station, web_socket, state_dir if is_tls else None, parts)
    _start_ticker(picture, station_problems, ClockFile(state_dir), clock, parts)
    http_address = _shown_address(http[0], web_socket.getsockname()[1])
    _log.info("ground station runs", http=http_address, link=link_address, state=str(state_dir))
    return GroundHandle(
        state_dir=state_dir,
        http_address=http_address,
        link_address=link_address,
        server_public_key=server_key.public_text,
        store=store,
        picture=picture,
        receiver=receiver,
        authenticator=authenticator,
        problems=station_problems,
        doorkeeper=doorkeeper,
        desk=desk,
        ais=ais,
        retention=keeper,
        is_tls=is_tls,
        rules=rules,
        cookie_name=station.cookie.name,
        parts=parts,
    )


def _ruling(book: RecordedBook, store: Store, picture: LivePicture) -> Callable[[Ruling], None]:
    """Keeps a person's word on tracks, and has contacts and picture follow it at once."""

    def rule(ruling: Ruling) -> None:
        book.rule(ruling)
        settled = store.settle(picture.next_revision())
        picture.note_contacts(list(settled.contacts), list(settled.removed))
        picture.publish()

    return rule


def _start_desk(
    state_dir: Path, receiver: Receiver, picture: LivePicture, clock: Clock, parts: _Parts
) -> TaskingDesk:
    """The desk of requests: what is asked goes out by the receiver, receipts come in by it."""
    desk = TaskingDesk(state_dir / "taskings.sqlite")
    parts.add("tasking desk", desk.close)

    def age_s(platform_id: str) -> float | None:
        now_s, now_ns = clock.monotonic_ns() / 1e9, clock.utc_ns()
        found = [one for one in picture.platforms() if one.platform_id == platform_id]
        return found[0].age_s(now_s, now_ns) if found else None

    def note(platform_id: str, receipt: TaskingReceipt) -> None:
        try:
            desk.note_receipt(platform_id, receipt, clock.utc_ns())
        except StoreError as error:  # asked again, and answered again
            _log.error("a receipt was not kept", tasking_id=receipt.tasking_id, reason=str(error))

    receiver.on_receipt = note
    courier = TaskingCourier(desk, receiver.send_tasking, age_s, clock)
    parts.add("tasking courier", courier.stop)
    courier.start()
    return desk


def _start_retention(
    config: GroundConfig,
    store: SqliteStore,
    picture: LivePicture,
    doorkeeper: Doorkeeper,
    clock: Clock,
    parts: _Parts,
) -> RetentionKeeper:
    """What is too old goes from store and picture, and an entry in the access log says so."""

    def forget(step: Erased) -> None:
        picture.forget_sightings(step.sighting_ids)
        picture.note_contacts([], list(step.contact_ids))

    def note(found: Expired) -> None:
        count = sum(found.erased.values())
        doorkeeper.note_local(
            "erase", f"{count} records, {found.quarantined} of quarantine, {found.held} held"
        )

    keeper = RetentionKeeper(
        config.retention,
        store_path(config.state_dir()),
        store,
        clock,
        on_erased=forget,
        on_pass=note,
    )
    parts.add("retention", keeper.stop)
    keeper.start()
    return keeper


def _start_ais(config: GroundConfig, picture: LivePicture, clock: Clock, parts: _Parts) -> AisWatch:
    """AIS: where carried receivers are, and where cameras look, is asked of the picture."""

    def place_of(platform_id: str) -> AisReceiver | None:
        for one in picture.platforms():
            pose = one.pose if one.platform_id == platform_id else None
            if pose is not None and pose.latitude_deg is not None and pose.longitude_deg is not None:
                return AisReceiver(
                    latitude_deg=pose.latitude_deg,
                    longitude_deg=pose.longitude_deg,
                    height_m=max(2.0, pose.alt_msl_m or pose.alt_rel_m or 2.0),
                )
        return None

    def footprints() -> list[tuple[int, tuple[tuple[float, float], ...]]]:
        frames = [one.frame for one in picture.platforms() if one.frame is not None]
        return [(frame.time_ns, frame.footprint) for frame in frames if frame.footprint]

    store = AisStore(ais_path(config.state_dir()))
    try:
        ais = AisWatch(config.ais, store, clock, place_of=place_of, footprints=footprints)
    except BaseException:
        store.close()
        raise
    parts.add("ais", ais.stop)
    ais.start()
    return ais


def _start_review(state_dir: Path, store: Store, picture: LivePicture, parts: _Parts) -> ReviewDesk:
    """The desk of review: whoever watches is told at once what somebody decided."""

    def tell(contact_ids: Sequence[str]) -> None:
        found = [store.contact(name) for name in contact_ids]
        picture.note_contacts([one for one in found if one is not None], [])
        picture.publish()

    review = ReviewDesk(ReviewLog(review_path(state_dir)), store, tell)
    parts.add("review", review.close)
    return review


def _cookie(fingerprint: str, *, is_tls: bool, longest_s: float) -> Cookie:
    """Its name tells stations on one machine apart: browsers do not look at ports."""
    name = f"skywarden-{fingerprint.replace('-', '')[:8]}"
    return Cookie(f"__Host-{name}" if is_tls else name, is_tls, longest_s)


def _start_link(
    server_key: keys.KeyPair,
    allow_list: AllowList,
    store: SqliteStore,
    picture: LivePicture,
    clock: Clock,
    link: tuple[str, int],
    config: GroundConfig,
    parts: _Parts,
) -> tuple[Receiver, Authenticator, str, StationProblems]:
    """Authenticator first, then the proof that a stranger is refused, then the port, then reception."""
    allow_many_connections()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    parts.add("zeromq", lambda: context.destroy(linger=0))
    authenticator = Authenticator(context, allow_list)
    parts.add("authenticator", authenticator.stop)
    authenticator.start()
    datagrams = _datagram_port(server_key, allow_list) if config.datagrams else None
    if datagrams is not None:
        parts.add("datagrams", datagrams.stop)
    policy: EvidencePolicy = config.evidence
    receiver = Receiver(context, server_key, allow_list, store, picture, clock, policy, datagrams=datagrams)
    parts.add("receiver", receiver.stop)
    _prove_door(context, receiver, server_key, authenticator)
    address = receiver.bind(*link)
    port, is_bound = address.rpartition(":")[2], False
    if datagrams is not None:
        is_bound = _bind_datagrams(datagrams, link, int(port))
    receiver.start()
    thin = None
    if config.thin_link.connection:
        reader = ThinReader(server_key.secret, allow_list.enrolled)
        thin = ThinLinkPort(config.thin_link, reader, receiver.take_thin, clock)
        parts.add("thin link", thin.stop)
        thin.start()
    problems = StationProblems(
        receiver,
        authenticator,
        lambda: clock.monotonic_ns() / 1e9,
        datagrams=datagrams if is_bound else None,
        thin=thin,
        store_warnings=store.warnings,
    )
    return receiver, authenticator, address, problems


def _datagram_port(server_key: keys.KeyPair, allow_list: AllowList) -> DatagramPort:
    gate = Gate(
        secret=server_key.secret,
        public=server_key.public,
        platform_of=allow_list.platform_of,
        entropy=os.urandom,
    )
    return DatagramPort(gate)


def _bind_datagrams(datagrams: DatagramPort, link: tuple[str, int], port: int) -> bool:
    """Listen for datagrams on the same port number; one that was chosen freely may be taken there (False)."""
    try:
        datagrams.bind(link[0], port)
    except LinkError as error:
        if link[1]:
            raise
        _log.warning("no datagrams", reason=str(error))
        return False
    datagrams.start()
    return True


def _prove_door(
    context: zmq.Context[zmq.Socket[bytes]],
    receiver: Receiver,
    server_key: keys.KeyPair,
    authenticator: Authenticator,
) -> None:
    """The very socket that will serve refuses a stranger on an address that only this machine reaches."""
    address = receiver.bind("127.0.0.1", 0)
    prove_refusal(context, f"tcp://{address}", server_key.public, authenticator)
    receiver.unbind(address)


def _start_web(
    station: Station, listening: socket.socket, tls_state_dir: Path | None, parts: _Parts
) -> list[Rule]:
    app, stream = create_app(station)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            ssl_certfile=tls.certificate_path(tls_state_dir) if tls_state_dir else None,
            ssl_keyfile=tls.private_key_path(tls_state_dir) if tls_state_dir else None,
            server_header=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=15,
            limit_concurrency=512,
            h11_max_incomplete_event_size=32_768,
            ws="none",
        )
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="ground.web", daemon=True
    )

    def stop() -> None:
        stream.close()
        server.should_exit = True
        thread.join(3.0)
        if thread.is_alive():
            server.force_exit = True
            thread.join(1.0)

    parts.add("web", stop)
    thread.start()
    end_s = time.monotonic() + 5.0
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end_s:
            raise LinkError("the web server did not start within 5 s")
        time.sleep(0.005)
    return rules_of(app)


def _start_ticker(
    picture: LivePicture, problems: StationProblems, clocks: ClockFile, clock: Clock, parts: _Parts
) -> None:
    stopping = threading.Event()

    def run() -> None:
        beats = 0
        while not stopping.wait(_TICK_S):
            picture.tick(clock.monotonic_ns() / 1e9, clock.utc_ns(), LINK_STALE_S, POSE_STALE_S)
            problems()
            beats += 1
            if beats % _CLOCK_BEATS == 0:
                _note_clocks(picture, clocks, clock)

    thread = threading.Thread(target=run, name="ground.ticker", daemon=True)

    def stop() -> None:
        stopping.set()
        thread.join(1.0)

    parts.add("ticker", stop)
    thread.start()


def _note_clocks(picture: LivePicture, clocks: ClockFile, clock: Clock) -> None:
    now_s, now_ns = clock.monotonic_ns() / 1e9, clock.utc_ns()
    noted = [
        NotedClock(
            platform_id=one.platform_id,
            as_of_ns=(now_ns - int(one.clock.age_s(now_s) * 1e9)) // 1_000_000_000 * 1_000_000_000,
            offset_s=one.clock.offset_s,
            bound_s=one.clock.bound_s,
            drift_ppm=one.clock.drift_ppm,
            is_doubtful=one.clock.is_doubtful,
        )
        for one in picture.platforms()
        if one.clock is not None
    ]
    try:
        clocks.write(noted)
    except StoreError as error:  # only what `skywarden ground status` shows
        _log.debug("clocks are not noted", reason=str(error))


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio switches Nagle's delay (40 ms an answer) off only where the socket says so.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise LinkError(f"http address {host}:{port} cannot be used ({error.strerror})") from error
    listening.set_inheritable(False)
    return listening


def _shown_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
