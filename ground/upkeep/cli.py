"""`skywarden ground verify | backup | restore | expire | hold | holds`: the care of a store."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ground.station.options import USUAL, StationFiles
from skywarden.errors import SkywardenError, UsageError

if TYPE_CHECKING:
    from ground.upkeep.copies import Copied


def verify(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """Prove the store: every record against its hash, its chain and its signature; works while it runs.

    Exits with 3 when anything does not fit.

    For example:

        skywarden ground verify
        skywarden ground verify --json

    Parameters
    ----------
    json
        Print one JSON object.
    """
    import msgspec

    from ground.link.authenticator import AllowList, evidence_keys_in
    from ground.station.places import authorized_dir, store_path
    from ground.upkeep.verify import verify_store
    from skywarden.errors import VerificationError

    folder = station.state_dir()
    keys = evidence_keys_in(AllowList(authorized_dir(folder)).enrolled())
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


def backup(
    target: Path,
    *,
    fast: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Copy the store into the new file TARGET, while the station runs, and prove the copy.

    The copy is one moment of the store and a store itself. Decisions of people, requests, alerts, names of
    contacts and AIS lie beside it as TARGET.review and so on. It holds no keys and no accounts. Exits with 3
    when what was copied is damaged.

    For example:

        skywarden ground backup /media/stick/store-20260921.backup
        skywarden ground backup /media/stick/store.backup --fast --json

    Parameters
    ----------
    target
        File to write; one that exists is never overwritten.
    fast
        Check pages only, not every record against its hash, chain and signature.
    json
        Print one JSON object: `path`, `bytes`, `records`, `beside`.
    """
    from ground.station.places import store_path
    from ground.upkeep.copies import back_up

    folder = station.state_dir()
    made = back_up(store_path(folder), target, None if fast else _evidence_keys(folder))
    _print_copied(made, "backup", as_json=json)
    return 0


def restore(
    backup: Path,
    *,
    force: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Put BACKUP in the place of the store of a station that does not run; it is proved first.

    What platforms delivered after the backup is not in it, and they may have deleted it. A store that lies
    there is set aside, never lost. Exits with 3 when the backup is damaged.

    For example:

        skywarden ground restore /media/stick/store-20260921.backup
        skywarden ground restore /media/stick/store-20260921.backup --force

    Parameters
    ----------
    backup
        A file that `skywarden ground backup` made.
    force
        Also when there is a store: it becomes store.sqlite.TIME.
    json
        Print one JSON object: `path`, `bytes`, `records`, `set_aside`.
    """
    from ground.station.places import store_path
    from ground.upkeep.copies import restore as put_back
    from skywarden.clock import SystemClock
    from skywarden.times import rfc3339

    folder = station.state_dir()
    now = rfc3339(SystemClock().utc_ns()).replace(":", "").replace("-", "")
    made = put_back(backup, store_path(folder), _evidence_keys(folder), is_forced=force, now=now)
    _print_copied(made, "store", as_json=json)
    return 0


def expire(
    *,
    sightings_days: float = 0.0,
    chips_days: float = 0.0,
    other_days: float = 0.0,
    archive: Path | None = None,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Erase what was received longer ago than this; the station must be stopped. Held things stay.

    Numbers, times, hashes and signatures stay too, so that the rest can still be proved.

    For example:

        skywarden ground expire --chips-days 30 --sightings-days 90
        skywarden ground expire --sightings-days 90 --archive /media/disk/store-2026q3.archive

    Parameters
    ----------
    sightings_days
        Keep sightings so long after they were received; 0 keeps them for ever.
    chips_days
        The same for chips, the pictures of sightings.
    other_days
        The same for everything else that platforms sent, and for quarantine.
    archive
        Before that, copy the whole store into this new file and prove it (as `backup`): readable again by
        `verify`, `restore` and every export.
    json
        Print one JSON object: `erased` by topic, `quarantined`, `contacts`, `held`.
    """
    import msgspec

    from ground.config import ContactsConfig
    from ground.fusion.book import ContactBook
    from ground.station.places import store_path
    from ground.store.sqlite import SqliteStore
    from ground.upkeep.copies import back_up
    from skywarden.clock import SystemClock

    if min(sightings_days, chips_days, other_days) < 0 or not max(sightings_days, chips_days, other_days):
        raise UsageError("give --sightings-days, --chips-days or --other-days, each more than 0")
    folder = station.state_dir()
    now_ns = SystemClock().utc_ns()
    store = SqliteStore(store_path(folder), ContactBook(ContactsConfig()))
    try:
        if archive is not None:
            back_up(store_path(folder), archive, _evidence_keys(folder))
        by_topic = {"sighting": _before(now_ns, sightings_days), "chip": _before(now_ns, chips_days)}
        found = store.expire(by_topic, now_ns, _before(now_ns, other_days))
    finally:
        store.close()
    if json:
        print(msgspec.json.encode(found).decode())
        return 0
    for topic, count in sorted(found.erased.items()):
        print(f"{count} {topic} records erased")
    print(f"{found.contacts} contacts gone with them; {found.held} records are old enough and held")
    return 0


def _before(now_ns: int, days: float) -> int:
    return now_ns - round(days * 86_400e9) if days else 0


def hold(
    kind: Literal["platform", "track", "contact", "sighting"],
    name: str,
    *,
    reason: str = "",
    release: bool = False,
    station: StationFiles = USUAL,
) -> int:
    """Keep the records of one thing however old they become; a running station knows at once.

    For example:

        skywarden ground hold contact c-t1 --reason "case 4711"
        skywarden ground hold contact c-t1 --release

    Parameters
    ----------
    kind
        What is held.
    name
        Its id.
    reason
        Why, for whoever asks later; needed to hold.
    release
        Hold it no longer.
    """
    from ground.station.places import store_path
    from ground.upkeep import holds as held
    from skywarden.clock import SystemClock

    if not release and not reason:
        raise UsageError("say with --reason why it is held")
    if not 1 <= len(name) <= held.MAX_NAME:
        raise UsageError(f"an id has 1 to {held.MAX_NAME} characters, this one {len(name)}")
    folder = station.state_dir()
    if not release:
        held.hold(store_path(folder), kind, name, reason, SystemClock().utc_ns())
    elif not held.release(store_path(folder), kind, name):
        raise UsageError(f"{kind} {name} is not held")
    done = "released" if release else f"held: {reason}"
    _note(folder, "hold", f"{kind} {name} {done}")
    count = len(held.holds(store_path(folder)))
    print(f"{kind} {name} is held {'no longer' if release else 'from now on'}; {count} things are held")
    return 0


def holds(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """Show what is held, since when and why.

    For example:

        skywarden ground holds
        skywarden ground holds --json | jq '.holds[].name'

    Parameters
    ----------
    json
        Print one JSON object: `holds` with `kind`, `name`, `reason`, `since`.
    """
    from ground.station.places import store_path
    from ground.upkeep import holds as held
    from skywarden.times import rfc3339

    found = held.holds(store_path(station.state_dir()))
    if json:
        rows = [
            {"kind": one.kind, "name": one.name, "reason": one.reason, "since": rfc3339(one.since_ns)}
            for one in found
        ]
        print(json_module.dumps({"holds": rows}))
        return 0
    for one in found:
        print(f"{one.kind} {one.name}  since {rfc3339(one.since_ns)}  {one.reason}")
    if not found:
        print("nothing is held")
    return 0


def _note(folder: Path, what: str, about: str) -> None:
    """An entry of the access log; whoever can write these files could do it without one, so a failure is said
    and no more."""
    from ground.accounts.doorkeeper import Doorkeeper

    try:
        keeper = Doorkeeper(folder)
        try:
            keeper.note_local(what, about)
        finally:
            keeper.close()
    except SkywardenError as error:
        print(f"this is not in the access log: {error}", file=sys.stderr)


def _evidence_keys(folder: Path) -> dict[str, tuple[bytes, ...]]:
    from ground.link.authenticator import AllowList
    from ground.station.places import authorized_dir

    return {one.platform_id: one.evidence_keys for one in AllowList(authorized_dir(folder)).enrolled()}


def _print_copied(made: "Copied", what: str, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.encode(made).decode())
        return
    print(f"{what} {made.path}: {made.records} records, {made.bytes} bytes")
    if made.beside:
        print(f"with {', '.join(made.beside)}")
    if made.set_aside is not None:
        print(f"the store of before is {made.set_aside}")
