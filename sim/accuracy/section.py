"""What every part of the accuracy page gives: a title and its text, made from data or from truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BOOTSTRAPS = 1000


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of docs/accuracy.md: a heading without marks, and Markdown below it."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Misses in metres: how many, median, 90 % quantile with its 95 % bootstrap interval."""

    count: int
    cep_m: float
    ce90_m: float
    low_m: float
    high_m: float

    def row(self) -> str:
        """Cells of a table."""
        return f"{self.count} | {self.cep_m:.2f} | {self.ce90_m:.2f} ({self.low_m:.2f} to {self.high_m:.2f})"


def spread_of(misses: npt.ArrayLike) -> Spread:
    """Statistics of horizontal misses; the interval is over the misses, with a fixed seed."""
    values = np.asarray(misses, dtype=np.float64)
    draws = np.random.default_rng(1).choice(values, (BOOTSTRAPS, len(values)))
    low, high = np.quantile(np.quantile(draws, 0.9, axis=1), [0.025, 0.975])
    return Spread(
        count=len(values),
        cep_m=float(np.quantile(values, 0.5)),
        ce90_m=float(np.quantile(values, 0.9)),
        low_m=float(low),
        high_m=float(high),
    )
