"""Waits for one platform to enrol itself with a one-time code; the port is open only while this runs."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ground.link.admission import RefusalLog
from skywarden.errors import LinkError, PeerUnavailableError, SkywardenError, WireError
from skywarden.link.enrolment import Hello, Refusal, Said, StationSide
from skywarden.link.enrolment_call import receive, send

_log = structlog.get_logger("ground.link.invitation")

MAX_TRIES = 5
_CALLER_S = 3.0


@dataclass(slots=True)
class Invitation:
    """One code for one platform: limited tries, limited time.

    Attributes:
        tries: wrong codes so far.
        callers: connections so far; those that prove nothing cost no try.
    """

    letters: str = field(repr=False)
    platform_id: str
    station_key: bytes
    let_in: Callable[[Hello], None]
    tries: int = 0
    callers: int = 0

    def wait(self, listening: socket.socket, minutes: float) -> Hello:
        """Serve callers one at a time until one has the code; what it was let in with.

        Raises `PeerUnavailableError` when nobody came in time and `LinkError` after `MAX_TRIES` wrong codes.
        """
        end_s = time.monotonic() + 60.0 * minutes
        refusals = RefusalLog()
        while (left_s := end_s - time.monotonic()) > 0:
            listening.settimeout(min(left_s, 1.0))
            try:
                connection, peer = listening.accept()
            except TimeoutError:
                continue
            self.callers += 1
            with connection:
                try:
                    return self._serve(connection, min(end_s, time.monotonic() + _CALLER_S))
                except (WireError, OSError) as error:
                    refusals.refuse(f"enrolment: {error}"[:200], str(peer[0]))
                except LinkError as error:
                    _log.warning("enrolment refused", peer=str(peer[0]), reason=str(error), tries=self.tries)
                    if self.tries >= MAX_TRIES:
                        raise LinkError(
                            f"{self.tries} wrong codes, the last from {peer[0]}: the code is void. Was "
                            "it misheard? If not, somebody else tries: use a stick"
                        ) from error
        raise PeerUnavailableError(f"{self.platform_id} did not come within {minutes:g} minutes")

    def _serve(self, connection: socket.socket, end_s: float) -> Hello:
        side = StationSide(self.letters, self.platform_id, self.station_key)
        send(connection, side.offer(receive(connection, end_s)))
        proof = receive(connection, end_s)
        try:
            hello, welcome = side.judge(proof)
        except LinkError as error:
            self.tries += 1
            _answer(connection, Refusal(reason=str(error)[:200]))
            raise
        try:
            self.let_in(hello)
        except SkywardenError as error:
            _answer(connection, Refusal(reason=str(error)[:200]))
            raise
        _answer(connection, welcome)
        return hello


def _answer(connection: socket.socket, said: Said) -> None:
    """The last word; whether it arrived the platform tells its technician."""
    try:
        send(connection, said)
    except OSError as error:
        _log.warning("the platform did not hear the answer", reason=str(error))
