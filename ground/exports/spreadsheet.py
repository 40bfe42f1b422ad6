"""CSV (RFC 4180) for spreadsheets: one header with units, times in UTC, no cell that a program would run."""

import csv
import io
from collections.abc import Iterable
from typing import IO

from ground.exports.tables import TABLES, Layer, Row, Value, shown_value

_RUNS = ("=", "+", "-", "@", "|", "%")
"""What a spreadsheet takes for the start of a formula, some of them after blanks."""


def write_csv(layer: Layer, rows: Iterable[Row], out: IO[bytes]) -> int:
    """One layer as a table in UTF-8, its places as columns; how many rows. Outlines stay behind.

    Text that a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).
    """
    columns = TABLES[layer]
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    count = 0
    try:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([one.name for one in columns])
        for row in rows:
            writer.writerow([_cell(shown_value(row.values[one.name], one.kind)) for one in columns])
            count += 1
    finally:
        text.detach()
    return count


def _cell(value: Value) -> str | float | int:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    plain = "".join(each if each.isprintable() else " " for each in value)
    return f"'{plain}" if plain.lstrip().startswith(_RUNS) else plain
