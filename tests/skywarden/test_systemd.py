"""What systemd is told, on a real socket; what it does not take never holds up the flight."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from skywarden.systemd import Notifier


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A datagram socket as systemd's, named in `$NOTIFY_SOCKET`."""
    with (
        tempfile.TemporaryDirectory(prefix="sw-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
    ):
        path = str(Path(folder) / "notify")
        end.bind(path)
        end.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield end


def test_ready_alive_and_stopping_arrive_as_systemd_reads_them(systemd: socket.socket) -> None:
    notifier = Notifier()
    notifier.ready("sortie one")
    notifier.alive("eo 4.2/s")
    notifier.stopping()
    notifier.close()
    told = [systemd.recv(4096) for _ in range(3)]
    assert told == [b"READY=1\nSTATUS=sortie one", b"WATCHDOG=1\nSTATUS=eo 4.2/s", b"STOPPING=1"]


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("")  # Linux picks a free abstract name
        name = end.getsockname()
        end.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
        notifier = Notifier()
        notifier.stopping()
        assert end.recv(4096) == b"STOPPING=1"
        notifier.close()


def test_a_systemd_that_reads_nothing_holds_up_nobody(systemd: socket.socket) -> None:
    notifier = Notifier()
    for _ in range(5000):  # far more than the socket's queue holds
        notifier.alive("turning")
    assert systemd.recv(4096) == b"WATCHDOG=1\nSTATUS=turning"
    notifier.close()


def test_after_a_restart_of_systemd_it_hears_from_us_again(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = Notifier()
    path = Path(systemd.getsockname())
    path.unlink()
    notifier.alive("nobody hears this")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(path))
        again.settimeout(5.0)
        notifier.alive("back")
        assert again.recv(4096) == b"WATCHDOG=1\nSTATUS=back"
    notifier.close()


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.ready("")
    notifier.alive("")
    notifier.stopping()
    notifier.close()


@pytest.mark.parametrize(("text", "expected"), [("30000000", 30.0), ("", None), ("soon", None)])
def test_the_watchdogs_period_is_read(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    assert Notifier().watchdog_s == expected
