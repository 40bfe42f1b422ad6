"""The plots of one sensor: detections with a shape in, `Plot` messages out, told when there is something new.

A plot is told once it is confirmed, and then when it has become complete, when its area has become surer by
a fifth or differs from what was told by more than its sigma, and at the latest half a minute later while it
is still seen; but never more often than every five seconds, unless it has just become complete.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from edge.geolocation.locate import Locator
from edge.plots.effects import OutlineSigmas
from edge.plots.ground import EqualAreaPlane, NoGround
from edge.plots.look import PlotLook, look_at_plot
from edge.plots.merge import PlotMap, PlotState, PlotSummary, rings_deg
from edge.plots.outline import Outline, outline_of_polygon, outlines_of_mask, simplified_polygon
from models.detection import DetectionBatch, MaskShape, Shape
from skywarden import messages
from skywarden.clock import NS_PER_S
from skywarden.errors import InputError
from skywarden.geometry.pose import CameraPose
from skywarden.geometry.terrain import LevelSurface, Surface
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import MAX_PLOT_VERTICES, MAX_RING_VERTICES

TOLD_EARLIEST_NS = 5 * NS_PER_S
TOLD_LATEST_NS = 30 * NS_PER_S
SURER_BY = 0.8
MAX_TOLD_HOLES = 32
MAX_LOOKS = 32
"""Of one frame: further ones cost more than they tell; the best detections come first."""
MAX_PARTS = 8
MIN_PART_SHARE = 0.02
"""Parts of a mask that are smaller than so much of its largest are specks."""
BAD_SHAPE = "bad_shape"
TOO_MANY = "too_many"


@dataclass(frozen=True, kw_only=True)
class PlotSettings:
    """How detections with a shape become plots.

    Attributes:
        labels: which detections are plots; others keep their box.
        outline: one-sigma errors of outlines and of the ground's slope.
        confirm_looks: so many looks make a plot worth telling.
        decorrelation_s: looks that follow each other faster are less than independent.
        interval_s: frames that follow the last look faster are passed over: they cost much and tell little.
    """

    labels: tuple[str, ...] = ("plot", "parcel", "plantation")
    outline: OutlineSigmas = field(default_factory=OutlineSigmas)
    confirm_looks: int = 2
    decorrelation_s: float = 2.0
    interval_s: float = 0.5


@dataclass(slots=True)
class _Told:
    time_ns: int
    sigma: float
    area_m2: float
    is_complete: bool


class PlotNode:
    """Follows the plots of one sensor; a plain object, time is in the poses."""

    def __init__(self, settings: PlotSettings | None = None) -> None:
        self._settings = settings or PlotSettings()
        self._map = self._new_map()
        self._told: dict[int, _Told] = {}
        self._looked_ns: int | None = None
        self.surface: Surface | None = None
        """What rays of the last frame met."""

    def handle(
        self,
        batch: DetectionBatch,
        locator: Locator,
        pose: CameraPose,
        surface: Surface,
        frame_number: int,
    ) -> "PlotFrame":
        """Take one frame; which plots have something new, and what became of every shape.

        `surface` is what `locator` casts its rays on.
        """
        self.surface = surface
        wanted = [
            index
            for index, shape in enumerate(batch.shapes)
            if shape is not None and batch.labels[batch.label_index[index]] in self._settings.labels
        ]
        if not wanted or not self._is_due(pose.time_ns):
            return PlotFrame(looks={}, numbers={}, news=[])
        plane = self._map.plane_at(pose.latitude_deg, pose.longitude_deg)
        looks: dict[tuple[int, int], PlotLook | NoGround] = {}
        for index in wanted:
            if len(looks) >= MAX_LOOKS:
                looks[index, 0] = NoGround(reason=TOO_MANY, detail=f"over {MAX_LOOKS} looks in one frame")
                continue
            found = self._looks(batch, index, locator, pose, surface, plane, frame_number)
            looks |= {(index, part): look for part, look in enumerate(found)}
        seen = [look for look in looks.values() if isinstance(look, PlotLook)]
        numbers = self._map.update(seen)
        told = [self._map.summary(number) for number in sorted(set(numbers.values()))]
        news = self._states([one.number for one in told if self._is_news(one, pose.time_ns)], surface)
        for state in news:
            area = state.planimetric
            self._told[state.number] = _Told(pose.time_ns, area.sigma, area.value, state.is_complete)
        return PlotFrame(looks=looks, numbers=numbers, news=news)

    def states(self) -> list[PlotState]:
        """Every confirmed plot as it is known by now."""
        if self.surface is None:
            return []
        known = [number for number in self._map.numbers if self._map.summary(number).is_confirmed]
        return self._states(known, self.surface)

    def begin_anew(self) -> None:
        """Forget everything, as when the clock was set back."""
        self._map, self._told, self._looked_ns = self._new_map(), {}, None

    def _states(self, numbers: Sequence[int], surface: Surface) -> list[PlotState]:
        """Of these plots; one whose ground nobody knows (at the edge of the terrain model) is left out."""
        states = []
        for number in numbers:
            with contextlib.suppress(InputError):
                states.append(self._map.state(number, surface))
        return states

    def _is_due(self, time_ns: int) -> bool:
        if self._looked_ns is not None and time_ns - self._looked_ns < self._settings.interval_s * NS_PER_S:
            return False
        self._looked_ns = time_ns
        return True

    def _new_map(self) -> PlotMap:
        return PlotMap(
            confirm_looks=self._settings.confirm_looks, decorrelation_s=self._settings.decorrelation_s
        )

    def _looks(
        self,
        batch: DetectionBatch,
        index: int,
        locator: Locator,
        pose: CameraPose,
        surface: Surface,
        plane: EqualAreaPlane,
        frame_number: int,
    ) -> list[PlotLook | NoGround]:
        """Of one detection, a look for each part of its mask."""
        shape, camera = batch.shapes[index], locator.camera
        assert shape is not None
        try:
            return [
                look_at_plot(
                    locator,
                    pose,
                    outline,
                    surface=surface,
                    sigmas=self._settings.outline,
                    plane=plane,
                    label=batch.labels[batch.label_index[index]],
                    score=float(batch.score[index]),
                    frame_number=frame_number,
                    detection_index=index,
                    part=part,
                )
                for part, outline in enumerate(_outlines(shape, (camera.width_px, camera.height_px)))
            ]
        except InputError as error:  # a detector's nonsense costs its plot, not the frame
            return [NoGround(reason=BAD_SHAPE, detail=str(error))]

    def _is_news(self, known: PlotSummary, time_ns: int) -> bool:
        if not known.is_confirmed:
            return False
        area, before = known.planimetric, self._told.get(known.number)
        if before is None:
            return True
        age_ns = time_ns - before.time_ns
        is_whole_now = known.is_complete and not before.is_complete
        is_surer = area.sigma < SURER_BY * before.sigma
        is_other = abs(math.log(area.value / before.area_m2)) > area.sigma
        is_due = age_ns >= TOLD_EARLIEST_NS and (is_surer or is_other or age_ns >= TOLD_LATEST_NS)
        return is_whole_now or is_due


@dataclass(frozen=True, kw_only=True, eq=False)
class PlotFrame:
    """What one frame said about plots, by (row of the detection, part of its mask).

    Attributes:
        looks: of every part of every detection that should be a plot, its look or why it has no ground.
        numbers: the plot that each look went into.
        news: plots to be told of now.
    """

    looks: dict[tuple[int, int], PlotLook | NoGround]
    numbers: dict[tuple[int, int], int]
    news: Sequence[PlotState]


def plot_message(
    state: PlotState,
    surface: Surface,
    *,
    prefix: str,
    platform_id: str,
    sortie_id: str,
    sensor_id: str,
    model_id: str,
    is_exercise: bool = False,
) -> messages.Plot:
    """A plot as it travels; its id is `prefix`, ".p" and the number."""
    latitude_deg, longitude_deg = state.middle
    (ee, en), (_, nn) = state.covariance_en_m2.tolist()
    area, on_slope = state.planimetric, state.on_slope
    up_m2 = surface.sigma_m**2
    return messages.Plot(
        plot_id=f"{prefix}.p{state.number}",
        platform_id=platform_id,
        sortie_id=sortie_id,
        sensor_id=sensor_id,
        time_ns=state.last_ns,
        first_ns=state.first_ns,
        label=state.label,
        score=state.score,
        look_count=state.look_count,
        model_id=model_id,
        rings_e7_i32=_told_rings(state),
        is_complete=state.is_complete,
        position=messages.Position(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            alt_hae_m=state.alt_hae_m,
            covariance_enu_m2=(ee, en, 0.0, nn, 0.0, up_m2),
            ce90_m=float(ce90_m(state.covariance_en_m2)),
            le90_m=float(le90_m(up_m2)),
            surface=surface.kind,
        ),
        area_m2=(area.value, area.low, area.high),
        surface_area_m2=(on_slope.value, on_slope.low, on_slope.high),
        slope_deg=state.slope_deg,
        is_exercise=is_exercise,
    )


def surface_under(surface: Surface | None, pose: CameraPose, level_sigma_m: float) -> Surface | None:
    """What rays of this pose meet: `surface`, or level ground at the height that the pose names."""
    if surface is not None:
        return surface
    if pose.level_alt_hae_m is None:
        return None
    return LevelSurface(pose.level_alt_hae_m, sigma_m=level_sigma_m)


def _outlines(shape: Shape, frame_size_px: tuple[int, int]) -> list[Outline]:
    """The outlines of a shape, the largest part of a mask first; raises `InputError`."""
    if isinstance(shape, MaskShape):
        parts = outlines_of_mask(
            shape.values,
            left_top_px=shape.left_top_px,
            step_px=shape.step_px,
            frame_size_px=frame_size_px,
        )
        least_px2 = MIN_PART_SHARE * parts[0].area_px2
        return [part for part in parts[:MAX_PARTS] if part.area_px2 >= least_px2]
    return [outline_of_polygon(shape.exterior, shape.holes, frame_size_px=frame_size_px)]


def _told_rings(state: PlotState) -> tuple[bytes, ...]:
    """The rings as columns, simplified as far as a message asks."""
    shape, tolerance_m = state.shape, 0.05
    while not _fits(shape):
        shape = simplified_polygon(state.shape, tolerance_m)
        if tolerance_m > 100.0:
            shape = shapely.Polygon(shape.exterior)
        tolerance_m *= 2.0
    return tuple(_packed(ring) for ring in rings_deg(state.plane, shape))


def _fits(shape: shapely.Polygon) -> bool:
    sizes = [len(ring.coords) - 1 for ring in (shape.exterior, *shape.interiors)]
    is_small = max(sizes) <= MAX_RING_VERTICES and sum(sizes) <= MAX_PLOT_VERTICES
    return is_small and len(shape.interiors) <= MAX_TOLD_HOLES


def _packed(ring_deg: npt.NDArray[np.float64]) -> bytes:
    return np.round(ring_deg * 1e7).astype("<i4").tobytes()
