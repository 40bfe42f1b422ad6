"""`make bench`: every figure as a ratio in one run; writes docs/benchmarks.json and docs/benchmarks.md.

Usage: python -m sim.bench [--only tlog,decode,detector,chain] [--out docs]
What `--only` does not name stays in the two files as it was.
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

from sim.bench import (
    ais,
    decode,
    fusion,
    infer,
    ingest,
    locate,
    looks,
    notes,
    pipeline,
    tiles,
    tlog,
    track,
    value,
    wire,
)

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
        Line("200 in a box of 1 % of the side", scan, found["scan_ratio"], found["goal_scan"], True),
        Line("2,000 in a box of 5 % of the side", scan, found["scan_ratio_5"], found["goal_scan"], True),
    ]


def wire_lines(found: Figures) -> list[Line]:
    """Cost and delay of the link itself."""
    peer, goal = "pyzmq, not encrypted", found["goal_cost"]
    return [
        Line("a sighting on the wire, one a batch", peer, found["cost_ratio_1"], goal, False),
        Line("a sighting on the wire, 50 a batch", peer, found["cost_ratio_50"], goal, False),
        Line("delay on the wire, p50, us more", peer, found["delay_more_us"], found["goal_delay_us"], False),
    ]


def tiles_lines(found: Figures) -> list[Line]:
    """4K frames against SAHI, one frame against Ultralytics; nothing where the peers are absent."""
    if "skipped" in found:
        Console(stderr=True).print(f"tiles: skipped, {found['skipped']}", soft_wrap=True)
        return []
    lines = []
    for key in (name for name in found if name.startswith("height_")):
        at, where = found[key], f"4K from {key.removeprefix('height_')} m"
        lines += [
            Line(f"{where}, processor time", "SAHI", at["time_ratio"], tiles.GOAL_TIME, False),
            Line(f"{where}, boats found", "all tiles", at["kept"], tiles.GOAL_RECALL, True),
        ]
    goals = {"cpu": ("fp32", tiles.GOAL_FRAME), "openvino": ("OpenVINO fp32", tiles.GOAL_FRAME)}
    goals["openvino_bf16"] = ("OpenVINO bf16", tiles.GOAL_FRAME_AMX)
    for name, ratio in found["frame_ratio"].items():
        title, goal = goals[name]
        lines.append(Line(f"one frame at 640, {title}", "Ultralytics, ONNX Runtime", ratio, goal, True))
    return lines


def value_lines(found: Figures) -> list[Line]:
    """What a narrow link brings."""
    title = "value over a link of 500 bytes/s"
    return [
        Line(title, "first in, first out", found["value_against_fifo_500"], value.GOAL_VALUE, True),
        Line(title, "newest first", found["value_against_newest_500"], value.GOAL_VALUE, True),
    ]


def looks_lines(found: Figures) -> list[Line]:
    """What a live view costs the alerts."""
    goal = found["goal_more_s"]
    lines = [
        Line(
            f"alert later by, p95, {rate:,} bytes/s, s", "no live view", found[f"more_{rate}_s"], goal, False
        )
        for rate in (20_000, 50_000)
    ]
    thin = float(found["2000"]["with"]["looks"])
    return [*lines, Line("looks over a radio of 2,000 bytes/s", "(none)", thin, 0.0, False)]


def fusion_lines(found: Figures) -> list[Line]:
    """A second of sightings fused."""
    title = f"fusion of a busy second, s ({found['contacts']} contacts, {found['live']} seen now)"
    lines = [Line(title, "(processor time)", found["settle_s"], found["goal_s"], False)]
    if "new_s" in found:
        few, many = min(found["new_s"], key=int), max(found["new_s"], key=int)
        growth = found["new_s"][many] / int(many) / (found["new_s"][few] / int(few))
        title = f"fusion of {many} tracks new at once, time a track"
        lines.append(Line(title, f"{few} at once", growth, found["growth_goal"], False))
    return lines


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
    "tiles": (tiles.run, tiles_lines),
    "looks": (looks.run, looks_lines),
    "fusion": (fusion.run, fusion_lines),
    "ais": (ais.run, ais_lines),
    "chain": (pipeline.run, chain_lines),
}
"""Name of a bench: what measures it, and its rows of the page; in the order of the page."""


def main() -> int:
    """Run the benches that were asked for, show the table, bring the two files up to date."""
    parser = argparse.ArgumentParser(description="Measure, as ratios in one run.")
    parser.add_argument("--only", default=",".join(BENCHES), help=f"some of {','.join(BENCHES)}; others stay")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for benchmarks.json and .md")
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    console = Console(stderr=True)
    made: Figures = {}
    lines: list[Line] = []
    for name in names:
        console.print(f"measuring {name} ...")
        run, to_lines = BENCHES[name]
        about = machine()
        made[name] = run()
        made[name]["machine"] = {**about, "load_after": round(os.getloadavg()[0], 2)}
        lines += to_lines(made[name])
    Console().print(_table(lines))
    keep(given.out, made)
    return 0


def keep(folder: Path, made: Figures) -> None:
    """Put what was made now among what the files of `folder` hold, and write both anew."""
    folder.mkdir(exist_ok=True)
    path = folder / "benchmarks.json"
    earlier: Figures = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
    for name in BENCHES.keys() & earlier.keys():  # files of before told of the machine once, for all
        earlier[name].setdefault("machine", earlier.get("machine", {}))
    earlier.pop("machine", None)
    figures = earlier | made
    text = msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"
    path.write_bytes(text)
    (folder / "benchmarks.md").write_text(page(figures), encoding="utf-8")


def machine() -> Figures:
    """What figures are taken on."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def page(figures: Figures) -> str:
    """The text of docs/benchmarks.md, of as many benches as there are figures of."""
    names = [name for name in BENCHES if name in figures]
    parts = [
        "# Benchmarks\n",
        "Made by `make bench`; the raw figures lie beside this page in `benchmarks.json`. Every figure is a",
        "ratio of medians of interleaved rounds in one run: read ratios, the machines are shared and "
        "noisy.\n",
        "| what | against | ratio | goal | reached |\n|---|---|---|---|---|",
    ]
    for line in (line for name in names for line in BENCHES[name][1](figures[name])):
        sign = "≥" if line.is_more_better else "≤"
        reached = "yes" if line.is_reached else "**no**"
        numbers = f"{line.ratio:.3g} | {sign} {line.goal:g}"
        parts.append(f"| {line.title} | {line.against} | {numbers} | {reached} |")
    parts += [f"\n{text}" for text in notes.all_notes(figures)]
    parts.append(f"\n{_made_on({name: figures[name]['machine'] for name in names})}")
    if "tiles" in figures:
        parts.insert(-1, f"\n{tiles.note(figures['tiles']).strip()}")
    return "\n".join(parts) + "\n"


def _made_on(machines: dict[str, Figures]) -> str:
    """When and on what the figures were made; benches of one day and machine share a sentence."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, about in machines.items():
        where = f"{about['cpus']} x {about['architecture']}, Python {about['python']}"
        load = f"{name} ({about['load_before']:g} to {about['load_after']:g})"
        groups.setdefault((about["date"], where), []).append(load)
    texts = [f"{date}, {where}: {', '.join(loads)}." for (date, where), loads in groups.items()]
    return "*Made* (in brackets the load before and after): " + " ".join(texts)


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
