"""A whole watch in virtual time: what the edge says, AIS, contacts, verdicts and alerts, second by second.

The parts are the station's own; only sockets, files and threads are left out, so that the same run gives the
same watch on every machine. Sightings arrive `link_delay_s` after their frame, or later (`sim.range.link`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ground.ais.config import AisConfig, AisSourceConfig
from ground.ais.store import AisStore
from ground.ais.verdict import Verdict
from ground.ais.watch import AisWatch, may_be_vessel
from ground.alerts.alert import Alert
from ground.alerts.engine import AlertEngine
from ground.alerts.rules import Rule
from ground.alerts.zones import Zone
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from sim.analyze import AnalyzeOptions
from sim.range.aboard import Heat, Notice
from sim.range.chain import Flown, Step, fly_through
from sim.range.faults.engine import spells_of
from sim.range.faults.spell import Spell
from sim.range.link import Delivered, LinkTold, SetClock, delivered, merged
from sim.range.station_words import station_notices
from sim.scenario.description import Scenario
from sim.scenario.flown.runs import Run, heard_in, read_run, scenario_of_visit
from skywarden.ais.reports import read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.clock import NS_PER_S
from skywarden.geometry.geodesy import geodetic_from_ned
from skywarden.messages import Message, Plot, Sighting
from skywarden.wire import encode

SETTLE_NS = NS_PER_S
DEFAULT_RULES = (
    Rule(rule_id="silent", name="Silent vessel", trigger="anywhere", severity="warning", ais=("silent",)),
    Rule(rule_id="vessel", name="Vessel", trigger="anywhere", severity="notice", labels=("vessel",)),
)


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How a run is watched.

    Attributes:
        analyze: the edge's side.
        link_delay_s: from frame to station.
        with_ais: whether the station hears AIS at all.
        receiver: latitude, longitude, height of the antenna; `None` when it is not known.
    """

    analyze: AnalyzeOptions = field(default_factory=AnalyzeOptions)
    link_delay_s: float = 0.5
    with_ais: bool = True
    receiver: tuple[float, float, float] | None = None
    zones: Sequence[Zone] = ()
    rules: Sequence[Rule] = DEFAULT_RULES


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """The contacts as a person saw them at one second."""

    time_ns: int
    contacts: tuple[Contact, ...]


@dataclass(kw_only=True, slots=True)
class Watched:
    """All that came of a watch.

    Attributes:
        steps: every frame's outcome, by platform.
        moments: the contacts after each second in which something came in.
        sentences: AIS as the station heard it, each with its UTC.
        verdicts: the last word of AIS on each contact of the end that may be a vessel.
        notices: what each platform's worker said of its own state.
        station: what the station said of who had fallen silent.
        plots: every plot as its platform knew it at the end.
        spells: the faults that befell each platform; `ends_ns` is when its flight was over.
        links: what each platform's link did.
        bytes_made: of the messages that were made for the link, by platform and kind.
        cpu_s: processor time of edge and ground.
    """

    run: Run
    sentences: Sequence[tuple[int, bytes]] = ()
    steps: dict[str, list[Step]] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    notices: dict[str, list[Notice]] = field(default_factory=dict)
    station: list[Notice] = field(default_factory=list)
    plots: dict[str, list[Plot]] = field(default_factory=dict)
    spells: dict[str, list[Spell]] = field(default_factory=dict)
    ends_ns: dict[str, int] = field(default_factory=dict)
    links: dict[str, LinkTold] = field(default_factory=dict)
    bytes_made: dict[str, dict[str, int]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """The contacts at the end."""
        return self.moments[-1].contacts if self.moments else ()


def watch_run(folder: Path, options: WatchOptions | None = None) -> Watched:
    """Fly every platform of a run through the edge chain, and the whole through a station's judgement."""
    options = options or WatchOptions()
    watched = Watched(run=read_run(folder), sentences=heard_in(folder) if options.with_ais else ())
    came = {name: _flown(folder, name, watched, options) for name in sorted(watched.run.flights)}
    began = time.process_time()
    with TemporaryDirectory() as scratch, closing(_ais(Path(scratch), watched.run, options)) as ais:
        _Station(watched, options, ais, came).run(watched.sentences)
    watched.cpu_s["ground"] = time.process_time() - began
    for visit in sorted({name.rpartition("/")[0] for name in came}):
        of_visit = {name: one for name, one in came.items() if name.rpartition("/")[0] == visit}
        until_ns = max(watched.ends_ns[name] for name in of_visit)
        heard = [one for one in watched.sentences if one[0] <= until_ns]
        begin_ns = until_ns - round(watched.run.seconds * NS_PER_S)
        watched.station += station_notices(of_visit, heard, begin_ns, until_ns)
    return watched


def _flown(folder: Path, name: str, watched: Watched, options: WatchOptions) -> Delivered:
    """One platform's flight through its edge and over its link; what came of it is noted in `watched`."""
    visit, _, platform = name.rpartition("/")
    there = scenario_of_visit(folder, visit)
    until_ns = there.start_ns + round(watched.run.seconds * NS_PER_S)
    spells = spells_of(there, platform) if watched.run.faults else []
    hot = tuple(spell.span for spell in spells if spell.kind == "overheating")
    began = time.process_time()
    flown = fly_through(
        folder / watched.run.flights[name],
        options.analyze,
        begin_ns=there.start_ns,
        until_ns=until_ns,
        heat=Heat(spans=hot),
    )
    watched.cpu_s[name] = time.process_time() - began
    watched.steps[name], watched.notices[name] = flown.steps, flown.notices
    watched.plots[name], watched.spells[name] = flown.plots, spells
    watched.ends_ns[name], watched.bytes_made[name] = until_ns, _bytes_made(flown.steps)
    began = time.process_time()
    came = delivered(
        platform,
        _made(flown),
        spells,
        begin_ns=there.start_ns,
        until_ns=until_ns,
        delay_s=options.link_delay_s,
        seed=there.seed,
    )
    watched.links[name] = came.told
    watched.cpu_s[f"{name} link"] = time.process_time() - began
    return came


class _Ais:
    """AIS of the station, without its threads."""

    def __init__(self, watch: AisWatch, clock: SetClock) -> None:
        self.watch, self.clock = watch, clock
        self._sentences = SentenceReader()

    def take(self, time_ns: int, line: bytes) -> None:
        """One sentence, heard now."""
        heard = self._sentences.take(line, time_ns)
        if heard is not None:
            self.watch.take("station", read_report(heard))

    def close(self) -> None:
        """Let go of the files."""
        self.watch.stop()


def _ais(scratch: Path, run: Run, options: WatchOptions) -> _Ais:
    clock = SetClock(run.start_ns)
    place = options.receiver
    source = AisSourceConfig(
        name="station",
        connection="udpin:127.0.0.1:1",
        latitude_deg=None if place is None else place[0],
        longitude_deg=None if place is None else place[1],
        height_m=60.0 if place is None else place[2],
    )
    config = AisConfig(source=(source,) if options.with_ais else ())
    return _Ais(AisWatch(config, AisStore(scratch / "ais.sqlite"), clock), clock)


class _Station:
    """Contacts, AIS and alerts on one clock."""

    def __init__(
        self, watched: Watched, options: WatchOptions, ais: _Ais, came: Mapping[str, Delivered]
    ) -> None:
        self._watched, self._options, self._ais = watched, options, ais
        self._came = [came[name] for name in sorted(came)]
        self._book = ContactBook(ContactsConfig())
        self._contacts: dict[str, Contact] = {}
        self._engine = AlertEngine(options.zones, options.rules)

    def run(self, sentences: Sequence[tuple[int, bytes]]) -> None:
        """Everything in the order of arrival, settled once a second."""
        waiting = sorted(sentences, key=lambda one: one[0])
        next_ns, told, heard = 0, 0, 0
        for now_ns, sighting in self._arrivals():
            if now_ns >= next_ns and told:
                heard = self._hear(waiting, heard, next_ns)
                self._settle(next_ns)
                told = 0
            if now_ns >= next_ns:
                next_ns = (now_ns // SETTLE_NS + 1) * SETTLE_NS
            self._book.add(sighting)
            told += 1
        self._hear(waiting, heard, next_ns)
        self._settle(next_ns)
        self._watched.verdicts |= self._verdicts(list(self._contacts.values()))

    def _arrivals(self) -> Iterator[tuple[int, Sighting]]:
        """Sightings as they are stored, each once."""
        for now_ns, _, message in merged(self._came):
            if isinstance(message, Sighting):
                yield now_ns, message

    def _hear(self, sentences: Sequence[tuple[int, bytes]], first: int, now_ns: int) -> int:
        self._ais.clock.now_ns = now_ns
        while first < len(sentences) and sentences[first][0] <= now_ns:
            self._ais.take(*sentences[first])
            first += 1
        return first

    def _settle(self, now_ns: int) -> None:
        self._ais.clock.now_ns = now_ns
        changes = self._book.settle()
        for contact_id in changes.removed:
            self._contacts.pop(contact_id, None)
        self._contacts.update({contact.contact_id: contact for contact in changes.changed})
        words = self._words(changes.changed) if self._engine.asks_ais else {}
        self._watched.alerts.extend(self._engine.observe(changes.changed, now_ns, words))
        kept = tuple(contact for _, contact in sorted(self._contacts.items()))
        self._watched.moments.append(Moment(time_ns=now_ns, contacts=kept))

    def _words(self, contacts: Sequence[Contact]) -> dict[str, tuple[str, ...]]:
        return {name: (verdict.word,) for name, verdict in self._verdicts(contacts).items()}

    def _verdicts(self, contacts: Sequence[Contact]) -> dict[str, Verdict]:
        asked = [contact for contact in contacts if may_be_vessel(contact)]
        return self._ais.watch.verdicts(asked, list(self._contacts.values()))


def receiver_of(scenario: Scenario) -> tuple[float, float, float]:
    """Where a scenario's station hears AIS from: latitude, longitude (degrees), height (metres)."""
    east_m, north_m = scenario.ais.at
    latitude, longitude, _ = geodetic_from_ned(
        (north_m, east_m, 0.0), scenario.place.latitude_deg, scenario.place.longitude_deg, 0.0
    )
    return float(latitude), float(longitude), scenario.ais.height_m


def _made(flown: Flown) -> list[tuple[int, list[Message]]]:
    """What a platform hands to its link, by time: what each frame came to, and what it says of itself."""
    made: list[tuple[int, list[Message]]] = [
        (step.stamp_ns, list(step.outcome.messages)) for step in flown.steps
    ]
    made += [(health.time_ns, [health]) for health in flown.said]
    return sorted(made, key=lambda one: one[0])


def _bytes_made(steps: Sequence[Step]) -> dict[str, int]:
    """Bytes of the messages themselves, by kind."""
    total: dict[str, int] = {}
    for step in steps:
        for message in step.outcome.messages:
            name = type(message).__name__
            total[name] = total.get(name, 0) + len(encode(message))
    return total
