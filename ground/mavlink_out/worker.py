"""The thread that tells one MAVLink ground station; a connection that fails is tried again."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from ground.exercise.mark import REAL, Mark
from ground.fusion.contact import Contact
from ground.mavlink_out.config import MavlinkOutConfig
from ground.mavlink_out.words import MavlinkWords
from ground.picture.followed import FollowedContacts
from ground.picture.live import LivePicture
from ground.review.desk import ReviewDesk
from ground.review.entries import State
from ground.review.release import is_released
from ground.store.reading import StoreReader
from skywarden.clock import Clock
from skywarden.errors import ConfigError, LinkError, PeerUnavailableError, StoreError
from skywarden.mavlink.connection import parse_connection
from skywarden.mavlink.transports import FileTransport, Transport, open_transport

_log = structlog.get_logger("ground.mavlink_out")

_TURN_S = 0.25
_REST_S = (1.0, 30.0)
_PEER_S = 30.0
_MAX_PEERS = 8

Released = Callable[[int], Sequence[tuple[Contact, State]]]
Add = Callable[[str, Callable[[], None]], None]


class MavlinkOut:
    """One ground station that is told; `start` never fails, what is wrong is in `problems`."""

    def __init__(
        self,
        config: MavlinkOutConfig,
        released: Released,
        clock: Clock,
        number: int = 0,
        mark: Mark = REAL,
    ) -> None:
        self.config = config
        self.fault: str | None = None
        self.sent = 0
        self._released = released
        self._clock = clock
        self._words = MavlinkWords(config, mark)
        self._transport: Transport | None = None
        self._peers: dict[object, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ground.mavlink_out.{number}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, which lets go of the connection."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(3.0)

    def problems(self) -> list[str]:
        """Sentences for the station's notices."""
        if not self._thread.is_alive():
            return [f"{self.config.connection} is not told: its thread has ended"]
        return [] if self.fault is None else [f"{self.config.connection} is not told: {self.fault}"]

    def _run(self) -> None:
        rest_s = _REST_S[0]
        while not self._stopping.wait(_TURN_S):
            try:
                self._turn()
                rest_s = _REST_S[0]
                self._note(None)
            except (OSError, LinkError, PeerUnavailableError, ConfigError, StoreError) as error:
                self._fail(str(error), rest_s)
                rest_s = min(_REST_S[1], 2.0 * rest_s)
            except Exception as error:  # noqa: BLE001 - the outermost loop: it must go on
                self._fail(f"{type(error).__name__}: {error}", rest_s)
        self._close()

    def _turn(self) -> None:
        if self._transport is None:
            opened = open_transport(parse_connection(self.config.connection))
            if isinstance(opened, FileTransport):
                raise ConfigError("a file is no ground station")
            self._transport = opened
        now_s = time.monotonic()
        for sender, _ in self._transport.read(0.0):  # read and forgotten, but for who is there
            self._peers[sender] = now_s
        self._peers = {one: at for one, at in list(self._peers.items())[-_MAX_PEERS:] if now_s - at < _PEER_S}
        now_ns = self._clock.utc_ns()
        for raw in self._words.due(self._released(now_ns), now_ns):
            self._transport.write(raw, list(self._peers))
            self.sent += 1

    def _fail(self, reason: str, rest_s: float) -> None:
        self._note(reason)
        self._close()
        self._stopping.wait(rest_s)

    def _note(self, fault: str | None) -> None:
        """Log when a fault begins and when it ends."""
        if fault is not None and self.fault is None:
            _log.warning("a MAVLink ground station is not told", to=self.config.connection, reason=fault)
        elif fault is None and self.fault is not None:
            _log.info("a MAVLink ground station is told again", to=self.config.connection)
        self.fault = fault

    def _close(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.close()
            self._transport = None


def start_mavlink_out(
    configs: Sequence[MavlinkOutConfig],
    store: StoreReader,
    picture: LivePicture,
    review: ReviewDesk,
    clock: Clock,
    add: Add,
    mark: Mark = REAL,
) -> list[MavlinkOut]:
    """The tellers, running."""
    made = []
    for number, config in enumerate(configs):
        released = _releasing(config, FollowedContacts(store, picture), review)
        teller = MavlinkOut(config, released, clock, number, mark)
        add(f"MAVLink to {config.connection}", teller.stop)
        teller.start()
        made.append(teller)
    return made


def _releasing(config: MavlinkOutConfig, followed: FollowedContacts, review: ReviewDesk) -> Released:
    def released(now_ns: int) -> list[tuple[Contact, State]]:
        found = []
        since_ns = now_ns - round(config.keep_s * 1e9)
        for stored in followed.at(now_ns).values():
            if stored.contact.last_ns < since_ns:
                continue
            state = review.of_contact(stored.contact.track_ids).state
            if is_released(state, with_unreviewed=config.unreviewed):
                found.append((stored.contact, state))
        return found

    return released
