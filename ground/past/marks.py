"""/api/v1/past/marks: who did what when, for the time line: decisions, words, alerts; in a replay orders."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from fastapi import FastAPI, Query

from ground.accounts.roles import Permission
from ground.alerts.alert import LoggedAlert
from ground.alerts.desk import AlertDesk
from ground.exercise.marks import WatchMark
from ground.http.gate import needs
from ground.http.questions import parse_time
from ground.http.views import View
from ground.review.desk import ReviewDesk
from ground.review.entries import Entry
from skywarden.clock import Clock
from skywarden.errors import InputError

MAX_MARKS = 2_000
_MAX_ENTRIES = 20_000
_MAX_ALERTS = 5_000

Kind = Literal[
    "alert", "acknowledged", "confirmed", "rejected", "more", "undone", "commented", "opened", "order"
]
_Time = Annotated[str, Query(max_length=40, description="RFC 3339, such as 2026-11-21T18:00:00Z")]


class PastMarkView(View):
    """One thing that happened, UNIX seconds; `account` is empty for what the station did by itself."""

    time_s: float
    kind: Kind
    account: str
    text: str
    contact_id: str | None


class PastMarksView(View):
    """Marks of a span, oldest first; `is_cut` when there were more."""

    items: list[PastMarkView]
    is_cut: bool


def add_mark_routes(
    app: FastAPI, review: ReviewDesk, alerts: AlertDesk, replayed: Sequence[WatchMark], clock: Clock
) -> None:
    """The one route; `replayed` are the marks of an exercise that is shown again."""

    @app.get("/api/v1/past/marks", response_model=PastMarksView, tags=["picture"])
    @needs(Permission.SEE_CONTACTS)
    def marks(since: _Time, until: Annotated[str | None, Query(max_length=40)] = None) -> PastMarksView:
        """Who did what in a span: decisions, comments, alerts and who acknowledged them."""
        since_ns = parse_time(since)
        until_ns = parse_time(until) if until is not None else clock.utc_ns()
        if since_ns >= until_ns:
            raise InputError(f"nothing lies between {since} and {until or 'now'}")
        found = [
            *_of_review(review.newest(_MAX_ENTRIES)),
            *_of_alerts(alerts.log.newest(_MAX_ALERTS)),
            *(_replayed(one) for one in replayed),
        ]
        fitting = sorted(
            (one for one in found if since_ns <= one.time_s * 1e9 <= until_ns), key=lambda one: one.time_s
        )
        return PastMarksView(items=fitting[:MAX_MARKS], is_cut=len(fitting) > MAX_MARKS)


def _of_review(entries: Iterable[Entry]) -> Iterator[PastMarkView]:
    kinds: dict[str, Kind] = {"undo": "undone", "comment": "commented"}
    for one in entries:
        kind: Kind | None = one.decision or kinds.get(one.kind)
        if kind is not None:
            yield PastMarkView(
                time_s=one.time_ns / 1e9,
                kind=kind,
                account=one.account,
                text=(one.text or _named(one))[:200],
                contact_id=one.contact_id,
            )


def _named(one: Entry) -> str:
    """What an entry is about that names no contact: a plot, or one sighting."""
    names = (*one.track_ids, *one.sighting_ids) if one.contact_id is None and not one.contact_ids else ()
    return names[0] if len(names) == 1 else ""


def _of_alerts(alerts: Iterable[LoggedAlert]) -> Iterator[PastMarkView]:
    for logged in alerts:
        alert = logged.alert
        yield PastMarkView(
            time_s=alert.noted_ns / 1e9,
            kind="alert",
            account="",
            text=alert.rule_name,
            contact_id=alert.contact_id,
        )
        for act in logged.acts:
            if act.kind == "acknowledged":
                yield PastMarkView(
                    time_s=act.time_ns / 1e9,
                    kind="acknowledged",
                    account=act.account,
                    text=alert.rule_name,
                    contact_id=alert.contact_id,
                )


def _replayed(one: WatchMark) -> PastMarkView:
    return PastMarkView(
        time_s=one.time_ns / 1e9,
        kind=one.kind,
        account=one.account,
        text=one.text,
        contact_id=one.contact_id or None,
    )
