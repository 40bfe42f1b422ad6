"""S17: every route of the ground by every kind of caller, and hostile parameters; deny by default.

Routes come from the router itself, so that one that is added tomorrow is tried tomorrow. Every answer is
compared with the table in `ground.accounts.roles`, and the access log with what was refused and shown.
"""

import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ground.accounts.access_log import read_events, verify_log
from ground.accounts.doorkeeper import AccountsConfig
from ground.accounts.roles import GRANTED, LOGGED, OPENED, Permission, Role, Scope
from ground.accounts.sessions import Identity, Sessions
from ground.config import GroundConfig
from ground.http.gate import TOKEN_HEADER, Rule
from ground.serve import GroundHandle, start_ground
from ground.store.sqlite import Arrival
from sim.faults.access_fuzz import Request, requests
from sim.faults.result import Profile, Result
from skywarden.clock import SystemClock
from skywarden.messages import Chip, Message, Position, Sighting
from skywarden.topics import topic_of
from skywarden.wire import Record, encode

CASES: Mapping[Profile, int] = {"quick": 500, "full": 6_000, "soak": 200_000}
SECRET = b"\xff\xd8\xff the picture that strangers must not see"
_CHIP_ID, _LABEL = "chip-secret", "secretlabel"
_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Headers of a kind of caller, and what they open; `None` opens nothing: status 401 (`why`) or 403."""

    name: str
    headers: Mapping[str, str]
    granted: frozenset[Permission] | None
    status: int = 401


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Station:
    """A ground with one contact, one chip and one layer, and callers of every kind."""

    def __init__(self, folder: Path) -> None:
        layers = folder / "ground" / "layers"
        layers.mkdir(parents=True)
        (layers / "coast.geojson").write_text('{"type":"FeatureCollection","features":[]}', encoding="utf-8")
        self.handle: GroundHandle = start_ground(
            GroundConfig(
                state=str(folder / "ground"),
                http="127.0.0.1:0",
                link="127.0.0.1:0",
                accounts=AccountsConfig(requests_per_s=100_000.0, requests_burst=1_000_000),
            )
        )
        self._fill()
        self.keeper = self.handle.doorkeeper
        for role in Role:
            self.keeper.book.add(f"a-{role.value}", role)
        self.connection = self.connect()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one's own."""
        host, port = self.handle.http_address.split(":")
        return http.client.HTTPConnection(host, int(port), timeout=_LIMIT_S)

    def close(self) -> None:
        """End the station."""
        self.connection.close()
        self.handle.stop()

    def ask(self, request: Request) -> Answer:
        """One question; streams are only begun."""
        self.connection.request(
            request.method, request.path, body=request.body or None, headers=dict(request.headers)
        )
        found = self.connection.getresponse()
        if (found.headers.get("content-type") or "").startswith("text/event-stream"):
            found.close()
            self.connection.close()
            return Answer(found.status, found.headers, b"")
        return Answer(found.status, found.headers, found.read())

    def session(self, role: Role) -> dict[str, str]:
        """Headers of a fresh session of this role, as a page of the station sends them."""
        token = self.keeper.sessions.begin(self.keeper.book.get(f"a-{role.value}"), "127.0.0.1")
        who = self.keeper.sessions.identify(token)
        assert isinstance(who, Identity)
        return {"Cookie": f"{self.handle.cookie_name}={token}", TOKEN_HEADER: who.token}

    def key(self, role: Role, *scopes: Scope, valid_s: float = 3_600.0) -> str:
        """A fresh API key."""
        return self.keeper.keys.new(
            self.keeper.book.get(f"a-{role.value}"), "s17", frozenset(scopes), valid_s
        )

    def denials(self) -> int:
        """How many refusals the access log tells of, when what waits has been written."""
        self.keeper.note_local("account", "everything before this is written")
        return sum(one.event.action == "denied" for one in read_events(self.keeper.database))

    def callers(self, rule: Rule) -> Iterator[Caller]:
        """Every kind of caller, fresh, for one route."""
        yield Caller("anonymous", {}, None)
        for role in Role:
            yield Caller(f"session of {role.value}", self.session(role), GRANTED[role])
        for scope in Scope:
            header = {"Authorization": f"Bearer {self.key(Role.ADMINISTRATOR, scope)}"}
            yield Caller(f"key for {scope.value}", header, OPENED[scope])
            header = {"Authorization": f"Bearer {self.key(Role.PARTNER, scope)}"}
            yield Caller(f"partner's key for {scope.value}", header, OPENED[scope] & GRANTED[Role.PARTNER])
        yield from self._broken_proofs()
        yield from self._other_sites(rule)

    def _broken_proofs(self) -> Iterator[Caller]:
        ended = self.session(Role.ADMINISTRATOR)
        token = ended["Cookie"].split("=", 1)[1]
        who = self.keeper.sessions.identify(token)
        assert isinstance(who, Identity)
        self.keeper.sessions.end(who.session_id, "revoked")
        yield Caller("revoked session", ended, None)
        short = Sessions(self.keeper.database, self.keeper.moments, idle_s=60.0, longest_s=0.0)
        old = short.begin(self.keeper.book.get("a-administrator"), "127.0.0.1")
        yield Caller("expired session", {"Cookie": f"{self.handle.cookie_name}={old}"}, None)
        good = self.session(Role.ADMINISTRATOR)
        last = good["Cookie"][-1]
        tampered = good["Cookie"][:-1] + ("A" if last != "A" else "B")
        yield Caller("tampered token", {**good, "Cookie": tampered}, None)
        key = self.key(Role.ADMINISTRATOR, *Scope)
        yield Caller("tampered key", {"Authorization": f"Bearer {key[:-2]}xx"}, None)
        yield Caller("key in a scheme of another kind", {"Authorization": f"Basic {key}"}, None)
        self.keeper.keys.revoke(key.split("_")[1])
        yield Caller("revoked key", {"Authorization": f"Bearer {key}"}, None)
        brief = self.key(Role.ADMINISTRATOR, *Scope, valid_s=1e-6)
        yield Caller("expired key", {"Authorization": f"Bearer {brief}"}, None)
        yield Caller("bad key beside a good session", {**good, "Authorization": "Bearer swkey1_x"}, None)
        yield Caller("forged token", {"Cookie": f"{self.handle.cookie_name}=eyJhbGciOiJub25lIn0.e30."}, None)

    def _other_sites(self, rule: Rule) -> Iterator[Caller]:
        good = self.session(Role.ADMINISTRATOR)
        for name, said in (
            ("page of another site", {"Origin": "https://evil.example"}),
            ("page on another port", {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}),
            ("sandboxed page", {"Origin": "null"}),
            ("image on another site", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        ):
            yield Caller(name, {**good, **said}, None, 403)
        if rule.permission is not Permission.PUBLIC and not set(rule.methods) & {"GET", "HEAD"}:
            yield Caller("form without the token", {"Cookie": good["Cookie"]}, None, 403)
            yield Caller("wrong token", {"Cookie": good["Cookie"], TOKEN_HEADER: "x" * 32}, None, 403)

    def _fill(self) -> None:
        now_ns = SystemClock().utc_ns()
        place = Position(
            latitude_deg=1.0,
            longitude_deg=2.0,
            alt_hae_m=0.0,
            covariance_enu_m2=(1.0, 0.0, 0.0, 1.0, 0.0, 1.0),
            ce90_m=2.0,
            le90_m=2.0,
            surface="sea",
        )
        sighting = Sighting(
            sighting_id="s17-1", track_id="s17", platform_id="uav17", sortie_id="s", sensor_id="eo",
            frame_number=1, time_ns=now_ns, label=_LABEL, score=0.9, model_id="m",
            box_px=(1.0, 2.0, 3.0, 4.0), position=place, bearing=None, no_position_reason=None,
            platform_position=(1.0, 2.0, 100.0),
        )  # fmt: skip
        chip = Chip(
            chip_id=_CHIP_ID, sighting_id="s17-1", platform_id="uav17", time_ns=now_ns,
            media_type="image/jpeg", width_px=8, height_px=8, box_in_chip_px=(0.0, 0.0, 8.0, 8.0),
            data=SECRET,
        )  # fmt: skip
        self.handle.store.ingest([_arrival(sighting, 1, now_ns), _arrival(chip, 2, now_ns)])
        self.handle.store.settle(self.handle.picture.next_revision())


def run(profile: Profile, seed: int, cases: int | None = None) -> Result:
    """The whole scenario on a station of its own."""
    result = Result("S17", profile, seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skywarden-s17-") as folder:
        station = Station(Path(folder))
        try:
            _judge_matrix(station, result)
            _judge_media(station, result)
            _judge_fuzz(station, result, cases or CASES[profile], seed)
            _judge_live(station, result)
            found = verify_log(station.keeper.database)
            result.expect_zero("access log: entries that do not fit the chain", len(found.problems))
        finally:
            station.close()
    result.seconds = time.monotonic() - began_s
    return result


def concrete(path: str) -> str:
    """A route's path with the ids of what is there."""
    ids = {"{contact_id}": "c-s17", "{chip_id}": _CHIP_ID, "{file}": "coast.geojson"}
    for name, value in ids.items():
        path = path.replace(name, value)
    return path


def _judge_matrix(station: Station, result: Result) -> None:
    wrong: list[str] = []
    cases = denied = shown = 0
    before, seen_before = station.denials(), _consultations(station)
    for rule in station.handle.rules:
        for method in rule.methods:
            for caller in station.callers(rule):
                cases += 1
                answer = station.ask(Request(method, concrete(rule.path) or "/", dict(caller.headers)))
                if not _is_right(rule, caller, answer):
                    wrong.append(f"{method} {rule.path} by {caller.name}: {answer.status}")
                denied += answer.status in (401, 403) and rule.permission is not Permission.PUBLIC
                denied += answer.status == 403 and rule.permission is Permission.PUBLIC
                shown += answer.status not in (401, 403) and rule.permission in LOGGED
    result.observe("routes", len(station.handle.rules))
    result.expect_at_least("cases of the matrix", cases, 300)
    result.expect_zero("answers that the table does not grant or deny", len(wrong))
    result.notes.extend(wrong[:20])
    result.expect_equal("denials in the access log", station.denials() - before, denied)
    result.expect_equal("consultations in the access log", _consultations(station) - seen_before, shown)


def _is_right(rule: Rule, caller: Caller, answer: Answer) -> bool:
    if answer.status >= 500:
        return False
    if caller.status == 403 and caller.granted is None:
        return answer.status == 403
    if rule.permission is Permission.PUBLIC:
        return answer.status not in (401, 403)
    if answer.status in (401, 403) and SECRET in answer.body:
        return False
    if caller.granted is None:
        return answer.status == 401
    return (answer.status not in (401, 403)) == (rule.permission in caller.granted)


def _consultations(station: Station) -> int:
    wanted = {one.value for one in LOGGED}
    return sum(one.event.action in wanted for one in read_events(station.keeper.database))


def _judge_media(station: Station, result: Result) -> None:
    """Images and lists by every other spelling of their address, without a session; and what may be kept."""
    spellings = [
        f"/api/v1/chips/{_CHIP_ID}", f"//api/v1/chips/{_CHIP_ID}", f"/api/v1//chips/{_CHIP_ID}",
        f"/api/v1/chips/{_CHIP_ID}/", f"/API/V1/chips/{_CHIP_ID}", f"/api%2fv1%2fchips%2f{_CHIP_ID}",
        f"/assets/../api/v1/chips/{_CHIP_ID}", f"/%61pi/v1/chips/{_CHIP_ID}", f"/./api/v1/chips/{_CHIP_ID}",
        f"/healthz/../api/v1/chips/{_CHIP_ID}", f"/api/v1/chips/{_CHIP_ID}?token=x", "/store.sqlite",
        "/../store.sqlite", "/%2e%2e/%2e%2e/store.sqlite", "/assets/..%2f..%2f..%2fstore.sqlite",
        "/accounts.sqlite", "/api/v1/sightings", "/api/v1/contacts", "/api/v1/sightings.geojson",
        "/api/v1/layers/..%2f..%2faccounts.sqlite", f"/api/v1/live;/chips/{_CHIP_ID}",
    ]  # fmt: skip
    leaks = 0
    for path in spellings:
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH", "TRACE"):
            answer = station.ask(Request(method, path, {}))
            is_leak = SECRET in answer.body or _LABEL.encode() in answer.body or b"SQLite" in answer.body
            leaks += is_leak or (answer.status < 400 and path.startswith("/api/"))
    result.expect_zero("leaks to strangers by other spellings", leaks)
    kept = 0
    good = station.session(Role.ADMINISTRATOR)
    for path in (f"/api/v1/chips/{_CHIP_ID}", "/api/v1/contacts", "/api/v1/layers/coast.geojson", "/metrics"):
        answer = station.ask(Request("GET", path, good))
        cache = answer.headers.get("cache-control", "")
        kept += answer.status != 200 or not ("no-store" in cache or "no-cache" in cache)
        kept += "public" in cache
    result.expect_zero("answers that a cache may give to the next person", kept)


def _judge_fuzz(station: Station, result: Result, cases: int, seed: int) -> None:
    key = {"Authorization": f"Bearer {station.key(Role.ADMINISTRATOR, *Scope)}"}
    description = json.loads(station.ask(Request("GET", "/openapi.json", key)).body)
    broken: list[str] = []
    tried = refused = slow = 0
    for request in requests(description, cases, seed):
        tried += 1
        began_s = time.monotonic()
        answer = station.ask(Request(request.method, request.path, {**key, **request.headers}, request.body))
        slow += time.monotonic() - began_s > 2.0
        refused += 400 <= answer.status < 500
        if answer.status >= 500 or (answer.status >= 400 and not _is_error(request, answer)):
            broken.append(f"{request.method} {request.path[:150]}: {answer.status} {answer.body[:80]!r}")
    result.expect_at_least("hostile requests", tried, cases)
    result.expect_zero("answers of 5xx, or errors that are no sentence", len(broken))
    result.expect_zero("answers later than 2 s", slow)
    result.observe("refused with 4xx", refused)
    result.notes.extend(broken[:10])


def _is_error(request: Request, answer: Answer) -> bool:
    if request.method == "HEAD":
        return True
    try:
        return list(json.loads(answer.body)) == ["error"]
    except ValueError:
        return answer.body == b"Invalid HTTP request received."


def _judge_live(station: Station, result: Result) -> None:
    """How long a live picture goes on after its right has ended."""
    longest_s = 0.0
    for what in ("role", "disabled", "ended"):
        role = Role.OPERATOR
        headers = station.session(role)
        connection = station.connect()
        connection.request("GET", "/api/v1/live", headers=headers)
        stream = connection.getresponse()
        assert stream.status == 200, stream.status
        stream.readline()
        book, name = station.keeper.book, f"a-{role.value}"
        began_s = time.monotonic()
        if what == "role":
            book.set_role(name, Role.PARTNER)
        elif what == "disabled":
            book.set_disabled(name, is_disabled=True)
        else:
            station.keeper.sessions.end(station.keeper.sessions.list(name)[0].session_id, "revoked")
        while stream.readline():
            if time.monotonic() - began_s > _LIMIT_S:
                break
        longest_s = max(longest_s, time.monotonic() - began_s)
        connection.close()
        book.set_role(name, role)
        book.set_disabled(name, is_disabled=False)
    result.expect_at_most("live picture after role change, disabling, end, s", longest_s, 5.0)


def _arrival(message: Message, seq: int, now_ns: int) -> Arrival:
    record = Record(
        platform_id="uav17",
        boot_id="17" * 16,
        seq=seq,
        topic=topic_of(message).name,
        time_ns=now_ns,
        body=encode(message),
    )
    return Arrival(record=record, message=message, received_ns=now_ns)
