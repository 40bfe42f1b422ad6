"""What a kind of fault is: its parameters, what it does to the flow, and what is expected of the chain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sim.range.faults.spell import Make, Spell


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A parameter that is a number within limits; `unit` ends its sentence."""

    default: float
    low: float
    high: float
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """A parameter that is true or false."""

    default: bool
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A parameter that is one of some words; any word where `choices` is empty."""

    default: str
    choices: tuple[str, ...]
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What a good chain does about a fault.

    Attributes:
        reported_as: any of these words has to be said; empty: no instrument aboard can tell.
        within_s: so soon after the beginning.
        degraded_to: what is left of the answer meanwhile.
        recovered_s: so soon after the end nothing of it is said any more; `None` is not asked for.
        also: words that may be said besides without being a false notice.
    """

    reported_as: tuple[str, ...] = ()
    within_s: float | None = None
    degraded_to: str = ""
    recovered_s: float | None = None
    also: tuple[str, ...] = ()


Expect = Callable[[Spell], Expected]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: as `kind` in a scenario says it.
        about: what happens, in a sentence.
        where: what it befalls: position, pointing, clock, picture, packets, ais, link, or process.
        make: gives the injector; `None` where no stream is changed.
        expect: what is expected, given the parameters; called with the defaults for the list.
        elsewhere: the command that puts this fault to real processes, where a run cannot.
    """

    name: str
    about: str
    where: str
    parameters: Mapping[str, Number | Switch | Word] = field(default_factory=dict)
    make: Make | None = None
    expect: Expect = lambda _: Expected()
    elsewhere: str = ""
