"""The plots of a report as SVG: map, places against their ellipses, alert times, faults and notices."""

import io
import math
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from sim.range.score.measures import CHI_SQUARE_2_90
from sim.range.score.naming import naming
from sim.range.score.score import Score
from sim.range.score.truth import METRES_PER_DEG, RunTruth, is_findable
from sim.range.watch import Watched
from skywarden.clock import NS_PER_S
from skywarden.messages import Sighting

INK, TRUE, TOLD, WRONG, SEA = "#22303c", "#1b7f5c", "#1f5fa8", "#c2413b", "#eef3f6"
COLOURS = {"noticed": TRUE, "late": "#c98a1b", "missed": WRONG, "not recovered": WRONG}
_STYLE: Any = {"svg.hashsalt": "skywarden", "font.size": 9.0, "axes.edgecolor": INK, "text.color": INK}
Draw = Callable[[Axes], None]


def svg(draw: Draw, size_in: tuple[float, float]) -> str:
    """One plot as an SVG element; the same plot gives the same text."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=size_in, layout="constrained")
        try:
            draw(axes)
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)
    text = out.getvalue()
    return text[text.index("<svg") :]


def draw_map(truth: RunTruth, watched: Watched) -> Draw:
    """Ways and places of what is true, and the contacts of the end with their 90 % ellipses; metres."""
    place = truth.scenario.place

    def metres(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
        scale = METRES_PER_DEG * math.cos(math.radians(place.latitude_deg))
        return (longitude_deg - place.longitude_deg) * scale, (
            latitude_deg - place.latitude_deg
        ) * METRES_PER_DEG

    def draw(axes: Axes) -> None:
        axes.set_facecolor(SEA)
        for plot in truth.scenario.plots:
            axes.fill(*zip(*plot.outline, strict=True), color="#9cb86a", alpha=0.8, lw=0)
        for thing in truth.things.values():
            way = np.array([metres(one.latitude_deg, one.longitude_deg) for one in thing.places])
            colour = "#8a949c" if thing.label == "decoy" else TRUE
            axes.plot(way[:, 0], way[:, 1], color=colour, lw=1.2)
            axes.plot(*way[-1], marker="o", ms=4, color=colour)
            axes.annotate(thing.id, way[-1], (5, 3), textcoords="offset points", fontsize=6.5, color=colour)
        names = naming(truth, watched)
        for contact in watched.contacts:
            if contact.position is None:
                continue
            at = metres(contact.position.latitude_deg, contact.position.longitude_deg)
            colour = TOLD if names.of(contact) is not None else WRONG
            axes.add_patch(_ellipse(at, contact.position.covariance_enu_m2, colour))
            axes.plot(*at, marker="+", ms=7, color=colour)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel("east, m")
        axes.set_ylabel("north, m")
        for label, colour, mark in (
            ("true", TRUE, "o"),
            ("told", TOLD, "+"),
            ("told of nothing", WRONG, "+"),
        ):
            axes.plot([], [], marker=mark, ls="", color=colour, label=label)
        axes.legend(loc="upper right", fontsize=8)

    return draw


def draw_containment(truth: RunTruth, watched: Watched) -> Draw:
    """How often the truth lies inside an ellipse of each confidence; the diagonal is honest."""
    squares = np.sort(np.array(_squares(truth, watched)))

    def draw(axes: Axes) -> None:
        confidence = np.linspace(0.0, 0.995, 200)
        limits = -2.0 * np.log1p(-confidence)  # chi square of two degrees of freedom
        axes.plot([0, 100], [0, 100], color="#8a949c", lw=1, ls="--", label="honest")
        if len(squares):
            inside = np.searchsorted(squares, limits) / len(squares)
            axes.plot(100 * confidence, 100 * inside, color=TOLD, label=f"{len(squares)} looks")
            held = float(np.mean(squares <= CHI_SQUARE_2_90))
            axes.plot([90], [100 * held], "o", color=TOLD)
            axes.annotate(f"{100 * held:.1f} %", (90, 100 * held), (-34, -12), textcoords="offset points")
        axes.set_xlabel("ellipse of confidence, %")
        axes.set_ylabel("truth inside, %")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 101)
        axes.legend(loc="lower right", fontsize=8)

    return draw


def draw_alerts(truth: RunTruth, watched: Watched) -> Draw:
    """For each vessel when it could be found, and when its first alert came."""
    names = naming(truth, watched)
    every = {one.contact_id: one for moment in watched.moments for one in moment.contacts}
    first: dict[str, int] = {}
    for alert in watched.alerts:
        contact = every.get(alert.contact_id)
        name = None if contact is None else names.of(contact)
        if name is not None:
            first.setdefault(name, alert.noted_ns)
    vessels = [one for one in truth.things.values() if one.label == "vessel" and len(one.findable_ns) >= 4]
    start_ns = watched.run.start_ns

    def draw(axes: Axes) -> None:
        for row, vessel in enumerate(vessels):
            times = [(time_ns - start_ns) / NS_PER_S for time_ns in vessel.findable_ns]
            axes.plot(times, [row] * len(times), "|", color=TRUE, ms=8)
            if vessel.id in first:
                axes.plot([(first[vessel.id] - start_ns) / NS_PER_S], [row], "D", color=TOLD, ms=6)
        axes.set_yticks(range(len(vessels)), [vessel.id for vessel in vessels])
        axes.set_xlim(0, watched.run.seconds)
        axes.set_xlabel("seconds; ticks: could be found, diamond: first alert")
        axes.invert_yaxis()

    return draw


def draw_faults(score: Score, watched: Watched) -> Draw:
    """Ordered faults as bars, what was said of them below, by platform."""
    start_ns, seconds = watched.run.start_ns, watched.run.seconds

    def draw(axes: Axes) -> None:
        labels: list[str] = []
        for one in score.faults.each:
            colour = COLOURS.get(one.verdict, "#8a949c")
            axes.barh(len(labels), one.end_s - one.begin_s, left=one.begin_s, height=0.6, color=colour)
            labels.append(f"{one.platform}: {one.kind} ({one.verdict})")
        for name, notices in sorted(watched.notices.items()):
            for word in dict.fromkeys(notice.word for notice in notices):
                for notice in notices:
                    if notice.word == word:
                        begin_s = (notice.begin_ns - start_ns) / NS_PER_S
                        end_s = seconds if notice.end_ns is None else (notice.end_ns - start_ns) / NS_PER_S
                        axes.barh(
                            len(labels), max(end_s - begin_s, 0.3), left=begin_s, height=0.25, color=TOLD
                        )
                labels.append(f"{name} says: {word}")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(0, seconds)
        axes.set_xlabel("seconds")
        axes.invert_yaxis()

    return draw


def row_height_in(rows: int) -> float:
    """Height of a plot of so many rows."""
    return min(1.2 + 0.26 * max(rows, 2), 14.0)


def _ellipse(
    at: tuple[float, float], covariance: tuple[float, float, float, float, float, float], colour: str
) -> Ellipse:
    ee, en, _, nn, _, _ = covariance
    values, vectors = np.linalg.eigh(np.array([[ee, en], [en, nn]]))
    width, height = 2.0 * np.sqrt(CHI_SQUARE_2_90 * np.maximum(values[::-1], 0.0))
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    return Ellipse(at, float(width), float(height), angle=angle, fill=False, color=colour, lw=1.0)


def _squares(truth: RunTruth, watched: Watched) -> list[float]:
    """Squared distances of truth from sightings in units of their covariance."""
    found = []
    for flight, steps in watched.steps.items():
        for step in steps:
            for message in step.outcome.messages:
                if not isinstance(message, Sighting) or message.position is None:
                    continue
                thing = truth.thing_of(flight, message)
                if thing is None or thing.label == "decoy" or not is_findable(thing):
                    continue
                scale = METRES_PER_DEG * math.cos(math.radians(thing.latitude_deg))
                position = message.position
                off: npt.NDArray[np.float64] = np.array(
                    [
                        (position.longitude_deg - thing.longitude_deg) * scale,
                        (position.latitude_deg - thing.latitude_deg) * METRES_PER_DEG,
                    ]
                )
                ee, en, _, nn, _, _ = position.covariance_enu_m2
                found.append(float(off @ np.linalg.solve(np.array([[ee, en], [en, nn]]), off)))
    return found
