"""`skywarden sim golden`: replays of short recordings against what was kept, and one flight many times."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from skywarden.errors import UsageError
from skywarden.progress import progress_bar

if TYPE_CHECKING:
    from sim.range.golden.recordings import Recording

app = App(
    name="golden",
    help="""What every node says of every short recording, against what it said before.

For example:

    skywarden sim golden check
    skywarden sim golden update --only cuav-2018 --reason "Poses are now bridged over gaps of a second"
    skywarden sim golden repeat flight --times 20
""",
    default_parameter=Parameter(negative=()),
)
FOLDER = Path("tests/golden")
Only = Annotated[str, Parameter(help="Recordings by comma; all when not given.")]
Data = Annotated[Path | None, Parameter(help="Folder of real recordings.")]
Folder = Annotated[Path, Parameter(help="Folder of the goldens.")]
Quiet = Annotated[bool, Parameter(alias="-q", help="No progress bar.")]


@app.command
def check(*, only: Only = "", data: Data = None, folder: Folder = FOLDER, quiet: Quiet = False) -> int:
    """Replay and compare; exit code 1 when anything is beyond its tolerance.

    For example:

        skywarden sim golden check --only fishing-fleet,cuav-2018
    """
    from sim.range.golden.compare import readable
    from sim.range.golden.folder import check as compare

    is_good = True
    with progress_bar("golden", is_quiet=quiet) as report:
        for one in compare(folder, _data(data), _chosen(only), report):
            if one.differences is None:
                sys.stdout.write(f"{one.name}: skipped, its recording is not at hand\n")
            elif one.differences:
                is_good = False
                sys.stdout.write(readable(one.name, one.differences) + "\n")
            else:
                sys.stdout.write(f"{one.name}: as before\n")
    return 0 if is_good else 1


@app.command
def update(
    *,
    reason: str = "",
    only: Only = "",
    data: Data = None,
    folder: Folder = FOLDER,
    quiet: Quiet = False,
) -> int:
    """Renew the goldens of what differs; the reason goes into the log beside them.

    For example:

        skywarden sim golden update --reason "The tracker starts tracks a frame earlier"

    Parameters
    ----------
    reason
        Why it is right that nodes now say something else.
    """
    from sim.range.golden.folder import update as renew

    today = datetime.now(tz=UTC).date().isoformat()
    with progress_bar("golden", is_quiet=quiet) as report:
        changed = renew(folder, _data(data), _chosen(only), reason, today, report)
    for name, count in changed.items():
        sys.stdout.write(f"{name}: renewed, {count} differences\n")
    if not changed:
        sys.stdout.write("nothing differs\n")
    return 0


@app.command
def repeat(flight: Path, *, times: int = 20, model: str = "anomaly", quiet: Quiet = False) -> int:
    """Analyze one flight many times; exit code 1 unless all give one hash.

    For example:

        skywarden sim golden repeat run/coast-1 --times 20

    Parameters
    ----------
    flight
        A flight folder: recorded, or of a scenario.
    times
        How many times.
    model
        Detector of the zoo, or folder of one, for flights with pictures.
    """
    from sim.analyze import AnalyzeOptions
    from sim.range.golden.replay import flight_hash

    if not 2 <= times <= 10_000:
        raise UsageError(f"--times {times}: from 2 to 10000")
    found: dict[str, int] = {}
    with progress_bar("repeating", is_quiet=quiet) as report:
        for number in range(times):
            report(number, times, "")
            digest = flight_hash(flight, AnalyzeOptions(model=model))
            found[digest] = found.get(digest, 0) + 1
    for digest, count in found.items():
        sys.stdout.write(f"{count} of {times}: {digest}\n")
    return 0 if len(found) == 1 else 1


def _data(given: Path | None) -> Path:
    return given or Path(os.environ.get("SKYWARDEN_REAL_DATA", "../shared/data"))


def _chosen(only: str) -> list["Recording"]:
    from sim.range.golden.recordings import RECORDINGS, recording_of

    names = [name.strip() for name in only.split(",") if name.strip()]
    return [recording_of(name) for name in names] or list(RECORDINGS)
