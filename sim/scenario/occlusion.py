"""What stands before hides what stands behind: outlines cut against each other, nearest first."""

from collections.abc import Sequence
from itertools import combinations

import msgspec
import shapely

from sim.scenario.seen import ObjectTruth

LEAST_LEFT = 1e-3
"""A thing of which less than this share is left is not seen at all."""


def cut_at_overlaps(objects: Sequence[ObjectTruth]) -> list[ObjectTruth]:
    """The same things in the same order, each without what nearer ones hide of it.

    `mask_px` becomes the outline of the largest piece that is left, `visibility` shrinks by the share that is
    hidden, and a thing that is wholly hidden is gone; boxes stay those of the whole thing. Only what has a
    mask hides and is hidden: plots lie flat on the ground.
    """
    solid = [one for one in objects if len(one.mask_px) >= 3]
    near: dict[str, list[ObjectTruth]] = {}
    for one, two in combinations(solid, 2):
        if _touch(one.box_px, two.box_px):
            front, back = (one, two) if one.range_m <= two.range_m else (two, one)
            near.setdefault(back.id, []).append(front)
    found = [_behind(one, near[one.id]) if one.id in near else one for one in objects]
    return [one for one in found if one is not None]


def _behind(thing: ObjectTruth, before: Sequence[ObjectTruth]) -> ObjectTruth | None:
    whole = shapely.Polygon(thing.mask_px)
    if whole.area <= 0.0:
        return thing
    left = whole.difference(shapely.union_all([shapely.Polygon(one.mask_px) for one in before]))
    share = left.area / whole.area
    if share < LEAST_LEFT:
        return None
    if share > 1.0 - LEAST_LEFT:
        return thing
    pieces = [one for one in shapely.get_parts(left) if one.geom_type == "Polygon"]
    largest = max(pieces, key=lambda one: one.area)
    ring = tuple((round(x, 2), round(y, 2)) for x, y in largest.exterior.coords[:-1])
    return msgspec.structs.replace(thing, mask_px=ring, visibility=thing.visibility * share)


def _touch(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
