"""The worker's core: telemetry, recording, outbox, link and the watch over the vision processes.

One working loop ties them: it takes MAVLink frames from the port's thread, hands them to the vision
processes, takes their answers, commits what must not be lost, and tells systemd, Prometheus and the autopilot
that it turns. Detection runs in processes of its own (edge/vision/process.py): a crash in a decoder or in
inference loses no telemetry and nothing that was committed.
"""

import itertools
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
import structlog

from edge.bus import (
    ALIVE,
    MESSAGE,
    MODELS,
    Alive,
    CoreBus,
    Endpoints,
    decode_alive,
    decode_models,
    decode_note,
    split_result,
)
from edge.conditions import ConditionBoard
from edge.config import EdgeConfig, SensorConfig
from edge.link.backlog import Backlog, Entry
from edge.link.downlink import Downlink
from edge.link.outbox import Outbox
from edge.link.thin_link import ThinLink
from edge.mavlink_port import MavlinkPort
from edge.metrics import Metrics, MetricsServer
from edge.models_aboard.control_socket import ControlSocket
from edge.models_aboard.core import ModelsCore
from edge.models_aboard.orders import CONDITION as MODEL_CONDITION
from edge.models_aboard.orders import ModelOrder
from edge.pose.telemetry import TelemetryNode
from edge.recorder import Recorder
from edge.supervisor import Child, python_module
from edge.throttle_watch import ThrottleWatch, read_counters
from edge.triage.core import TriageCore
from skywarden import wire
from skywarden.clock import NS_PER_S, Clock
from skywarden.errors import StoreError, WireError
from skywarden.link.thin import SALT_BYTES, ThinKey, ThinSealer
from skywarden.messages import Health, Message, Sighting
from skywarden.systemd import Notifier
from skywarden.times import basic_utc
from skywarden.topics import topic_of

log = structlog.get_logger("edge")

MAX_WAITING_FRAMES = 20_000
POSE_PERIOD_NS = NS_PER_S // 2
TEND_PERIOD_NS = NS_PER_S // 10
STATUS_PERIOD_NS = NS_PER_S
HANG_S = 10.0
START_S = 30.0
"""So long a vision process may take to load each of its detectors."""
GRACE_NS = 5 * NS_PER_S
"""So long after the start nobody is told that nothing was heard yet."""
STOP_S = 3.0


class EdgeWorker:
    """Runs one platform's sortie until it is told to stop."""

    def __init__(self, config: EdgeConfig, config_path: Path, state: Path, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        flights = Path(config.recorder.folder) if config.recorder.folder else state / "flights"
        self.sortie_id = free_sortie_id(flights, clock.utc_ns(), config.platform_id)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._private = tempfile.TemporaryDirectory(prefix="skywarden-")
        self._endpoints = Endpoints.in_folder(Path(self._private.name))
        self._bus = CoreBus(self._endpoints)
        self._telemetry = TelemetryNode(config.mavlink, platform_id=config.platform_id)
        self._waiting: deque[tuple[int, bytes]] = deque(maxlen=MAX_WAITING_FRAMES)
        self._board = ConditionBoard(config.platform_id)
        self._throttle = ThrottleWatch()
        self._outbox = Outbox(
            state / "outbox.sqlite",
            config.platform_id,
            max_bytes=config.link.outbox_max_bytes,
            clock=clock,
        )
        self._backlog = Backlog(self._outbox)
        self._outbox_state = self._outbox.state()
        self._models_dir = state / "models"
        self._told_orders: tuple[ModelOrder, ...] = ()
        self._models = ModelsCore([sensor.camera.sensor_id for sensor in config.sensor], clock.monotonic_ns)
        self._control = ControlSocket(state, self._models)
        self._triage = TriageCore(
            config.triage,
            config.platform_id,
            self._outbox,
            state,
            looks=config.looks,
            sensors=[sensor.camera.sensor_id for sensor in config.sensor],
            models=self._models,
        )
        self._downlink = self._make_downlink(state)
        self._thin = self._make_thin_link(state)
        self._recorder = Recorder(config, self.sortie_id, flights)
        self._port = MavlinkPort(config.mavlink, on_frame=self._heard)
        self._metrics = Metrics(config.platform_id)
        self._web = MetricsServer(config.metrics.listen, self._metrics, self._is_ready)
        self._notifier = Notifier()
        self._stop = threading.Event()
        self._started_ns = clock.monotonic_ns()
        self.stopped_by: int | None = None
        self._config_path = config_path
        self._alive: dict[str, Alive] = {}
        self._last_frame: dict[str, int] = {}
        self._children = {sensor.camera.sensor_id: self._child(sensor) for sensor in config.sensor}
        self._next_pose_ns = self._next_tend_ns = self._next_status_ns = self._next_control_ns = 0

    def run(self) -> None:
        """Work until `stop` or a signal; returns after a clean stop (at most 5 s)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._port.start()
        if self._downlink is not None:
            self._downlink.start()
        self._web.start()
        self._control.start()
        self._notifier.ready(f"sortie {self.sortie_id}")
        log.info(
            "started",
            sortie=self.sortie_id,
            mavlink=self._config.mavlink.connection,
            sensors=sorted(self._children),
            recording=str(self._recorder.path or "off"),
            metrics=self._web.address,
        )
        try:
            while not self._stop.is_set():
                self._turn()
        finally:
            self._close()

    def stop(self) -> None:
        """Ask the working loop to end; may be called from any thread."""
        self._stop.set()

    def _turn(self) -> None:
        self._pass_telemetry()
        self._take_results(timeout_ms=5)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_tend_ns:
            self._next_tend_ns = now_ns + TEND_PERIOD_NS
            self._tend(now_ns)
        if now_ns >= self._next_pose_ns:
            self._next_pose_ns = now_ns + POSE_PERIOD_NS
            self._send_pose()
        if now_ns >= self._next_status_ns:
            self._next_status_ns = now_ns + STATUS_PERIOD_NS
            self._report(now_ns)

    def _heard(self, received_ns: int, raw: bytes) -> None:
        if len(self._waiting) == MAX_WAITING_FRAMES:
            self._metrics.telemetry_overflow.inc()
        self._waiting.append((received_ns, raw))

    def _pass_telemetry(self) -> None:
        for _ in range(len(self._waiting)):
            received_ns, raw = self._waiting.popleft()
            self._recorder.telemetry(received_ns, raw)
            self._bus.publish(received_ns, raw)
            self._telemetry.handle(received_ns, raw)
            self._metrics.telemetry.inc()

    def _take_results(self, timeout_ms: int) -> int:
        """Take what the vision processes say; how many things that was."""
        durable: list[Entry] = []
        results = self._bus.receive(timeout_ms)
        for parts in results:
            try:
                self._take(parts, durable)
            except WireError as error:
                log.error("a vision process said something unreadable", error=str(error))
        if durable:
            self._backlog.append_many(durable)
        return len(results)

    def _take(self, parts: list[bytes], durable: list[Entry]) -> None:
        kind, sensor_id, rest = split_result(parts)
        if sensor_id not in self._children:
            raise WireError(f"a result from sensor {sensor_id[:40]!r}, which is not configured")
        if kind == MESSAGE:
            self._take_message(rest[0].decode("ascii", "replace"), rest[1], durable)
        elif kind == ALIVE:
            alive = decode_alive(rest[0])
            self._alive[sensor_id] = alive
            self._last_frame[sensor_id] = alive.last_frame_number
            self._children[sensor_id].alive(self._clock.monotonic_ns())
        elif kind == MODELS:
            self._models.heard(sensor_id, decode_models(rest[0]))
        else:
            note = decode_note(rest[0])
            self._recorder.image(sensor_id, note.frame_number, note.stamp_ns, rest[1], note.suffix)

    def _take_message(self, topic_name: str, body: bytes, durable: list[Entry]) -> None:
        message = wire.decode(topic_name, body)
        self._metrics.count_message(topic_name)
        if isinstance(message, Health):
            self._note(message)
        elif topic_of(message).policy == "durable":
            if isinstance(message, Sighting):
                self._thin.see(message, self._clock.monotonic_ns() / NS_PER_S)
            durable += self._triage.graded(
                topic_name, message, body, self._clock.utc_ns(), self._clock.monotonic_ns()
            )
        else:
            self._offer(topic_name, message, body)

    def _note(self, health: Health) -> None:
        if health.condition == MODEL_CONDITION:  # each is news: which model flies from now on
            self._say(health)
        elif health.state == "ok":
            self._say(self._board.end(health.component, health.condition, health.time_ns, health.text))
        else:
            self._say(
                self._board.begin(
                    health.component,
                    health.condition,
                    health.state,
                    health.text,
                    health.time_ns,
                    health.values,
                )
            )

    def _say(self, health: Health | None) -> None:
        """Log a condition's begin or end, and send it to the ground."""
        if health is None:
            return
        write = log.info if health.state == "ok" else log.warning
        write(health.condition, component=health.component, state=health.state, text=health.text)
        self._backlog.append_many([("health", health.time_ns, wire.encode(health))])

    def _tend(self, now_ns: int) -> None:
        utc_ns = self._clock.utc_ns()
        for name, child in self._children.items():
            state = child.tend(now_ns)
            if state != "running":
                self._alive.pop(name, None)
                self._models.forget(name)
            self._say(
                self._board.set(
                    state != "running",
                    f"vision.{name}",
                    "not_running",
                    "failed" if state == "degraded" else "degraded",
                    f"the vision process {child.last_end}; start {child.start_count + 1} follows"
                    if state == "waiting"
                    else f"the vision process {child.last_end} too often; tried once a minute",
                    utc_ns,
                )
            )
        self._models.tend({name: child.start_count for name, child in self._children.items()})
        self._tend_triage(now_ns)
        self._recorder.tend(now_ns)
        self._port.beat(self._board.worst)
        for name, fields in self._thin.due(now_ns / NS_PER_S, is_ground_up=self._is_link_up()):
            self._port.say(name, fields)

    def _tend_triage(self, now_ns: int) -> None:
        """Answer what operators asked for, and tell the vision processes what is wanted of them."""
        self._backlog.append_many(self._triage.tend(self._clock.utc_ns()))
        orders = self._models.orders()
        if now_ns >= self._next_control_ns or orders != self._told_orders:
            self._told_orders = orders
            self._next_control_ns = now_ns + STATUS_PERIOD_NS
            link = self._downlink.state() if self._downlink is not None else None
            goodput = link.goodput_bytes_per_s if link is not None else None
            rate = link.capacity_bytes_per_s if link is not None and link.is_up and link.takes_looks else 0.0
            control = self._triage.control(goodput, self._config.link.rate_cap_bytes_per_s, rate)
            self._bus.control(msgspec.structs.replace(control, model_orders=orders))
            why = (
                self._triage.why_no_live(rate, now_ns / NS_PER_S) if link is not None and link.is_up else None
            )
            utc_ns = self._clock.utc_ns()
            self._say(self._board.set(why is not None, "looks", "no_room", "degraded", why or "", utc_ns))

    def _send_pose(self) -> None:
        pose = self._telemetry.platform_pose(self._config.platform_id, self.sortie_id, self._clock.utc_ns())
        if pose is not None:
            self._offer("pose", pose, wire.encode(pose))

    def _offer(self, topic_name: str, message: Message, body: bytes) -> None:
        if self._downlink is not None:
            self._downlink.offer_newest(topic_name, newest_key(message), self._clock.utc_ns(), body)

    def _report(self, now_ns: int) -> None:
        utc_ns = self._clock.utc_ns()
        if now_ns - self._started_ns > GRACE_NS:
            for health in self._telemetry.conditions(utc_ns):
                self._note(health)
        fault = self._recorder.fault
        self._say(self._board.set(fault is not None, "recorder", "stopped", "failed", fault or "", utc_ns))
        self._say(
            self._board.set(
                not self._recorder.has_space,
                "recorder",
                "disk_full",
                "degraded",
                f"less than {self._config.recorder.min_free_bytes / 1e9:.1f} GB free: images are not kept",
                utc_ns,
            )
        )
        held_back = self._throttle.look(read_counters(), now_ns / NS_PER_S)
        self._say(
            self._board.set(
                held_back is not None, "computer", "throttled", "degraded", held_back or "", utc_ns
            )
        )
        if self._downlink is not None and now_ns - self._started_ns > GRACE_NS:
            self._note(self._downlink.health(utc_ns))
        self._report_outbox(utc_ns)
        self._metrics.update(self._alive, self._outbox_state, self._is_link_up(), self._children)
        self._notifier.alive(self._summary())

    def _report_outbox(self, utc_ns: int) -> None:
        """How the outbox is; when the disk refuses, records wait in memory and the flight goes on."""
        self._backlog.flush()
        fault = self._backlog.fault
        try:
            health, self._outbox_state = self._outbox.health(utc_ns), self._outbox.state()
            self._outbox.tidy()
            self._note(health)
        except StoreError as error:
            fault = fault or str(error)
        text = f"{fault}; {len(self._backlog)} records wait in memory, {self._backlog.lost_count} are lost"
        self._say(self._board.set(fault is not None, "outbox", "refused", "failed", text, utc_ns))

    def _summary(self) -> str:
        rates = " ".join(f"{name} {alive.frames_per_s:.1f}/s" for name, alive in sorted(self._alive.items()))
        return f"{self.sortie_id}: {rates or 'no frames yet'}, {self._outbox_state.held} waiting to be sent"

    def _make_downlink(self, state: Path) -> Downlink | None:
        if not self._config.link.ground:
            log.warning("no ground station configured (link.ground): what is found waits in the outbox")
            return None
        key_pair = self._config.link.key_pair(state)
        evidence_key = self._config.link.evidence_key(state)
        return Downlink(
            self._config.link,
            self._outbox,
            key_pair,
            evidence_key=evidence_key,
            on_tasking=self._triage.on_tasking,
            clock=self._clock,
        )

    def _make_thin_link(self, state: Path) -> ThinLink:
        """Sightings by the telemetry radio; sealed where the station's key is known."""
        config, link, sealer = self._config.thin_link, self._config.link, None
        if config.mode != "off" and link.ground_public_key:
            key = ThinKey.agree(link.key_pair(state).secret, link.ground_key())
            sealer = ThinSealer(key, os.urandom(SALT_BYTES))
        elif config.mode != "off":
            log.warning("thin_link without link.ground_public_key: only what everybody can read is sent")
        return ThinLink(config, sealer)

    def _is_link_up(self) -> bool:
        return self._downlink is not None and self._downlink.state().is_up

    def _is_ready(self) -> bool:
        return all(name in self._alive for name in self._children) and self._telemetry.is_heard

    def _child(self, sensor: SensorConfig) -> Child:
        sensor_id = sensor.camera.sensor_id

        def argv(start: int) -> list[str]:
            return [
                *python_module("edge.vision.process"),
                *("--config", str(self._config_path), "--sensor", sensor_id, "--sortie", self.sortie_id),
                *("--telemetry", self._endpoints.telemetry, "--results", self._endpoints.results),
                *("--frames", str(self._triage.frames_dir), "--models", str(self._models_dir)),
                *("--incarnation", str(start), "--first-frame", str(self._next_frame(sensor_id, start))),
            ]

        return Child(f"vision.{sensor_id}", argv, hang_s=HANG_S, start_s=START_S * len(sensor.detectors))

    def _next_frame(self, sensor_id: str, start: int) -> int:
        """Frame numbers rise through a sortie, also over restarts: 1000 more cover frames never reported."""
        return self._last_frame.get(sensor_id, 0) + 1000 * start

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by = number
        self._stop.set()

    def _close(self) -> None:
        self._notifier.stopping()
        self._models.close()
        self._control.stop()
        stops: list[Callable[[], object]] = [partial(child.stop, 2.0) for child in self._children.values()]
        stops.append(self._port.stop)
        threads = [threading.Thread(target=stop, name="stop", daemon=True) for stop in stops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STOP_S)
        self._pass_telemetry()
        self._take_last_results()
        if self._downlink is not None:
            self._downlink.stop()
        self._triage.close()
        self._recorder.close()
        self._backlog.flush()
        self._outbox.close()
        self._web.stop()
        self._bus.close()
        self._notifier.close()
        self._private.cleanup()
        log.info("stopped", sortie=self.sortie_id, telemetry=self._recorder.telemetry_count)

    def _take_last_results(self) -> None:
        """What the vision processes still said before they ended."""
        deadline_ns = self._clock.monotonic_ns() + NS_PER_S // 2
        while self._take_results(timeout_ms=20) and self._clock.monotonic_ns() < deadline_ns:
            pass


def free_sortie_id(flights: Path, time_ns: int, platform_id: str) -> str:
    """The name of a sortie that begins at `time_ns` and that no flight in the folder `flights` has.

    A computer whose clock starts at the same time after every power-up must not give the same ids twice: the
    ground would take the second sortie's sightings for those of the first.
    """
    base = f"{basic_utc(time_ns)}_{platform_id}"
    try:
        taken = {path.name for path in flights.iterdir()}
    except OSError:
        return base
    numbered = (f"{base}-{number}" for number in itertools.count(2))
    return base if base not in taken else next(name for name in numbered if name not in taken)


def newest_key(message: Message) -> str:
    """Of which things only the latest message matters: a track, a sensor, the platform."""
    for name in ("track_id", "sensor_id", "platform_id"):
        if name in message.__struct_fields__:
            return str(getattr(message, name))
    return ""
