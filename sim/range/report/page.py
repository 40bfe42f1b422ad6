"""A score as one HTML page that stands by itself: no script, no font, no address outside."""

from html import escape

from sim.range.report import plots
from sim.range.report.table import rows
from sim.range.score.score import Score
from sim.range.score.truth import RunTruth
from sim.range.watch import Watched

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #22303c; max-width: 1060px;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin: 1.8em 0 .4em }
table { border-collapse: collapse; font-size: .92em } td, th { padding: .18em .9em .18em 0; text-align: left }
td:last-child { font-variant-numeric: tabular-nums } tr.part td { border-top: 1px solid #d5dde3 }
.badge { background: #b3261e; color: #fff; padding: .1em .6em; border-radius: .3em; font-size: .8em }
.missed, .late, .not { color: #b3261e; font-weight: 600 } .noticed { color: #1b7f5c; font-weight: 600 }
.columns { display: flex; flex-wrap: wrap; gap: 2em }
svg { max-width: 100%; height: auto }
p { max-width: 46em }
"""


def report_page(score: Score, truth: RunTruth, watched: Watched) -> str:
    """The page as text."""
    about = " ".join(truth.scenario.about.split())
    seen = "rendered frames" if score.with_frames else "looks drawn from truth, no frames"
    parts = [
        f"<h1>{escape(truth.scenario.title)} <span class=badge>EXERCISE</span></h1>",
        f"<p>{escape(score.scenario)}, seed {score.seed}, {score.seconds:g} s, {score.platforms} flying, "
        f"{seen}. {escape(about)}</p>",
        "<div class=columns><div><h2>Figures</h2>",
        _figures(score),
        "</div><div><h2>Truth inside the ellipses</h2>",
        plots.svg(plots.draw_containment(truth, watched), (4.8, 4.2)),
        "</div></div><h2>Truth and contacts at the end</h2>",
        plots.svg(plots.draw_map(truth, watched), (10.5, 7.0)),
        "<h2>First alerts</h2>",
        plots.svg(plots.draw_alerts(truth, watched), (10.5, plots.row_height_in(score.alarm.vessels))),
        "<h2>Faults, and what was said</h2>",
        _faults(score, watched),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(score.scenario)} {score.seed}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _figures(score: Score) -> str:
    lines = []
    for part, figure, value in rows(score):
        mark = " class=part" if part else ""
        lines.append(
            f"<tr{mark}><td>{escape(part)}</td><td>{escape(figure)}</td><td>{escape(value)}</td></tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _faults(score: Score, watched: Watched) -> str:
    said = {(name, one.word) for name, notices in watched.notices.items() for one in notices}
    if not score.faults.each and not said:
        return "<p>No fault was ordered, and nothing was said of any.</p>"
    drawn = plots.svg(
        plots.draw_faults(score, watched), (10.5, plots.row_height_in(len(score.faults.each) + len(said)))
    )
    lines = []
    for one in score.faults.each:
        cells = (
            one.kind,
            one.platform,
            f"{one.begin_s:g} to {one.end_s:g} s",
            ", ".join(one.reported_as) or "-",
            "-" if one.after_s is None else f"{one.after_s:.1f} s",
            "-" if one.within_s is None else f"{one.within_s:.1f} s",
            "-" if one.recovered_s is None else f"{one.recovered_s:.1f} s",
            one.degraded_to,
            f"{one.placed} of {one.looks}" + ("" if one.rms_m is None else f", {one.rms_m:.1f} m off"),
        )
        verdict = f"<td class={one.verdict.split()[0]}>{escape(one.verdict)}</td>"
        lines.append(f"<tr>{verdict}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    names = (
        "verdict",
        "fault",
        "platform",
        "when",
        "said",
        "after",
        "at most",
        "over after",
        "left",
        "placed",
    )
    head = "".join(f"<th>{name}</th>" for name in names)
    table = f"<table><tr>{head}</tr>{''.join(lines)}</table>" if lines else ""
    return drawn + table
