"""Everything that people did at the station of a drill, as one list: looks, decisions, words, alerts."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import msgspec

from ground.accounts.access_log import StoredEvent, read_events
from ground.accounts.doorkeeper import Doorkeeper
from ground.alerts.alert import LoggedAlert
from ground.alerts.log import AlertLog
from ground.alerts.start import alerts_path
from ground.review.entries import Entry
from ground.review.log import read_entries, review_path

ActKind = Literal[
    "opened", "acknowledged", "confirmed", "rejected", "more", "undone", "commented", "assigned"
]
DECISIONS: tuple[ActKind, ...] = ("confirmed", "rejected")

_CONTACT = re.compile(r"^[A-Z]+ /api/v1/contacts/([^/?]+)")
_CHIP = re.compile(r"^[A-Z]+ /api/v1/chips/([^/?]+)")
_CONTACT_PREFIX = "c-"
_MAX_ALERTS = 100_000


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did: about a contact as it was called then, by its tracks, or an image."""

    time_ns: int
    account: str
    kind: ActKind
    contact_ids: tuple[str, ...] = ()
    track_ids: tuple[str, ...] = ()
    chip_id: str = ""
    alert_id: str = ""
    text: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """All acts, oldest first, and every alert as it stands."""

    acts: tuple[Act, ...]
    alerts: tuple[LoggedAlert, ...]


def read_done(state_dir: Path) -> Done:
    """What people did at a station, running or not; raises `StoreError`."""
    alerts: list[LoggedAlert] = []
    if alerts_path(state_dir).is_file():
        with closing(AlertLog(alerts_path(state_dir))) as log:
            alerts = log.newest(_MAX_ALERTS)[::-1]
    with closing(Doorkeeper(state_dir)) as keeper:
        looks = read_events(keeper.database)
    acts = [*_looked(looks), *_reviewed(read_entries(review_path(state_dir))), *_alerted(alerts)]
    return Done(acts=tuple(sorted(acts, key=lambda one: one.time_ns)), alerts=tuple(alerts))


def tracks_named(contact_id: str) -> tuple[str, ...]:
    """The track that a contact's name comes from; contacts merge, tracks stay."""
    return (contact_id.removeprefix(_CONTACT_PREFIX),)


def _looked(events: Iterable[StoredEvent]) -> Iterator[Act]:
    for one in events:
        event = one.event
        if event.account is None or event.outcome != "ok" or event.action != "see_details":
            continue
        if found := _CONTACT.match(event.what):
            contact_id = unquote(found[1])
            yield Act(
                time_ns=one.time_ns,
                account=event.account,
                kind="opened",
                contact_ids=(contact_id,),
                track_ids=tracks_named(contact_id),
            )
        elif found := _CHIP.match(event.what):
            yield Act(time_ns=one.time_ns, account=event.account, kind="opened", chip_id=unquote(found[1]))


def _reviewed(entries: Iterable[Entry]) -> Iterator[Act]:
    by_number: dict[int, Entry] = {}
    for one in entries:
        by_number[one.number] = one
        about = by_number.get(one.undoes) if one.undoes is not None else one
        if about is None:
            continue
        kinds: dict[str, ActKind] = {"undo": "undone", "comment": "commented", "assignment": "assigned"}
        kind: ActKind = kinds.get(one.kind) or one.decision or "commented"
        yield Act(
            time_ns=one.time_ns,
            account=one.account,
            kind=kind,
            contact_ids=about.contact_ids or ((about.contact_id,) if about.contact_id else ()),
            track_ids=about.track_ids
            or tuple(track for name in about.contact_ids for track in tracks_named(name)),
            text=one.text,
        )


def _alerted(alerts: Iterable[LoggedAlert]) -> Iterator[Act]:
    kinds: dict[str, ActKind] = {"acknowledged": "acknowledged", "commented": "commented"}
    for logged in alerts:
        for act in logged.acts:
            if act.account and (kind := kinds.get(act.kind)) is not None:
                yield Act(
                    time_ns=act.time_ns,
                    account=act.account,
                    kind=kind,
                    contact_ids=(logged.alert.contact_id,),
                    track_ids=tracks_named(logged.alert.contact_id),
                    alert_id=logged.alert.alert_id,
                    text=act.text,
                )
