"""What `ground export`, `ground query` and `ground plan` have in common on the command line."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ground.review.entries import State
from skywarden.errors import SkywardenError

if TYPE_CHECKING:
    from ground.exports.source import ExportSource
    from ground.review.book import ReviewBook
    from ground.store.reading import SqliteReader

Output = Annotated[Path | None, Parameter(name=["--out", "--output"])]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is wanted, as words of a command line; everything that is given must hold."""

    box: Annotated[
        str | None,
        Parameter(help="Only within WEST,SOUTH,EAST,NORTH in degrees; west beyond east crosses 180."),
    ] = None
    since: Annotated[str | None, Parameter(help="Only from this time on, such as 2026-11-21T18:42:10Z.")] = (
        None
    )
    until: Annotated[str | None, Parameter(help="Only up to this time.")] = None
    label: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--class", "--label"], negative=(), help="Only of this class; may be said several times."
        ),
    ] = ()
    platform: Annotated[str | None, Parameter(help="Only what this platform saw.")] = None
    contact: Annotated[str | None, Parameter(help="Only of this contact.")] = None
    review: Annotated[
        tuple[State, ...],
        Parameter(
            negative=(),
            help="Only in this state of review (`--state` is the station's folder); several times.",
        ),
    ] = ()
    limit: Annotated[int | None, Parameter(help="At most so many of each layer.")] = None

    def fields(self) -> dict[str, Any]:
        """The same as `Selection` wants it; raises `InputError` on a box or time that is none."""
        from ground.http.questions import parse_bbox, parse_time

        return {
            "bbox": parse_bbox(self.box) if self.box is not None else None,
            "since_ns": parse_time(self.since) if self.since is not None else None,
            "until_ns": parse_time(self.until) if self.until is not None else None,
            "labels": self.label,
            "platform_id": self.platform,
            "contact_id": self.contact,
            "states": self.review,
            "limit": self.limit,
        }

    def words(self) -> str:
        """What was said, for the access log."""
        given = {
            "box": self.box, "since": self.since, "until": self.until, "class": " ".join(self.label),
            "platform": self.platform, "contact": self.contact, "review": " ".join(self.review),
            "limit": self.limit,
        }  # fmt: skip
        return "".join(f" --{name} {value}" for name, value in given.items() if value not in (None, ""))


ANY = Asked()
"""Nothing asked for in particular."""


@contextlib.contextmanager
def opened(state_dir: Path) -> Iterator[tuple["SqliteReader", "ReviewBook"]]:
    """The store of a station, running or not, and what people decided; raises `StoreError`."""
    from ground.review.book import ReviewBook
    from ground.review.log import read_entries, review_path
    from ground.station.places import store_path
    from ground.store.reading import SqliteReader

    book = ReviewBook(read_entries(review_path(state_dir)))
    reader = SqliteReader(store_path(state_dir))
    try:
        yield reader, book
    finally:
        reader.close()


def source_in(reader: "SqliteReader", book: "ReviewBook", state_dir: Path) -> "ExportSource":
    """What exports read."""
    from ground.exercise.identity import mark_of_folder
    from ground.exports.source import ExportSource

    return ExportSource(store=reader, book=book, state_dir=state_dir, mark=mark_of_folder(state_dir))


def note_export(state_dir: Path, what: str) -> None:
    """An entry of the access log; whoever can read the files could take them without one, so a failure is
    said and no more."""
    from ground.accounts.doorkeeper import Doorkeeper

    try:
        keeper = Doorkeeper(state_dir)
        try:
            keeper.note_local("export", what[:1_000])
        finally:
            keeper.close()
    except SkywardenError as error:
        sys.stderr.write(f"this export is not in the access log: {error}\n")
