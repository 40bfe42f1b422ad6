"""A score card as one HTML page that stands by itself: cards, tables, the course of the watch drawn."""

from html import escape

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sim.drill.score.acts import Act, Done
from sim.drill.score.card import Card, OrderMark, PersonCard, cases_of
from sim.drill.score.cases import Case, Cases
from sim.drill.score.table import crew_rows, rows, seconds
from sim.drill.story import DrillInfo, Injected
from sim.range.report.plots import INK, TOLD, TRUE, WRONG, Draw, svg
from skywarden.clock import NS_PER_S

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #22303c; max-width: 1120px;
  margin: 0 auto; padding: 0 1em 3em }
.exercise { background: #55207f; color: #fff; font-weight: 700; text-align: center; padding: .35em;
  margin: 0 -1em 1.5em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin: 1.8em 0 .5em }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(19em, 1fr)); gap: 1em }
.card { border: 1px solid #d5dde3; border-radius: .5em; padding: .8em 1em }
.card h3 { margin: 0 0 .3em; font-size: 1.05em }
.big { display: flex; gap: 1.4em; margin: .3em 0 .6em } .big div { font-size: .8em; color: #566573 }
.big strong { display: block; font-size: 1.9em; line-height: 1.1; color: #22303c }
.big .wrong strong { color: #b3261e } .big .right strong { color: #1b7f5c }
table { border-collapse: collapse; font-size: .92em; width: 100% }
td, th { padding: .18em .8em .18em 0; text-align: left; vertical-align: top }
td:last-child { font-variant-numeric: tabular-nums }
.wide td, .wide th { border-top: 1px solid #e6ebef }
.right { color: #1b7f5c; font-weight: 600 } .wrong { color: #b3261e; font-weight: 600 }
.none { color: #7a8791 }
svg { max-width: 100%; height: auto } p { max-width: 48em }
"""
_SHAPES = {"opened": "o", "acknowledged": "D", "confirmed": "P", "rejected": "X", "commented": "s"}
_COLOURS = (TOLD, "#c98a1b", "#7a3fa0", "#147a7a", "#a0413f", "#4d6b1d")


def card_page(card: Card, info: DrillInfo, cases: Cases, done: Done, injected: list[Injected]) -> str:
    """The page as text."""
    height = 1.6 + 0.27 * (len(cases.each) + sum(not one.problem for one in injected))
    parts = [
        '<div class="exercise">EXERCISE: nothing in here is real</div>',
        f"<h1>Score card: {escape(card.title)}</h1>",
        f"<p>{escape(card.scenario)}, seed {card.seed}, {card.seconds / 60.0:.1f} minutes, crew "
        f"{escape(', '.join(info.crew))}, trainer {escape(info.trainer)}. Seconds are counted from when the "
        "station first showed a thing, or from when the trainer let something happen.</p>",
        f'<div class="cards">{"".join(_person(one) for one in card.people)}{_crew(card)}</div>',
        "<h2>The course of the watch</h2>",
        svg(draw_watch(info, cases, done, injected), (11.0, height)),
        "<h2>What the trainer let happen</h2>",
        _orders(card),
        "<h2>Case by case</h2>",
        _cases(card),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>EXERCISE: score card {escape(card.scenario)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def draw_watch(info: DrillInfo, cases: Cases, done: Done, injected: list[Injected]) -> Draw:
    """Each case a line while it was shown, with what people did about it; orders above them."""
    orders = [one for one in injected if not one.problem]
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(info.crew)}

    def minutes(time_ns: int) -> float:
        return (time_ns - info.start_ns) / NS_PER_S / 60.0

    def draw(axes: Axes) -> None:
        names: list[str] = []
        for row, order in enumerate(orders):
            end = order.at_s if order.end_s is None else order.end_s
            axes.plot([order.at_s / 60.0, end / 60.0], [row, row], color=WRONG, lw=3, alpha=0.6)
            axes.plot(order.at_s / 60.0, row, marker="v", color=WRONG, ms=7)
            names.append(
                f"{order.number}: {order.order.kind} {order.order.vessel or order.order.platform or ''}"
            )
        for row, case in enumerate(cases.each, len(orders)):
            colour = TRUE if case.is_real else "#9aa7b1"
            axes.plot(
                [minutes(case.shown_ns), minutes(case.last_ns)], [row, row], color=colour, lw=5, alpha=0.35
            )
            names.append(_short(case))
        rows = {id(case): row for row, case in enumerate(cases.each, len(orders))}
        for act in done.acts:
            if act.account in colours and act.kind in _SHAPES:
                for case in cases_of(act, cases):
                    _mark(axes, act, minutes(act.time_ns), rows[id(case)], colours[act.account])
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(left=0.0)
        axes.set_xlabel("minutes of the drill")
        axes.grid(axis="x", color="#e6ebef")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            handles=_legend(colours), loc="upper center", bbox_to_anchor=(0.4, -0.09), ncol=5, frameon=False
        )

    return draw


def _short(case: Case) -> str:
    """A name for the line of a case."""
    if case.thing.startswith("nothing: "):
        return f"nothing ({case.thing.rpartition('_')[2]})"[:40]
    return case.thing[:40]


def _mark(axes: Axes, act: Act, at: float, row: int, colour: str) -> None:
    size = 5 if act.kind == "opened" else 9
    axes.plot(at, row, marker=_SHAPES[act.kind], color=colour, ms=size, mec="white", mew=0.8, zorder=3)


def _legend(colours: dict[str, str]) -> list[Line2D]:
    people = [Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in colours.items()]
    shapes = [Line2D([], [], color=INK, marker=shape, ls="", label=kind) for kind, shape in _SHAPES.items()]
    lines = [
        Line2D([], [], color=TRUE, lw=5, alpha=0.35, label="real, shown"),
        Line2D([], [], color="#9aa7b1", lw=5, alpha=0.35, label="not real, shown"),
        Line2D([], [], color=WRONG, marker="v", lw=3, label="order of the trainer"),
    ]
    return [*people, *shapes, *lines]


def _person(one: PersonCard) -> str:
    right, wrong = one.confirmed_real + one.rejected_false, one.confirmed_false + one.rejected_real
    big = (
        f'<div class="right"><strong>{right}</strong>right</div>'
        f'<div class="{"wrong" if wrong else ""}"><strong>{wrong}</strong>wrong</div>'
        f"<div><strong>{seconds(one.median_to_notice_s)}</strong>to notice</div>"
        f"<div><strong>{seconds(one.median_to_decide_s)}</strong>to decide</div>"
    )
    head = f'<h3>{escape(one.account)}</h3><div class="big">{big}</div>'
    return f'<div class="card">{head}{_table(rows(one))}</div>'


def _crew(card: Card) -> str:
    missed = "".join(f"<li>{escape(one)}</li>" for one in card.crew.missed)
    more = f"<p>Missed:</p><ul>{missed}</ul>" if missed else ""
    return f'<div class="card"><h3>The crew together</h3>{_table(crew_rows(card))}{more}</div>'


def _table(lines: list[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in lines)
    return f"<table>{body}</table>"


def _orders(card: Card) -> str:
    if not card.people or not card.people[0].orders:
        return "<p>Nothing was ordered.</p>"
    head = "".join(f"<th>{escape(one.account)}</th>" for one in card.people)
    lines = []
    for number, order in enumerate(card.people[0].orders):
        cells = []
        for person in card.people:
            mine = person.orders[number]
            cells.append(_noticed(mine))
        lines.append(
            f"<tr><td>{order.number}</td><td>{order.at_s:.0f} s</td><td>{escape(order.kind)}</td>"
            f"<td>{escape(order.whom)}</td>{''.join(cells)}</tr>"
        )
    return (
        f'<table class="wide"><tr><th></th><th>at</th><th>what</th><th>whom</th>{head}</tr>'
        f"{''.join(lines)}</table>"
    )


def _noticed(mine: OrderMark) -> str:
    if mine.noticed_after_s is None:
        why = "not noticed" if mine.could_be_seen else "no camera showed it"
        return f'<td class="none">{why}</td>'
    how = f"by voice: {mine.text}" if mine.how == "note" else mine.text
    return f'<td><span class="right">after {seconds(mine.noticed_after_s)}</span> {escape(how)}</td>'


def _cases(card: Card) -> str:
    if not card.people or not card.people[0].each:
        return "<p>The station showed nothing.</p>"
    head = "".join(f"<th>{escape(one.account)}</th>" for one in card.people)
    lines = []
    for number, case in enumerate(card.people[0].each):
        cells = []
        for person in card.people:
            mine = person.each[number]
            kind = "none" if mine.verdict == "undecided" else _kind(mine.verdict)
            when = "" if mine.noticed_after_s is None else f", noticed after {seconds(mine.noticed_after_s)}"
            if mine.decided_after_s is not None:
                when += f", decided after {seconds(mine.decided_after_s)}"
            cells.append(f'<td><span class="{kind}">{mine.verdict}</span>{when}</td>')
        true = "real" if case.is_real else "not real"
        lines.append(
            f"<tr><td>{case.shown_s:.0f} s</td><td>{escape(case.thing)}</td>"
            f"<td>{escape(case.what)}, {true}</td><td>{escape(case.label)}</td>{''.join(cells)}</tr>"
        )
    return (
        '<table class="wide"><tr><th>shown at</th><th>thing</th><th>in truth</th><th>shown as</th>'
        f"{head}</tr>{''.join(lines)}</table>"
    )


def _kind(verdict: str) -> str:
    return "right" if verdict in ("confirmed real", "rejected false") else "wrong"
