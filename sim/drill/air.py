"""The radio link of each platform in a drill: datagrams through a proxy whose weather the trainer makes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sim.drill.orders import Order
from sim.faults.netem import UdpProxy, Weather
from sim.range.faults.engine import spell_of
from sim.scenario.description import Scenario
from sim.scenario.tables.faults import Fault

GOOD = Weather(delay_s=0.02, jitter_s=0.005)
"""A radio on a good day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoiled:
    """A fault of the link while it lasts, seconds of the drill."""

    kind: str
    numbers: Mapping[str, float]
    end_s: float | None


class Air:
    """The proxy of one platform."""

    def __init__(self, platform_id: str, target: tuple[str, int], seed: int) -> None:
        self._platform_id = platform_id
        self._proxy = UdpProxy(target, GOOD, seed)
        self._spoiled: list[Spoiled] = []
        self._weather = GOOD
        self.address = self._proxy.address

    def spoil(self, order: Order, scenario: Scenario, number: int, at_s: float) -> None:
        """A fault of the link begins; raises `UsageError` for parameters that do not fit it."""
        end_s = None if order.for_s is None else at_s + order.for_s
        fault = Fault(kind=order.kind, at_s=at_s, end_s=end_s, parameters=order.parameters)
        spell = spell_of(fault, number, scenario, self._platform_id)
        self._spoiled.append(Spoiled(kind=order.kind, numbers=spell.numbers, end_s=end_s))

    def turn(self, at_s: float) -> None:
        """The weather of now."""
        self._spoiled = [one for one in self._spoiled if one.end_s is None or at_s < one.end_s]
        weather = weather_of(self._spoiled)
        if weather != self._weather:
            self._weather = weather
            self._proxy.set_weather(weather)

    def close(self) -> None:
        """End it."""
        self._proxy.close()


def weather_of(spoiled: list[Spoiled]) -> Weather:
    """What the faults that hold make of the link; of two of a kind the later one counts."""
    weather = GOOD
    for one in spoiled:
        numbers = one.numbers
        if one.kind == "link_loss":
            weather = replace(weather, loss=numbers["share"])
        elif one.kind == "link_delay":
            weather = replace(weather, delay_s=GOOD.delay_s + numbers["delay_s"])
        elif one.kind == "link_duplication":
            weather = replace(weather, double=numbers["share"])
        elif one.kind == "link_reordering":
            weather = replace(weather, jitter_s=numbers["spread_s"], reorder=0.2)
        elif one.kind == "link_rate":
            weather = replace(weather, rate=numbers["bytes_per_s"])
    return weather
