"""The faults that a scenario orders: what, from when to when, on which platform, how much."""

from typing import Annotated

from msgspec import Meta, field

from sim.scenario.tables.units import Name, Seconds
from skywarden.config import Config

Parameter = bool | int | float | Annotated[str, Meta(max_length=200)]


class Fault(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault on order; what `kind` and `parameters` mean is for the fault engine to say and to check.

    Attributes:
        kind: name of the injector, such as "gnss_jump".
        start_s: when it begins, seconds after the start of the scenario (`at_s` in the file).
        end_s: when it ends; `None` lasts to the end.
        platform: which platform it befalls; `None` befalls all.
        parameters: the injector's own numbers and words.
    """

    kind: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
    at_s: Seconds
    end_s: Seconds | None = None
    platform: Name | None = None
    parameters: Annotated[dict[str, Parameter], Meta(max_length=20)] = field(default_factory=dict)

    @property
    def start_s(self) -> float:
        """When it begins, seconds after the start of the scenario."""
        return self.at_s
