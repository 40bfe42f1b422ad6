"""One platform of a drill, flown live in a process of its own: MAVLink into a socket, frames into a folder.

Pictures are drawn while they are due, so that what is ordered in flight is seen at once. A frame that cannot
be drawn in time is left out, as a camera leaves one out. What each frame truly shows is written beside.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import msgspec

from sim.range.faults.engine import spell_of
from sim.range.faults.kinds import KINDS
from sim.replay_outputs import FolderOutput, MavlinkSocket, Picture
from sim.scenario.cast import Cast
from sim.scenario.description import Scenario
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.flown.items import FrameItem, Injector, Item, TelemetryItem
from sim.scenario.flown.streams import frame_items, telemetry_items
from sim.scenario.platform import PlatformTruth
from sim.scenario.render import Renderer
from sim.scenario.tables.faults import Fault
from sim.scenario.truth import TruthMaker, encode_lines
from sim.scenario.world import World
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError, SkywardenError

_LONGEST_WAIT_S = 0.2
_KEEP_FRAMES = 60
_READY_S = 600.0
_STOP_S = 10.0


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Fly from now on: the scenario with its true start."""

    scenario: Scenario


class Turn(msgspec.Struct, frozen=True, kw_only=True, tag="turn"):
    """From now on this is the scenario."""

    scenario: Scenario


class Break(msgspec.Struct, frozen=True, kw_only=True, tag="break"):
    """A fault befalls this platform."""

    fault: Fault
    number: int


class Halt(msgspec.Struct, frozen=True, kw_only=True, tag="halt"):
    """Fly no more."""


Word = Begin | Turn | Break | Halt


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """Where a platform flies to: MAVLink connection, folder of frames, file of truth, scratch folder."""

    scenario: Scenario
    platform_id: str
    mavlink: str
    inbox: Path
    truth: Path
    scratch: Path
    seconds: float
    fps: float


class Flier:
    """The process, as the drill holds it."""

    def __init__(self, flight: Flight) -> None:
        self.platform_id = flight.platform_id
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_fly, args=(theirs, flight), name=f"drill-{flight.platform_id}", daemon=True
        )
        self._process.start()
        theirs.close()

    def wait_ready(self, limit_s: float = _READY_S) -> None:
        """Return when the ground is painted; raises `FlightError`."""
        if not self._ours.poll(limit_s):
            raise FlightError(f"{self.platform_id} was not ready within {limit_s:.0f} s")
        self._heard()

    def tell(self, word: Word) -> None:
        """Say something to the process; raises `FlightError` when it is gone."""
        self.check()
        try:
            self._ours.send_bytes(msgspec.json.encode(word))
        except OSError as error:
            raise FlightError(f"{self.platform_id} flies no more ({error.strerror})") from error

    def check(self) -> None:
        """Raise `FlightError` when it has failed."""
        while self._ours.poll(0.0):
            self._heard()
        if not self._process.is_alive():
            raise FlightError(f"{self.platform_id} ended with code {self._process.exitcode}")

    def stop(self) -> None:
        """End it; may be called twice."""
        if self._process.is_alive():
            try:
                self._ours.send_bytes(msgspec.json.encode(Halt()))
            except OSError:
                self._process.terminate()
            self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_STOP_S)
        self._ours.close()

    def _heard(self) -> None:
        try:
            text = self._ours.recv_bytes(8_192).decode()
        except (EOFError, OSError) as error:
            raise FlightError(f"{self.platform_id} ended early") from error
        if text.startswith("error "):
            raise FlightError(f"{self.platform_id}: {text[6:]}")


class LiveWorld:
    """World, camera and pictures of one platform, whose vessels may be told something else in flight."""

    def __init__(self, scenario: Scenario, platform_id: str) -> None:
        self.world = World(scenario)
        self.platform_id = platform_id
        self.renderer = Renderer(self.world, self._truth())

    def turn(self, scenario: Scenario, seconds: float) -> None:
        """From now on `scenario` holds: the land stays as it is, ships follow the new one."""
        fleet = Fleet(scenario, self.world)
        for vessel in scenario.vessels:  # settled before anybody asks: two threads do
            fleet.motion(vessel.id, seconds + 60.0)
        self.world.scenario = scenario
        self.world.__dict__["fleet"] = fleet
        self.renderer.cast = Cast(self.world)

    def begin(self, scenario: Scenario, seconds: float) -> PlatformTruth:
        """The scenario as it is flown, its start included."""
        self.turn(scenario, seconds)
        truth = self._truth()
        self.renderer.truth = truth
        return truth

    def _truth(self) -> PlatformTruth:
        scenario = self.world.scenario
        return PlatformTruth(scenario, scenario.platform(self.platform_id), world=self.world)


class LiveItems:
    """A stream into which a fault can be put while it flows."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._lock:
            return next(self._items)

    def add(self, injector: Injector) -> None:
        """What flows from now on goes through it as well."""
        with self._lock:
            self._items = injector.apply(self._items)


class _Flying:
    """What flies in the process: two threads, telemetry and frames, on one clock."""

    def __init__(self, flight: Flight, live: LiveWorld, scenario: Scenario) -> None:
        self._flight, self._live = flight, live
        self._stop = threading.Event()
        truth = live.begin(scenario, flight.seconds)
        self._scenario = scenario
        self._maker = TruthMaker(live.world, truth)
        self._telemetry = LiveItems(telemetry_items(live.world, truth, flight.seconds))
        self._frames = LiveItems(frame_items(live.world, truth, live.renderer, flight.seconds, flight.fps))
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(job,), name=f"drill-{name}")
            for name, job in (("telemetry", self._speak), ("frames", self._show))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def error(self) -> str | None:
        """What ended it."""
        return self._errors[0] if self._errors else None

    def turn(self, scenario: Scenario) -> None:
        """From now on this is the scenario."""
        self._live.turn(scenario, self._flight.seconds)
        self._scenario = scenario
        self._maker = TruthMaker(self._live.world, self._live.renderer.truth)

    def broken(self, fault: Fault, number: int) -> None:
        """A fault befalls it."""
        make = KINDS[fault.kind].make
        if make is None:
            return
        for stream in (self._telemetry, self._frames):
            stream.add(make(spell_of(fault, number, self._scenario, self._flight.platform_id)))

    def stop(self) -> None:
        """End both threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_STOP_S)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except SkywardenError as error:
            self._errors.append(str(error))
        except OSError as error:
            self._errors.append(f"{error.strerror or error}")

    def _wait_until(self, time_ns: int) -> bool:
        """Sleep until then; False when it is over."""
        while (left_s := (time_ns - time.time_ns()) / NS_PER_S) > 0.0:
            if self._stop.wait(min(left_s, _LONGEST_WAIT_S)):
                return False
        return not self._stop.is_set()

    def _speak(self) -> None:
        output = MavlinkSocket(self._flight.mavlink)
        output.open(self._stop)
        try:
            for item in self._telemetry:
                if not self._wait_until(item.time_ns):
                    return
                if isinstance(item, TelemetryItem):
                    output.send(item.raw)
        finally:
            output.close()

    def _show(self) -> None:
        output = FolderOutput(self._flight.inbox, keep=_KEEP_FRAMES)
        self._flight.truth.parent.mkdir(parents=True, exist_ok=True)
        with self._flight.truth.open("ab") as told:
            for item in self._frames:
                if not isinstance(item, FrameItem):
                    continue
                late_s = (time.time_ns() - item.time_ns) / NS_PER_S
                if late_s > 1.0 / self._flight.fps or self._stop.is_set():
                    if self._stop.is_set():
                        return
                    continue
                picture = self._drawn(item)
                if not self._wait_until(item.time_ns):
                    return
                output.put(item.time_ns, item.frame_number, picture)
                told.write(encode_lines([self._maker.frame(item.frame_number, item.exposed_s)]))
                told.flush()

    def _drawn(self, item: FrameItem) -> Picture:
        data = item.data
        if data is None:
            quality = self._scenario.platform(self._flight.platform_id).camera.jpeg_quality
            options = [cv2.IMWRITE_JPEG_QUALITY, quality] if item.suffix == ".jpg" else []
            is_encoded, made = cv2.imencode(item.suffix, item.pixels(), options)
            if not is_encoded:
                raise FlightError(f"frame {item.frame_number} could not be encoded")
            data = made.tobytes()
        path = self._flight.scratch / f"{self._flight.platform_id}{item.suffix}"
        path.write_bytes(data)
        return Picture(path=path)


def _fly(pipe: Connection, flight: Flight) -> None:
    """The body of the process; says `ready`, or `error SENTENCE`."""
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        stack.callback(pipe.close)
        try:
            live = LiveWorld(flight.scenario, flight.platform_id)
            pipe.send_bytes(b"ready")
            flying: _Flying | None = None
            while True:
                if not pipe.poll(_LONGEST_WAIT_S):
                    if flying is not None and flying.error is not None:
                        raise FlightError(flying.error)
                    continue
                word = msgspec.json.decode(pipe.recv_bytes(), type=Word)
                if isinstance(word, Begin):
                    flying = _Flying(flight, live, word.scenario)
                    stack.callback(flying.stop)
                elif isinstance(word, Halt):
                    return
                elif flying is not None and isinstance(word, Turn):
                    flying.turn(word.scenario)
                elif flying is not None and isinstance(word, Break):
                    flying.broken(word.fault, word.number)
        except SkywardenError as error:
            pipe.send_bytes(f"error {error}".encode()[:4_000])
        except (EOFError, KeyboardInterrupt):
            return
