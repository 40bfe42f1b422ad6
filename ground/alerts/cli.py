"""`skywarden ground zones` and `skywarden ground alerts`: beside a station that runs, or without one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ground.station.options import USUAL, StationFiles
from skywarden.errors import UsageError

if TYPE_CHECKING:
    from ground.alerts.log import AlertLog

zones = App(
    name="zones",
    help="""Areas, corridors, lines and exclusion zones that the station watches.

For example:

    skywarden ground zones import coast.kml
    skywarden ground zones import reserve.gpkg --kind exclusion
    skywarden ground zones list
""",
    default_parameter=Parameter(negative=()),
)


@zones.command(name="import")
def import_(
    file: Path,
    *,
    kind: Literal["area", "exclusion", "mute"] = "area",
    width_m: float = 0.0,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Take the zones of a file in: GeoJSON, KML, GeoPackage, or a plan of QGroundControl.

    The same file again replaces its zones. A station that runs follows within a second.

    For example:

        skywarden ground zones import coast.kml
        skywarden ground zones import lanes.geojson --width-m 500

    Parameters
    ----------
    file
        The file; what is in it decides what it is.
    kind
        What its surfaces become: an area to watch, an exclusion zone, or a mute zone.
    width_m
        Lines become corridors of this width; 0 leaves them lines.
    json
        Print one JSON object: `zone_ids`.
    """
    import msgspec

    from ground.alerts.zone_files import AsZones, read_zones
    from skywarden.clock import SystemClock

    found = read_zones(file, AsZones(surface_kind=kind, width_m=width_m, source=file.name))
    log = _opened(station)
    try:
        log.put_zones(found, "command line", SystemClock().utc_ns())
    finally:
        log.close()
    if json:
        print(msgspec.json.encode({"zone_ids": [zone.zone_id for zone in found]}).decode())
        return 0
    for zone in found:
        print(f"{zone.zone_id}  {zone.kind}  {zone.name}")
    return 0


@zones.command(name="list")
def list_(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """What is watched.

    For example:

        skywarden ground zones list
        skywarden ground zones list --json > zones.json

    Parameters
    ----------
    json
        Print one JSON object: `zones`, with their points as [latitude, longitude].
    """
    import msgspec

    log = _opened(station)
    try:
        found = log.zones()
    finally:
        log.close()
    if json:
        print(msgspec.json.encode({"zones": found}).decode())
        return 0
    for zone in found:
        points = sum(len(ring) for polygon in zone.polygons for ring in polygon)
        points += sum(len(line) for line in zone.lines)
        print(f"{zone.zone_id}  {zone.kind}  {zone.name}  {points} points  {zone.source}")
    if not found:
        print("no zones; take some in with `skywarden ground zones import FILE`")
    return 0


@zones.command
def remove(zone_id: str, *, station: StationFiles = USUAL) -> int:
    """Watch a zone no more; what it alerted stays in the log.

    For example:

        skywarden ground zones remove z-bay-1a2b3c

    Parameters
    ----------
    zone_id
        As `zones list` shows it.
    """
    log = _opened(station)
    try:
        if not log.remove_zone(zone_id):
            raise UsageError(f"there is no zone {zone_id}; `skywarden ground zones list` shows them")
    finally:
        log.close()
    print(f"{zone_id} is watched no more")
    return 0


def alerts(
    *,
    open_only: Annotated[bool, Parameter(name="--open", negative=())] = False,
    limit: int = 50,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Alerts, newest first, with why they fired and who saw to them.

    For example:

        skywarden ground alerts --open
        skywarden ground alerts --limit 500 --json > alerts.jsonl

    Parameters
    ----------
    open_only
        Only those that nobody has acknowledged.
    limit
        At most so many.
    json
        Print one JSON object a line, as the HTTP API gives them.
    """
    from ground.http.alert_routes import view_alert
    from skywarden.times import rfc3339

    if not 1 <= limit <= 100_000:
        raise UsageError(f"--limit {limit} is outside 1 to 100000")
    log = _opened(station)
    try:
        found = log.newest(limit, only_open=open_only)
    finally:
        log.close()
    for one in found:
        if json:
            print(view_alert(one).model_dump_json())
            continue
        taken = one.acknowledged
        state_text = f"acknowledged by {taken.account}" if taken is not None else "open"
        print(f"{rfc3339(one.alert.time_ns)}  {one.severity}  {one.alert.rule_name}  {one.alert.contact_id}")
        print(f"    {state_text}; {'; '.join(reason.text for reason in one.alert.why)}")
    if not found and not json:
        print("no alerts")
    return 0


def _opened(station: StationFiles) -> "AlertLog":
    from ground.alerts.log import AlertLog
    from ground.alerts.start import alerts_path

    return AlertLog(alerts_path(station.state_dir()))
