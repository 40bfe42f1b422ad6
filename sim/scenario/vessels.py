"""Vessels and small buildings: how they move, and their shapes as simple solids."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.scenario.tables.fleet import Vessel, VesselKind
from sim.scenario.tables.land import Structure, StructureKind

FloatArray = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Outline = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """Where a vessel is at one instant: grid metres, degrees true, metres a second."""

    x_m: float
    y_m: float
    heading_deg: float
    speed_mps: float
    turn_dps: float


def motion_at(vessel: Vessel, time_s: float) -> Motion:
    """A straight line, or a circle where the vessel turns; a pure function of time."""
    heading = math.radians(vessel.heading_deg)
    rate = math.radians(vessel.turn_dps)
    if abs(rate) < 1e-6:
        x = vessel.at[0] + vessel.speed_mps * time_s * math.sin(heading)
        y = vessel.at[1] + vessel.speed_mps * time_s * math.cos(heading)
        end = heading
    else:
        end = heading + rate * time_s
        radius = vessel.speed_mps / rate
        x = vessel.at[0] + radius * (math.cos(heading) - math.cos(end))
        y = vessel.at[1] + radius * (math.sin(end) - math.sin(heading))
    return Motion(
        x_m=x,
        y_m=y,
        heading_deg=math.degrees(end) % 360.0,
        speed_mps=vessel.speed_mps,
        turn_dps=vessel.turn_dps,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A flat polygon: points (N, 3) forward, right, up in metres; outward normal; colour; part."""

    points: FloatArray
    normal: FloatArray
    colour: Colour
    part: int


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A thing made of faces; `outlines` are the tops and bottoms of its parts, for shadows and boxes."""

    faces: tuple[Face, ...]
    points: FloatArray
    length_m: float
    beam_m: float


class _Builder:
    """Collects upright prisms and roofs into a solid."""

    def __init__(self) -> None:
        self._faces: list[Face] = []
        self._part = 0

    def prism(
        self, outline: Outline, low_m: float, high_m: float, side: Colour, top: Colour, flare: float = 1.0
    ) -> None:
        """An upright prism over `outline` (forward, right); `flare` widens its top against its bottom."""
        base = np.array(outline, np.float64)
        if _area(base) > 0.0:
            base = base[::-1]
        centre = base.mean(axis=0)
        bottom = np.column_stack([centre + (base - centre) / flare, np.full(len(base), low_m)])
        upper = np.column_stack([base, np.full(len(base), high_m)])
        for i in range(len(base)):
            j = (i + 1) % len(base)
            self._add(np.array([bottom[i], bottom[j], upper[j], upper[i]]), side, base.mean(axis=0))
        self._faces.append(Face(upper, np.array([0.0, 0.0, 1.0]), top, self._part))
        self._part += 1

    def gable(self, length_m: float, width_m: float, low_m: float, high_m: float, roof: Colour) -> None:
        """A roof with its ridge along the length, overhanging by 0.4 m."""
        x, y = length_m / 2 + 0.4, width_m / 2 + 0.4
        for sign in (-1.0, 1.0):
            points = np.array(
                [[-x, sign * y, low_m], [x, sign * y, low_m], [x, 0.0, high_m], [-x, 0.0, high_m]]
            )
            self._add(points, roof, np.zeros(2))
            gable = np.array([[sign * x, -y, low_m], [sign * x, y, low_m], [sign * x, 0.0, high_m]])
            self._add(gable, roof, np.zeros(2))
        self._part += 1

    def solid(self, length_m: float, beam_m: float) -> Solid:
        """Everything collected so far."""
        points = np.unique(np.vstack([face.points for face in self._faces]).round(4), axis=0)
        return Solid(tuple(self._faces), points, length_m, beam_m)

    def _add(self, points: FloatArray, colour: Colour, centre: FloatArray) -> None:
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        outward = points.mean(axis=0) - np.array([centre[0], centre[1], points[:, 2].min() - 0.5])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
        if float(normal @ outward) < 0.0:
            normal = -normal
        self._faces.append(Face(points, normal, colour, self._part))


def vessel_solid(kind: VesselKind, colour: Colour | None = None) -> Solid:
    """The shape of a vessel, origin amidships on the water line."""
    return {"go_fast": _go_fast, "fishing": _fishing, "skiff": _skiff, "ship": _ship}[kind](colour)


def structure_solid(structure: Structure) -> Solid:
    """The shape of a building, origin in the middle of its floor."""
    build = _Builder()
    length, width = structure.length_m, structure.width_m
    outline = _rectangle(-length / 2, length / 2, width)
    roofs: dict[StructureKind, tuple[Colour, Colour, float, float]] = {
        "hut": ((72, 96, 120), (96, 138, 160), 2.2, 3.6),
        "shed": ((120, 128, 132), (178, 180, 176), 2.6, 3.8),
        "nursery": ((196, 206, 206), (222, 228, 226), 1.2, 2.4),
    }
    wall, roof, eaves_m, ridge_m = roofs[structure.kind]
    build.prism(outline, -0.8, eaves_m, wall, wall)
    build.gable(length, width, eaves_m, ridge_m, roof)
    return build.solid(length, width)


def _go_fast(colour: Colour | None) -> Solid:
    hull = colour or (128, 112, 96)
    build = _Builder()
    build.prism(_hull(12.2, 2.7, 0.42), -0.1, 0.95, _darker(hull), hull, 1.12)
    build.prism(_rectangle(-4.6, 1.2, 1.7), 0.95, 1.0, (40, 42, 46), (58, 62, 66))
    build.prism(_rectangle(-0.6, 0.7, 1.2), 1.0, 1.9, (64, 66, 70), (92, 96, 100))
    build.prism(_rectangle(-3.6, -2.2, 1.5), 1.0, 1.5, (66, 96, 128), (88, 122, 158))
    for right in (-0.8, 0.0, 0.8):
        build.prism(
            [(p[0], p[1] + right) for p in _rectangle(-6.7, -5.9, 0.5)], 0.2, 1.45, (24, 24, 26), (34, 34, 38)
        )
    return build.solid(12.2, 2.7)


def _skiff(colour: Colour | None) -> Solid:
    hull = colour or (150, 116, 64)
    build = _Builder()
    build.prism(_hull(7.6, 1.9, 0.36), -0.1, 0.7, _darker(hull), hull, 1.15)
    build.prism(_hull(6.4, 1.35, 0.36), 0.7, 0.72, (70, 84, 92), (96, 112, 122))
    for forward in (-1.8, 0.0, 1.5):
        build.prism(
            _rectangle(forward - 0.2, forward + 0.2, 1.4), 0.72, 0.8, (110, 130, 140), (150, 172, 182)
        )
    build.prism(_rectangle(-4.2, -3.7, 0.5), 0.2, 1.2, (26, 26, 28), (38, 38, 42))
    return build.solid(7.6, 1.9)


def _fishing(colour: Colour | None) -> Solid:
    hull = colour or (206, 204, 196)
    build = _Builder()
    build.prism(_hull(14.5, 4.4, 0.30), -0.2, 1.7, _darker(hull), (112, 126, 134), 1.12)
    build.prism(_hull(13.4, 3.7, 0.30), 1.7, 1.72, (86, 100, 108), (104, 122, 132))
    build.prism(_rectangle(0.6, 4.2, 2.8), 1.7, 4.1, (206, 208, 206), (224, 226, 224))
    build.prism(_rectangle(0.9, 3.4, 2.2), 4.1, 4.4, (150, 152, 150), (226, 228, 226))
    build.prism(_rectangle(-5.6, -3.6, 2.6), 1.7, 2.3, (60, 110, 96), (72, 134, 116))
    build.prism(_rectangle(-1.2, -1.0, 0.25), 1.7, 6.6, (90, 92, 92), (110, 112, 112))
    return build.solid(14.5, 4.4)


def _ship(colour: Colour | None) -> Solid:
    hull = colour or (44, 40, 84)
    build = _Builder()
    build.prism(_hull(92.0, 15.0, 0.16), -0.5, 5.4, _darker(hull), (62, 72, 108), 1.06)
    build.prism(_rectangle(36.5, 41.0, 8.0), 5.4, 7.0, (110, 110, 108), (126, 128, 124))
    for start in (-22.0, -6.0, 10.0):
        build.prism(_rectangle(start, start + 13.5, 10.5), 5.4, 7.2, (84, 96, 88), (118, 134, 122))
    build.prism(_rectangle(-40.0, -27.0, 13.4), 5.4, 11.0, (196, 198, 198), (150, 150, 146))
    build.prism(_rectangle(-38.0, -28.0, 11.0), 11.0, 16.5, (206, 208, 208), (164, 164, 160))
    build.prism(_rectangle(-31.5, -28.5, 14.6), 16.5, 19.2, (210, 212, 212), (188, 188, 184))
    build.prism(_rectangle(-38.0, -34.0, 4.0), 16.5, 22.0, (60, 74, 160), (40, 40, 42))
    return build.solid(92.0, 15.0)


def _hull(length_m: float, beam_m: float, bow_share: float) -> Outline:
    """A deck outline: square stern, a bow that narrows over `bow_share` of the length."""
    half, side = length_m / 2, beam_m / 2
    shoulder = half - bow_share * length_m
    bow = [(shoulder + (half - shoulder) * t, side * (1.0 - t**1.8)) for t in (0.0, 0.3, 0.55, 0.8, 0.95)]
    right = [(-half, side * 0.9), (-half * 0.6, side), *bow]
    return [*right, (half, 0.0), *[(x, -y) for x, y in reversed(right)]]


def _rectangle(back_m: float, front_m: float, width_m: float) -> Outline:
    side = width_m / 2
    return [(back_m, -side), (front_m, -side), (front_m, side), (back_m, side)]


def _darker(colour: Colour) -> Colour:
    return (colour[0] * 7 // 10, colour[1] * 7 // 10, colour[2] * 7 // 10)


def _area(outline: FloatArray) -> float:
    x, y = outline[:, 0], outline[:, 1]
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
