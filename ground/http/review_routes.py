"""People decide about what was seen: the routes of review. A decision names the version that was seen."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from ground.accounts.roles import Permission
from ground.accounts.sessions import Identity
from ground.http.gate import Caller, needs
from ground.http.views import ErrorView, PositionView, View, view_position
from ground.picture.plots import PlotShelf
from ground.review.book import ContactReview
from ground.review.desk import (
    LonePlot,
    ReviewConflictError,
    ReviewDesk,
    Subject,
    matching_contacts,
    tracks_of,
)
from ground.review.entries import MAX_TEXT, Decision, Entry, EntryKind, Pattern, State
from ground.store.reading import StoredContact, StoreReader
from skywarden.clock import Clock
from skywarden.errors import ConflictError
from skywarden.messages import Plot, Position
from skywarden.times import rfc3339

_MOST_NEARBY = 20
_NEARBY_M = 150.0
_MAX_SEEN = 256

_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_Version = Annotated[int, Field(ge=0, le=2**53)]
_Name = Annotated[str, Field(min_length=1, max_length=140)]


class DecisionAsk(BaseModel):
    """What a person decides, as it was seen: `version` of the review, and the tracks that were shown."""

    model_config = ConfigDict(extra="forbid")
    decision: Decision
    version: _Version
    text: _Text = ""
    seen_track_ids: Annotated[list[_Name] | None, Field(max_length=_MAX_SEEN)] = None


class CommentAsk(BaseModel):
    """A comment."""

    model_config = ConfigDict(extra="forbid")
    text: _Text


class AssignAsk(BaseModel):
    """Who is to look at it; null: nobody in particular."""

    model_config = ConfigDict(extra="forbid")
    assignee: Annotated[str, Field(min_length=1, max_length=64)] | None
    version: _Version


class PatternAsk(BaseModel):
    """What false alarms of one kind have in common; `centre` is [lon, lat], scores are inclusive."""

    model_config = ConfigDict(extra="forbid")
    centre: tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]] | None = (
        None
    )
    radius_m: Annotated[float, Field(gt=0.0, le=5_000.0)] = 100.0
    label: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    model_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    platform_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    score_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    score_max: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0


class RejectAsk(BaseModel):
    """Reject what a preview has shown."""

    model_config = ConfigDict(extra="forbid")
    preview_id: Annotated[str, Field(min_length=1, max_length=64)]
    text: _Text = ""


class EntryView(View):
    """One thing that somebody did; `undone_by` took it back."""

    number: int
    time: str
    account: str
    kind: EntryKind
    contact_id: str | None
    decision: Decision | None
    text: str
    assignee: str | None
    undoes: int | None
    undone_by: str | None
    contact_count: int
    track_count: int
    sighting_ids: list[str]


class NearbyView(View):
    """Another contact at this place, of this visit or an earlier one."""

    contact_id: str
    label: str
    review: State
    review_was: State | None
    score: float
    first_seen: str
    last_seen: str
    platform_ids: list[str]
    position: PositionView | None
    best_chip_id: str | None


class ReviewView(View):
    """Where the review of a contact stands, what was done about it, and what else was seen there.

    Of a plot that is part of no contact `contact_id` is null; `plot_id` says which plot was asked for.
    """

    contact_id: str | None
    plot_id: str | None = None
    state: State
    version: int
    was: State | None
    new_tracks: int
    decided_by: str | None
    decided: str | None
    decision_number: int | None
    assignee: str | None
    history: list[EntryView]
    nearby: list[NearbyView]


class ConflictView(View):
    """Somebody else was first; `current` is what holds now."""

    error: str
    current: ReviewView | None


class EntryList(View):
    """Entries, newest first."""

    items: list[EntryView]


class PreviewView(View):
    """What a pattern would reject: how many, and the first of them; good for ten minutes."""

    preview_id: str
    contact_count: int
    sighting_count: int
    contact_ids: list[str]


_REFUSED: Mapping[int | str, dict[str, Any]] = {
    400: {"model": ErrorView, "description": "It cannot be kept as it is."},
    403: {"model": ErrorView, "description": "This account does not decide."},
    404: {
        "model": ErrorView,
        "description": "There is no such contact; it may have been joined with another.",
    },
    409: {"model": ConflictView, "description": "Somebody else changed it first; nothing was overwritten."},
}


class _Answers:
    """How entries and reviews are shown."""

    def __init__(self, desk: ReviewDesk, store: StoreReader, shelf: PlotShelf) -> None:
        self._desk = desk
        self._store = store
        self._shelf = shelf

    def contact(self, contact_id: str) -> StoredContact:
        found = self._store.contact(contact_id)
        if found is None:
            raise HTTPException(404, "there is no such contact; it may have been joined with another")
        return found

    def plot(self, plot_id: str) -> tuple[Plot, Subject]:
        """A plot, and what is decided about with it: its contact when it is part of one, else itself."""
        plot = self._shelf.plot(plot_id)
        if plot is None:
            raise HTTPException(404, "there is no such plot")
        contact_id = self._store.contact_of_track(plot_id)
        stored = self._store.contact(contact_id) if contact_id is not None else None
        return plot, stored or LonePlot(plot_id=plot_id)

    def review(self, subject: Subject, plot: Plot | None = None) -> ReviewView:
        contact = None if isinstance(subject, LonePlot) else subject.contact
        tracks = tracks_of(subject)
        review: ContactReview = self._desk.of_contact(tracks)
        decision = review.decision
        place = contact.position if contact is not None else plot.position if plot is not None else None
        contact_id = contact.contact_id if contact is not None else None
        return ReviewView(
            contact_id=contact_id,
            plot_id=plot.plot_id if plot is not None else None,
            state=review.state,
            version=review.version,
            was=review.was,
            new_tracks=review.new_tracks,
            decided_by=decision.account if decision is not None else None,
            decided=rfc3339(decision.time_ns) if decision is not None else None,
            decision_number=decision.number if decision is not None else None,
            assignee=review.assignee,
            history=[self.entry(one) for one in self._desk.history(tracks)],
            nearby=self._nearby(place, contact_id),
        )

    def entry(self, entry: Entry) -> EntryView:
        undone_by = self._desk.undone_by(entry.number)
        return EntryView(
            number=entry.number,
            time=rfc3339(entry.time_ns),
            account=entry.account,
            kind=entry.kind,
            contact_id=entry.contact_id,
            decision=entry.decision,
            text=entry.text,
            assignee=entry.assignee,
            undoes=entry.undoes,
            undone_by=undone_by.account if undone_by is not None else None,
            contact_count=len(entry.contact_ids) or (entry.contact_id is not None),
            track_count=len(entry.track_ids),
            sighting_ids=list(entry.sighting_ids),
        )

    def _nearby(self, place: Position | None, but: str | None) -> list[NearbyView]:
        if place is None:
            return []
        here = (place.latitude_deg, place.longitude_deg)
        radius_m = min(1_000.0, _NEARBY_M + place.ce90_m)
        found = []
        for other in matching_contacts(self._store, Pattern(centre=here, radius_m=radius_m)):
            if other.contact.contact_id != but:
                found.append(self._nearby_one(other))
            if len(found) >= _MOST_NEARBY:
                break
        return found

    def _nearby_one(self, other: StoredContact) -> NearbyView:
        review = self._desk.of_contact(other.contact.track_ids)
        return NearbyView(
            contact_id=other.contact.contact_id,
            label=other.contact.label,
            review=review.state,
            review_was=review.was,
            score=other.contact.score,
            first_seen=rfc3339(other.contact.first_ns),
            last_seen=rfc3339(other.contact.last_ns),
            platform_ids=list(other.contact.platform_ids),
            position=view_position(other.contact.position),
            best_chip_id=other.best_chip_id,
        )


def add_review_routes(app: FastAPI, desk: ReviewDesk, store: StoreReader, clock: Clock) -> None:
    """The routes of review."""
    answers = _Answers(desk, store, PlotShelf(store))

    @app.exception_handler(ConflictError)
    def conflict(request: Request, error: ConflictError) -> Response:
        current = None
        if isinstance(error, ReviewConflictError) and error.current is not None:
            contact_id, plot_id = (request.path_params.get(name) for name in ("contact_id", "plot_id"))
            stored = store.contact(str(contact_id)) if contact_id is not None else None
            if stored is not None:
                current = answers.review(stored)
            elif plot_id is not None:
                plot, subject = answers.plot(str(plot_id))
                current = answers.review(subject, plot)
        return JSONResponse(ConflictView(error=str(error), current=current).model_dump(mode="json"), 409)

    _add_contact_review(app, desk, answers, clock)
    _add_plot_review(app, desk, answers, clock)
    _add_log(app, desk, answers, store, clock)
    _add_patterns(app, desk, answers, clock)


def _decide(desk: ReviewDesk, subject: Subject, given: DecisionAsk, account: str, clock: Clock) -> None:
    """What a person decided about a contact or a plot."""
    desk.decide(
        subject,
        given.decision,
        account=account,
        version=given.version,
        utc_ns=clock.utc_ns(),
        text=given.text,
        seen_tracks=given.seen_track_ids,
    )


def _add_contact_review(app: FastAPI, desk: ReviewDesk, answers: _Answers, clock: Clock) -> None:
    path = "/api/v1/contacts/{contact_id}/review"
    said: dict[str, Any] = {"response_model": ReviewView, "responses": {**_REFUSED}, "tags": ["review"]}

    @app.get(path, **said)
    @needs(Permission.SEE_DETAILS)
    def review(contact_id: str) -> ReviewView:
        """Where the review of a contact stands, with its history and what else was seen at its place."""
        return answers.review(answers.contact(contact_id))

    @app.post(path, **said)
    @needs(Permission.REVIEW)
    def decide(request: Request, contact_id: str, given: DecisionAsk) -> ReviewView:
        """Confirm, reject, or ask for more."""
        stored = answers.contact(contact_id)
        _decide(desk, stored, given, _account(request), clock)
        return answers.review(stored)

    @app.post(f"{path}/comments", **said)
    @needs(Permission.REVIEW)
    def comment(request: Request, contact_id: str, given: CommentAsk) -> ReviewView:
        """Say something about a contact."""
        stored = answers.contact(contact_id)
        desk.comment(stored, given.text, account=_account(request), utc_ns=clock.utc_ns())
        return answers.review(stored)

    @app.post(f"{path}/assignee", **said)
    @needs(Permission.REVIEW)
    def assign(request: Request, contact_id: str, given: AssignAsk) -> ReviewView:
        """Say who is to look at it."""
        stored = answers.contact(contact_id)
        desk.assign(
            stored,
            given.assignee,
            account=_account(request),
            version=given.version,
            utc_ns=clock.utc_ns(),
        )
        return answers.review(stored)


def _add_plot_review(app: FastAPI, desk: ReviewDesk, answers: _Answers, clock: Clock) -> None:
    """A plot is decided about like any contact; one that is part of a contact stands and falls with it."""
    path = "/api/v1/plots/{plot_id}/review"
    said: dict[str, Any] = {"response_model": ReviewView, "responses": {**_REFUSED}, "tags": ["review"]}

    @app.get(path, **said)
    @needs(Permission.SEE_DETAILS)
    def plot_review(plot_id: str) -> ReviewView:
        """Where the review of a plot stands, with its history and the contacts at its place."""
        plot, subject = answers.plot(plot_id)
        return answers.review(subject, plot)

    @app.post(path, **said)
    @needs(Permission.REVIEW)
    def decide_plot(request: Request, plot_id: str, given: DecisionAsk) -> ReviewView:
        """Confirm a plot, reject it, or ask for more; of a plot in a contact this is about the contact."""
        plot, subject = answers.plot(plot_id)
        _decide(desk, subject, given, _account(request), clock)
        return answers.review(subject, plot)

    @app.post(f"{path}/comments", **said)
    @needs(Permission.REVIEW)
    def comment_plot(request: Request, plot_id: str, given: CommentAsk) -> ReviewView:
        """Say something about a plot."""
        plot, subject = answers.plot(plot_id)
        desk.comment(subject, given.text, account=_account(request), utc_ns=clock.utc_ns())
        return answers.review(subject, plot)


def _add_log(app: FastAPI, desk: ReviewDesk, answers: _Answers, store: StoreReader, clock: Clock) -> None:
    said: dict[str, Any] = {"response_model": EntryView, "responses": {**_REFUSED}, "tags": ["review"]}

    @app.get("/api/v1/review/log", response_model=EntryList, tags=["review"])
    @needs(Permission.SEE_DETAILS)
    def entries(
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        before: Annotated[int | None, Query(ge=1, le=2**53, description="entries below this number")] = None,
    ) -> EntryList:
        """What people did, newest first."""
        return EntryList(items=[answers.entry(one) for one in desk.newest(limit, before)])

    @app.post("/api/v1/review/log/{number}/undo", **said)
    @needs(Permission.REVIEW)
    def undo(request: Request, number: int) -> EntryView:
        """Take a decision back, a bulk one as a whole."""
        return answers.entry(desk.undo(number, account=_account(request), utc_ns=clock.utc_ns()))

    @app.post("/api/v1/sightings/{sighting_id}/review", **said)
    @needs(Permission.REVIEW)
    def decide_sighting(request: Request, sighting_id: str, given: DecisionAsk) -> EntryView:
        """Decide about one sighting alone; `version` is the number of the newest entry about it, else 0."""
        found = store.sightings_of_ids([sighting_id])
        if not found:
            raise HTTPException(404, "there is no such sighting")
        entry = desk.decide_sighting(
            sighting_id,
            found[0].contact_id,
            given.decision,
            account=_account(request),
            version=given.version,
            utc_ns=clock.utc_ns(),
            text=given.text,
        )
        return answers.entry(entry)


def _add_patterns(app: FastAPI, desk: ReviewDesk, answers: _Answers, clock: Clock) -> None:
    refused: dict[int | str, dict[str, Any]] = {**_REFUSED}

    @app.post("/api/v1/review/patterns", response_model=PreviewView, responses=refused, tags=["review"])
    @needs(Permission.REVIEW)
    def preview(given: PatternAsk) -> PreviewView:
        """How many undecided contacts a pattern of false alarms holds for; nothing is decided by this."""
        asked = given.model_dump()
        if given.centre is not None:
            asked["centre"] = (given.centre[1], given.centre[0])
        made = desk.preview(Pattern(**asked), clock.utc_ns())
        return PreviewView(
            preview_id=made.preview_id,
            contact_count=len(made.tracks_of),
            sighting_count=made.sighting_count,
            contact_ids=sorted(made.tracks_of)[:200],
        )

    @app.post("/api/v1/review/patterns/reject", response_model=EntryView, responses=refused, tags=["review"])
    @needs(Permission.REVIEW)
    def reject(request: Request, given: RejectAsk) -> EntryView:
        """Reject exactly what a preview has shown, as one decision that one undo takes back."""
        entry = desk.reject_pattern(
            given.preview_id, account=_account(request), utc_ns=clock.utc_ns(), text=given.text
        )
        return answers.entry(entry)


def _account(request: Request) -> str:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller), "the gate stands before every route"
    assert isinstance(caller.who, Identity), "the gate lets no stranger decide"
    return caller.who.account
