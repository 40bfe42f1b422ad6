"""One look at one plot: its polygon on the ground, its areas, and what every error does to them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge.geolocation.locate import Locator
from edge.plots.area import Areas, Interval, areas_of, check_extent, interval_90
from edge.plots.effects import Effects, OutlineSigmas, effects_on
from edge.plots.ground import Edges, EqualAreaPlane, GroundPolygon, NoGround, place_outline
from edge.plots.outline import Outline
from skywarden.errors import InputError
from skywarden.geometry import geodesy
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import Surface

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_AREA_SIGMA = 0.5
TOO_LARGE = "too_large"
UNCERTAIN = "uncertain"
"""An area whose error (one sigma, relative) is over the limit is no area: the look is refused."""


class View:
    """Which ground one image shows, near a plot whose ground is taken as a plane."""

    def __init__(self, polygon: GroundPolygon, pose: CameraPose, camera: CameraModel) -> None:
        rings = polygon.rings
        points = np.concatenate([ring.east_north_m for ring in rings])
        alt = np.concatenate([ring.alt_hae_m for ring in rings])
        base = np.concatenate([np.ones((len(points), 1)), points], axis=1)
        self._rise = np.linalg.lstsq(base, alt - alt.mean(), rcond=None)[0]
        # Metres of the plane are taken as east and north at the plot itself, wherever the plane's origin is.
        first = polygon.exterior
        self._base = first.east_north_m[0]
        self._rise[0] += self._rise[1:] @ self._base
        origin = (float(first.latitude_deg[0]), float(first.longitude_deg[0]), float(alt.mean()))
        place = (pose.latitude_deg, pose.longitude_deg, pose.alt_hae_m)
        self._at = geodesy.enu_from_geodetic(place, *origin)
        enu_from_ned = geodesy.ecef_from_enu(*origin[:2]).T @ geodesy.ecef_from_ned(*place[:2])
        self._enu_from_camera = enu_from_ned @ pose.rotation_ned_from_camera
        self._camera = camera

    def sees(self, east_north_m: FloatArray, *, inside_px: float = 0.0) -> BoolArray:
        """Which points (N, 2) of the plane lie in the image, so far from its edge."""
        points = east_north_m - self._base
        height = self._rise[0] + points @ self._rise[1:]
        rays = np.column_stack([points, height]) - self._at
        pixels, is_seen = self._camera.project(rays @ self._enu_from_camera)
        limit = np.array([self._camera.width_px, self._camera.height_px]) - 0.5 - inside_px
        with np.errstate(invalid="ignore"):
            is_inside = ((pixels >= -0.5 + inside_px) & (pixels <= limit)).all(axis=1)
        seen: BoolArray = is_seen & is_inside
        return seen


@dataclass(frozen=True, kw_only=True, eq=False)
class PlotLook:
    """What one frame says about one plot.

    Attributes:
        detection_index: its row among the frame's detections.
        part: of a detection whose mask fell into several, counted from 0.
        view: what the image shows of the ground there.
        surface: the ground that it was placed on.
    """

    time_ns: int
    frame_number: int
    detection_index: int
    part: int
    label: str
    score: float
    polygon: GroundPolygon
    effects: Effects
    view: View
    surface: Surface

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from the other looks of its frame."""
        return self.detection_index, self.part

    @cached_property
    def areas(self) -> Areas:
        """Of this look alone; raises `InputError` where nobody knows the ground under it."""
        return areas_of(self.polygon.plane, self.polygon.shape, self.surface)

    @property
    def planimetric(self) -> Interval:
        """Planimetric area in square metres."""
        return interval_90(self.polygon.shape.area, self.effects.planimetric_sigma)

    @property
    def on_slope(self) -> Interval:
        """Area along the slope in square metres."""
        return interval_90(self.areas.surface_m2, self.effects.surface_sigma)


def look_at_plot(
    locator: Locator,
    pose: CameraPose,
    outline: Outline,
    *,
    surface: Surface,
    sigmas: OutlineSigmas | None = None,
    plane: EqualAreaPlane | None = None,
    edges: Edges = "image",
    label: str = "plot",
    score: float = 1.0,
    frame_number: int = 0,
    detection_index: int = 0,
    part: int = 0,
) -> PlotLook | NoGround:
    """One look at the plot that `outline` encloses, or why it has no ground; raises `InputError`.

    The other arguments are those of `place_outline` and `effects_on`.
    """
    sigmas = sigmas or OutlineSigmas()
    polygon = place_outline(
        locator, pose, outline, surface=surface, sigma_px=sigmas.noise_px, edges=edges, plane=plane
    )
    if isinstance(polygon, NoGround):
        return polygon
    try:
        check_extent(polygon.shape)
    except InputError as error:
        return NoGround(reason=TOO_LARGE, detail=str(error))
    effects = effects_on(polygon, pose, locator.camera, surface, sigmas)
    sigma = effects.surface_sigma
    if not sigma <= MAX_AREA_SIGMA:
        detail = f"the area of {polygon.shape.area:.0f} m2 has a relative error of {sigma:.2g} (one sigma)"
        return NoGround(reason=UNCERTAIN, detail=detail)
    return PlotLook(
        time_ns=pose.time_ns,
        frame_number=frame_number,
        detection_index=detection_index,
        part=part,
        label=label,
        score=score,
        polygon=polygon,
        effects=effects,
        view=View(polygon, pose, locator.camera),
        surface=surface,
    )
