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
from skywarden.messages import Position, Sighting, Surface

FloatArray = npt.NDArray[np.float64]

_FLOOR_M2 = 0.01
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
class Parts:
    """Errors of N looks by where they come from: own covariance (N, 2, 2), shared with the looks of the same
    source (N, 2, 4), and with everybody who looks at that surface (N, 2); metres, per unit of variance."""

    own: FloatArray
    shared: FloatArray
    common: FloatArray


def parts_of(looks: Sequence[Look], plane: Plane, config: ContactsConfig) -> Parts:
    """The parts of looks that are in order of time; they sum to each look's covariance."""
    total = np.array([((one.ee, one.en), (one.en, one.nn)) for one in looks])
    share = config.shared_share
    rest = share * total
    mean, half = (
        (rest[:, 0, 0] + rest[:, 1, 1]) / 2,
        np.hypot((rest[:, 0, 0] - rest[:, 1, 1]) / 2, rest[:, 0, 1]),
    )
    least = np.maximum(mean - half, 0.0)
    gnss = np.minimum(config.gnss_sigma_m**2, _GNSS_PART * least)
    rest[:, [0, 1], [0, 1]] -= gnss[:, None]
    ray, slope, is_known = _rays(looks, plane)
    sigma_up = np.sqrt(np.maximum([one.uu for one in looks], 0.0))
    common = ray * np.where(is_known, slope * sigma_up, 0.0)[:, None]
    excess = np.einsum("ni,nij,nj->n", common, _inverse(rest), common)
    common = common * np.sqrt(np.minimum(1.0, _SURFACE_PART / np.maximum(excess, 1e-12)))[:, None]
    rest = rest - common[:, :, None] * common[:, None, :]
    along = _continued(looks, np.where(is_known[:, None], ray, (1.0, 0.0)))
    axes = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=2)
    root = axes @ np.linalg.cholesky(axes.transpose(0, 2, 1) @ rest @ axes + 1e-9 * np.eye(2))
    shared = np.zeros((len(looks), 2, SHARED))
    shared[:, :, :2] = root
    shared[:, 0, 2] = shared[:, 1, 3] = np.sqrt(gnss)
    return Parts((1.0 - share) * total, shared, common)


def _rays(looks: Sequence[Look], plane: Plane) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Horizontal directions from platform to place (N, 2), metres outward per metre of height (N,), and
    whether they are known."""
    east_north, down = np.zeros((len(looks), 2)), np.ones(len(looks))
    for row, look in enumerate(looks):
        if look.seen_from is not None:
            latitude_deg, longitude_deg, alt_hae_m = look.seen_from
            east_north[row] = (
                wrapped_deg(look.longitude_deg - longitude_deg) * plane.east_m_per_deg,
                (look.latitude_deg - latitude_deg) * plane.north_m_per_deg,
            )
            down[row] = alt_hae_m - look.alt_hae_m
    level = np.hypot(east_north[:, 0], east_north[:, 1])
    is_known = level > 1e-3
    ray = east_north / np.maximum(level, 1e-3)[:, None]
    slope = np.minimum(_STEEPEST, level / np.maximum(down, level / _STEEPEST + 1e-9))
    return ray, slope, is_known


def _continued(looks: Sequence[Look], ray: FloatArray) -> FloatArray:
    """Axes along the ray whose sign follows from look to look of one source.

    An axis knows no sign, but an error does: a platform that flies over its object looks forward and then
    back within seconds, and a camera that is tilted wrongly shows it ahead of its place both times.
    """
    out = ray.copy()
    last: dict[str, FloatArray] = {}
    for row, look in enumerate(looks):
        before = last.get(look.source)
        if before is not None and float(before @ out[row]) < 0.0:
            out[row] = -out[row]
        last[look.source] = out[row]
    return out


def _inverse(matrices: FloatArray) -> FloatArray:
    """Of symmetric (N, 2, 2), kept away from singular ones."""
    a, b, d = matrices[:, 0, 0] + 1e-9, matrices[:, 0, 1], matrices[:, 1, 1] + 1e-9
    determinant = np.maximum(a * d - b * b, 1e-18)
    out = np.empty_like(matrices)
    out[:, 0, 0], out[:, 1, 1] = d / determinant, a / determinant
    out[:, 0, 1] = out[:, 1, 0] = -b / determinant
    return out
