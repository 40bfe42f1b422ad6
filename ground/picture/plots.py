"""Plots as they are by now: of each the newest record, found by box, time and label."""

import threading
from dataclasses import dataclass

from ground.store.reading import Filter, StoreReader
from skywarden.messages import Plot

_MAX_PLOTS = 20_000


@dataclass(frozen=True, slots=True)
class _Shelved:
    record_key: int
    time_ns: int
    first_ns: int
    label: str
    platform_id: str
    box: tuple[float, float, float, float]


class PlotShelf:
    """Remembers where the newest record of each plot lies; safe from any thread.

    The store is read from where it was left; the first question after a start reads all its plots. Bodies
    stay in the store, so what was erased there is not shown. At most 20,000 plots, those of longest ago go.
    """

    def __init__(self, store: StoreReader) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last_key = 0
        self._plots: dict[str, _Shelved] = {}

    def find(self, wanted: Filter) -> tuple[list[Plot], int]:
        """Plots that match, newest first, and how many match without limit and offset."""
        with self._lock:
            self._catch_up()
            found = [one for one in self._plots.values() if _matches(one, wanted)]
        found.sort(key=lambda one: (-one.time_ns, -one.record_key))
        page = found[wanted.offset : wanted.offset + wanted.limit]
        return self._store.plots_of_keys([one.record_key for one in page]), len(found)

    def plot(self, plot_id: str) -> Plot | None:
        """One plot as it is known by now."""
        with self._lock:
            self._catch_up()
            one = self._plots.get(plot_id)
        found = self._store.plots_of_keys([one.record_key]) if one is not None else []
        return found[0] if found else None

    def ids(self) -> set[str]:
        """The plots that were found by now, as far as they are remembered."""
        with self._lock:
            return set(self._plots)

    def _catch_up(self) -> None:
        more, self._last_key = self._store.plots_after(self._last_key)
        for key, plot in more:
            before = self._plots.get(plot.plot_id)
            if before is None or plot.time_ns >= before.time_ns:
                self._plots[plot.plot_id] = _shelved(key, plot)
        if len(self._plots) > _MAX_PLOTS:
            newest = sorted(self._plots.items(), key=lambda item: -item[1].time_ns)[:_MAX_PLOTS]
            self._plots = dict(newest)


def _shelved(key: int, plot: Plot) -> _Shelved:
    outer = plot.rings_deg[0]
    south, west = (float(value) for value in outer.min(axis=0))
    north, east = (float(value) for value in outer.max(axis=0))
    if east - west > 180.0:  # over the antimeridian
        longitudes = outer[:, 1] % 360.0
        west, east = float(longitudes.min()) - 360.0, float(longitudes.max()) - 360.0
    return _Shelved(
        key, plot.time_ns, plot.first_ns, plot.label, plot.platform_id, (west, south, east, north)
    )


def _matches(one: _Shelved, wanted: Filter) -> bool:
    if wanted.label not in (None, one.label) or wanted.platform_id not in (None, one.platform_id):
        return False
    if wanted.since_ns is not None and one.time_ns < wanted.since_ns:
        return False
    if wanted.until_ns is not None and one.first_ns > wanted.until_ns:
        return False
    return wanted.bbox is None or _overlap(one.box, wanted.bbox)


def _overlap(one: tuple[float, float, float, float], wanted: tuple[float, float, float, float]) -> bool:
    west, south, east, north = wanted
    if one[1] > north or one[3] < south:
        return False
    if west > east:
        west -= 360.0
    return any(one[0] + turn <= east and one[2] + turn >= west for turn in (-360.0, 0.0, 360.0))
