"""One ordered fault while it lasts: when, on whom, with which numbers; and the shape that injectors share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sim.faults.gnss import Record, Span
from sim.scenario.flown.items import FrameItem, Injector, Item, TelemetryItem
from sim.scenario.land.noise import generator
from skywarden.clock import NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Spell:
    """A fault with all that it needs.

    Attributes:
        kind: name of its kind.
        number: its place among the faults of the scenario; with the seed it fixes what chance draws.
        platform: whom it befalls here.
        span: UTC, by time of arrival.
        numbers, words: its parameters, complete and checked; what is switched on is 1.
        place: latitude and longitude of the scenario.
    """

    kind: str
    number: int
    seed: int
    platform: str
    span: Span
    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    place: tuple[float, float] = (0.0, 0.0)

    def chance(self) -> np.random.Generator:
        """Always the same draws for the same fault of the same seed."""
        return generator(self.seed, "fault", str(self.number), self.platform)

    def after_s(self, time_ns: int) -> float:
        """Seconds since it began."""
        return (time_ns - self.span.start_ns) / NS_PER_S


Make = Callable[[Spell], Injector]


class Telemetry:
    """Puts one of the functions on records of `sim.faults` on a platform's MAVLink.

    The function must give one record for each that it takes, at once.
    """

    def __init__(self, fault: Callable[[Iterator[Record]], Iterator[Record]]) -> None:
        self._fault = fault

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        waiting: list[Record] = []

        def taken() -> Iterator[Record]:
            while waiting:
                yield waiting.pop()

        changed = self._fault(_endless(taken))
        for item in items:
            if isinstance(item, TelemetryItem):
                waiting.append((item.time_ns, item.raw))
                time_ns, raw = next(changed)
                item = TelemetryItem(time_ns=time_ns, platform_id=item.platform_id, raw=raw)
            yield item


def _endless(taken: Callable[[], Iterator[Record]]) -> Iterator[Record]:
    while True:
        yield from taken()


class Frames:
    """Changes the frames that arrive while the fault lasts: to another one, or to none."""

    def __init__(self, spell: Spell, change: Callable[[FrameItem], FrameItem | None]) -> None:
        self._spell, self._change = spell, change

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        for item in items:
            if not isinstance(item, FrameItem) or not self._spell.span.holds(item.time_ns):
                yield item
                continue
            changed = self._change(item)
            if changed is not None:
                yield changed
