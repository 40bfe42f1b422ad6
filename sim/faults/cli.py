"""`skywarden sim faults`: the fault scenarios, each by one command."""

import dataclasses
import importlib
import sys
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from sim.faults.result import Result
from skywarden.errors import UsageError, VerificationError
from skywarden.logs import configure_logs

app = App(name="faults", default_parameter=Parameter(negative=()))

SCENARIOS: dict[str, tuple[str, str]] = {
    "S1": ("sim.faults.kills", "kill -9 of edges and ground at random, real processes"),
    "S1B": ("sim.faults.every_write", "death and refusal at every single write of one delivery"),
    "S2": ("sim.faults.power", "power loss on outbox and store"),
    "S3": ("sim.faults.disk_full", "full disks aboard and on the ground, refused writes and flushes"),
    "S4": ("sim.faults.long_outage", "hours of silence queued, one platform killed, then the link is back"),
    "S5": ("sim.faults.lossy_link", "5 to 30 % of packets lost, doubles, reordering, narrow links"),
    "S6": ("sim.faults.clock_jumps", "clocks that jump by hours and decades, aboard and on the ground"),
    "S7": ("sim.faults.duplicates", "every record up to five times, shuffled, and all of it again"),
    "S8": ("sim.faults.forged_clients", "forged clients, a thousand strangers, the ZAP handler killed"),
    "S9": ("sim.faults.replays", "replays, forks, outboxes restored from old images"),
    "S10": ("sim.faults.poisoned_mavlink", "MAVLink cut, bent, made up, unknown, unsigned and forged"),
    "S14": ("sim.faults.oversize", "too large, too deep, or claims to be"),
    "S15": (
        "sim.faults.slow_consumers",
        "slow readers of the live picture, a locked store, a frozen station",
    ),
    "S16": ("sim.faults.store_damage", "a damaged store: flipped bits, cut logs, older copies, two writers"),
    "S12": ("sim.faults.spoiled_models", "models cut, bent, swapped, unsigned, expired or not what they say"),
    "S17": ("sim.faults.access", "every route of the ground by every kind of caller, hostile requests"),
    "S18": ("sim.faults.hostile_text", "text that tries to be more than text, in every sink and the console"),
    "S23": ("sim.faults.throttled_edge", "a whole edge worker on a quarter of a core, and without memory"),
    "L1": ("sim.faults.load", "the load of a fleet, then more until something gives"),
    "S24": ("sim.faults.simulation", "the deterministic simulation, all faults mixed"),
}


@app.default
def faults(
    scenario: str = "",
    *,
    profile: Literal["quick", "full", "soak"] = "quick",
    seed: int = 1,
    json: Annotated[bool, Parameter(name="--json", help="Print the result as one JSON object.")] = False,
) -> int:
    """Put one kind of fault to the delivery and judge what is left; exit code 3 when anything was lost.

    Without a scenario it lists them.

    For example:

        skywarden sim faults
        skywarden sim faults S24 --profile full
        skywarden sim faults S1 --seed 7 --json

    Parameters
    ----------
    scenario
        One of the names that the list without a scenario shows.
    profile
        quick (at most a minute), full, or soak (hours).
    seed
        Same seed, same faults.
    """
    if not scenario:
        for name, (_, about) in SCENARIOS.items():
            sys.stdout.write(f"{_shown(name):<6}{about}\n")
        return 0
    chosen = SCENARIOS.get(scenario.upper())
    if chosen is None:
        raise UsageError(f"no scenario {scenario!r}; there are {', '.join(map(_shown, SCENARIOS))}")
    configure_logs("json", verbosity=-1)  # to stderr: some scenarios have a station in this process
    result = importlib.import_module(chosen[0]).run(profile, seed)
    if json:
        tree = {**dataclasses.asdict(result), "is_passed": result.is_passed}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n")
    else:
        for line in table(result):
            sys.stdout.write(line + "\n")
    conclude(result)
    return 0


def conclude(result: Result) -> None:
    """Raise `VerificationError` that names what was missed."""
    missed = [one.name for one in result.criteria if not one.is_met]
    if missed:
        raise VerificationError(f"{result.scenario}: missed {', '.join(missed)}")


def table(result: Result) -> list[str]:
    """A result as lines of text."""
    lines = [f"{result.scenario}, profile {result.profile}, seed {result.seed}, {result.seconds:.1f} s"]
    for one in result.criteria:
        mark = "" if not one.goal else "reached" if one.is_met else "MISSED"
        lines.append(f"  {one.name:<52} {one.value!s:>12}  {one.goal:<10} {mark}")
    return lines + [f"  {note}" for note in result.notes]


def _shown(name: str) -> str:
    return name.replace("B", "b")
