"""The worker's own web port, asked by real HTTP: metrics that Prometheus reads, health, readiness."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.bus import Alive
from edge.link.outbox import OutboxState
from edge.metrics import Metrics, MetricsServer
from edge.supervisor import Child
from skywarden.errors import ConfigError

pytestmark = pytest.mark.slow

OUTBOX = OutboxState(held=3, held_bytes=900, last_seq=10, acknowledged=7, shed=1, shed_bytes=10)


class Served:
    """A server on a free port and what it serves."""

    def __init__(self) -> None:
        self.metrics = Metrics("uav07")
        self.is_ready = False
        self.server = MetricsServer("127.0.0.1:0", self.metrics, lambda: self.is_ready)
        self.server.start()

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        assert self.server.address is not None
        connection = http.client.HTTPConnection(self.server.address, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def values(self) -> dict[tuple[str, str], float]:
        """Every sample by its name and its sensor or topic."""
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        return {
            (sample.name, sample.labels.get("sensor") or sample.labels.get("topic", "")): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.server.stop()


def _alive() -> Alive:
    return Alive(
        last_frame_number=99,
        frame_count=50,
        dropped_count=49,
        detection_count=5,
        frames_per_s=4.5,
        inference_ms=80.0,
    )


def test_what_is_counted_can_be_read_as_prometheus_reads_it(served: Served) -> None:
    served.metrics.telemetry.inc(7)
    for topic in ("sighting", "sighting", "chip"):
        served.metrics.count_message(topic)
    children = {"eo": Child("vision.eo", lambda start: [], hang_s=1.0)}
    served.metrics.update({"eo": _alive()}, OUTBOX, True, children)
    values = served.values()
    assert values["skywarden_edge_telemetry_frames_total", ""] == 7
    assert values["skywarden_edge_messages_total", "sighting"] == 2
    assert values["skywarden_edge_messages_total", "chip"] == 1
    assert values["skywarden_edge_frames_per_second", "eo"] == 4.5
    assert values["skywarden_edge_inference_milliseconds", "eo"] == 80.0
    assert values["skywarden_edge_frames_dropped", "eo"] == 49
    assert values["skywarden_edge_outbox_records", ""] == 3
    assert values["skywarden_edge_outbox_bytes", ""] == 900
    assert values["skywarden_edge_outbox_shed", ""] == 1
    assert values["skywarden_edge_link_up", ""] == 1


def test_a_sensor_that_gives_no_sign_of_life_counts_as_seeing_nothing(served: Served) -> None:
    children = {"eo": Child("vision.eo", lambda start: [], hang_s=1.0)}
    served.metrics.update({"eo": _alive()}, OUTBOX, False, children)
    served.metrics.update({}, OUTBOX, False, children)
    assert served.values()["skywarden_edge_frames_per_second", "eo"] == 0.0
    assert served.values()["skywarden_edge_link_up", ""] == 0.0


def test_health_and_readiness_are_told_apart(served: Served) -> None:
    assert served.ask("/healthz") == (200, "ok\n")
    assert served.ask("/readyz") == (503, "not ready\n")
    served.is_ready = True
    assert served.ask("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/", "/../etc/passwd", "/metrics/x", "/" + "a" * 60_000])
def test_nothing_else_is_there(served: Served, path: str) -> None:
    assert served.ask(path)[0] == 404


def test_only_reading_is_possible(served: Served) -> None:
    assert served.ask("/metrics", "POST")[0] == 501
    assert served.ask("/metrics", "DELETE")[0] == 501


def test_a_client_that_says_nothing_does_not_keep_others_out_nor_hold_up_the_stop(served: Served) -> None:
    assert served.server.address is not None
    host, port = served.server.address.split(":")
    silent = [socket.create_connection((host, int(port)), timeout=5) for _ in range(20)]
    assert served.ask("/healthz")[0] == 200
    begun_s = time.monotonic()
    served.server.stop()
    assert time.monotonic() - begun_s < 2.0
    for connection in silent:
        connection.close()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    server = MetricsServer("127.0.0.1:0", Metrics("uav07"), lambda: True)
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(5.0)
    assert not stopping.is_alive()


def test_an_empty_address_serves_nothing() -> None:
    server = MetricsServer("", Metrics("uav07"), lambda: True)
    assert server.address is None
    server.start()
    server.stop()


@pytest.mark.parametrize(
    "listen", ["9608", ":9608", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:²"]
)
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.listen"):
        MetricsServer(listen, Metrics("uav07"), lambda: True)


def test_a_port_that_is_taken_is_refused_with_advice(served: Served) -> None:
    assert served.server.address is not None
    with pytest.raises(ConfigError, match="take port 0"):
        MetricsServer(served.server.address, Metrics("uav07"), lambda: True)
