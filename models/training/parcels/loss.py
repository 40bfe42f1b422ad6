"""How far maps are from the truth: cross entropy and Dice for the areas, distance inside them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BOUNDARY_WEIGHT = 2.0
"""A pixel of the boundary counts this often: there are few of them."""


@dataclass(frozen=True, kw_only=True)
class MapLosses:
    """The three parts and their sum."""

    interior: Tensor
    boundary: Tensor
    distance: Tensor
    total: Tensor


def map_losses(logits: Tensor, truth: Tensor) -> MapLosses:
    """Logits (N, 3, H, W) against `FieldMix.batch`'s truth (N, 4, H, W), whose last map weighs pixels."""
    known = truth[:, 3:]
    want = truth[:, :3]
    entropy = functional.binary_cross_entropy_with_logits(logits[:, :2], want[:, :2], reduction="none")
    count = known.sum().clamp(min=1.0)
    chance = logits.sigmoid()
    interior = (entropy[:, :1] * known).sum() / count + dice(chance[:, :1], want[:, :1], known)
    weight = known * (1.0 + (BOUNDARY_WEIGHT - 1.0) * want[:, 1:2])
    boundary = (entropy[:, 1:2] * weight).sum() / count * 2.0
    boundary = boundary + dice(chance[:, 1:2], want[:, 1:2], known)
    distance = ((chance[:, 2:] - want[:, 2:]).abs() * known).sum() / count * 3.0
    return MapLosses(
        interior=interior, boundary=boundary, distance=distance, total=interior + boundary + distance
    )


def dice(chance: Tensor, want: Tensor, known: Tensor) -> Tensor:
    """One less the share of overlap, over the whole batch (Milletari et al. 2016, "V-Net")."""
    both = (chance * want * known).sum()
    sizes = ((chance.square() + want) * known).sum()
    return 1.0 - (2.0 * both + 1.0) / (torch.clamp(sizes, min=0.0) + 1.0)
