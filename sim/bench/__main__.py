"""`make bench`: every figure as a ratio in one run; writes docs/benchmarks.json and docs/benchmarks.md.

Usage: python -m sim.bench [--only tlog,decode,detector,chain] [--out docs]
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from sim.bench import ais, decode, infer, ingest, locate, pipeline, tlog, track, value, wire

Figures = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One row of the table: what was compared, the ratio, the goal, and whether more is better."""

    title: str
    against: str
    ratio: float
    goal: float
    is_more_better: bool

    @property
    def is_reached(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal if self.is_more_better else self.ratio <= self.goal


def tlog_lines(found: Figures) -> list[Line]:
    """Import of a telemetry log."""
    return [Line("tlog import, messages/s", "pymavlink recv_match", found["ratio"], found["goal"], True)]


def decode_lines(found: Figures) -> list[Line]:
    """Cost of video frames."""
    against = "cv2.VideoCapture.read"
    return [
        Line("CPU per dropped 1080p frame", against, found["dropped_ratio"], found["goal_dropped"], False),
        Line("CPU per used 1080p frame", against, found["used_ratio"], found["goal_used"], False),
    ]


def detector_lines(found: Figures) -> list[Line]:
    """Detector alone, in one thread."""
    return [
        Line(f"detector alone, frames/s at {size}", "bare session.run", found[f"ratio_{size}"], goal, True)
        for size, goal in ((640, 0.97), (320, 0.95))
    ]


def track_lines(found: Figures) -> list[Line]:
    """The tracker against ByteTrack on the same detections."""
    peer = "trackers ByteTrack"
    lines = [
        Line(f"tracker, frames/s at {objects} objects", peer, found[f"ratio_{objects}"], found["goal"], True)
        for objects in (50, 200)
    ]
    lines.append(
        Line("tracker, ms a frame at 1000 objects", "1 ms", found["ms_1000"], found["goal_ms_1000"], False)
    )
    for objects in (50, 200):
        switches = (found[f"switches_{objects}"], found[f"bytetrack_switches_{objects}"])
        lines.append(Line(f"tracker, ID switches at {objects} objects", peer, *switches, False))
        identity = (found[f"idf1_{objects}"], found[f"bytetrack_idf1_{objects}"])
        lines.append(Line(f"tracker, IDF1 at {objects} objects", peer, *identity, True))
    return lines


def chain_lines(found: Figures) -> list[Line]:
    """The whole chain from frame to ground."""
    lines = []
    for size in (640, 320):
        throughput = (found[f"throughput_{size}"], found[f"goal_throughput_{size}"])
        lines.append(Line(f"whole edge, frames/s at {size}", "bare session.run", *throughput, True))
        for point in ("p50", "p99"):
            delay = (found[f"latency_{point}_{size}"], found[f"goal_latency_{point}_{size}"])
            lines.append(Line(f"frame to ground, {point} at {size}", "inference time", *delay, False))
    return lines


def locate_lines(found: Figures) -> list[Line]:
    """Rays onto terrain."""
    march = "scalar 1 m march"
    return [
        Line("ray onto terrain in a batch of 50, us", "(best round)", found["ray_us"], 20.0, False),
        Line("the same with covariance, us", "(best round)", found["covariance_us"], 40.0, False),
        Line("rays onto terrain, 300 m up", march, found["ratio_march"], found["goal_ratio"], True),
        Line("rays onto terrain, 1000 m up", march, found["ratio_march_high"], found["goal_ratio"], True),
        Line("worst disagreement, m", "march of 0.1 m", found["worst_disagreement_m"], 0.5, False),
    ]


def ingest_lines(found: Figures) -> list[Line]:
    """The ground's intake and its answers."""
    rtree, scan = "R*Tree row by row", "all rows looked at"
    return [
        Line("intake, sightings/s per core", "pyzmq recv", found["intake_ratio"], found["goal_intake"], True),
        Line("commit after reception, s", "(longest)", found["durability_lag_s"], 1.0, False),
        Line("insertion with places", rtree, found["insert_ratio"], found["goal_insert"], True),
        Line("2,000 newest in a box, p99 ms", "a million", found["viewport_p99_ms"], 10.0, False),
        Line("answers that differ from a full look", scan, found["viewport_wrong"], 0, False),
        Line("few in a small box", scan, found["scan_ratio"], found["goal_scan"], True),
    ]


def wire_lines(found: Figures) -> list[Line]:
    """Cost and delay of the link itself."""
    peer, goal = "pyzmq, not encrypted", found["goal_cost"]
    return [
        Line("a sighting on the wire, one a batch", peer, found["cost_ratio_1"], goal, False),
        Line("a sighting on the wire, 50 a batch", peer, found["cost_ratio_50"], goal, False),
        Line("delay on the wire, p50, us more", peer, found["delay_more_us"], found["goal_delay_us"], False),
    ]


def value_lines(found: Figures) -> list[Line]:
    """What a narrow link brings."""
    title = "value over a link of 500 bytes/s"
    return [
        Line(title, "first in, first out", found["value_against_fifo_500"], value.GOAL_VALUE, True),
        Line(title, "newest first", found["value_against_newest_500"], value.GOAL_VALUE, True),
    ]


def ais_lines(found: Figures) -> list[Line]:
    """AIS sentences, a core."""
    return [
        Line(
            "AIS sentences/s into the picture, a core",
            "(goal)",
            found["whole_per_s"],
            found["goal_per_s"],
            True,
        ),
        Line("AIS decoding, sentences/s", "pyais", found["ratio"], 1.0, True),
    ]


BENCHES: dict[str, tuple[Callable[[], Figures], Callable[[Figures], list[Line]]]] = {
    "tlog": (tlog.run, tlog_lines),
    "locate": (locate.run, locate_lines),
    "decode": (decode.run, decode_lines),
    "detector": (infer.run, detector_lines),
    "track": (track.run, track_lines),
    "ingest": (ingest.run, ingest_lines),
    "wire": (wire.run, wire_lines),
    "value": (value.run, value_lines),
    "ais": (ais.run, ais_lines),
    "chain": (pipeline.run, chain_lines),
}


def main() -> int:
    """Run the benches that were asked for, show the table, write the two files."""
    parser = argparse.ArgumentParser(description="Measure, as ratios in one run.")
    parser.add_argument("--only", default=",".join(BENCHES), help=f"some of {','.join(BENCHES)}")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for benchmarks.json and .md")
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    console = Console(stderr=True)
    figures: Figures = {"machine": machine()}
    lines: list[Line] = []
    for name in names:
        console.print(f"measuring {name} ...")
        run, to_lines = BENCHES[name]
        figures[name] = run()
        lines += to_lines(figures[name])
    figures["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    Console().print(_table(lines))
    if names == list(BENCHES):
        given.out.mkdir(exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"
        (given.out / "benchmarks.json").write_bytes(text)
        (given.out / "benchmarks.md").write_text(page(figures, lines), encoding="utf-8")
    return 0


def machine() -> Figures:
    """What the figures were taken on."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def page(figures: Figures, lines: list[Line]) -> str:
    """The text of docs/benchmarks.md."""
    about = figures["machine"]
    parts = [
        "# Benchmarks\n",
        "Made by `make bench`; the raw figures lie beside this page in `benchmarks.json`. Every figure is a",
        "ratio of medians of interleaved rounds in one run: read ratios, the machines are shared and "
        "noisy.\n",
        f"{about['date']}, {about['cpus']} x {about['architecture']}, Python {about['python']}, load "
        f"{about['load_before']} before and {about['load_after']} after.\n",
        "| what | against | ratio | goal | reached |\n|---|---|---|---|---|",
    ]
    for line in lines:
        sign = "≥" if line.is_more_better else "≤"
        reached = "yes" if line.is_reached else "**no**"
        numbers = f"{line.ratio:.3g} | {sign} {line.goal:g}"
        parts.append(f"| {line.title} | {line.against} | {numbers} | {reached} |")
    chain, detector = figures["chain"], figures["detector"]
    parts.append(
        f"\n*Whole edge*: fitting, inference, reading {chain['max_detections']} boxes, pose from MAVLink, "
        "location with covariance, tracking, packing and sending to another process; decoding is not in "
        "it. *Frame to ground*: the same, and bus, durable outbox, encrypted link, ground receiver and "
        "store, all on this one machine, until the frame stands in the ground's live picture. The network "
        f"has random weights and the cost of a nano detector ({chain['bare_ms_640']:.0f} ms bare at 640 "
        f"here, {detector['threads']} thread).\n\n"
        "What is missed is missed by the work beside inference: with 40 objects a frame about 4 ms for "
        "boxes, pose, location, tracks and messages, and 2 to 5 ms more through five threads to the ground."
    )
    intake, on_wire = figures["ingest"], figures["wire"]
    parts.append(
        f"\n*Intake*: a bare `recv` took {intake['raw_us']:.2f} us of processor, the whole of it "
        f"{intake['intake_us']:.0f} us, of which decoding with every check {intake['decode_us']:.1f} and "
        f"leaf and chain {intake['proof_us']:.1f}: these two alone are more than the goal leaves for all. "
        "The rest is the tables (duplicates by number and by id, time, track, place) and their sync. "
        "Signatures come by batch and are not in it.\n\n"
        "*On the wire*: encoding, CURVE, decoding and checking, both ends together. CURVE alone is "
        f"{on_wire['curve_ratio_1']:.2f} times bare pyzmq with one sighting a batch and "
        f"{on_wire['curve_ratio_50']:.2f} times with 50; with 50 a bare sighting costs "
        f"{on_wire['raw_us_50']:.1f} us and ours {on_wire['cost_us_50']:.1f}, nearly all of it decoding each "
        "one by itself. Where a reply takes 150 ms, gathering brings "
        f"{on_wire['batches_a_look_at_once']:.2f} batches a look down to "
        f"{on_wire['batches_a_look_gathered']:.2f}; for it an alert waits "
        f"{on_wire['alert_wait_ms_gathered']:.0f} ms."
    )
    return "\n".join(parts) + "\n"


def _table(lines: list[Line]) -> Table:
    table = Table(box=None)
    for title in ("what", "against", "ratio", "goal", ""):
        table.add_column(title)
    for line in lines:
        sign = ">=" if line.is_more_better else "<="
        mark = "[green]reached[/]" if line.is_reached else "[red]missed[/]"
        table.add_row(line.title, line.against, f"{line.ratio:.3g}", f"{sign} {line.goal:g}", mark)
    return table


if __name__ == "__main__":
    sys.exit(main())
