"""Which sequence numbers of one outbox are committed, as ranges, and how an acknowledgement says so."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from skywarden.link.protocol import END_OF_SEQ
from skywarden.messages import Ack

_MAX_RANGES = 250


class SequenceSet:
    """A set of positive numbers kept as disjoint inclusive ranges; gap-free streams stay one range."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for number in numbers:
            self.add(number)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def __len__(self) -> int:
        return self._count

    def add(self, number: int) -> bool:
        """Put in one number; False when it was there."""
        if self._lasts and number == self._lasts[-1] + 1:  # nearly always
            self._lasts[-1] = number
            self._count += 1
            return True
        place = bisect_right(self._firsts, number) - 1
        if place >= 0 and number <= self._lasts[place]:
            return False
        self._count += 1
        joins_left = place >= 0 and self._lasts[place] == number - 1
        joins_right = place + 1 < len(self._firsts) and self._firsts[place + 1] == number + 1
        if joins_left and joins_right:
            self._lasts[place] = self._lasts.pop(place + 1)
            del self._firsts[place + 1]
        elif joins_left:
            self._lasts[place] = number
        elif joins_right:
            self._firsts[place + 1] = number
        else:
            self._firsts.insert(place + 1, number)
            self._lasts.insert(place + 1, number)
        return True

    def add_range(self, first: int, last: int) -> None:
        """Put in all of `first` to `last`; raises `ValueError` when that is no range."""
        if not 1 <= first <= last:
            raise ValueError(f"({first}, {last}) is no range of numbers")
        start = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if start < end:
            first, last = min(first, self._firsts[start]), max(last, self._lasts[end - 1])
        known = sum(self._lasts[place] - self._firsts[place] + 1 for place in range(start, end))
        self._count += last - first + 1 - known
        self._firsts[start:end] = [first]
        self._lasts[start:end] = [last]

    def ranges(self) -> list[tuple[int, int]]:
        """Inclusive ranges, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def contiguous(self) -> int:
        """The greatest n such that 1..n are all there; 0 when 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def last(self) -> int:
        """The greatest number; 0 when empty."""
        return self._lasts[-1] if self._lasts else 0

    @property
    def missing_count(self) -> int:
        """How many numbers below the greatest are not there."""
        return self.last - len(self)

    def acknowledgement(self, platform_id: str, boot_id: str, about: Iterable[int]) -> Ack:
        """What to tell the sender: everything while the gaps are few, else at least the numbers in `about`.

        The last missing range is open-ended (to `END_OF_SEQ`), so nothing is claimed that is not here.
        """
        contiguous = self.contiguous
        beyond = [(first, last) for first, last in self.ranges() if first > contiguous]
        if len(beyond) > _MAX_RANGES:
            places = {bisect_right(self._firsts, number) - 1 for number in about if number in self}
            chosen = sorted(place for place in places if self._firsts[place] > contiguous)
            beyond = [(self._firsts[place], self._lasts[place]) for place in chosen[:_MAX_RANGES]]
        missing: list[tuple[int, int]] = []
        start = contiguous + 1
        for first, last in beyond:
            missing.append((start, first - 1))
            start = last + 1
        missing.append((start, END_OF_SEQ))
        return Ack(
            platform_id=platform_id, boot_id=boot_id, contiguous_seq=contiguous, missing=tuple(missing)
        )
