"""The columns of the tracks, in buffers with room to spare: a track that begins or ends moves little."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edge.track.boxes import MEMORY_COLUMNS, SHOWING_COLUMNS
from edge.track.states import MEMORY

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_LEAST_ROOM = 32


class Book:
    """N tracks with K shared errors and L labels, in the order of their numbers.

    `memory` (N,) of `MEMORY`, `z` (N, 4 + K, 5 + K) as `edge.track.motion` has it, `surprise` (N, 2), `sides`
    (N, 7) and `showing` (N, 9) as `edge.track.boxes` has them, and `label_scores` (N, L) are views; write
    into them, and take them anew after `begin` and `drop`. `memory` is kept as bytes: numpy moves records
    field by field.
    """

    def __init__(self, sources: int, labels: int) -> None:
        self._count = 0
        self._columns: list[npt.NDArray[Any]] = [
            np.zeros((0, MEMORY.itemsize), dtype=np.uint8),
            np.zeros((0, 4 + sources, 5 + sources)),
            np.zeros((0, 2)),
            np.zeros((0, MEMORY_COLUMNS)),
            np.zeros((0, SHOWING_COLUMNS)),
            np.zeros((0, labels)),
        ]
        self._look()

    def __len__(self) -> int:
        return self._count

    def begin(self, count: int, newborn: npt.NDArray[np.void]) -> slice:
        """So many more at the end, whose memory is that of `newborn` (1,) and whose other columns are to be
        filled; answers with their rows."""
        first, last = self._count, self._count + count
        if last > len(self._columns[0]):
            room = max(_LEAST_ROOM, 2 * last)
            for number, column in enumerate(self._columns):
                wider = np.zeros((room, *column.shape[1:]), dtype=column.dtype)
                wider[:first] = column[:first]
                self._columns[number] = wider
        self._columns[0][first:last] = newborn.view(np.uint8)
        self._count = last
        self._look()
        return slice(first, last)

    def drop(self, rows: IndexArray) -> None:
        """Without these rows; what stands before the first of them stays where it is."""
        first, last = int(rows[0]), self._count
        is_kept = np.ones(last - first, dtype=bool)
        is_kept[rows - first] = False
        kept = is_kept.nonzero()[0]
        self._count = first + len(kept)
        if len(kept):
            kept += first
            for column in self._columns:
                column[first : self._count] = column.take(kept, axis=0)
        self._look()

    def copied_memory(self) -> npt.NDArray[np.void]:
        """A copy of `memory`."""
        copied: npt.NDArray[np.void] = self._columns[0][: self._count].copy().view(MEMORY)[:, 0]
        return copied

    def relabel(self, places: list[int], labels: int) -> None:
        """A longer table of labels, in which the old ones now stand at `places`."""
        scores = np.zeros((len(self._columns[-1]), labels))
        scores[:, places] = self._columns[-1]
        self._columns[-1] = scores
        self._look()
        if places:
            self.memory["label"] = np.array(places)[self.memory["label"]]

    def _look(self) -> None:
        count = self._count
        memory, z, surprise, sides, showing, scores = self._columns
        self.memory: npt.NDArray[np.void] = memory[:count].view(MEMORY)[:, 0]
        self.z: FloatArray = z[:count]
        self.surprise: FloatArray = surprise[:count]
        self.sides: FloatArray = sides[:count]
        self.showing: FloatArray = showing[:count]
        self.label_scores: FloatArray = scores[:count]
