"""A bad radio in user space, the same for the same seed: delay, jitter, loss, doubles, reordering, a rate.

`Air` decides for one direction, a plain object. Two rims carry real traffic through it: `UdpProxy` needs no
rights and serves the datagram path; `Radio` lays two TUN devices into network namespaces of their own, so
that real TCP loses real segments (it needs the rights of root on Linux). A proxy cannot take segments out of
TCP, so there is no TCP proxy that pretends to.
"""

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from skywarden.errors import PeerUnavailableError

_CLONE_NEWNET = 0x4000_0000
_TUNSETIFF = 0x4004_54CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_MTU = 1_400
_MAX_CLIENTS = 64

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Weather:
    """What the air does: seconds, shares of packets, bytes a second (0: no limit), seconds of queue.

    A reordered packet leaves at once, without the delay, as in the kernel's netem.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    rate: float = 0.0
    queue_s: float = 0.4


@dataclass(slots=True)
class Air:
    """One direction: told each packet's size and time, it says when copies of it arrive."""

    weather: Weather
    rng: random.Random
    offered: int = 0
    lost: int = 0
    bytes: int = 0
    _free_s: float = 0.0

    def carry(self, size: int, now_s: float) -> list[float]:
        """Arrival times of the packet's copies; none when it is lost."""
        weather, rng = self.weather, self.rng
        self.offered += 1
        self.bytes += size
        out_s = now_s
        if weather.rate:
            begin_s = max(now_s, self._free_s)
            if begin_s - now_s > weather.queue_s:
                self.lost += 1
                return []
            out_s = self._free_s = begin_s + size / weather.rate
        if rng.random() < weather.loss:
            self.lost += 1
            return []
        copies = 2 if rng.random() < weather.double else 1
        return [out_s + self._delay_s() for _ in range(copies)]

    def _delay_s(self) -> float:
        if self.rng.random() < self.weather.reorder:
            return 0.0
        return max(0.0, self.weather.delay_s + self.rng.uniform(-1.0, 1.0) * self.weather.jitter_s)


@dataclass(slots=True)
class _Pending:
    """Packets in the air, by their arrival."""

    heap: list[tuple[float, int, Callable[[bytes], object], bytes]] = field(default_factory=list)
    count: int = 0

    def add(self, air: Air, deliver: Callable[[bytes], object], packet: bytes, now_s: float) -> None:
        for due_s in air.carry(len(packet), now_s):
            self.count += 1
            heapq.heappush(self.heap, (due_s, self.count, deliver, packet))

    def deliver_due(self) -> float:
        """Hand over what has arrived; milliseconds until the next."""
        now_s = time.monotonic()
        while self.heap and self.heap[0][0] <= now_s:
            _, _, deliver, packet = heapq.heappop(self.heap)
            with contextlib.suppress(OSError):
                deliver(packet)
        return 50.0 if not self.heap else max(0.0, min(50.0, 1_000 * (self.heap[0][0] - now_s)))


class _Carrier:
    """What both rims share: a thread, two airs, a way to change the weather."""

    def __init__(self, weather: Weather, seed: int, name: str) -> None:
        self.up = Air(weather, random.Random(seed))
        self.down = Air(weather, random.Random(seed + 1))
        self._pending = _Pending()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def set_weather(self, weather: Weather) -> None:
        """From now on, both ways."""
        self.up.weather = self.down.weather = weather

    def _run(self) -> None:
        raise NotImplementedError


class UdpProxy(_Carrier):
    """Takes datagrams on a port of its own and passes them to `target` and back, through the weather."""

    def __init__(self, target: tuple[str, int], weather: Weather, seed: int = 1) -> None:
        super().__init__(weather, seed, "netem.udp")
        self._target = target
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._clients: dict[tuple[str, int], socket.socket] = {}
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stopping.set()
        self._thread.join(2.0)
        for one in (self._socket, *self._clients.values()):
            one.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_ms = self._pending.deliver_due()
            sockets = [self._socket, *self._clients.values()]
            ready, _, _ = select.select(sockets, [], [], wait_ms / 1_000)
            now_s = time.monotonic()
            for one in ready:
                with contextlib.suppress(OSError):
                    self._pass_on(one, now_s)

    def _pass_on(self, one: socket.socket, now_s: float) -> None:
        for _ in range(64):
            data, sender = one.recvfrom(65_536)
            if one is self._socket:
                upstream = self._upstream(sender)
                if upstream is not None:
                    self._pending.add(self.up, partial(socket.socket.send, upstream), data, now_s)
            else:
                client = next(name for name, other in self._clients.items() if other is one)
                self._pending.add(self.down, partial(self._answer, client), data, now_s)

    def _answer(self, client: tuple[str, int], packet: bytes) -> None:
        self._socket.sendto(packet, client)

    def _upstream(self, client: tuple[str, int]) -> socket.socket | None:
        if client not in self._clients and len(self._clients) < _MAX_CLIENTS:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setblocking(False)
            made.connect(self._target)
            self._clients[client] = made
        return self._clients.get(client)


class Island:
    """A thread in a network namespace of its own with one TUN device; what it starts lives there too.

    Raises `PeerUnavailableError` when the machine does not allow it.
    """

    def __init__(self, address: str, peer: str) -> None:
        self._address, self._peer = address, peer
        self._jobs: list[tuple[Callable[[], object], list[object], threading.Event]] = []
        self._due = threading.Semaphore(0)
        self._is_over = False
        self.tun = -1
        self._problem: str | None = None
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"island {address}", daemon=True)
        self._thread.start()
        self._is_up.wait(10.0)
        if self._problem is not None or self.tun < 0:
            raise PeerUnavailableError(f"no network namespace with a TUN device: {self._problem}")

    def call(self, job: Callable[[], Result]) -> Result:
        """Run `job` in the namespace and give back what it returns; its exceptions come through."""
        outcome: list[Any] = []
        done = threading.Event()
        self._jobs.append((job, outcome, done))
        self._due.release()
        done.wait()
        if outcome[0] is not None:
            assert isinstance(outcome[0], BaseException)
            raise outcome[0]
        result: Result = outcome[1]
        return result

    def close(self) -> None:
        """End the thread; the namespace goes with its last thread and socket."""
        self._is_over = True
        self._due.release()
        self._thread.join(5.0)
        if self.tun >= 0:
            os.close(self.tun)
            self.tun = -1

    def _run(self) -> None:
        try:
            self._settle()
        except (OSError, subprocess.SubprocessError) as error:
            self._problem = str(error)
            return
        finally:
            self._is_up.set()
        while True:
            self._due.acquire()
            if self._is_over:
                return
            job, outcome, done = self._jobs.pop(0)
            try:
                outcome += [None, job()]
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                outcome += [error]
            done.set()

    def _settle(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"unshare: {os.strerror(number)}")
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"radio0", _IFF_TUN_NO_PI))
            for words in (
                ("link", "set", "lo", "up"),
                ("addr", "add", self._address, "peer", self._peer, "dev", "radio0"),
                ("link", "set", "radio0", "mtu", str(_MTU), "txqueuelen", "1000", "up"),
            ):
                subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)
        except BaseException:
            os.close(tun)
            raise
        self.tun = tun


class Radio(_Carrier):
    """Two islands, `edge` (10.77.0.1) and `ground` (10.77.0.2), with the weather between them.

    Raises `PeerUnavailableError` where namespaces or TUN devices are not allowed.
    """

    EDGE, GROUND = "10.77.0.1", "10.77.0.2"

    def __init__(self, weather: Weather, seed: int = 1) -> None:
        super().__init__(weather, seed, "netem.radio")
        self.edge = Island(self.EDGE, self.GROUND)
        try:
            self.ground = Island(self.GROUND, self.EDGE)
        except PeerUnavailableError:
            self.edge.close()
            raise
        self._thread.start()

    def close(self) -> None:
        """End it; what runs on the islands should have been stopped before."""
        self._stopping.set()
        self._thread.join(2.0)
        self.edge.close()
        self.ground.close()

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self.edge.tun, select.POLLIN)
        poller.register(self.ground.tun, select.POLLIN)
        ways = ((self.edge.tun, self.ground.tun, self.up), (self.ground.tun, self.edge.tun, self.down))
        while not self._stopping.is_set():
            poller.poll(self._pending.deliver_due())
            now_s = time.monotonic()
            for source, target, air in ways:
                with contextlib.suppress(BlockingIOError):
                    for _ in range(64):
                        packet = os.read(source, 65_536)
                        self._pending.add(air, partial(os.write, target), packet, now_s)
