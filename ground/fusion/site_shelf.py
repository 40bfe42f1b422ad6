"""Sites of the plots in the store, caught up whenever somebody asks."""

import threading

from ground.config import ContactsConfig
from ground.fusion.sites import Site, SiteBook
from ground.store.reading import StoreReader


class SiteShelf:
    """Safe from any thread. The first question after a start goes through all plots of the store."""

    def __init__(self, store: StoreReader, config: ContactsConfig) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last_key = 0
        self._book = SiteBook(config)

    def sites(self) -> list[Site]:
        """All sites, in order of id; raises `StoreError`."""
        with self._lock:
            more, self._last_key = self._store.plots_after(self._last_key)
            for _, plot in more:
                self._book.add(plot)
            return self._book.sites()
