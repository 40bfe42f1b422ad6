"""Marks on the time line of an exercise that is shown again: what the trainer ordered, who looked at what.

They lie in a file of the station's folder, which only a replay writes: no crew may read them in the drill.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from skywarden.errors import StoreError

FILE = "exercise-marks.jsonl"
MAX_MARKS = 20_000
_MAX_BYTES = 16_000_000
MarkKind = Literal["order", "opened"]


class WatchMark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: UTC ns; `account` is empty for the trainer's orders."""

    time_ns: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    kind: MarkKind
    account: Annotated[str, Meta(max_length=64)] = ""
    text: Annotated[str, Meta(max_length=400)] = ""
    contact_id: Annotated[str, Meta(max_length=140)] = ""


def write_marks(state_dir: Path, marks: list[WatchMark]) -> None:
    """Put these in place of those of before; raises `StoreError`."""
    path = state_dir / FILE
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in marks[:MAX_MARKS]))
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error


def read_marks(state_dir: Path) -> list[WatchMark]:
    """All of them; none where no replay has written any. Raises `StoreError` when the file is damaged."""
    path = state_dir / FILE
    try:
        if not path.exists():
            return []
        if path.stat().st_size > _MAX_BYTES:
            raise StoreError(f"{path}: larger than {_MAX_BYTES} bytes")
        return [msgspec.json.decode(line, type=WatchMark) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise StoreError(f"{path}: {error}") from error
