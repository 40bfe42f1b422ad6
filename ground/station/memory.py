"""The foundation of a station (settings, clock, keys) and its memory: store, contacts, live picture."""

from dataclasses import dataclass
from pathlib import Path

from ground.config import GroundConfig
from ground.exercise.identity import claim_folder
from ground.exercise.mark import Mark
from ground.fusion.book import ContactBook
from ground.fusion.history import ContactHistory, RecordedBook
from ground.fusion.rulings import Ruling
from ground.link.authenticator import AllowList
from ground.picture.live import LivePicture
from ground.picture.precedence import Precedence
from ground.station.parts import Parts
from ground.station.places import authorized_dir, server_key_path, store_path
from ground.store.sqlite import SqliteStore
from skywarden.clock import Clock
from skywarden.link import keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Foundation:
    """What every part of a station is built upon."""

    config: GroundConfig
    state_dir: Path
    clock: Clock
    parts: Parts
    server_key: keys.KeyPair
    allow_list: AllowList
    mark: Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What the station knows: `store` on disk, `picture` of this moment, `book` of contacts; and who of those
    that fill them goes first."""

    store: SqliteStore
    picture: LivePicture
    book: RecordedBook
    history: ContactHistory
    precedence: Precedence

    def rule(self, ruling: Ruling) -> None:
        """Keep a person's word on tracks, and have contacts and picture follow it at once."""
        self.book.rule(ruling)
        settled = self.store.settle(self.picture.next_revision())
        self.picture.note_contacts(list(settled.contacts), list(settled.removed))
        self.picture.publish()


def lay_foundation(config: GroundConfig, clock: Clock, parts: Parts) -> Foundation:
    """State folder and keys, made where there are none."""
    state_dir = config.state_dir()
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = claim_folder(state_dir, is_exercise=config.exercise)
    return Foundation(
        config=config,
        state_dir=state_dir,
        clock=clock,
        parts=parts,
        server_key=keys.load_or_create_key_file(server_key_path(state_dir)),
        allow_list=AllowList(authorized_dir(state_dir)),
        mark=mark,
    )


def open_memory(base: Foundation) -> Memory:
    """Open the store, settle what it holds into contacts, and show what was known when it last ran."""
    config, parts = base.config, base.parts
    history = ContactHistory(base.state_dir / "contacts.sqlite")
    parts.add("contact history", history.close)
    precedence = Precedence()
    book = RecordedBook(ContactBook(config.contacts, give_way=precedence.give_way), history, base.clock)
    store = SqliteStore(
        store_path(base.state_dir),
        book,
        horizon_s=config.contacts.horizon_s,
        is_exercise=base.mark.is_exercise,
        give_way=precedence.give_way,
    )
    parts.add("store", store.close)
    picture = LivePicture(first_revision=base.clock.utc_ns() // 1_000)
    picture.is_exercise = base.mark.is_exercise
    store.settle(picture.next_revision())
    picture.restore(store.platforms(), store.health())
    return Memory(store=store, picture=picture, book=book, history=history, precedence=precedence)
