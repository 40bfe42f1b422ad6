"""Which tiles of a frame to look at: those that matter first, within a budget, and none waits for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.tiling.grid import Tile
from models.tiling.masks import ImageMask

_ALMOST_ALL = 0.98
_SHARE_OF_NEW_COST = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRules:
    """How much a cue is worth, in frames that a tile has waited.

    Attributes:
        track_frames: an open track is expected there.
        new_ground_frames: all of the tile shows ground that has not been seen.
        motion_frames: something moves there against the ground.
        longest_wait_frames: a tile that has waited so long comes first, whatever the cues say.
        whole_frame_every: the whole is looked at once in so many frames, for what is larger than a tile.
    """

    track_frames: float = 12.0
    new_ground_frames: float = 8.0
    motion_frames: float = 8.0
    longest_wait_frames: int = 30
    whole_frame_every: int = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cues:
    """What is known of a frame before it is looked at, in pixels of it.

    Attributes:
        tracks: boxes (N, 4) where open tracks should be now.
        new_ground: share of new ground by tile number; empty when not known.
        motion: how strongly something moves by tile number, 0 to 1; empty when not known.
        mask: what is left out.
    """

    tracks: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    new_ground: Sequence[float] = ()
    motion: Sequence[float] = ()
    mask: ImageMask | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to look at in one frame: tiles, the most urgent first, and whether the whole frame as well."""

    tiles: tuple[Tile, ...]
    with_whole_frame: bool


class TilePlanner:
    """Remembers when each tile of a grid was looked at. Same cues and budgets in, same plans out."""

    def __init__(
        self, tiles: Sequence[Tile], size_px: tuple[int, int], rules: PlanRules | None = None
    ) -> None:
        self._tiles = tuple(tiles)
        self._size_px = size_px
        self._rules = rules or PlanRules()
        self._waited = np.zeros(len(self._tiles))
        self._frames = 0

    @property
    def longest_wait_frames(self) -> int:
        """How long the tile that waits longest has waited, masked ones left aside."""
        return int(self._waited.max(initial=0.0))

    def plan(self, budget: int, cues: Cues | None = None) -> Plan:
        """What to look at now: `budget` looks, of which the whole frame, when it is due, is one.

        At least one look is planned. A tile that is masked all over is never looked at and does not wait.
        """
        cues = cues or Cues()
        open_tiles = np.array([not self._is_masked(tile, cues.mask) for tile in self._tiles], dtype=bool)
        self._waited = np.where(open_tiles, self._waited + 1.0, 0.0)
        whole_due = self._frames % self._rules.whole_frame_every == 0
        self._frames += 1
        count = max(1, budget) - int(whole_due and budget > 1)
        urgency = self._waited + self._worth(cues)
        # Who has waited too long stands before all cues, the longest wait first.
        late = self._waited >= self._rules.longest_wait_frames
        urgency = np.where(late, 1e6 + self._waited, urgency)
        urgency = np.where(open_tiles, urgency, -np.inf)
        order = np.argsort(-urgency, kind="stable")[: min(count, int(open_tiles.sum()))]
        self._waited[order] = 0.0
        is_whole = whole_due and (budget > 1 or not open_tiles.any())
        return Plan(tiles=tuple(self._tiles[at] for at in order.tolist()), with_whole_frame=bool(is_whole))

    def _worth(self, cues: Cues) -> npt.NDArray[np.float64]:
        rules = self._rules
        worth = np.zeros(len(self._tiles))
        for known, weight in ((cues.new_ground, rules.new_ground_frames), (cues.motion, rules.motion_frames)):
            if len(known) == len(self._tiles):
                worth += weight * np.clip(np.nan_to_num(np.asarray(known, dtype=np.float64)), 0.0, 1.0)
        for box in np.asarray(cues.tracks, dtype=np.float64).reshape(-1, 4):
            home = self._home(box)
            if home is not None:
                worth[home] += rules.track_frames
        return worth

    def _home(self, box: npt.NDArray[np.float64]) -> int | None:
        """The tile that holds a track best: the one whose nearest edge is farthest from it."""
        if not np.isfinite(box).all():
            return None
        edges = np.array([[t.x0, t.y0, t.x1, t.y1] for t in self._tiles], dtype=np.float64)
        room = np.minimum(box[:2] - edges[:, :2], edges[:, 2:] - box[2:]).min(axis=1)
        centre = (box[:2] + box[2:]) / 2.0
        if not ((centre >= 0.0) & (centre <= np.array(self._size_px))).all():
            return None
        return int(np.argmax(room))

    def _is_masked(self, tile: Tile, mask: ImageMask | None) -> bool:
        return mask is not None and mask.share(tile, self._size_px) >= _ALMOST_ALL


class LookBudget:
    """How many looks fit into the time for a frame, from what looks have cost so far."""

    def __init__(self, seconds_per_frame: float, first_cost_s: float) -> None:
        self._room_s = seconds_per_frame
        self._cost_s = max(1e-4, first_cost_s)

    def looks(self) -> int:
        """Looks for the next frame, at least one."""
        return max(1, int(self._room_s / self._cost_s))

    def spent(self, looks: int, seconds: float) -> None:
        """So many looks have taken so long; what costs jump is followed slowly."""
        if looks > 0 and np.isfinite(seconds) and seconds > 0.0:
            self._cost_s += _SHARE_OF_NEW_COST * (max(1e-4, seconds / looks) - self._cost_s)
