"""One look as fusion takes it, and what of its error is its own, its platform's, or everybody's.

A sighting states one covariance. How it came about follows from the geometry of the ray: a tilt or a height
of the camera that is wrong moves the place along the ray, a heading across it, GNSS wherever it errs, and a
surface that lies higher or lower than believed moves the places of *all* platforms, each along its own ray
(position.md 1.4; edge/track knows the same sources with their sizes). The parts always add up to
the covariance that was stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern

import msgspec
import numpy as np
import numpy.typing as npt

from ground.config import ContactsConfig
from ground.fusion.plane import Plane, wrapped_deg
from skywarden.clock import NS_PER_S
from skywarden.messages import Position, Sighting, Surface

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_FLOOR_M2 = 0.01
_ROUNDING_M2 = 1e-9
_STEEPEST = 50.0
"""Horizontal metres per metre of height, at most; beyond, a ray grazes."""
_GNSS_PART = 0.4
_SURFACE_PART = 0.9
SHARED = 4
"""Numbers of variance one that the looks of a platform share: along the ray, across it, east, north."""


class Look(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one sighting put its thing; `seen_from` is the platform's place where it is known.

    `source` is what shares errors: the platform. `is_opaque`: how its errors hang together with those of
    others is not known (no geometry, or a position under suspicion), so it is only ever intersected.
    """

    time_ns: int
    sighting_id: str
    source: str
    latitude_deg: float
    longitude_deg: float
    ee: float
    en: float
    nn: float
    alt_hae_m: float
    uu: float
    surface: Surface
    seen_from: tuple[float, float, float] | None
    is_opaque: bool

    @property
    def worth(self) -> tuple[float, int, str]:
        """Orders looks: the best is the least."""
        return (self.ee + self.nn, self.time_ns, self.sighting_id)


def look_of(sighting: Sighting, position: Position) -> Look:
    """The look of a sighting with its position."""
    ee, en, _, nn, _, uu = position.covariance_enu_m2
    return Look(
        time_ns=sighting.time_ns,
        sighting_id=sighting.sighting_id,
        source=intern(sighting.platform_id),
        latitude_deg=position.latitude_deg,
        longitude_deg=position.longitude_deg,
        ee=ee + _FLOOR_M2,
        en=en if en * en < ee * nn else 0.0,
        nn=nn + _FLOOR_M2,
        alt_hae_m=position.alt_hae_m,
        uu=uu,
        surface=position.surface,
        seen_from=sighting.platform_position,
        is_opaque=sighting.platform_position is None or sighting.position_doubt is not None,
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """B lots of N looks each, in order of time within a lot, as numbers; metres in the plane of each lot.

    Seconds from the lot's instant (B, N) and places east and north (B, N, 2); variances ee, en, nn and up
    (B, N) in m^2; from platform to place, east and north (B, N, 2) and down (B, N), and whether that
    `is_known` (B, N); number of the source within the lot (B, N).
    """

    seconds: FloatArray
    places: FloatArray
    ee: FloatArray
    en: FloatArray
    nn: FloatArray
    uu: FloatArray
    rays: FloatArray
    down: FloatArray
    is_known: BoolArray
    source: npt.NDArray[np.int64]


_NOWHERE = (0.0, 0.0, 0.0)


def columns_of(lots: Sequence[Sequence[Look]], planes: Sequence[Plane], at_ns: Sequence[int]) -> Columns:
    """The looks of lots that have as many each, with the plane and the instant of each lot."""
    shape = (len(lots), len(lots[0]))
    rows = [
        (one.latitude_deg, one.longitude_deg, one.alt_hae_m, one.ee, one.en, one.nn, one.uu)
        + (one.seen_from or _NOWHERE)
        + (one.seen_from is not None,)
        for looks in lots
        for one in looks
    ]
    latitude, longitude, alt_m, ee, en, nn, uu, from_latitude, from_longitude, from_alt_m, is_known = (
        np.array(rows).T.reshape(-1, *shape).copy()
    )
    times = np.array([one.time_ns for looks in lots for one in looks], np.int64).reshape(shape)
    origins = np.array([(one.latitude_deg, one.longitude_deg) for one in planes])[:, :, None]
    scales = np.array([(one.north_m_per_deg, one.east_m_per_deg) for one in planes])[:, :, None]
    is_seen = is_known > 0.0
    rays = np.stack(
        [
            np.where(is_seen, wrapped_deg(longitude - from_longitude) * scales[:, 1], 0.0),
            np.where(is_seen, (latitude - from_latitude) * scales[:, 0], 0.0),
        ],
        axis=2,
    )
    places = np.stack(
        [wrapped_deg(longitude - origins[:, 1]) * scales[:, 1], (latitude - origins[:, 0]) * scales[:, 0]],
        axis=2,
    )
    return Columns(
        seconds=(times - np.array(at_ns, np.int64)[:, None]) / NS_PER_S,
        places=places,
        ee=ee,
        en=en,
        nn=nn,
        uu=uu,
        rays=rays,
        down=np.where(is_seen, from_alt_m - alt_m, 1.0),
        is_known=is_seen,
        source=np.array([_numbered([one.source for one in looks]) for looks in lots]),
    )


def _numbered(sources: list[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in sources]


@dataclass(frozen=True, slots=True)
class Parts:
    """Errors of B lots of N looks by where they come from: own covariance (B, N, 2, 2), shared with the looks
    of the same source (B, N, 2, 4), and with everybody who looks at that surface (B, N, 2); metres, per unit
    of variance."""

    own: FloatArray
    shared: FloatArray
    common: FloatArray


def parts_of(columns: Columns, config: ContactsConfig) -> Parts:
    """The parts of looks; they sum to each look's covariance."""
    share = config.shared_share
    ee, en, nn = share * columns.ee, share * columns.en, share * columns.nn
    least = np.maximum((ee + nn) / 2 - np.hypot((ee - nn) / 2, en), 0.0)
    gnss = np.minimum(config.gnss_sigma_m**2, _GNSS_PART * least)
    ee, nn = ee - gnss, nn - gnss
    ray, slope, is_known = _rays(columns)
    up = np.where(is_known, slope * np.sqrt(np.maximum(columns.uu, 0.0)), 0.0)
    common = ray * up[:, :, None]
    excess = _weighed(common, ee, en, nn)
    common = common * np.sqrt(np.minimum(1.0, _SURFACE_PART / np.maximum(excess, 1e-12)))[:, :, None]
    east, north = common[:, :, 0], common[:, :, 1]
    along = _continued(columns.source, np.where(is_known[:, :, None], ray, (1.0, 0.0)))
    shared = np.zeros((*ee.shape, 2, SHARED))
    shared[:, :, :, :2] = _root_along(along, ee - east * east, en - east * north, nn - north * north)
    shared[:, :, 0, 2] = shared[:, :, 1, 3] = np.sqrt(gnss)
    own = np.empty((*ee.shape, 2, 2))
    own[:, :, 0, 0], own[:, :, 1, 1] = (1.0 - share) * columns.ee, (1.0 - share) * columns.nn
    own[:, :, 0, 1] = own[:, :, 1, 0] = (1.0 - share) * columns.en
    return Parts(own, shared, common)


def _rays(columns: Columns) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Horizontal directions from platform to place (B, N, 2), metres outward per metre of height (B, N), and
    whether they are known."""
    level = np.hypot(columns.rays[:, :, 0], columns.rays[:, :, 1])
    is_known = columns.is_known & (level > 1e-3)
    ray = columns.rays / np.maximum(level, 1e-3)[:, :, None]
    slope = np.minimum(_STEEPEST, level / np.maximum(columns.down, level / _STEEPEST + 1e-9))
    return ray, slope, is_known


def _continued(source: npt.NDArray[np.int64], ray: FloatArray) -> FloatArray:
    """Axes along the ray (B, N, 2) whose sign follows from look to look of one source.

    An axis knows no sign, but an error does: a platform that flies over its object looks forward and then
    back within seconds, and a camera that is tilted wrongly shows it ahead of its place both times.
    """
    if not source.any():  # nearly always
        turns = _turns(ray)
        return ray * np.cumprod(turns, axis=1)[:, :, None] if turns.min() < 0.0 else ray
    order = np.argsort(source, axis=1, kind="stable")
    turns = _turns(np.take_along_axis(ray, order[:, :, None], axis=1))
    sources = np.take_along_axis(source, order, axis=1)
    is_first = np.diff(sources, axis=1, prepend=-1) != 0
    begins = np.maximum.accumulate(np.where(is_first, np.arange(source.shape[1]), 0), axis=1)
    sign = np.cumprod(turns, axis=1)
    sign = sign * np.take_along_axis(sign, begins, axis=1)
    back = np.argsort(order, axis=1, kind="stable")
    found: FloatArray = ray * np.take_along_axis(sign, back, axis=1)[:, :, None]
    return found


def _turns(ray: FloatArray) -> FloatArray:
    """-1 where a ray (B, N, 2) is against the one before it, else 1; (B, N)."""
    found = np.ones(ray.shape[:2])
    ahead = ray[:, 1:, 0] * ray[:, :-1, 0] + ray[:, 1:, 1] * ray[:, :-1, 1]
    found[:, 1:][ahead < 0.0] = -1.0
    return found


def _root_along(along: FloatArray, ee: FloatArray, en: FloatArray, nn: FloatArray) -> FloatArray:
    """A root (B, N, 2, 2) of covariances whose first column lies along an axis, its second across
    (Cholesky in these axes)."""
    x, y = along[:, :, 0], along[:, :, 1]
    first = np.sqrt(np.maximum(x * x * ee + 2.0 * x * y * en + y * y * nn, 0.0) + _ROUNDING_M2)
    second = (x * y * (nn - ee) + (x * x - y * y) * en) / first
    across = y * y * ee - 2.0 * x * y * en + x * x * nn
    third = np.sqrt(np.maximum(across + _ROUNDING_M2 - second * second, 0.0))
    root = np.empty((*x.shape, 2, 2))
    root[:, :, 0, 0], root[:, :, 1, 0] = x * first - y * second, y * first + x * second
    root[:, :, 0, 1], root[:, :, 1, 1] = -y * third, x * third
    return root


def _weighed(vector: FloatArray, ee: FloatArray, en: FloatArray, nn: FloatArray) -> FloatArray:
    """Squared Mahalanobis length of vectors (B, N, 2), kept away from singular covariances."""
    a, d = ee + _ROUNDING_M2, nn + _ROUNDING_M2
    x, y = vector[:, :, 0], vector[:, :, 1]
    determinant = np.maximum(a * d - en * en, _ROUNDING_M2**2)
    found: FloatArray = (d * x * x - 2.0 * en * x * y + a * y * y) / determinant
    return found
