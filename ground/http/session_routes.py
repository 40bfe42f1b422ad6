"""Signing in and out: by password, by one-time code; who am I; another password; the access log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from ground.accounts.access_log import AccessEvent, read_events
from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import Permission
from ground.accounts.sessions import Identity, page_token
from ground.http.gate import Caller, needs
from ground.http.views import ErrorView
from skywarden.errors import AccessError
from skywarden.times import rfc3339

_REFUSED: Mapping[int | str, dict[str, Any]] = {
    401: {"model": ErrorView, "description": "Wrong, used or expired."},
    403: {"model": ErrorView, "description": "Not from a page of this station."},
    413: {"model": ErrorView, "description": "The request is too large."},
    429: {"model": ErrorView, "description": "Too many tries; Retry-After says how long to wait."},
}


class SignIn(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=40)]
    password: Annotated[str, Field(min_length=1, max_length=1_024)]


class OneTimeCode(BaseModel):
    """A one-time code, with the password that it is to set."""

    model_config = ConfigDict(extra="forbid")
    code: Annotated[str, Field(min_length=1, max_length=40)]
    password: Annotated[str | None, Field(max_length=1_024)] = None


class NewPassword(BaseModel):
    """The old password and the new one."""

    model_config = ConfigDict(extra="forbid")
    old: Annotated[str, Field(min_length=1, max_length=1_024)]
    new: Annotated[str, Field(min_length=1, max_length=1_024)]


class SessionView(BaseModel):
    """Who is signed in; `token` goes into the header X-Skywarden-Token of all that changes something."""

    account: str | None
    role: str | None
    permissions: list[str]
    token: str | None
    expires: str | None
    is_new: bool


class CodeView(BaseModel):
    """What a one-time code is good for."""

    account: str
    sets_password: bool


class AccessEntryView(BaseModel):
    """One entry of the access log."""

    number: int
    time: str
    action: str
    account: str | None
    role: str | None
    session: str | None
    address: str
    what: str
    outcome: str


class AccessLogView(BaseModel):
    """Entries, oldest first."""

    items: list[AccessEntryView]


@dataclass(frozen=True, slots=True)
class Cookie:
    """The session's cookie: its name, and whether it goes over TLS only."""

    name: str
    is_secure: bool
    longest_s: float

    def put(self, answer: Response, token: str) -> None:
        """Give it to the browser."""
        answer.set_cookie(
            self.name,
            token,
            max_age=round(self.longest_s),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="strict",
        )

    def take(self, answer: Response) -> None:
        """Take it back, and what the browser has kept of the picture."""
        answer.delete_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache"'


def add_session_routes(app: FastAPI, keeper: Doorkeeper, cookie: Cookie) -> None:
    """The routes below /api/v1/session."""

    @app.exception_handler(AccessError)
    def refused(_: Request, error: AccessError) -> Response:
        if error.wait_s > 0.0:
            headers = {"Retry-After": str(max(1, round(error.wait_s)))}
            return JSONResponse({"error": str(error)}, 429, headers=headers)
        return JSONResponse({"error": str(error)}, 401)

    @app.get("/api/v1/session", response_model=SessionView, tags=["session"])
    @needs(Permission.PUBLIC)
    def session(request: Request) -> Response:
        """Who am I; also for those who are not signed in."""
        who = _caller(request).who
        if isinstance(who, Identity):
            return JSONResponse(_view(who).model_dump())
        nobody = SessionView(
            account=None,
            role=None,
            permissions=[],
            token=None,
            expires=None,
            is_new=keeper.book.needs_first_sign_in(),
        )
        answer = JSONResponse(nobody.model_dump())
        if _caller(request).cookie is not None:
            cookie.take(answer)
        return answer

    @app.post("/api/v1/session", response_model=SessionView, responses={**_REFUSED}, tags=["session"])
    @needs(Permission.PUBLIC)
    def sign_in(request: Request, given: SignIn) -> Response:
        """Sign in with name and password."""
        caller = _caller(request)
        token = keeper.sign_in(given.name, given.password, caller.address)
        return _opened(keeper, cookie, caller, token)

    @app.post("/api/v1/session/code", response_model=SessionView, responses={**_REFUSED}, tags=["session"])
    @needs(Permission.PUBLIC)
    def redeem(request: Request, given: OneTimeCode) -> Response:
        """Sign in with a one-time code."""
        caller = _caller(request)
        token = keeper.use_code(given.code, given.password, caller.address)
        return _opened(keeper, cookie, caller, token)

    @app.post("/api/v1/session/code/look", response_model=CodeView, responses={**_REFUSED}, tags=["session"])
    @needs(Permission.PUBLIC)
    def look(request: Request, given: OneTimeCode) -> CodeView:
        """What a one-time code is good for; it stays good."""
        found = keeper.find_code(given.code, _caller(request).address)
        return CodeView(account=found.account.name, sets_password=found.purpose == "password")

    @app.delete("/api/v1/session", response_model=SessionView, responses={**_REFUSED}, tags=["session"])
    @needs(Permission.OWN_SESSION)
    def sign_out(request: Request) -> Response:
        """End this session."""
        caller = _caller(request)
        who = _signed_in(caller)
        keeper.sessions.end(who.session_id, "signed out")
        keeper.log.write(
            AccessEvent(
                action="sign_out",
                account=who.account,
                role=who.role.value,
                session=who.session_id,
                address=caller.address,
            )
        )
        nobody = SessionView(account=None, role=None, permissions=[], token=None, expires=None, is_new=False)
        answer = JSONResponse(nobody.model_dump())
        cookie.take(answer)
        return answer

    @app.post(
        "/api/v1/session/password", response_model=SessionView, responses={**_REFUSED}, tags=["session"]
    )
    @needs(Permission.OWN_SESSION)
    def change_password(request: Request, given: NewPassword) -> SessionView:
        """Change one's own password; all other sessions of the account end."""
        caller = _caller(request)
        who = _signed_in(caller)
        keeper.change_password(who, given.old, given.new, caller.address)
        return _view(who)

    @app.get("/api/v1/access-log", response_model=AccessLogView, responses={**_REFUSED}, tags=["session"])
    @needs(Permission.READ_ACCESS_LOG)
    def access_log(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        before: Annotated[int | None, Query(ge=1, le=2**53, description="entries below this number")] = None,
    ) -> AccessLogView:
        """Who saw and who handed on what, and who was refused."""
        found = read_events(keeper.database, newest=limit, before=before)
        return AccessLogView(
            items=[
                AccessEntryView(
                    number=one.number,
                    time=rfc3339(one.time_ns),
                    action=one.event.action,
                    account=one.event.account,
                    role=one.event.role,
                    session=one.event.session,
                    address=one.event.address,
                    what=one.event.what,
                    outcome=one.event.outcome,
                )
                for one in found
            ]
        )


def _caller(request: Request) -> Caller:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller), "the gate stands before every route"
    return caller


def _signed_in(caller: Caller) -> Identity:
    if not isinstance(caller.who, Identity):
        raise AccessError("sign in first")
    return caller.who


def _opened(keeper: Doorkeeper, cookie: Cookie, caller: Caller, token: str) -> Response:
    """The answer to a right proof. A session that the browser had before ends: its token is never kept on."""
    if isinstance(caller.who, Identity) and caller.bearer is None:
        keeper.sessions.end(caller.who.session_id, "signed in anew")
    who = keeper.sessions.identify(token)
    if not isinstance(who, Identity):
        raise AccessError("the account was disabled at this moment")
    assert who.token == page_token(token)
    answer = JSONResponse(_view(who).model_dump())
    cookie.put(answer, token)
    return answer


def _view(who: Identity) -> SessionView:
    return SessionView(
        account=who.account,
        role=who.role.value,
        permissions=sorted(who.permissions),
        token=who.token or None,
        expires=rfc3339(who.expires_ns),
        is_new=False,
    )
