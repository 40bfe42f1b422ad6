"""Which tracks were ever near one another: cells of a grid over the earth."""

import math

from ground.fusion.plane import wrapped_deg

_M_PER_DEG = 110_500.0


class CellIndex:
    """Tracks by the cells they had a look in; a cell is `reach_m` wide, at least 200 m and at most 10 deg."""

    def __init__(self, reach_m: float) -> None:
        self._cell_deg = min(10.0, max(reach_m, 200.0) / _M_PER_DEG)
        self._cells_of: dict[str, set[tuple[int, int]]] = {}
        self._in_cell: dict[tuple[int, int], set[str]] = {}

    def note(self, track_id: str, latitude_deg: float, longitude_deg: float) -> None:
        """The track had a look here."""
        row = math.floor(latitude_deg / self._cell_deg)
        cell = row, math.floor((wrapped_deg(longitude_deg) + 180.0) * self._squeeze(row) / self._cell_deg)
        cells = self._cells_of.setdefault(track_id, set())
        if cell not in cells:
            cells.add(cell)
            self._in_cell.setdefault(cell, set()).add(track_id)

    def near(self, track_id: str) -> set[str]:
        """Other tracks with a look in the same cells or those around."""
        found: set[str] = set()
        for cell in self._around(self._cells_of.get(track_id, set())):
            found |= self._in_cell.get(cell, set())
        found.discard(track_id)
        return found

    def forget(self, track_id: str) -> None:
        """Drop a track."""
        for cell in self._cells_of.pop(track_id, set()):
            self._in_cell[cell].discard(track_id)
            if not self._in_cell[cell]:
                del self._in_cell[cell]

    def _around(self, cells: set[tuple[int, int]]) -> set[tuple[int, int]]:
        found = set()
        for row, column in cells:
            for near_row in (row - 1, row, row + 1):
                ratio = self._squeeze(near_row) / self._squeeze(row)
                columns = math.ceil(360.0 * self._squeeze(near_row) / self._cell_deg)
                low = math.floor((column - 1) * ratio) - 1
                high = math.ceil((column + 2) * ratio) + 1
                found |= {(near_row, near % columns) for near in range(low, high)}
        return found

    def _squeeze(self, row: int) -> float:
        """Columns become narrower in degrees towards the equator: cells keep their width in metres."""
        return max(0.01, math.cos(math.radians(min(89.9, abs((row + 0.5) * self._cell_deg)))))
