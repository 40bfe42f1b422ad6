"""The file of zones, rules and alerts: what fired stays, with what people and the station did about it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ground.alerts.alert import Act, Alert, LoggedAlert
from ground.alerts.rules import MAX_RULES, Rule, Severity, check_rule, more_severe
from ground.alerts.zones import Zone, check_zone
from ground.store.database import open_database
from ground.store.schema import as_store_errors
from skywarden.clock import NS_PER_S
from skywarden.errors import ConflictError, InputError, StoreError

APPLICATION_ID = 0x53_4B_59_41  # "SKYA"
MAX_ZONES = 5_000
MAX_TEXT = 2_000
_MAX_ESCALATIONS = 2

_SCHEMA = """
CREATE TABLE zones(
    zone_id TEXT PRIMARY KEY, body BLOB NOT NULL, account TEXT NOT NULL, time_ns INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE rules(
    rule_id TEXT PRIMARY KEY, body BLOB NOT NULL, account TEXT NOT NULL, time_ns INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE alerts(
    alert_key INTEGER PRIMARY KEY, alert_id TEXT NOT NULL UNIQUE, contact_id TEXT NOT NULL,
    time_ns INTEGER NOT NULL, noted_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX alerts_by_time ON alerts(noted_ns, alert_key);
CREATE INDEX alerts_by_contact ON alerts(contact_id);
CREATE TABLE acts(
    act_key INTEGER PRIMARY KEY, alert_key INTEGER NOT NULL REFERENCES alerts, kind TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX acts_by_alert ON acts(alert_key, act_key);
CREATE TABLE open_alerts(alert_key INTEGER PRIMARY KEY REFERENCES alerts);
CREATE TRIGGER alerts_stay BEFORE UPDATE ON alerts BEGIN SELECT RAISE(ABORT, 'alerts do not change'); END;
CREATE TRIGGER alerts_remain BEFORE DELETE ON alerts BEGIN SELECT RAISE(ABORT, 'alerts are not deleted'); END;
CREATE TRIGGER acts_stay BEFORE UPDATE ON acts BEGIN SELECT RAISE(ABORT, 'acts do not change'); END;
CREATE TRIGGER acts_remain BEFORE DELETE ON acts BEGIN SELECT RAISE(ABORT, 'acts are not deleted'); END;
"""
_Body = TypeVar("_Body", Zone, Rule, Alert, Act)


class AlertLog:
    """The file; safe from any thread, and other processes may use it at the same time.

    Raises `StoreError` when it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(path, APPLICATION_ID, (_SCHEMA,))

    @property
    def data_version(self) -> int:
        """Changes when another process (or another connection) has written."""
        with self._lock, as_store_errors(self._path):
            return int(self._db.pragma("data_version"))

    def zones(self) -> list[Zone]:
        """All zones, by id."""
        return self._all("SELECT body FROM zones ORDER BY zone_id", Zone)

    def rules(self) -> list[Rule]:
        """All rules, by id; the one that nobody made is not among them."""
        return self._all("SELECT body FROM rules ORDER BY rule_id", Rule)

    def put_zones(self, zones: Sequence[Zone], account: str, time_ns: int) -> None:
        """Keep zones, in place of those of the same id; all or none. Raises `InputError`."""
        for zone in zones:
            check_zone(zone)
        with self._lock, as_store_errors(self._path), self._db:
            for zone in zones:
                self._put("zones", zone.zone_id, zone, account, time_ns)
            if self._db.execute("SELECT count(*) FROM zones").get > MAX_ZONES:
                raise InputError(f"more than {MAX_ZONES} zones; remove some first")

    def put_rule(self, rule: Rule, account: str, time_ns: int) -> None:
        """Keep a rule, in place of one of the same id. Raises `InputError`."""
        check_rule(rule)
        with self._lock, as_store_errors(self._path), self._db:
            known = {row[0] for row in self._db.execute("SELECT zone_id FROM zones")}
            missing = sorted(set(rule.zone_ids) - known)
            if missing:
                raise InputError(
                    f"rule {rule.name!r} names zones that do not exist: {', '.join(missing[:5])}"
                )
            self._put("rules", rule.rule_id, rule, account, time_ns)
            if self._db.execute("SELECT count(*) FROM rules").get > MAX_RULES:
                raise InputError(f"more than {MAX_RULES} rules; remove some first")

    def remove_zone(self, zone_id: str) -> bool:
        """Drop a zone; False when there is none. Raises `ConflictError` while a rule names it."""
        naming = [rule.name for rule in self.rules() if zone_id in rule.zone_ids]
        if naming:
            raise ConflictError(f"zone {zone_id} is named by {len(naming)} rules, such as {naming[0]!r}")
        return self._removed("DELETE FROM zones WHERE zone_id = ?", zone_id)

    def remove_rule(self, rule_id: str) -> bool:
        """Drop a rule; False when there is none."""
        return self._removed("DELETE FROM rules WHERE rule_id = ?", rule_id)

    def note(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Keep alerts; those that are news. It is durable when this returns."""
        if not alerts:
            return []
        fresh = []
        with self._lock, as_store_errors(self._path), self._db:
            for one in alerts:
                self._db.execute(
                    "INSERT OR IGNORE INTO alerts(alert_id, contact_id, time_ns, noted_ns, body) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (one.alert_id, one.contact_id, one.time_ns, one.noted_ns, msgspec.json.encode(one)),
                )
                if self._db.changes():
                    self._db.execute("INSERT INTO open_alerts VALUES (?)", (self._db.last_insert_rowid(),))
                    fresh.append(one)
        return fresh

    def newest(
        self,
        limit: int = 100,
        *,
        only_open: bool = False,
        contact_id: str | None = None,
        before: int | None = None,
    ) -> list[LoggedAlert]:
        """Alerts, newest first; `only_open`: those that nobody has acknowledged; `before`: a version, to turn
        pages."""
        conditions = [("a.alert_key < ?", before), ("a.contact_id = ?", contact_id)]
        held = [(text, value) for text, value in conditions if value is not None]
        where = " AND ".join(["1", *(text for text, _ in held)])
        joined = "JOIN open_alerts USING(alert_key)" if only_open else ""
        with self._lock, as_store_errors(self._path):
            rows: list[tuple[Any, ...]] = self._db.execute(
                f"SELECT a.alert_key, a.body FROM alerts a {joined} WHERE {where} "
                "ORDER BY a.alert_key DESC LIMIT ?",
                (*(value for _, value in held), limit),
            ).fetchall()
            return [self._logged(*row) for row in rows]

    def get(self, alert_id: str) -> LoggedAlert | None:
        """One alert."""
        with self._lock, as_store_errors(self._path):
            row = self._db.execute(
                "SELECT alert_key, body FROM alerts WHERE alert_id = ?", (alert_id,)
            ).fetchone()
            return self._logged(*row) if row is not None else None

    def acknowledge(self, alert_id: str, account: str, text: str, time_ns: int) -> LoggedAlert:
        """A person has taken note. Raises `ConflictError` when another one had before, naming them, and
        `InputError` when there is no such alert."""

        def act(before: LoggedAlert) -> Act | None:
            taken = before.acknowledged
            if taken is not None and taken.account != account:
                raise ConflictError(f"{taken.account} acknowledged this alert before")
            if taken is not None:
                return None
            return Act(kind="acknowledged", time_ns=time_ns, account=account, text=text[:MAX_TEXT])

        return self._acted(alert_id, act)

    def comment(self, alert_id: str, account: str, text: str, time_ns: int) -> LoggedAlert:
        """A person's remark. Raises `InputError` when there is no such alert or nothing is said."""
        if not text.strip():
            raise InputError("a comment without words")
        made = Act(kind="commented", time_ns=time_ns, account=account, text=text[:MAX_TEXT])
        return self._acted(alert_id, _always(made))

    def raise_severity(self, alert_id: str, account: str, text: str, time_ns: int) -> LoggedAlert:
        """A person makes it one step more severe. Raises `ConflictError` when it is at the top already, and
        `InputError` when there is no such alert."""

        def act(before: LoggedAlert) -> Act | None:
            above = more_severe(before.severity)
            if above == before.severity:
                raise ConflictError(f"this alert is {before.severity} already: there is nothing above")
            said = text[:MAX_TEXT]
            return Act(kind="escalated", time_ns=time_ns, account=account, text=said, severity=above)

        return self._acted(alert_id, act)

    def escalate(self, now_ns: int) -> list[LoggedAlert]:
        """What nobody has acknowledged for too long becomes more severe; those that did just now."""
        raised = []
        for one in self.newest(1_000, only_open=True):
            steps = [act for act in one.acts if act.kind == "escalated"]
            since_ns = steps[-1].time_ns if steps else one.alert.noted_ns
            wait_s = one.alert.escalate_after_s
            if not wait_s or len(steps) >= _MAX_ESCALATIONS or now_ns - since_ns < wait_s * NS_PER_S:
                continue
            if more_severe(one.severity) == one.severity:
                continue
            text = f"nobody acknowledged it within {wait_s:.0f} s"
            act = Act(kind="escalated", time_ns=now_ns, text=text, severity=more_severe(one.severity))
            raised.append(self._acted(one.alert.alert_id, _always(act)))
        return raised

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close(True)

    def _acted(self, alert_id: str, make: Callable[[LoggedAlert], Act | None]) -> LoggedAlert:
        with self._lock, as_store_errors(self._path), self._db:
            row = self._db.execute(
                "SELECT alert_key, body FROM alerts WHERE alert_id = ?", (alert_id,)
            ).fetchone()
            if row is None:
                raise InputError(f"there is no alert {alert_id[:40]}")
            act = make(self._logged(*row))
            if act is not None:
                self._db.execute(
                    "INSERT INTO acts(alert_key, kind, body) VALUES (?, ?, ?)",
                    (row[0], act.kind, msgspec.json.encode(act)),
                )
                if act.kind == "acknowledged":
                    self._db.execute("DELETE FROM open_alerts WHERE alert_key = ?", (row[0],))
            logged = self._logged(*row)
        return logged

    def _logged(self, key: Any, body: Any) -> LoggedAlert:
        alert = self._decoded(body, Alert)
        rows: list[tuple[Any, ...]] = self._db.execute(
            "SELECT body FROM acts WHERE alert_key = ? ORDER BY act_key", (key,)
        ).fetchall()
        acts = tuple(self._decoded(row[0], Act) for row in rows)
        severity: Severity = alert.severity
        for act in acts:
            severity = act.severity or severity
        return LoggedAlert(alert=alert, severity=severity, acts=acts, version=int(key))

    def _put(self, table: str, name: str, body: Zone | Rule, account: str, time_ns: int) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)",
            (name, msgspec.json.encode(body), account[:64], time_ns),
        )

    def _removed(self, statement: str, name: str) -> bool:
        with self._lock, as_store_errors(self._path), self._db:
            self._db.execute(statement, (name,))
            count = self._db.changes()
        return bool(count)

    def _all(self, query: str, kind: type[_Body]) -> list[_Body]:
        with self._lock, as_store_errors(self._path):
            rows: list[tuple[Any, ...]] = self._db.execute(query).fetchall()
        return [self._decoded(row[0], kind) for row in rows]

    def _decoded(self, body: Any, kind: type[_Body]) -> _Body:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, TypeError) as error:
            raise StoreError(
                f"{self._path}: a stored {kind.__name__.lower()} does not decode ({error})"
            ) from error


def _always(act: Act) -> Callable[[LoggedAlert], Act]:
    return lambda _: act
