"""Where a thing was at one instant and how it moved, from looks in any order with errors that hang together.

Generalised least squares on the looks themselves: place and velocity at the instant are unknown, and the
covariance of all looks holds what each has of its own, what looks of one platform share (a Gauss-Markov error
that partly lasts: boresight), what everybody shares (the height of the surface), and how far a thing
that steers gets from a straight line (white acceleration; Bar-Shalom, Estimation with Applications, 6.2.2).
The shared errors are never estimated, only considered (Schmidt 1966): they do not average out however
many looks there are. There is no filter whose state could depend on the order of arrival: the same
looks give the same answer to the last bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.looks import Columns, Look, Parts, columns_of, parts_of
from ground.fusion.plane import Plane, wrapped_deg
from skywarden.clock import NS_PER_S

FloatArray = npt.NDArray[np.float64]

_STANDING_MPS = 1e-3
_WILD = 30.0
"""Squared distance of a look from the fit, by its own stated covariance, beyond which it is left out."""
_LEAST_FOR_WILD = 4
_LEAST_WITHOUT = 3
_MOST_WILD = 0.125
"""Of all looks; where more lie wildly off, it is the straight line that is wrong and not they."""
_MOST_WILD_STATIC = 0.5
_LIVELIER = (1.0, 10.0, 100.0, 1_000.0)
"""How much more than usual a thing may steer, least first: a boat that flees in zigzags needs the third."""
_FIT_SIGMAS = 2.33
_LEAST_DETERMINANT = 1e-12
_NUMBERS_AT_ONCE = 100_000
"""In the covariance of all looks of the lots that are solved together: it stays in a processor's cache."""


@dataclass(frozen=True, slots=True)
class SharedPart:
    """How the errors that one source shares enter an estimate: seconds of its looks (n,) from the estimate's
    instant, and what each takes the state by (n, 4, 4)."""

    seconds: FloatArray
    effect: FloatArray


class Spot(NamedTuple):
    """The place of an estimate alone, with the metres of a degree there: enough to see that two are far
    apart."""

    latitude_deg: float
    longitude_deg: float
    sigma_m: float
    north_m_per_deg: float
    east_m_per_deg: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """State (4,) east, north in metres of `plane` and their rates at `at_ns`, and covariance (4, 4).

    `shared` and `common` tell what of its error is the platforms' and what is the surface's. `misfit` is the
    weighted sum of squared residuals, of `freedom` degrees; `nearest_id` names the look next to the instant.
    """

    plane: Plane
    at_ns: int
    state: FloatArray
    covariance: FloatArray
    shared: dict[str, SharedPart]
    common: FloatArray
    misfit: float
    freedom: int
    nearest_id: str

    @property
    def sigma_m(self) -> float:
        """Root of the summed variances of the place."""
        return math.sqrt(max(float(self.covariance[0, 0] + self.covariance[1, 1]), 0.0))

    @property
    def spot(self) -> Spot:
        """The place alone."""
        plane = self.plane
        latitude_deg, longitude_deg = plane.geodetic(float(self.state[0]), float(self.state[1]))
        return Spot(latitude_deg, longitude_deg, self.sigma_m, plane.north_m_per_deg, plane.east_m_per_deg)

    @property
    def is_fitting(self) -> bool:
        """Whether the residuals are no larger than stated (chi-square, 99 %; Wilson and Hilferty 1931)."""
        freedom = max(1, self.freedom)
        cube = 2.0 / (9.0 * freedom)
        return self.misfit <= freedom * (1.0 - cube + _FIT_SIGMAS * math.sqrt(cube)) ** 3


class Lot(NamedTuple):
    """What one estimate is made of: at least one look, in any order, of a thing that moves or never does; the
    instant, and the plane (of the first look when there is none)."""

    looks: Sequence[Look]
    at_ns: int
    is_static: bool
    plane: Plane | None = None


def estimates(lots: Sequence[Lot], config: ContactsConfig) -> list[Estimate]:
    """The state at the instant of each lot; alone or among others, each comes out the same to the last bit.
    About 0.2 ms for 30 looks among many lots, 0.5 alone.

    A look that lies wildly off the others (a box of something else) is left out when there are enough. What
    no straight line explains steers: it is allowed as much more as its looks need, so that the place follows
    the newest of them and its ellipse says what is not known.
    """
    trials = [_Trial.of(lot) for lot in lots]
    found = _without_wild(trials, config)
    for liveliness in _LIVELIER[1:]:
        again = [row for row, one in enumerate(trials) if one.is_mobile and not found[row].is_fitting]
        if not again:
            break
        livelier = _without_wild([trials[row]._replace(liveliness=liveliness) for row in again], config)
        for row, one in zip(again, livelier, strict=True):
            found[row] = one
    return found


class _Trial(NamedTuple):
    """A lot in order of time, with its plane; `liveliness` 0 for what never moves."""

    looks: list[Look]
    at_ns: int
    plane: Plane
    liveliness: float

    @classmethod
    def of(cls, lot: Lot) -> "_Trial":
        looks = sorted(lot.looks, key=lambda look: (look.time_ns, look.sighting_id))
        plane = lot.plane or Plane(looks[0].latitude_deg, looks[0].longitude_deg)
        return cls(looks, lot.at_ns, plane, 0.0 if lot.is_static else _LIVELIER[0])

    @property
    def is_mobile(self) -> bool:
        return self.liveliness > 0.0

    def without(self, wild: list[int]) -> "_Trial | None":
        """This without looks that lie wildly off, where these are few enough to be what is wrong."""
        most = max(1, round((_MOST_WILD if self.is_mobile else _MOST_WILD_STATIC) * len(self.looks)))
        if not wild or len(wild) > most or len(self.looks) - len(wild) < _LEAST_WITHOUT:
            return None
        return self._replace(looks=[look for row, look in enumerate(self.looks) if row not in wild])


def _without_wild(trials: list[_Trial], config: ContactsConfig) -> list[Estimate]:
    """One fit each, and a second one without the looks that lie wildly off it, where these are few."""
    solved = _solved(trials, config)
    found = [one for one, _ in solved]
    again = [(row, trials[row].without(wild)) for row, (_, wild) in enumerate(solved)]
    second = [(row, trial) for row, trial in again if trial is not None]
    for (row, _), (one, _) in zip(second, _solved([trial for _, trial in second], config), strict=True):
        found[row] = one
    return found


def apart_m(one: Spot, two: Spot) -> float:
    """From `one` to `two`."""
    return math.hypot(
        wrapped_deg(two.longitude_deg - one.longitude_deg) * one.east_m_per_deg,
        (two.latitude_deg - one.latitude_deg) * one.north_m_per_deg,
    )


def difference(one: Estimate, two: Estimate, config: ContactsConfig) -> tuple[FloatArray, FloatArray]:
    """The state of `two` less that of `one` (4,), and its covariance (4, 4): what both share counts for
    neither. The two are of different looks."""
    offset = two.state - one.state
    place = two.plane.geodetic(float(two.state[0]), float(two.state[1]))
    offset[:2] = np.array(one.plane.east_north_m(*place)) - one.state[:2]
    between = np.outer(one.common, two.common)
    apart_s = (two.at_ns - one.at_ns) / NS_PER_S
    for source, mine in one.shared.items():
        theirs = two.shared.get(source)
        if theirs is not None:
            kinship = _kinship(np.abs(mine.seconds[:, None] - theirs.seconds[None, :] - apart_s), config)
            between += np.einsum("iab,ij,jcb->ac", mine.effect, kinship, theirs.effect)
    covariance = one.covariance + two.covariance - between - between.T
    return offset, _kept_sure(covariance, one, two)


def mahalanobis(offset: FloatArray, covariance: FloatArray) -> float:
    """Squared, of two numbers."""
    a, b, d = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
    determinant = max(a * d - b * b, _LEAST_DETERMINANT)
    x, y = float(offset[0]), float(offset[1])
    return max(0.0, (d * x * x - 2.0 * b * x * y + a * y * y) / determinant)


def _solved(trials: list[_Trial], config: ContactsConfig) -> list[tuple[Estimate, list[int]]]:
    """A fit each, and the rows of looks that lie wildly off it; those with as many looks go together."""
    by_count: dict[int, list[int]] = {}
    for number, trial in enumerate(trials):
        by_count.setdefault(len(trial.looks), []).append(number)
    found: dict[int, tuple[Estimate, list[int]]] = {}
    for count, numbers in by_count.items():
        at_once = max(1, _NUMBERS_AT_ONCE // (2 * count) ** 2)
        for begin in range(0, len(numbers), at_once):
            some = numbers[begin : begin + at_once]
            found.update(zip(some, _solved_alike([trials[one] for one in some], config), strict=True))
    return [found[number] for number in range(len(trials))]


def _solved_alike(trials: list[_Trial], config: ContactsConfig) -> list[tuple[Estimate, list[int]]]:
    """Of B trials with N looks each. Only what works on each trial by itself is used here (no `einsum`, whose
    order of summing depends on the shape), so that nobody's answer depends on who comes along."""
    lots, count = [trial.looks for trial in trials], len(trials[0].looks)
    columns = columns_of(lots, [trial.plane for trial in trials], [trial.at_ns for trial in trials])
    parts = parts_of(columns, config)
    density = config.manoeuvre_m2ps3 * np.array([trial.liveliness for trial in trials])
    is_mobile = np.array([trial.is_mobile for trial in trials])
    every = _error_covariance(parts, columns, config, density)
    design = np.zeros((len(trials), count, 2, 4))
    design[:, :, 0, 0] = design[:, :, 1, 1] = 1.0
    design[:, :, 0, 2] = design[:, :, 1, 3] = np.where(is_mobile[:, None], columns.seconds, 0.0)
    flat = design.reshape(-1, 2 * count, 4)
    places = columns.places.reshape(-1, 2 * count, 1)
    weighted = np.linalg.solve(every, np.concatenate([flat, places], axis=2))
    weights = weighted[:, :, :4].transpose(0, 2, 1).copy()
    information = weights @ flat
    speed_sigma = np.where(is_mobile, config.speed_sigma_mps, _STANDING_MPS)
    information[:, [2, 3], [2, 3]] += speed_sigma[:, None] ** -2.0
    covariance = np.linalg.inv(information)
    covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
    gain = covariance @ weights
    state = gain @ places
    residual = places - flat @ state
    misfit = residual.transpose(0, 2, 1) @ (weighted[:, :, 4:] - weighted[:, :, :4] @ state)
    is_wild = _misfits(residual.reshape(-1, count, 2), parts, columns, density) > _WILD
    by_look = gain.reshape(-1, 4, count, 2).transpose(0, 2, 1, 3).copy()
    effect = by_look @ parts.shared
    common = gain @ parts.common.reshape(-1, 2 * count, 1)
    nearest = np.argmin(np.abs(columns.seconds), axis=1)
    return [
        (
            Estimate(
                plane=trial.plane,
                at_ns=trial.at_ns,
                state=state[row, :, 0].copy(),
                covariance=covariance[row].copy(),
                shared=_shared_parts(effect[row], columns.seconds[row], trial.looks),
                common=common[row, :, 0].copy(),
                misfit=float(misfit[row, 0, 0]),
                freedom=2 * count - (4 if trial.is_mobile else 2),
                nearest_id=trial.looks[nearest[row]].sighting_id,
            ),
            np.flatnonzero(is_wild[row]).tolist() if count >= _LEAST_FOR_WILD else [],
        )
        for row, trial in enumerate(trials)
    ]


def _misfits(residual: FloatArray, parts: Parts, columns: Columns, density: FloatArray) -> FloatArray:
    """Squared distance (B, N) of each look from the fit, by its own stated covariance and how far a thing
    gets that steers."""
    steered = density[:, None] * (np.abs(columns.seconds) ** 3 / 3)
    east, north = parts.shared[:, :, 0], parts.shared[:, :, 1]
    a = parts.own[:, :, 0, 0] + (east * east).sum(axis=2) + steered
    b = parts.own[:, :, 0, 1] + (east * north).sum(axis=2)
    d = parts.own[:, :, 1, 1] + (north * north).sum(axis=2) + steered
    x, y = residual[:, :, 0], residual[:, :, 1]
    determinant = np.maximum(a * d - b * b, _LEAST_DETERMINANT)
    found: FloatArray = (d * x * x - 2.0 * b * x * y + a * y * y) / determinant
    return found


def _error_covariance(
    parts: Parts, columns: Columns, config: ContactsConfig, density: FloatArray
) -> FloatArray:
    """Of all looks of a lot together, (B, 2 N, 2 N)."""
    lots, count = columns.seconds.shape
    seconds, source = columns.seconds, columns.source
    kinship = _kinship(np.abs(seconds[:, :, None] - seconds[:, None, :]), config)
    kinship = np.where(source[:, :, None] == source[:, None, :], kinship, 0.0)
    flat = parts.shared.reshape(lots, 2 * count, -1)
    every = (flat @ flat.transpose(0, 2, 1)).reshape(lots, count, 2, count, 2)
    every *= kinship[:, :, None, :, None]
    common = parts.common.reshape(lots, 2 * count)
    every += (common[:, :, None] * common[:, None, :]).reshape(every.shape)
    steered = density[:, None, None] * _steered(seconds)
    every[:, :, 0, :, 0] += steered
    every[:, :, 1, :, 1] += steered
    rows = np.arange(count)
    every[:, rows, :, rows, :] += parts.own.transpose(1, 0, 2, 3)
    return every.reshape(lots, 2 * count, 2 * count)


def _kinship(apart_s: FloatArray, config: ContactsConfig) -> FloatArray:
    """Correlation of a source's shared errors so many seconds apart."""
    lasting = config.lasting_share
    kinship: FloatArray = lasting + (1.0 - lasting) * np.exp(-apart_s / config.bias_time_s)
    return kinship


def _steered(seconds: FloatArray) -> FloatArray:
    """(B, N, N): white acceleration of density one integrated twice, outward from the instant."""
    size, rows, columns = np.abs(seconds), seconds[:, :, None], seconds[:, None, :]
    least = np.minimum(size[:, :, None], size[:, None, :])
    most = np.maximum(size[:, :, None], size[:, None, :])
    out: FloatArray = np.where(rows * columns > 0.0, least**2 * (3.0 * most - least) / 6.0, 0.0)
    return out


def _shared_parts(effect: FloatArray, seconds: FloatArray, looks: list[Look]) -> dict[str, SharedPart]:
    found = {}
    for source in sorted({look.source for look in looks}):
        rows = [row for row, look in enumerate(looks) if look.source == source]
        found[source] = SharedPart(seconds[rows], effect[rows])
    return found


def _kept_sure(covariance: FloatArray, one: Estimate, two: Estimate) -> FloatArray:
    """Symmetric, and at least a hundredth of both covariances: what is shared is known in size only."""
    least = 0.01 * (one.covariance + two.covariance)
    covariance = (covariance + covariance.T) / 2 - least
    values, vectors = np.linalg.eigh(covariance)
    kept: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T + least
    return kept
