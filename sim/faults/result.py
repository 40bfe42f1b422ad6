"""What a scenario found: measured values beside what was asked, and whether it is reached."""

from dataclasses import dataclass, field
from typing import Literal

Profile = Literal["quick", "full", "soak"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the table; `goal` in words."""

    name: str
    value: float | int | str
    goal: str
    is_met: bool


@dataclass(slots=True)
class Result:
    """One run of one scenario."""

    scenario: str
    profile: Profile
    seed: int
    seconds: float = 0.0
    criteria: list[Criterion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_passed(self) -> bool:
        """Whether every criterion is met."""
        return all(one.is_met for one in self.criteria)

    def expect_zero(self, name: str, value: int) -> None:
        """A count that must be zero."""
        self.criteria.append(Criterion(name, value, "0", value == 0))

    def expect_at_least(self, name: str, value: float, goal: float) -> None:
        """A number that must not be below `goal`."""
        self.criteria.append(Criterion(name, _short(value), f">= {goal:g}", value >= goal))

    def expect_at_most(self, name: str, value: float, goal: float) -> None:
        """A number that must not be above `goal`."""
        self.criteria.append(Criterion(name, _short(value), f"<= {goal:g}", value <= goal))

    def expect_equal(self, name: str, value: int, goal: int) -> None:
        """A count that must be this one."""
        self.criteria.append(Criterion(name, value, f"= {goal}", value == goal))

    def observe(self, name: str, value: float | int | str) -> None:
        """A figure without a goal."""
        self.criteria.append(Criterion(name, _short(value), "", True))


def _short(value: float | int | str) -> float | int | str:
    return float(f"{value:.4g}") if isinstance(value, float) else value
