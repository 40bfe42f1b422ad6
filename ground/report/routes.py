"""The report over the API: /api/v1/report."""

import threading
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import Response

from ground.accounts.roles import Permission
from ground.ais.watch import AisWatch
from ground.alerts.desk import AlertDesk
from ground.exercise.mark import REAL, Mark
from ground.http.gate import needs
from ground.http.questions import parse_time
from ground.past.store import PastStore
from ground.report.facts import gather
from ground.report.make import MAX_ALERTS, ONLINE_S, PatientJudge, footprints_of
from ground.report.page import render
from ground.report.pdf import find_browser, print_pdf
from ground.review.desk import ReviewDesk
from ground.store.reading import StoreReader
from skywarden.clock import Clock
from skywarden.errors import InputError, PeerUnavailableError
from skywarden.times import basic_utc

_PDF = "application/pdf"
_PRINT_WAIT_S = 10.0
_Time = Annotated[str, Query(max_length=40, description="RFC 3339, such as 2026-11-21T18:00:00Z")]


def add_report_routes(
    app: FastAPI,
    store: StoreReader,
    review: ReviewDesk,
    ais: AisWatch,
    alerts: AlertDesk,
    past: PastStore,
    clock: Clock,
    mark: Mark = REAL,
) -> None:
    """The one route."""
    printing = threading.Lock()

    @app.get(
        "/api/v1/report",
        response_class=Response,
        responses={
            200: {
                "content": {"text/html": {}, "application/pdf": {}},
                "description": "One page that holds all it shows.",
            }
        },
        tags=["export"],
    )
    @needs(Permission.EXPORT)
    def report(
        since: _Time,
        until: Annotated[str | None, Query(max_length=40, description="now when absent")] = None,
        language: Literal["en", "es"] = "en",
        form: Annotated[
            Literal["html", "pdf"],
            Query(description="pdf where the station's machine has a browser that prints"),
        ] = "html",
        unreviewed: Annotated[
            bool, Query(description="also what nobody has confirmed; the page and its name say so")
        ] = False,
    ) -> Response:
        """The report of a span: map, course of events, contacts with pictures, open questions."""
        now_ns = clock.utc_ns()
        since_ns, until_ns = parse_time(since), parse_time(until) if until is not None else now_ns
        if since_ns >= until_ns:
            raise InputError(f"nothing lies between {since} and {until or 'now'}")
        judge = PatientJudge(ais, ONLINE_S)
        facts = gather(
            store,
            review.book(),
            since_ns=since_ns,
            until_ns=until_ns,
            made_ns=now_ns,
            with_unreviewed=unreviewed,
            judge=judge,
            alerts=alerts.log.newest(MAX_ALERTS)[::-1],
            footprints=footprints_of(past, since_ns, until_ns),
            is_exercise=mark.is_exercise,
        )
        page = render(replace(facts, unjudged=judge.left_out), language)
        data, media_type = (page, "text/html; charset=utf-8") if form == "html" else (_printed(page), _PDF)
        name = f"{'UNREVIEWED-' if unreviewed else ''}report-{basic_utc(since_ns)}.{form}"
        return Response(
            data,
            media_type=media_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    def _printed(page: bytes) -> bytes:
        """One at a time: a browser is a large program."""
        browser = find_browser()
        if browser is None:
            raise HTTPException(
                503, "the station's machine has no Chromium to print with; take the page and print it"
            )
        if not printing.acquire(timeout=_PRINT_WAIT_S):
            raise HTTPException(429, "another report is being printed; try again in a while")
        try:
            return print_pdf(page, browser)
        except PeerUnavailableError as error:
            raise HTTPException(503, str(error)) from error
        finally:
            printing.release()
