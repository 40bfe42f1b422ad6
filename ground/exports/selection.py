"""What an export is asked for: place, time, class, state; and the check that it may be asked for at all."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ground.review.entries import State
from ground.store.reading import BBox, Filter
from skywarden.errors import UsageError

LEAVING: tuple[State, ...] = ("confirmed", "more", "unreviewed")
"""States in which something can leave: confirmed, with the word for it also the others; rejected never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is wanted; everything that is given must hold.

    `bbox` is west, south, east, north in degrees (west beyond east crosses 180); times are UTC ns, inclusive.
    `labels` and `states` empty: any. `limit`: at most so many of each layer.
    `is_for_export` is false for a look at the station's own picture.
    Raises `UsageError` for a selection that contradicts itself or asks for what was rejected.
    """

    bbox: BBox | None = None
    labels: tuple[str, ...] = ()
    platform_id: str | None = None
    contact_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    states: tuple[State, ...] = ()
    with_unreviewed: bool = False
    limit: int | None = None
    is_for_export: bool = True
    _labels: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        object.__setattr__(self, "_labels", frozenset(self.labels))
        if self.is_for_export:
            self._check_states()
        if self.since_ns is not None and self.until_ns is not None and self.since_ns > self.until_ns:
            raise UsageError("the selection ends before it begins; exchange since and until")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"a limit of {self.limit} leaves nothing to write")

    def _check_states(self) -> None:
        if "rejected" in self.states:
            raise UsageError("what people have rejected does not leave; look at it with `ground query`")
        if set(self.states) - {"confirmed"} and not self.with_unreviewed:
            raise UsageError(
                f"state {', '.join(sorted(set(self.states) - {'confirmed'}))} has not been confirmed by a "
                "person; say --unreviewed (unreviewed=true), and the file will say it too"
            )

    def filters(self) -> Iterator[Filter]:
        """Questions to the store that together find it, one for each label; their pages are the caller's."""
        for label in dict.fromkeys(self.labels) or (None,):
            yield Filter(
                bbox=self.bbox,
                label=label,
                platform_id=self.platform_id,
                contact_id=self.contact_id,
                since_ns=self.since_ns,
                until_ns=self.until_ns,
            )

    def fits(self, label: str, state: State) -> bool:
        """Whether class and state are among those asked for."""
        if self._labels and label not in self._labels:
            return False
        return not self.states or state in self.states
