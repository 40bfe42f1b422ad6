"""By how much a camera's frames are stamped later than the telemetry, found from the flight itself.

The picture tells how the camera turned and moved between two frames, and so does the telemetry: the offset
is where they agree. Residuals are rotations in camera axes. Frames that come fast make a series, whitened
by an autoregression, which weighs each frequency by its noise (attitude noise, waves, what was not sampled).
The equation for the offset takes the change of the *picture's* turning as its instrument (instrumental
variables, Durbin 1954): noise of the telemetry, whose strength varies between samples, would otherwise pull
the offset to where interpolation smooths most. Frames that come slowly are compared with several others each,
and the sigma is a jackknife over frames.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.image_motion import ImageMotion
from edge.calibration.motion_residual import BY_TURNING, DRIFT, NUISANCES, OFFSET, MotionResidual
from skywarden.clock import NS_PER_S

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntpArray = npt.NDArray[np.intp]


_WIDEN = 1.15
"""What the sigma of a series lacks: the autoregression is fitted to the same residuals (74 made flights)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowOffset:
    """The offset of a part of the flight around `time_ns`, with one sigma."""

    time_ns: int
    offset_s: float
    sigma_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeOffset:
    """What the motion of the picture tells about time.

    Attributes:
        offset_s: a frame stamped t shows the world at telemetry time t - offset_s (as `frame_lag_s`), at
            `reference_ns`; None when it is not observable.
        sigma_s: one sigma of it; None when it is not observable.
        drift_s_per_s: growth of the offset by second; None where the flight is too short to tell.
        drift_sigma_s_per_s: one sigma of it.
        is_observable: whether the numbers mean something.
        reason: in one sentence why not, or what they rest on.
        correlation: of the turning seen in the picture with that of the telemetry, -1 to 1.
        samples: pairs of frames that were used.
        motion_dps: rms of the camera's turning less its mean, degrees a second.
        reference_ns: the frame time at which `offset_s` holds.
        windows: the same for parts of the flight, where it is long enough.
    """

    offset_s: float | None
    sigma_s: float | None
    drift_s_per_s: float | None
    drift_sigma_s_per_s: float | None = None
    is_observable: bool
    reason: str
    correlation: float
    samples: int
    motion_dps: float = 0.0
    reference_ns: int = 0
    windows: tuple[WindowOffset, ...] = ()

    def lag_s_at(self, time_ns: int) -> float | None:
        """The offset at a frame time, with the drift where it is more than three of its sigmas."""
        if self.offset_s is None or self.drift_s_per_s is None or self.drift_sigma_s_per_s is None:
            return self.offset_s
        if abs(self.drift_s_per_s) <= 3.0 * self.drift_sigma_s_per_s:
            return self.offset_s
        return self.offset_s + self.drift_s_per_s * (time_ns - self.reference_ns) / NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class OffsetSettings:
    """What is believed.

    Attributes:
        search_s: offsets up to this on either side are looked for.
        step_s: of the search.
        gap_s: no pair is used across a hole in the telemetry longer than this.
        min_pairs: fewer pairs tell nothing.
        min_motion_dps: a camera that turns less evenly than this tells no time.
        min_correlation: pictures that turn otherwise than the telemetry tell no time.
        max_sigma_s: a wider sigma is "not observable".
        drift_span_s: shorter flights tell no drift.
        window_s: length of the parts of `TimeOffset.windows`.
        slow_s: pairs with a longer usual spacing are no series.
        max_order: of the autoregression.
    """

    search_s: float = 2.0
    step_s: float = 0.04
    gap_s: float = 1.0
    min_pairs: int = 12
    min_motion_dps: float = 1.0
    min_correlation: float = 0.3
    max_sigma_s: float = 0.1
    drift_span_s: float = 60.0
    window_s: float = 20.0
    slow_s: float = 0.35
    max_order: int = 10


def estimate_time_offset(
    motion: ImageMotion, attitude: AttitudeHistory, settings: OffsetSettings | None = None
) -> TimeOffset:
    """The offset of the frames of `motion` against `attitude`, or "not observable" with the reason."""
    settings = settings or OffsetSettings()
    search_s, chosen = _usable(motion, attitude, settings)
    if len(chosen) < settings.min_pairs:
        return _unobservable(
            f"{len(chosen)} of {len(motion)} pairs of frames lie within the telemetry; "
            f"{settings.min_pairs} are needed",
            samples=len(chosen),
        )
    residual = MotionResidual(motion, attitude, chosen)
    start_s, rival = _search(residual, search_s, settings)
    if abs(start_s) > search_s - 1.5 * settings.step_s:
        return _unobservable(
            f"the best agreement lies at the edge of the search, {start_s:+.2f} s", samples=len(chosen)
        )
    correlation, motion_dps = residual.agreement(residual.parameters(start_s))
    if motion_dps < settings.min_motion_dps:
        weak = f"the camera turns by {motion_dps:.2f} deg/s rms only; {settings.min_motion_dps:g} are needed"
        return _unobservable(weak, len(chosen), correlation, motion_dps)
    solver = _Solver(residual, settings)
    fit = solver.fit(start_s, has_drift=False)
    correlation, motion_dps = residual.agreement(fit.parameters)
    reason = _why_not(fit, start_s, correlation, rival, settings)
    if reason is not None:
        return _unobservable(reason, len(chosen), correlation, motion_dps)
    drift = solver.fit(fit.offset_s, has_drift=True) if residual.span_s >= settings.drift_span_s else None
    best = fit if drift is None else drift
    return TimeOffset(
        offset_s=best.offset_s,
        sigma_s=best.sigma_s,
        drift_s_per_s=None if drift is None else float(drift.parameters[DRIFT]),
        drift_sigma_s_per_s=None if drift is None else drift.drift_sigma,
        is_observable=True,
        reason=f"{len(chosen)} pairs in {residual.span_s:.0f} s, turning {motion_dps:.1f} deg/s rms",
        correlation=correlation,
        samples=len(chosen),
        motion_dps=motion_dps,
        reference_ns=residual.reference_ns,
        windows=solver.windows(best),
    )


def _unobservable(reason: str, samples: int, correlation: float = 0.0, motion_dps: float = 0.0) -> TimeOffset:
    return TimeOffset(
        offset_s=None,
        sigma_s=None,
        drift_s_per_s=None,
        is_observable=False,
        reason=f"not observable: {reason}",
        correlation=correlation,
        samples=samples,
        motion_dps=motion_dps,
    )


def _why_not(
    fit: "_Fit",
    start_s: float,
    correlation: float,
    rival: tuple[float, float],
    settings: OffsetSettings,
) -> str | None:
    """Why a fit is not to be believed, or None."""
    if correlation < settings.min_correlation:
        return f"picture and telemetry turn differently (correlation {correlation:.2f})"
    if not math.isfinite(fit.sigma_s) or fit.sigma_s > settings.max_sigma_s:
        return f"its sigma would be {fit.sigma_s * 1e3:.0f} ms"
    if abs(fit.offset_s - start_s) > 0.25 + 3 * fit.sigma_s:
        return f"search and fit disagree ({start_s:+.2f} and {fit.offset_s:+.2f} s)"
    if rival[1] < 9.0:
        return f"{rival[0]:+.2f} s fits nearly as well as {fit.offset_s:+.2f} s (the motion repeats itself)"
    return None


def _usable(
    motion: ImageMotion, attitude: AttitudeHistory, settings: OffsetSettings
) -> tuple[float, IntpArray]:
    """How far can be searched, and the pairs whose telemetry is whole however the offset turns out."""
    best: tuple[float, IntpArray] = (settings.search_s, np.zeros(0, dtype=np.intp))
    for search_s in (settings.search_s, settings.search_s / 2, settings.search_s / 4):
        margin = int(search_s * NS_PER_S)
        first, last = motion.start_ns - margin, motion.end_ns + margin
        is_whole = (first >= attitude.times_ns[0]) & (last <= attitude.times_ns[-1])
        for begin, end in attitude.gaps(settings.gap_s):
            is_whole &= (last <= begin) | (first >= end)
        chosen = np.nonzero(is_whole)[0]
        if len(chosen) > 1.2 * len(best[1]):
            best = search_s, chosen
        if len(chosen) >= 0.8 * len(motion):
            break
    return best


def _search(
    residual: MotionResidual, search_s: float, settings: OffsetSettings
) -> tuple[float, tuple[float, float]]:
    """The best offset on a grid; and the best of the other valleys, with the log odds against it."""
    grid = np.arange(-search_s, search_s + settings.step_s / 2, settings.step_s)
    columns = residual.nuisance_columns()
    if residual.spacing_s <= settings.slow_s:
        columns = residual.in_windows(residual.without_slow(columns))
    cost = np.array([_cost(residual, columns, float(offset_s), settings) for offset_s in grid])
    best = int(np.argmin(cost))
    inner = np.nonzero((cost[1:-1] < cost[:-2]) & (cost[1:-1] <= cost[2:]))[0] + 1
    others = inner[np.abs(grid[inner] - grid[best]) > 0.2]
    if not len(others):
        return float(grid[best]), (math.nan, math.inf)
    rival = int(others[np.argmin(cost[others])])
    odds = 0.25 * residual.frames * float(cost[rival] - cost[best])  # neighbours in time are not independent
    return float(grid[best]), (float(grid[rival]), odds)


def _cost(residual: MotionResidual, columns: FloatArray, offset_s: float, settings: OffsetSettings) -> float:
    """Sum over the axes of the log of the residuals' trimmed mean square, nuisances fitted."""
    found = residual.at(residual.parameters(offset_s))
    if residual.spacing_s <= settings.slow_s:
        found = residual.in_windows(residual.without_slow(found))
    rows, flat = columns.reshape(-1, columns.shape[-1]), found.reshape(-1)
    prior = np.diag(residual.noise_floor**2 / residual.prior_sigma[NUISANCES] ** 2)
    left: FloatArray = flat - rows @ np.linalg.solve(rows.T @ rows + prior, rows.T @ flat)
    squares = np.sort(np.square(left.reshape(found.shape)), axis=0)[: max(1, int(0.9 * len(found)))]
    return float(np.sum(np.log(squares.mean(axis=0) + residual.noise_floor**2)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """Parameters at the solution, and the rows from which sigmas and windows follow."""

    parameters: FloatArray
    free: IntpArray
    offset_s: float
    sigma_s: float
    drift_sigma: float | None
    rows: "_Rows"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Whitened, weighted rows (K,): residual, slopes (K, P), instruments (K, P), which pair each is of."""

    residual: FloatArray
    slope: FloatArray
    instrument: FloatArray
    pair: IntpArray

    def solve(self, prior: FloatArray, away: FloatArray, chosen: BoolArray | None = None) -> FloatArray:
        """The step (P,) after which the instruments see no residual; `away` is from the prior's mean."""
        use = slice(None) if chosen is None else chosen
        instrument = self.instrument[use]
        left = instrument.T @ self.slope[use] + prior
        right = instrument.T @ self.residual[use] - prior @ away
        return np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], dtype=np.float64)


class _Solver:
    """Gauss-Newton with instruments on one flight."""

    def __init__(self, residual: MotionResidual, settings: OffsetSettings) -> None:
        self._residual = residual
        self._settings = settings
        self._is_series = residual.spacing_s <= settings.slow_s

    def fit(self, start_s: float, *, has_drift: bool) -> _Fit:
        """The solution near `start_s`."""
        residual = self._residual
        parameters = residual.parameters(start_s)
        free = np.array([index for index in range(len(parameters)) if has_drift or index != DRIFT])
        prior = np.diag(1.0 / residual.prior_sigma[free] ** 2)
        rows = self._rows(parameters, free)
        for _ in range(8):
            step = rows.solve(prior, parameters[free])
            limit = residual.prior_sigma[free]
            step = np.clip(step, -limit, limit)
            step[0] = np.clip(step[0], -0.15, 0.15)
            parameters = parameters.copy()
            parameters[free] = np.clip(parameters[free] + step, -4 * limit, 4 * limit)
            rows = self._rows(parameters, free)
            if abs(step[0]) < 1e-5:
                break
        covariance = self._covariance(rows, prior, parameters[free])
        sigma_s = math.sqrt(max(0.0, covariance[0, 0]))
        drift = None
        if has_drift:
            at = int(np.nonzero(free == DRIFT)[0][0])
            drift = math.sqrt(max(0.0, covariance[at, at]))
        return _Fit(
            parameters=parameters,
            free=free,
            offset_s=float(parameters[OFFSET]),
            sigma_s=sigma_s,
            drift_sigma=drift,
            rows=rows,
        )

    def windows(self, fit: _Fit) -> tuple[WindowOffset, ...]:
        """The offset of each part of the flight by itself, where there are at least three parts."""
        residual, settings = self._residual, self._settings
        count = int(residual.span_s / settings.window_s)
        if count < 3 or not self._is_series:
            return ()
        prior = np.diag(1.0 / residual.prior_sigma[fit.free] ** 2)
        part = np.minimum((residual.since_s / residual.span_s * count).astype(int), count - 1)[fit.rows.pair]
        found = []
        for index in range(count):
            chosen = part == index
            if int(chosen.sum()) < 3 * settings.min_pairs:
                continue
            step = fit.rows.solve(prior, fit.parameters[fit.free], chosen)
            sigma_s = math.sqrt(max(0.0, _sandwich(fit.rows, prior, chosen)[0, 0]))
            middle = residual.time_of((index + 0.5) / count)
            drift = fit.parameters[DRIFT] * (middle - residual.reference_ns) / NS_PER_S
            offset_s = fit.offset_s + float(step[0]) + float(drift)
            found.append(WindowOffset(time_ns=middle, offset_s=offset_s, sigma_s=sigma_s))
        return tuple(found)

    def _rows(self, parameters: FloatArray, free: IntpArray) -> _Rows:
        residual = self._residual
        left = residual.at(parameters)
        slope = -residual.slope(parameters, free)
        if not self._is_series:
            return _registered_rows(left, slope)
        instrument = slope.copy()
        seen = residual.turning(parameters) + left
        change, is_known = residual.change_of_turning(seen)
        instrument[:, :, [1 + index for index in BY_TURNING]] = residual.by_turning(seen)
        for at in np.nonzero((free == OFFSET) | (free == DRIFT))[0]:
            along = 1.0 if free[at] == OFFSET else residual.from_reference_s[:, None]
            instrument[:, :, at] = np.where(is_known[:, None], change * along, 0.0)
        left, slope, instrument = (residual.without_slow(each) for each in (left, slope, instrument))
        order = min(self._settings.max_order, len(left) // 40)
        return _series_rows(left, slope, instrument, residual.links, order)

    def _covariance(self, rows: _Rows, prior: FloatArray, away: FloatArray) -> FloatArray:
        if self._is_series:
            return _sandwich(rows, prior, None)
        return _jackknife(rows, prior, away, self._residual.frame_pairs)


def _sandwich(rows: _Rows, prior: FloatArray, chosen: BoolArray | None) -> FloatArray:
    """Covariance of an instrumental fit (White 1980), its middle summed over neighbours (Newey, West 1987).

    Whitening leaves little correlation; what it leaves, up to 20 pairs, still widens the sigma.
    """
    use = slice(None) if chosen is None else chosen
    instrument, pair = rows.instrument[use], rows.pair[use]
    scores = instrument * rows.residual[use, None]
    by_pair = np.zeros((int(pair.max()) - int(pair.min()) + 1, scores.shape[1]))
    np.add.at(by_pair, pair - pair.min(), scores)
    middle = by_pair.T @ by_pair
    for lag in range(1, min(20, len(by_pair) // 4)):
        across = (1.0 - lag / 20.0) * by_pair[lag:].T @ by_pair[:-lag]
        middle += across + across.T
    scale = float(np.mean(rows.residual[use] ** 2))
    plain = instrument.T @ instrument * scale
    bread = np.linalg.pinv(instrument.T @ rows.slope[use] + prior)
    covariances = [bread @ (each + prior) @ bread.T for each in (middle, plain)]
    wider = max(covariances, key=lambda each: float(each[0, 0]))
    return np.asarray(_WIDEN**2 * wider, dtype=np.float64)


def _jackknife(rows: _Rows, prior: FloatArray, away: FloatArray, frame_pairs: list[IntpArray]) -> FloatArray:
    """Covariance from leaving out each frame with all its pairs (Efron 1982)."""
    steps = []
    for pairs in frame_pairs:
        chosen = ~np.isin(rows.pair, pairs)
        steps.append(rows.solve(prior, away, chosen))
    away_from_mean = np.array(steps) - np.mean(steps, axis=0)
    count = len(steps)
    return np.asarray((count - 1) / count * away_from_mean.T @ away_from_mean, dtype=np.float64)


def _huber(values: FloatArray) -> tuple[FloatArray, float]:
    """Weights of residuals (K,) and their scale by the median."""
    scale = max(1.4826 * float(np.median(np.abs(values))), 1e-12)
    return np.minimum(1.0, 2.5 * scale / np.maximum(np.abs(values), 1e-15)), scale


def _registered_rows(left: FloatArray, slope: FloatArray) -> _Rows:
    """Rows of pairs that are no series: each axis by its own scale."""
    parts = []
    for axis in range(3):
        weight, scale = _huber(left[:, axis])
        root = np.sqrt(weight) / scale
        parts.append((left[:, axis] * root, slope[:, axis] * root[:, None], np.arange(len(left))))
    residual, slopes, pairs = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Rows(residual=residual, slope=slopes, instrument=slopes, pair=pairs)


def _series_rows(
    left: FloatArray, slope: FloatArray, instrument: FloatArray, links: IntpArray, order: int
) -> _Rows:
    """Rows whitened axis by axis; `links` (N,) is the pair before each, or -1 where a run begins."""
    depth = _depths(links)
    if order and np.count_nonzero(depth >= order) < 0.6 * len(left):
        order = max(0, int(np.median(depth)) // 4)
    keep = np.nonzero(depth >= order)[0]
    parts = []
    for axis in range(3):
        series = left[:, axis]
        _, scale = _huber(series - np.median(series))
        calm = np.clip(series, np.median(series) - 4 * scale, np.median(series) + 4 * scale)
        past = np.stack([keep - step for step in range(1, order + 1)], axis=1) if order else None
        factors = np.zeros(0)
        if past is not None:
            lagged = calm[past]
            ridge = 1e-3 * len(keep) * scale * scale * np.eye(order)
            found = np.linalg.solve(lagged.T @ lagged + ridge, lagged.T @ calm[keep])
            factors = np.asarray(found, dtype=np.float64)
        columns = np.concatenate([calm[:, None], slope[:, axis], instrument[:, axis]], axis=1)
        white = np.asarray(columns[keep], dtype=np.float64)
        for step, factor in enumerate(factors, start=1):
            white = white - factor * columns[keep - step]
        weight, scale = _huber(white[:, 0])
        parts.append((white * (np.sqrt(weight) / scale)[:, None], keep))
    white, pairs = (np.concatenate(column) for column in zip(*parts, strict=True))
    width = slope.shape[2]
    return _Rows(
        residual=white[:, 0], slope=white[:, 1 : 1 + width], instrument=white[:, 1 + width :], pair=pairs
    )


def _depths(links: IntpArray) -> IntpArray:
    """How many pairs lie before each in its own run."""
    depth = np.zeros(len(links), dtype=np.intp)
    for index in range(1, len(links)):
        depth[index] = depth[index - 1] + 1 if links[index] == index - 1 else 0
    return depth
