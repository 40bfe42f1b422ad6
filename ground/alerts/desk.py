"""The desk of alerts: engine and file together, and whoever is to be told; and the thread that feeds it."""

import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from ground.alerts.alert import LoggedAlert
from ground.alerts.engine import EXCLUSION, AlertEngine
from ground.alerts.log import AlertLog
from ground.alerts.rules import Rule
from ground.alerts.zones import Zone
from ground.fusion.contact import Contact
from ground.picture.live import LivePicture
from ground.store.reading import Filter, StoredContact, StoreReader
from skywarden.clock import Clock
from skywarden.errors import StoreError

_log = structlog.get_logger("ground.alerts.desk")

_TICK_S = 0.5
_REMEMBERED = 5_000
_MOST_CONTACTS = 5_000
_PAGE = 1_000
_AGAIN_TURNS = 10
_AGAIN_CONTACTS = 60
"""What AIS says changes without a new sighting; so many of the newest contacts are asked about again."""

_AT_ONCE = 100
"""So many contacts are held against the rules at once; in between the watch sees that it should end."""

Tell = Callable[[LoggedAlert], object]
AisVerdicts = Callable[[Sequence[Contact]], Mapping[str, Sequence[str]]]
"""The seam to AIS: the words that hold of each contact, such as ("silent",), by its id; those of which
nothing is known may be left out."""


class AlertDesk:
    """Zones, rules and alerts of a station; safe from any thread.

    `tell` are called with what is new or changed, outside of the lock; quiet alerts too. `to_pilot` only with
    what a rule sends to the pilot and is not quiet.
    """

    def __init__(
        self,
        log: AlertLog,
        clock: Clock,
        *,
        ais: AisVerdicts | None = None,
        tell: Sequence[Tell] = (),
        to_pilot: Tell | None = None,
    ) -> None:
        self.log = log
        self._clock, self._tell, self._to_pilot = clock, tuple(tell), to_pilot
        self._ais, self._lock = ais, threading.Lock()
        self._version = log.data_version
        self._engine = AlertEngine(log.zones(), log.rules())
        self._engine.remember([one.alert for one in log.newest(_REMEMBERED)])

    def observe(self, contacts: Sequence[Contact]) -> list[LoggedAlert]:
        """Contacts as they are now; the alerts that are news, kept and told.

        AIS is asked about all of them at once, outside of the lock: who changes a rule does not wait for it.
        """
        words = self._ais(contacts) if self._ais is not None and self.asks_ais else {}
        now_ns = self._clock.utc_ns()
        with self._lock:
            self._follow_file()
            fired = self._engine.observe(contacts, now_ns, words)
            fresh = self.log.note(fired)
        logged = [self.log.get(one.alert_id) for one in fresh]
        found = [one for one in logged if one is not None]
        for one in found:
            self._told(one)
        return found

    @property
    def asks_ais(self) -> bool:
        """Whether a rule in force asks what AIS says, and there is AIS to ask."""
        with self._lock:
            return self._ais is not None and self._engine.asks_ais

    def tick(self) -> list[LoggedAlert]:
        """Let time pass: what nobody acknowledged becomes more severe, and is told again."""
        raised = self.log.escalate(self._clock.utc_ns())
        for one in raised:
            self._told(one)
        return raised

    def rules(self) -> list[Rule]:
        """All rules in force or off, with the one that nobody made."""
        made = self.log.rules()
        if any(rule.rule_id == EXCLUSION.rule_id for rule in made):
            return made
        return [EXCLUSION, *made]

    def put_zones(self, zones: Sequence[Zone], account: str) -> None:
        """Keep and watch zones; raises `InputError`."""
        self.log.put_zones(zones, account, self._clock.utc_ns())
        self._renew()

    def remove_zone(self, zone_id: str) -> bool:
        """Watch a zone no more; raises `ConflictError` while a rule names it."""
        is_removed = self.log.remove_zone(zone_id)
        self._renew()
        return is_removed

    def put_rule(self, rule: Rule, account: str) -> None:
        """Keep and follow a rule; raises `InputError`."""
        self.log.put_rule(rule, account, self._clock.utc_ns())
        self._renew()

    def remove_rule(self, rule_id: str) -> bool:
        """Follow a rule no more."""
        is_removed = self.log.remove_rule(rule_id)
        self._renew()
        return is_removed

    def acknowledge(self, alert_id: str, account: str, text: str) -> LoggedAlert:
        """A person has taken note; raises `InputError`, `ConflictError`."""
        found = self.log.acknowledge(alert_id, account, text, self._clock.utc_ns())
        self._told(found)
        return found

    def escalate(self, alert_id: str, account: str, text: str) -> LoggedAlert:
        """A person makes it one step more severe; raises `InputError`, `ConflictError`."""
        found = self.log.raise_severity(alert_id, account, text, self._clock.utc_ns())
        self._told(found)
        return found

    def comment(self, alert_id: str, account: str, text: str) -> LoggedAlert:
        """A person's remark; raises `InputError`."""
        found = self.log.comment(alert_id, account, text, self._clock.utc_ns())
        self._told(found)
        return found

    def _told(self, logged: LoggedAlert) -> None:
        for tell in self._tell:
            tell(logged)
        is_news = not logged.acts or logged.acts[-1].kind == "escalated"
        if self._to_pilot is not None and logged.alert.to_pilot and is_news and not logged.alert.is_quiet:
            self._to_pilot(logged)

    def _follow_file(self) -> None:
        """The command line may have changed zones beside the running station."""
        version = self.log.data_version
        if version != self._version:
            self._version = version
            self._engine.configure(self.log.zones(), self.log.rules())

    def _renew(self) -> None:
        with self._lock:
            self._engine.configure(self.log.zones(), self.log.rules())


class AlertWatch:
    """The thread `ground.alerts`: hands the desk every contact that changed in the live picture."""

    def __init__(self, desk: AlertDesk, picture: LivePicture, store: StoreReader) -> None:
        self._desk, self._picture, self._store = desk, picture, store
        self._seen = -1
        self._turns = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground.alerts", daemon=True)

    def start(self) -> None:
        """Begin to watch; what changed while the station was off is looked at first."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(3.0)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def turn(self) -> None:
        """One look at what changed."""
        self._observe(self._changed())
        self._turns += 1
        if self._turns % _AGAIN_TURNS == 0 and self._desk.asks_ais:
            newest, _ = self._store.contacts(Filter(limit=_AGAIN_CONTACTS))
            self._observe([one.contact for one in newest[::-1]])
        self._desk.tick()

    def _observe(self, contacts: Sequence[Contact]) -> None:
        for first in range(0, len(contacts), _AT_ONCE):
            if self._stopping.is_set():
                return
            self._desk.observe(contacts[first : first + _AT_ONCE])

    def _changed(self) -> list[Contact]:
        changes = self._picture.changes_since(self._seen, _PAGE)
        if changes is None:  # the first time, or too far behind: everything
            self._seen = self._picture.revision
            found: list[Contact] = []
            while len(found) < _MOST_CONTACTS:
                page, matched = self._store.contacts(Filter(limit=_PAGE, offset=len(found)))
                found += [one.contact for one in page]
                if not page or len(found) >= matched:
                    break
            return found[::-1]
        if changes:
            self._seen = changes[-1].revision
        return [one.value.contact for one in changes if isinstance(one.value, StoredContact)]

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self.turn()
            except StoreError as error:
                if not self._stopping.is_set():  # a station that ends closes the store
                    _log.error("alerts are not judged", reason=str(error))
                self._stopping.wait(5.0)
            except Exception as error:  # noqa: BLE001 - the outermost loop: the next contact must be judged
                _log.error("an alert was not judged", reason=str(error), kind=type(error).__name__)
