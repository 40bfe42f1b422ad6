"""`skywarden ground report`: the report of a span of time, as HTML or PDF; and whether one is as it was
made.
"""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ground.station.options import USUAL, StationFiles
from skywarden.errors import InputError, UsageError

report = App(
    name="report",
    help="""The report of a mission: map, course of events, contacts with pictures, open questions.

For example:

    skywarden ground report --since 2026-11-21T00:00:00Z --out night.html
    skywarden ground report check night.html
""",
    default_parameter=Parameter(negative=()),
)
MAX_REPORT_BYTES = 200_000_000


@report.default
def write(
    *,
    since: str,
    until: str | None = None,
    output: Annotated[Path, Parameter(name=["--out", "--output"])],
    language: Literal["en", "es"] = "en",
    unreviewed: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Write the report of a span; works while the station runs.

    Only what people have confirmed stands in it, unless --unreviewed is said, and then it says so itself.
    A .pdf needs a browser (Chromium) on this machine; without one the page is written as .html instead,
    with exit code 3.

    For example:

        skywarden ground report --since 2026-11-21T18:00:00Z --until 2026-11-22T06:00:00Z --out night.pdf
        skywarden ground report --since 2026-11-21T18:00:00Z --out informe.html --language es

    Parameters
    ----------
    since
        From this time on, RFC 3339.
    until
        Up to this time; now when absent.
    output
        The .html or .pdf file to write.
    language
        `en` or `es`.
    unreviewed
        Also what no person has confirmed, marked so. What was rejected stays out.
    """
    from ground.exports.options import note_export
    from ground.report.make import facts_of_files
    from ground.report.page import render
    from ground.review.release import UNREVIEWED_NOTICE
    from skywarden.times import parse_rfc3339

    if output.suffix not in (".html", ".pdf"):
        raise UsageError(f"{output.name}: name a .html or a .pdf file")
    now_ns = time.time_ns()
    since_ns, until_ns = parse_rfc3339(since), parse_rfc3339(until) if until is not None else now_ns
    if since_ns >= until_ns:
        raise UsageError(f"nothing lies between {since} and {until or 'now'}")
    config = station.settings()
    facts = facts_of_files(
        config.state_dir(),
        config.ais,
        since_ns=since_ns,
        until_ns=until_ns,
        made_ns=now_ns,
        with_unreviewed=unreviewed,
    )
    page = render(facts, language)
    mode = " --unreviewed" if unreviewed else ""
    note_export(
        config.state_dir(),
        f"ground report --since {since} --until {until or 'now'}{mode}: {len(facts.contacts)} contacts",
    )
    written, is_less = _write(page, output)
    sys.stdout.write(
        f"{written}: {len(facts.contacts)} contacts, {len(facts.plots)} plots, "
        f"{len(facts.platforms)} platforms\n"
    )
    if unreviewed:
        sys.stderr.write(f"{UNREVIEWED_NOTICE}\n")
    return 3 if is_less else 0


@report.command
def check(file: Path) -> int:
    """Say whether an HTML report still has the content that it was made with; exit code 3 when not.

    For example:

        skywarden ground report check night.html

    Parameters
    ----------
    file
        The .html file.
    """
    from ground.report.page import is_untouched

    if not file.is_file() or file.stat().st_size > MAX_REPORT_BYTES:
        raise InputError(f"{file} is no report: no file, or over {MAX_REPORT_BYTES} bytes")
    is_good = is_untouched(file.read_bytes())
    sys.stdout.write(f"{file}: {'as it was made' if is_good else 'NOT as it was made, or no report'}\n")
    return 0 if is_good else 3


def _write(page: bytes, output: Path) -> tuple[Path, bool]:
    """Where it lies, and whether it is less than was asked for."""
    from ground.report.pdf import find_browser, print_pdf

    data, is_less = page, False
    if output.suffix == ".pdf":
        browser = find_browser()
        if browser is None:
            output, is_less = output.with_suffix(".html"), True
            sys.stderr.write(
                f"no Chromium on this machine prints a PDF; wrote {output.name}: print it from a browser\n"
            )
        else:
            data = print_pdf(page, browser)
    part = output.with_name(output.name + ".part")
    part.write_bytes(data)
    part.replace(output)
    return output, is_less
