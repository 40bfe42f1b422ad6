"""Where rays first meet a surface: on a curved earth, first crossing, many rays at a time.

Rays are straight in earth-centred axes, so the curvature of the earth is exact and poles are places like any
other. A smooth surface (level, sea) is met by a quadratic and Newton's method; a surface with details is
marched in steps of half its spacing, grazed ridges are looked at more closely, and the first crossing is
closed in on by the Illinois method (Dowell & Jarratt 1971).
"""

import math

import numpy as np
import numpy.typing as npt

from skywarden.geometry import geodesy
from skywarden.geometry.terrain import Surface

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int8]

HIT, ABOVE_HORIZON, NO_INTERSECTION, OUTSIDE_TERRAIN, CAMERA_BELOW = range(5)

_HEIGHT_TOLERANCE_M = 1e-5
_SHELL_PADDING_M = 1.0
_MAX_SAMPLES = 400_000
_SUBDIVISIONS = 8
_LONGEST_PARABOLA_M = 3_000.0  # over which a parabola is good to 0.1 mm


def first_crossings(
    surface: Surface, camera_in_ecef: FloatArray, rays_in_ecef: FloatArray, max_range_m: float
) -> tuple[FloatArray, IntArray]:
    """Ranges in metres, shape (N,), NaN without a hit, and one of the codes above, shape (N,).

    `camera_in_ecef` has shape (3,), the unit `rays_in_ecef` (N, 3).
    """
    place = geodesy.geodetic_from_ecef(camera_in_ecef)
    latitude, longitude, alt = place
    ground = float(surface.height_hae_m(latitude, longitude))
    count = len(rays_in_ecef)
    if float(alt) <= ground:
        return np.full(count, np.nan), np.full(count, CAMERA_BELOW, dtype=np.int8)
    if surface.spacing_m == 0.0:
        return _smooth_crossings(surface, camera_in_ecef, rays_in_ecef, max_range_m, ground)
    marcher = _Marcher(surface, camera_in_ecef, rays_in_ecef, max_range_m, place)
    return marcher.crossings(float(alt) - ground)


def _shell_roots(
    camera: FloatArray, rays: FloatArray, alt_hae_m: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Both ranges, rising, at which rays meet the ellipsoid with both half axes longer by `alt_hae_m`; NaN
    where they miss it. It is the surface of that height to within a millimetre below 2 km."""
    equatorial = geodesy.SEMI_MAJOR_M + np.asarray(alt_hae_m, dtype=np.float64)
    polar = geodesy.SEMI_MINOR_M + np.asarray(alt_hae_m, dtype=np.float64)
    scale = np.stack([1 / equatorial, 1 / equatorial, 1 / polar], axis=-1)
    start, direction = camera * scale, rays * scale
    a = np.sum(direction * direction, axis=-1)
    b = np.sum(start * direction, axis=-1)
    c = np.sum(start * start, axis=-1) - 1.0
    root = np.sqrt(b * b - a * c)
    # Of the two forms of each root the one without cancellation is taken.
    larger = np.where(b <= 0.0, -b + root, -b - root)
    one, other = c / larger, larger / a
    return np.minimum(one, other), np.maximum(one, other)


def _smooth_crossings(
    surface: Surface, camera: FloatArray, rays: FloatArray, max_range_m: float, ground_hae_m: float
) -> tuple[FloatArray, IntArray]:
    height: FloatArray | float = ground_hae_m
    with np.errstate(invalid="ignore"):
        for _ in range(3):
            t, _far = _shell_roots(camera, rays, height)
            for _ in range(2):
                place = geodesy.geodetic_from_ecef(camera + rays * t[:, None])
                t = t - np.clip((place[2] - height) / _climb(place, rays), -10.0, 10.0)
            if surface.kind == "level":
                break
            before, height = height, surface.height_hae_m(place[0], place[1])
            if not bool(np.any(np.abs(height - before) > 1e-4)):
                break
        is_hit = np.isfinite(t) & (t > 0.0)
        code = np.where(is_hit, np.where(t <= max_range_m, HIT, NO_INTERSECTION), ABOVE_HORIZON)
    return np.where(code == HIT, t, np.nan), code.astype(np.int8)


def _climb(place: tuple[FloatArray, FloatArray, FloatArray], rays: FloatArray) -> FloatArray:
    """Height gained per metre of ray at a place: the ray's part along the ellipsoid normal."""
    latitude, longitude = np.radians(place[0]), np.radians(place[1])
    level = np.cos(longitude) * rays[:, 0] + np.sin(longitude) * rays[:, 1]
    climb: FloatArray = np.cos(latitude) * level + np.sin(latitude) * rays[:, 2]
    return np.where(np.abs(climb) < 1e-5, -1e-5, climb)


class _Marcher:
    """One march of many rays from one camera over one surface with details."""

    def __init__(
        self,
        surface: Surface,
        camera: FloatArray,
        rays: FloatArray,
        max_range_m: float,
        place: tuple[FloatArray, FloatArray, FloatArray],
    ) -> None:
        self._surface, self._camera, self._rays = surface, camera, rays
        lowest, highest = surface.height_range_hae_m
        count = len(rays)
        # A ray that no pixel has is not a number, and not walked.
        self._start, self._end = np.zeros(count), np.where(np.isnan(rays[:, 0]), 0.0, max_range_m)
        self._code = np.full(count, NO_INTERSECTION, dtype=np.int8)
        self._range = np.full(count, np.nan)
        with np.errstate(invalid="ignore"):
            if math.isfinite(highest):
                enter, leave = _shell_roots(camera, rays, highest + _SHELL_PADDING_M)
                never = ~(leave > 0.0)
                self._code[never] = ABOVE_HORIZON
                self._end[never] = 0.0
                self._start = np.where(enter > 0.0, enter, 0.0)
                self._end = np.fmin(self._end, leave)
            if math.isfinite(lowest):
                deepest, _ = _shell_roots(camera, rays, lowest - _SHELL_PADDING_M)
                self._end = np.where(deepest > 0.0, np.minimum(self._end, deepest), self._end)
        self._down = -_climb((place[0][None], place[1][None], place[2][None]), rays)
        level = np.sqrt(np.clip(1.0 - self._down**2, 0.01, 1.0))
        self._step = 0.5 * surface.spacing_m / level

    def crossings(self, camera_agl_m: float) -> tuple[FloatArray, IntArray]:
        """Ranges and codes of all rays; `camera_agl_m` (may be NaN) sizes the first stretch."""
        active = np.flatnonzero(self._start < self._end)
        position = self._start.copy()
        steps = self._first_stretch(active, camera_agl_m)
        while active.size:
            stretch, path = self._stretch(active, position[active], steps)
            self._settle(active, path, *stretch)
            # The next stretch starts two steps back, so that grazes across the seam are seen.
            position[active] = stretch[0][:, -3]
            is_open = (self._code[active] == NO_INTERSECTION) & np.isnan(self._range[active])
            is_open &= stretch[0][:, -1] < self._end[active]
            active = active[is_open]
            steps = int(min(4 * steps, 256, max(8, _MAX_SAMPLES // max(active.size, 1))))
        return self._range, self._code

    def _first_stretch(self, active: npt.NDArray[np.intp], camera_agl_m: float) -> int:
        """Steps that take about all rays to flat ground as far below as it is under the camera."""
        if not active.size or not math.isfinite(camera_agl_m):
            return 16
        guess = camera_agl_m / np.maximum(self._down[active], 0.02) - self._start[active]
        return int(np.clip(np.max(guess / self._step[active]) * 1.25 + 4, 5, 64))

    def _stretch(
        self, active: npt.NDArray[np.intp], position: FloatArray, steps: int
    ) -> tuple[tuple[FloatArray, FloatArray, FloatArray], "_Path"]:
        """Ranges, clearances and ground heights, shape (n, steps + 1), of the next stretch, and its path."""
        t = position[:, None] + self._step[active][:, None] * np.arange(steps + 1)
        t = np.minimum(t, self._end[active][:, None])
        path = self._path(active, t[:, 0], t[:, -1])
        return (t, *path.clearance(t)), path

    def _path(self, index: npt.NDArray[np.intp], start: FloatArray, end: FloatArray) -> "_Path":
        return _Path(self._surface, self._camera, self._rays[index], start, end)

    def _settle(
        self,
        active: npt.NDArray[np.intp],
        path: "_Path",
        t: FloatArray,
        clearance: FloatArray,
        ground: FloatArray,
    ) -> None:
        """Decide the rays whose crossing, or end of knowledge, lies in this stretch."""
        with np.errstate(invalid="ignore"):
            is_end = ~(clearance > 0.0)
        last = np.where(is_end.any(axis=1), np.argmax(is_end, axis=1), t.shape[1])
        t_low, t_high, low, high = self._grazes(path, t, clearance, ground, last)
        row = np.flatnonzero((last < t.shape[1]) & np.isnan(t_low))
        column = last[row]
        is_unknown = np.isnan(clearance[row, column])
        self._code[active[row[is_unknown]]] = OUTSIDE_TERRAIN
        row, column = row[~is_unknown], column[~is_unknown]
        before = np.maximum(column - 1, 0)
        t_low[row], t_high[row] = t[row, before], t[row, column]
        low[row], high[row] = clearance[row, before], clearance[row, column]
        found = np.flatnonzero(np.isfinite(t_low))
        if found.size:
            index = active[found]
            bracket = (t_low[found], t_high[found], low[found], high[found])
            if path.longest_m > _LONGEST_PARABOLA_M:
                narrow = self._path(index, bracket[0], bracket[1])
            else:
                narrow = path.of(found)
            self._range[index] = _closed_in(narrow, *bracket)
            self._code[index] = HIT

    def _grazes(
        self,
        path: "_Path",
        t: FloatArray,
        clearance: FloatArray,
        ground: FloatArray,
        last: npt.NDArray[np.intp],
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Brackets of crossings hidden between two samples above the ground; NaN where there is none.

        Looked at more closely is where the ray is lower above the ground than the ground itself changes
        between samples thereabouts.
        """
        found = np.full((4, len(t)), np.nan)
        with np.errstate(invalid="ignore"):
            change = np.abs(np.diff(ground, axis=1))
            relief = np.maximum(np.maximum(change[:, :-2], change[:, 1:-1]), change[:, 2:])
            lower = np.minimum(clearance[:, 1:-2], clearance[:, 2:-1])
            is_near = (lower > 0.0) & (lower < relief)
        is_near &= np.arange(2, t.shape[1] - 1)[None, :] < last[:, None]
        rows, columns = np.nonzero(is_near)
        if not rows.size:
            return found[0], found[1], found[2], found[3]
        part = np.arange(_SUBDIVISIONS + 1) / _SUBDIVISIONS
        t_fine = t[rows, columns + 1][:, None] * (1 - part) + t[rows, columns + 2][:, None] * part
        fine = path.of(rows).clearance(t_fine)[0]
        for row, ts, values in zip(rows[::-1], t_fine[::-1], fine[::-1], strict=True):  # the nearest wins
            under = np.flatnonzero(values <= 0.0)
            if under.size and under[0] > 0:
                k = under[0]
                found[:, row] = ts[k - 1], ts[k], values[k - 1], values[k]
        return found[0], found[1], found[2], found[3]


def _closed_in(path: "_Path", a: FloatArray, b: FloatArray, fa: FloatArray, fb: FloatArray) -> FloatArray:
    """The crossings between ranges a (above) and b (below): Illinois, now and then a halving."""
    t, side = b, np.zeros(len(a))
    for turn in range(60):
        t = 0.5 * (a + b) if turn % 8 == 7 else a + (b - a) * (fa / np.maximum(fa - fb, 1e-12))
        f, _ = path.clearance(t)
        if not bool(((np.abs(f) > _HEIGHT_TOLERANCE_M) & (b - a > 1e-4)).any()):
            break
        is_above = f > 0.0
        fb = np.where(is_above & (side > 0), fb / 2, fb)
        fa = np.where(~is_above & (side < 0), fa / 2, fa)
        a, fa = np.where(is_above, t, a), np.where(is_above, f, fa)
        b, fb = np.where(is_above, b, t), np.where(is_above, fb, f)
        side = np.where(is_above, 1.0, -1.0)
    return t


class _Path:
    """The latitudes, longitudes and heights of stretches of rays, as parabolas through three exact points.

    The rest is of third order: 0.1 mm over 3 km, nothing over one step. Beyond 85 degrees of latitude, where
    longitudes are no smooth thing, every point is computed exactly. `longest_m` is the longest stretch.
    """

    longest_m: float

    def __init__(
        self, surface: Surface, camera: FloatArray, rays: FloatArray, start: FloatArray, end: FloatArray
    ) -> None:
        self._surface, self._camera, self._rays = surface, camera, rays
        self._middle, self._half = 0.5 * (start + end), np.maximum(0.5 * (end - start), 1e-9)
        self.longest_m = 2.0 * float(self._half.max())
        t = np.stack([start, self._middle, end])
        latitude, longitude, alt = geodesy.geodetic_from_ecef(camera + rays * t[:, :, None])
        self._is_polar = bool((np.abs(latitude) > 85.0).any())
        turn = longitude
        if bool((np.abs(longitude - longitude[1]) > 180.0).any()):
            turn = geodesy.wrap_longitude_deg(longitude - longitude[1]) + longitude[1]
        ends = np.stack([latitude, turn, alt])
        first, zero, last = ends[:, 0], ends[:, 1], ends[:, 2]
        self._two, self._one, self._zero = 0.5 * (last + first) - zero, 0.5 * (last - first), zero

    def of(self, rows: npt.NDArray[np.intp]) -> "_Path":
        """The paths of some of the rays."""
        part = object.__new__(_Path)
        part._surface, part._camera, part._rays = self._surface, self._camera, self._rays[rows]
        part._middle, part._half, part._is_polar = self._middle[rows], self._half[rows], self._is_polar
        part._two, part._one, part._zero = self._two[:, rows], self._one[:, rows], self._zero[:, rows]
        part.longest_m = self.longest_m
        return part

    def clearance(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Height of the rays above the surface, and of the surface, at ranges t, shape (n,) or (n, k); NaN
        where the surface is not known."""
        if self._is_polar:
            rays = self._rays if t.ndim == 1 else self._rays[:, None, :]
            latitude, longitude, alt = geodesy.geodetic_from_ecef(self._camera + rays * t[..., None])
        else:
            two, one, zero, middle, half = self._two, self._one, self._zero, self._middle, self._half
            if t.ndim == 2:
                two, one, zero = two[:, :, None], one[:, :, None], zero[:, :, None]
                middle, half = middle[:, None], half[:, None]
            s = (t - middle) / half
            latitude, longitude, alt = (two * s + one) * s + zero
        ground = self._surface.height_hae_m(latitude, longitude)
        return alt - ground, ground
