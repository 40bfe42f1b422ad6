"""Decides from arrival and statistics of frames whether a camera stalls, is frozen, black or changed size.

A frozen picture is told from a hovering one by sensor noise: pictures a second apart differ in nearly every
tile of a live camera, however still it hangs, and in few of a frozen one, even when it is encoded again and a
clock runs in a corner. Figures in docs/decisions/0005-cameras.md.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge.cameras.config import WatchConfig
from edge.cameras.frame import FrameFlag
from edge.cameras.statistics import (
    TILE_COLUMNS,
    TILE_ROWS,
    TILE_SIDE,
    FrameStatistics,
    Samples,
    tile_changes,
    tile_contrasts,
    tile_means,
)
from skywarden.clock import NS_PER_S
from skywarden.messages import HealthState

ConditionName = Literal["stalled", "frozen", "black", "dark", "overexposed", "resolution_changed"]

_KEEP_EVERY_NS = NS_PER_S // 5
_COMPARE_FROM_NS = 8 * NS_PER_S // 10
_COMPARE_UP_TO_NS = 26 * NS_PER_S // 10
_SUSPECT_FOR_NS = 3 * NS_PER_S
_SUSPECT_VOTES = 2
_STILL_VOTES_SHARE = 0.2
_MIN_VOTES = 3
_MIN_TILES = 8
_VIDEO_BLACK = 16.0
_FLAT_SPAN = 4
_DIM_LEVEL = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A condition that began, or that ended (`state` "ok"). Times are those that the watch was handed."""

    name: ConditionName
    state: HealthState
    time_ns: int
    since_ns: int
    text: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class _Vote:
    time_ns: int
    is_still: bool


class CameraWatch:
    """One camera's conditions. Holds no clock: every call brings a time that never goes back (ns)."""

    def __init__(
        self, config: WatchConfig, *, started_ns: int, expected_size_px: tuple[int, int] | None = None
    ) -> None:
        self._config = config
        self._expected_px = expected_size_px
        self._last_received_ns = started_ns
        self._kept: deque[tuple[int, Samples]] = deque()
        self._previous: Samples | None = None
        self._votes: deque[_Vote] = deque()
        self._true_since: dict[ConditionName, int] = {}
        self._active: dict[ConditionName, Condition] = {}
        self._changes: list[Condition] = []

    @property
    def active(self) -> tuple[Condition, ...]:
        """Conditions that hold now, by name."""
        return tuple(self._active[name] for name in sorted(self._active))

    def drain(self) -> list[Condition]:
        """What began or ended since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def received(self, time_ns: int) -> None:
        """A frame arrived at `time_ns`, whether or not anyone takes it."""
        self._last_received_ns = max(self._last_received_ns, time_ns)
        self.tick(time_ns)

    def tick(self, time_ns: int) -> None:
        """Time passes; call at least twice a second."""
        silent_s = (time_ns - self._last_received_ns) / NS_PER_S
        self._judge(
            "stalled",
            silent_s >= self._config.stall_after_s,
            time_ns,
            state="failed",
            since_ns=self._last_received_ns,
            text=f"no frame for {silent_s:.1f} s; check cable, power and network of the camera",
            values={"silent_s": silent_s},
        )

    def observe(self, time_ns: int, statistics: FrameStatistics) -> tuple[FrameFlag, ...]:
        """Judge the frame that is taken at `time_ns`; its flags, sorted."""
        flags: set[FrameFlag] = set()
        self._judge_size(time_ns, statistics, flags)
        self._judge_brightness(time_ns, statistics, flags)
        self._judge_stillness(time_ns, statistics.samples, flags)
        return tuple(sorted(flags))

    def _judge_size(self, time_ns: int, statistics: FrameStatistics, flags: set[FrameFlag]) -> None:
        size = (statistics.width_px, statistics.height_px)
        if self._expected_px is None:
            self._expected_px = size
        expected = self._expected_px
        is_changed = size != expected
        if is_changed:
            flags.add("resolution_changed")
        self._judge(
            "resolution_changed",
            is_changed,
            time_ns,
            state="degraded",
            text=f"frames are {size[0]}x{size[1]} instead of {expected[0]}x{expected[1]}; "
            "the calibration is for the latter",
            values={"width_px": float(size[0]), "height_px": float(size[1])},
        )

    def _judge_brightness(self, time_ns: int, statistics: FrameStatistics, flags: set[FrameFlag]) -> None:
        config = self._config
        tiles = statistics.samples.reshape(TILE_ROWS, TILE_SIDE, TILE_COLUMNS, TILE_SIDE)
        spans = tiles.max(axis=(1, 3)) - tiles.min(axis=(1, 3))
        is_dark_tile = tile_means(statistics.samples) <= _VIDEO_BLACK + config.black_level
        # An underexposed daylight picture has structure: brighter spots in its tiles.
        is_dim_tile = is_dark_tile & (tiles.max(axis=(1, 3)) <= _DIM_LEVEL)
        is_dark = float(is_dim_tile.mean()) >= config.frozen_share
        is_black = float((is_dark_tile & (spans <= _FLAT_SPAN)).mean()) >= config.frozen_share
        is_bright = statistics.clipped_share >= config.clipped_share
        if is_black:
            flags.add("black")
        elif is_dark:
            flags.add("dark")
        if is_bright:
            flags.add("overexposed")
        levels = {"mean_level": statistics.mean_level, "clipped_share": statistics.clipped_share}
        text = f"mean grey level {statistics.mean_level:.0f} of 255"
        after_s = config.black_after_s
        self._judge(
            "black",
            is_black,
            time_ns,
            state="failed",
            after_s=after_s,
            text=f"the picture is black and without noise ({text}); check lens cap, decoder and interlacing",
            values=levels,
        )
        self._judge(
            "dark",
            is_dark and not is_black,
            time_ns,
            state="degraded",
            after_s=after_s,
            text=f"the picture is dark ({text}); expect few detections",
            values=levels,
        )
        self._judge(
            "overexposed",
            is_bright,
            time_ns,
            state="degraded",
            after_s=after_s,
            text=f"{statistics.clipped_share:.0%} of the picture is full white; check exposure",
            values=levels,
        )

    def _judge_stillness(self, time_ns: int, samples: Samples, flags: set[FrameFlag]) -> None:
        if (
            self._previous is not None
            and self._still_share(samples, self._previous) >= self._config.frozen_share
        ):
            flags.add("repeated")
        self._previous = samples
        vote = self._stillness_vote(time_ns, samples)
        if vote is not None:
            self._votes.append(_Vote(time_ns=time_ns, is_still=vote))
        window_ns = round(self._config.frozen_after_s * NS_PER_S)
        while self._votes and self._votes[0].time_ns < time_ns - window_ns:
            self._votes.popleft()
        lately = sum(v.is_still and v.time_ns >= time_ns - _SUSPECT_FOR_NS for v in self._votes)
        is_suspected = bool(vote) or lately >= _SUSPECT_VOTES
        if is_suspected:
            flags.add("frozen_suspected")
        is_frozen = self._is_frozen(time_ns, is_suspected)
        if is_frozen:
            flags.add("frozen")
        self._judge(
            "frozen",
            is_frozen,
            time_ns,
            state="failed",
            since_ns=self._still_since(time_ns),
            text="the picture stands still, without the noise of a live camera; restart the camera",
        )

    def _is_frozen(self, time_ns: int, is_suspected: bool) -> bool:
        if not is_suspected or "frozen" in self._active:
            return is_suspected
        still = [vote for vote in self._votes if vote.is_still]
        if len(still) < _MIN_VOTES or len(still) < _STILL_VOTES_SHARE * len(self._votes):
            return False
        # The first vote needs a picture that is already a second old, so the window is that much longer.
        return time_ns - still[0].time_ns + _COMPARE_FROM_NS >= self._config.frozen_after_s * NS_PER_S * 0.8

    def _still_since(self, time_ns: int) -> int:
        still = [vote.time_ns for vote in self._votes if vote.is_still]
        return still[0] - _COMPARE_FROM_NS if still else time_ns

    def _stillness_vote(self, time_ns: int, samples: Samples) -> bool | None:
        """Whether nothing moved against any picture of about 1 to 2.6 s ago; `None` without such a picture.

        The best of several older pictures is taken, since an encoder renews the whole picture now and then.
        """
        oldest_ns = time_ns - _COMPARE_UP_TO_NS
        while len(self._kept) > 1 and self._kept[1][0] <= oldest_ns:
            self._kept.popleft()
        older = [kept for at_ns, kept in self._kept if at_ns <= time_ns - _COMPARE_FROM_NS]
        if not self._kept or time_ns - self._kept[-1][0] >= _KEEP_EVERY_NS:
            self._kept.append((time_ns, samples))
        if not older:
            return None
        return max(self._still_share(samples, before) for before in older) >= self._config.frozen_share

    def _still_share(self, now: Samples, before: Samples) -> float:
        """Share of the tiles that stand still, among those where a live camera would show noise.

        Those are neither black nor full white; 0 when they are too few to tell.
        """
        means = tile_means(now)
        counts = (means > _VIDEO_BLACK + 4) & (means < 248)
        if int(counts.sum()) < _MIN_TILES:
            return 0.0
        level = np.maximum(self._config.still_level, self._config.still_contrast_share * tile_contrasts(now))
        still = tile_changes(now, before) <= level
        return float(np.mean(still[counts]))

    def _judge(
        self,
        name: ConditionName,
        is_true: bool,
        time_ns: int,
        *,
        state: HealthState,
        text: str,
        after_s: float = 0.0,
        since_ns: int | None = None,
        values: dict[str, float] | None = None,
    ) -> None:
        """Begin the condition when it was true for `after_s`; end it when it is not true."""
        if not is_true:
            self._true_since.pop(name, None)
            ended = self._active.pop(name, None)
            if ended is not None:
                lasted_s = (time_ns - ended.since_ns) / NS_PER_S
                self._changes.append(
                    Condition(
                        name=name,
                        state="ok",
                        time_ns=time_ns,
                        since_ns=ended.since_ns,
                        text=f"over after {lasted_s:.1f} s",
                    )
                )
            return
        true_since_ns = self._true_since.setdefault(name, time_ns if since_ns is None else since_ns)
        if name in self._active or time_ns - true_since_ns < after_s * NS_PER_S:
            return
        begun = Condition(
            name=name, state=state, time_ns=time_ns, since_ns=true_since_ns, text=text, values=values or {}
        )
        self._active[name] = begun
        self._changes.append(begun)
