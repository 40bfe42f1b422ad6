"""The desk at which people review: who decides is checked against what others did meanwhile, then kept.

Every change names the version that the person saw. When somebody else was first, nothing is overwritten:
`ReviewConflictError` carries what is true now. Entries are durable before anybody is told of them.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ground.review.book import ContactReview, ReviewBook
from ground.review.entries import MAX_BULK, MAX_TEXT, Decision, Entry, Pattern, State
from ground.review.log import ReviewLog
from ground.store.reading import Filter, StoredContact, StoreReader
from skywarden.errors import ConflictError, InputError, StoreError

_PAGE = 1_000
_MAX_PREVIEWS = 32
_PREVIEW_NS = 600_000_000_000
_MAX_ACCOUNT = 64


class ReviewConflictError(ConflictError):
    """Somebody decided first; `current` is what holds now (None: not about a contact)."""

    def __init__(self, text: str, current: ContactReview | None = None) -> None:
        super().__init__(text)
        self.current = current


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a pattern would reject: contacts with their tracks as they are now. Good for ten minutes."""

    preview_id: str
    pattern: Pattern
    made_ns: int
    tracks_of: dict[str, tuple[str, ...]]
    sighting_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LonePlot:
    """A plot that is part of no contact: it is decided about by its own name."""

    plot_id: str


Subject = StoredContact | LonePlot
"""What people decide about."""


def tracks_of(subject: Subject) -> tuple[str, ...]:
    """The tracks by which decisions about it are kept; a plot's name is that of its track."""
    return (subject.plot_id,) if isinstance(subject, LonePlot) else subject.contact.track_ids


def _contact_id_of(subject: Subject) -> str | None:
    return None if isinstance(subject, LonePlot) else subject.contact.contact_id


class ReviewDesk:
    """Review of one station; safe from any thread.

    `on_change` is told the ids of contacts whose review changed, after the entry is durable.
    Raises `StoreError` when the log cannot be read or written.
    """

    def __init__(
        self, log: ReviewLog, store: StoreReader, on_change: Callable[[Sequence[str]], None] | None = None
    ) -> None:
        self._log = log
        self._store = store
        self._on_change = on_change
        self._lock = threading.RLock()
        self._previews: OrderedDict[str, Preview] = OrderedDict()
        self._book = ReviewBook(log.entries())

    def of_contact(self, track_ids: Collection[str]) -> ContactReview:
        """Where the review of the contact of these tracks stands."""
        with self._lock:
            return self._book.of_contact(track_ids)

    def of_sighting(self, sighting_id: str, track_id: str) -> State:
        """What was decided about a sighting, or about its track."""
        with self._lock:
            return self._book.of_sighting(sighting_id, track_id)

    def of_track(self, track_id: str) -> State:
        """What was decided about a track."""
        with self._lock:
            return self._book.of_contact((track_id,)).state

    def steps_of(self, track_id: str) -> list[tuple[int, State]]:
        """When what is said of a track changed, and to what: (UTC ns, state), oldest first."""
        with self._lock:
            return self._book.steps_of(track_id)

    def history(self, track_ids: Sequence[str], sighting_ids: Sequence[str] = ()) -> list[Entry]:
        """All that was done about these, newest first."""
        with self._lock:
            return self._book.history((*track_ids, *sighting_ids))

    def newest(self, limit: int, before: int | None = None) -> list[Entry]:
        """Entries of the log below `before`, newest first."""
        with self._lock:
            return self._book.newest(limit, before)

    def undone_by(self, number: int) -> Entry | None:
        """Who took a decision back."""
        with self._lock:
            return self._book.undone_by(number)

    def book(self) -> ReviewBook:
        """A copy of what is decided by now, for exports that take their time."""
        with self._lock:
            return ReviewBook(reversed(self._book.newest(self._book.last_number)))

    def decide(
        self,
        subject: Subject,
        decision: Decision,
        *,
        account: str,
        version: int,
        utc_ns: int,
        text: str = "",
        seen_tracks: Collection[str] | None = None,
    ) -> Entry:
        """Decide about a contact or plot as `account` saw it: `version`, and the tracks that were shown.

        Raises `ReviewConflictError` when somebody changed its review since, `InputError` when none of the
        tracks belongs to it.
        """
        tracks = tracks_of(subject)
        if seen_tracks is not None:
            tracks = tuple(name for name in tracks if name in set(seen_tracks))
        if not tracks:
            raise InputError("none of these tracks belongs to the contact any more; look at it again")
        with self._lock:
            self._check(tracks_of(subject), version)
            return self._write_about(
                subject,
                account=account,
                time_ns=utc_ns,
                kind="decision",
                decision=decision,
                track_ids=tracks,
                text=_text(text),
            )

    def decide_sighting(
        self,
        sighting_id: str,
        contact_id: str | None,
        decision: Decision,
        *,
        account: str,
        version: int,
        utc_ns: int,
        text: str = "",
    ) -> Entry:
        """Decide about one sighting alone; raises `ReviewConflictError` as `decide` does."""
        with self._lock:
            if self._book.sighting_version(sighting_id) > version:
                (newest,) = self._book.history((sighting_id,), 1)
                raise ReviewConflictError(f"{newest.account} changed this sighting first; look again")
            return self._write(
                [contact_id] if contact_id is not None else [],
                account=account,
                time_ns=utc_ns,
                kind="decision",
                contact_id=contact_id,
                decision=decision,
                sighting_ids=(sighting_id,),
                text=_text(text),
            )

    def sighting_version(self, sighting_id: str) -> int:
        """What `decide_sighting` wants to hear."""
        with self._lock:
            return self._book.sighting_version(sighting_id)

    def comment(self, subject: Subject, text: str, *, account: str, utc_ns: int) -> Entry:
        """Say something about it; that changes nothing. Raises `InputError` when nothing is said."""
        if not _text(text):
            raise InputError("a comment has no words")
        with self._lock:
            return self._write_about(
                subject,
                account=account,
                time_ns=utc_ns,
                kind="comment",
                track_ids=tracks_of(subject),
                text=_text(text),
            )

    def assign(
        self, subject: Subject, assignee: str | None, *, account: str, version: int, utc_ns: int
    ) -> Entry:
        """Say who is to look at it (`None`: nobody in particular); raises `ReviewConflictError`."""
        with self._lock:
            self._check(tracks_of(subject), version)
            return self._write_about(
                subject,
                account=account,
                time_ns=utc_ns,
                kind="assignment",
                track_ids=tracks_of(subject),
                assignee=assignee,
            )

    def undo(self, number: int, *, account: str, utc_ns: int) -> Entry:
        """Take a decision back, a bulk one as a whole; what was decided before it holds again.

        Raises `InputError` when there is no such decision, `ReviewConflictError` when it was taken back
        already or others have decided about all of it since.
        """
        with self._lock:
            entry = self._book.entry(number)
            if entry is None or entry.kind != "decision":
                raise InputError(f"entry {number} is no decision; nothing to take back")
            by = self._book.undone_by(number)
            if by is not None:
                raise ReviewConflictError(f"{by.account} took this decision back already")
            if not self._book.holding_on(entry):
                raise ReviewConflictError("it was decided anew since; undo the newer decision first")
            found = [self._store.contact_of_track(name) for name in entry.track_ids]
            touched = {entry.contact_id, *entry.contact_ids, *found}
            return self._write(
                sorted(name for name in touched if name is not None),
                account=account,
                time_ns=utc_ns,
                kind="undo",
                contact_id=entry.contact_id,
                undoes=number,
            )

    def preview(self, pattern: Pattern, utc_ns: int) -> Preview:
        """Which undecided contacts a pattern of false alarms holds for.

        Raises `InputError` for a pattern that says nothing, or holds for more than 5,000 contacts.
        """
        if not pattern.is_narrow:
            raise InputError("a pattern needs a place, a label, a model or a platform")
        if pattern.score_min > pattern.score_max:
            raise InputError(f"no score lies within {pattern.score_min:g} to {pattern.score_max:g}")
        tracks_of: dict[str, tuple[str, ...]] = {}
        sighting_count = 0
        for stored in matching_contacts(self._store, pattern):
            contact = stored.contact
            if self.of_contact(contact.track_ids).state in ("unreviewed", "more"):
                tracks_of[contact.contact_id] = contact.track_ids
                sighting_count += contact.sighting_count
            if len(tracks_of) > MAX_BULK:
                raise InputError(f"this pattern holds for more than {MAX_BULK} contacts; make it narrower")
        made = Preview(
            preview_id=secrets.token_hex(8),
            pattern=pattern,
            made_ns=utc_ns,
            tracks_of=tracks_of,
            sighting_count=sighting_count,
        )
        with self._lock:
            self._previews[made.preview_id] = made
            while len(self._previews) > _MAX_PREVIEWS:
                self._previews.popitem(last=False)
        return made

    def reject_pattern(self, preview_id: str, *, account: str, utc_ns: int, text: str = "") -> Entry:
        """Reject what a preview showed and nothing else; what was decided meanwhile is left alone.

        Raises `InputError` when the preview is unknown or old, or nothing of it is left.
        """
        with self._lock:
            preview = self._previews.get(preview_id)
            if preview is None or utc_ns - preview.made_ns > _PREVIEW_NS:
                raise InputError("this preview is not known any more; look again at what would be rejected")
            open_ones = {
                contact_id: tracks
                for contact_id, tracks in preview.tracks_of.items()
                if self._book.of_contact(tracks).state in ("unreviewed", "more")
            }
            if not open_ones:
                raise InputError("nothing of it is left to reject")
            entry = self._write(
                sorted(open_ones),
                account=account,
                time_ns=utc_ns,
                kind="decision",
                decision="rejected",
                track_ids=tuple(name for tracks in open_ones.values() for name in tracks),
                contact_ids=tuple(open_ones),
                pattern=preview.pattern,
                text=_text(text),
            )
            del self._previews[preview_id]
            return entry

    def close(self) -> None:
        """Let go of the log's file."""
        self._log.close()

    def _check(self, track_ids: Collection[str], version: int) -> None:
        current = self._book.of_contact(track_ids)
        if current.version > version:
            (newest,) = self._book.history(track_ids, 1) or (None,)
            who = newest.account if newest is not None else "somebody"
            raise ReviewConflictError(
                f"{who} was first: it is {current.state} now; nothing was overwritten", current
            )

    def _write_about(self, subject: Subject, **fields: object) -> Entry:
        name = _contact_id_of(subject)
        return self._write([name] if name is not None else [], contact_id=name, **fields)

    def _write(self, changed: Sequence[str], **fields: object) -> Entry:
        raw = {"number": self._book.last_number + 1, **fields}
        raw["account"] = str(raw["account"])[:_MAX_ACCOUNT]
        try:
            entry = msgspec.convert(raw, Entry)
        except msgspec.ValidationError as error:
            raise InputError(f"this cannot be kept: {error}") from error
        self._log.append(entry)
        try:
            self._book.take(entry)
        except ValueError as error:  # the file has it: what stands there counts
            raise StoreError(f"the review log does not fit what was read from it ({error})") from error
        if self._on_change is not None:
            self._on_change(changed)
        return entry


def matching_contacts(store: StoreReader, pattern: Pattern) -> Iterator[StoredContact]:
    """All contacts that a pattern holds for, whatever their state, newest first."""
    box = pattern.box()
    for stored in all_contacts(
        store, Filter(bbox=box, label=pattern.label, platform_id=pattern.platform_id, limit=_PAGE)
    ):
        contact = stored.contact
        if not pattern.score_min <= contact.score <= pattern.score_max:
            continue
        if pattern.model_id is not None and contact.model_id != pattern.model_id:
            continue
        place = contact.position
        if box is not None and (
            place is None or not pattern.holds_at(place.latitude_deg, place.longitude_deg)
        ):
            continue
        yield stored


def all_contacts(store: StoreReader, wanted: Filter) -> Iterator[StoredContact]:
    """All that match, page by page; one that moves between pages comes once or, rarely, not at all."""
    offset, seen = 0, set()
    while True:
        page, _ = store.contacts(
            Filter(
                bbox=wanted.bbox,
                label=wanted.label,
                platform_id=wanted.platform_id,
                contact_id=wanted.contact_id,
                since_ns=wanted.since_ns,
                until_ns=wanted.until_ns,
                limit=_PAGE,
                offset=offset,
            )
        )
        for stored in page:
            if stored.contact.contact_id not in seen:
                seen.add(stored.contact.contact_id)
                yield stored
        if len(page) < _PAGE:
            return
        offset += len(page)


def _text(text: str) -> str:
    """What people write, without control characters and ends of space; longer than 1,000 is cut."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text).strip()[:MAX_TEXT]
