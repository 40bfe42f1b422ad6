"""Faults of pictures: dropped, frozen, black, corrupt, late, of another size, or skipped by heat."""

import heapq
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from sim.range.faults.spell import Frames, Spell
from sim.scenario.flown.items import FrameItem, Item, Pixels
from skywarden.clock import NS_PER_S

_JPEG_QUALITY = 85


def dropped(spell: Spell) -> Frames:
    """Frames get lost, each with the same chance."""
    rng, share = spell.chance(), spell.numbers["share"]
    return Frames(spell, lambda item: None if rng.random() < share else item)


def skipped(spell: Spell) -> Frames:
    """A computer that is too hot gets to one frame in so many."""
    every = round(spell.numbers["one_in"])
    return Frames(spell, lambda item: item if item.frame_number % every == 0 else None)


def black(spell: Spell) -> Frames:
    """The picture is black and without noise."""

    def dark(item: FrameItem) -> FrameItem:
        return replace(item, pixels=lambda: np.zeros_like(item.pixels()), spoilt="black")

    return Frames(spell, dark)


def frozen(spell: Spell) -> Frames:
    """Every picture is the first one of the fault again; time goes on."""
    first: list[FrameItem] = []

    def again(item: FrameItem) -> FrameItem:
        if not first:
            first.append(item)
        shows = first[0].frame_number if first[0].shows is None else first[0].shows
        return replace(item, pixels=first[0].pixels, shows=shows)

    return Frames(spell, again)


def corrupt(spell: Spell) -> Frames:
    """The file is cut off, or some of its bytes are others: no decoder may take it for a picture."""
    rng, share = spell.chance(), spell.numbers["share"]

    def cut(item: FrameItem) -> FrameItem:
        if rng.random() >= share:
            return item
        # Whole random bytes: a file that is merely cut may still decode to half a picture.
        noise = rng.integers(0, 256, 2_000, dtype=np.uint8).tobytes()
        return replace(item, data=b"\xff\xd8\xff\xe0" + noise, spoilt="corrupt")

    return Frames(spell, cut)


def resized(spell: Spell) -> Frames:
    """The camera goes over to another resolution, as a link that adapts does."""
    share = spell.numbers["share"]

    def smaller(item: FrameItem) -> FrameItem:
        def pixels() -> Pixels:
            image = item.pixels()
            size = (max(round(image.shape[1] * share), 16), max(round(image.shape[0] * share), 16))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            return small.astype(np.uint16) if image.dtype == np.uint16 else small.astype(np.uint8)

        return replace(item, pixels=pixels, shrunk=share)

    return Frames(spell, smaller)


class Late:
    """Frames arrive, and are stamped, so much later than they should, in order with all the rest."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._delay_ns = round(spell.numbers["delay_s"] * NS_PER_S)

    def apply(self, items: Iterator[Item]) -> Iterator[Item]:
        """See `Injector`."""
        held: list[tuple[int, int, FrameItem]] = []
        newest_ns = 0
        for item in items:
            while held and held[0][0] <= item.time_ns:
                yield heapq.heappop(held)[2]
            if not isinstance(item, FrameItem):
                yield item
                continue
            time_ns = item.time_ns
            if self._spell.span.holds(time_ns):
                time_ns += self._delay_ns
            if time_ns == item.time_ns and not held:
                newest_ns = time_ns
                yield item
                continue
            newest_ns = max(newest_ns + 1, time_ns)  # a camera never delivers out of order
            heapq.heappush(held, (newest_ns, item.frame_number, replace(item, time_ns=newest_ns)))
        while held:
            yield heapq.heappop(held)[2]
