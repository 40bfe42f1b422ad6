"""Progress of long work on stderr: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int, str], None]
LINE_EVERY_S = 10.0


@contextmanager
def progress_bar(
    title: str, *, is_quiet: bool = False, line_every_s: float = LINE_EVERY_S
) -> Iterator[Report]:
    """Hands out `report(done, total, text)`; a total of 0 is one that is not known.

    The bar goes away when the work is done. Where stderr is no terminal (a log, CI, `TERM=dumb`) there is
    a plain line at most every `line_every_s` seconds, so that short work says nothing and long work shows
    that it lives.
    """
    if is_quiet:
        yield lambda done, total, text: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _lines(title, line_every_s)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None, text="")

        def report(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total or None, text=_printable(text))

        yield report


def _lines(title: str, every_s: float) -> Report:
    said_s = time.monotonic()

    def report(done: int, total: int, text: str) -> None:
        nonlocal said_s
        if time.monotonic() - said_s < every_s:
            return
        said_s = time.monotonic()
        share = f"{done} of {total}" if total else f"{done}"
        sys.stderr.write(f"{title}: {share} {_printable(text)}".rstrip() + "\n")

    return report


def _printable(text: str) -> str:
    """Names come from foreign recordings: nothing in them steers the terminal or the bar's markup."""
    return "".join(each if each.isprintable() else "?" for each in text).replace("[", "(").replace("]", ")")
