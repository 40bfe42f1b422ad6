"""One score for a run: every figure, and what it cost."""

from pathlib import Path

import msgspec

from sim.range.link import LinkTold
from sim.range.score import measures
from sim.range.score.areas import Areas, areas
from sim.range.score.faults import Faults, faults
from sim.range.score.following import Following, following
from sim.range.score.naming import naming
from sim.range.score.on_ais import Ais, ais
from sim.range.score.truth import RunTruth, read_truth
from sim.range.watch import Watched, WatchOptions, receiver_of, watch_run


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch over one run was worth. Figures that do not apply are `None`.

    `bytes_sent` is what went over the links (see `LinkTold`), `bytes_by_kind` the messages that were made: of
    those of which only the latest matters, an older one gives way where the link is narrow.
    """

    scenario: str
    seed: int
    seconds: float
    platforms: int
    with_frames: bool
    finding: measures.Finding
    following: Following
    picture: measures.Picture
    placing: measures.Placing
    moving: measures.Moving
    ais: Ais
    alarm: measures.Alarm
    bytes_sent: int
    bytes_by_kind: dict[str, int]
    cpu_s_per_flight_s: float
    faults: Faults = Faults()
    links: dict[str, LinkTold] = {}
    areas: Areas | None = None


def score_run(folder: Path, options: WatchOptions | None = None) -> Score:
    """Watch a run and judge the watch; raises `FlightError` without truth, `UsageError` without referees."""
    truth = read_truth(folder)
    if options is None:
        options = WatchOptions(receiver=receiver_of(truth.scenario))
    return judged(truth, watch_run(folder, options))


def judged(truth: RunTruth, watched: Watched) -> Score:
    """The score of a watch that was kept."""
    names = naming(truth, watched)
    kinds: dict[str, int] = {}
    for sent in watched.bytes_made.values():
        for kind, count in sent.items():
            kinds[kind] = kinds.get(kind, 0) + count
    flown_s = max(watched.run.seconds * len(watched.steps), 1e-9)
    return Score(
        scenario=watched.run.scenario,
        seed=watched.run.seed,
        seconds=watched.run.seconds,
        platforms=len(watched.steps),
        with_frames=watched.run.with_frames,
        finding=measures.finding(truth, watched),
        following=following(truth, watched),
        picture=measures.picture(truth, watched, names),
        placing=measures.placing(truth, watched),
        moving=measures.moving(truth, watched, names),
        ais=ais(truth, watched, names),
        alarm=measures.alarm(truth, watched, names),
        bytes_sent=sum(one.bytes_sent for one in watched.links.values()),
        bytes_by_kind=dict(sorted(kinds.items())),
        cpu_s_per_flight_s=round(sum(watched.cpu_s.values()) / flown_s, 4),
        faults=faults(truth, watched),
        links=dict(sorted(watched.links.items())),
        areas=areas(truth, watched),
    )
