"""The rim of AIS: one thread for each receiver or feed, which opens its connection again and again.

Nothing is ever sent. What comes in is cut to lines (or MAVLink frames), stamped, and handed on; whoever can
reach an open UDP port can say anything there, as anybody with a radio can on AIS itself.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from ground.ais.config import AIS_BAUD, AisSourceConfig
from skywarden.ais.reports import Report, read_report
from skywarden.ais.sentences import LineSplitter, SentenceCounts, SentenceReader
from skywarden.ais.vessel_message import read_vessel
from skywarden.clock import Clock
from skywarden.errors import InputError, LinkError, WireError
from skywarden.mavlink.connection import parse_connection
from skywarden.mavlink.framing import Framer
from skywarden.mavlink.transports import Transport, open_transport

_log = structlog.get_logger("ground.ais")

OnReports = Callable[[str, tuple[Report, ...]], None]

_READ_S = 0.2
_MAX_PEERS = 32
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0
_FILE_BYTES = 65_536
MAX_FILE_BYTES = 4_000_000_000


@dataclass(slots=True)
class SourceCounts:
    """What came from one source: bytes, what became of the lines, reports, payloads that were none."""

    bytes: int = 0
    reports: int = 0
    damaged: int = 0
    sentences: SentenceCounts = field(default_factory=SentenceCounts)


class SourceReader:
    """Bytes of one source to reports; without sockets. Peers of a datagram port are told apart."""

    def __init__(self, form: str) -> None:
        self._form = form
        self.counts = SourceCounts()
        self._sentences = SentenceReader()
        self.counts.sentences = self._sentences.counts
        self._splitters: dict[object, LineSplitter] = {}
        self._framers: dict[object, Framer] = {}

    def feed(
        self, peer: object, data: bytes, received_ns: int | None, *, is_whole: bool = False
    ) -> tuple[Report, ...]:
        """The reports that these bytes complete; `is_whole`: a datagram, which ends a line."""
        self.counts.bytes += len(data)
        found: list[Report] = []
        if self._form == "mavlink":
            framer = self._of(self._framers, peer, Framer)
            for frame in framer.feed(data):
                found += read_vessel(frame, received_ns or 0)
        else:
            splitter = self._of(self._splitters, peer, LineSplitter)
            for line in splitter.feed(data):
                found += self.line(line, received_ns)
            if is_whole and (rest := splitter.end()):
                found += self.line(rest, received_ns)
        self.counts.reports += len(found)
        return tuple(found)

    def line(self, line: bytes, received_ns: int | None) -> tuple[Report, ...]:
        """The reports of one line."""
        heard = self._sentences.take(line.strip(), received_ns)
        if heard is None or heard.is_own:
            return ()
        try:
            return read_report(heard)
        except WireError:
            self.counts.damaged += 1
            return ()

    @staticmethod
    def _of(known: dict[object, Any], peer: object, make: Callable[[], Any]) -> Any:
        if peer not in known and len(known) >= _MAX_PEERS:
            del known[next(iter(known))]
        return known.setdefault(peer, make())


class AisSource:
    """Thread `ground.ais.NAME`: reads one source and hands reports to `on_reports(name, reports)`."""

    def __init__(self, config: AisSourceConfig, on_reports: OnReports, clock: Clock) -> None:
        self.config = config
        self.reader = SourceReader(config.format)
        self._connection = parse_connection(config.connection, baud=AIS_BAUD)
        self._on_reports = on_reports
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ground.ais.{config.name}", daemon=True)
        self.address: tuple[str, int] | None = None
        self.fault: str | None = None
        self.is_open = False
        self.is_done = False
        self.heard_ns: int | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within 2 s."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                if self._connection.kind == "file":
                    self._play(Path(self._connection.path).expanduser())
                    self.is_done = True
                    return
                self._serve(open_transport(self._connection))
                wait_s = _FIRST_WAIT_S
            except (OSError, LinkError, InputError) as error:
                if self.fault is None:
                    _log.warning("no AIS from here", source=self.config.name, reason=str(error))
                if self.is_open:
                    wait_s = _FIRST_WAIT_S
                self.fault, self.is_open = str(error), False
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _serve(self, transport: Transport) -> None:
        self.address, self.fault, self.is_open = transport.address, None, True
        is_datagram = self._connection.kind in ("udpin", "udpout", "udpbcast", "mcast")
        try:
            while not self._stopping.is_set():
                for peer, data in transport.read(_READ_S):
                    self._take(peer, data, is_whole=is_datagram)
        finally:
            transport.close()
            self.is_open = False

    def _play(self, path: Path) -> None:
        """A file, once, as fast as it reads; lines without a time of their own count as heard now."""
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes are over the limit of {MAX_FILE_BYTES}")
        self.is_open = True
        with path.open("rb") as file:
            while not self._stopping.is_set() and (data := file.read(_FILE_BYTES)):
                self._take("file", data, is_whole=False)
        self._take("file", b"\n", is_whole=True)
        self.is_open = False

    def _take(self, peer: object, data: bytes, *, is_whole: bool) -> None:
        now_ns = self._clock.utc_ns()
        reports = self.reader.feed(peer, data, now_ns, is_whole=is_whole)
        if reports:
            self.heard_ns = now_ns
            self._on_reports(self.config.name, reports)
