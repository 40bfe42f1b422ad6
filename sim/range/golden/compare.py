"""Compares what nodes say now with the golden, decoded, with tolerances where floats demand them."""

import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sim.range.golden.replay import Row
from skywarden.errors import FlightError

SUFFIX = ".jsonl.gz"
SHOWN = 12
_MAX_BYTES = 64 * 1024 * 1024

TOLERANCES = (
    ("latitude_deg", 1e-7),
    ("longitude_deg", 1e-7),
    ("score", 2e-3),
    ("_px", 0.1),
    ("_m2ps2", 1e-3),
    ("_m2", 0.05),
    ("_mps", 5e-3),
    ("_dps", 0.02),
    ("_deg", 1e-2),
    ("_m", 0.02),
    ("rotation", 1e-6),
    ("q_ned_body", 1e-6),
)
"""By the end of a field's name, how far a float may be off, or a millionth of it, whichever is more."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was; `before` or `now` is `None` for what is new or gone."""

    node: str
    key: str
    field: str
    before: Any
    now: Any

    def __str__(self) -> str:
        """One line: which node, about what, which field, from what to what."""
        place = f"{self.node} {self.key}{' ' + self.field if self.field else ''}"
        if self.before is None and not self.field:
            return f"{place}: is new"
        if self.now is None and not self.field:
            return f"{place}: is gone"
        off = ""
        if _is_number(self.before) and _is_number(self.now):
            off = f" ({self.now - self.before:+.6g})"
        return f"{place}: {self.before} -> {self.now}{off}"


def differences(before: Sequence[Row], now: Sequence[Row]) -> list[Difference]:
    """Every difference beyond tolerance, in the order of `before`, then what is new."""
    old, new = _keyed(before), _keyed(now)
    found: list[Difference] = []
    for (node, key), value in old.items():
        if (node, key) not in new:
            found.append(Difference(node=node, key=key, field="", before=value, now=None))
            continue
        for field, was, now_is in _walk("", "", value, new[node, key]):
            found.append(Difference(node=node, key=key, field=field, before=was, now=now_is))
    found += [
        Difference(node=node, key=key, field="", before=None, now=value)
        for (node, key), value in new.items()
        if (node, key) not in old
    ]
    return found


def readable(name: str, found: Sequence[Difference]) -> str:
    """A recording's differences by node: how many, and the first few of each."""
    lines = [f"{name}: {len(found)} differences"]
    for node in dict.fromkeys(one.node for one in found):
        mine = [one for one in found if one.node == node]
        lines.append(f"  {node}: {len(mine)}")
        lines += [f"    {str(one)[:300]}" for one in mine[:SHOWN]]
        if len(mine) > SHOWN:
            lines.append(f"    ... and {len(mine) - SHOWN} more")
    return "\n".join(lines)


def read_golden(path: Path) -> list[Row]:
    """The rows of a golden; raises `FlightError` when there is none or it cannot be read."""
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise FlightError(f"{path}: no golden that can be read ({error}); make it with `update`") from error
    if len(data) > _MAX_BYTES:
        raise FlightError(f"{path}: unpacks to more than {_MAX_BYTES} bytes; a golden is small")
    try:
        return [msgspec.json.decode(line, type=Row) for line in data.splitlines()]
    except msgspec.DecodeError as error:
        raise FlightError(f"{path}: {error}") from error


def write_golden(path: Path, rows: Sequence[Row]) -> None:
    """Write a golden; the same rows give the same bytes. Raises `FlightError` when the disk refuses."""
    data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data, 9, mtime=0))
    except OSError as error:
        raise FlightError(f"{path}: cannot be written ({error.strerror})") from error


def _keyed(rows: Sequence[Row]) -> dict[tuple[str, str], Any]:
    """By node and key; what comes twice is told apart by its number."""
    found: dict[tuple[str, str], Any] = {}
    for row in rows:
        key, number = row.key, 1
        while (row.node, key) in found:
            number += 1
            key = f"{row.key} #{number}"
        found[row.node, key] = row.value
    return found


def _walk(field: str, name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """`name` is the last word of `field`, whose end says the unit."""
    if isinstance(before, dict) and isinstance(now, dict):
        for each in [*before, *(one for one in now if one not in before)]:
            yield from _walk(f"{field}.{each}".lstrip("."), each, before.get(each), now.get(each))
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield f"{field}.length".lstrip("."), len(before), len(now)
        for index, (was, now_is) in enumerate(zip(before, now, strict=False)):
            yield from _walk(f"{field}[{index}]", name, was, now_is)
    elif _is_number(before) and _is_number(now) and (isinstance(before, float) or isinstance(now, float)):
        if abs(now - before) > max(_tolerance(name), 1e-6 * abs(before)):
            yield field, before, now
    elif before != now:
        yield field, before, now


def _tolerance(name: str) -> float:
    return next((limit for end, limit in TOLERANCES if name.endswith(end)), 1e-6)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
