"""GNSS integrity through real MAVLink bytes: each fault is found, named, survived, and forgotten in time."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from edge.config import MountConfig
from edge.integrity import GOOD, MotionCheck, Point, Timeline, Verdict
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from skywarden import wire
from skywarden.geometry.geoid import undulation_m
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Sighting
from tests.edge.eyes import box, frame, node, pose

T0 = 1_760_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000
LATITUDE, LONGITUDE, ALT_MSL_M = 41.5, 12.5, 300.0
NORTH_DEG, EAST_DEG = 1 / 111_073.0, 1 / 83_515.0
GEOID_M = float(undulation_m(LATITUDE, LONGITUDE))
NADIR = MountConfig(kind="fixed", pitch_deg=-90.0)


class Plane:
    """A plane that flies north at 20 m/s and tells so at 5 Hz; what it tells can be spoilt.

    `away_m` is (north, east) by which all positions are displaced, `told` what messages are sent with it.
    """

    def __init__(self, **config: Any) -> None:
        self.node = TelemetryNode(MavlinkConfig(**config))
        self.maker = MessageMaker(1, 1)
        self.now_ns = T0
        self.boot_ms = 60_000
        self.north_m = 0.0
        self.speed_mps = 20.0
        self.away_m = (0.0, 0.0)
        self.receiver_away_m: tuple[float, float] | None = None
        self.velocity_mps: float | None = None
        self.ground_speed_mps: float | None = None
        self.fix_type = 3
        self.frozen: dict[str, Any] | None = None
        self.utc_off_s = 0.0
        self.armed = 128
        self.has_estimate = True
        self.estimate_up_m = 0.0
        self.alt_ellipsoid_m: float | None = None
        self.second_away_m: tuple[float, float] | None = None
        self.noise = random.Random(5)

    def fly(self, seconds: float) -> None:
        """Go on as things are."""
        for _ in range(round(seconds * 5)):
            self._step()

    def pose(self, ago_s: float = 0.4) -> CameraPose | NoPose:
        """The pose of some time ago."""
        buffer = self.node.pose_buffer(mount=NADIR, sigmas=PoseSigmas())
        return buffer.pose_at(self.now_ns - round(ago_s * S))

    def reason(self, ago_s: float = 0.4) -> str:
        """Why there is no pose, why it is in doubt, or ""."""
        pose = self.pose(ago_s)
        return pose.reason if isinstance(pose, NoPose) else pose.doubt or ""

    def holding(self) -> set[str]:
        """The conditions that the ground is told of."""
        return {health.condition for health in self.node.conditions(self.now_ns) if health.state != "ok"}

    def seconds_to_flag(self, most_s: float) -> float:
        """How long it takes, going on as things are, until a pose of 0.4 s ago is refused or doubted."""
        for number in range(round(most_s * 5)):
            if self.reason():
                return number / 5
            self.fly(0.2)
        raise AssertionError(f"not flagged within {most_s} s")

    def place(self, away_m: tuple[float, float]) -> dict[str, Any]:
        """Where it is told to be."""
        north_m = self.north_m + away_m[0] + self.noise.gauss(0, 0.05)
        east_m = away_m[1] + self.noise.gauss(0, 0.05)
        place = {
            "latitude_deg": LATITUDE + north_m * NORTH_DEG,
            "longitude_deg": LONGITUDE + east_m * EAST_DEG,
            "alt_msl_m": ALT_MSL_M,
        }
        return place if self.frozen is None else self.frozen

    def _tell(self, raw: bytes) -> None:
        self.node.handle(self.now_ns + 20 * MS, raw)

    def _step(self) -> None:
        self.boot_ms += 200
        self.now_ns += 200 * MS
        self.north_m += 0.2 * self.speed_mps
        maker, boot_ms = self.maker, self.boot_ms
        if boot_ms % 1000 == 0:
            self._tell(maker.heartbeat(base_mode=self.armed))
            unix_us = (self.now_ns // 1000) + round(self.utc_off_s * 1e6)
            self._tell(maker.system_time(time_boot_ms=boot_ms, time_unix_us=unix_us))
        self._tell(maker.attitude(time_boot_ms=boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0))
        if self.ground_speed_mps is not None:
            self._tell(
                maker.message(
                    "VFR_HUD",
                    airspeed=self.speed_mps,
                    groundspeed=self.ground_speed_mps,
                    heading=0,
                    throttle=50,
                    alt=300.0,
                    climb=0.0,
                )
            )
        place = self.place(self.away_m)
        told_mps = self.speed_mps if self.velocity_mps is None else self.velocity_mps
        self._receiver(place, told_mps)
        if self.has_estimate:
            place = place | {"alt_msl_m": place["alt_msl_m"] + self.estimate_up_m}
            self._tell(
                maker.global_position_int(time_boot_ms=boot_ms, alt_rel_m=100.0, vn_mps=told_mps, **place)
            )

    def _receiver(self, place: dict[str, Any], told_mps: float) -> None:
        mine = place if self.receiver_away_m is None else self.place(self.receiver_away_m)
        self._tell(
            self.maker.gps_raw_int(
                time_us=self.boot_ms * 1000,
                fix_type=self.fix_type,
                speed_mps=told_mps,
                course_deg=0.0,
                alt_ellipsoid_m=self.alt_ellipsoid_m,
                **mine,
            )
        )
        if self.second_away_m is not None:
            second = self.place(self.second_away_m)
            self._tell(
                self.maker.message(
                    "GPS2_RAW",
                    time_usec=self.boot_ms * 1000,
                    fix_type=3,
                    lat=round(second["latitude_deg"] * 1e7),
                    lon=round(second["longitude_deg"] * 1e7),
                    alt=300_000,
                    eph=90,
                    epv=90,
                    vel=2_000,
                    cog=0,
                    satellites_visible=12,
                    dgps_numch=0,
                    dgps_age=0,
                )
            )


def _plane(seconds: float = 20.0, **config: Any) -> Plane:
    plane = Plane(**config)
    plane.fly(seconds)
    assert plane.reason() == ""
    assert not plane.holding()
    return plane


def test_a_lost_fix_is_no_position_and_is_forgotten_half_a_second_after_it_is_back() -> None:
    plane = _plane()
    plane.fix_type = 1
    plane.fly(5)
    assert plane.reason() == "no_fix"
    assert plane.holding() == {"no_fix"}
    lost_ns = plane.now_ns
    plane.fix_type = 3
    plane.fly(3)
    assert plane.reason() == ""
    assert not plane.holding()
    ago_s = (plane.now_ns - lost_ns) / S + 2.0
    assert plane.reason(ago_s) == "no_fix", "a frame of that time is still refused when it is asked for later"


def test_a_frozen_position_is_found_while_the_velocity_says_motion() -> None:
    plane = _plane()
    plane.frozen = plane.place((0.0, 0.0))
    assert plane.seconds_to_flag(3.0) <= 1.4
    plane.fly(1)
    assert plane.reason() == "gnss_frozen"
    plane.fly(10)
    assert plane.reason() == "gnss_frozen"
    plane.frozen = None
    plane.fly(5)
    assert plane.reason() == "", "back where it belongs"


def test_a_place_that_stays_while_the_aircraft_stands_is_not_frozen() -> None:
    plane = _plane()
    plane.speed_mps = 0.0
    plane.fly(1)
    plane.frozen = plane.place((0.0, 0.0))
    plane.fly(60)
    assert plane.reason() == ""


@pytest.mark.parametrize("away_m", [30.0, 100.0, 1_000.0, 5_000.0])
def test_a_glitch_is_refused_for_as_long_as_it_lasts_and_the_next_good_position_is_believed(
    away_m: float,
) -> None:
    plane = _plane()
    plane.away_m = (0.6 * away_m, -0.8 * away_m)
    for _ in range(40):
        plane.fly(0.5)
        pose = plane.pose(0.3)
        assert isinstance(pose, NoPose) or abs(pose.longitude_deg - LONGITUDE) < 3.0 * EAST_DEG
    assert plane.reason() == "gnss_glitch"
    plane.away_m = (0.0, 0.0)
    plane.fly(4)
    assert plane.reason() == ""


@pytest.mark.slow
def test_a_place_that_settles_elsewhere_comes_back_with_a_sigma_that_covers_both() -> None:
    plane = _plane()
    plane.away_m = (0.0, 80.0)
    plane.fly(100)
    pose = plane.pose()
    assert isinstance(pose, CameraPose)
    assert pose.doubt == "gnss_glitch"
    assert pose.sigmas.horizontal_m == pytest.approx(40.0, abs=8.0)


@pytest.mark.parametrize("rate_mps", [3.0, 5.0, 10.0])
@pytest.mark.parametrize("angle_deg", [0.0, 90.0, 200.0])
def test_a_slow_drift_beyond_what_is_flown_is_found_within_ten_seconds(
    rate_mps: float, angle_deg: float
) -> None:
    plane = _plane()
    delay_s: float | None = None
    for number in range(60):
        away_m = rate_mps * number / 5
        angle = math.radians(angle_deg)
        plane.away_m = (away_m * math.cos(angle), away_m * math.sin(angle))
        plane.fly(0.2)
        if delay_s is None and plane.reason():
            delay_s = number / 5
    assert delay_s is not None
    assert delay_s <= 5.0
    assert plane.reason() == "gnss_drift"
    assert plane.holding() == {"gnss_drift"}


def test_the_doubt_names_since_when_positions_may_be_wrong() -> None:
    plane = _plane()
    onset_ns = plane.now_ns
    for number in range(25):
        plane.away_m = (0.0, 4.0 * number / 5)
        plane.fly(0.2)
    since_ns = plane.node.history.integrity.latest.since_ns if plane.node.history else 0
    assert abs(since_ns - onset_ns) < 1.5 * S
    (health,) = [each for each in plane.node.conditions(plane.now_ns) if each.condition == "gnss_drift"]
    assert health.state == "failed"
    assert "positions from 2025-10-09T" in health.text


@pytest.mark.parametrize(("latitude", "longitude"), [(0.0, 0.0), (1e-5, -2e-5)])
def test_zero_zero_is_never_a_position(latitude: float, longitude: float) -> None:
    plane = _plane()
    plane.frozen = {"latitude_deg": latitude, "longitude_deg": longitude, "alt_msl_m": ALT_MSL_M}
    for _ in range(30):
        plane.fly(0.2)
        pose = plane.pose(0.0)
        assert isinstance(pose, NoPose) or pose.latitude_deg > 41.0
    assert plane.reason() in ("no_fix", "telemetry_stale")
    plane.frozen = None
    plane.fly(3)
    assert plane.reason() == ""


@pytest.mark.parametrize("seconds", [2.0, -18.0, 3_600.0, -619_315_200.0])
def test_gnss_time_that_jumps_is_doubted_until_it_is_back(seconds: float) -> None:
    plane = _plane()
    plane.utc_off_s = seconds
    plane.fly(5)
    pose = plane.pose()
    assert isinstance(pose, CameraPose)
    assert (pose.doubt, pose.sigmas.horizontal_m) == ("gnss_time", 10.0)
    assert "gnss_time" in plane.holding()
    plane.utc_off_s = 0.0
    plane.fly(5)
    assert plane.reason() == ""


def test_a_wrong_year_that_runs_evenly_is_no_jump() -> None:
    plane = Plane()
    plane.utc_off_s = 883.0 * 31_556_952.0
    plane.fly(30)
    assert plane.reason() == ""


def test_a_boot_clock_that_jumps_ahead_is_doubted_and_a_reboot_is_not() -> None:
    plane = _plane()
    plane.boot_ms += 3_600_000
    plane.fly(4)
    assert plane.reason() == "gnss_time"
    plane = _plane()
    plane.boot_ms = 4_000
    plane.fly(4)
    assert plane.reason() == ""


def test_a_receiver_that_leaves_the_autopilots_estimate_widens_the_sigma() -> None:
    plane = _plane()
    plane.receiver_away_m = (0.0, 60.0)
    plane.fly(3)
    pose = plane.pose()
    assert isinstance(pose, CameraPose)
    assert pose.doubt in ("gnss_glitch", "gnss_disagree")
    assert pose.sigmas.horizontal_m == pytest.approx(30.0, abs=4.0)
    plane.receiver_away_m = None
    plane.fly(5)
    assert plane.reason() == ""


def test_a_second_receiver_that_disagrees_widens_the_sigma() -> None:
    plane = Plane()
    plane.second_away_m = (3.0, -2.0)
    plane.fly(20)
    assert plane.reason() == ""
    plane.second_away_m = (0.0, 90.0)
    plane.fly(3)
    assert plane.reason() == "gnss_disagree"


def test_a_velocity_that_another_message_contradicts_is_doubted() -> None:
    plane = _plane()
    plane.ground_speed_mps = 20.0
    plane.fly(3)
    assert plane.reason() == ""
    frozen = plane.place((0.0, 0.0))
    plane.velocity_mps, plane.frozen = 0.0, frozen
    plane.fly(4)
    assert plane.reason() == "gnss_drift", "position and velocity froze together"


def _estimator(flags: int, ratio: float) -> bytes:
    return MessageMaker(1, 1).message(
        "EKF_STATUS_REPORT",
        flags=flags,
        velocity_variance=0.1,
        pos_horiz_variance=ratio,
        pos_vert_variance=0.1,
        compass_variance=0.1,
        terrain_alt_variance=0.0,
        airspeed_variance=0.0,
    )


@pytest.mark.parametrize(("flags", "ratio"), [(831 | 32_768, 0.1), (831, 1.7), (831 | 128, 0.1)])
def test_the_autopilots_own_doubt_counts(flags: int, ratio: float) -> None:
    plane = _plane()
    for _ in range(20):
        plane.node.handle(plane.now_ns, _estimator(flags, ratio))
        plane.fly(0.2)
    assert plane.reason() == "gnss_glitch"
    for _ in range(10):
        plane.node.handle(plane.now_ns, _estimator(831, 0.1))
        plane.fly(0.2)
    assert plane.reason() == ""


def test_a_poor_dilution_of_precision_widens_the_sigma() -> None:
    plane = _plane()
    for _ in range(10):
        plane.fly(0.2)
        raw = plane.maker.gps_raw_int(
            time_us=plane.boot_ms * 1000 + 1_000, hdop=6.0, speed_mps=20.0, **plane.place((0.0, 0.0))
        )
        plane.node.handle(plane.now_ns + 30 * MS, raw)
    plane.has_estimate = True
    raw = plane.maker.global_position_int(
        time_boot_ms=plane.boot_ms + 100, alt_rel_m=1.0, vn_mps=20.0, **plane.place((2.0, 0.0))
    )
    plane.node.handle(plane.now_ns + 120 * MS, raw)
    pose = plane.pose(-0.1)
    assert isinstance(pose, CameraPose)
    assert pose.sigmas.horizontal_m == pytest.approx(9.0)


def test_a_receiver_of_its_own_lags_and_says_how_sure_that_is() -> None:
    plane = Plane()
    plane.has_estimate = False
    plane.fly(20)
    pose = plane.pose(1.0)
    assert isinstance(pose, CameraPose)
    sure, lagging = pose.sigmas.horizontal_m, Plane(receiver_lag_s=0.0)
    assert sure == pytest.approx(math.hypot(1.5, 2.0))
    lagging.has_estimate = False
    lagging.fly(20)
    other = lagging.pose(1.0)
    assert isinstance(other, CameraPose)
    assert (pose.latitude_deg - other.latitude_deg) / NORTH_DEG == pytest.approx(4.0, abs=0.3)
    plane.away_m = (0.0, 500.0)
    plane.fly(5)
    assert plane.reason() == "gnss_glitch"


def test_old_telemetry_is_refused_and_late_telemetry_is_put_where_it_belongs() -> None:
    plane = _plane()
    assert plane.reason(-0.2) == ""
    assert plane.reason(-0.3) == "telemetry_stale"
    assert plane.reason(-5.0) == "telemetry_stale"
    before = plane.pose(1.0)
    held = []
    for _ in range(5):  # five seconds whose positions come late and in the wrong order
        plane.boot_ms += 200
        plane.now_ns += 200 * MS
        plane.north_m += 4.0
        attitude = plane.maker.attitude(time_boot_ms=plane.boot_ms, roll_deg=0, pitch_deg=0, heading_deg=0)
        position = plane.maker.global_position_int(
            time_boot_ms=plane.boot_ms, alt_rel_m=100.0, vn_mps=20.0, **plane.place((0.0, 0.0))
        )
        held += [attitude, position]
    for raw in reversed(held):
        plane.node.handle(plane.now_ns + 400 * MS, raw)
    late = plane.pose(0.5)
    assert isinstance(before, CameraPose)
    assert isinstance(late, CameraPose)
    assert (late.latitude_deg - before.latitude_deg) / NORTH_DEG == pytest.approx(30.0, abs=1.0)


def test_heights_above_home_alone_are_told_apart_from_a_lost_fix() -> None:
    plane = Plane()
    plane.has_estimate = False
    plane.fix_type = 2
    nan = math.nan
    for _ in range(20):
        plane.node.handle(
            plane.now_ns,
            plane.maker.message(
                "ALTITUDE",
                time_usec=1,
                altitude_monotonic=nan,
                altitude_amsl=nan,
                altitude_local=nan,
                altitude_relative=40.0,
                altitude_terrain=nan,
                bottom_clearance=nan,
            ),
        )
        plane.fly(0.2)
    assert plane.reason() == "no_height"
    assert "no_height" in plane.holding()


@pytest.mark.parametrize(
    ("ellipsoid_m", "is_alarm"),
    [
        (ALT_MSL_M + GEOID_M + 2.5, False),
        (ALT_MSL_M + GEOID_M - 2.5, False),
        (ALT_MSL_M + GEOID_M + 3.5, True),
        (ALT_MSL_M + GEOID_M - 3.5, True),
        (ALT_MSL_M - GEOID_M, True),
        (ALT_MSL_M, True),
    ],
)
def test_a_receiver_whose_geoid_is_more_than_three_metres_off_is_no_position(
    ellipsoid_m: float, is_alarm: bool
) -> None:
    plane = Plane()
    plane.alt_ellipsoid_m = ellipsoid_m
    plane.fly(10)
    assert plane.reason() == ("datum_alarm" if is_alarm else "")
    assert ("datum_alarm" in plane.holding()) is is_alarm


def test_an_autopilot_that_tells_heights_above_the_ellipsoid_as_msl_is_found() -> None:
    plane = Plane()
    plane.alt_ellipsoid_m = ALT_MSL_M + GEOID_M
    plane.estimate_up_m = GEOID_M
    plane.fly(5)
    assert plane.reason() == "datum_alarm"
    pose = plane.pose()
    assert isinstance(pose, NoPose)
    assert "above the ellipsoid as MSL" in pose.detail


def test_a_nonsense_undulation_raises_nothing_and_is_an_alarm() -> None:
    plane = Plane()
    plane.alt_ellipsoid_m = 9_500.0
    plane.fly(5)
    assert plane.reason() == "datum_alarm"


def test_a_verdict_reaches_back_but_softens_nothing() -> None:
    timeline = Timeline()
    assert timeline.at(T0) is GOOD
    timeline.note(Verdict("bad", "gnss_drift", "x", T0 + 2 * S), T0 + 5 * S)
    assert [timeline.at(T0 + k * S).state for k in (1, 2, 4, 9)] == ["good", "bad", "bad", "bad"]
    timeline.note(Verdict("suspect", "gnss_time", "y", T0 + S, 10.0), T0 + 6 * S)
    assert [timeline.at(T0 + k * S).state for k in (1, 2, 5, 6)] == ["good", "bad", "bad", "suspect"]
    timeline.note(GOOD, T0 + 8 * S)
    assert timeline.at(T0 + 9 * S).state == "good"
    timeline.note(Verdict("bad", "no_fix", "z", T0 - 9_000 * S), T0 - 9_000 * S)
    assert timeline.latest.reason == "no_fix", "our clock was set back"


def test_positions_without_any_velocity_are_judged_by_their_own_speed() -> None:
    check = MotionCheck()
    for number in range(100):
        point = Point(T0 + number * S // 5, 41.5 + 6.0 * number * NORTH_DEG, 12.5, 300.0, (0.0, 0.0, 0.0))
        assert check.take(point), "30 m/s, and a velocity of nothing but zeros is none"
    beyond = Point(T0 + 20 * S, 41.5 + 900.0 * NORTH_DEG, 12.5, 300.0, (0.0, 0.0, 0.0))
    assert not check.take(beyond)


def test_a_gap_of_telemetry_is_no_jump() -> None:
    plane = _plane()
    plane.boot_ms += 30_000
    plane.now_ns += 30 * S
    plane.north_m += 400.0
    plane.fly(2)
    assert plane.reason() == ""


def test_random_positions_never_raise_and_never_fill_memory() -> None:
    chance, check = random.Random(3), MotionCheck()
    for _ in range(3_000):
        check.take(
            Point(
                T0 + chance.randrange(-100, 100) * S,
                chance.uniform(-90, 90),
                chance.uniform(-180, 180),
                chance.uniform(-1e3, 6e4),
                (chance.choice((math.nan, 0.0, 300.0)), 1.0, math.nan),
            ),
            is_standing=chance.random() < 0.5,
        )


def test_a_source_of_one_position_a_second_that_is_told_more_often_is_not_frozen() -> None:
    check, refused = MotionCheck(), []
    for number in range(240):
        seconds = number // 4
        point = Point(T0 + number * S // 4, 41.5 + 9.0 * seconds * NORTH_DEG, 12.5, 300.0, (9.0, 0.0, 0.0))
        check.take(point)
        refused.append(check.verdict.state == "bad")
    assert not any(refused[40:])
    for number in range(240, 260):
        check.take(Point(T0 + number * S // 4, 41.5 + 531.0 * NORTH_DEG, 12.5, 300.0, (9.0, 0.0, 0.0)))
    assert check.verdict.reason == "gnss_frozen"


@pytest.mark.parametrize("doubt", [None, "gnss_disagree"])
def test_a_sighting_says_why_the_place_it_was_seen_from_is_in_doubt(doubt: str | None) -> None:
    eyes = node(lambda _: [box(320.0, 140.0)])
    sigmas = PoseSigmas() if doubt is None else PoseSigmas(horizontal_m=30.0, vertical_m=30.0)
    told: list[Sighting] = []
    for number in range(4):
        looked = eyes.detect(frame(number))
        seen_from = replace(pose(looked.frame.time_ns), doubt=doubt, sigmas=sigmas)
        told += [each for each in eyes.finish(looked, seen_from).messages if isinstance(each, Sighting)]
    assert told
    for sighting in told:
        assert sighting.position_doubt == doubt
        assert sighting.position is not None
        assert (sighting.position.ce90_m > 60.0) is (doubt is not None)
        assert wire.decode("sighting", wire.encode(sighting)) == sighting
