"""A progress bar on stderr for long work; nothing where stderr is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Report = Callable[[int, int, str], None]


@contextmanager
def progress_bar(title: str, *, is_quiet: bool = False) -> Iterator[Report]:
    """Hands out `report(done, total, text)`; the bar goes away when the work is done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    is_off = is_quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_off) as progress:
        task = progress.add_task(title, total=None, text="")

        def report(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total or None, text=text)

        yield report
