"""`skywarden ground review`: what people decided, and whether the log of it holds."""

import sys
from typing import Any

from cyclopts import App

from ground.station.options import USUAL, StationFiles

review = App(
    name="review",
    help="""What people decided about contacts; the deciding itself is done on the console.

For example:

    skywarden ground review log --limit 20
    skywarden ground review verify
""",
)


@review.command
def log(*, limit: int = 50, json: bool = False, station: StationFiles = USUAL) -> int:
    """Show what people did, newest first.

    For example:

        skywarden ground review log --limit 20 --json

    Parameters
    ----------
    limit
        At most so many entries.
    json
        One JSON object a line.
    """
    import msgspec

    from ground.review.book import ReviewBook
    from ground.review.log import read_entries, review_path
    from skywarden.times import rfc3339

    book = ReviewBook(read_entries(review_path(station.state_dir())))
    for entry in book.newest(max(0, limit)):
        if json:
            print(msgspec.json.encode(entry).decode())
            continue
        about = entry.contact_id or f"{len(entry.contact_ids)} contacts"
        done = entry.decision or entry.assignee or (f"of {entry.undoes}" if entry.undoes else "")
        said = f" {entry.text!r}" if entry.text else ""
        print(f"{entry.number} {rfc3339(entry.time_ns)} {entry.account} {entry.kind} {done} {about}{said}")
    return 0


@review.command
def verify(*, json: bool = False, station: StationFiles = USUAL) -> int:
    """Go through the log and say whether anything was changed, removed or put in. Exits with 3 if so.

    Write the head down elsewhere: it shows later that the end was not cut off.

    For example:

        skywarden ground review verify --json

    Parameters
    ----------
    json
        One JSON object.
    """
    import msgspec

    from ground.review.log import review_path, verify_entries

    path = review_path(station.state_dir())
    count, head, problems = verify_entries(path) if path.exists() else (0, "", [])
    if json:
        found: dict[str, Any] = {"entries": count, "head": head, "problems": problems}
        print(msgspec.json.encode(found).decode())
    else:
        print(f"{count} entries, head {head or 'none'}")
        for problem in problems:
            print(problem, file=sys.stderr)
    return 3 if problems else 0
