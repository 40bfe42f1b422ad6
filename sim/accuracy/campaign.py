"""Accuracy of the whole watch: every scenario of the range by many seeds, as the last campaign left it."""

from pathlib import Path

import msgspec

from sim.accuracy.section import Section
from sim.range.campaign.summary import Row, Summary, table
from skywarden.errors import FlightError

CAMPAIGN_JSON = Path("docs/campaign.json")
GOAL_INSIDE = 0.9


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A summary as it lies among the documentation; `seconds` `None`: every scenario in full."""

    day: str
    seeds: int
    first_seed: int
    seconds: float | None
    summary: Summary


def section(data: Path, scratch: Path) -> Section:
    """The table of the last published campaign; a campaign takes too long to be flown here.

    Raises `FlightError` when none was published.
    """
    return campaign_section(read_published(CAMPAIGN_JSON))


def read_published(path: Path) -> Published:
    """What `skywarden sim campaign --publish` left; raises `FlightError` when it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Published)
    except (OSError, msgspec.DecodeError) as error:
        raise FlightError(
            f"{path}: no campaign that can be read ({error}); skywarden sim campaign --publish docs"
        ) from error


def campaign_section(published: Published) -> Section:
    """The same from what is at hand."""
    summary = published.summary
    length = "in full" if published.seconds is None else f"cut to {published.seconds:g} s"
    per_flight_s = summary.cpu_s / max(sum(row.flown_s for row in summary.rows), 1e-9)
    drawn = [row for row in summary.rows if row.with_frames]
    looked = [row for row in summary.rows if not row.with_frames]
    parts = [
        f"`skywarden sim campaign`, {published.day}: {summary.jobs} flights, up to {published.seeds} seeds "
        f"from {published.first_seed} of each scenario {length}, {summary.cpu_s:.0f} CPU seconds in all "
        f"({per_flight_s:.2f} for each second that a platform flies, with flying, the whole chain and "
        "scoring). Telemetry is real MAVLink bytes and everything behind the detector is the real one; the "
        "detector's looks are drawn from truth (chance by size and by what shows, jitter, decoys, false "
        "looks; outlines of plots as a detector of shapes gives them). The link is the real outbox and "
        "protocol over a made radio; bytes are those of its batches. *Found*, *false an hour*: detections of "
        "frames. HOTA and IDF1: looks by track against truth in the picture; GOSPA and *complete*: contacts "
        "on the map each second, of things that could be seen within the last minute. AIS is judged where "
        "the station heard anybody. Median over seeds, in brackets the 10 and 90 % quantiles; empty where it "
        f"does not apply. Goal of the ellipses: {GOAL_INSIDE:.0%}.\n",
        *table(looked),
        "",
        *_told(looked),
    ]
    if drawn:
        parts += ["", "With rendered pictures and the real detector:\n", *table(drawn)]
    parts += ["", *(f"- failed: {sentence}" for sentence in summary.errors)]
    return Section(title="The range: whole watches", text="\n".join(parts))


def _told(rows: list[Row]) -> list[str]:
    vessels, missed = sum(row.vessels for row in rows), sum(row.missed_vessels for row in rows)
    silent = sum(row.false_silent for row in rows)
    return [
        f"Of {vessels} vessels that could be found in four frames or more, {missed} raised no alert. "
        f"Vessels wrongly called silent: {silent}."
    ]
