"""What flows from a scenario, item by item, in the order of arrival; faults are iterators over these.

An injector takes an iterator of items and gives one: it may drop, delay, repeat, reorder or change them. What
is true (`truth.jsonl`) is made beside and never passes an injector.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Spoilt = Literal["", "black", "corrupt"]
"""What may be wrong with a picture that has no content of its own left."""
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryItem:
    """One MAVLink frame of a platform, heard at `time_ns` (UTC)."""

    time_ns: int
    platform_id: str
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameItem:
    """One frame, stamped `time_ns` (UTC), taken `exposed_s` after the start of the scenario.

    `pixels` draws it when it is asked for: BGR or grey uint8, or thermal counts uint16. `data`, where an
    injector sets it, is what lies in the file instead (cut, corrupt), under `suffix`. Where nothing is
    drawn, `spoilt` says in a word what an injector did to the picture, `shows` whose picture it is when it
    is not its own, and `shrunk` to what share of its size.
    """

    time_ns: int
    platform_id: str
    sensor_id: str
    frame_number: int
    exposed_s: float
    pixels: Callable[[], Pixels] = field(repr=False, compare=False)
    data: bytes | None = None
    suffix: str = ".jpg"
    spoilt: Spoilt = ""
    shows: int | None = None
    shrunk: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AisItem:
    """One AIS sentence (with TAG block, without line end), heard at `time_ns` (UTC)."""

    time_ns: int
    line: bytes


Item = TelemetryItem | FrameItem | AisItem


class Injector(Protocol):
    """Changes what flows."""

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items as they arrive with the fault; the order of the answer is the order of arrival."""
        ...


def injected(items: Iterator[Item], injectors: Sequence[Injector]) -> Iterator[Item]:
    """`items` through all injectors, the first one nearest to the source."""
    for injector in injectors:
        items = injector.apply(items)
    return items
