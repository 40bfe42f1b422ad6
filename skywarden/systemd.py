"""Telling systemd how we are (sd_notify). By hand: 20 lines, and the package for it is source only."""

import contextlib
import os
import socket


class Notifier:
    """Sends READY, STATUS, WATCHDOG and STOPPING to `$NOTIFY_SOCKET`; does nothing where there is none.

    It never waits and never raises: what systemd cannot take now (its queue is full, it starts itself anew)
    is left out, and the next word is tried again.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    @property
    def watchdog_s(self) -> float | None:
        """How often systemd wants to hear from us, `None` when it does not watch."""
        text = os.environ.get("WATCHDOG_USEC", "")
        return int(text) / 1e6 if text.isdigit() else None

    def ready(self, status: str) -> None:
        """Start-up is finished."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self, status: str) -> None:
        """The working loop turns; also shows `status` in `systemctl status`."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """A clean stop has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto(text.encode(), self._address)
