"""The trackers of one sensor: one for every group of labels that may be told of one thing.

Labels that one detector can answer with belong together, for it may take one for the other, and so do those
of detectors that share a label. A vessel is never given the look of a field, and a group is a frame the
older only when somebody looked for it: what nobody looked for was not missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from edge.gaze.outlook import ExpectedTracks
from edge.geolocation.locate import Locator
from edge.models_aboard.bank import PartLook
from edge.track import Measurements, Tracker, TrackerConfig, TrackState
from edge.track.plane import LocalPlane
from models.detection import DetectionBatch
from skywarden.clock import NS_PER_S
from skywarden.geometry.pose import CameraPose
from skywarden.messages import GENERIC_LABELS

GROUP_STEP = 1_000_000
"""Track numbers of the n-th further group begin here, n times."""

UNSEEN_NS = 2 * NS_PER_S
"""So long after its last look a group is told that time has passed."""

_AS_LARGE = 3.0
"""A thing that is named explains what stands out within it, when that is not smaller by more than this."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """How the sensor looks in one frame: what turns places into pixels."""

    locator: Locator
    plane: LocalPlane
    pose: CameraPose


class _Group:
    def __init__(self, config: TrackerConfig, base: int) -> None:
        self.tracker = Tracker(config)
        self.expected = ExpectedTracks()
        self.base = base
        self.updated_ns = 0
        self.numbers: list[int] = []

    def passed_over(self, looks: Sequence[PartLook], sight: Sight) -> list[int]:
        """Numbers of the tracks that should be in the image, but in no part of it that was looked at."""
        if any(look.looked is None for look in looks):
            return []
        numbers, boxes = self.expected.boxes(sight.locator, sight.plane, sight.pose)
        seen = np.zeros(len(numbers), dtype=bool)
        for look in looks:
            assert look.looked is not None
            seen |= look.looked.saw(boxes)
        return [int(number) for number in numbers[~seen]]

    def update(self, time_ns: int, seen: Measurements, passed_over: Sequence[int]) -> list[TrackState]:
        states = list(self.tracker.update(time_ns, seen, passed_over))
        self.updated_ns = time_ns
        self.numbers = [state.number for state in states if state.status != "dropped"]
        return states


class Followers:
    """See the module; a plain object, handed data and time."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._group_of: dict[str, int] = {}
        self._groups: list[_Group] = []

    @property
    def is_single(self) -> bool:
        """Whether all labels are of one group so far."""
        return len(self._groups) < 2

    def claim(self, labels: Sequence[str]) -> None:
        """A detector can answer with these: what is new among them joins what is known, or is a new group."""
        new = [label for label in labels if label not in self._group_of]
        if not new:
            return
        known = [self._group_of[label] for label in labels if label in self._group_of]
        if not known:
            self._groups.append(_Group(self._config, GROUP_STEP * len(self._groups)))
        group = min(known) if known else len(self._groups) - 1
        self._group_of |= dict.fromkeys(new, group)

    def update(
        self, time_ns: int, seen: Measurements, looks: Sequence[PartLook], sight: Sight
    ) -> list[TrackState]:
        """Every track of the groups that somebody looked for; numbers are of the whole sensor."""
        if self.is_single and self._groups and looks:
            return self._groups[0].update(time_ns, seen, self._groups[0].passed_over(looks, sight))
        out: list[TrackState] = []
        for at, group in enumerate(self._groups):
            own = [look for look in looks if any(self._group_of[label] == at for label in look.labels)]
            if own:
                rows = np.flatnonzero(self.groups_of(seen.labels)[seen.label_index] == at)
                states = group.update(time_ns, seen.taken(rows), group.passed_over(own, sight))
            elif group.numbers and time_ns - group.updated_ns >= UNSEEN_NS:
                nothing = seen.taken(np.zeros(0, dtype=np.intp))
                states = group.update(time_ns, nothing, group.numbers)
            else:
                continue
            out += [_renumbered(state, group.base) for state in states]
        return out

    def remember(self, states: Sequence[TrackState], alt_hae_m: Sequence[float], boxes: FloatArray) -> None:
        """All tracks of the groups that were updated, with heights of their places; `boxes` (M, 4) are the
        frame's detections."""
        for at, group in enumerate(self._groups):
            own = [(s, h) for s, h in zip(states, alt_hae_m, strict=True) if s.number // GROUP_STEP == at]
            if own or not group.numbers:
                plain = [_renumbered(state, -group.base) for state, _ in own]
                group.expected.remember(plain, [height for _, height in own], boxes)

    def expected_boxes(self, sight: Sight) -> FloatArray:
        """Boxes (N, 4) in pixels where open tracks should be in the image."""
        found = [group.expected.boxes(sight.locator, sight.plane, sight.pose)[1] for group in self._groups]
        return np.vstack(found) if found else np.zeros((0, 4))

    def forget(self) -> None:
        """Begin anew; groups stay as they are."""
        self._groups = [_Group(self._config, group.base) for group in self._groups]

    def groups_of(self, labels: Sequence[str]) -> npt.NDArray[np.intp]:
        """The group of each label; -1 for one that nobody has claimed."""
        return np.array([self._group_of.get(label, -1) for label in labels], dtype=np.intp)

    def explained(self, batch: DetectionBatch, sight: Sight | None) -> npt.NDArray[np.bool_]:
        """Which rows (N,) only say that something is there where another group knows what it is.

        In this frame, or by an open track; so that a boat is no anomaly beside itself.
        """
        out = np.zeros(len(batch), dtype=bool)
        if self.is_single or not len(batch):
            return out
        is_generic = np.array([label in GENERIC_LABELS for label in batch.labels])[batch.label_index]
        if not is_generic.any():
            return out
        boxes = batch.box_px.astype(np.float64)
        named = [boxes[~is_generic]]
        if sight is not None:
            generic_groups = set(
                self.groups_of([label for label in batch.labels if label in GENERIC_LABELS]).tolist()
            )
            for at, group in enumerate(self._groups):
                if at not in generic_groups:
                    named.append(group.expected.boxes(sight.locator, sight.plane, sight.pose)[1])
        rows = np.flatnonzero(is_generic)
        out[rows] = _within(boxes[rows], np.vstack(named))
        return out


def _within(boxes: FloatArray, named: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of boxes (N, 4) have their middle in one of `named` (M, 4) that is not much larger."""
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2.0
    margin = 0.25 * (named[:, 2:] - named[:, :2])
    inside = ((middle >= named[None, :, :2] - margin) & (middle <= named[None, :, 2:] + margin)).all(axis=2)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    others = (named[:, 2:] - named[:, :2]).max(axis=1)
    found: npt.NDArray[np.bool_] = (inside & (others[None] <= _AS_LARGE * sides[:, None])).any(axis=1)
    return found


def _renumbered(state: TrackState, base: int) -> TrackState:
    return msgspec.structs.replace(state, number=state.number + base) if base else state
