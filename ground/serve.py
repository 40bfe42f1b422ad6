"""Puts the ground station together, part by part, and ends all of it in the opposite order.

A further part joins its group in `ground.station` (memory, radio, desks, watches, web): start it there, give
`base.parts` how it ends and `radio.problems.others` what is wrong with it.
"""

import structlog

from ground.accounts.roles import Role, Scope
from ground.config import GroundConfig, host_and_port
from ground.link.authenticator import enrol
from ground.station.desks import Desks, start_desks
from ground.station.memory import Foundation, Memory, lay_foundation, open_memory
from ground.station.neighbours import Neighbours, start_neighbours
from ground.station.parts import Parts
from ground.station.places import authorized_dir, server_key_path, store_path
from ground.station.radio import Radio, start_radio
from ground.station.watches import Watches, start_watches
from ground.station.web import Web, check_reach, start_web
from ground.store.seam import Store
from skywarden.clock import Clock, SystemClock
from skywarden.evidence import public_keys_in
from skywarden.link import keys

__all__ = ["GroundHandle", "authorized_dir", "server_key_path", "start_ground", "store_path"]

_log = structlog.get_logger("ground.serve")


class GroundHandle:
    """A running ground station; `stop` ends it within 5 s, whatever its readers do."""

    def __init__(
        self,
        base: Foundation,
        memory: Memory,
        radio: Radio,
        desks: Desks,
        watches: Watches,
        neighbours: Neighbours,
        web: Web,
    ) -> None:
        self.state_dir = base.state_dir
        self.http_address = web.address
        self.link_address = radio.address
        self.server_public_key = base.server_key.public_text
        self.store: Store = memory.store
        self.picture = memory.picture
        self.receiver = radio.receiver
        self.authenticator = radio.authenticator
        self.problems = radio.problems
        self.doorkeeper = desks.doorkeeper
        self.desk = desks.requests
        self.ais = watches.ais
        self.alerts = watches.alerts
        self.review = desks.review
        self.tak = neighbours.tak
        self.retention = desks.retention
        self.is_tls = web.is_tls
        self.rules = web.rules
        self.cookie_name = web.cookie_name
        self._parts = base.parts

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


def start_ground(config: GroundConfig, clock: Clock | None = None) -> GroundHandle:
    """Start a ground station and return when it takes records and answers requests.

    Raises `ConfigError` (an address others can reach without `insecure_http`), `LinkError` (address in use,
    keys, the self-test of the authenticator), `StoreError`. Nothing is left running then.
    """
    host_and_port(config.link, "link")
    check_reach(config, host_and_port(config.http, "http")[0])
    parts = Parts()
    try:
        return _started(config, clock or SystemClock(), parts)
    except BaseException:
        parts.stop()
        raise


def _started(config: GroundConfig, clock: Clock, parts: Parts) -> GroundHandle:
    """Each step is built upon the ones before it, and ends before they do."""
    base = lay_foundation(config, clock, parts)
    memory = open_memory(base)
    radio = start_radio(base, memory)
    desks = start_desks(base, memory, radio)
    watches = start_watches(base, memory, radio)
    neighbours = start_neighbours(base, memory, radio, desks, watches)
    web = start_web(base, memory, radio, desks, watches, neighbours)
    _log.info("ground station runs", http=web.address, link=radio.address, state=str(base.state_dir))
    return GroundHandle(base, memory, radio, desks, watches, neighbours, web)
