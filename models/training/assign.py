"""Which anchors answer for which box (SimOTA, Ge et al. 2021, YOLOX), and the losses of a GFL detector."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.training.network import BINS, boxes_from_sides

CENTRE_REACH = 2.5
"""How many strides from a box's centre an anchor may lie and still answer for it."""
IOU_COST = 4.0
OUTSIDE_COST = 1e4
SIDE_WEIGHT, BOX_WEIGHT = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class Losses:
    """Sums over a batch, and by how much to divide them."""

    score: Tensor
    box: Tensor
    side: Tensor
    total: Tensor
    positives: int


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of edges (N, 4) and (M, 4): (N, M)."""
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    cut = (high - low).clamp(min=0).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(1), (b[:, 2:] - b[:, :2]).clamp(min=0).prod(1)
    return cut / (area_a[:, None] + area_b - cut + 1e-7)


def assign(
    logits: Tensor, found: Tensor, centres: Tensor, strides: Tensor, boxes: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors that answer (P,), the box that each answers for (P,), and their IoU (P,).

    `logits` (A, C) and `found` (A, 4) are what the network says now; `boxes` (G, 4), `classes` (G,)
    the truth.
    """
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((centres[:, None] - middle).abs() < CENTRE_REACH * strides[:, None, None]).all(2)
    within = torch.cat([centres[:, None] - boxes[:, :2], boxes[:, 2:] - centres[:, None]], 2).amin(2) > 0
    candidates = torch.nonzero((near | within).any(1)).squeeze(1)
    if not len(candidates) or not len(boxes):
        nothing = torch.zeros(0, dtype=torch.long)
        return nothing, nothing, torch.zeros(0)
    iou = pairwise_iou(found[candidates], boxes)
    score = logits[candidates][:, classes].sigmoid()
    # Quality focal cost: how far the score is from the overlap it should be.
    cost = functional.binary_cross_entropy(score, iou, reduction="none") * (iou - score).abs() ** 2
    cost = cost - IOU_COST * torch.log(iou + 1e-7) + OUTSIDE_COST * ~(near & within)[candidates]
    wanted = iou.topk(min(10, len(candidates)), dim=0).values.sum(0).int().clamp(min=1)
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    for at, count in enumerate(wanted.tolist()):
        chosen[cost[:, at].topk(min(count, len(candidates)), largest=False).indices, at] = True
    twice = chosen.sum(1) > 1
    if twice.any():
        best = cost[twice].argmin(1)
        chosen[twice] = functional.one_hot(best, len(boxes)).bool()
    rows, owner = torch.nonzero(chosen, as_tuple=True)
    return candidates[rows], owner, iou[rows, owner]


def losses(
    logits: Tensor, sides: Tensor, centres: Tensor, strides: Tensor, truth: list[tuple[Tensor, Tensor]]
) -> Losses:
    """Losses of a batch: `truth` holds boxes (G, 4) and classes (G,), negative where ignored, per image."""
    found = boxes_from_sides(sides, centres, strides)
    goal, weight = torch.zeros_like(logits), torch.ones_like(logits)
    images, anchors, targets = [], [], []
    for at, (boxes, classes) in enumerate(truth):
        known = classes >= 0
        with torch.no_grad():
            _forget(weight[at], centres, strides, boxes[~known])
            rows, owner, iou = assign(
                logits[at].detach(), found[at].detach(), centres, strides, boxes[known], classes[known]
            )
        goal[at, rows, classes[known][owner]] = iou
        weight[at, rows] = 1.0
        images.append(torch.full_like(rows, at))
        anchors.append(rows)
        targets.append(boxes[known][owner])
    image, anchor, target = torch.cat(images), torch.cat(anchors), torch.cat(targets)
    chance = logits.sigmoid()
    pull = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    score = (pull * (goal - chance).abs() ** 2 * weight).sum()
    quality = goal[image, anchor].amax(1) if len(image) else goal.new_zeros(0)
    box = ((1 - _giou(found[image, anchor], target)) * quality).sum()
    side = _side_loss(sides[image, anchor], target, centres[anchor], strides[anchor], quality)
    scale = quality.sum().clamp(min=1.0)
    total = (score + BOX_WEIGHT * box + SIDE_WEIGHT * side) / scale
    return Losses(score / scale, box / scale, side / scale, total, len(image))


def _forget(weight: Tensor, centres: Tensor, strides: Tensor, boxes: Tensor) -> None:
    """Teach nothing at anchors in ignored boxes (and half a stride around)."""
    if len(boxes):
        reach = strides[:, None, None] / 2
        inside = (centres[:, None] > boxes[:, :2] - reach) & (centres[:, None] < boxes[:, 2:] + reach)
        weight[inside.all(2).any(1)] = 0.0


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of matching rows."""
    cut = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    joined = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - cut
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return cut / (joined + 1e-7) - (hull - joined) / (hull + 1e-7)


def _side_loss(sides: Tensor, target: Tensor, centres: Tensor, strides: Tensor, quality: Tensor) -> Tensor:
    """Distribution focal loss (Li et al. 2020): the two bins round the true distance."""
    distance = torch.cat([centres - target[:, :2], target[:, 2:] - centres], 1) / strides[:, None]
    distance = distance.clamp(0, BINS - 1 - 0.01)
    low = distance.long()
    share = distance - low
    logs = sides.reshape(-1, 4, BINS).log_softmax(2)
    below, above = logs.gather(2, low[..., None]), logs.gather(2, low[..., None] + 1)
    loss = -(below.squeeze(2) * (1 - share) + above.squeeze(2) * share)
    return (loss.mean(1) * quality).sum()
