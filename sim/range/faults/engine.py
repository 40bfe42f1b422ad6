"""Checks the faults that a scenario orders and makes their injectors; draws those that are left to chance."""

from collections.abc import Mapping, Sequence

from sim.faults.gnss import Span
from sim.range.faults.kind import Kind, Number, Switch, Word
from sim.range.faults.kinds import KINDS, RANDOM
from sim.range.faults.spell import Spell
from sim.scenario.description import Scenario
from sim.scenario.flown.items import Injector
from sim.scenario.land.noise import generator
from sim.scenario.tables.faults import Fault, Parameter
from sim.scenario.tables.flying import Platform
from skywarden.clock import NS_PER_S
from skywarden.errors import UsageError

FOR_EVER_S = 7 * 24 * 3_600.0
MAX_RANDOM = 50
_RANDOM_PARAMETERS: dict[str, Number | Switch | Word] = {
    "count": Number(default=1.0, low=1.0, high=MAX_RANDOM, about="so many faults"),
    "shortest_s": Number(default=8.0, low=0.1, high=3_600.0, about="each lasts at least, seconds"),
    "longest_s": Number(default=20.0, low=0.1, high=3_600.0, about="each lasts at most, seconds"),
    "among": Word(default="", choices=(), about="kinds with commas between; all that act on a run"),
}


def injectors_for(scenario: Scenario, platform: Platform) -> list[Injector]:
    """The injectors of one platform, in the order of the scenario.

    Raises `UsageError` for a kind or parameter that is not there, with what there is.
    """
    spells = spells_of(scenario, platform.id)
    made = [(KINDS[spell.kind].make, spell) for spell in spells]
    return [make(spell) for make, spell in made if make is not None]


def spells_of(scenario: Scenario, platform: str) -> list[Spell]:
    """Every fault that befalls a platform, complete; those of the link and the receiver as well."""
    return [
        spell_of(fault, number, scenario, platform)
        for number, fault in enumerate(ordered(scenario))
        if fault.platform in (None, platform)
    ]


def ordered(scenario: Scenario) -> list[Fault]:
    """The faults of a scenario, with what chance draws in place of each `random`; always the same ones."""
    found: list[Fault] = []
    for number, fault in enumerate(scenario.fault):
        found += _drawn(fault, number, scenario) if fault.kind == RANDOM else [fault]
    return found


def spell_of(fault: Fault, number: int, scenario: Scenario, platform: str) -> Spell:
    """One fault with all parameters; raises `UsageError` for those that are not there or out of range."""
    kind = kind_of(fault.kind)
    if kind.where == "process":
        raise UsageError(
            f"fault {number}: {kind.name} befalls real processes, which take no part in a run; "
            f"{kind.elsewhere} puts it to them"
        )
    numbers, words = _parameters(kind.name, kind.parameters, fault.parameters)
    end_s = fault.end_s if fault.end_s is not None else fault.at_s + FOR_EVER_S
    start_ns = scenario.start_ns
    return Spell(
        kind=kind.name,
        number=number,
        seed=scenario.seed,
        platform=platform,
        span=Span(
            start_ns=start_ns + round(fault.at_s * NS_PER_S), end_ns=start_ns + round(end_s * NS_PER_S)
        ),
        numbers=numbers,
        words=words,
        place=(scenario.place.latitude_deg, scenario.place.longitude_deg),
    )


def kind_of(name: str) -> Kind:
    """The kind of a name; raises `UsageError` with what there is."""
    found = KINDS.get(name)
    if found is None:
        raise UsageError(f"no kind of fault {name!r}; there are {', '.join(sorted([*KINDS, RANDOM]))}")
    return found


def _parameters(
    name: str, known: Mapping[str, Number | Switch | Word], given: Mapping[str, Parameter]
) -> tuple[dict[str, float], dict[str, str]]:
    strange = sorted(set(given) - set(known))
    if strange:
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{name}: no parameter {strange[0]!r}; there are: {there}")
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for key, spec in known.items():
        value = given.get(key, spec.default)
        if isinstance(spec, Word):
            words[key] = _word(name, key, spec, value)
        elif isinstance(spec, Switch):
            numbers[key] = _switch(name, key, value)
        else:
            numbers[key] = _number(name, key, spec, value)
    return numbers, words


def _word(name: str, key: str, spec: Word, value: Parameter) -> str:
    if not isinstance(value, str) or (spec.choices and value not in spec.choices):
        there = " or ".join(spec.choices) or "a text"
        raise UsageError(f"{name}: {key} is {there}, not {value!r}")
    return value


def _switch(name: str, key: str, value: Parameter) -> float:
    if not isinstance(value, bool):
        raise UsageError(f"{name}: {key} is true or false, not {value!r}")
    return float(value)


def _number(name: str, key: str, spec: Number, value: Parameter) -> float:
    if isinstance(value, bool | str) or not spec.low <= value <= spec.high:
        raise UsageError(
            f"{name}: {key} ({spec.about}) goes from {spec.low:g} to {spec.high:g}, not {value!r}"
        )
    return float(value)


def _drawn(fault: Fault, number: int, scenario: Scenario) -> Sequence[Fault]:
    numbers, words = _parameters(RANDOM, _RANDOM_PARAMETERS, fault.parameters)
    shortest, longest = numbers["shortest_s"], numbers["longest_s"]
    if longest < shortest:
        raise UsageError(f"random: longest_s {longest:g} is below shortest_s {shortest:g}")
    among = [one.strip() for one in words["among"].split(",") if one.strip()]
    kinds = sorted(kind_of(one).name for one in among) or sorted(
        name for name, kind in KINDS.items() if kind.where != "process"
    )
    end_s = fault.end_s if fault.end_s is not None else scenario.duration_s
    platforms = [fault.platform] if fault.platform else [one.id for one in scenario.platforms]
    rng = generator(scenario.seed, "random faults", str(number))
    found = []
    for _ in range(round(numbers["count"])):
        lasts_s = float(rng.uniform(shortest, longest))
        at_s = float(rng.uniform(fault.at_s, max(end_s - lasts_s, fault.at_s)))
        found.append(
            Fault(
                kind=kinds[int(rng.integers(len(kinds)))],
                at_s=round(at_s, 3),
                end_s=round(at_s + lasts_s, 3),
                platform=platforms[int(rng.integers(len(platforms)))],
            )
        )
    return sorted(found, key=lambda one: one.at_s)
