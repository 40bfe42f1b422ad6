"""The worker's own web port: /metrics for Prometheus, /healthz and /readyz for who watches the service."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from edge.bus import Alive
from edge.link.outbox import OutboxState
from edge.supervisor import Child
from skywarden.errors import ConfigError


class Metrics:
    """Everything that is counted; one registry per worker."""

    def __init__(self, platform_id: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"platform": platform_id}
        prefix = "skywarden_edge"

        def gauge(name: str, text: str, *names: str) -> Gauge:
            return Gauge(f"{prefix}_{name}", text, ("platform", *names), registry=self.registry)

        def counter(name: str, text: str, *names: str) -> Counter:
            return Counter(f"{prefix}_{name}", text, ("platform", *names), registry=self.registry)

        self._platform = labels
        self.telemetry = counter("telemetry_frames", "MAVLink frames taken over").labels(**labels)
        self.telemetry_overflow = counter(
            "telemetry_overflow", "MAVLink frames lost because the working loop was late"
        ).labels(**labels)
        self._messages = counter("messages", "messages from the vision processes", "topic")
        self._frames = gauge("frames_per_second", "frames looked at per second", "sensor")
        self._inference = gauge("inference_milliseconds", "duration of the last inference", "sensor")
        self._dropped = gauge("frames_dropped", "frames passed over for newer ones", "sensor")
        self._misplaced = gauge(
            "detections_misplaced",
            "detections not told of because the chart says they cannot be there",
            "sensor",
        )
        self._starts = gauge("vision_starts", "starts of the vision process", "sensor")
        self._held = gauge("outbox_records", "records that the ground has not acknowledged")
        self._held_bytes = gauge("outbox_bytes", "their bytes")
        self._shed = gauge("outbox_shed", "records given up because the outbox was full")
        self._connected = gauge("link_up", "1 while the ground answers")

    def count_message(self, topic: str) -> None:
        """One more message of `topic` came from a vision process."""
        self._messages.labels(**self._platform, topic=topic).inc()

    def update(
        self,
        alive: Mapping[str, Alive],
        outbox: OutboxState,
        is_link_up: bool,
        children: Mapping[str, Child],
    ) -> None:
        """Take over what the parts report; a sensor whose process gives no sign of life sees nothing."""
        for sensor, sign in alive.items():
            self._frames.labels(**self._platform, sensor=sensor).set(sign.frames_per_s)
            self._inference.labels(**self._platform, sensor=sensor).set(sign.inference_ms)
            self._dropped.labels(**self._platform, sensor=sensor).set(sign.dropped_count)
            self._misplaced.labels(**self._platform, sensor=sensor).set(sign.misplaced_count)
        for sensor, child in children.items():
            if sensor not in alive:
                self._frames.labels(**self._platform, sensor=sensor).set(0.0)
            self._starts.labels(**self._platform, sensor=sensor).set(child.start_count)
        self._held.labels(**self._platform).set(outbox.held)
        self._held_bytes.labels(**self._platform).set(outbox.held_bytes)
        self._shed.labels(**self._platform).set(outbox.shed)
        self._connected.labels(**self._platform).set(1.0 if is_link_up else 0.0)


class MetricsServer:
    """Serves the metrics in a named thread; `listen` is HOST:PORT, empty for none."""

    def __init__(self, listen: str, metrics: Metrics, is_ready: Callable[[], bool]) -> None:
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        if not listen:
            return
        host, _, port = listen.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and int(port) <= 65_535):
            raise ConfigError(f"metrics.listen is {listen!r}; it must be HOST:PORT, such as 127.0.0.1:9608")
        try:
            self._server = ThreadingHTTPServer((host, int(port)), _handler(metrics, is_ready))
        except OSError as error:
            raise ConfigError(
                f"metrics.listen {listen}: {error.strerror}; take port 0 for a free one"
            ) from error

    @property
    def address(self) -> str | None:
        """HOST:PORT that is served, `None` when there is none."""
        if self._server is None:
            return None
        return f"{self._server.server_address[0]!s}:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to serve."""
        if self._server is not None:
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End at once; requests in progress are cut."""
        if self._server is None:
            return
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(2.0)
        self._server.server_close()


def _handler(metrics: Metrics, is_ready: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(
                    200, generate_latest(metrics.registry), "text/plain; version=0.0.4; charset=utf-8"
                )
            elif self.path == "/healthz":
                self._answer(200, b"ok\n", "text/plain")
            elif self.path == "/readyz":
                ready = is_ready()
                self._answer(200 if ready else 503, b"ready\n" if ready else b"not ready\n", "text/plain")
            else:
                self._answer(404, b"only /metrics, /healthz and /readyz are here\n", "text/plain")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
