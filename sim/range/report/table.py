"""A score as a table for the terminal."""

from rich import box
from rich.table import Table

from sim.range.score.score import Score

Row = tuple[str, str, str]


def rows(score: Score) -> list[Row]:
    """Part, figure, value; what does not apply is a dash."""
    one = score
    table: list[Row] = [
        ("finding", "recall of what could be found", _share(one.finding.recall, one.finding.findable)),
        *(("", f"recall, {label}", _share(value)) for label, value in one.finding.recall_by_label.items()),
        ("", "false detections an hour", f"{one.finding.false_per_hour:.1f}"),
        ("", "decoys taken for real, an hour", f"{one.finding.decoys_per_hour:.1f}"),
        ("following", "HOTA", _plain(one.following.hota, 3)),
        ("", "IDF1", _plain(one.following.idf1, 3)),
        ("", "switches of identity", str(one.following.switches)),
        ("picture", "GOSPA (cut 60 m)", _plain(one.picture.gospa_m, 1, " m")),
        ("", "SIAP completeness", _plain(one.picture.completeness, 3)),
        ("", "SIAP ambiguity", _plain(one.picture.ambiguity, 3)),
        ("", "SIAP spuriousness", _plain(one.picture.spuriousness, 3)),
        ("", "false contacts an hour", f"{one.picture.false_contacts_per_hour:.1f}"),
        ("places", "error, median", _plain(one.placing.median_m, 1, " m")),
        ("", "error, 90 %", _plain(one.placing.p90_m, 1, " m")),
        ("", "truth inside the 90 % ellipse", _share(one.placing.inside_90, one.placing.looks)),
        ("movement", "speed error (rms)", _plain(one.moving.speed_rms_mps, 2, " m/s")),
        ("", "course error (rms)", _plain(one.moving.course_rms_deg, 1, " deg")),
        ("", "standing, called moving", f"{one.moving.standing_called_moving} of {one.moving.standing}"),
        ("AIS", "Brier score of verdicts", _plain(one.ais.brier, 3)),
        ("", "sends AIS, called silent", f"{one.ais.false_silent} of {one.ais.vessels}"),
        ("alerts", "vessels without an alert", f"{one.alarm.missed} of {one.alarm.vessels}"),
        ("", "to the first alert, median", _plain(one.alarm.median_s, 1, " s")),
        ("", "false alerts", str(one.alarm.false_alerts)),
        *_areas(one),
        ("cost", "bytes sent", f"{one.bytes_sent:,}"),
        ("", "processor time of a second of flight", f"{one.cpu_s_per_flight_s:.3f} s"),
        ("faults", "noticed in time", f"{one.faults.noticed} of {one.faults.noticeable}"),
        ("", "notices without a fault", str(one.faults.false_notices)),
    ]
    return table


def score_table(score: Score) -> Table:
    """The figures; `fault_table` has the faults."""
    title = f"{score.scenario}, seed {score.seed}: {score.seconds:g} s, {_count(score.platforms, 'platform')}"
    table = Table("", "figure", "value", title=title, box=box.SIMPLE, title_justify="left")
    for part, figure, value in rows(score):
        table.add_row(part, figure, value)
    return table


def fault_table(score: Score) -> Table | None:
    """Every ordered fault with what became of it; `None` where none was ordered."""
    if not score.faults.each:
        return None
    table = Table("fault", "platform", "from", "to", "verdict", "said", "after", "over after", box=box.SIMPLE)
    for one in score.faults.each:
        table.add_row(
            one.kind,
            one.platform,
            f"{one.begin_s:g} s",
            f"{one.end_s:g} s",
            one.verdict,
            ", ".join(one.reported_as) or "-",
            _plain(one.after_s, 1, " s"),
            _plain(one.recovered_s, 1, " s"),
        )
    return table


def _areas(score: Score) -> list[Row]:
    found = score.areas
    if found is None:
        return []
    return [
        ("areas", "plots told whole, that are one", f"{found.matched} of {found.true_plots}"),
        ("", "area error (rms)", _plain(found.rms_percent, 1, " %")),
        ("", "true area inside its bounds", _share(found.inside_90)),
    ]


def _share(value: float | None, of: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{100.0 * value:.1f} %" + (f" of {of:,}" if of is not None else "")


def _plain(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
