"""The page of benchmarks: what `--only` makes anew takes the place of the old, everything else stays."""

from pathlib import Path
from typing import Any

import msgspec

from sim.bench.__main__ import keep

_TLOG = {"ratio": 48.1, "goal": 30.0}
_FUSION = {"contacts": 5000, "live": 200, "settle_s": 0.2, "goal_s": 0.5}
_MACHINE = {"cpus": 2, "architecture": "x86_64", "python": "3.11", "date": "2026-11-22"}


def _with_machine(figures: dict[str, Any], load: float) -> dict[str, Any]:
    return figures | {"machine": _MACHINE | {"load_before": load, "load_after": load}}


def test_one_bench_made_anew_leaves_the_others_and_what_it_does_not_know(tmp_path: Path) -> None:
    earlier = {
        "machine": _MACHINE | {"load_before": 0.2, "load_after": 1.1},
        "tlog": _TLOG,
        "other": {"a": 1},
    }
    (tmp_path / "benchmarks.json").write_bytes(msgspec.json.encode(earlier))
    keep(tmp_path, {"fusion": _with_machine(_FUSION, 7.0)})
    keep(tmp_path, {"fusion": _with_machine(_FUSION | {"settle_s": 0.7}, 3.0)})
    figures = msgspec.json.decode((tmp_path / "benchmarks.json").read_bytes())
    assert figures["other"] == {"a": 1}
    assert figures["tlog"]["machine"]["load_after"] == 1.1
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| tlog import, messages/s | pymavlink recv_match | 48.1 | ≥ 30 | yes |" in text
    assert "| 0.7 | ≤ 0.5 | **no** |" in text
    assert "tlog (0.2 to 1.1), fusion (3 to 3)" in text


def test_the_first_bench_of_all_makes_the_page(tmp_path: Path) -> None:
    keep(tmp_path / "new", {"fusion": _with_machine(_FUSION, 0.1)})
    assert "| 0.2 | ≤ 0.5 | yes |" in (tmp_path / "new" / "benchmarks.md").read_text(encoding="utf-8")
