"""Contacts as they are now, followed by the live picture instead of asking the store for all of them each
time.
"""

from ground.picture.live import LivePicture
from ground.store.reading import Filter, StoredContact, StoreReader
from skywarden.clock import NS_PER_S

_PAGE = 1_000
_MAX_CONTACTS = 20_000
_RELOAD_NS = 2 * NS_PER_S


class FollowedContacts:
    """One reader's copy, for its own thread; at most the 20,000 newest are loaded."""

    def __init__(self, store: StoreReader, picture: LivePicture) -> None:
        self._store, self._picture = store, picture
        self._contacts: dict[str, StoredContact] = {}
        self._seen = -1
        self._loaded_ns = 0

    def at(self, now_ns: int) -> dict[str, StoredContact]:
        """By id; all anew when the picture says that some are no more. Raises `StoreError`."""
        changes = self._picture.changes_since(self._seen, _PAGE)
        if changes is None:
            if now_ns - self._loaded_ns >= _RELOAD_NS:
                self._seen, self._loaded_ns = self._picture.revision, now_ns
                self._contacts = self._load()
            return self._contacts
        for one in changes:
            if isinstance(one.value, StoredContact):
                self._contacts[one.value.contact.contact_id] = one.value
            self._seen = one.revision
        return self._contacts

    def _load(self) -> dict[str, StoredContact]:
        found: dict[str, StoredContact] = {}
        offset = 0
        while offset < _MAX_CONTACTS:
            page, matched = self._store.contacts(Filter(limit=_PAGE, offset=offset))
            found |= {one.contact.contact_id: one for one in page}
            offset += len(page)
            if not page or offset >= matched:
                break
        return found
