"""The whole chain for tests: a flight replayed into a real edge process, its link and a real ground."""

import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge.environment import clean_environment
from edge.supervisor import python_module
from ground.config import GroundConfig
from ground.serve import GroundHandle, start_ground
from sim.edge_toml import edge_toml
from sim.replay import Replay
from sim.replay_outputs import FolderOutput, MavlinkSocket
from skywarden.evidence import create_evidence_key, enrolment_line, evidence_key_path
from skywarden.flight.reader import FlightReader
from skywarden.link import keys

PLATFORM = "uav07"


class Chain:
    """One flight, one edge, one ground; `stop` takes it down, also half started."""

    def __init__(self, flight: Path, folder: Path) -> None:
        self.folder = folder
        self.reader = FlightReader(flight)
        self.state = folder / "edge-state"
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.log = folder / "edge.log"
        self.ground: GroundHandle = start_ground(
            GroundConfig(state=str(folder / "ground"), http="127.0.0.1:0", link="127.0.0.1:0")
        )
        self._key = self.ground.program_key()
        pair = keys.create_key_file(self.state / "keys" / "link.key")
        signer = create_evidence_key(evidence_key_path(self.state / "keys" / "link.key"))
        self.ground.enrol(PLATFORM, enrolment_line(pair, signer))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.config = folder / "edge.toml"
        self.config.write_text(
            edge_toml(
                self.reader,
                platform_id=PLATFORM,
                state=self.state,
                mavlink=f"udpin:127.0.0.1:{self.port}",
                inbox=self.inbox,
                ground=self.ground.link_address,
                ground_key=self.ground.server_public_key,
            ),
            encoding="utf-8",
        )
        argv = [*python_module("skywarden.cli"), "edge", "run", str(self.config), "--log-format", "json"]
        with self.log.open("wb") as log:
            self.edge = subprocess.Popen(argv, env=clean_environment(), stderr=log)
        self._stop = threading.Event()
        self._replay: threading.Thread | None = None

    def play(self, *, start_s: float, seconds: float, rate: float = 1.0) -> None:
        """Begin to play a piece of the flight as live."""
        replay = Replay(
            self.reader,
            mavlink=MavlinkSocket(f"udpout:127.0.0.1:{self.port}"),
            frames={self.reader.info.sensors[0].sensor_id: FolderOutput(self.inbox)},
            as_live=True,
            rate=rate,
            start_s=start_s,
            seconds=seconds,
        )
        self._replay = threading.Thread(target=replay.run, args=(self._stop,), name="replay")
        self._replay.start()

    def wait_for_play(self, limit_s: float) -> None:
        """Wait until the replay has ended."""
        assert self._replay is not None, "play was called"
        self._replay.join(limit_s)
        assert not self._replay.is_alive(), "the replay goes on"

    def get(self, path: str) -> Any:
        """What the ground's API answers."""
        request = urllib.request.Request(
            f"{self.ground.http_url}/api/v1/{path}", headers={"Authorization": f"Bearer {self._key}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return msgspec.json.decode(answer.read())

    def sightings(self) -> list[dict[str, Any]]:
        """Every sighting in the store, oldest first."""
        items: list[dict[str, Any]] = self.get("sightings?limit=1000")["items"]
        return sorted(items, key=lambda item: (item["time"], item["sighting_id"]))

    def metric(self, name: str) -> float:
        """A number of the edge's own web port."""
        address = next(line["metrics"] for line in self.log_lines() if line.get("event") == "started")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(name)))

    def log_lines(self) -> list[dict[str, Any]]:
        """The edge's structured log so far."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith("{")]

    def ready(self) -> bool:
        """Whether the vision process has given its first sign of life."""
        return any(line.get("event") == "started" for line in self.log_lines()) and (
            self.metric("skywarden_edge_inference_milliseconds") >= 0.0
        )

    def stop(self) -> float:
        """Ask the edge to end; the seconds it took."""
        self._stop.set()
        began = time.monotonic()
        if self.edge.poll() is None:
            self.edge.terminate()
        try:
            self.edge.wait(timeout=15)
        finally:
            took = time.monotonic() - began
            self.edge.kill()
            self.edge.wait(timeout=5)
            if self._replay is not None:
                self._replay.join(5)
            self.ground.stop()
        return took


def wait_until(claim: Callable[[], bool], limit_s: float, what: str) -> None:
    """Wait for a claim to come true; fails with `what` when it does not in time."""
    end = time.monotonic() + limit_s
    pause = threading.Event()
    while True:
        try:
            if claim():
                return
        except (StopIteration, OSError, AssertionError):
            pass
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        pause.wait(0.1)
