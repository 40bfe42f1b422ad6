"""The course of events as SVG: when platforms looked, when contacts were first seen and decided about,
alerts.
"""

from collections.abc import Iterable, Sequence

from ground.report.facts import ReportFacts
from ground.report.map_drawing import PLATFORM_COLOURS
from ground.report.markup import Markup, tag
from ground.report.words import Words
from skywarden.clock import NS_PER_S
from skywarden.times import rfc3339

WIDTH = 1_000
_LEFT, _RIGHT, _ROW, _TOP = 150.0, 16.0, 26.0, 8.0
_STEPS_S = (
    10,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
)


def draw_timeline(facts: ReportFacts, words: Words) -> Markup | None:
    """The drawing from the first to the last event; `None` when there is none."""
    moments = list(_moments(facts))
    if not moments:
        return None
    first, last = min(moments), max(moments)
    decisions = _decisions(facts, last + max(last - first, 3_600 * NS_PER_S))
    last = max((last, *decisions))
    pad = max(30 * NS_PER_S, (last - first) // 50)
    scale = _Scale(first - pad, last + pad)
    rows = [_platform_row(facts, number, scale) for number in range(len(facts.platforms))]
    rows.append(("seen", words("seen"), _ticks([one.contact.first_ns for one in facts.contacts], scale)))
    rows.append(("decided", words("decided"), _diamonds(decisions, scale)))
    if facts.alerts:
        rows.append(("alert", words("alert"), _triangles([one.alert.time_ns for one in facts.alerts], scale)))
    height = _TOP + _ROW * len(rows) + 24.0
    drawn = [
        tag(
            "g",
            tag("text", label, x=_LEFT - 12, y=_ROW / 2 + 4, class_="row-label"),
            tag("line", x1=_LEFT, y1=_ROW / 2, x2=WIDTH - _RIGHT, y2=_ROW / 2, class_="row-line"),
            marks,
            transform=f"translate(0 {_TOP + _ROW * number:.1f})",
            class_=f"row {kind}",
        )
        for number, (kind, label, marks) in enumerate(rows)
    ]
    return tag(
        "svg",
        tag("title", words("timeline")),
        _axis(scale, height),
        *drawn,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        class_="timeline",
    )


class _Scale:
    def __init__(self, first_ns: int, last_ns: int) -> None:
        self.first_ns, self.last_ns = first_ns, last_ns
        self._px_per_ns = (WIDTH - _LEFT - _RIGHT) / (last_ns - first_ns)

    def x(self, time_ns: int) -> float:
        return _LEFT + (time_ns - self.first_ns) * self._px_per_ns


def _moments(facts: ReportFacts) -> Iterable[int]:
    for platform in facts.platforms:
        for span in platform.spans:
            yield span.first_ns
            yield span.last_ns
    yield from (one.contact.first_ns for one in facts.contacts)
    yield from (one.alert.time_ns for one in facts.alerts)


def _decisions(facts: ReportFacts, until_ns: int) -> list[int]:
    """When people decided, as far as it was soon: a word of weeks later would press all else into a line."""
    reviews = [one.review for one in facts.contacts] + [one.review for one in facts.plots]
    times = [one.decision.time_ns for one in reviews if one.decision is not None]
    return [one for one in times if one <= until_ns]


def _platform_row(facts: ReportFacts, number: int, scale: _Scale) -> tuple[str, str, Markup]:
    platform = facts.platforms[number]
    colour = PLATFORM_COLOURS[number % len(PLATFORM_COLOURS)]
    bars = [
        tag(
            "rect",
            x=scale.x(span.first_ns),
            y=_ROW / 2 - 6,
            width=max(3.0, scale.x(span.last_ns) - scale.x(span.first_ns)),
            height=12,
            rx=3,
            fill=colour,
        )
        for span in platform.spans
    ]
    return "platform-row", platform.platform_id, tag("g", *bars)


def _ticks(times: Sequence[int], scale: _Scale) -> Markup:
    middle = _ROW / 2
    return tag("g", *(tag("circle", cx=scale.x(one), cy=middle, r=4) for one in times))


def _diamonds(times: Sequence[int], scale: _Scale) -> Markup:
    y = _ROW / 2
    return tag(
        "g",
        *(tag("path", d=f"M{scale.x(one):.1f},{y - 5}l5,5l-5,5l-5,-5Z") for one in times),
    )


def _triangles(times: Sequence[int], scale: _Scale) -> Markup:
    y = _ROW / 2
    return tag("g", *(tag("path", d=f"M{scale.x(one):.1f},{y - 6}l6,11h-12Z") for one in times))


def _axis(scale: _Scale, height: float) -> Markup:
    span_s = (scale.last_ns - scale.first_ns) / NS_PER_S
    step_s = next((one for one in _STEPS_S if span_s / one <= 8.0), _STEPS_S[-1] * max(1, int(span_s // 4e6)))
    step_ns = step_s * NS_PER_S
    parts = []
    for number in range(-(-scale.first_ns // step_ns), scale.last_ns // step_ns + 1):
        x, moment = scale.x(number * step_ns), rfc3339(number * step_ns)
        text = moment[11:19] if step_s < 60 else moment[11:16] if step_s < 86_400 else moment[:10]
        if step_s < 86_400 and moment[11:16] == "00:00":
            text = moment[:10]
        parts.append(tag("line", x1=x, y1=_TOP, x2=x, y2=height - 20))
        if x < WIDTH - 30:
            parts.append(tag("text", text, x=x, y=height - 6))
    return tag("g", *parts, class_="axis")
