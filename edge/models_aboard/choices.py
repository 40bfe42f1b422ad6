"""Which model was chosen for each slot of a sensor, kept over restarts in one small file.

Written whenever a model takes over, proves itself or goes. What was on probation when the process ended
without saying so is not loaded again: it may be what ended it.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta

from skywarden.durable import replace_durably
from skywarden.errors import StoreError
from skywarden.messages import Id, Message, Text, TimeNs

log = structlog.get_logger("edge.models_aboard")

MAX_FILE_BYTES = 200_000


class Place(Message, frozen=True, kw_only=True, array_like=True):
    """A model and from where it is loaded: a name of the package's, or a folder."""

    model_id: Id
    place: Annotated[str, Meta(max_length=4096)]


class Choice(Message, frozen=True, kw_only=True, array_like=True):
    """What flies in a slot. `configured` is what the file named when it was chosen: when the file names
    another model, the file counts. `before` is what a roll-back brings back."""

    configured: Annotated[str, Meta(max_length=4096)]
    now: Place
    before: Place | None
    since_ns: TimeNs
    reason: Text
    is_on_probation: bool = False


class _File(Message, frozen=True, kw_only=True, array_like=True):
    version: Literal[1]
    is_open: bool
    choices: Annotated[dict[Annotated[str, Meta(max_length=32)], Choice], Meta(max_length=64)]


class ChoiceBook:
    """The choices of one sensor.

    Attributes:
        ended_open: the process that had it before ended without closing it.
    """

    def __init__(self, path: Path | None) -> None:
        """`None` keeps nothing."""
        self._path = path
        self._choices: dict[str, Choice] = {}
        self.ended_open = False
        self._read()

    def get(self, slot: str) -> Choice | None:
        """What was chosen for a slot."""
        return self._choices.get(slot)

    def put(self, slot: str, choice: Choice | None) -> None:
        """Remember a choice, durably, or forget it. Raises `StoreError`; it then holds until the restart."""
        if choice is None:
            self._choices.pop(slot, None)
        else:
            self._choices[slot] = choice
        self._write(is_open=True)

    def open(self) -> None:
        """A process takes it over: from here on an end without `close` counts. Raises `StoreError`."""
        if self._choices:
            self._write(is_open=True)

    def close(self) -> None:
        """The process ends as it should. Raises `StoreError`."""
        if self._choices:
            self._write(is_open=False)

    def places(self) -> set[str]:
        """From where models in use are loaded."""
        found = [place for one in self._choices.values() for place in (one.now, one.before) if place]
        return {place.place for place in found}

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            if self._path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"over {MAX_FILE_BYTES} bytes")
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.error(
                "model choices lost; the configured models fly", path=str(self._path), reason=str(error)
            )
            return
        self._choices, self.ended_open = dict(found.choices), found.is_open

    def _write(self, *, is_open: bool) -> None:
        if self._path is None:
            return
        data = msgspec.msgpack.encode(_File(version=1, is_open=is_open, choices=self._choices))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_durably(self._path, data)
        except OSError as error:
            raise StoreError(
                f"{self._path}: the choice of a model cannot be kept ({error.strerror})"
            ) from error
