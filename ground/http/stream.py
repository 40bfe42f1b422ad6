"""Server-sent events: the live picture for browsers, each at its own pace.

A reader holds only the revision it has seen. What it gets is the latest of each thing that changed since, so
nothing piles up for one that is slow or asleep, and one that fell too far behind gets `resync`.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from itertools import count
from typing import NamedTuple

from ground.picture.live import Change, LivePicture, Thing

STATUS_PERIOD_S = 2.0
_GAP_S = 0.08
_GAP_SPREAD_S = 0.04
_GOLDEN = 0.618_033_988_75
_AT_FULL_PACE = 20
"""Readers; where there are more, each waits longer between two pages: reception must not wait for them."""
_STATUS_AGE_S = 1.0
_CACHE_ENTRIES = 4_000
_PAGES = 16

Render = Callable[[Thing], str]


class _Page(NamedTuple):
    """What changed after some revision, as bytes, and the revision that a reader has seen then. Empty where
    nothing changed."""

    seen: int
    events: bytes


class LiveStream:
    """All readers of the picture; lives on the event loop that `attach` names.

    `render` makes the JSON of a thing, `status` the JSON of the station; both are called in worker threads,
    once for all readers who have seen the same: fifty cost hardly more than one.
    """

    def __init__(self, picture: LivePicture, render: Render, status: Callable[[], str]) -> None:
        self._picture = picture
        self._render = render
        self._status = status
        self._wakes: set[asyncio.Event] = set()
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_waking = False
        self._is_closed = False
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._pages: OrderedDict[int, asyncio.Future[_Page]] = OrderedDict()
        self._last_status: tuple[float, asyncio.Future[str]] | None = None

    @property
    def readers(self) -> int:
        """How many are connected."""
        return len(self._wakes)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen to the picture."""
        self._loop, self._is_waking = loop, False
        self._picture.listen(self._from_thread)

    def close(self) -> None:
        """End all streams; from any thread."""
        self._picture.listen(None)
        self._is_closed = True
        self._from_thread()

    async def events(self, since: int | None) -> AsyncGenerator[bytes, None]:
        """The stream of one reader that has seen revision `since` (`None`: begins now)."""
        wake = asyncio.Event()
        gap_s = _GAP_S + _GAP_SPREAD_S * (next(self._numbers) * _GOLDEN % 1.0)
        self._wakes.add(wake)
        try:
            seen = self._picture.revision if since is None else since
            yield b"retry: 1000\n\n"
            status_due_s = 0.0
            loop = asyncio.get_running_loop()
            while not self._is_closed:
                wake.clear()
                page = await self._page(seen)
                seen = page.seen
                if page.events:
                    yield page.events
                if loop.time() >= status_due_s:
                    status_due_s = loop.time() + STATUS_PERIOD_S
                    yield _event(seen, "status", await self._status_now())
                if not page.events:
                    await self._wait(wake, max(0.0, status_due_s - loop.time()))
                # Its own gap, so that they do not all come at once.
                await asyncio.sleep(gap_s * max(1.0, self.readers / _AT_FULL_PACE))
        finally:
            self._wakes.discard(wake)
            if not self._wakes:
                self._pages.clear()
                self._cache.clear()

    async def _wait(self, wake: asyncio.Event, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await wake.wait()
        except TimeoutError:
            return

    async def _page(self, seen: int) -> _Page:
        """What changed after `seen`: made for the first reader who asks, and kept for the next ones.

        A page leads to the revision where the next one begins, so that readers come together on the same
        pages wherever each began; one that gets a page of a moment ago gets the rest with the next.
        """
        page = self._pages.get(seen)
        if page is None:
            if seen == self._picture.revision:
                return _Page(seen, b"")
            page = self._pages[seen] = asyncio.ensure_future(asyncio.to_thread(self._made, seen))
            while len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        try:
            found = await asyncio.shield(page)
        except BaseException:
            self._forget(seen, page)
            raise
        if not found.events:
            self._forget(seen, page)
        return found

    def _forget(self, seen: int, page: "asyncio.Future[_Page]") -> None:
        if self._pages.get(seen) is page:
            del self._pages[seen]

    def _made(self, seen: int) -> _Page:
        changes = self._picture.changes_since(seen)
        if changes is None:
            now = self._picture.revision
            return _Page(now, _event(now, "resync", "{}"))
        if not changes:
            return _Page(seen, b"")
        return _Page(changes[-1].revision, b"".join(self._rendered(changes)))

    async def _status_now(self) -> str:
        """The JSON of the station, as it is now or was a moment ago."""
        loop = asyncio.get_running_loop()
        if self._last_status is None or loop.time() - self._last_status[0] > _STATUS_AGE_S:
            self._last_status = loop.time(), asyncio.ensure_future(asyncio.to_thread(self._status))
        try:
            return await asyncio.shield(self._last_status[1])
        except BaseException:
            self._last_status = None
            raise

    def _rendered(self, changes: list[Change]) -> list[bytes]:
        return [self._cached(change) for change in changes]

    def _cached(self, change: Change) -> bytes:
        """Rendered once for all readers; revisions are unique, so they are the key."""
        event = self._cache.get(change.revision)
        if event is None:
            event = _event(change.revision, change.kind, self._render(change.value))
            self._cache[change.revision] = event
            while len(self._cache) > _CACHE_ENTRIES:
                self._cache.popitem(last=False)
        return event

    def _from_thread(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self._is_waking:
            self._is_waking = True
            try:
                loop.call_soon_threadsafe(self._wake_all)
            except RuntimeError:
                return  # the loop ended between the two lines

    def _wake_all(self) -> None:
        self._is_waking = False
        for wake in self._wakes:
            wake.set()


def _event(revision: int, kind: str, data: str) -> bytes:
    if "\n" in data:
        data = json.dumps(json.loads(data))
    return f"id: {revision}\nevent: {kind}\ndata: {data}\n\n".encode()
