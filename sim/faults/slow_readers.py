"""Readers of the live stream that take a little a second, each a plain socket: for scenario S15."""

import json
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_TAKEN_BYTES = 200
_PERIOD_S = 1.0


@dataclass(slots=True)
class SlowReader:
    """One connection; what it saw, and whether it was told to start anew."""

    connection: socket.socket
    data: bytearray = field(default_factory=bytearray)
    sightings: set[str] = field(default_factory=set)
    resyncs: int = 0
    revision: int = 0
    taken: int = 0
    is_closed: bool = False

    def take(self, most: int) -> int:
        """Read at most so many bytes of what is there; how many there were."""
        try:
            got = self.connection.recv(most)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_closed = True
            return 0
        self.is_closed = not got
        self.data += got
        self.taken += len(got)
        self._parse()
        return len(got)

    def _parse(self) -> None:
        while (end := self.data.find(b"\n\n")) >= 0:
            lines = bytes(self.data[:end]).split(b"\n")
            del self.data[: end + 2]
            fields = dict(line.split(b": ", 1) for line in lines if b": " in line)
            self.revision = max(self.revision, int(fields.get(b"id", b"0")))
            if fields.get(b"event") == b"resync":
                self.resyncs += 1
            elif fields.get(b"event") == b"sighting":
                self.sightings.add(str(json.loads(fields[b"data"])["sighting_id"]))


class SlowReaders:
    """One for each authorization, drained by one thread at 200 bytes a second; `catch_up` reads all."""

    def __init__(self, address: str, path: str, authorizations: Sequence[str]) -> None:
        host, _, port = address.rpartition(":")
        self.readers: list[SlowReader] = []
        for authorization in authorizations:
            request = (
                f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n"
                f"Authorization: {authorization}\r\n\r\n"
            ).encode("ascii")
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.connect((host, int(port)))
            one.sendall(request)
            one.setblocking(False)
            self.readers.append(SlowReader(one))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow readers", daemon=True)
        self._thread.start()

    def are_open(self) -> bool:
        """Whether each was answered."""
        return all(one.taken for one in self.readers)

    def catch_up(self, revision: int, limit_s: float) -> bool:
        """Read on at full speed until all have seen `revision`; whether they did in time."""
        self._end()
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            behind = [one for one in self.readers if one.revision < revision and not one.is_closed]
            if not behind:
                return not any(one.is_closed for one in self.readers)
            ready, _, _ = select.select([one.connection for one in behind], [], [], 0.5)
            for one in behind:
                if one.connection in ready:
                    one.take(65_536)
        return False

    def close(self) -> None:
        """End all connections."""
        self._end()
        for one in self.readers:
            one.connection.close()

    def _end(self) -> None:
        self._stopping.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.wait(_PERIOD_S):
            for one in self.readers:
                one.take(_TAKEN_BYTES)
