"""Vessels and small buildings: how they move, and their shapes as simple solids."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.scenario.land.noise import generator
from sim.scenario.tables.fleet import Vessel, VesselKind
from sim.scenario.tables.land import Decoy, Structure, StructureKind

FloatArray = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Outline = list[tuple[float, float]]

BEAM_M: dict[VesselKind, float] = {
    "go_fast": 2.7, "fishing": 4.4, "skiff": 1.9, "ship": 15.0, "coaster": 9.0, "sail": 3.6,
}  # fmt: skip
LENGTH_M: dict[VesselKind, float] = {
    "go_fast": 12.2, "fishing": 14.5, "skiff": 7.6, "ship": 92.0, "coaster": 46.0, "sail": 11.5,
}  # fmt: skip


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
    makers = {
        "go_fast": _go_fast,
        "fishing": _fishing,
        "skiff": _skiff,
        "ship": _ship,
        "coaster": _coaster,
        "sail": _sail,
    }
    return makers[kind](colour)


def structure_solid(structure: Structure) -> Solid:
    """The shape of a building, origin in the middle of its floor."""
    build = _Builder()
    length, width = structure.length_m, structure.width_m
    outline = _rectangle(-length / 2, length / 2, width)
    roofs: dict[StructureKind, tuple[Colour, Colour, float, float]] = {
        "hut": ((72, 96, 120), (96, 138, 160), 2.2, 3.6),
        "shed": ((120, 128, 132), (178, 180, 176), 2.6, 3.8),
        "nursery": ((196, 206, 206), (222, 228, 226), 1.2, 2.4),
        "house": ((188, 204, 214), (62, 92, 158), 3.0, 5.2),
        "warehouse": ((150, 152, 150), (168, 172, 172), 6.5, 8.5),
    }
    wall, roof, eaves_m, ridge_m = roofs[structure.kind]
    build.prism(outline, -0.8, eaves_m, wall, wall)
    build.gable(length, width, eaves_m, ridge_m, roof)
    return build.solid(length, width)


def decoy_solid(decoy: Decoy) -> Solid:
    """The shape of a decoy, origin in its middle on the water or the ground."""
    build = _Builder()
    length, width = decoy.length_m, decoy.width_m
    told = decoy.colour_bgr
    colour = None if told is None else (told[0], told[1], told[2])
    match decoy.kind:
        case "rock":
            tone = colour or (96, 104, 110)
            build.prism(_ragged(length, width, decoy.id), -1.5, 0.16 * width + 0.5, _darker(tone), tone, 0.62)
            build.prism(
                _ragged(0.5 * length, 0.5 * width, decoy.id + "top"), 0.4, 0.26 * width + 0.8, tone, tone, 0.7
            )
        case "buoy":
            tone = colour or (40, 60, 214)
            build.prism(_regular(8, max(length, 1.2) / 2), -0.2, 0.9, tone, tone, 1.0)
            build.prism(_regular(6, 0.18 * length + 0.1), 0.9, 2.8, (60, 64, 70), tone, 1.0)
        case "jetty":
            tone = colour or (110, 130, 142)
            build.prism(_rectangle(-length / 2, length / 2, width), 1.0, 1.3, _darker(tone), tone)
        case "greenhouse":
            tone = colour or (214, 220, 218)
            build.prism(_rectangle(-length / 2, length / 2, width), -0.5, 2.0, (190, 198, 198), tone)
            build.gable(length, width, 2.0, 3.6, tone)
        case "raft":
            tone = colour or (92, 116, 128)
            for k in range(4):
                shift = (k - 1.5) * length / 4
                build.prism(
                    _rectangle(shift - length / 10, shift + length / 10, width), 0.0, 0.35, tone, tone
                )
        case "debris":
            tone = colour or (120, 132, 140)
            build.prism(_ragged(length, width, decoy.id), -0.1, 0.25, tone, tone)
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


def _coaster(colour: Colour | None) -> Solid:
    hull = colour or (74, 62, 52)
    build = _Builder()
    build.prism(_hull(46.0, 9.0, 0.2), -0.4, 3.0, _darker(hull), (70, 92, 118), 1.08)
    build.prism(_rectangle(-4.0, 14.0, 6.2), 3.0, 4.0, (96, 108, 112), (112, 124, 128))
    build.prism(_rectangle(-20.0, -11.0, 7.6), 3.0, 7.5, (200, 204, 206), (150, 152, 150))
    build.prism(_rectangle(-18.0, -12.0, 6.6), 7.5, 10.2, (206, 208, 208), (186, 190, 188))
    build.prism(_rectangle(-20.0, -18.4, 1.6), 7.5, 11.5, (36, 38, 40), (30, 30, 32))
    build.prism(_rectangle(9.4, 9.9, 0.5), 4.0, 12.0, (90, 92, 92), (110, 112, 112))
    return build.solid(46.0, 9.0)


def _sail(colour: Colour | None) -> Solid:
    hull = colour or (222, 224, 222)
    build = _Builder()
    build.prism(_hull(11.5, 3.6, 0.5), -0.1, 1.0, _darker(hull), hull, 1.15)
    build.prism(_rectangle(-2.6, 1.8, 2.0), 1.0, 1.4, (200, 202, 200), (168, 150, 132))
    build.prism(_rectangle(1.1, 1.3, 0.2), 1.0, 13.5, (120, 122, 122), (140, 142, 142))
    build.prism(
        [(-3.6, 0.25), (1.1, 0.05), (1.1, -0.05), (-3.6, 0.15)], 1.8, 11.0, (232, 236, 236), (236, 240, 240)
    )
    return build.solid(11.5, 3.6)


def _regular(corners: int, radius_m: float) -> Outline:
    return [
        (radius_m * math.cos(2 * math.pi * k / corners), radius_m * math.sin(2 * math.pi * k / corners))
        for k in range(corners)
    ]


def _ragged(length_m: float, width_m: float, name: str) -> Outline:
    """An irregular ring; the same name gives the same."""
    rng = generator(0, "ragged", name)
    angle = np.sort(rng.uniform(0.0, 2.0 * math.pi, 9))
    radius = rng.uniform(0.7, 1.1, 9)
    return [
        (float(length_m / 2 * r * math.cos(a)), float(width_m / 2 * r * math.sin(a)))
        for a, r in zip(angle, radius, strict=True)
    ]


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
