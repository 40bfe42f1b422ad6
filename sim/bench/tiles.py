"""A 4K frame against SAHI, and one frame against Ultralytics, with the same networks and the same boxes.

Both peers are large and under licences of their own; they are measured and never shipped. They live in an
environment of their own (see `HOW`), in which this module runs itself: all sides are in one process, on one
thread, in interleaved rounds, judged by processor time.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

Figures = dict[str, Any]

GOAL_TIME = 0.30
GOAL_RECALL = 0.98
GOAL_FRAME = 1.15
GOAL_FRAME_AMX = 2.0

PLACE_KEY = "SKYWARDEN_BENCH_PEERS"
"""Environment variable: the Python of the environment that has the peers."""

HOW = (
    "the peers of this bench are not here. Make an environment for them: python3 -m venv .venv-peers && "
    ".venv-peers/bin/pip install -e '.[edge]' sahi ultralytics onnx onnxslim && "
    ".venv-peers/bin/pip uninstall -y onnxruntime && .venv-peers/bin/pip install onnxruntime-openvino; "
    f"elsewhere than in .venv-peers, name its Python in {PLACE_KEY}"
)
LIMIT_S = 900.0


def run() -> Figures:
    """All figures; with `skipped` (a sentence) alone where the peers or the real images are absent."""
    data = Path(os.environ.get("SKYWARDEN_REAL_DATA", "../shared/data"))
    if not (data / "imagery").is_dir():
        return {"skipped": f"no real images at {data}; set SKYWARDEN_REAL_DATA"}
    python = peers_python()
    if python is None:
        return {"skipped": HOW}
    done = subprocess.run(
        [python, "-m", "sim.bench.tiles", str(data)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"},
    )
    if done.returncode != 0:
        return {
            "skipped": f"the peers failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        }
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def peers_python() -> str | None:
    """The Python that has both peers: this one, the one that is named, or the one in `.venv-peers`."""
    if all(importlib.util.find_spec(name) is not None for name in ("sahi", "ultralytics")):
        return sys.executable
    named = os.environ.get(PLACE_KEY) or ".venv-peers/bin/python"
    return named if Path(named).is_file() else None


def note(found: Figures) -> str:
    """What the page says below the table."""
    if "skipped" in found:
        return f"\n*Against SAHI and Ultralytics*: not measured; {found['skipped']}."
    rows = []
    for key in (name for name in found if name.startswith("height_")):
        at = found[key]
        rows.append(
            f"from {key.removeprefix('height_')} m SAHI found {at['recall_sahi']:.0%} of {at['boats']} boats "
            f"with {at['false_sahi']} boxes on none, all our tiles {at['recall_all']:.0%} with "
            f"{at['false_all']} in {at['all_ratio']:.2f} of its time, the tiles that the height asks for "
            f"{at['recall_planned']:.0%} with {at['false_planned']}"
        )
    same = ", ".join(f"{name} {share:.1%}" for name, share in found["same"].items() if name != "ultralytics")
    return (
        "\n*4K frames*: real overhead images that no model learnt from, side by side, each drawn as its "
        f"median boat, called 12 m, shows from that height; {found['sahi']} with slices as large as the "
        f"network's input, around the same network in the same process; {'; '.join(rows)}. *One frame*: "
        f"YOLO11n with weights drawn at random, as {found['ultralytics']} exports it, one thread each, "
        f"{found['boxes']} boxes; the share of them that ours agree with to an IoU of 0.9: {same}. Its "
        f"engine is {found['onnxruntime']} in fp32 throughout. Processor time."
    )


def main() -> int:
    """In the peers' environment: measure, print one line of JSON. The argument is the folder of real data."""
    from sim.bench.peers import measure_frame, measure_tiles

    # What the peers print must not stand among the figures.
    out, sys.stdout = sys.stdout, sys.stderr
    figures = measure_frame() | measure_tiles(Path(sys.argv[1]))
    print(json.dumps(figures), file=out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
