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

import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.looks import Look, Parts, parts_of
from ground.fusion.plane import Plane

FloatArray = npt.NDArray[np.float64]

NS_PER_S = 1_000_000_000
_STANDING_MPS = 1e-3
_WILD = 30.0
"""Squared distance of a look from the fit, by its own stated covariance, beyond which it is left out."""
_LEAST_FOR_WILD = 4
_MOST_WILD = 0.125
"""Of all looks; where more lie wildly off, it is the straight line that is wrong and not they."""
_LIVELIER = (1.0, 10.0, 100.0, 1_000.0)
"""How much more than usual a thing may steer, least first: a boat that flees in zigzags needs the third."""
_FIT_SIGMAS = 2.33


@dataclass(frozen=True, slots=True)
class SharedPart:
    """How the errors that one source shares enter an estimate: seconds of its looks (n,) from the estimate's
    instant, and what each takes the state by (n, 4, 4)."""

    seconds: FloatArray
    effect: FloatArray


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of an estimate alone, metres of its plane: enough to see that two are far apart."""

    plane: Plane
    east_m: float
    north_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """State (4,) east, north in metres of `plane` and their rates at `at_ns`, and covariance (4, 4).

    `shared` and `common` tell what of its error is the platforms' and what is the surface's. `misfit` is the
    weighted sum of squared residuals, of `freedom` degrees.
    """

    plane: Plane
    at_ns: int
    state: FloatArray
    covariance: FloatArray
    shared: dict[str, SharedPart]
    common: FloatArray
    misfit: float
    freedom: int
    nearest: Look

    @property
    def sigma_m(self) -> float:
        """Root of the summed variances of the place."""
        return math.sqrt(max(float(self.covariance[0, 0] + self.covariance[1, 1]), 0.0))

    @property
    def spot(self) -> Spot:
        """The place alone."""
        return Spot(self.plane, float(self.state[0]), float(self.state[1]), self.sigma_m)

    @property
    def is_fitting(self) -> bool:
        """Whether the residuals are no larger than stated (chi-square, 99 %; Wilson and Hilferty 1931)."""
        freedom = max(1, self.freedom)
        cube = 2.0 / (9.0 * freedom)
        return self.misfit <= freedom * (1.0 - cube + _FIT_SIGMAS * math.sqrt(cube)) ** 3

    @property
    def velocity_distance(self) -> float:
        """Squared Mahalanobis distance of the velocity from standing still (2 degrees of freedom)."""
        return mahalanobis(self.state[2:], self.covariance[2:, 2:])


def estimate(
    looks: Sequence[Look], at_ns: int, config: ContactsConfig, *, is_static: bool, plane: Plane | None = None
) -> Estimate:
    """The state at `at_ns` from at least one look, in any order; about 0.3 ms for 30 looks.

    A look that lies wildly off the others (a box of something else) is left out when there are enough. What
    no straight line explains steers: it is allowed as much more as its looks need, so that the place follows
    the newest of them and its ellipse says what is not known.
    """
    ordered = sorted(looks, key=lambda look: (look.time_ns, look.sighting_id))
    plane = plane or Plane(ordered[0].latitude_deg, ordered[0].longitude_deg)
    if is_static:
        return _without_wild(ordered, at_ns, config, plane, None, most_wild=0.5)
    for liveliness in _LIVELIER:
        density = config.manoeuvre_m2ps3 * liveliness
        found = _without_wild(ordered, at_ns, config, plane, density, most_wild=_MOST_WILD)
        if found.is_fitting:
            break
    return found


def _without_wild(
    looks: list[Look],
    at_ns: int,
    config: ContactsConfig,
    plane: Plane,
    density: float | None,
    most_wild: float,
) -> Estimate:
    """One fit, and a second one without the looks that lie wildly off it, where these are few."""
    found, wild = _solved(looks, at_ns, config, plane, density)
    if not wild or len(wild) > max(1, round(most_wild * len(looks))) or len(looks) - len(wild) < 3:
        return found
    return _solved(
        [look for row, look in enumerate(looks) if row not in wild], at_ns, config, plane, density
    )[0]


def offset_m(one: Spot, two: Spot) -> tuple[float, float]:
    """From `one` to `two`, metres east and north."""
    east, north = one.plane.east_north_m(*two.plane.geodetic(two.east_m, two.north_m))
    return east - one.east_m, north - one.north_m


def difference(one: Estimate, two: Estimate, config: ContactsConfig) -> tuple[FloatArray, FloatArray]:
    """The state of `two` less that of `one` (4,), and its covariance (4, 4): what both share counts for
    neither. The two are of different looks."""
    offset = two.state - one.state
    offset[0], offset[1] = offset_m(one.spot, two.spot)
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
    determinant = max(a * d - b * b, 1e-12)
    x, y = float(offset[0]), float(offset[1])
    return max(0.0, (d * x * x - 2.0 * b * x * y + a * y * y) / determinant)


def _solved(
    looks: list[Look], at_ns: int, config: ContactsConfig, plane: Plane, density: float | None
) -> tuple[Estimate, set[int]]:
    """The fit with white acceleration of this density (m^2/s^3), `None` for what never moves; and the rows of
    looks that lie wildly off it."""
    count, is_static = len(looks), density is None
    parts = parts_of(looks, plane, config)
    seconds = np.array([(look.time_ns - at_ns) / NS_PER_S for look in looks])
    places = np.array([plane.east_north_m(look.latitude_deg, look.longitude_deg) for look in looks])
    sources = [look.source for look in looks]
    every = _error_covariance(parts, seconds, sources, config, density)
    design = np.zeros((count, 2, 4))
    design[:, 0, 0] = design[:, 1, 1] = 1.0
    if not is_static:
        design[:, 0, 2] = design[:, 1, 3] = seconds
    flat = design.reshape(2 * count, 4)
    weighted = np.linalg.solve(every, flat)
    information = flat.T @ weighted
    speed_sigma = _STANDING_MPS if is_static else config.speed_sigma_mps
    information[[2, 3], [2, 3]] += speed_sigma**-2
    covariance = np.linalg.inv(information)
    covariance = (covariance + covariance.T) / 2
    gain = covariance @ weighted.T
    state = gain @ places.reshape(-1)
    residual = places - design @ state
    stated = parts.own + parts.shared @ parts.shared.transpose(0, 2, 1)
    if density is not None:
        stated[:, [0, 1], [0, 1]] += density * (np.abs(seconds) ** 3 / 3)[:, None]
    misfits = [mahalanobis(residual[row], stated[row]) for row in range(count)]
    wild = {row for row in range(count) if count >= _LEAST_FOR_WILD and misfits[row] > _WILD}
    misfit = float(residual.reshape(-1) @ np.linalg.solve(every, residual.reshape(-1)))
    by_look = gain.reshape(4, count, 2)
    nearest = min(looks, key=lambda look: (abs(look.time_ns - at_ns), look.time_ns, look.sighting_id))
    made = Estimate(
        plane=plane,
        at_ns=at_ns,
        state=state,
        covariance=covariance,
        shared=_shared_parts(by_look, parts, seconds, sources),
        common=np.einsum("anx,nx->a", by_look, parts.common),
        misfit=misfit,
        freedom=2 * count - (2 if is_static else 4),
        nearest=nearest,
    )
    return made, wild


def _error_covariance(
    parts: Parts, seconds: FloatArray, sources: list[str], config: ContactsConfig, density: float | None
) -> FloatArray:
    """Of all looks together, (2 N, 2 N)."""
    count = len(seconds)
    names = {name: number for number, name in enumerate(sorted(set(sources)))}
    source = np.array([names[name] for name in sources])
    kinship = _kinship(np.abs(seconds[:, None] - seconds[None, :]), config)
    kinship = np.where(source[:, None] == source[None, :], kinship, 0.0)
    flat = parts.shared.reshape(2 * count, -1)
    every = (flat @ flat.T).reshape(count, 2, count, 2) * kinship[:, None, :, None]
    common = parts.common.reshape(-1)
    every = every + np.outer(common, common).reshape(count, 2, count, 2)
    rows = np.arange(count)
    every[rows, :, rows, :] += parts.own
    if density is not None:
        steered = density * _steered(seconds)
        every[:, 0, :, 0] += steered
        every[:, 1, :, 1] += steered
    return every.reshape(2 * count, 2 * count)


def _kinship(apart_s: FloatArray, config: ContactsConfig) -> FloatArray:
    """Correlation of a source's shared errors so many seconds apart."""
    lasting = config.lasting_share
    kinship: FloatArray = lasting + (1.0 - lasting) * np.exp(-apart_s / config.bias_time_s)
    return kinship


def _steered(seconds: FloatArray) -> FloatArray:
    """Covariance (N, N) of twice integrated white acceleration of density one, from the instant outward."""
    size = np.abs(seconds)
    least, most = np.minimum(size[:, None], size[None, :]), np.maximum(size[:, None], size[None, :])
    is_same_side = seconds[:, None] * seconds[None, :] > 0.0
    out: FloatArray = np.where(is_same_side, least**2 * (3.0 * most - least) / 6.0, 0.0)
    return out


def _shared_parts(
    by_look: FloatArray, parts: Parts, seconds: FloatArray, sources: list[str]
) -> dict[str, SharedPart]:
    effect = np.einsum("anx,nxb->nab", by_look, parts.shared)
    found = {}
    for source in sorted(set(sources)):
        rows = [row for row, name in enumerate(sources) if name == source]
        found[source] = SharedPart(seconds[rows], effect[rows])
    return found


def _kept_sure(covariance: FloatArray, one: Estimate, two: Estimate) -> FloatArray:
    """Symmetric, and at least a hundredth of both covariances: what is shared is known in size only."""
    least = 0.01 * (one.covariance + two.covariance)
    covariance = (covariance + covariance.T) / 2 - least
    values, vectors = np.linalg.eigh(covariance)
    kept: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T + least
    return kept
