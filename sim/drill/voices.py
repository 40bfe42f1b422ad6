"""What the station's AIS receiver hears in a drill: a thread that sends each sentence when it is due."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import structlog

from sim.drill.flier import LiveItems
from sim.range.faults.engine import spell_of
from sim.range.faults.kinds import KINDS
from sim.scenario.description import Scenario
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.flown.items import AisItem, Injector
from sim.scenario.flown.streams import ais_items
from sim.scenario.tables.faults import Fault
from sim.scenario.world import World
from skywarden.clock import NS_PER_S

_log = structlog.get_logger("drill")

_LONGEST_WAIT_S = 0.2
_BURST, _REST_S = 32, 0.005


class Voices:
    """Everybody's AIS; `fleet` is what vessels do as it is now. Deeds and faults may come in between."""

    def __init__(self, scenario: Scenario, port: int, seconds: float) -> None:
        self._world = World(scenario)
        self._seconds = seconds
        self._target = ("127.0.0.1", port)
        self._faults: list[Injector] = []
        self._items = LiveItems(ais_items(self._world, seconds))
        self._sent_ns = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drill-ais", daemon=True)

    @property
    def fleet(self) -> Fleet:
        """What vessels do."""
        return self._world.fleet

    def start(self) -> None:
        """Begin to send; what was before the drill goes out at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def turn(self, scenario: Scenario) -> None:
        """From now on this is the scenario."""
        fleet = Fleet(scenario, self._world)
        for vessel in scenario.vessels:
            fleet.motion(vessel.id, self._seconds + 60.0)
        with self._lock:
            self._world.scenario = scenario
            self._world.__dict__["fleet"] = fleet
            self._items = LiveItems(iter(list(ais_items(self._world, self._seconds))))
            for injector in self._faults:
                self._items.add(injector)

    def silence(self, fault: Fault, number: int) -> None:
        """A fault of the receiver."""
        make = KINDS[fault.kind].make
        if make is None:
            return
        injector = make(spell_of(fault, number, self._world.scenario, ""))
        with self._lock:
            self._faults.append(injector)
            self._items.add(injector)

    def _run(self) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as out:
            for number, item in enumerate(self._in_turn()):
                while (left_s := (item.time_ns - time.time_ns()) / NS_PER_S) > 0.0:
                    if self._stop.wait(min(left_s, _LONGEST_WAIT_S)):
                        return
                if number % _BURST == _BURST - 1:
                    self._stop.wait(_REST_S)  # UDP never says that it is full
                try:
                    out.sendto(item.line + b"\r\n", self._target)
                except ConnectionRefusedError:
                    continue
                except OSError as error:
                    _log.error("AIS ended", reason=str(error))
                    return

    def _in_turn(self) -> Iterator[AisItem]:
        """The next sentence that was not sent, by the scenario of that moment."""
        while not self._stop.is_set():
            with self._lock:
                item = next(self._items, None)
            if item is None:
                self._stop.wait(_LONGEST_WAIT_S)  # a deed may give it more to say
                continue
            if isinstance(item, AisItem) and item.time_ns >= self._sent_ns:
                self._sent_ns = item.time_ns
                yield item
