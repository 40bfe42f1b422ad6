"""Before every request: whose it is, and whether its route's permission is granted. Deny by default.

Every route names its permission with `needs`; `require_permissions` refuses an application in which one does
not. The gate stands before routing and validation, so that a stranger learns nothing from error messages.
"""

import asyncio
import base64
import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ground.accounts.access_log import AccessEvent
from ground.accounts.doorkeeper import Doorkeeper
from ground.accounts.roles import LOGGED, Permission
from ground.accounts.sessions import Identity, Stranger
from ground.accounts.throttle import network_of
from skywarden.errors import ConfigError, StoreError

TOKEN_HEADER = "x-skywarden-token"
MAX_BODY_BYTES = 16_384
_BODY_S = 10.0
_SAFE = frozenset({"GET", "HEAD"})
_ATTRIBUTE = "__skywarden_permission__"
_TAKES = "__skywarden_takes__"
_SEEN_AGAIN_S = 600.0
_MAX_SEEN = 50_000
_LIVE = "/api/v1/live"

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


def needs(permission: Permission) -> Callable[[EndpointT], EndpointT]:
    """Names what an endpoint asks for; stands between `@app.get(...)` and the function."""

    def mark(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _ATTRIBUTE, permission)
        return endpoint

    return mark


def takes(most_bytes: int) -> Callable[[EndpointT], EndpointT]:
    """Names how long a body an endpoint takes, where it is more than `MAX_BODY_BYTES`."""

    def mark(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _TAKES, most_bytes)
        return endpoint

    return mark


def permission_of(route: BaseRoute) -> Permission | None:
    """What a route asks for; `None` when it does not say."""
    found = getattr(getattr(route, "endpoint", None), _ATTRIBUTE, None) or getattr(route, _ATTRIBUTE, None)
    return found if isinstance(found, Permission) else None


def open_to_all(mount: BaseRoute) -> None:
    """Mark the folder of the console's own files: they hold no data, and the login page is among them."""
    setattr(mount, _ATTRIBUTE, Permission.PUBLIC)


def require_permissions(app: FastAPI) -> None:
    """Raise `ConfigError` that names every route without a permission."""
    silent = [getattr(route, "path", repr(route)) for route in app.routes if permission_of(route) is None]
    if silent:
        raise ConfigError(f"these routes name no permission, so the station does not start: {silent}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A route with what it asks for."""

    path: str
    methods: tuple[str, ...]
    permission: Permission


def rules_of(app: FastAPI) -> list[Rule]:
    """Every route of the application, for those who prove the table; raises `ConfigError` as above."""
    require_permissions(app)
    return [
        Rule(
            getattr(route, "path", ""),
            tuple(sorted(getattr(route, "methods", None) or {"GET"})),
            permission_of(route) or Permission.PUBLIC,
        )
        for route in app.routes
    ]


@dataclass(frozen=True, slots=True)
class Caller:
    """What the gate hands on in `scope["state"]["caller"]`: who asks, from where, with what."""

    who: Identity | Stranger
    address: str
    cookie: str | None
    bearer: str | None


@dataclass
class _RefusalError(Exception):
    status: int
    error: str
    why: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    is_quiet: bool = False


class Gate:
    """ASGI middleware that asks the doorkeeper. `routes` is asked for at each request, as routing does."""

    def __init__(self, app: ASGIApp, *, web: FastAPI, doorkeeper: Doorkeeper, cookie_name: str) -> None:
        self._app = app
        self._web = web
        self._keeper = doorkeeper
        self._cookie_name = cookie_name
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no route speaks websocket
        try:
            caller = self._caller(scope)
        except StoreError:
            await _refuse(_RefusalError(503, "the station cannot read its accounts", "accounts"), send)
            return
        permission = self._permission(scope)
        try:
            self._judge(scope, caller, permission)
            await self._write_down(scope, caller, permission)
            receive = await _bounded(scope, receive, self._most_bytes(scope))
        except _RefusalError as refusal:
            if not refusal.is_quiet:
                self._log(scope, caller, "denied", f"{refusal.status} {refusal.why}")
            await _refuse(refusal, send)
            return
        if isinstance(caller.who, Identity) and caller.bearer is None and scope["path"] != _LIVE:
            await self._touch(caller.who)
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _permission(self, scope: Scope) -> Permission | None:
        partial: BaseRoute | None = None
        for route in self._web.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                is_folder = isinstance(route, Mount) and scope["path"].startswith("/api/")
                return None if is_folder else permission_of(route)
            if match is Match.PARTIAL and partial is None:
                partial = route
        return permission_of(partial) if partial is not None else None

    def _most_bytes(self, scope: Scope) -> int:
        """How long a body the route that this request goes to takes."""
        if scope["method"] in _SAFE:
            return 0
        for route in self._web.routes:
            if route.matches(scope)[0] is Match.FULL:
                return int(getattr(getattr(route, "endpoint", None), _TAKES, MAX_BODY_BYTES))
        return MAX_BODY_BYTES

    def _judge(self, scope: Scope, caller: Caller, permission: Permission | None) -> None:
        """Raise `_RefusalError` unless this request may go on."""
        who, method = caller.who, scope["method"]
        headers = _single(scope)
        if permission is not Permission.PUBLIC or scope["path"].startswith("/api/"):
            self._check_rate(caller)
        if _is_of_another_site(scope, headers):
            raise _RefusalError(403, "a page of another site may not ask this station", "another site")
        if permission is Permission.PUBLIC:
            return
        if isinstance(who, Stranger):
            words = {
                "none": "sign in first",
                "expired": "the session has expired; sign in again",
                "ended": "this session or key was ended; sign in again",
            }
            error = words.get(who.why, "this session or key is not known; sign in")
            raise _RefusalError(401, error, who.why, ((b"www-authenticate", b"Bearer"),))
        if permission is None:
            return  # there is no such route: the application says so
        if not who.may(permission):
            raise _RefusalError(403, f"a {who.role.value} may not do this", f"lacks {permission.value}")
        if method not in _SAFE and caller.bearer is None and headers.get(TOKEN_HEADER) != who.token:
            raise _RefusalError(
                403, f"the header {TOKEN_HEADER} is missing or not this session's", "no token"
            )

    def _check_rate(self, caller: Caller) -> None:
        now_s = self._keeper.moments.now().mono_s
        if isinstance(caller.who, Identity):
            wait_s = self._keeper.known_rate.wait_s(caller.who.session_id, now_s)
        else:
            wait_s = self._keeper.strange_rate.wait_s(network_of(caller.address), now_s)
        if wait_s > 0.0:
            retry = str(max(1, round(wait_s))).encode()
            is_quiet = not self._keeper.is_news(f"rate {network_of(caller.address)}")
            raise _RefusalError(
                429, "too many requests; slow down", "too many requests", ((b"retry-after", retry),), is_quiet
            )

    async def _write_down(self, scope: Scope, caller: Caller, permission: Permission | None) -> None:
        """What may be looked at only when it is written down who looked."""
        if permission not in LOGGED or not isinstance(caller.who, Identity):
            return
        if permission is Permission.SEE_DETAILS and self._was_seen(caller.who.session_id, scope["path"]):
            return
        try:
            await asyncio.wrap_future(self._log(scope, caller, permission.value, "ok"))
        except StoreError as error:
            self._seen.pop((caller.who.session_id, scope["path"]), None)
            raise _RefusalError(
                503, f"this cannot be shown, because it cannot be logged: {error}", "log"
            ) from error

    def _was_seen(self, session_id: str, path: str) -> bool:
        """Whether this session has looked at this within ten minutes; one entry tells of both looks."""
        now_s = self._keeper.moments.now().mono_s
        last_s = self._seen.pop((session_id, path), None)
        is_known = last_s is not None and now_s - last_s < _SEEN_AGAIN_S
        self._seen[session_id, path] = last_s if is_known and last_s is not None else now_s
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return is_known

    def _log(self, scope: Scope, caller: Caller, action: str, outcome: str) -> "asyncio.Future[None] | Any":
        who = caller.who
        query = scope["query_string"].decode("latin-1")
        return self._keeper.log.write(
            AccessEvent(
                action=action,
                account=who.account if isinstance(who, Identity) else None,
                role=who.role.value if isinstance(who, Identity) else None,
                session=who.session_id if isinstance(who, Identity) else None,
                address=caller.address,
                what=f"{scope['method']} {scope['path']}{'?' if query else ''}{query}",
                outcome=outcome,
            )
        )

    async def _touch(self, who: Identity) -> None:
        if self._keeper.sessions.is_due(who.session_id):
            # A disk that is full must not hide the picture; the session falls idle then.
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(self._keeper.sessions.touch, who.session_id)

    def _caller(self, scope: Scope) -> Caller:
        headers = _single(scope)
        address = scope["client"][0] if scope.get("client") else "unknown"
        bearer = None
        if (authorization := headers.get("authorization")) is not None:
            bearer = _key_in(authorization, is_read=scope["method"] in _SAFE)
        cookie = _cookie(headers.get("cookie"), self._cookie_name)
        who = self._keeper.identify(cookie=cookie, bearer=bearer)
        return Caller(who, address, cookie, bearer)


def _key_in(authorization: str, *, is_read: bool) -> str:
    """The key of a bearer token; for reading also the password of HTTP Basic: more a GIS may not know.

    A browser that keeps Basic's password sends it for pages of others too, so nothing can be changed by it.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()[:200]
    if scheme.lower() != "basic" or not is_read or len(value) > 1_000:
        return ""
    try:
        _, _, password = base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")
    except (ValueError, UnicodeDecodeError):
        return ""
    return password[:200]


def _single(scope: Scope) -> Mapping[str, str]:
    """Headers by name; one that comes twice counts as something that fits nothing."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        if key == "cookie" and key in found:
            text = f"{found[key]}; {text}"
        elif key in found and key in ("authorization", "origin", "host", TOKEN_HEADER):
            text = "\0"
        found[key] = text
    return found


def _cookie(text: str | None, name: str) -> str | None:
    if text is None or len(text) > 8_192:
        return None
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


def _is_of_another_site(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page that is not ours made this request.

    A page on another port of this machine is another one too, though browsers call it the same site.
    """
    method, path = scope["method"], scope["path"]
    is_page = method in _SAFE and not path.startswith("/api/")
    site = headers.get("sec-fetch-site")
    if is_page and headers.get("sec-fetch-mode") == "navigate":
        return False  # a link that leads to the console
    if site is not None and site != "same-origin" and not (site == "none" and method in _SAFE):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        place = urlsplit(origin)
    except ValueError:
        return True
    return not place.netloc or _plain(place.netloc) != _plain(headers.get("host", ""))


def _plain(netloc: str) -> str:
    return netloc.lower().removesuffix(":80").removesuffix(":443")


async def _bounded(scope: Scope, receive: Receive, most_bytes: int) -> Receive:
    """The body read whole, and no longer than its route needs; raises `_RefusalError`."""
    if scope["method"] in _SAFE:
        return receive
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more:
        try:
            message = await asyncio.wait_for(receive(), _BODY_S)
        except TimeoutError as error:
            raise _RefusalError(408, f"the body did not come within {_BODY_S:.0f} s", "too slow") from error
        if message["type"] == "http.disconnect":
            raise _RefusalError(400, "the request broke off", "broke off", is_quiet=True)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most_bytes:
            raise _RefusalError(413, f"a request may have {most_bytes} bytes", "too large")
        is_more = message.get("more_body", False)
    whole: Message = {"type": "http.request", "body": b"".join(parts), "more_body": False}
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return whole

    return again


async def _refuse(refusal: _RefusalError, send: Send) -> None:
    body = json.dumps({"error": refusal.error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
