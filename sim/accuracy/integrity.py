"""Accuracy of the doubt itself: GNSS faults put into real logs, what was flagged, how soon, false alarms."""

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.config import MountConfig
from edge.mavlink_port import MavlinkConfig
from edge.pose.telemetry import TelemetryNode
from sim.accuracy.section import Section
from sim.faults import gnss
from sim.faults.gnss import Record, Span
from skywarden.clock import NS_PER_S
from skywarden.geometry import geodesy
from skywarden.geometry.pose import CameraPose, NoPose, PoseSigmas
from skywarden.mavlink.tlog import read_tlog

LOGS = (
    ("copter", "mavlink/dronekit_flight_replay.tlog"),
    ("VTOL (SITL)", "mavlink/uavlogviewer_vtol.tlog"),
    ("plane", "recordings/cuav-2018/flight.tlog"),
    ("submarine, at rest", "mavlink/ardusub_small.tlog"),
)
LEAD_S, WINDOW_S, TAIL_S = 25.0, 15.0, 1.0
FRAME_HZ = 5.0
WAIT_NS = 600_000_000
BEFORE_TICKS = 15
CIRCLE_99 = 3.035
NULL_M = 100_000.0
WINDOWS_PER_KIND = 25
LOSSES = ("no_fix", "no_height", "no_telemetry", "telemetry_stale", "no_attitude")

Fault = Callable[[Iterable[Record], Span, random.Random], Iterable[Record]]


def _aside(chance: random.Random, low: float, high: float) -> tuple[float, float]:
    """North and east of a random direction, sizes evenly spread over the decades."""
    size, angle = low * (high / low) ** chance.random(), chance.uniform(0.0, math.tau)
    return size * math.cos(angle), size * math.sin(angle)


FAULTS: dict[str, Fault] = {
    "lost fix": lambda records, span, _: gnss.lose_fix(records, span),
    "frozen position": lambda records, span, _: gnss.freeze(records, span),
    "glitch, 30 m to 5 km": lambda records, span, c: gnss.glitch(records, span, *_aside(c, 30.0, 5_000.0)),
    "drift, 3 to 10 m/s": lambda records, span, c: gnss.drift(records, span, *_aside(c, 3.0, 10.0)),
    "(0, 0)": lambda records, span, _: gnss.null_island(records, span),
    "GNSS time jump, 2 s to 1 h": lambda records, span, c: gnss.jump_gnss_time(
        records, span, c.choice((-1, 1)) * 2.0 * 1_800.0 ** c.random()
    ),
    "byte loss, 1 to 20 %": lambda records, span, c: gnss.lose_bytes(
        records, span, c.uniform(0.01, 0.2), c.randrange(1 << 30)
    ),
    "drift with its velocity, 4 to 10 m/s": lambda records, span, c: gnss.drift(
        records, span, *_aside(c, 4.0, 10.0), with_velocity=True
    ),
}
"""The faults of scenario S11 (reliability.md), and last a spoofer who moves the velocity along."""


@dataclass(kw_only=True)
class Tally:
    """What became of the frames of one kind of fault."""

    windows: int = 0
    frames: int = 0
    flagged: int = 0
    safe: int = 0
    at_null: int = 0
    delays_s: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Cells of the table."""
        delays = np.array(self.delays_s or [math.nan])
        p50, p95 = (f"{value:.1f}" for value in np.quantile(delays, [0.5, 0.95]))
        return (
            f"{self.windows} | {self.frames} | {self.flagged / max(1, self.frames):.1%} "
            f"| {self.safe / max(1, self.frames):.2%} | {len(self.delays_s)} | {p50} | {p95} | {self.at_null}"
        )


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """What was flagged in a log as it was recorded: hours, alarms, and shares of frames."""

    hours: float
    alarms: int
    frames: int
    doubted: int
    lost: int

    def row(self) -> str:
        """Cells of the table."""
        return (
            f"{self.hours * 60:.1f} | {self.frames} | {self.alarms} | {self.alarms / self.hours:.1f} "
            f"| {self.doubted / max(1, self.frames):.2%} | {self.lost / max(1, self.frames):.1%}"
        )


@dataclass(frozen=True, kw_only=True)
class Log:
    """A recorded log, and its pose at every tick as it was recorded."""

    records: list[Record]
    times_ns: list[int]
    clean: list[CameraPose | NoPose]


def load(path: Path) -> Log:
    """A log with the poses of `FRAME_HZ` ticks from its sixth second on."""
    records = list(read_tlog(path))
    start_ns, end_ns = records[0][0] + 5 * NS_PER_S, records[-1][0] - int(TAIL_S * NS_PER_S)
    times_ns = list(range(start_ns, end_ns, round(NS_PER_S / FRAME_HZ)))
    return Log(records=records, times_ns=times_ns, clean=poses(records, times_ns))


def section(data: Path, scratch: Path) -> Section:
    """Scenario S11 on the real logs; `scratch` is not used."""
    logs = {name: load(data / path) for name, path in LOGS}
    tallies = run_faults(list(logs.values()), WINDOWS_PER_KIND, seed=11)
    count = sum(tally.windows for tally in tallies.values())
    parts = [
        f"{count} spans of {WINDOW_S:.0f} s in four recorded logs (telemetry of 2 to 4 Hz), fed as bytes and "
        f"asked for a pose {FRAME_HZ:.0f} times a second as live frames are. *Flagged*: no position, or one "
        "with a word of doubt and a widened sigma. *Safe*: flagged, or within the 99 % circle of its stated "
        "sigma of where the unspoilt log puts it (goal 100 %, and for drift a flag within 10 s: until it has "
        "led somewhere, there is nothing to see). *Delay*: from the fault's begin to the first flag, s. Lost "
        "bytes spoil no position: what arrives is right. A copter and a submarine that stand still make many "
        "of the spans: a position that freezes there stays right, and is not flagged. Each span begins where "
        "the log has positions: a fault that is there from the first one on differs from nothing. The "
        "submarine's log tells no GNSS time that could jump. The last row goes beyond S11.\n",
        "| fault | spans | frames | flagged | safe | spans flagged | delay p50 | p95 | told at (0, 0) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    parts += [f"| {kind} | {tally.row()} |" for kind, tally in tallies.items()]
    parts += [
        "\nThe logs as they are. *False*: doubt or refusal by a gnss word (goal: at most 1 %). *No "
        "position*: what the log itself lacks (no fix, gaps).\n",
        "| log | minutes | frames | false alarms | an hour | false | no position |",
        "|---|---|---|---|---|---|---|",
    ]
    parts += [f"| {name} | {quiet(log).row()} |" for name, log in logs.items()]
    return Section(title="GNSS faults (scenario S11)", text="\n".join(parts))


def run_faults(logs: Sequence[Log], per_kind: int, *, seed: int) -> dict[str, Tally]:
    """Every fault in `per_kind` random spans, taking turns among the logs; by kind."""
    chance = random.Random(seed)
    tallies = {kind: Tally() for kind in FAULTS}
    for number in range(per_kind):
        for kind, fault in FAULTS.items():
            run_span(logs[number % len(logs)], fault, chance, tallies[kind])
    return tallies


def run_span(log: Log, fault: Fault, chance: random.Random, tally: Tally) -> None:
    """One span at random among those in which, and 3 s before which, the log has positions half the time."""
    count = round(WINDOW_S * FRAME_HZ)
    lead = round(LEAD_S * FRAME_HZ)
    while True:
        first = chance.randrange(lead, len(log.times_ns) - count)
        times, clean = log.times_ns[first : first + count], log.clean[first : first + count]
        before = log.clean[first - BEFORE_TICKS : first]
        if all(_share(part) >= 0.5 for part in (before, clean)):
            break
    span = Span(start_ns=times[0], end_ns=times[0] + int(WINDOW_S * NS_PER_S))
    low = bisect_left(log.records, (span.start_ns - int(LEAD_S * NS_PER_S), b""))
    high = bisect_left(log.records, (span.end_ns + int(TAIL_S * NS_PER_S), b""))
    spoilt = poses(fault(log.records[low:high], span, chance), times)
    tally.windows += 1
    delay_s: float | None = None
    for time_ns, truth, pose in zip(times, clean, spoilt, strict=True):
        if isinstance(truth, NoPose):
            continue
        is_flagged = isinstance(pose, NoPose) or pose.doubt is not None
        tally.frames += 1
        tally.flagged += is_flagged
        tally.safe += is_flagged or _is_within(pose, truth)
        tally.at_null += isinstance(pose, CameraPose) and _is_null(pose)
        if is_flagged and delay_s is None:
            delay_s = (time_ns - span.start_ns) / NS_PER_S
    if delay_s is not None:
        tally.delays_s.append(delay_s)


def quiet(log: Log) -> Quiet:
    """The whole log as it is: how often and how long it is doubted."""
    words = [pose.doubt or "" if isinstance(pose, CameraPose) else pose.reason for pose in log.clean]
    is_false = [word.startswith("gnss") or word == "datum_alarm" for word in words]
    begun = sum(now and not before for before, now in zip([False, *is_false], is_false, strict=False))
    return Quiet(
        hours=len(words) / FRAME_HZ / 3_600,
        alarms=begun,
        frames=len(words),
        doubted=sum(is_false),
        lost=sum(word in LOSSES for word in words),
    )


def poses(records: Iterable[Record], times: Sequence[int]) -> list[CameraPose | NoPose]:
    """The pose of each instant, asked for as a live worker asks: when covered, or 0.6 s later."""
    node = TelemetryNode(MavlinkConfig())
    buffer = node.pose_buffer(mount=MountConfig(kind="fixed", pitch_deg=-90.0), sigmas=PoseSigmas())
    out: list[CameraPose | NoPose] = []
    for received_ns, raw in records:
        while len(out) < len(times) and (
            received_ns > times[len(out)] + WAIT_NS
            or (received_ns >= times[len(out)] and buffer.covers(times[len(out)]))
        ):
            out.append(buffer.pose_at(times[len(out)]))
        node.handle(received_ns, raw)
    return out + [buffer.pose_at(time_ns) for time_ns in times[len(out) :]]


def _is_within(pose: CameraPose | NoPose, clean: CameraPose) -> bool:
    """Whether a position is no further from the unspoilt one than its sigma admits in 99 % of cases."""
    assert isinstance(pose, CameraPose)
    ned = geodesy.ned_from_geodetic(
        (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m),
        clean.latitude_deg,
        clean.longitude_deg,
        clean.alt_hae_m,
    )
    return float(np.hypot(ned[0], ned[1])) <= CIRCLE_99 * pose.sigmas.horizontal_m


def _share(poses_told: Sequence[CameraPose | NoPose]) -> float:
    return sum(isinstance(pose, CameraPose) for pose in poses_told) / len(poses_told)


def _is_null(pose: CameraPose) -> bool:
    return math.radians(math.hypot(pose.latitude_deg, pose.longitude_deg)) * 6_371_000.0 < NULL_M
