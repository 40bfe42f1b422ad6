"""Alerts to the pilot's ground station, as MAVLink STATUSTEXT; the words and the rim that sends them.

Off unless a connection is configured. Only texts and the heartbeat that gives them a sender go out, under an
id that is no autopilot's; nothing is read.
"""

import contextlib
import threading

import structlog

from ground.alerts.alert import LoggedAlert
from ground.alerts.rules import Severity
from skywarden.errors import ConfigError, LinkError, PeerUnavailableError
from skywarden.mavlink.connection import parse_connection
from skywarden.mavlink.synth import MessageMaker
from skywarden.mavlink.transports import FileTransport, Transport, open_transport

_log = structlog.get_logger("ground.alerts.pilot_text")

SYSTEM_ID = 245
COMPONENT_ID = 191  # MAV_COMP_ID_ONBOARD_COMPUTER: ground stations show its texts
_SEVERITY: dict[Severity, int] = {"notice": 5, "warning": 4, "urgent": 2}
"""MAV_SEVERITY: notice, warning, critical."""
_MAX_CHARACTERS = 150


def in_words(logged: LoggedAlert) -> str:
    """One line for a pilot: what, where, how surely; plain ASCII, as STATUSTEXT asks."""
    alert = logged.alert
    parts = [f"{'EXERCISE ' if alert.is_exercise else ''}{alert.rule_name}: {alert.label}"]
    if alert.zone_name is not None:
        parts.append(alert.zone_name)
    if alert.place is not None:
        latitude_deg, longitude_deg, ce90_m = alert.place
        parts.append(f"{latitude_deg:.5f} {longitude_deg:.5f} +-{ce90_m:.0f} m")
    if alert.speed_mps is not None and alert.course_deg is not None:
        parts.append(f"{alert.course_deg:03.0f} deg {alert.speed_mps:.0f} m/s")
    text = ", ".join(parts).encode("ascii", "replace").decode()
    return "".join(one if one.isprintable() else "?" for one in text)[:_MAX_CHARACTERS]


class PilotText:
    """Sends texts; a connection that fails is tried again at the next one. Safe from any thread."""

    def __init__(self, connection: str) -> None:
        self._connection = parse_connection(connection)
        self._maker = MessageMaker(SYSTEM_ID, COMPONENT_ID)
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._is_failing = False

    def tell(self, logged: LoggedAlert) -> bool:
        """Send one; False when that failed."""
        texts = self._maker.statustext(severity=_SEVERITY[logged.severity], text=in_words(logged))
        with self._lock:
            try:
                transport = self._opened()
                for raw in (self._heartbeat(), *texts):
                    transport.write(raw, [])
            except (OSError, LinkError, PeerUnavailableError, ConfigError) as error:
                if not self._is_failing:
                    _log.warning("the pilot's ground station is not told", reason=str(error))
                self._is_failing = True
                self._close()
                return False
            if self._is_failing:
                _log.info("the pilot's ground station is told again")
            self._is_failing = False
        return True

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._close()

    def _heartbeat(self) -> bytes:
        return self._maker.message(
            "HEARTBEAT", type=18, autopilot=8, base_mode=0, custom_mode=0, system_status=4, mavlink_version=3
        )

    def _opened(self) -> Transport:
        if self._transport is None:
            opened = open_transport(self._connection)
            if isinstance(opened, FileTransport):
                raise ConfigError("a file is no pilot's ground station")
            self._transport = opened
        return self._transport

    def _close(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.close()
            self._transport = None
