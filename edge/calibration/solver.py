"""Calibration from looks: robust least squares with priors, what it cannot see, who lies, and the proof.

Gauss-Newton on reweighted residuals (Cauchy weights; Huber 1981, chapter 7). Every thing may be off by its
own shared error and every moment by its own attitude and position; those are estimated along and integrated
out, so that twenty looks at one badly placed thing do not count as twenty. Parameters that the looks do not
tell apart are held at zero and counted as uncertain (Schmidt 1966), never fitted. A calibration is handed
out only after it has improved looks that took no part in it.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge.calibration.looks import (
    LASTING,
    PARAMETERS,
    Looks,
    Slopes,
    ground_misses_m,
    internal_units,
    readable_units,
    slopes,
)
from skywarden.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

PRIOR_SIGMAS = {
    "boresight_roll_deg": 0.6,
    "boresight_pitch_deg": 0.6,
    "heading_deg": 2.0,
    "time_offset_s": 0.1,
    "north_m": 1.5,
    "east_m": 1.5,
    "down_m": 3.0,
}
"""One sigma of what is not known beforehand of a consumer drone: boresight and its share of the attitude."""

_CAUCHY = 3.0
_ITERATIONS = 25
_NOISE_ROUNDS = 5
_NOISE_STEP = 1.1
_TINY = 1e-12
_BOOTSTRAPS = 1000


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """What the solver takes for granted.

    Attributes:
        prior_sigmas: by parameter, in its readable unit; what is not named stays as it is.
        look_attitude_deg: attitude error that looks of one moment share and others do not, per axis.
        look_position_m: the same of the camera's position, per axis.
        observable_ratio: a parameter is told by the looks when its sigma falls below this share of the prior.
        lie_chance: a thing is called a liar when chance would do as much so rarely.
        margin: held-out misses (RMS) must fall by this share at least.
        confidence: and surely so, by bootstrap over what was held out.
        min_blocks: no proof with fewer independent blocks of held-out looks.
    """

    prior_sigmas: Mapping[str, float] = field(default_factory=lambda: dict(PRIOR_SIGMAS))
    look_attitude_deg: float = 0.2
    look_position_m: float = 0.5
    observable_ratio: float = 0.7
    lie_chance: float = 1e-4
    margin: float = 0.05
    confidence: float = 0.95
    min_blocks: int = 6

    def __post_init__(self) -> None:
        """Raise `InputError` on parameters that do not exist and on sigmas that cannot be."""
        for name, sigma in self.prior_sigmas.items():
            if name not in PARAMETERS:
                raise InputError(f"no parameter {name!r}; there are {', '.join(PARAMETERS)}")
            if not (math.isfinite(sigma) and 0.0 < sigma < 1e4):
                raise InputError(f"prior sigma of {name} is {sigma}; expected more than 0 and finite")


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """What the looks say.

    Attributes:
        names: the parameters that were open, estimated and held ones.
        values: shape (n,), readable units; exactly 0 for held ones.
        covariance: shape (n, n), readable units; held ones at their prior.
        prior_sigmas: shape (n,).
        unobservable: held parameters and why, in words.
        scale: how much larger the residuals are than the stated sigmas, at least 1; the covariance knows it.
        weights: of the looks, shape (N,), near 0 for outliers.
        thing_offsets_m: how far each thing seems to be off, shape (M, 3); 0 for those without looks.
    """

    names: tuple[str, ...]
    values: FloatArray
    covariance: FloatArray
    prior_sigmas: FloatArray
    unobservable: Mapping[str, str]
    scale: float
    cost: float
    weights: FloatArray
    thing_offsets_m: FloatArray

    @property
    def sigmas(self) -> FloatArray:
        """Shape (n,), readable units."""
        result: FloatArray = np.sqrt(np.diagonal(self.covariance))
        return result

    def value(self, name: str) -> float:
        """One parameter; 0 for one that was not open."""
        return float(self.values[self.names.index(name)]) if name in self.names else 0.0

    def sigma(self, name: str) -> float:
        """Its one-sigma error; 0 for one that was not open."""
        return float(self.sigmas[self.names.index(name)]) if name in self.names else 0.0

    def corrections(self, *, is_lasting_only: bool = False) -> FloatArray:
        """All parameters, shape (P,), internal units, for `looks.corrected`."""
        whole = np.zeros(len(PARAMETERS))
        for name, value in zip(self.names, self.values, strict=True):
            if not is_lasting_only or name in LASTING:
                whole[PARAMETERS.index(name)] = value
        return internal_units(whole)


def is_significant(found: Estimate, chance: float = 0.01) -> bool:
    """Whether the lasting corrections together differ from none, by chi-square; held ones do not count.

    What a flight's own position error does to looks can be mimicked by small turns: they may help this
    flight, and would harm the next. The quantile is Wilson & Hilferty's (1931), good to 1 %.
    """
    told = [k for k, name in enumerate(found.names) if name in LASTING and name not in found.unobservable]
    if not told:
        return False
    values, covariance = found.values[told], found.covariance[np.ix_(told, told)]
    square, count = float(values @ np.linalg.solve(covariance, values)), len(told)
    z = statistics.NormalDist().inv_cdf(1.0 - chance)
    limit = count * (1.0 - 2.0 / (9.0 * count) + z * math.sqrt(2.0 / (9.0 * count))) ** 3
    return square > limit


@dataclass(frozen=True, kw_only=True, eq=False)
class _Solved:
    """One converged fit of the parameters at `open_` (numbers in PARAMETERS)."""

    open_: IntArray
    corrections: FloatArray
    covariance: FloatArray
    by_held: FloatArray
    scale: float
    cost: float
    weights: FloatArray
    offsets: FloatArray


def estimate(looks: Looks, config: SolverConfig | None = None, *, noise: float = 1.0) -> Estimate:
    """Fit what the looks can tell; hold, name and count as uncertain what they cannot.

    `noise` is by how much the stated errors are known to be too small, at least; it saves rounds.

    Raises `InputError` when nothing is open or there is no look.
    """
    config = config or SolverConfig()
    if not len(looks):
        raise InputError("no looks to calibrate from")
    open_ = [PARAMETERS.index(name) for name in PARAMETERS if name in config.prior_sigmas]
    if not open_:
        raise InputError("no parameter is open: give at least one prior sigma")
    prior = _prior(config)
    held: list[int] = []
    while True:
        chosen = np.array([i for i in open_ if i not in held], dtype=np.intp)
        solved = _solve(looks, config, chosen, noise)
        noise = max(1.0, 0.95 * solved.scale)  # holding one more explains no more
        if not len(solved.open_):
            break
        ratio = np.sqrt(np.diagonal(solved.covariance)) / prior[solved.open_]
        judged = np.array([PARAMETERS[i] in LASTING for i in solved.open_])
        ratio = np.where(judged, ratio, 0.0)  # a flight's own position is a nuisance that may stay unknown
        worst = int(np.argmax(ratio))
        if ratio[worst] <= config.observable_ratio:
            break
        held.append(int(solved.open_[worst]))
    return _estimate(looks, config, solved, open_, held)


def _estimate(
    looks: Looks, config: SolverConfig, solved: _Solved, open_: list[int], held: list[int]
) -> Estimate:
    """Put the fitted and the held together; held errors reach the fitted through `by_held` (Schmidt)."""
    prior = _prior(config)
    order = [open_.index(int(i)) for i in solved.open_]
    rest = [open_.index(i) for i in held]
    covariance = np.zeros((len(open_), len(open_)))
    through = solved.by_held[:, held] if held else np.zeros((len(order), 0))
    held_covariance = np.diag(prior[held] ** 2) if held else np.zeros((0, 0))
    covariance[np.ix_(order, order)] = solved.covariance + through @ held_covariance @ through.T
    covariance[np.ix_(order, rest)] = through @ held_covariance
    covariance[np.ix_(rest, order)] = covariance[np.ix_(order, rest)].T
    covariance[np.ix_(rest, rest)] = held_covariance
    unit = internal_units(np.ones(len(PARAMETERS)))[open_]
    return Estimate(
        names=tuple(PARAMETERS[i] for i in open_),
        values=readable_units(solved.corrections)[open_],
        covariance=covariance / np.outer(unit, unit),
        prior_sigmas=readable_units(prior)[open_],
        unobservable={PARAMETERS[i]: _why(PARAMETERS[i], looks, config) for i in sorted(held)},
        scale=solved.scale,
        cost=solved.cost,
        weights=solved.weights,
        thing_offsets_m=solved.offsets,
    )


def best_sigmas(looks: Looks, config: SolverConfig | None = None) -> dict[str, float]:
    """One sigma of every open parameter, readable units, that no estimate from such looks can go below.

    The Cramer-Rao bound with the priors as knowledge (van Trees 1968, 2.4), if errors are as stated: from the
    geometry of the looks alone, whatever they show, so it can be asked before a flight. Raises as `estimate`.
    """
    config = config or SolverConfig()
    open_ = np.array([PARAMETERS.index(name) for name in PARAMETERS if name in config.prior_sigmas])
    if not len(looks) or not len(open_):
        raise InputError("no looks, or no parameter is open: nothing to tell the best sigmas of")
    system = _System(looks, config, open_)
    _, jacobian, _, _ = system.linear(np.zeros(system.count))
    flat = jacobian.reshape(-1, system.count)
    covariance = np.linalg.inv(flat.T @ flat + np.diag(system.information))
    whole = np.zeros(len(PARAMETERS))
    whole[open_] = np.sqrt(np.diagonal(covariance))[: len(open_)]
    readable = readable_units(whole)
    return {PARAMETERS[i]: float(readable[i]) for i in open_}


def _prior(config: SolverConfig) -> FloatArray:
    """Prior sigmas, shape (P,), internal units; 0 where a parameter is closed."""
    return internal_units([config.prior_sigmas.get(name, 0.0) for name in PARAMETERS])


class _System:
    """The states of one fit: open parameters, offsets of things, errors of moments with several looks."""

    def __init__(self, looks: Looks, config: SolverConfig, open_: IntArray, noise: float = 1.0) -> None:
        self.looks, self.open_, self.noise = looks, open_, noise
        self.attitude = (math.radians(config.look_attitude_deg) * noise) ** 2
        self.position = (config.look_position_m * noise) ** 2
        seen = np.bincount(looks.thing, minlength=len(looks.things)) > 0
        self.things = np.flatnonzero(seen & (looks.thing_sigma_m > 0.0).any(axis=1))
        times = np.bincount(looks.moment, minlength=len(looks.moments))
        self.moments = np.flatnonzero(times > 1)
        self.is_single = times[looks.moment] == 1
        count = len(open_)
        self.thing_at = {int(thing): count + 3 * k for k, thing in enumerate(self.things)}
        count += 3 * len(self.things)
        self.moment_at = {int(moment): count + 6 * k for k, moment in enumerate(self.moments)}
        self.count = count + 6 * len(self.moments)
        sigma = np.maximum(looks.thing_sigma_m[self.things], 1e-3).ravel()
        own = np.tile([self.attitude] * 3 + [self.position] * 3, len(self.moments))
        own = np.maximum(own, _TINY)
        self.information = np.concatenate([1 / _prior(config)[open_] ** 2, 1 / sigma**2, 1 / own])
        self.thing_column = np.array([self.thing_at.get(int(t), -1) for t in looks.thing])
        self.moment_column = np.array([self.moment_at.get(int(m), -1) for m in looks.moment])

    def corrections(self, states: FloatArray) -> FloatArray:
        whole = np.zeros(len(PARAMETERS))
        whole[self.open_] = states[: len(self.open_)]
        return whole

    def offsets(self, states: FloatArray) -> FloatArray:
        """Of every thing, shape (M, 3)."""
        offsets = np.zeros((len(self.looks.things), 3))
        first = len(self.open_)
        offsets[self.things] = states[first : first + 3 * len(self.things)].reshape(-1, 3)
        return offsets

    def linear(self, states: FloatArray) -> tuple[FloatArray, FloatArray, Slopes, FloatArray]:
        """Whitened residuals (N, 2), Jacobian (N, 2, states), raw slopes and whiteners (N, 2, 2)."""
        looks = self.looks
        offset = self.offsets(states)[looks.thing]
        found = slopes(looks, self.corrections(states), offset)
        jacobian = np.zeros((len(looks), 2, self.count))
        jacobian[:, :, : len(self.open_)] = found.by_parameter[:, :, self.open_]
        rows = np.arange(len(looks))
        for k in range(3):
            has = self.thing_column >= 0
            jacobian[rows[has], :, self.thing_column[has] + k] = found.by_place[has][:, :, k]
            has = self.moment_column >= 0
            jacobian[rows[has], :, self.moment_column[has] + k] = found.by_turn[has][:, :, k]
            jacobian[rows[has], :, self.moment_column[has] + 3 + k] = -found.by_place[has][:, :, k]
        residual = found.residual.copy()
        shared = self.moment_column >= 0
        if shared.any():  # moments are linear and small: their share of the residual is their slope
            at = self.moment_column[shared][:, None] + np.arange(6)
            own = np.take_along_axis(jacobian[shared], at[:, None, :].repeat(2, 1), axis=2)
            residual[shared] += np.einsum("nij,nj->ni", own, states[at])
        white = self.whiteners(found)
        return np.einsum("nij,nj->ni", white, residual), white @ jacobian, found, white

    def whiteners(self, found: Slopes) -> FloatArray:
        """What makes residuals of unit sigma of them, shape (N, 2, 2)."""
        looks = self.looks
        noise = found.by_place @ looks.place_covariance_m2 @ np.swapaxes(found.by_place, 1, 2)
        noise[:, [0, 1], [0, 1]] += (looks.ray_sigma_rad**2)[:, None]
        noise *= self.noise**2
        turn = found.by_turn @ np.swapaxes(found.by_turn, 1, 2) * self.attitude
        moved = found.by_place @ np.swapaxes(found.by_place, 1, 2) * self.position
        noise += np.where(self.is_single[:, None, None], turn + moved, 0.0)
        noise[:, [0, 1], [0, 1]] += _TINY
        lower = np.linalg.cholesky(noise)
        white: FloatArray = np.linalg.inv(lower)
        return white


def _solve(looks: Looks, config: SolverConfig, open_: IntArray, noise: float) -> _Solved:
    """Fit, and where the residuals are larger than stated, again with the noise that they show.

    Without that the weights would call half of the looks outliers (Huber's proposal 2 in spirit). The cost is
    minus twice the log likelihood, so that fits of different noise compare.
    """
    start: FloatArray | None = None
    for _ in range(_NOISE_ROUNDS):
        system = _System(looks, config, open_, noise)
        solved, start = _converged(system, start)
        if solved.scale <= _NOISE_STEP:
            break
        noise *= solved.scale
    return replace(
        solved, scale=max(1.0, solved.scale) * noise, cost=solved.cost + 4.0 * len(looks) * math.log(noise)
    )


def _converged(system: "_System", start: FloatArray | None) -> tuple[_Solved, FloatArray]:
    states = np.zeros(system.count) if start is None else start
    residual, jacobian, found, white = system.linear(states)
    cost = _cost(residual, states, system.information)
    for _ in range(_ITERATIONS):
        weight = _weights(residual)
        flat = (jacobian * np.sqrt(weight)[:, None, None]).reshape(-1, system.count)
        normal = flat.T @ flat + np.diag(system.information)
        pull = flat.T @ (residual * np.sqrt(weight)[:, None]).ravel() + system.information * states
        step = -np.linalg.solve(normal, pull)
        for _halving in range(6):
            tried = states + step
            again = system.linear(tried)
            new_cost = _cost(again[0], tried, system.information)
            if new_cost <= cost * (1 + 1e-9) + 1e-9:
                break
            step = step / 2
        is_done = cost - new_cost < 1e-4 * max(1.0, cost)
        states, cost, (residual, jacobian, found, white) = tried, new_cost, again
        if is_done:
            break
    return _answer(system, states, residual, jacobian, white @ found.by_parameter, cost), states


def _answer(
    system: _System,
    states: FloatArray,
    residual: FloatArray,
    jacobian: FloatArray,
    by_all: FloatArray,
    cost: float,
) -> _Solved:
    weight = _weights(residual)
    flat = (jacobian * np.sqrt(weight)[:, None, None]).reshape(-1, system.count)
    data = flat.T @ flat
    inverse = np.asarray(np.linalg.inv(data + np.diag(system.information)), dtype=np.float64)
    spent = float(np.trace(inverse @ data))
    freedom = max(1.0, 2.0 * float(weight.sum()) - spent)
    scale = math.sqrt(float(np.sum(weight * np.sum(residual**2, axis=1))) / freedom)
    count = len(system.open_)
    weighted = (by_all * np.sqrt(weight)[:, None, None]).reshape(-1, len(PARAMETERS))
    return _Solved(
        open_=system.open_,
        corrections=system.corrections(states),
        covariance=np.asarray(inverse[:count, :count] * max(1.0, scale) ** 2),
        by_held=-(inverse @ (flat.T @ weighted))[:count],
        scale=scale,
        cost=cost,
        weights=weight,
        offsets=system.offsets(states),
    )


def _weights(residual: FloatArray) -> FloatArray:
    weight: FloatArray = 1.0 / (1.0 + np.sum(residual**2, axis=1) / _CAUCHY**2)
    return weight


def _cost(residual: FloatArray, states: FloatArray, information: FloatArray) -> float:
    square = np.sum(residual**2, axis=1)
    return float(_CAUCHY**2 * np.log1p(square / _CAUCHY**2).sum() + np.sum(information * states**2))


# ------------------------------------------------------------------------------------------- who lies


@dataclass(frozen=True, kw_only=True)
class Lie:
    """A thing that contradicts the others: its name, how far off it seems, and how unlikely that is."""

    thing: str
    offset_m: float
    chi_square: float


def find_lies(looks: Looks, config: SolverConfig | None = None) -> list[Lie]:
    """Things (vessels, points) that the others contradict, the worst first.

    Each is left out in turn. The one without which the rest agrees best is judged by the place that the
    others give it: how far that is from what it says, against the error of both. Then the next, as long as
    three remain. Two that contradict each other cannot be told apart, and neither is named.
    """
    config = config or SolverConfig()
    lies: list[Lie] = []
    while True:
        present = np.unique(looks.thing)
        if len(present) < 3:
            return lies
        rest_costs = [_rest_cost(looks, config, int(thing)) for thing in present]
        suspect = int(present[int(np.argmin(rest_costs))])
        offset_m, square = _contradiction(looks, config, suspect)
        if square < -2.0 * math.log(config.lie_chance / len(present)):  # chi-square of two degrees
            return lies
        lies.append(Lie(thing=looks.things[suspect], offset_m=offset_m, chi_square=square))
        looks = looks.of(looks.thing != suspect)


def _rest_cost(looks: Looks, config: SolverConfig, without: int) -> float:
    rest = looks.of(looks.thing != without)
    return estimate(rest, config).cost - 2.0 * len(rest)


def _contradiction(looks: Looks, config: SolverConfig, suspect: int) -> tuple[float, float]:
    """How far (metres, horizontal) the suspect is from where the others see it, and its chi-square."""
    others = estimate(looks.of(looks.thing != suspect), config)
    own = looks.of(looks.thing == suspect)
    corrections = others.corrections()
    found = slopes(own, corrections, np.zeros((len(own), 3)))
    system = _System(own, config, np.zeros(0, dtype=np.intp), others.scale)
    white = system.whiteners(found)
    residual = np.einsum("nij,nj->ni", white, found.residual)
    flat = (white @ found.by_place[:, :, :2]).reshape(-1, 2)
    weight = np.repeat(np.minimum(1.0, 3.0 / np.maximum(np.linalg.norm(residual, axis=1), 1e-9)), 2)
    gain = np.linalg.solve((flat * weight[:, None]).T @ flat + 1e-12 * np.eye(2), (flat * weight[:, None]).T)
    offset = -gain @ residual.ravel()
    numbers = [PARAMETERS.index(name) for name in others.names]
    through = gain @ (white @ found.by_parameter[:, :, numbers]).reshape(-1, len(numbers))
    unit = internal_units(np.ones(len(PARAMETERS)))[numbers]
    error = others.covariance * np.outer(unit, unit)
    covariance = gain @ gain.T + through @ error @ through.T
    covariance += np.diag(looks.thing_sigma_m[suspect, :2] ** 2)
    square = float(offset @ np.linalg.solve(covariance, offset))
    return float(np.hypot(*offset)), square


# ------------------------------------------------------------------------------------------- the proof


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof:
    """How a calibration did on looks that took no part in it: RMS and 90 % of the misses in metres.

    `is_passed` is the verdict and `sentence` says it in words; `lower_gain` is the lower bound of the share
    by which the RMS fell; `before_m` and `after_m` are the misses, east and north, shape (n, 2).
    """

    is_passed: bool
    sentence: str
    folds: int
    blocks: int
    looks: int
    before_rms_m: float
    after_rms_m: float
    before_ce90_m: float
    after_ce90_m: float
    gain: float
    lower_gain: float
    before_m: FloatArray
    after_m: FloatArray


def prove(
    looks: Looks,
    config: SolverConfig | None = None,
    *,
    fold_of: IntArray,
    block_of: IntArray,
    is_lasting_only: bool = False,
) -> Proof:
    """Calibrate without each fold and look at the fold; the misses must fall by margin, and surely.

    `fold_of`, shape (N,): which looks are held out together. `block_of`, shape (N,): looks whose errors hang
    together; the bootstrap draws whole blocks. Points whose own place is open (sigma over 50 m) are judged by
    the scatter about their mean.
    """
    config = config or SolverConfig()
    folds = np.unique(fold_of)
    before = np.full((len(looks), 2), np.nan)
    after = np.full((len(looks), 2), np.nan)
    for fold in folds:
        held = fold_of == fold
        if held.all():
            break
        learned = estimate(looks.of(~held), config).corrections(is_lasting_only=is_lasting_only)
        before[held] = _judged_m(looks.of(held), np.zeros(len(PARAMETERS)))
        after[held] = _judged_m(looks.of(held), learned)
    valid = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    return judge_misses(before[valid], after[valid], block_of[valid], config, folds=len(folds))


def _judged_m(looks: Looks, corrections: FloatArray) -> FloatArray:
    misses = ground_misses_m(looks, corrections)
    is_open = np.max(looks.thing_sigma_m[:, :2], axis=1)[looks.thing] > 50.0
    for thing in np.unique(looks.thing[is_open]):
        mine = looks.thing == thing
        misses[mine] = misses[mine] - misses[mine].mean(axis=0) if mine.sum() > 1 else np.nan
    return misses


def judge_misses(
    before_m: FloatArray, after_m: FloatArray, block_of: IntArray, config: SolverConfig, *, folds: int
) -> Proof:
    """The verdict on paired misses (N, 2) of held-out looks, with a bootstrap over blocks (fixed seed)."""
    _, block = np.unique(block_of, return_inverse=True)
    blocks = int(block.max()) + 1 if len(block) else 0
    old, new = np.sum(before_m**2, axis=1), np.sum(after_m**2, axis=1)
    gain = lower = 0.0
    if blocks >= 2:
        gain = 1.0 - math.sqrt(float(new.sum()) / max(float(old.sum()), _TINY))
        sums = np.stack([np.bincount(block, old, blocks), np.bincount(block, new, blocks)])
        draws = np.random.default_rng(7).integers(0, blocks, (_BOOTSTRAPS, blocks))
        drawn = sums[:, draws].sum(axis=2)
        lower = float(
            np.quantile(1.0 - np.sqrt(drawn[1] / np.maximum(drawn[0], _TINY)), 1 - config.confidence)
        )
    is_passed = blocks >= config.min_blocks and gain >= config.margin and lower > 0.0
    rms = [math.sqrt(float(x.mean())) if len(x) else math.nan for x in (old, new)]
    far = [math.sqrt(float(np.quantile(x, 0.9))) if len(x) else math.nan for x in (old, new)]
    figures = f"held-out misses {rms[0]:.2f} m before and {rms[1]:.2f} m after (RMS, {blocks} blocks)"
    if blocks < config.min_blocks:
        sentence = (
            f"refused: {blocks} independent blocks of looks, {config.min_blocks} are needed for a proof"
        )
    elif gain < config.margin:
        sentence = f"refused: {figures}, which is not the {config.margin:.0%} that is asked for"
    elif lower <= 0.0:
        sentence = f"refused: {figures}; chance could do that ({config.confidence:.0%} bound {lower:+.0%})"
    else:
        sentence = f"accepted: {figures}, {gain:.0%} less and at least {lower:.0%}"
    return Proof(
        is_passed=is_passed,
        sentence=sentence,
        folds=folds,
        blocks=blocks,
        looks=len(old),
        before_rms_m=rms[0],
        after_rms_m=rms[1],
        before_ce90_m=far[0],
        after_ce90_m=far[1],
        gain=gain,
        lower_gain=lower,
        before_m=before_m,
        after_m=after_m,
    )


# ------------------------------------------------------------------------------------------- why not


def _why(name: str, looks: Looks, config: SolverConfig) -> str:
    """What about the geometry keeps a parameter from being seen, with the numbers."""
    turn_dps = float(np.degrees(np.sqrt(np.mean(np.sum(looks.turn_enu_radps**2, axis=1)))))
    if name == "time_offset_s":
        speed = float(np.sqrt(np.mean(np.sum(looks.velocity_enu_mps**2, axis=1))))
        return (
            f"turning at {turn_dps:.1f} deg/s RMS and moving at {speed:.0f} m/s, these looks tell it no "
            f"better than the {1e3 * config.prior_sigmas[name]:.0f} ms to which it was known before"
        )
    spread = sight_spread_deg(looks)
    is_known = float(np.median(looks.thing_sigma_m[:, :2])) < 50.0 if len(looks.things) else False
    of = "towards known places" if is_known else "of each point"
    return (
        f"the looks {of} span {spread[0]:.0f} deg of azimuth and {spread[1]:.0f} deg of depression, "
        "which does not tell it from the rest"
    )


MIN_AZIMUTH_SPAN_DEG = 30.0
MIN_DEPRESSION_SPAN_DEG = 15.0


def one_sided(looks: Looks) -> str | None:
    """Why the looks all go one way, or `None`: what is found there need not hold elsewhere.

    Either their azimuths or their depressions have to span enough, or every error that looks alike in that
    one direction ends in one parameter.
    """
    line = looks.place_in_enu - looks.camera_in_enu
    around = _arc_deg(np.degrees(np.arctan2(line[:, 0], line[:, 1])))
    depression = np.degrees(np.arctan2(-line[:, 2], np.hypot(line[:, 0], line[:, 1])))
    up = float(np.ptp(depression))
    if around >= MIN_AZIMUTH_SPAN_DEG or up >= MIN_DEPRESSION_SPAN_DEG:
        return None
    return (
        f"all looks are from one side: they span {around:.0f} deg of azimuth and {up:.0f} deg of depression; "
        f"{MIN_AZIMUTH_SPAN_DEG:.0f} or {MIN_DEPRESSION_SPAN_DEG:.0f} are needed"
    )


def _arc_deg(azimuth_deg: FloatArray) -> float:
    """The shortest arc that holds all azimuths."""
    ordered = np.sort(azimuth_deg)
    return 360.0 - float(np.diff(np.concatenate([ordered, ordered[:1] + 360.0])).max())


def sight_spread_deg(looks: Looks) -> tuple[float, float]:
    """How far round the looks at one thing go (median over things) and how far up and down; degrees."""
    line = looks.place_in_enu - looks.camera_in_enu
    azimuth = np.degrees(np.arctan2(line[:, 0], line[:, 1]))
    depression = np.degrees(np.arctan2(-line[:, 2], np.hypot(line[:, 0], line[:, 1])))
    spans = []
    for thing in np.unique(looks.thing):
        spans.append(_arc_deg(azimuth[looks.thing == thing]))
    return float(np.median(spans)), float(np.ptp(depression))
