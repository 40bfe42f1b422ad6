"""The edge workers of a drill: real processes that fly what the drill plays to them."""

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from edge.environment import clean_environment
from edge.supervisor import python_module
from sim.demo import MIN_SCORE, MODEL
from sim.drill.air import Air
from sim.edge_toml import edge_toml
from sim.scenario.description import Scenario
from sim.scenario.runner import TERRAIN_NAME, render_flight
from skywarden.errors import SkywardenError
from skywarden.evidence import create_evidence_key, enrolment_line, evidence_key_path
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import FixedMount
from skywarden.link import keys

STOP_S = 8.0
INBOX = "inbox"
"""Folder in which the frames of a platform appear."""
_EXAMPLE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Berth:
    """One platform's worker: its folder, its settings, the line by which it is let in."""

    platform_id: str
    folder: Path
    config: Path
    enrolment: str


def make_berth(
    scenario: Scenario,
    platform_id: str,
    folder: Path,
    *,
    air: Air,
    ground_key: str,
    mavlink_port: int,
    model: str | None,
) -> Berth:
    """Keys and settings of one platform's worker below `folder`; EXERCISE stands in them."""
    folder.mkdir(parents=True, exist_ok=True)
    example = render_flight(
        scenario, platform_id, folder / "example", seconds=_EXAMPLE_S, fps=1.0, with_frames=False
    )
    state, inbox = folder / "state", folder / INBOX
    inbox.mkdir(exist_ok=True)
    pair = keys.create_key_file(state / "keys" / "link.key")
    signer = create_evidence_key(evidence_key_path(state / "keys" / "link.key"))
    reader = FlightReader(example)
    kind = "fixed" if isinstance(reader.info.sensors[0].mount, FixedMount) else "gimbal"
    config = folder / "edge.toml"
    config.write_text(
        edge_toml(
            reader,
            platform_id=platform_id,
            state=state,
            mavlink=f"udpin:127.0.0.1:{mavlink_port}",
            inbox=inbox,
            ground=f"{air.address[0]}:{air.address[1]}",
            ground_key=ground_key,
            terrain=example / TERRAIN_NAME,
            min_score=0.0 if model else MIN_SCORE[kind],
            model=model or MODEL[kind],
            is_exercise=True,
            transport="datagram",
        ),
        encoding="utf-8",
    )
    return Berth(
        platform_id=platform_id,
        folder=folder,
        config=config,
        enrolment=enrolment_line(pair, signer),
    )


class Worker:
    """The edge worker of one platform, started again after the trainer has it crash."""

    def __init__(self, berth: Berth) -> None:
        self._berth = berth
        self._back_s: float | None = None
        self._process = self._started()

    def crash(self, back_s: float) -> None:
        """Kill it, and start it again at that time of the monotonic clock."""
        self._process.kill()
        self._process.wait(STOP_S)
        self._back_s = back_s

    def turn(self, now_s: float) -> None:
        """Start it again when its time has come; raises `SkywardenError` when it ended by itself."""
        if self._back_s is not None:
            if now_s >= self._back_s:
                self._back_s = None
                self._process = self._started()
        elif self._process.poll() is not None:
            raise SkywardenError(
                f"the worker of {self._berth.platform_id} ended with code {self._process.returncode}; its "
                f"log is {self._berth.folder / 'edge.log'}"
            )

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
        end_s = time.monotonic() + STOP_S
        try:
            self._process.wait(max(0.1, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)

    def _started(self) -> subprocess.Popen[bytes]:
        argv = [*python_module("skywarden.cli"), "edge", "run", str(self._berth.config), "--quiet"]
        with (self._berth.folder / "edge.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the drill only, which then ends its parts in order.
            return subprocess.Popen(
                argv,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def free_udp_port() -> int:
    """A UDP port of this machine that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
