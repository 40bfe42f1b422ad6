"""The figures of a campaign: for every scenario the median and the spread over its seeds."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from sim.range.campaign.job import Done
from sim.range.score.score import Score

FEWEST_LOOKS = 20
"""Shares and quantiles of fewer looks than so many say nothing, and are left out."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One column: what it is called, how it is read from a score, and how it is written."""

    key: str
    title: str
    read: Callable[[Score], float | None]
    digits: int = 2
    is_share: bool = False


FIGURES = (
    Figure(key="recall", title="found", read=lambda one: one.finding.recall, digits=3, is_share=True),
    Figure(
        key="false_per_hour", title="false an hour", read=lambda one: one.finding.false_per_hour, digits=0
    ),
    Figure(key="hota", title="HOTA", read=lambda one: one.following.hota),
    Figure(key="idf1", title="IDF1", read=lambda one: one.following.idf1),
    Figure(key="gospa_m", title="GOSPA m", read=lambda one: one.picture.gospa_m, digits=1),
    Figure(key="completeness", title="complete", read=lambda one: one.picture.completeness),
    Figure(key="position_m", title="miss m", read=lambda one: _placed(one, one.placing.median_m)),
    Figure(key="p90_m", title="miss 90 % m", read=lambda one: _placed(one, one.placing.p90_m), digits=1),
    Figure(
        key="inside_90",
        title="in 90 % ellipse",
        read=lambda one: _placed(one, one.placing.inside_90),
        digits=3,
        is_share=True,
    ),
    Figure(key="speed_mps", title="speed RMS m/s", read=lambda one: one.moving.speed_rms_mps),
    Figure(key="course_deg", title="course RMS deg", read=lambda one: one.moving.course_rms_deg, digits=0),
    Figure(
        key="area_percent",
        title="area RMS %",
        read=lambda one: None if one.areas is None else one.areas.rms_percent,
        digits=1,
    ),
    Figure(key="brier", title="AIS Brier", read=lambda one: one.ais.brier),
    Figure(key="latency_s", title="alert after s", read=lambda one: one.alarm.median_s, digits=1),
    Figure(
        key="faults_noticed",
        title="faults noticed",
        read=lambda one: one.faults.noticed / one.faults.noticeable if one.faults.noticeable else None,
        is_share=True,
    ),
    Figure(key="bytes_per_s", title="B/s", read=lambda one: _bytes_per_s(one), digits=0),
    Figure(key="cpu", title="CPU s a flight s", read=lambda one: one.cpu_s_per_flight_s, digits=3),
)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of the seeds that have the figure: how many, median, and the 10 and 90 % quantiles."""

    count: int
    median: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario, drawn from truth or with pictures: its seeds, those that failed, and its figures."""

    scenario: str
    with_frames: bool
    seeds: int
    failed: int
    missed_vessels: int
    vessels: int
    false_silent: int
    cpu_s: float
    flown_s: float
    figures: dict[str, Spread]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole campaign; `errors` are the sentences of the jobs that failed."""

    rows: tuple[Row, ...]
    jobs: int
    cpu_s: float
    errors: tuple[str, ...]


def summed_up(done: Sequence[Done]) -> Summary:
    """Rows by scenario, in alphabetical order; those with pictures after those without."""
    groups: dict[tuple[bool, str], list[Done]] = {}
    for one in done:
        groups.setdefault((one.job.with_frames, one.job.scenario), []).append(one)
    return Summary(
        rows=tuple(_row(name, with_frames, group) for (with_frames, name), group in sorted(groups.items())),
        jobs=len(done),
        cpu_s=round(sum(one.cpu_s for one in done), 1),
        errors=tuple(f"{one.job.name}: {one.error}" for one in done if one.error is not None),
    )


def table(rows: Sequence[Row], keys: Sequence[str] | None = None) -> list[str]:
    """Markdown: median, and in brackets the 10 and 90 % quantiles where there are three seeds or more."""
    chosen = [figure for figure in FIGURES if keys is None or figure.key in keys]
    lines = [
        "| scenario | seeds | " + " | ".join(figure.title for figure in chosen) + " |",
        "|---|---|" + "---|" * len(chosen),
    ]
    for row in rows:
        cells = [_cell(figure, row.figures.get(figure.key)) for figure in chosen]
        lines.append(f"| {row.scenario} | {row.seeds - row.failed} | " + " | ".join(cells) + " |")
    return lines


def _row(name: str, with_frames: bool, group: Sequence[Done]) -> Row:
    scores = [one.score for one in group if one.score is not None]
    figures = {}
    for figure in FIGURES:
        values = [value for one in scores if (value := figure.read(one)) is not None]
        if values:
            low, high = np.quantile(values, (0.1, 0.9))
            figures[figure.key] = Spread(
                count=len(values),
                median=round(statistics.median(values), 5),
                low=round(float(low), 5),
                high=round(float(high), 5),
            )
    return Row(
        scenario=name,
        with_frames=with_frames,
        seeds=len(group),
        failed=sum(one.error is not None for one in group),
        missed_vessels=sum(one.alarm.missed for one in scores),
        vessels=sum(one.alarm.vessels for one in scores),
        false_silent=sum(one.ais.false_silent for one in scores),
        cpu_s=round(sum(one.cpu_s for one in group), 2),
        flown_s=round(sum(one.seconds * one.platforms for one in scores), 1),
        figures=figures,
    )


def _cell(figure: Figure, spread: Spread | None) -> str:
    if spread is None:
        return ""
    low, middle, high = (_written(figure, value) for value in (spread.low, spread.median, spread.high))
    return middle if spread.count < 3 or low == high else f"{middle} ({low} to {high})"


def _written(figure: Figure, value: float) -> str:
    return f"{value:.0%}" if figure.is_share else f"{value:.{figure.digits}f}"


def _placed(score: Score, value: float | None) -> float | None:
    return value if score.placing.looks >= FEWEST_LOOKS else None


def _bytes_per_s(score: Score) -> float | None:
    flown_s = score.seconds * score.platforms
    return score.bytes_sent / flown_s if flown_s else None
