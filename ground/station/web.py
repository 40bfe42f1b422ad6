"""The station's face: web server, address, certificate, cookie; and the beat of the live picture."""

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn

from ground.config import GroundConfig, host_and_port, is_loopback
from ground.http import tls
from ground.http.api import Station, create_app
from ground.http.gate import Rule, rules_of
from ground.http.metrics import GroundMetrics
from ground.http.session_routes import Cookie
from ground.http.views import LINK_STALE_S, POSE_STALE_S
from ground.picture.clocks import ClockFile, NotedClock
from ground.picture.live import LivePicture
from ground.station.desks import Desks
from ground.station.memory import Foundation, Memory
from ground.station.neighbours import Neighbours
from ground.station.parts import Parts
from ground.station.radio import Radio
from ground.station.watches import Watches
from skywarden.clock import Clock
from skywarden.errors import ConfigError, LinkError, StoreError

_log = structlog.get_logger("ground.serve")

_TICK_S = 1.0
_CLOCK_BEATS = 3
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Web:
    """The web server as it answers at `address`; `rules` say what each route needs."""

    address: str
    is_tls: bool
    rules: list[Rule]
    cookie_name: str


def check_reach(config: GroundConfig, host: str) -> None:
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


def start_web(
    base: Foundation, memory: Memory, radio: Radio, desks: Desks, watches: Watches, neighbours: Neighbours
) -> Web:
    """Listen, answer, and let the live picture grow old by the second."""
    http = host_and_port(base.config.http, "http")
    is_tls = tls.has_certificate(base.state_dir)
    web_socket = _listening(*http)
    base.parts.add("web socket", web_socket.close)
    station = _station(base, memory, radio, desks, watches, neighbours, is_tls=is_tls)
    rules = _serve(station, web_socket, base.state_dir if is_tls else None, base.parts)
    _start_ticker(base, memory.picture, radio)
    return Web(
        address=_shown_address(http[0], web_socket.getsockname()[1]),
        is_tls=is_tls,
        rules=rules,
        cookie_name=station.cookie.name,
    )


def _station(
    base: Foundation,
    memory: Memory,
    radio: Radio,
    desks: Desks,
    watches: Watches,
    neighbours: Neighbours,
    *,
    is_tls: bool,
) -> Station:
    """What the API shows."""
    config, key = base.config, base.server_key
    return Station(
        store=memory.store,
        picture=memory.picture,
        clock=base.clock,
        problems=radio.problems,
        metrics=GroundMetrics(
            radio.receiver,
            radio.authenticator,
            memory.picture,
            memory.store,
            base.clock,
            others=(neighbours.metrics,),
        ).text,
        state_dir=base.state_dir,
        layers_dir=config.layers_dir(),
        console_dir=config.console_dir(),
        allowed_hosts=_LOOPBACK_NAMES if is_loopback(host_and_port(config.http, "http")[0]) else None,
        doorkeeper=desks.doorkeeper,
        desk=desks.requests,
        review=desks.review,
        ais=watches.ais,
        alerts=watches.alerts,
        past=watches.past,
        history=memory.history,
        rule=memory.rule,
        contacts=config.contacts,
        cookie=_cookie(key.fingerprint, is_tls=is_tls, longest_s=config.accounts.session_s),
        link_address=radio.address,
        server_public_key=key.public_text,
        started_ns=base.clock.utc_ns(),
        mark=base.mark,
    )


def _cookie(fingerprint: str, *, is_tls: bool, longest_s: float) -> Cookie:
    """Its name tells stations on one machine apart: browsers do not look at ports."""
    name = f"skywarden-{fingerprint.replace('-', '')[:8]}"
    return Cookie(f"__Host-{name}" if is_tls else name, is_tls, longest_s)


def _serve(
    station: Station, listening: socket.socket, tls_state_dir: Path | None, parts: Parts
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


def _start_ticker(base: Foundation, picture: LivePicture, radio: Radio) -> None:
    stopping = threading.Event()
    clock, clocks = base.clock, ClockFile(base.state_dir)

    def run() -> None:
        beats = 0
        while not stopping.wait(_TICK_S):
            picture.tick(clock.monotonic_ns() / 1e9, clock.utc_ns(), LINK_STALE_S, POSE_STALE_S)
            radio.problems()
            beats += 1
            if beats % _CLOCK_BEATS == 0:
                _note_clocks(picture, clocks, clock)

    thread = threading.Thread(target=run, name="ground.ticker", daemon=True)

    def stop() -> None:
        stopping.set()
        thread.join(1.0)

    base.parts.add("ticker", stop)
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
