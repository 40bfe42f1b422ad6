"""`skywarden ground users`, `skywarden ground tls`, `skywarden ground access-log`."""

import getpass
import json as json_module
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Parameter

from ground.accounts.roles import Role, Scope
from ground.station.options import USUAL, StationFiles
from skywarden.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from ground.accounts.doorkeeper import Doorkeeper
    from ground.http.tls import Certificate

_MAX_PASSWORD_BYTES = 2_000

users = App(
    name="users",
    help="""Who may sign in at this station, as what; works while it runs, and counts at once.

For example:

    skywarden ground users add maria --role operator
    skywarden ground users list
    skywarden ground users reset maria
""",
    default_parameter=Parameter(negative=()),
)
tls = App(
    name="tls",
    help="""The certificate with which the station speaks HTTPS.

For example:

    skywarden ground tls create --name ground.example --name 10.0.0.5
    skywarden ground tls show
""",
    default_parameter=Parameter(negative=()),
)


@users.command
def add(
    name: str,
    *,
    role: Role = Role.VIEWER,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Make an account and print a one-time code with which its person chooses a password.

    For example:

        skywarden ground users add maria --role operator

    Parameters
    ----------
    name
        Lower-case letters, digits, dots, hyphens, underscores.
    role
        viewer, operator, supervisor, administrator or partner.
    json
        Print one JSON object: `account`, `role`, `code`.
    """
    with _doorkeeper(station) as keeper:
        account = keeper.book.add(name, role)
        code = keeper.book.new_code(name, "password", keeper.config.code_s)
        _tell(
            json,
            {"account": account.name, "role": account.role.value, "code": code},
            f"{account.name} is a {account.role.value}\n{_code_hint(code, keeper.config.code_s)}",
        )
    return 0


@users.command(name="list")
def list_(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """Show all accounts: role, whether they can sign in, open sessions and keys.

    For example:

        skywarden ground users list --json

    Parameters
    ----------
    json
        Print one JSON object: `accounts`.
    """
    with _doorkeeper(station) as keeper:
        sessions = [one.account for one in keeper.sessions.list()]
        keys = [one.account for one in keeper.keys.list() if not one.is_revoked]
        found = [
            {
                "account": one.name,
                "role": one.role.value,
                "has_password": one.has_password,
                "is_disabled": one.is_disabled,
                "sessions": sessions.count(one.name),
                "keys": keys.count(one.name),
            }
            for one in keeper.book.accounts()
        ]
    if json:
        _say(json_module.dumps({"accounts": found}))
        return 0
    for row in found:
        how = "disabled" if row["is_disabled"] else "" if row["has_password"] else "has no password"
        counts = f"{row['sessions']} sessions, {row['keys']} keys"
        _say(f"{row['account']:<24}{row['role']:<15}{counts}{'  ' if how else ''}{how}")
    return 0


@users.command(name="role")
def role_(
    name: str,
    role: Role,
    *,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Give an account another role; it counts with the next request, on live pictures within seconds.

    For example:

        skywarden ground users role maria supervisor

    Parameters
    ----------
    name
        The account.
    role
        viewer, operator, supervisor, administrator or partner.
    json
        Print one JSON object: `account`, `role`.
    """
    with _doorkeeper(station) as keeper:
        account = keeper.book.set_role(name, role)
    _tell(
        json,
        {"account": account.name, "role": account.role.value},
        f"{account.name} is a {account.role.value} now",
    )
    return 0


@users.command
def disable(name: str, *, station: StationFiles = USUAL, json: bool = False) -> int:
    """Shut an account out: its sessions end, its keys are refused. Nothing about it is forgotten.

    For example:

        skywarden ground users disable maria

    Parameters
    ----------
    name
        The account.
    json
        Print one JSON object: `account`, `is_disabled`.
    """
    return _set_disabled(name, True, station, json)


@users.command
def enable(name: str, *, station: StationFiles = USUAL, json: bool = False) -> int:
    """Let an account in again that was disabled.

    For example:

        skywarden ground users enable maria

    Parameters
    ----------
    name
        The account.
    json
        Print one JSON object: `account`, `is_disabled`.
    """
    return _set_disabled(name, False, station, json)


@users.command
def reset(
    name: str,
    *,
    password: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Print a one-time code with which the person of an account chooses a new password.

    The old password stays good until then; an administrator who lost his own resets it here too.

    For example:

        skywarden ground users reset maria
        skywarden ground users reset maria --password < new-password.txt

    Parameters
    ----------
    name
        The account.
    password
        Ask for the new password here (from standard input when that is no terminal) and set it at once; all
        sessions of the account end.
    json
        Print one JSON object: `account` and `code` (null with --password).
    """
    with _doorkeeper(station) as keeper:
        keeper.book.get(name)
        if password:
            keeper.book.set_password(name, _asked_password())
            _tell(
                json, {"account": name, "code": None}, f"{name} has a new password; all sessions have ended"
            )
            return 0
        code = keeper.book.new_code(name, "password", keeper.config.code_s)
        _tell(json, {"account": name, "code": code}, _code_hint(code, keeper.config.code_s))
    return 0


@users.command
def sessions(
    name: str | None = None,
    *,
    end: str | None = None,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Show who is signed in, or end sessions.

    For example:

        skywarden ground users sessions
        skywarden ground users sessions maria --end all

    Parameters
    ----------
    name
        Only of this account.
    end
        End this session, or "all" (of the account, where one is named).
    json
        Print one JSON object: `sessions`, as they were.
    """
    from skywarden.times import rfc3339

    with _doorkeeper(station) as keeper:
        if name is not None:
            keeper.book.get(name)
        found = keeper.sessions.list(name)
        ended = [one for one in found if end in ("all", one.session_id)]
        if end is not None and end != "all" and not ended:
            raise UsageError(f"there is no session {end!r}")
        for one in ended:
            keeper.end_session(one.session_id, one.account)
    rows = [
        {
            "session": one.session_id,
            "account": one.account,
            "address": one.address,
            "began": rfc3339(one.made_ns),
            "seen": rfc3339(one.seen_ns),
            "expires": rfc3339(one.expires_ns),
            "is_ended": one in ended,
        }
        for one in found
    ]
    if json:
        _say(json_module.dumps({"sessions": rows}))
        return 0
    for row in rows:
        mark = "  ended" if row["is_ended"] else ""
        _say(
            f"{row['session']}  {row['account']:<20}{row['address']:<18}since {row['began']}  "
            f"seen {row['seen']}{mark}"
        )
    return 0


@users.command
def key(
    name: str,
    *,
    scope: list[Scope] | None = None,
    days: float = 90.0,
    title: str = "",
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Make an API key of an account for a program, and print it: it is shown only now.

    The program sends it as `Authorization: Bearer KEY`.

    For example:

        skywarden ground users key maria --scope view --days 30 --title "harbour display"
        skywarden ground users key administrator --scope monitor --title prometheus

    Parameters
    ----------
    name
        The account; the key never opens more than its role.
    scope
        What for: view, export, monitor, access-log; several times for several (default: view).
    days
        Good for so long, at most 366.
    title
        What it is used for.
    json
        Print one JSON object: `account`, `key`.
    """
    with _doorkeeper(station) as keeper:
        account = keeper.book.get(name)
        made = keeper.keys.new(account, title, frozenset(scope or [Scope.VIEW]), days * 86_400.0)
    _tell(json, {"account": name, "key": made}, made)
    return 0


@users.command
def keys(
    name: str | None = None,
    *,
    revoke: str | None = None,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Show API keys without their secrets, or revoke one.

    For example:

        skywarden ground users keys
        skywarden ground users keys --revoke 4f1c22a09b

    Parameters
    ----------
    name
        Only of this account.
    revoke
        End the key with this id at once.
    json
        Print one JSON object: `keys`.
    """
    from skywarden.times import rfc3339

    with _doorkeeper(station) as keeper:
        if revoke is not None:
            keeper.keys.revoke(revoke)
        found = [
            {
                "key": one.key_id,
                "account": one.account,
                "scopes": sorted(one.scopes),
                "title": one.title,
                "expires": rfc3339(one.expires_ns),
                "is_revoked": one.is_revoked,
            }
            for one in keeper.keys.list(name)
        ]
    if json:
        _say(json_module.dumps({"keys": found}))
        return 0
    for row in found:
        scopes = ",".join(str(one) for one in row["scopes"]) if isinstance(row["scopes"], list) else ""
        mark = "  revoked" if row["is_revoked"] else ""
        _say(f"{row['key']}  {row['account']:<20}{scopes:<16}until {row['expires']}{mark}  {row['title']}")
    return 0


@tls.command
def create(
    *,
    name: list[str],
    replace: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Make a key and a self-signed certificate; the station speaks HTTPS from its next start on.

    Browsers ask once whether to trust it: compare the fingerprint they show with the one printed here.

    For example:

        skywarden ground tls create --name ground.example --name 10.0.0.5

    Parameters
    ----------
    name
        Host name or address that browsers use; several times for several.
    replace
        Put it in place of the one that is there.
    json
        Print one JSON object: `fingerprint`, `names`, `expires`, `is_self_signed`.
    """
    from datetime import UTC, datetime

    from ground.http.tls import create_certificate

    made = create_certificate(station.state_dir(), name, now=datetime.now(UTC), replace=replace)
    _tell_certificate(made, json)
    return 0


@tls.command(name="import")
def import_(
    certificate: Path,
    private_key: Path,
    *,
    replace: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Take over a certificate (PEM, its chain after it) and its private key from your own authority.

    For example:

        skywarden ground tls import ground.pem ground.key

    Parameters
    ----------
    certificate
        File with the certificate.
    private_key
        File with its key, not encrypted.
    replace
        Put it in place of the one that is there.
    json
        Print one JSON object: `fingerprint`, `names`, `expires`, `is_self_signed`.
    """
    from datetime import UTC, datetime

    from ground.http.tls import import_certificate

    folder = station.state_dir()
    taken = import_certificate(folder, certificate, private_key, now=datetime.now(UTC), replace=replace)
    _tell_certificate(taken, json)
    return 0


@tls.command
def show(*, station: StationFiles = USUAL, json: bool = False) -> int:
    """Show the station's certificate: fingerprint, names, until when.

    For example:

        skywarden ground tls show

    Parameters
    ----------
    json
        Print one JSON object: `fingerprint`, `names`, `expires`, `is_self_signed`.
    """
    from ground.http.tls import load_certificate

    _tell_certificate(load_certificate(station.state_dir()), json)
    return 0


def access_log(
    *,
    last: int | None = None,
    verify: bool = False,
    station: StationFiles = USUAL,
    json: bool = False,
) -> int:
    """Show who saw and who handed on what, and who was refused: one line for each event, oldest first.

    For example:

        skywarden ground access-log --last 50
        skywarden ground access-log --json | grep export
        skywarden ground access-log --verify

    Parameters
    ----------
    last
        Only the newest so many.
    verify
        Follow the chain of hashes instead; exits with 3 when an entry was changed, removed or inserted.
    json
        Print one JSON object a line.
    """
    from ground.accounts.access_log import one_line, read_events, verify_log
    from skywarden.times import rfc3339

    with _doorkeeper(station) as keeper:
        if verify:
            found = verify_log(keeper.database)
            tree = {"entries": found.entries, "head": found.head, "problems": found.problems}
            _tell(json, tree, f"{found.entries} entries, the chain ends with {found.head}")
            if found.problems:
                raise VerificationError("; ".join(found.problems[:5]))
            return 0
        events = read_events(keeper.database, newest=last)
    for one in events:
        if json:
            event = {name: getattr(one.event, name) for name in one.event.__struct_fields__}
            _say(json_module.dumps({"number": one.number, "time": rfc3339(one.time_ns), **event}))
        else:
            _say(one_line(one, rfc3339(one.time_ns)))
    return 0


@contextmanager
def _doorkeeper(station: StationFiles) -> Iterator["Doorkeeper"]:
    from ground.accounts.doorkeeper import Doorkeeper

    settings = station.settings()
    keeper = Doorkeeper(settings.state_dir(), settings.accounts)
    try:
        yield keeper
    finally:
        keeper.close()


def _set_disabled(name: str, is_disabled: bool, station: StationFiles, as_json: bool) -> int:
    with _doorkeeper(station) as keeper:
        account = keeper.book.set_disabled(name, is_disabled=is_disabled)
    _tell(
        as_json,
        {"account": account.name, "is_disabled": account.is_disabled},
        f"{account.name} is {'let in no more; all sessions have ended' if is_disabled else 'let in again'}",
    )
    return 0


def _asked_password() -> str:
    """From the keyboard, twice, or the first line of standard input; never from an argument."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(_MAX_PASSWORD_BYTES).rstrip("\r\n")
    first = getpass.getpass("New password: ")
    if getpass.getpass("The same once more: ") != first:
        raise UsageError("the two passwords are not the same; nothing was changed")
    return first


def _code_hint(code: str, valid_s: float) -> str:
    return (
        f"one-time code  {code}\nIt sets the password on the station's page (I have a one-time code), once, "
        f"within {valid_s / 3600:g} hours."
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(as_json: bool, tree: dict[str, object], text: str) -> None:
    _say(json_module.dumps(tree) if as_json else text)


def _tell_certificate(found: "Certificate", as_json: bool) -> None:
    from skywarden.times import rfc3339

    expires = rfc3339(found.not_after_ns)
    tree: dict[str, object] = {
        "fingerprint": found.fingerprint,
        "names": list(found.names),
        "expires": expires,
        "is_self_signed": found.is_self_signed,
    }
    kind = "self-signed" if found.is_self_signed else "issued"
    _tell(
        as_json,
        tree,
        f"SHA-256 {found.fingerprint}\nfor {', '.join(found.names)}; {kind}; until {expires}",
    )
