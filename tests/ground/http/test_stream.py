"""The live stream with many readers at once: what one reader costs, fifty cost together."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

import pytest

from ground.http.stream import LiveStream
from ground.picture.live import LivePicture, PlatformState, Thing

_READERS = 50


class _Scene:
    """A picture, and its stream on the running loop; counts what was rendered."""

    def __init__(self) -> None:
        self.picture = LivePicture(1_000)
        self.rendered: Counter[str] = Counter()
        self.statuses = 0
        self.stream = LiveStream(self.picture, self._render, self._status)
        self.stream.attach(asyncio.get_running_loop())

    def change(self, platform_id: str) -> int:
        """Hear of a platform; the revision of that."""
        self.picture.note_records(platform_id, records=1, duplicates=0, refused=0, missing=0, last_seq=1)
        self.picture.publish()
        return self.picture.revision

    def _render(self, value: Thing) -> str:
        assert isinstance(value, PlatformState)
        self.rendered[value.platform_id] += 1
        if value.platform_id == "broken":
            raise ValueError("cannot be shown")
        return f'{{"name": "{value.platform_id}"}}'

    def _status(self) -> str:
        self.statuses += 1
        return "{}"


async def _until(events: AsyncGenerator[bytes, None], revision: int) -> list[tuple[int, str]]:
    """What a reader gets up to and with `revision`: numbers and kinds, without the status."""
    found: list[tuple[int, str]] = []
    async for page in events:
        for event in page.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.splitlines())
            if fields.get("event") not in (None, "status"):
                found.append((int(fields["id"]), fields["data"]))
        if found and found[-1][0] >= revision:
            return found
    return found


def test_many_readers_cost_one() -> None:
    async def _go() -> None:
        scene = _Scene()
        readers = [scene.stream.events(None) for _ in range(_READERS)]
        first = [await anext(one) for one in readers]
        assert first == [b"retry: 1000\n\n"] * _READERS
        waiting = [asyncio.ensure_future(_until(one, 1_020)) for one in readers]
        for number in range(20):
            scene.change(f"uav{number:02}")
            await asyncio.sleep(0.01)
        found = await asyncio.wait_for(asyncio.gather(*waiting), 20.0)
        expected = [(1_001 + number, f'{{"name": "uav{number:02}"}}') for number in range(20)]
        assert all(one == expected for one in found)
        assert set(scene.rendered.values()) == {1}
        assert scene.statuses <= 3
        assert scene.stream.readers == _READERS
        await _closed(readers)
        assert scene.stream.readers == 0

    asyncio.run(_go())


def test_readers_who_saw_different_things_each_get_what_they_missed() -> None:
    async def _go() -> None:
        scene = _Scene()
        for number in range(30):
            scene.change(f"uav{number:02}")
        readers = [scene.stream.events(1_000 + number) for number in range(30)]
        found = await asyncio.wait_for(asyncio.gather(*(_until(one, 1_030) for one in readers)), 20.0)
        for number, events in enumerate(found):
            assert [revision for revision, _ in events] == list(range(1_001 + number, 1_031))
        await _closed(readers)

    asyncio.run(_go())


def test_one_who_leaves_takes_nobody_along() -> None:
    async def _go() -> None:
        scene = _Scene()
        readers = [scene.stream.events(None) for _ in range(4)]
        for one in readers:
            await anext(one)
        waiting = [asyncio.ensure_future(_until(one, 1_003)) for one in readers]
        scene.change("one")
        waiting[0].cancel()
        scene.change("two")
        waiting[1].cancel()
        scene.change("three")
        found = await asyncio.wait_for(asyncio.gather(*waiting[2:]), 20.0)
        assert [[data for _, data in one] for one in found] == [
            ['{"name": "one"}', '{"name": "two"}', '{"name": "three"}']
        ] * 2
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        await _closed(readers)

    asyncio.run(_go())


def test_what_cannot_be_shown_is_tried_again_for_the_next_reader() -> None:
    async def _go() -> None:
        scene = _Scene()
        scene.change("broken")
        for _ in range(2):
            with pytest.raises(ValueError, match="cannot be shown"):
                await _until(scene.stream.events(1_000), 1_001)
        assert scene.rendered["broken"] == 2

    asyncio.run(_go())


def test_a_revision_of_another_run_is_told_to_start_anew() -> None:
    async def _go() -> None:
        scene = _Scene()
        scene.change("one")
        for since in (5, 99_999):
            events = scene.stream.events(since)
            assert await _until(events, 1_001) == [(1_001, "{}")]
            await _closed([events])

    asyncio.run(_go())


async def _closed(readers: list[AsyncGenerator[bytes, None]]) -> None:
    for one in readers:
        await one.aclose()
