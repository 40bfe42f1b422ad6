"""Scenario S6: clocks that jump, aboard and on the ground, by hours and decades, while everything runs.

The clocks are handed in; every core takes its timers from the monotonic one, so a jump of UTC is data.
"""

import random
import tempfile
import time
from pathlib import Path

import structlog

from edge import clock_watch
from ground.accounts.doorkeeper import AccountsConfig, Doorkeeper
from ground.accounts.roles import Role
from ground.accounts.sessions import Identity
from ground.link.authenticator import AllowList, enrol
from ground.upkeep.verify import verify_store
from sim.faults.checker import Checker
from sim.faults.nodes import START_NS, EdgeNode, GroundNode, NodeClock
from sim.faults.result import Profile, Result
from skywarden.link import keys
from skywarden.messages import Health
from skywarden.wire import encode

JUMPS: dict[Profile, int] = {"quick": 200, "full": 2_000, "soak": 50_000}
_PLATFORM = "uav01"
_STEP_S = 0.1
_HOUR_S = 3_600.0
_YEAR_S = 365.25 * 24 * _HOUR_S
_WEEKS_S = 1_024 * 7 * 24 * _HOUR_S
_LEAPS_S = (
    -START_NS / 1e9,  # 1970
    _HOUR_S,
    -_HOUR_S,
    20 * _YEAR_S,
    -_WEEKS_S,  # the GPS week number rolls over
    2.5,
    -2.5,
)


def run(profile: Profile, seed: int) -> Result:
    """Jump, record, exchange; then calm down and judge. Keys and sessions end in true time all the while."""
    result = Result("S6", profile, seed)
    began_s = time.monotonic()
    before, rng = structlog.get_config(), random.Random(seed)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with tempfile.TemporaryDirectory(prefix="skywarden-s6-") as folder:
            _delivery(result, Path(folder), JUMPS[profile], rng)
        with tempfile.TemporaryDirectory(prefix="skywarden-s6-") as folder:
            _expiry(result, Path(folder), min(JUMPS[profile], 2_000), rng)
    finally:
        structlog.configure(**before)
    result.seconds = time.monotonic() - began_s
    return result


class _Delivery:
    """One platform and the station under jumping clocks."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.checker = Checker()
        self.edge = EdgeNode(_PLATFORM, folder / "edge", rng, self.checker, frozenset())
        self.ground = GroundNode(folder / "ground", rng, frozenset())
        self.ground.keys[_PLATFORM] = (self.edge.key.public,)
        self.now_s, self.number = 0.0, 0
        self.affected = self.unmarked = self.marked_wrongly = self.silences = 0
        self.ground.start(0.0)
        self.edge.start(0.0)

    def step(self, *, is_recording: bool) -> None:
        """A tenth of a second."""
        self.now_s = round(self.now_s + _STEP_S, 3)
        self.edge.clock.now_s = self.ground.clock.now_s = self.now_s
        if is_recording:
            self._record()
        self.ground.inbox += [(_PLATFORM, payload) for payload in self.edge.send(self.now_s)]
        for _, payload in self.ground.work():
            self.edge.receive(payload, self.now_s)
        if self.edge.core is not None and self.now_s > 2.0:
            self.silences += not self.edge.core.is_up(self.now_s)

    def _record(self) -> None:
        assert self.edge.outbox is not None
        self.number += 1
        self.edge.append([("health", self.edge.clock.utc_ns(), encode(_health(self.number)))])
        newest = self.edge.outbox.state().last_seq
        for record in self.edge.outbox.pending(10**9, limit_records=10**6):
            if record.seq != newest:
                continue
            is_wrong = abs(self.edge.clock.offset_s) > 1.0
            self.affected += is_wrong
            self.unmarked += is_wrong and record.clock == clock_watch.STEADY
            self.marked_wrongly += not is_wrong and record.clock != clock_watch.STEADY


def _delivery(result: Result, folder: Path, count: int, rng: random.Random) -> None:
    scene = _Delivery(folder, rng)
    for _ in range(20):
        scene.step(is_recording=True)
    for number in range(count):
        node: EdgeNode | GroundNode = scene.edge if rng.random() < 0.7 else scene.ground
        node.clock.offset_s = 0.0 if rng.random() < 0.3 else rng.choice(_LEAPS_S)
        if number == count // 2:
            scene.ground.clock.offset_s = -_HOUR_S
        for _ in range(rng.randint(2, 8)):
            scene.step(is_recording=True)
    scene.edge.clock.offset_s = scene.ground.clock.offset_s = 0.0
    for _ in range(100):
        scene.step(is_recording=False)
    held = scene.edge.outbox.state().held if scene.edge.outbox is not None else -1
    forks = scene.ground.intake.counts.forks if scene.ground.intake is not None else -1
    order = _is_in_order(scene)
    scene.edge.die(power=False)
    scene.ground.die(power=False)
    verdict = scene.checker.judge(scene.ground.path)
    result.observe("jumps", count)
    result.observe("records", scene.number)
    result.expect_zero("lost", verdict.lost + verdict.acknowledged_and_lost)
    result.expect_zero("stored twice", verdict.stored_twice + forks)
    result.expect_zero("still aboard", held)
    result.expect_zero("link believed silent (restarts of the watchdog)", scene.silences)
    result.expect_at_least("records made under a wrong clock", scene.affected, count / 4)
    result.expect_zero("of these marked as of a good clock", scene.unmarked)
    result.observe("records of a right clock marked as doubtful", scene.marked_wrongly)
    result.expect_zero("out of order by (boot, number)", order)
    result.expect_zero("damaged", verify_store(scene.ground.path, scene.ground.keys).damaged)
    for disk in (scene.edge.disk, scene.ground.disk):
        disk.unregister()


def _is_in_order(scene: _Delivery) -> int:
    """How many stored records of the platform do not carry the count that their number says."""
    store = scene.ground.store
    assert store is not None
    rows = store._db.execute("SELECT seq, body FROM records WHERE topic = 'health' ORDER BY seq").fetchall()
    return sum(b"condition %d." % (place + 1) not in bytes(row[1]) for place, row in enumerate(rows))


def _expiry(result: Result, folder: Path, count: int, rng: random.Random) -> None:
    """Keys on their way out and sessions, each with a true end, while the station's clock jumps."""
    clock = NodeClock(now_s=10.0)
    keeper = Doorkeeper(folder, AccountsConfig(session_s=600.0, session_idle_s=600.0), clock=clock)
    allowed = AllowList(folder / "authorized", clock)
    accepted_late, early, judged = 0, 0, 0
    try:
        for number in range(max(10, count // 10)):
            clock.offset_s = 0.0
            old, new, name = keys.new_key_pair(), keys.new_key_pair(), f"uav{number:05}"
            enrol(folder / "authorized", name, old.public)
            until_ns = clock.utc_ns() // 10**9 * 10**9 + 500 * 10**9
            enrol(folder / "authorized", name, new.public, replace=True, overlap_until_ns=until_ns)
            allowed.refresh()
            code = keeper.session_code(f"viewer-{number % 5}", Role.VIEWER)
            token = keeper.use_code(code, None, "127.0.0.1")
            ends_s = clock.now_s + 500.0
            while clock.now_s < ends_s + 300.0:
                clock.now_s += rng.uniform(20.0, 120.0)
                clock.offset_s = 0.0 if rng.random() < 0.3 else rng.choice(_LEAPS_S)
                if rng.random() < 0.1:  # a restart, with the clock right: nothing else tells a key's end then
                    clock.offset_s = 0.0
                    allowed = AllowList(folder / "authorized", clock)
                allowed.refresh()
                who = keeper.identify(cookie=token, bearer=None)
                is_key_over, is_session_over = clock.now_s > ends_s, clock.now_s > ends_s + 100.0
                accepted_late += is_key_over and allowed.platform_of(old.public) is not None
                accepted_late += is_session_over and isinstance(who, Identity)
                early += allowed.platform_of(new.public) != name
                judged += 1
    finally:
        keeper.close()
    result.observe("times that keys and sessions were tried", judged)
    result.expect_zero("keys and sessions accepted after their true end", accepted_late)
    result.expect_zero("keys without an end refused", early)


def _health(number: int) -> Health:
    return Health(
        platform_id=_PLATFORM,
        component="camera.eo",
        condition="stalled",
        state="degraded",
        time_ns=START_NS,
        since_ns=START_NS,
        text=f"condition {number}.",
    )
