"""Server-sent events: the live picture for browsers, each at its own pace.

A reader holds only the revision it has seen. What it gets is the latest of each thing that changed since, so
nothing piles up for one that is slow or asleep, and one that fell too far behind gets `resync`.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from ground.picture.live import Change, LivePicture, Thing

STATUS_PERIOD_S = 2.0
_MIN_GAP_S = 0.1
_CACHE_ENTRIES = 4_000

Render = Callable[[Thing], str]


class LiveStream:
    """All readers of the picture; lives on the event loop that `attach` names.

    `render` makes the JSON of a thing, `status` the JSON of the station; both are called in worker threads.
    """

    def __init__(self, picture: LivePicture, render: Render, status: Callable[[], str]) -> None:
        self._picture = picture
        self._render = render
        self._status = status
        self._wakes: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._cache: OrderedDict[int, bytes] = OrderedDict()

    @property
    def readers(self) -> int:
        """How many are connected."""
        return len(self._wakes)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen to the picture."""
        self._loop = loop
        self._picture.listen(self._from_thread)

    def close(self) -> None:
        """End all streams; from any thread."""
        self._picture.listen(None)
        self._is_closed = True
        self._from_thread()

    async def events(self, since: int | None) -> AsyncIterator[bytes]:
        """The stream of one reader that has seen revision `since` (`None`: begins now)."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            seen = self._picture.revision if since is None else since
            yield b"retry: 1000\n\n"
            status_due_s = 0.0
            loop = asyncio.get_running_loop()
            while not self._is_closed:
                wake.clear()
                changes = self._picture.changes_since(seen)
                if changes is None:
                    seen = self._picture.revision
                    yield _event(seen, "resync", "{}")
                elif changes:
                    yield b"".join(await asyncio.to_thread(self._rendered, changes))
                    seen = changes[-1].revision
                if loop.time() >= status_due_s:
                    status_due_s = loop.time() + STATUS_PERIOD_S
                    yield _event(seen, "status", await asyncio.to_thread(self._status))
                if not changes:
                    await self._wait(wake, max(0.0, status_due_s - loop.time()))
                await asyncio.sleep(_MIN_GAP_S)
        finally:
            self._wakes.discard(wake)

    async def _wait(self, wake: asyncio.Event, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(wake.wait(), timeout_s)
        except TimeoutError:
            return

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
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._wake_all)
            except RuntimeError:
                return  # the loop ended between the two lines

    def _wake_all(self) -> None:
        for wake in self._wakes:
            wake.set()


def _event(revision: int, kind: str, data: str) -> bytes:
    if "\n" in data:
        data = json.dumps(json.loads(data))
    return f"id: {revision}\nevent: {kind}\ndata: {data}\n\n".encode()
