"""What people said about contacts: these tracks are one thing, those are not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Word = Literal["together", "apart"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """A person's word on two tracks; a later one on the same pair replaces it."""

    word: Word
    one: str
    two: str
    account: str
    time_ns: int
    reason: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Both, in order of name."""
        return (self.one, self.two) if self.one < self.two else (self.two, self.one)


class Rulings:
    """The words in force. A person's word goes over what the software makes of the looks."""

    def __init__(self, rulings: Iterable[Ruling] = ()) -> None:
        self._word_of: Mapping[tuple[str, str], Word] = {one.pair: one.word for one in rulings}
        self._partners: dict[str, set[str]] = {}
        for (one, two), word in self._word_of.items():
            if word == "together":
                self._partners.setdefault(one, set()).add(two)
                self._partners.setdefault(two, set()).add(one)

    def word_on(self, one: str, two: str) -> Word | None:
        """What was said about two tracks."""
        if not self._word_of:
            return None
        return self._word_of.get((one, two) if one < two else (two, one))

    def together(self) -> list[tuple[str, str]]:
        """Pairs that are one thing, in order."""
        return sorted(pair for pair, word in self._word_of.items() if word == "together")

    def partners(self, track_id: str) -> set[str]:
        """Tracks said to be one with this one."""
        return self._partners.get(track_id, set())

    def tracks(self) -> set[str]:
        """All tracks that a word was said about."""
        return {track_id for pair in self._word_of for track_id in pair}
