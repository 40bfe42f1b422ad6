"""Plays flown scenarios into sockets and folders, all platforms and the AIS receiver at once."""

import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sim.replay import Replay, ReplayReport
from sim.replay_outputs import FolderOutput, FrameOutput, MavlinkSocket
from skywarden.ais.payload import checksum
from skywarden.clock import NS_PER_S, Clock, SystemClock
from skywarden.errors import LinkError, SkywardenError, UsageError
from skywarden.flight.reader import FlightReader
from skywarden.mavlink.connection import parse_connection

_LONGEST_WAIT_S = 0.2
_BURST, _REST_S = 32, 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTarget:
    """Where one platform speaks: a MAVLink connection, and the folder that its frames appear in."""

    platform_id: str
    flight: Path
    mavlink: str | None
    frames: Path | None


def live_targets(flights: dict[str, Path], mavlink: str | None, frames: Path | None) -> list[LiveTarget]:
    """One target for each platform: the port counts up, each has a folder of its own.

    Raises `UsageError` where several platforms would have to share one serial port or socket file.
    """
    found = []
    for number, (platform_id, flight) in enumerate(flights.items()):
        connection = mavlink
        if mavlink is not None and number:
            head, _, port = mavlink.rpartition(":")
            if not port.isdigit():
                raise UsageError(f"{mavlink}: several platforms need a connection that ends in a port")
            connection = f"{head}:{int(port) + number}"
        folder = None if frames is None else frames / platform_id if len(flights) > 1 else frames
        found.append(LiveTarget(platform_id=platform_id, flight=flight, mavlink=connection, frames=folder))
    return found


def check_live(platform_ids: Sequence[str], mavlink: str | None, ais: str | None) -> None:
    """Raise `UsageError` for connections that cannot be played to, before anything is drawn for them."""
    targets = live_targets(dict.fromkeys(platform_ids, Path()), mavlink, None)
    if ais is None:
        return
    if parse_connection(ais).kind != "udpout":
        raise UsageError(f"--ais {ais}: AIS goes out as udpout:HOST:PORT")
    for target in targets:
        if target.mavlink == ais:
            raise UsageError(
                f"--ais {ais}: the MAVLink of {target.platform_id} goes there (each further platform has the "
                "next port); choose another port"
            )


class Live:
    """All platforms of one scenario, played once or in a loop."""

    def __init__(
        self,
        targets: list[LiveTarget],
        *,
        ais: tuple[list[tuple[int, bytes]], str] | None = None,
        start_ns: int,
        loop: bool = False,
        keep_frames: int | None = 200,
        clock: Clock | None = None,
    ) -> None:
        """`ais` holds the sentences with their UTC and a udp connection for them."""
        self._targets, self._ais, self._start_ns = targets, ais, start_ns
        self._loop, self._keep_frames = loop, keep_frames
        self._clock = clock or SystemClock()
        self._errors: list[SkywardenError] = []
        self._reports: dict[str, ReplayReport] = {}

    def run(self, stop: threading.Event) -> dict[str, ReplayReport]:
        """Play until the end or until `stop` is set; answers what each platform played.

        Raises the first error of a platform, after the others were stopped.
        """
        with ExitStack() as stack:
            stack.callback(stop.set)
            threads = [
                threading.Thread(target=self._play, args=(target, stop), name=f"live-{target.platform_id}")
                for target in self._targets
            ]
            if self._ais is not None:
                threads.append(threading.Thread(target=self._speak, args=(stop,), name="live-ais"))
            for thread in threads:
                thread.start()
            players = threads[: len(self._targets)]
            while not self._errors and (alive := [one for one in players if one.is_alive()]):
                alive[0].join(_LONGEST_WAIT_S)
            stop.set()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]
        return self._reports

    def _play(self, target: LiveTarget, stop: threading.Event) -> None:
        try:
            reader = FlightReader(target.flight)
            outputs: dict[str, FrameOutput] = {}
            if target.frames is not None and reader.info.sensors:
                sensor_id = reader.info.sensors[0].sensor_id
                outputs[sensor_id] = FolderOutput(target.frames, keep=self._keep_frames)
            self._reports[target.platform_id] = Replay(
                reader,
                mavlink=None if target.mavlink is None else MavlinkSocket(target.mavlink),
                frames=outputs,
                as_live=True,
                loop=self._loop,
                boot_time="continue",
                clock=self._clock,
            ).run(stop)
        except SkywardenError as error:
            self._errors.append(error)

    def _speak(self, stop: threading.Event) -> None:
        assert self._ais is not None
        try:
            AisSpeaker(*self._ais, start_ns=self._start_ns, loop=self._loop, clock=self._clock).run(stop)
        except SkywardenError as error:
            self._errors.append(error)


class AisSpeaker:
    """Sends what the receiver heard: from before the start at once, the rest at its time, stamped anew."""

    def __init__(
        self,
        sentences: list[tuple[int, bytes]],
        connection: str,
        *,
        start_ns: int,
        loop: bool = False,
        round_s: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`sentences` with their UTC, in order; `round_s` is how long one round of a loop takes."""
        self._sentences, self._connection, self._start_ns = sentences, connection, start_ns
        self._loop, self._round_s, self._clock = loop, round_s, clock or SystemClock()

    def run(self, stop: threading.Event) -> None:
        """Send until the end (or for ever) or until `stop` is set; raises `LinkError` where it cannot."""
        with _Datagrams(self._connection) as send:
            begun_ns, begun_utc_ns = self._clock.monotonic_ns(), self._clock.utc_ns()
            for number, (time_ns, line) in enumerate(self._in_rounds()):
                due_ns = time_ns - self._start_ns
                while due_ns > self._clock.monotonic_ns() - begun_ns and not stop.is_set():
                    left_s = (due_ns - (self._clock.monotonic_ns() - begun_ns)) / NS_PER_S
                    stop.wait(min(max(left_s, 0.0), _LONGEST_WAIT_S))
                if number % _BURST == _BURST - 1:
                    stop.wait(_REST_S)  # UDP never says that it is full
                if stop.is_set():
                    return
                send(restamped(line, begun_utc_ns + due_ns) + b"\r\n")

    def _in_rounds(self) -> Iterator[tuple[int, bytes]]:
        """The sentences, and in a loop again those of the scenario itself, each time later."""
        yield from self._sentences
        own = [one for one in self._sentences if one[0] >= self._start_ns]
        if not self._loop or not own:
            return
        last_ns = own[-1][0] - self._start_ns + NS_PER_S
        round_ns = last_ns if self._round_s is None else round(self._round_s * NS_PER_S)
        for rounds in itertools.count(1):
            for time_ns, line in own:
                yield time_ns + rounds * round_ns, line


def restamped(line: bytes, time_ns: int) -> bytes:
    """An AIS line with its TAG block (if it has one) replaced by one that says `time_ns`."""
    sentence = line[line.index(b"\\", 1) + 1 :] if line.startswith(b"\\") else line
    body = f"s:sim,c:{time_ns // NS_PER_S}".encode()
    return b"\\" + body + f"*{checksum(body):02X}".encode() + b"\\" + sentence


class _Datagrams:
    """A socket for AIS datagrams, as a context that gives its `send`."""

    def __init__(self, connection: str) -> None:
        parsed = parse_connection(connection)
        if parsed.kind != "udpout":
            raise UsageError(f"{connection}: AIS goes out as udpout:HOST:PORT")
        self._address = (parsed.host, parsed.port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> "_Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def __call__(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._address)
        except ConnectionRefusedError:
            return  # nobody listens yet; UDP may say so, and the next one may be heard
        except OSError as error:
            raise LinkError(f"AIS to {self._address[0]}:{self._address[1]}: {error}") from error
