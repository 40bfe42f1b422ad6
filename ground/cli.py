"""`skywarden ground`: serve, let platforms in and out, look, export."""

import json as json_module
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ground.accounts import cli as accounts_cli
from ground.ais import cli as ais_cli
from ground.alerts import cli as alerts_cli
from ground.catalogue import cli as catalogue_cli
from ground.exports import cli as exports_cli
from ground.link import invite_cli
from ground.plans import cli as plans_cli
from ground.report import cli as report_cli
from ground.review import cli as review_cli
from ground.station.options import USUAL, StationFiles
from ground.tak import cli as tak_cli
from ground.upkeep import cli as upkeep_cli
from skywarden.errors import UsageError

if TYPE_CHECKING:
    from ground.config import GroundConfig
    from ground.picture.clocks import NotedClock
    from ground.serve import GroundHandle

Output = Annotated[Path | None, Parameter(name=["--out", "--output"])]
Verbose = Annotated[int, Parameter(name=["--verbose", "-v"], count=True)]

app = App(
    name="ground",
    help="""The ground station: serve, enrol platforms, export.

For example:

    skywarden ground serve
    skywarden ground enrol uav07 swpub1:...
    skywarden ground export sightings > sightings.geojson
""",
    default_parameter=Parameter(negative=()),
)
app.command(exports_cli.export)
app.command(exports_cli.query)
exports_cli.export.command(catalogue_cli.stac)
exports_cli.export.command(catalogue_cli.mcap)
app.command(catalogue_cli.sorties)
app.command(invite_cli.invite)
app.command(ais_cli.ais)
app.command(accounts_cli.users)
app.command(accounts_cli.tls)
app.command(accounts_cli.access_log, name="access-log")
app.command(alerts_cli.zones)
app.command(alerts_cli.alerts)
app.command(review_cli.review)
app.command(plans_cli.plan)
app.command(report_cli.report)
for _command in (
    upkeep_cli.verify,
    upkeep_cli.backup,
    upkeep_cli.restore,
    upkeep_cli.expire,
    upkeep_cli.hold,
    upkeep_cli.holds,
):
    app.command(_command)
app.command(tak_cli.tak)


@app.command
def serve(
    *,
    state: Path | None = None,
    http: str | None = None,
    link: str | None = None,
    layers: Path | None = None,
    config: Path | None = None,
    insecure_http: bool = False,
    exercise: bool = False,
    verbose: Verbose = 0,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    log_format: Literal["auto", "console", "json"] = "auto",
    json: bool = False,
) -> int:
    """Run the ground station until it is told to stop; needs no configuration.

    Exits with 78 when the configuration is wrong, 130 or 143 when it was told to stop.

    For example:

        skywarden ground serve
        skywarden ground serve --http 127.0.0.1:8600 --link 0.0.0.0:5690
        skywarden ground serve --config /etc/skywarden/ground.toml -v

    Parameters
    ----------
    state
        Folder for store, keys and platforms (default: $XDG_STATE_HOME/skywarden/ground).
    http
        HOST:PORT of console and API (default 127.0.0.1:8600; port 0 takes a free one).
    link
        HOST:PORT where platforms connect (default 127.0.0.1:5690).
    layers
        Folder of map layers.
    config
        TOML file with any of these and more; when not given, $XDG_CONFIG_HOME/skywarden/ground.toml or
        /etc/skywarden/ground.toml, where there is one.
    insecure_http
        Serve on an address that others can reach without TLS: they can read passwords and pictures.
    exercise
        Be an exercise: the folder is marked so for ever, and all that is shown and sent says EXERCISE.
    verbose
        Log more.
    quiet
        Log warnings and errors only.
    log_format
        How log lines on stderr look: "console" for people, "json" for a log collector; "auto" decides by the
        terminal.
    json
        Print console, link, station_key and sign_in_once as one JSON object instead of lines.
    """
    from ground.serve import start_ground
    from skywarden.logs import configure_logs
    from skywarden.systemd import Notifier

    if verbose and quiet:
        raise UsageError("give one of --verbose and --quiet")
    found = StationFiles(state=state, config=config).settings()
    settings = _overridden(
        found, http=http, link=link, layers=layers, insecure=insecure_http, exercise=exercise
    )
    configure_logs(log_format, verbosity=-1 if quiet else verbose)
    handle = start_ground(settings)
    notifier = Notifier()
    try:
        _print_addresses(handle, as_json=json)
        _print_certificate(handle)
        notifier.ready(f"console on {handle.http_url}")
        while not handle.wait(0.5):
            if handle.is_working:
                notifier.alive(_summary(handle))
    finally:
        notifier.stopping()
        handle.stop()
    return 0


def _summary(handle: "GroundHandle") -> str:
    """For `systemctl status`; a problem that a new start would not mend is said, and keeps nothing alive."""
    problems = handle.problems()
    heard = f"{handle.picture.platform_count} platforms heard"
    return f"{heard}; {len(problems)} problems, such as: {problems[0]}" if problems else heard


def _print_addresses(handle: "GroundHandle", *, as_json: bool) -> None:
    found = {
        "console": handle.http_url,
        "link": handle.link_address,
        "station_key": handle.server_public_key,
    }
    if os.environ.get("JOURNAL_STREAM"):  # a code in the journal would be one for all its readers
        if handle.doorkeeper.book.needs_first_sign_in():
            name = handle.doorkeeper.book.first_administrator().name
            print(f"nobody can sign in yet: run `skywarden ground users reset {name}`", file=sys.stderr)
    elif (first := handle.first_sign_in()) is not None:
        found["sign_in_once"] = handle.page(first[1])
    if as_json:
        print(json_module.dumps(found), flush=True)
        return
    for name, text in found.items():
        print(f"{name.replace('_', ' '):<13}{text}", flush=True)


def _print_certificate(handle: "GroundHandle") -> None:
    """On stderr: what people compare before they trust the page."""
    if handle.is_tls:
        from ground.http.tls import load_certificate

        print(f"certificate  SHA-256 {load_certificate(handle.state_dir).fingerprint}", file=sys.stderr)


@app.command
def enrol(
    platform: str,
    public_key: str,
    *,
    replace: bool = False,
    overlap_hours: float | None = None,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Let PLATFORM in with PUBLIC_KEY; a running station knows within a second.

    For example:

        skywarden ground enrol uav07 "swpub1:... swev1:..."
        skywarden ground enrol uav07 edge.key.pub --replace

    Parameters
    ----------
    platform
        The platform's id, as in its edge.toml.
    public_key
        Its line of keys, `swpub1:... swev1:...` (link key and evidence key), or a file that holds it
        (`skywarden keys show` prints it).
    replace
        Put this key in place of the enrolled one; a line of `skywarden keys rotate` needs no such word.
    overlap_hours
        Let the keys that are replaced in for so long yet (default: 24 after `keys rotate`, else 0).
    json
        Print one JSON object: `platform_id`, `fingerprint` and `evidence_fingerprints`.
    """
    import time

    from ground.link.enrolments import enrol_line
    from ground.station.places import authorized_dir
    from skywarden.link.keys import fingerprint

    folder = authorized_dir(station.state_dir())
    if overlap_hours is not None and not 0.0 <= overlap_hours <= 24.0 * 366:
        raise UsageError(f"--overlap-hours {overlap_hours:g} is not between 0 and a year")
    one = enrol_line(
        folder,
        platform,
        public_key,
        now_ns=time.time_ns(),
        replace=replace,
        overlap_hours=overlap_hours,
    )
    evidence_prints = [fingerprint(key) for key in one.evidence_keys]
    if json:
        found = {
            "platform_id": one.platform_id,
            "fingerprint": one.fingerprint,
            "evidence_fingerprints": evidence_prints,
        }
        print(json_module.dumps(found))
        return 0
    print(f"{one.platform_id} is let in; compare the fingerprint with the platform's: {one.fingerprint}")
    for text in evidence_prints:
        print(f"its evidence key: {text}")
    if not evidence_prints:
        print(
            "without an evidence key (swev1:...): what it sends is kept aside until it is enrolled with one"
        )
    return 0


@app.command
def revoke(platform: str, *, station: StationFiles = USUAL, json: bool = False) -> int:
    """Let PLATFORM in no more; a running station refuses what it sends within a second.

    For example:

        skywarden ground revoke uav07

    Parameters
    ----------
    platform
        The platform's id.
    json
        Print one JSON object: `platform_id` and `is_enrolled`.
    """
    from ground.link.authenticator import revoke as shut_out
    from ground.station.places import authorized_dir

    shut_out(authorized_dir(station.state_dir()), platform)
    if json:
        print(json_module.dumps({"platform_id": platform, "is_enrolled": False}))
    else:
        print(f"{platform} is let in no more")
    return 0


@app.command
def status(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """Show the station's key, who is let in and what the store holds; works while it runs.

    For example:

        skywarden ground status
        skywarden ground status --json

    Parameters
    ----------
    json
        Print one JSON object.
    """
    found = _status(station.state_dir())
    if json:
        print(json_module.dumps(found))
        return 0
    if found["is_exercise"]:
        print("EXERCISE: nothing in here is real")
    for name in ("state", "station_key", "fingerprint"):
        print(f"{name.replace('_', ' '):<14}{found[name]}")
    for name, number in found["counts"].items():
        print(f"{name:<14}{number}")
    for one in found["platforms"]:
        key = f"let in with {one['fingerprint']}" if one["fingerprint"] else "not let in"
        print(f"{'platform':<14}{one['platform_id']}  {key}  last heard {one['last_heard'] or 'never'}")
        if (clock := one["clock"]) is not None:
            leapt = ", and has leapt since" if clock["is_doubtful"] else ""
            print(
                f"{'':<14}its clock minus this station's: {clock['offset_s']:+.3f} s, within "
                f"{clock['bound_s']:.3f} s, as of {clock['as_of']}{leapt}"
            )
        for text in one["evidence_fingerprints"]:
            print(f"{'':<14}its evidence key: {text}")
        if one["fingerprint"] and not one["evidence_fingerprints"]:
            print(f"{'':<14}no evidence key: what it sends is kept aside until it is enrolled with one")
    return 0


@app.command(name="config")
def show_config(*, config: Path | None = None, json: bool = False) -> int:
    """Show the values in force, before what a command line says, and where each came from.

    For example:

        skywarden ground config
        skywarden ground config --config ground.toml | grep -v default

    Parameters
    ----------
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object: `file` (or null) and `settings` with key, value and origin.
    """
    import msgspec

    from ground.config import GroundConfig
    from skywarden.config import explain_config, find_config

    place = config or find_config("ground.toml")
    settings = explain_config(GroundConfig, place, prefix="GROUND")
    if json:
        tree = {"file": str(place) if place else None, "settings": settings}
        print(msgspec.json.encode(tree).decode())
        return 0
    for one in settings:
        print(f"{one.key} = {msgspec.json.encode(one.value).decode()}  # {one.origin}")
    return 0


def _overridden(
    settings: "GroundConfig",
    *,
    http: str | None,
    link: str | None,
    layers: Path | None,
    insecure: bool,
    exercise: bool,
) -> "GroundConfig":
    """What the command line says stands above file and environment."""
    import msgspec

    given: dict[str, str | bool] = {}
    if http is not None:
        given["http"] = http
    if link is not None:
        given["link"] = link
    if layers is not None:
        given["layers"] = str(layers)
    if insecure:
        given["insecure_http"] = True
    if exercise:
        given["exercise"] = True
    return msgspec.structs.replace(settings, **given)


def _shown_clock(noted: "NotedClock | None") -> dict[str, Any] | None:
    from skywarden.times import rfc3339

    if noted is None:
        return None
    return {
        "offset_s": noted.offset_s,
        "bound_s": noted.bound_s,
        "drift_ppm": noted.drift_ppm,
        "is_doubtful": noted.is_doubtful,
        "as_of": rfc3339(noted.as_of_ns),
    }


def _status(state_dir: Path) -> dict[str, Any]:
    from ground.exercise.identity import mark_of_folder
    from ground.link.authenticator import AllowList, evidence_keys_in
    from ground.picture.clocks import ClockFile
    from ground.station.places import authorized_dir, server_key_path, store_path
    from ground.store.reading import SqliteReader
    from skywarden.link.keys import fingerprint, load_or_create_key_file
    from skywarden.times import rfc3339

    key = load_or_create_key_file(server_key_path(state_dir))
    reader = SqliteReader(store_path(state_dir))
    has_store = store_path(state_dir).exists()
    counts = reader.counts() if has_store else None
    heard = {one.platform_id: one.last_heard_ns for one in reader.platforms()} if has_store else {}
    reader.close()
    enrolled = AllowList(authorized_dir(state_dir)).enrolled()
    prints = {one.platform_id: one.fingerprint for one in enrolled}
    evidence_keys = evidence_keys_in(enrolled)
    clocks = ClockFile(state_dir).read()
    return {
        "state": str(state_dir),
        "station_key": key.public_text,
        "fingerprint": key.fingerprint,
        "is_exercise": mark_of_folder(state_dir).is_exercise,
        "counts": {name: getattr(counts, name) for name in counts.__slots__} if counts else {},
        "platforms": [
            {
                "platform_id": name,
                "fingerprint": prints.get(name),
                "evidence_fingerprints": [fingerprint(key) for key in evidence_keys.get(name, ())],
                "last_heard": rfc3339(heard[name]) if name in heard else None,
                "clock": _shown_clock(clocks.get(name)),
            }
            for name in sorted({*heard, *prints})
        ],
    }
