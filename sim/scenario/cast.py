"""Everything of a scenario that has a shape: where it stands or moves at an instant."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.scenario.land.sea import Wake
from sim.scenario.vessels import Solid, decoy_solid, structure_solid, vessel_solid
from sim.scenario.world import World

FloatArray = npt.NDArray[np.float64]

_WAKE_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """A solid in the world at one instant: grid place, height of its base above the ellipsoid, heading."""

    id: str
    label: str
    solid: Solid
    x_m: float
    y_m: float
    base_hae_m: float
    heading_deg: float
    speed_mps: float
    wake: Wake | None
    kind: str = ""

    def points(self, local: FloatArray) -> FloatArray:
        """Grid x, y and height (N, 3) of points in the solid's axes (forward, right, up)."""
        heading = math.radians(self.heading_deg)
        east = local[:, 0] * math.sin(heading) + local[:, 1] * math.cos(heading)
        north = local[:, 0] * math.cos(heading) - local[:, 1] * math.sin(heading)
        return np.column_stack([self.x_m + east, self.y_m + north, self.base_hae_m + local[:, 2]])


class Cast:
    """Everything of a scenario that has a shape, at any instant."""

    def __init__(self, world: World) -> None:
        self._world = world
        scenario = world.scenario
        self._vessels = [
            (vessel, vessel_solid(vessel.kind, _colour(vessel.colour_bgr))) for vessel in scenario.vessels
        ]
        self._structures = [
            Placed(
                id=structure.id,
                label="structure",
                solid=structure_solid(structure),
                x_m=structure.at[0],
                y_m=structure.at[1],
                base_hae_m=float(world.surface_at(structure.at[0], structure.at[1])),
                heading_deg=structure.heading_deg,
                speed_mps=0.0,
                wake=None,
                kind=structure.kind,
            )
            for structure in scenario.structures
        ]
        self._structures += [
            Placed(
                id=decoy.id,
                label="decoy",
                solid=decoy_solid(decoy),
                x_m=decoy.at[0],
                y_m=decoy.at[1],
                base_hae_m=float(world.surface_at(decoy.at[0], decoy.at[1])),
                heading_deg=decoy.heading_deg,
                speed_mps=0.0,
                wake=None,
                kind=decoy.kind,
            )
            for decoy in scenario.decoys
        ]

    def at(self, time_s: float) -> list[Placed]:
        """All solids at `time_s`, structures and decoys first, in the scenario's order."""
        placed = list(self._structures)
        for vessel, solid in self._vessels:
            motion = self._world.fleet.motion(vessel.id, time_s)
            wake = None
            if motion.speed_mps > 0.5:
                run_m = math.inf
                if vessel.steps:
                    before = self._world.fleet.motion(vessel.id, time_s - _WAKE_S)
                    run_m = math.hypot(motion.x_m - before.x_m, motion.y_m - before.y_m)
                wake = Wake(motion=motion, length_m=solid.length_m, beam_m=solid.beam_m, run_m=run_m)
            placed.append(
                Placed(
                    id=vessel.id,
                    label="vessel",
                    solid=solid,
                    x_m=motion.x_m,
                    y_m=motion.y_m,
                    base_hae_m=float(self._world.surface_at(motion.x_m, motion.y_m)),
                    heading_deg=motion.heading_deg,
                    speed_mps=motion.speed_mps,
                    wake=wake,
                    kind=vessel.kind,
                )
            )
        return placed


def _colour(colour: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    return None if colour is None else (colour[0], colour[1], colour[2])
