"""ASGI middleware of an exercise: every answer says so in a header, every page on its face, every file in its
name. It stands outside of everything else, so that a route that is added later is marked too."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ground.exercise.mark import HEADER, HEADER_VALUE, NOTICE, Mark

_NAME = re.compile(rb'filename="([^"]*)"')
_MAX_PAGE_BYTES = 4_000_000
_BANNER = (
    f'<p id="exercise-mark" class="exercise-mark" role="note" data-testid="exercise-mark">{NOTICE}</p>'
).encode()
_STYLE = b'<link rel="stylesheet" href="/exercise.css">'


class ExerciseMarks:
    """Put round the whole application of a station that is an exercise."""

    def __init__(self, app: ASGIApp, mark: Mark) -> None:
        self._app, self._mark = app, mark

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._mark.is_exercise:
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(send, self._mark, is_head=scope["method"] == "HEAD"))


class _Answer:
    """One answer on its way out; a page is held back until all of it is there."""

    def __init__(self, send: Send, mark: Mark, *, is_head: bool) -> None:
        self._send, self._mark, self._is_head = send, mark, is_head
        self._start: Message | None = None
        self._page = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [self._marked(*one) for one in message["headers"]]
            message["headers"] = [*headers, (HEADER.encode(), HEADER_VALUE.encode())]
            if not self._is_head and _is_page(message):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if message.get("more_body", False) and len(self._page) < _MAX_PAGE_BYTES:
                return
            start, self._start = self._start, None
            page = mark_page(bytes(self._page))
            kept = [one for one in start["headers"] if one[0].lower() not in (b"content-length", b"etag")]
            if not message.get("more_body", False):
                kept.append((b"content-length", str(len(page)).encode()))
            await self._send({**start, "headers": kept})
            message = {**message, "body": page}
        await self._send(message)

    def _marked(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """File names begin with the word."""
        if name.lower() != b"content-disposition":
            return name, value
        return name, _NAME.sub(self._renamed, value)

    def _renamed(self, found: re.Match[bytes]) -> bytes:
        name = self._mark.file_name(found[1].decode("latin-1"))
        return f'filename="{name}"'.encode("latin-1")


def mark_page(page: bytes) -> bytes:
    """An HTML page with the word in its title, its icon and its first line, and on its root element."""
    page = page.replace(b"<html", b"<html data-exercise", 1)
    page = page.replace(b"<title>", b"<title>EXERCISE \xc2\xb7 ", 1)
    page = page.replace(b"favicon.svg", b"favicon-exercise.svg", 1)
    head, body, rest = page.partition(b"</head>")
    if body:
        page = head + _STYLE + body + rest
    return re.sub(rb"(<body[^>]*>)", lambda found: found[1] + _BANNER, page, count=1)


def _is_page(start: Message) -> bool:
    """Whether an answer is a page that a browser shows; a file to be kept has its mark already."""
    headers = {name.lower(): value for name, value in start["headers"]}
    return (
        start["status"] == 200
        and headers.get(b"content-type", b"").startswith(b"text/html")
        and b"content-disposition" not in headers
    )
