"""The files `authorized/PLATFORM_ID.pub`: which keys a platform may use, one line for each pair.

`swpub1:... swev1:...` is a link key with its evidence keys; `until:2026-11-23T02:00:00Z` at its end says that
it is on its way out. Only public keys lie here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from skywarden.durable import replace_durably
from skywarden.errors import LinkError, UsageError
from skywarden.evidence import public_keys_in, public_text
from skywarden.link import keys
from skywarden.times import rfc3339

_PLATFORM_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,126}$")
_UNTIL = "until:"
_MAX_LINES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLine:
    """One link key with the evidence keys that go with it; `until_ns` is UTC, `None` for a key that stays."""

    public: bytes
    evidence: tuple[bytes, ...] = ()
    until_ns: int | None = None


def is_platform_id(text: str) -> bool:
    """Whether it can name a platform and a file."""
    return _PLATFORM_ID.fullmatch(text) is not None


def file_of(folder: Path, platform_id: str) -> Path:
    """Where a platform's keys lie; raises `UsageError` when the id is not one."""
    if not is_platform_id(platform_id):
        raise UsageError(
            f"{platform_id[:60]!r} is not a platform id: letters, digits, _ . : - and at most 127"
        )
    return folder / f"{platform_id}.pub"


def read_lines(path: Path) -> list[KeyLine]:
    """The keys in a file, the newest first; raises `LinkError` when it is no file of public keys."""
    try:
        if path.stat().st_size > keys.MAX_FILE_BYTES:
            raise LinkError(f"{path}: {path.stat().st_size} bytes is too large for a key file")
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"{path}: cannot be read as a key file") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not 1 <= len(lines) <= _MAX_LINES:
        raise LinkError(f"{path}: expected 1 to {_MAX_LINES} lines of keys, found {len(lines)}")
    return [_parse(line) for line in lines]


def write_lines(path: Path, lines: Sequence[KeyLine]) -> None:
    """Replace the file in one step; without lines it is removed. Raises `LinkError`."""
    text = "".join(_format(line) + "\n" for line in lines[:_MAX_LINES])
    try:
        if not lines:
            path.unlink(missing_ok=True)
            return
        replace_durably(path, text.encode("ascii"), mode=0o600)
    except OSError as error:
        raise LinkError(f"{path}: cannot be written ({error.strerror})") from error


def _parse(line: str) -> KeyLine:
    ends = [word.removeprefix(_UNTIL) for word in line.split() if word.startswith(_UNTIL)]
    until_ns: int | None = None
    if ends:
        try:
            moment = datetime.strptime(ends[0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError as error:
            raise LinkError(f"until:{ends[0][:40]} is no time such as until:2026-11-23T02:00:00Z") from error
        until_ns = int(moment.timestamp()) * 1_000_000_000
    return KeyLine(public=keys.parse_public(line), evidence=public_keys_in(line), until_ns=until_ns)


def _format(line: KeyLine) -> str:
    words = [keys.public_text(line.public), *map(public_text, line.evidence)]
    if line.until_ns is not None:
        words.append(_UNTIL + rfc3339(line.until_ns // 1_000_000_000 * 1_000_000_000)[:19] + "Z")
    return " ".join(words)
