"""`skywarden ground`: serve, let platforms in and out, look, export."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from skywarden.errors import UsageError

if TYPE_CHECKING:
    from ground.config import GroundConfig
    from ground.reading import Filter, StoreReader
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
export = App(
    name="export",
    help="""Write what the store holds, for other programs.

For example:

    skywarden ground export sightings > sightings.geojson
    skywarden ground export contacts --out contacts.geojson
""",
)
app.command(export)


@app.command
def serve(
    *,
    state: Path | None = None,
    http: str | None = None,
    link: str | None = None,
    layers: Path | None = None,
    config: Path | None = None,
    insecure_http: bool = False,
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
        Serve on an address that others can reach, without accounts and TLS.
    verbose
        Log more.
    quiet
        Log warnings and errors only.
    log_format
        How log lines on stderr look: "console" for people, "json" for a log collector; "auto" decides by the
        terminal.
    json
        Print console, link and station_key as one JSON object instead of lines.
    """
    from ground.serve import start_ground
    from skywarden.logs import configure_logs
    from skywarden.systemd import Notifier

    if verbose and quiet:
        raise UsageError("give one of --verbose and --quiet")
    settings = _settings(config, state=state, http=http, link=link, layers=layers, insecure=insecure_http)
    configure_logs(log_format, verbosity=-1 if quiet else verbose)
    handle = start_ground(settings)
    notifier = Notifier()
    try:
        _print_addresses(handle, as_json=json)
        notifier.ready(f"console on {handle.http_url}")
        while not handle.wait(0.5):
            if not handle.problems():
                notifier.alive(f"{len(handle.picture.platforms())} platforms heard")
    finally:
        notifier.stopping()
        handle.stop()
    return 0


def _print_addresses(handle: "GroundHandle", *, as_json: bool) -> None:
    found = {
        "console": handle.http_url,
        "link": handle.link_address,
        "station_key": handle.server_public_key,
    }
    if as_json:
        print(json_module.dumps(found), flush=True)
        return
    for name, text in found.items():
        print(f"{name.replace('_', ' '):<13}{text}", flush=True)


@app.command
def enrol(
    platform: str,
    public_key: str,
    *,
    replace: bool = False,
    state: Path | None = None,
    config: Path | None = None,
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
        Put this key in place of the one that is enrolled.
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object: `platform_id`, `fingerprint` and `evidence_fingerprints`.
    """
    from ground.authenticator import enrol as let_in
    from ground.serve import authorized_dir
    from skywarden.evidence import read_public_keys
    from skywarden.keys import fingerprint, read_public

    folder = authorized_dir(_settings(config, state=state).state_dir())
    signers = read_public_keys(public_key)
    one = let_in(folder, platform, read_public(public_key), evidence_keys=signers, replace=replace)
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
def revoke(
    platform: str, *, state: Path | None = None, config: Path | None = None, json: bool = False
) -> int:
    """Let PLATFORM in no more; a running station refuses what it sends within a second.

    For example:

        skywarden ground revoke uav07

    Parameters
    ----------
    platform
        The platform's id.
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object: `platform_id` and `is_enrolled`.
    """
    from ground.authenticator import revoke as shut_out
    from ground.serve import authorized_dir

    shut_out(authorized_dir(_settings(config, state=state).state_dir()), platform)
    if json:
        print(json_module.dumps({"platform_id": platform, "is_enrolled": False}))
    else:
        print(f"{platform} is let in no more")
    return 0


@app.command
def status(*, state: Path | None = None, config: Path | None = None, json: bool = False) -> int:
    """Show the station's key, who is let in and what the store holds; works while it runs.

    For example:

        skywarden ground status
        skywarden ground status --json

    Parameters
    ----------
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object.
    """
    found = _status(_settings(config, state=state).state_dir())
    if json:
        print(json_module.dumps(found))
        return 0
    for name in ("state", "station_key", "fingerprint"):
        print(f"{name.replace('_', ' '):<14}{found[name]}")
    for name, number in found["counts"].items():
        print(f"{name:<14}{number}")
    for one in found["platforms"]:
        key = f"let in with {one['fingerprint']}" if one["fingerprint"] else "not let in"
        print(f"{'platform':<14}{one['platform_id']}  {key}  last heard {one['last_heard'] or 'never'}")
    return 0


@app.command
def verify(*, state: Path | None = None, config: Path | None = None, json: bool = False) -> int:
    """Prove the store: every record against its hash, its chain and its signature; works while it runs.

    Exits with 3 when anything does not fit.

    For example:

        skywarden ground verify
        skywarden ground verify --json

    Parameters
    ----------
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    json
        Print one JSON object.
    """
    import msgspec

    from ground.authenticator import AllowList
    from ground.serve import authorized_dir, store_path
    from ground.verify import verify_store
    from skywarden.errors import VerificationError

    folder = _settings(config, state=state).state_dir()
    keys = {one.platform_id: one.evidence_keys for one in AllowList(authorized_dir(folder)).enrolled()}
    found = verify_store(store_path(folder), keys)
    if json:
        print(msgspec.json.encode(found).decode())
    else:
        print(
            f"{found.records} records of {found.streams} outboxes: {found.signed} signed, {found.unsigned} "
            f"unsigned, {found.proved} proved by their chain; {found.gaps} given up aboard, "
            f"{found.missing} not here yet"
        )
        for problem in found.problems:
            print(f"  {problem}", file=sys.stderr)
    if found.damaged:
        raise VerificationError(f"{store_path(folder)}: {found.damaged} things do not fit")
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


@export.command
def sightings(
    *,
    format: Literal["geojson", "klv"] = "geojson",
    output: Output = None,
    limit: int = 1_000_000,
    state: Path | None = None,
    config: Path | None = None,
) -> int:
    """Write sightings, newest first, as RFC 7946 GeoJSON or as MISB KLV.

    For example:

        skywarden ground export sightings > sightings.geojson
        skywarden ground export sightings --out sightings.geojson --limit 1000
        skywarden ground export sightings --format klv --out sightings.klv

    Parameters
    ----------
    format
        `geojson`, or `klv`: MISB ST 0601 packets, each with the target's covariance as ST 0903.
    output
        File to write; standard output when absent or `-`.
    limit
        At most so many.
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    """
    return _export("sightings", format, output, limit, _settings(config, state=state).state_dir())


@export.command
def contacts(
    *,
    format: Literal["geojson", "cot"] = "geojson",
    output: Output = None,
    limit: int = 1_000_000,
    state: Path | None = None,
    config: Path | None = None,
) -> int:
    """Write contacts, newest first, as RFC 7946 GeoJSON or as Cursor on Target.

    For example:

        skywarden ground export contacts > contacts.geojson
        skywarden ground export contacts --format cot --out contacts.cot

    Parameters
    ----------
    format
        `geojson`, or `cot`: one event a line; contacts without a position are left out.
    output
        File to write; standard output when absent or `-`.
    limit
        At most so many.
    state
        The station's state folder, as for `ground serve`.
    config
        The station's TOML file, as for `ground serve`.
    """
    return _export("contacts", format, output, limit, _settings(config, state=state).state_dir())


def _settings(
    path: Path | None,
    *,
    state: Path | None = None,
    http: str | None = None,
    link: str | None = None,
    layers: Path | None = None,
    insecure: bool = False,
) -> "GroundConfig":
    """File and environment, then what the command line says."""
    import msgspec

    from ground.config import GroundConfig
    from skywarden.config import find_config, load_config

    loaded = load_config(GroundConfig, path or find_config("ground.toml"), prefix="GROUND")
    given: dict[str, str | bool] = {}
    if state is not None:
        given["state"] = str(state)
    if http is not None:
        given["http"] = http
    if link is not None:
        given["link"] = link
    if layers is not None:
        given["layers"] = str(layers)
    if insecure:
        given["insecure_http"] = True
    return msgspec.structs.replace(loaded, **given)


def _status(state_dir: Path) -> dict[str, Any]:
    from ground.authenticator import AllowList
    from ground.reading import SqliteReader
    from ground.serve import authorized_dir, server_key_path, store_path
    from skywarden.keys import load_or_create_key_file
    from skywarden.times import rfc3339

    key = load_or_create_key_file(server_key_path(state_dir))
    reader = SqliteReader(store_path(state_dir))
    has_store = store_path(state_dir).exists()
    counts = reader.counts() if has_store else None
    heard = {one.platform_id: one.last_heard_ns for one in reader.platforms()} if has_store else {}
    reader.close()
    prints = {one.platform_id: one.fingerprint for one in AllowList(authorized_dir(state_dir)).enrolled()}
    return {
        "state": str(state_dir),
        "station_key": key.public_text,
        "fingerprint": key.fingerprint,
        "counts": {name: getattr(counts, name) for name in counts.__slots__} if counts else {},
        "platforms": [
            {
                "platform_id": name,
                "fingerprint": prints.get(name),
                "last_heard": rfc3339(heard[name]) if name in heard else None,
            }
            for name in sorted({*heard, *prints})
        ],
    }


def _export(what: str, form: str, output: Path | None, limit: int, state_dir: Path) -> int:
    from ground.reading import Filter, SqliteReader
    from ground.serve import store_path

    if limit < 1:
        raise UsageError(f"--limit {limit} leaves nothing to write")
    reader = SqliteReader(store_path(state_dir))
    data, count = _exported(what, form, reader, Filter(limit=limit))
    reader.close()
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        part = output.with_name(output.name + ".part")
        part.write_bytes(data)
        part.replace(output)
        print(f"{count} {what} in {output}", file=sys.stderr)
    return 0


def _exported(what: str, form: str, reader: "StoreReader", wanted: "Filter") -> tuple[bytes, int]:
    """The file's bytes, and how many things stand in it."""
    from ground import views
    from ground.api import feature_collection
    from ground.exports.cot import cot_events
    from ground.exports.klv import sighting_packets

    if what == "sightings":
        stored, matched = reader.sightings(wanted)
        if form == "klv":
            return sighting_packets(stored), len(stored)
        collection = feature_collection([views.view_sighting(one) for one in stored], matched)
    else:
        found, matched = reader.contacts(wanted)
        if form == "cot":
            return cot_events(found), sum(one.contact.position is not None for one in found)
        collection = feature_collection([views.view_contact(one) for one in found], matched)
    return collection.model_dump_json(by_alias=True).encode() + b"\n", collection.number_returned
