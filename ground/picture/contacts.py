"""From sightings to contacts: which tracks of which platforms are one real thing, and where it is.

A plain node: it is fed sightings in any order, any number of times, and its answer depends only on the set of
them, so late, repeated and interleaved records end in the same contacts with the same ids. Real fusion takes
the place of the inside; `ContactNode` is the seam.

First version. A contact is a group of tracks. Two tracks are one when they could be one thing (labels agree;
no camera sees both at once) and their positions, predicted to one instant, agree within a chi-square gate;
pairs join best first. Errors of one platform's looks are not independent: a share of the best look's
covariance (heading, boresight, terrain) is taken as common to all of a track and never shrinks, only the rest
averages out; estimates of several tracks are combined by covariance intersection, which is safe whatever they
share (position.md 2: fusing shared errors as independent gives ellipses that do not hold the truth).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Bearing, Message, Position, Sighting, Surface

FloatArray = npt.NDArray[np.float64]

GENERIC_LABELS = frozenset({"anomaly", "object", "unknown"})
STATIC_LABELS = frozenset({"plot", "field", "building", "structure", "panel", "camp"})
_VESSELS = frozenset({"vessel", "boat", "ship", "go_fast", "fishing", "skiff", "panga", "cargo", "semi"})

_NS = 1_000_000_000
_SLOT_NS = 2 * _NS
_MAX_SLOTS = 900
_WINDOW_NS = 30 * _NS
_CELL_DEG = 0.05
_EARTH_M_PER_DEG = 111_319.490793
_MANEUVER_MPS2 = 0.3
_SPEED_FLOOR_MPS = 0.5
_SPEED_GATE = 5.991  # chi-square, 2 degrees of freedom, 95 %


class Contact(Message, frozen=True, kw_only=True, array_like=True):
    """The ground's belief that one real thing exists; kept in the store, never sent over the link."""

    contact_id: str
    label: str
    score: float
    first_ns: int
    last_ns: int
    platform_ids: tuple[str, ...]
    track_ids: tuple[str, ...]
    sighting_count: int
    position: Position | None
    bearing: Bearing | None
    bearing_from: tuple[float, float] | None
    no_position_reason: str | None
    course_deg: float | None
    speed_mps: float | None
    model_id: str
    is_exercise: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactChanges:
    """What a `settle` changed: contacts new or different, and ids that are no more."""

    changed: tuple[Contact, ...]
    removed: tuple[str, ...]


class ContactNode(Protocol):
    """The seam for fusion: anything that turns sightings into contacts."""

    def knows(self, track_id: str) -> bool:
        """Whether the sightings of this track have been fed."""
        ...

    def add(self, sighting: Sighting) -> None:
        """Take in one sighting."""
        ...

    def settle(self) -> ContactChanges:
        """Work out what the sightings added since the last call change."""
        ...

    def forget_before(self, time_ns: int) -> int:
        """Drop what ended before `time_ns` (UTC ns) to bound memory; the number of tracks dropped."""
        ...


@dataclass(frozen=True, slots=True)
class _Look:
    time_ns: int
    sighting_id: str
    latitude_deg: float
    longitude_deg: float
    ee: float
    en: float
    nn: float
    alt_hae_m: float
    uu: float
    surface: Surface

    @property
    def worth(self) -> tuple[float, int, str]:
        return (self.ee + self.nn, self.time_ns, self.sighting_id)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Position at an instant, metres east and north of (latitude, longitude), with velocity."""

    latitude_deg: float
    longitude_deg: float
    covariance: FloatArray
    velocity_mps: FloatArray
    velocity_covariance: FloatArray
    look: _Look

    @property
    def sigma_m(self) -> float:
        return math.sqrt(max(float(np.trace(self.covariance)), 0.0))


@dataclass(slots=True)
class _Track:
    track_id: str
    platform_id: str
    sensor: tuple[str, str, str]
    first_ns: int
    last_ns: int
    seen: set[str] = field(default_factory=set)
    slots: dict[int, _Look] = field(default_factory=dict)
    cells: set[tuple[int, int]] = field(default_factory=set)
    box: tuple[float, float, float, float] | None = None
    scores: Counter[str] = field(default_factory=Counter)
    best_score: tuple[float, str, str] = (0.0, "", "")
    is_exercise: bool = False
    unplaced: Sighting | None = None

    @property
    def label(self) -> str:
        """The label with the most score behind it, a particular one before a generic one."""
        return min(self.scores, key=lambda name: (name in GENERIC_LABELS, -self.scores[name], name))

    @property
    def is_static(self) -> bool:
        return self.label in STATIC_LABELS

    def add(self, sighting: Sighting) -> bool:
        """Take in a sighting; False when it was known."""
        if sighting.sighting_id in self.seen:
            return False
        self.seen.add(sighting.sighting_id)
        self.first_ns = min(self.first_ns, sighting.time_ns)
        self.last_ns = max(self.last_ns, sighting.time_ns)
        self.scores[sighting.label] += round(sighting.score * 1_000_000) + 1
        self.best_score = max(self.best_score, (sighting.score, sighting.sighting_id, sighting.model_id))
        self.is_exercise = self.is_exercise or sighting.is_exercise
        if sighting.position is None:
            self._note_unplaced(sighting)
        else:
            self._note_look(_look_of(sighting, sighting.position))
        return True

    def _note_unplaced(self, sighting: Sighting) -> None:
        before = self.unplaced
        if before is None or (sighting.time_ns, sighting.sighting_id) > (before.time_ns, before.sighting_id):
            self.unplaced = sighting

    def _note_look(self, look: _Look) -> None:
        slot = look.time_ns // _SLOT_NS
        before = self.slots.get(slot)
        if before is None or look.worth < before.worth:
            self.slots[slot] = look
        if len(self.slots) > _MAX_SLOTS:
            del self.slots[min(self.slots)]
        self.cells.add(_cell(look.latitude_deg, look.longitude_deg))
        west, south, east, north = self.box or (*_place(look), *_place(look))
        self.box = (
            min(west, look.longitude_deg),
            min(south, look.latitude_deg),
            max(east, look.longitude_deg),
            max(north, look.latitude_deg),
        )

    def looks_near(self, at_ns: int) -> list[_Look]:
        """The looks that tell where it was at `at_ns`, in time order; at least one when there is any."""
        looks = [self.slots[slot] for slot in sorted(self.slots)]
        if self.is_static:
            return looks
        near = [look for look in looks if abs(look.time_ns - at_ns) <= _WINDOW_NS]
        if near or not looks:
            return near
        closest = min(looks, key=lambda look: (abs(look.time_ns - at_ns), look.time_ns))
        return [look for look in looks if abs(look.time_ns - closest.time_ns) <= _WINDOW_NS]


class ContactBook:
    """Contacts of the tracks fed so far; see the module for how."""

    def __init__(self, config: ContactsConfig) -> None:
        self._config = config
        self._gate = -2.0 * math.log(1.0 - config.gate_probability)
        self._tracks: dict[str, _Track] = {}
        self._in_cell: dict[tuple[int, int], set[str]] = {}
        self._edges: dict[str, dict[str, float]] = {}
        self._group_of: dict[str, tuple[str, ...]] = {}
        self._contact_of: dict[str, str] = {}
        self._dirty: set[str] = set()

    def knows(self, track_id: str) -> bool:
        """Whether the sightings of this track have been fed."""
        return track_id in self._tracks

    def add(self, sighting: Sighting) -> None:
        """Take in one sighting; one that was fed before changes nothing."""
        track = self._tracks.get(sighting.track_id)
        if track is None:
            track = self._tracks[sighting.track_id] = _Track(
                track_id=sighting.track_id,
                platform_id=sighting.platform_id,
                sensor=(sighting.platform_id, sighting.sortie_id, sighting.sensor_id),
                first_ns=sighting.time_ns,
                last_ns=sighting.time_ns,
            )
        before = len(track.cells)
        if track.add(sighting):
            self._dirty.add(track.track_id)
            if len(track.cells) != before:
                for cell in track.cells:
                    self._in_cell.setdefault(cell, set()).add(track.track_id)

    def settle(self) -> ContactChanges:
        """The contacts that the sightings added since the last call make or change, by id."""
        if not self._dirty:
            return ContactChanges(changed=(), removed=())
        dirty, self._dirty = self._dirty, set()
        touched = set(dirty)
        for track_id in sorted(dirty):
            touched |= self._edges.get(track_id, {}).keys()
            self._renew_edges(track_id)
            touched |= self._edges.get(track_id, {}).keys()
        region = self._closure(touched)
        old_groups = {self._group_of[track_id] for track_id in region if track_id in self._group_of}
        old_ids = {self._contact_of[track_id] for track_id in region if track_id in self._contact_of}
        new_groups = self._grouped(region)
        for group in new_groups:
            self._group_of.update(dict.fromkeys(group, group))
            self._contact_of.update(dict.fromkeys(group, self._contact_id(group)))
        changed = [group for group in new_groups if group not in old_groups or not dirty.isdisjoint(group)]
        contacts = sorted((self._contact(group) for group in changed), key=lambda one: one.contact_id)
        gone = old_ids - {self._contact_of[track_id] for track_id in region}
        return ContactChanges(changed=tuple(contacts), removed=tuple(sorted(gone)))

    def forget_before(self, time_ns: int) -> int:
        """Drop tracks that ended before `time_ns` to bound memory; their contacts stay as they are."""
        old = [track_id for track_id, track in self._tracks.items() if track.last_ns < time_ns]
        for track_id in old:
            track = self._tracks.pop(track_id)
            self._dirty.discard(track_id)
            for cell in track.cells:
                self._in_cell[cell].discard(track_id)
                if not self._in_cell[cell]:
                    del self._in_cell[cell]
            for other in self._edges.pop(track_id, {}):
                self._edges[other].pop(track_id, None)
            self._contact_of.pop(track_id, None)
            for other in self._group_of.pop(track_id, ()):
                if other in self._group_of:
                    self._group_of[other] = tuple(one for one in self._group_of[other] if one != track_id)
        return len(old)

    def _closure(self, start: Iterable[str]) -> set[str]:
        """`start` with all that hangs on it by edges or by the groups of before."""
        found: set[str] = set()
        open_ends = list(start)
        while open_ends:
            track_id = open_ends.pop()
            if track_id in found:
                continue
            found.add(track_id)
            open_ends.extend(self._edges.get(track_id, {}))
            open_ends.extend(self._group_of.get(track_id, ()))
        return found

    def _renew_edges(self, track_id: str) -> None:
        for other in self._edges.pop(track_id, {}):
            self._edges[other].pop(track_id, None)
        track = self._tracks[track_id]
        if not track.slots:
            return
        for other_id in sorted(self._neighbours(track)):
            distance = self._distance(track, self._tracks[other_id])
            if distance is not None:
                self._edges.setdefault(track_id, {})[other_id] = distance
                self._edges.setdefault(other_id, {})[track_id] = distance

    def _neighbours(self, track: _Track) -> set[str]:
        found: set[str] = set()
        for row, column in track.cells:
            for near_row in (row - 1, row, row + 1):
                shift = _column_ratio(row, near_row)
                middle = round(column * shift)
                for near_column in range(middle - 3, middle + 4):
                    cell = (near_row, near_column % _columns(near_row))
                    found |= self._in_cell.get(cell, set())
        found.discard(track.track_id)
        return found

    def _distance(self, one: _Track, two: _Track) -> float | None:
        """Squared Mahalanobis distance of two tracks at one instant; `None`: they cannot be one thing."""
        if _are_seen_apart(one, two):
            return None
        begins, ends = max(one.first_ns, two.first_ns), min(one.last_ns, two.last_ns)
        are_static = one.is_static and two.is_static
        gap_s = 0.0 if are_static else max(0.0, (begins - ends) / _NS)
        if gap_s > self._config.max_gap_s:
            return None
        if _gap_between_m(one, two) > self._config.max_distance_m + gap_s * 5 * self._config.speed_sigma_mps:
            return None
        if not _labels_agree(one.label, two.label):
            return None
        at_ns = ends if begins <= ends else (begins + ends) // 2
        first, second = self._estimate(one, at_ns), self._estimate(two, at_ns)
        if first is None or second is None:
            return None
        if max(first.sigma_m, second.sigma_m) > self._config.max_sigma_m:
            return None
        offset = _offset_m(first, second)
        if float(np.hypot(*offset)) > self._config.max_distance_m:
            return None
        squared = _mahalanobis(offset, first.covariance + second.covariance)
        if squared > self._gate or (not are_static and not self._velocities_agree(first, second)):
            return None
        return squared

    def _velocities_agree(self, first: _Estimate, second: _Estimate) -> bool:
        spread = first.velocity_covariance + second.velocity_covariance
        return _mahalanobis(first.velocity_mps - second.velocity_mps, spread) <= self._gate

    def _grouped(self, region: set[str]) -> list[tuple[str, ...]]:
        """Join best pairs first; never two tracks that one camera saw apart."""
        group_of: dict[str, list[str]] = {track_id: [track_id] for track_id in sorted(region)}
        pairs = sorted(
            (distance, one, two)
            for one in region
            for two, distance in self._edges.get(one, {}).items()
            if one < two
        )
        for _, one, two in pairs:
            first, second = group_of[one], group_of[two]
            if first is second or any(
                _are_seen_apart(self._tracks[a], self._tracks[b]) for a in first for b in second
            ):
                continue
            first.extend(second)
            for track_id in second:
                group_of[track_id] = first
        unique = {id(group): group for group in group_of.values()}
        return [tuple(sorted(group)) for group in unique.values()]

    def _contact_id(self, group: tuple[str, ...]) -> str:
        """Named after the track that was first; a late older one renames the contact."""
        leader = min(group, key=lambda track_id: (self._tracks[track_id].first_ns, track_id))
        return _id_of_leader(leader)

    def _contact(self, group: tuple[str, ...]) -> Contact:
        tracks = [self._tracks[track_id] for track_id in group]
        scores: Counter[str] = Counter()
        for track in tracks:
            scores.update(track.scores)
        label = min(scores, key=lambda name: (name in GENERIC_LABELS, -scores[name], name))
        best = max(track.best_score for track in tracks)
        last_ns = max(track.last_ns for track in tracks)
        position, velocity = self._fused(tracks)
        unplaced = max(
            (track.unplaced for track in tracks if track.unplaced is not None),
            key=lambda sighting: (sighting.time_ns, sighting.sighting_id),
            default=None,
        )
        bearing = unplaced if position is None else None
        return Contact(
            contact_id=self._contact_id(group),
            label=label,
            score=best[0],
            first_ns=min(track.first_ns for track in tracks),
            last_ns=last_ns,
            platform_ids=tuple(sorted({track.platform_id for track in tracks})),
            track_ids=group,
            sighting_count=sum(len(track.seen) for track in tracks),
            position=position,
            bearing=bearing.bearing if bearing is not None else None,
            bearing_from=bearing.platform_position[:2]
            if bearing is not None and bearing.platform_position is not None
            else None,
            no_position_reason=bearing.no_position_reason if bearing is not None else None,
            course_deg=velocity[0] if velocity is not None else None,
            speed_mps=velocity[1] if velocity is not None else None,
            model_id=best[2],
            is_exercise=any(track.is_exercise for track in tracks),
        )

    def _fused(self, tracks: list[_Track]) -> tuple[Position | None, tuple[float, float] | None]:
        placed = [track for track in tracks if track.slots]
        recent = {track.track_id: track.slots[max(track.slots)].time_ns for track in placed}
        newest_ns = max(recent.values(), default=0)
        estimates = []
        for track in placed:
            if track.is_static or newest_ns - recent[track.track_id] <= _WINDOW_NS:
                estimate = self._estimate(track, newest_ns)
                if estimate is not None:
                    estimates.append((estimate.sigma_m, track.track_id, estimate))
        if not estimates:
            return None, None
        estimates.sort(key=lambda item: item[:2])
        base = estimates[0][2]
        offset, covariance = np.zeros(2), base.covariance
        for _, _, estimate in estimates[1:]:
            offset, covariance = _intersected(
                offset, covariance, _offset_m(base, estimate), estimate.covariance
            )
        return _position(base, offset, covariance), None if placed[0].is_static else _motion(base)

    def _estimate(self, track: _Track, at_ns: int) -> _Estimate | None:
        """Weighted straight line through the looks near `at_ns`; only the unshared part averages out."""
        looks = track.looks_near(at_ns)
        if not looks:
            return None
        origin = looks[0]
        share = self._config.shared_share
        best = min(looks, key=lambda look: look.worth)
        speed_sigma = 1e-3 if track.is_static else self._config.speed_sigma_mps
        east_scale = _EARTH_M_PER_DEG * math.cos(math.radians(origin.latitude_deg))
        seconds = np.array([0.0 if track.is_static else (look.time_ns - at_ns) / _NS for look in looks])
        places = np.array(
            [
                (
                    _wrapped(look.longitude_deg - origin.longitude_deg) * east_scale,
                    (look.latitude_deg - origin.latitude_deg) * _EARTH_M_PER_DEG,
                )
                for look in looks
            ]
        )
        weights = np.linalg.inv(np.array([_matrix(look) for look in looks]) * (1.0 - share))
        weighted = np.einsum("nij,nj->ni", weights, places)
        once = (seconds @ weights.reshape(-1, 4)).reshape(2, 2)
        twice = (seconds**2 @ weights.reshape(-1, 4)).reshape(2, 2)
        information = np.block([[weights.sum(axis=0), once], [once, twice]])
        information[2:, 2:] += np.eye(2) * speed_sigma**-2
        covariance = np.linalg.inv(information)
        state = covariance @ np.concatenate([weighted.sum(axis=0), seconds @ weighted])
        outside_s = max(looks[0].time_ns - at_ns, at_ns - looks[-1].time_ns, 0) / _NS
        drift = 0.0 if track.is_static else (0.5 * _MANEUVER_MPS2 * outside_s**2) ** 2
        place = covariance[:2, :2] + share * _matrix(best) + np.eye(2) * drift
        return _Estimate(
            latitude_deg=origin.latitude_deg + float(state[1]) / _EARTH_M_PER_DEG,
            longitude_deg=_wrapped(origin.longitude_deg + float(state[0]) / east_scale),
            covariance=place,
            velocity_mps=state[2:],
            velocity_covariance=covariance[2:, 2:] + np.eye(2) * _SPEED_FLOOR_MPS**2,
            look=min(looks, key=lambda look: (abs(look.time_ns - at_ns), look.time_ns)),
        )


def _look_of(sighting: Sighting, position: Position) -> _Look:
    ee, en, _, nn, _, uu = position.covariance_enu_m2
    floor = 0.01
    return _Look(
        time_ns=sighting.time_ns,
        sighting_id=sighting.sighting_id,
        latitude_deg=position.latitude_deg,
        longitude_deg=position.longitude_deg,
        ee=ee + floor,
        en=en if abs(en) < math.sqrt(max(ee * nn, 0.0)) else 0.0,
        nn=nn + floor,
        alt_hae_m=position.alt_hae_m,
        uu=uu,
        surface=position.surface,
    )


def _place(look: _Look) -> tuple[float, float]:
    return look.longitude_deg, look.latitude_deg


def _gap_between_m(one: _Track, two: _Track) -> float:
    """Least distance between the boxes round two tracks, metres; a cheap first look."""
    if one.box is None or two.box is None:
        return math.inf
    north = max(one.box[1] - two.box[3], two.box[1] - one.box[3], 0.0)
    east = max(one.box[0] - two.box[2], two.box[0] - one.box[2], 0.0)
    east = min(east, max(0.0, 360.0 - east - (one.box[2] - one.box[0]) - (two.box[2] - two.box[0])))
    latitude = max(abs(one.box[1]), abs(two.box[1]), abs(one.box[3]), abs(two.box[3]))
    return math.hypot(north, east * math.cos(math.radians(min(latitude, 89.9)))) * _EARTH_M_PER_DEG


def _matrix(look: _Look) -> FloatArray:
    return np.array([[look.ee, look.en], [look.en, look.nn]])


def _mahalanobis(offset: FloatArray, covariance: FloatArray) -> float:
    return float(offset @ np.linalg.solve(covariance, offset))


def _offset_m(origin: _Estimate, other: _Estimate) -> FloatArray:
    """East and north from one estimate to another, flat earth: pairs are at most some kilometres apart."""
    middle = math.radians((origin.latitude_deg + other.latitude_deg) / 2)
    east = _wrapped(other.longitude_deg - origin.longitude_deg) * _EARTH_M_PER_DEG * math.cos(middle)
    return np.array([east, (other.latitude_deg - origin.latitude_deg) * _EARTH_M_PER_DEG])


def _intersected(
    one: FloatArray, one_covariance: FloatArray, two: FloatArray, two_covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Covariance intersection (Julier & Uhlmann, ACC 1997), the weight of least trace on a grid of 1/32."""
    first, second = np.linalg.inv(one_covariance), np.linalg.inv(two_covariance)
    weights = np.linspace(0.0, 1.0, 33)
    candidates = np.linalg.inv(weights[:, None, None] * first + (1.0 - weights[:, None, None]) * second)
    # The larger weight wins a tie, so that equal estimates leave the first one as it is.
    chosen = len(weights) - 1 - int(np.argmin(np.trace(candidates, axis1=1, axis2=2)[::-1]))
    weight, covariance = float(weights[chosen]), candidates[chosen]
    mean = covariance @ (weight * first @ one + (1.0 - weight) * second @ two)
    return mean, covariance


def _position(base: _Estimate, offset: FloatArray, covariance: FloatArray) -> Position:
    east_scale = _EARTH_M_PER_DEG * math.cos(math.radians(base.latitude_deg))
    look = base.look
    return Position(
        latitude_deg=min(90.0, max(-90.0, base.latitude_deg + float(offset[1]) / _EARTH_M_PER_DEG)),
        longitude_deg=_wrapped(base.longitude_deg + float(offset[0]) / max(east_scale, 1.0)),
        alt_hae_m=look.alt_hae_m,
        covariance_enu_m2=(
            float(covariance[0, 0]),
            float(covariance[0, 1]),
            0.0,
            float(covariance[1, 1]),
            0.0,
            look.uu,
        ),
        ce90_m=float(ce90_m(covariance)),
        le90_m=float(le90_m(look.uu)),
        surface=look.surface,
    )


def _motion(estimate: _Estimate) -> tuple[float, float] | None:
    """Course (degrees) and speed (m/s) when it moves beyond doubt (95 %), else `None`."""
    if _mahalanobis(estimate.velocity_mps, estimate.velocity_covariance) < _SPEED_GATE:
        return None
    east, north = (float(value) for value in estimate.velocity_mps)
    return math.degrees(math.atan2(east, north)) % 360.0, math.hypot(east, north)


def _labels_agree(one: str, two: str) -> bool:
    if one == two or one in GENERIC_LABELS or two in GENERIC_LABELS:
        return True
    return one in _VESSELS and two in _VESSELS


def _are_seen_apart(one: _Track, two: _Track) -> bool:
    """One camera saw both at the same time, so they are two things."""
    return one.sensor == two.sensor and max(one.first_ns, two.first_ns) <= min(one.last_ns, two.last_ns)


def _cell(latitude_deg: float, longitude_deg: float) -> tuple[int, int]:
    row = math.floor(latitude_deg / _CELL_DEG)
    return row, math.floor((longitude_deg + 180.0) * _row_scale(row) / _CELL_DEG)


def _columns(row: int) -> int:
    """Columns round the globe in this row; the last one is narrower."""
    return math.ceil(360.0 * _row_scale(row) / _CELL_DEG)


def _row_scale(row: int) -> float:
    return max(0.01, math.cos(math.radians((row + 0.5) * _CELL_DEG)))


def _column_ratio(row: int, near_row: int) -> float:
    return _row_scale(near_row) / _row_scale(row)


def _wrapped(longitude_deg: float) -> float:
    return (longitude_deg + 180.0) % 360.0 - 180.0


def _id_of_leader(track_id: str) -> str:
    if len(track_id) <= 120:
        return f"c-{track_id}"
    return f"c-{hashlib.sha256(track_id.encode()).hexdigest()[:40]}"
