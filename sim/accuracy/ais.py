"""Accuracy of the verdicts on AIS: fleets with truth, some of which never send, stop, lie, or cannot be
heard.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ground.ais.config import VerdictConfig
from ground.ais.verdict import Judge, Verdict
from sim.accuracy.section import Section
from sim.scenario.fleet.random_fleets import Case, make_scene

SCENES = 60
FIRST_SEED = 2_000
"""Seeds from here on were not looked at while the model was made."""

TRUTHS = ("matched", "silent", "doubtful", "unheard")
WORDS = ("matched", "silent", "doubtful", "unheard", "undecided")


@dataclass(frozen=True, slots=True)
class Score:
    """What came of all cases."""

    table: Counter[tuple[str, str]]
    right_names: int
    named: int
    brier: float
    bins: list[tuple[float, float, int]]
    sentences: int
    cases: int
    causes: Counter[tuple[str, str]]

    @property
    def precision(self) -> float:
        """Of the verdicts "matched", those that name the vessel that it is, and that sends."""
        return self.right_names / max(1, self.named)

    @property
    def recall(self) -> float:
        """Of the contacts that are on AIS and heard, those that are matched."""
        return self.table["matched", "matched"] / max(1, self._of("matched"))

    @property
    def false_silent(self) -> float:
        """Of the contacts that are not silent, those that are called so."""
        others = [truth for truth in TRUTHS if truth != "silent"]
        wrong = sum(self.table[truth, "silent"] for truth in others)
        return wrong / max(1, sum(self._of(truth) for truth in others))

    def _of(self, truth: str) -> int:
        return sum(self.table[truth, word] for word in (*WORDS, "wrong"))


def score(scenes: int = SCENES, first_seed: int = FIRST_SEED) -> Score:
    """All scenes, judged."""
    table: Counter[tuple[str, str]] = Counter()
    causes: Counter[tuple[str, str]] = Counter()
    squares: list[float] = []
    said: list[tuple[float, bool]] = []
    right = named = sentences = 0
    for seed in range(first_seed, first_seed + scenes):
        scene = make_scene(seed)
        sentences += scene.sentences
        was_seen = scene.was_seen if scene.seen_m else None
        judge = Judge(VerdictConfig(), scene.book, scene.hearing, was_seen=was_seen)
        verdicts = judge.judge([case.look for case in scene.cases], scene.now_ns)
        for case, verdict in zip(scene.cases, verdicts, strict=True):
            is_right = verdict.mmsi == case.mmsi and case.truth in ("matched", "unheard")
            named += verdict.word == "matched"
            right += verdict.word == "matched" and is_right and case.role in ("sends", "frozen", "clone")
            is_wrong = verdict.word == "matched" and verdict.mmsi != case.mmsi
            table[case.truth, "wrong" if is_wrong else verdict.word] += 1
            if case.truth == "silent":
                causes[case.role, _cause(verdict)] += 1
            squares.append(_brier(case, verdict))
            said.append((verdict.silent, case.truth == "silent"))
    return Score(table, right, named, float(np.mean(squares)), _bins(said), sentences, len(said), causes)


CAUSES = {
    "silent": "said",
    "unheard": "perhaps it could not be heard",
    "matched": "perhaps it still sends, and reports were missed",
    "doubtful": "perhaps it is a vessel that AIS puts elsewhere",
    "undecided": "several fit",
}


def _cause(verdict: Verdict) -> str:
    """What spoke against "silent" most, where it was not said."""
    if verdict.word == "silent":
        return "silent"
    others = [name for name in WORDS if name != "silent"]
    return max(others, key=lambda name: float(getattr(verdict, name)))


def _brier(case: Case, verdict: Verdict) -> float:
    """Squared errors over the four truths; what is undecided counts for none of them."""
    return sum((float(getattr(verdict, truth)) - (truth == case.truth)) ** 2 for truth in TRUTHS)


def _bins(said: list[tuple[float, bool]]) -> list[tuple[float, float, int]]:
    """Mean probability of "silent", how often it was so, and how many, by fifths and the rest above 0.9."""
    found = []
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.01)):
        inside = [(chance, is_so) for chance, is_so in said if low <= chance < high]
        if inside:
            chances, so = zip(*inside, strict=True)
            found.append((float(np.mean(chances)), float(np.mean(so)), len(inside)))
    return found


_MADE = (
    "14 % never send, 6 % stopped 7 to 40 minutes ago, 6 % send a wrong or frozen position, 4 % another "
    "vessel's number; receivers from 15 to 300 m high, half of them behind a headland, a quarter of unknown "
    "place; looks of 8 to 60 m (1 sigma), one in twenty twice as bad as it says. Nothing was fitted to these "
    "seeds.\n"
)
_NOTE = (
    "A right name in the row `unheard` counts as right: a vessel out of hearing for ten minutes, carried on "
    "by its last report. `silent` is said only where the receiver has proved that it hears vessels from "
    "there; many silent vessels are left undecided, which is the price of few false ones."
)


def section(data: Path, scratch: Path) -> Section:
    """The part of the page; neither folder is used."""
    found = score()
    columns = (*WORDS, "wrong")
    text = [
        f"{SCENES} fleets with truth ({found.sentences} sentences, {found.cases} looks): {_MADE}",
        "| what | reached | goal | |",
        "|---|---|---|---|",
        _goal("matched names the right vessel (precision)", found.precision, 0.98, is_more_better=True),
        _goal("matched, of those on AIS and heard (recall)", found.recall, 0.95, is_more_better=True),
        _goal("called silent though it is not", found.false_silent, 0.01, is_more_better=False),
        f"| Brier score over four truths | {found.brier:.3f} | (none) | |",
        "\nWhat was true (rows) and what was said (columns); `wrong` is another vessel's name:\n",
        f"| | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for truth in TRUTHS:
        text.append(f"| {truth} | {' | '.join(str(found.table[truth, word]) for word in columns)} |")
    text += [
        "\nHow often `silent` was so, where it was given a probability:\n",
        "| said | was so | looks |",
        "|---|---|---|",
        *(f"| {chance:.2f} | {so:.2f} | {count} |" for chance, so, count in found.bins),
        "\nWhat became of the truly silent ones, by what spoke against the word most:\n",
        f"| | {' | '.join(CAUSES.values())} |",
        "|---|" + "---|" * len(CAUSES),
        *(
            f"| {title} | {' | '.join(str(found.causes[role, name]) for name in CAUSES)} |"
            for role, title in (("never", "never sends"), ("stopped", "stopped"))
        ),
        f"\n{_NOTE}",
    ]
    return Section(title="AIS verdicts on contacts", text="\n".join(text))


def _goal(name: str, value: float, goal: float, *, is_more_better: bool) -> str:
    is_reached = value >= goal if is_more_better else value <= goal
    sign = "≥" if is_more_better else "≤"
    return f"| {name} | {value:.4f} | {sign} {goal:g} | {'yes' if is_reached else '**no**'} |"
