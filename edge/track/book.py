"""The columns of the tracks, in buffers with room to spare: a track that begins or ends moves little."""

import numpy as np
import numpy.typing as npt

from edge.track.states import MEMORY

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_LEAST_ROOM = 32


class Book:
    """N tracks with K shared errors and L labels, in the order of their numbers.

    `memory` (N,) of `MEMORY`, `x` (N, 4 + K), `p` (N, 4 + K, 4 + K), `surprise` (N, 2) and `label_scores`
    (N, L) are views; write into them, and take them anew after `begin` and `drop`.
    """

    def __init__(self, sources: int, labels: int) -> None:
        self._count = 0
        size = 4 + sources
        self._columns: list[npt.NDArray[np.generic]] = [
            np.zeros(0, dtype=MEMORY),
            np.zeros((0, size)),
            np.zeros((0, size, size)),
            np.zeros((0, 2)),
            np.zeros((0, labels)),
        ]
        self._zeros = [np.zeros((), dtype=column.dtype) for column in self._columns]
        self._look()

    def __len__(self) -> int:
        return self._count

    def begin(self, count: int) -> slice:
        """Room for so many more at the end, filled with zeros; answers with their rows."""
        first, last = self._count, self._count + count
        if last > len(self._columns[0]):
            room = max(_LEAST_ROOM, 2 * last)
            for number, column in enumerate(self._columns):
                wider = np.zeros((room, *column.shape[1:]), dtype=column.dtype)
                wider[:first] = column[:first]
                self._columns[number] = wider
        else:
            for column, zero in zip(self._columns, self._zeros, strict=True):
                column[first:last] = zero
        self._count = last
        self._look()
        return slice(first, last)

    def drop(self, rows: IndexArray) -> None:
        """Without these rows; what stands before the first of them stays where it is."""
        first, last = int(rows[0]), self._count
        is_kept = np.ones(last - first, dtype=bool)
        is_kept[rows - first] = False
        kept = first + is_kept.nonzero()[0]
        self._count = first + len(kept)
        for column in self._columns:
            column[first : self._count] = column[kept]
        self._look()

    def relabel(self, places: list[int], labels: int) -> None:
        """A longer table of labels, in which the old ones now stand at `places`."""
        scores = np.zeros((len(self._columns[4]), labels))
        scores[:, places] = self._columns[4]
        self._columns[4] = scores
        self._look()
        if places:
            self.memory["label"] = np.array(places)[self.memory["label"]]

    def _look(self) -> None:
        memory, x, p, surprise, scores = (column[: self._count] for column in self._columns)
        self.memory: npt.NDArray[np.void] = memory  # type: ignore[assignment]
        self.x: FloatArray = x  # type: ignore[assignment]
        self.p: FloatArray = p  # type: ignore[assignment]
        self.surprise: FloatArray = surprise  # type: ignore[assignment]
        self.label_scores: FloatArray = scores  # type: ignore[assignment]
