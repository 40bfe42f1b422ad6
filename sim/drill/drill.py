"""A drill from start to end: station, workers, platforms in flight, orders by script and by hand."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from ground.accounts.roles import Role
from ground.ais.config import AisConfig, AisSourceConfig
from ground.config import GroundConfig
from ground.link.authenticator import revoke
from ground.serve import GroundHandle, authorized_dir, start_ground
from sim.demo import SILENT_RULE
from sim.drill.aboard import INBOX, Berth, Worker, free_udp_port, make_berth
from sim.drill.air import Air
from sim.drill.deeds import scenario_after
from sim.drill.flier import Begin, Break, Flier, Flight, Turn
from sim.drill.orders import Order, check_order
from sim.drill.spool import Spool
from sim.drill.story import DRILL_JSON, TRUTH, Chapter, DrillInfo, Injected, Story
from sim.drill.voices import Voices
from sim.range.faults.engine import spell_of
from sim.range.faults.kinds import KINDS
from sim.range.watch import receiver_of
from sim.scenario.description import Scenario
from sim.scenario.layers import write_layers
from sim.scenario.tables.faults import Fault
from sim.scenario.world import World
from skywarden.clock import NS_PER_S
from skywarden.errors import SkywardenError, UsageError

_log = structlog.get_logger("drill")

_LEAD_NS = 2 * NS_PER_S
_CRASHED_S = 20.0
ABOARD = "aboard"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillOptions:
    """How a drill is run. `seconds` None: as long as the scenario; `fps` pictures a second of each camera.

    `model` None: the demo's choice by mount. `http` is the console's address; `insecure_http` lets others on
    the network reach it without TLS.
    """

    crew: tuple[str, ...]
    trainer: str = "trainer"
    seconds: float | None = None
    fps: float = 1.0
    http: str = "127.0.0.1:0"
    insecure_http: bool = False
    model: str | None = None
    script: tuple[Order, ...] = ()


class Drill:
    """Sets everything up, carries orders out until told to stop, takes everything down."""

    def __init__(self, scenario: Scenario, folder: Path, options: DrillOptions) -> None:
        """`folder` is new or empty. Raises `UsageError` for orders of the script that cannot be."""
        vessels = [one.id for one in scenario.vessels]
        for order in options.script:
            check_order(order, [one.id for one in scenario.platforms], vessels)
            if order.kind == "vessel_appears" and order.vessel is not None:
                vessels.append(order.vessel)
        first = scenario.seasons[0].id if scenario.seasons else None
        self._scenario = scenario if first is None else scenario.in_season(first)
        self._options = options
        self.seconds = options.seconds if options.seconds is not None else scenario.duration_s
        self.story = Story(folder)
        self._spool = Spool(folder)
        self._script = list(options.script)
        self._stack = ExitStack()
        self._fliers: dict[str, Flier] = {}
        self._workers: dict[str, Worker] = {}
        self._airs: dict[str, Air] = {}
        self._revoked: list[tuple[float, str]] = []
        self._berths: dict[str, Berth] = {}
        self._count = 0
        self.ground: GroundHandle | None = None

    def prepare(self, say: Say = lambda _: None) -> None:
        """Station, keys, workers and painted worlds; it takes as long as painting the ground does."""
        folder = self.story.folder
        folder.mkdir(parents=True, exist_ok=True)
        say("starting the station (an exercise) and painting the world ...")
        ports = {one.id: free_udp_port() for one in self._scenario.platforms}
        for name, port in ports.items():
            flier = self._painting(name, port)
            self._fliers[name] = flier
            self._stack.callback(flier.stop)
        ground = self._start_ground()
        host, _, link_port = ground.link_address.rpartition(":")
        for number, (name, port) in enumerate(ports.items()):
            air = Air(name, (host, int(link_port)), self._scenario.seed + number)
            self._stack.callback(air.close)
            self._airs[name] = air
            self._berths[name] = make_berth(
                self._scenario,
                name,
                folder / ABOARD / name,
                air=air,
                ground_key=ground.server_public_key,
                mavlink_port=port,
                model=self._options.model,
            )
            ground.enrol(name, self._berths[name].enrolment)

    def start(self) -> DrillInfo:
        """Everybody takes off; what is true from now on is written down."""
        for flier in self._fliers.values():
            flier.wait_ready()
        for berth in self._berths.values():
            worker = Worker(berth)
            self._workers[berth.platform_id] = worker
            self._stack.callback(worker.stop)
        start_s = (time.time_ns() + _LEAD_NS) // NS_PER_S + 1
        self._scenario = msgspec.structs.replace(
            self._scenario, start_unix_s=start_s, duration_s=self.seconds
        )
        for flier in self._fliers.values():
            flier.tell(Begin(scenario=self._scenario))
        self._voices.turn(self._scenario)
        self._voices.start()
        self._stack.callback(self._voices.stop)
        info = DrillInfo(
            scenario=self._scenario.name,
            title=self._scenario.title,
            seed=self._scenario.seed,
            start_ns=self._scenario.start_ns,
            crew=self._options.crew,
            trainer=self._options.trainer,
            platforms=tuple(one.id for one in self._scenario.platforms),
        )
        self.story.write_info(info)
        self.story.add_chapter(Chapter(from_s=0.0, scenario=self._scenario))
        self._spool.open()
        self._stack.callback(self._spool.close)
        self._script += [
            Order(
                kind=one.kind,
                at_s=one.at_s,
                for_s=None if one.end_s is None else one.end_s - one.at_s,
                platform=one.platform,
                parameters=one.parameters,
            )
            for one in self._scenario.fault
        ]
        self._script.sort(key=lambda one: one.at_s or 0.0)
        return info

    @property
    def now_s(self) -> float:
        """Seconds of the drill."""
        return (time.time_ns() - self._scenario.start_ns) / NS_PER_S

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return self.now_s >= self.seconds

    def sign_in_pages(self) -> dict[str, str]:
        """Name and address of everybody; each address signs in once."""
        assert self.ground is not None, "the drill was prepared"
        pages = {name: self.ground.sign_in_page(name, Role.OPERATOR) for name in self._options.crew}
        return pages | {
            self._options.trainer: self.ground.sign_in_page(self._options.trainer, Role.SUPERVISOR)
        }

    def turn(self) -> list[Injected]:
        """Carry out what is due; what was done. Raises `SkywardenError` when a part has ended."""
        now_s = self.now_s
        done: list[Injected] = []
        while self._script and (self._script[0].at_s or 0.0) <= now_s:
            done.append(self._carry_out(self._script.pop(0), now_s, "script"))
        for name, order in self._spool.take():
            if isinstance(order, str):
                self._spool.answer(name, order)
            elif order.at_s is not None and order.at_s > now_s:
                self._spool.answer(name, self._planned(order))
            else:
                made = self._carry_out(order, now_s, "trainer")
                self._spool.answer(name, made)
                done.append(made)
        self._let_back_in(now_s)
        for air in self._airs.values():
            air.turn(now_s)
        for flier in self._fliers.values():
            flier.check()
        for worker in self._workers.values():
            worker.turn(time.monotonic())
        return done

    def stop(self) -> None:
        """End everything, the station last, and write down when."""
        end_ns = time.time_ns()
        self._stack.close()
        if (self.story.folder / DRILL_JSON).exists():
            info = self.story.info()
            if info.end_ns is None:
                self.story.write_info(msgspec.structs.replace(info, end_ns=end_ns))

    def _start_ground(self) -> GroundHandle:
        layers = self.story.folder / "layers"
        world = World(self._scenario)
        write_layers(world, layers)
        port = free_udp_port()
        latitude, longitude, height_m = receiver_of(self._scenario)
        source = AisSourceConfig(
            name="coast-station",
            connection=f"udpin:127.0.0.1:{port}",
            latitude_deg=latitude,
            longitude_deg=longitude,
            height_m=height_m,
        )
        ground = start_ground(
            GroundConfig(
                state=str(self.story.ground),
                http=self._options.http,
                insecure_http=self._options.insecure_http,
                link="127.0.0.1:0",
                layers=str(layers),
                exercise=True,
                ais=AisConfig(source=(source,)),
            )
        )
        self._stack.callback(ground.stop)
        self.ground = ground
        ground.alerts.put_rule(SILENT_RULE, self._options.trainer)
        self._voices = Voices(self._scenario, port, self.seconds)
        return ground

    def _painting(self, platform_id: str, mavlink_port: int) -> Flier:
        """The process that flies a platform; it paints the ground while the rest is made ready."""
        aboard = self.story.folder / ABOARD / platform_id
        aboard.mkdir(parents=True)
        return Flier(
            Flight(
                scenario=self._scenario,
                platform_id=platform_id,
                mavlink=f"udpout:127.0.0.1:{mavlink_port}",
                inbox=aboard / INBOX,
                truth=self.story.folder / TRUTH / f"{platform_id}.jsonl",
                scratch=aboard,
                seconds=self.seconds,
                fps=self._options.fps,
            )
        )

    def _planned(self, order: Order) -> Injected | str:
        """An order for later, put into the script; or why not."""
        try:
            self._check(order)
        except UsageError as error:
            return str(error)
        self._script.append(order)
        self._script.sort(key=lambda one: one.at_s or 0.0)
        at_s = order.at_s or 0.0
        return Injected(
            number=0, order=order, at_s=at_s, end_s=_end_of(order, at_s), time_ns=time.time_ns(), by="trainer"
        )

    def _check(self, order: Order) -> None:
        scenario = self._scenario
        check_order(order, [one.id for one in scenario.platforms], [one.id for one in scenario.vessels])

    def _carry_out(self, order: Order, at_s: float, by: str) -> Injected:
        """Do it now, and write down that it was done; an order that cannot be says why."""
        self._count += 1
        problem = ""
        try:
            self._check(order)
            if order.is_deed:
                self._deed(order, at_s)
            else:
                self._fault(order, at_s)
        except SkywardenError as error:
            problem = str(error)
            _log.warning("an order was not carried out", kind=order.kind, reason=problem)
        made = Injected(
            number=self._count,
            order=order,
            at_s=round(at_s, 3),
            end_s=_end_of(order, at_s),
            time_ns=time.time_ns(),
            by=by,
            problem=problem,
        )
        self.story.add_injected(made)
        return made

    def _deed(self, order: Order, at_s: float) -> None:
        self._scenario = scenario_after(self._scenario, order, self._voices.fleet, at_s)
        self._voices.turn(self._scenario)
        for flier in self._fliers.values():
            flier.tell(Turn(scenario=self._scenario))
        self.story.add_chapter(Chapter(from_s=at_s, scenario=self._scenario))

    def _fault(self, order: Order, at_s: float) -> None:
        """By where it befalls: process, link, receiver, or what a platform says and sees."""
        names = [order.platform] if order.platform is not None else list(self._fliers)
        where = KINDS[order.kind].where
        if where == "process":
            for name in names:
                self._break_process(order, name, at_s)
        elif where == "link":
            for name in names:
                self._airs[name].spoil(order, self._scenario, self._count, at_s)
        else:
            fault = Fault(kind=order.kind, at_s=at_s, end_s=_end_of(order, at_s), parameters=order.parameters)
            spell_of(fault, self._count, self._scenario, names[0])  # a wrong parameter is said here
            if where == "ais":
                self._voices.silence(fault, self._count)
                return
            for name in names:
                self._fliers[name].tell(Break(fault=fault, number=self._count))

    def _break_process(self, order: Order, name: str, at_s: float) -> None:
        lasts_s = order.for_s if order.for_s is not None else _CRASHED_S
        if order.kind == "process_crash":
            self._workers[name].crash(time.monotonic() + lasts_s)
            return
        assert self.ground is not None, "the drill was prepared"
        revoke(authorized_dir(self.ground.state_dir), name)
        if order.for_s is not None:
            self._revoked.append((at_s + order.for_s, name))

    def _let_back_in(self, now_s: float) -> None:
        """Keys whose revocation has ended."""
        assert self.ground is not None, "the drill was prepared"
        for end_s, name in [one for one in self._revoked if now_s >= one[0]]:
            self._revoked.remove((end_s, name))
            self.ground.enrol(name, self._berths[name].enrolment)


def _end_of(order: Order, at_s: float) -> float | None:
    return None if order.for_s is None else round(at_s + order.for_s, 3)


def options_crew(text: str) -> tuple[str, ...]:
    """The names of a crew from `ana,ben`; raises `UsageError`."""
    names = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not names:
        raise UsageError("a drill needs a crew: --crew ana,ben")
    return names
