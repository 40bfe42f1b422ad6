"""The whole chain on one machine: a rendered scenario, simulated platforms, edge workers, a ground station.

Everything runs as it would in the field: the edges are processes of their own that read MAVLink from UDP and
images from a folder, the link is encrypted, the ground station stores and serves. Only the world is rendered.
"""

import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from edge.environment import clean_environment
from edge.supervisor import python_module
from ground.accounts.roles import Role
from ground.ais.config import AisConfig, AisSourceConfig
from ground.alerts.rules import Rule
from ground.config import GroundConfig
from ground.fusion.labels import VESSEL_LABELS
from ground.serve import GroundHandle, start_ground
from sim.edge_toml import edge_toml
from sim.replay import LOOP_GAP_S, Replay
from sim.replay_outputs import FolderOutput, MavlinkSocket
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.flown.live import AisSpeaker
from sim.scenario.flown.runs import sentences_in
from sim.scenario.layers import write_layers
from sim.scenario.runner import TERRAIN_NAME, render_flights
from sim.scenario.world import Grid, World
from skywarden import __version__
from skywarden.errors import SkywardenError
from skywarden.evidence import create_evidence_key, enrolment_line, evidence_key_path
from skywarden.flight.reader import FlightReader
from skywarden.flight.schema import AIS, FixedMount
from skywarden.link import keys

log = structlog.get_logger("demo")

SCENARIO = "fishing-fleet"
SECONDS = 80.0
FRAMES_PER_S = 2.0
KEEP_FRAMES = 40
MODEL = {"fixed": "anomaly", "gimbal": "vessel-nadir"}
"""By mount: over the hill whatever does not belong there is looked for, at sea vessels."""
MIN_SCORE = {"fixed": 0.68, "gimbal": 0.0}
"""By mount; 0 is the detector's own threshold. Bushes are local anomalies too."""
SILENT_RULE = Rule(
    rule_id="silent-vessel",
    name="Silent vessel",
    trigger="anywhere",
    labels=tuple(sorted(VESSEL_LABELS)),
    ais=("silent",),
    again_after_s=600.0,
)
"""The alert of the demo: a vessel of which no AIS is heard although it would be."""
STOP_S = 4.0
"""What an edge may take to end in good order; what the demo held goes anyway."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What stood on the ground at the end."""

    platforms: int
    contacts: int
    located: int
    sightings: int


class _Counts(msgspec.Struct):
    platforms: int
    contacts: int
    sightings: int


class _Status(msgspec.Struct):
    counts: _Counts


class _Contact(msgspec.Struct):
    position: dict[str, object] | None


class _Contacts(msgspec.Struct):
    items: list[_Contact]


AnswerT = TypeVar("AnswerT")


class Demo:
    """Sets everything up, runs until told to stop, takes everything down."""

    def __init__(self, folder: Path, http: str) -> None:
        self._folder = folder
        self._http = http
        self._stack = ExitStack()
        self._edges: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self._ground: GroundHandle | None = None
        self._key = ""

    def start(self, flights: dict[str, Path], layers: Path) -> str:
        """Start ground, edges and replays; the address of the console, good for signing in once."""
        state = str(self._folder / "ground")
        scenario = load_scenario(SCENARIO)
        ais_port = _free_udp_port()
        ground = start_ground(
            GroundConfig(
                state=state,
                http=self._http,
                link="127.0.0.1:0",
                exercise=True,
                layers=str(layers),
                ais=AisConfig(source=(_receiver(scenario, ais_port),)),
            )
        )
        self._ground = ground
        self._key = ground.program_key()
        ground.alerts.put_rule(SILENT_RULE, "demo")
        self._stack.callback(ground.stop)
        for platform_id, flight in sorted(flights.items()):
            port = _free_udp_port()
            inbox = self._folder / platform_id / "inbox"
            inbox.mkdir(parents=True)
            self._start_edge(ground, platform_id, flight, inbox, port)
            self._start_replay(platform_id, flight, inbox, port)
        self._start_ais(scenario, next(iter(flights.values())), ais_port)
        return ground.sign_in_page("demo", Role.SUPERVISOR)

    def tally(self) -> Tally:
        """What the ground's own API says now."""
        assert self._ground is not None, "the demo was started"
        url = self._ground.http_url
        counts = _get(f"{url}/api/v1/status", self._key, _Status).counts
        contacts = _get(f"{url}/api/v1/contacts?limit=500", self._key, _Contacts).items
        return Tally(
            platforms=counts.platforms,
            contacts=counts.contacts,
            located=sum(contact.position is not None for contact in contacts),
            sightings=counts.sightings,
        )

    def check(self) -> None:
        """Raise `SkywardenError` when an edge has ended."""
        for edge in self._edges:
            if edge.poll() is not None:
                raise SkywardenError(f"an edge worker ended with code {edge.returncode}; its log is above")

    def stop(self) -> None:
        """End edges, replays and ground, all at once: nothing that they hold is kept."""
        end_s = time.monotonic() + STOP_S
        self._stopping.set()
        for edge in self._edges:
            if edge.poll() is None:
                edge.terminate()
        self._stack.close()
        for edge in self._edges:
            try:
                edge.wait(timeout=max(0.1, end_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(edge.pid, signal.SIGKILL)  # its session: its workers too
                edge.wait(timeout=5)

    def _start_edge(
        self, ground: GroundHandle, platform_id: str, flight: Path, inbox: Path, port: int
    ) -> None:
        state = self._folder / platform_id / "state"
        pair = keys.create_key_file(state / "keys" / "link.key")
        signer = create_evidence_key(evidence_key_path(state / "keys" / "link.key"))
        ground.enrol(platform_id, enrolment_line(pair, signer))
        reader = FlightReader(flight)
        kind = "fixed" if isinstance(reader.info.sensors[0].mount, FixedMount) else "gimbal"
        config = self._folder / platform_id / "edge.toml"
        config.write_text(
            edge_toml(
                reader,
                platform_id=platform_id,
                state=state,
                mavlink=f"udpin:127.0.0.1:{port}",
                inbox=inbox,
                ground=ground.link_address,
                ground_key=ground.server_public_key,
                terrain=flight / TERRAIN_NAME,
                min_score=MIN_SCORE[kind],
                model=MODEL[kind],
                is_exercise=True,
            ),
            encoding="utf-8",
        )
        argv = [*python_module("skywarden.cli"), "edge", "run", str(config), "--quiet"]
        # A session of its own: Ctrl-C reaches the demo only, which then ends its parts in order.
        self._edges.append(
            subprocess.Popen(argv, env=clean_environment(), stdin=subprocess.DEVNULL, start_new_session=True)
        )

    def _start_replay(self, platform_id: str, flight: Path, inbox: Path, port: int) -> None:
        reader = FlightReader(flight)
        sensor_id = reader.info.sensors[0].sensor_id
        replay = Replay(
            reader,
            mavlink=MavlinkSocket(f"udpout:127.0.0.1:{port}"),
            frames={sensor_id: FolderOutput(inbox, keep=KEEP_FRAMES)},
            as_live=True,
            loop=True,
            boot_time="continue",
        )
        thread = threading.Thread(target=self._play, args=(platform_id, replay), name=f"replay-{platform_id}")
        thread.start()
        self._stack.callback(thread.join, 5.0)

    def _start_ais(self, scenario: Scenario, flight: Path, port: int) -> None:
        """What the station's receiver hears; a quarter of an hour of it came before the demo began."""
        speaker = AisSpeaker(
            sentences_in(flight / AIS),
            f"udpout:127.0.0.1:{port}",
            start_ns=scenario.start_ns,
            loop=True,
            round_s=SECONDS + LOOP_GAP_S,
        )
        thread = threading.Thread(target=self._speak, args=(speaker,), name="demo-ais")
        thread.start()
        self._stack.callback(thread.join, 5.0)

    def _speak(self, speaker: AisSpeaker) -> None:
        try:
            speaker.run(self._stopping)
        except SkywardenError as error:
            log.error("AIS ended", error=str(error))

    def _play(self, platform_id: str, replay: Replay) -> None:
        try:
            replay.run(self._stopping)
        except SkywardenError as error:
            log.error("a replay ended", platform=platform_id, error=str(error))


def is_drawn() -> bool:
    """Whether the pictures of the demo lie in the cache, so that it starts at once."""
    return _cache_of(load_scenario(SCENARIO)).is_dir()


def prepare(progress: Progress | None = None) -> tuple[dict[str, Path], Path]:
    """The rendered flights by platform and the map layers, from the cache where they lie there already."""
    scenario = load_scenario(SCENARIO)
    cache = _cache_of(scenario)
    paths = {platform.id: cache / platform.id for platform in scenario.platforms}
    if not cache.is_dir():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="rendering-", dir=cache.parent) as folder:
            made = Path(folder) / "flights"
            made.mkdir()
            render_flights(scenario, made, seconds=SECONDS, fps=FRAMES_PER_S, progress=progress)
            write_layers(World(scenario), made / "layers")
            # In one step, so that a demo beside this one or a cut leaves no half of it.
            with suppress(OSError):
                made.rename(cache)
    return paths, cache / "layers"


@contextmanager
def demo_folder() -> Iterator[Path]:
    """A private folder for states, keys and inboxes, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="skywarden-demo-") as folder:
        yield Path(folder)


def _cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skywarden" / "demo"


def _cache_of(scenario: Scenario) -> Path:
    return _cache_dir() / f"{SCENARIO}-{_fingerprint(scenario)}"


def _fingerprint(scenario: Scenario) -> str:
    """Of everything that the pictures depend on: the scenario and the code that draws it."""
    digest = hashlib.sha256(f"{__version__} {SECONDS} {FRAMES_PER_S} {scenario!r}".encode())
    for source in sorted((Path(__file__).parent / "scenario").rglob("*.py")):
        if source.parent.name != "flown" and source.name != "cli.py":  # how it is played changes no picture
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _receiver(scenario: Scenario, port: int) -> AisSourceConfig:
    """The scenario's AIS receiver as the ground is told of it."""
    place = scenario.place
    latitude, longitude = Grid.at(place.latitude_deg, place.longitude_deg).geodetic(*scenario.ais.at)
    return AisSourceConfig(
        name="coast-station",
        connection=f"udpin:127.0.0.1:{port}",
        latitude_deg=float(latitude),
        longitude_deg=float(longitude),
        height_m=scenario.ais.height_m,
    )


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str, key: str, kind: type[AnswerT]) -> AnswerT:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return msgspec.json.decode(answer.read(), type=kind)
