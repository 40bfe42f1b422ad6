"""The detector that is trained: a published GFL network with classes of ours; how its maps become boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.training.errors import TrainingError
from models.training.graph import GraphNetwork, final_splits

STRIDES = (8, 16, 32, 64)
BINS = 8
"""A side of a box is an expectation over 0 .. BINS - 1 strides (Li et al. 2020, Generalized Focal Loss)."""
MULTIPLE_PX = 64
PIXEL_MEAN_BGR = (103.53, 116.28, 123.675)
PIXEL_DEVIATION_BGR = (57.375, 57.12, 58.395)


class VesselNetwork(nn.Module):
    """A GFL detector whose last layers answer for `classes` of ours.

    `forward` takes a batch (N, 3, H, W), blue first, 0 to 255, H and W multiples of 64, and returns class
    logits (N, A, C), side logits (N, A, 4 * BINS), with A anchors from the finest grid on, row by row.
    """

    def __init__(self, start: Path, classes: Sequence[str], seeds: Sequence[Sequence[int]]) -> None:
        """`start`: an ONNX detector; `seeds`: for each class, rows of the start's classes to begin from."""
        super().__init__()
        heads = final_splits(start)
        if len(heads) != len(STRIDES) or any(sizes[1] != 4 * BINS for _, sizes in heads):
            raise TrainingError(
                f"{start}: {len(heads)} heads; {len(STRIDES)} with {4 * BINS} side bins are due"
            )
        self.classes = tuple(classes)
        self.graph = GraphNetwork(start, [name for name, _ in heads])
        for name, sizes in heads:
            self._reseed(name, sizes[0], seeds)
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(PIXEL_DEVIATION_BGR).view(1, 3, 1, 1), persistent=False
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As the class says."""
        maps = self.graph((image - self.mean) / self.deviation)
        flat = [maps[name].flatten(2).transpose(1, 2) for name in self.graph.output_names]
        joined = torch.cat(flat, dim=1)
        return joined[..., : len(self.classes)], joined[..., len(self.classes) :]

    def _reseed(self, name: str, old_classes: int, seeds: Sequence[Sequence[int]]) -> None:
        """Cut the last layer that makes `name` to our classes, each the mean of its seed rows."""
        for operator, reads, writes, _ in self.graph.steps:
            if name not in writes:
                continue
            if operator not in {"Conv", "Add"}:
                raise TrainingError(f"the head {name} is made by {operator}; a convolution is due")
            for read in reads if operator == "Add" else reads[1:]:
                key = self.graph.parameter_of.get(read)
                if key is not None:
                    _cut(self.graph, key, old_classes, seeds)
            if operator == "Add":
                self._reseed(reads[0], old_classes, seeds)


def _cut(graph: nn.Module, key: str, old_classes: int, seeds: Sequence[Sequence[int]]) -> None:
    old = getattr(graph, key).detach()
    axis = 1 if old.dim() == 4 and old.shape[0] == 1 else 0
    rows = [old.index_select(axis, torch.tensor(list(seed))).mean(axis, keepdim=True) for seed in seeds]
    rows.append(old.narrow(axis, old_classes, old.shape[axis] - old_classes))
    setattr(graph, key, nn.Parameter(torch.cat(rows, dim=axis)))


def anchor_points(size_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) in pixels (x, y) and strides (A,) for an input of width, height."""
    centres, strides = [], []
    for stride in STRIDES:
        columns, rows = size_px[0] // stride, size_px[1] // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres.append((torch.stack([x, y], dim=2).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def boxes_from_sides(sides: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Edges (..., A, 4) x0, y0, x1, y1 in pixels from side logits (..., A, 4 * BINS)."""
    chance = sides.reshape(*sides.shape[:-1], 4, BINS).softmax(-1)
    steps = torch.arange(BINS, dtype=chance.dtype, device=chance.device)
    distance = (chance * steps).sum(-1) * strides[:, None]
    return torch.cat([centres - distance[..., :2], centres + distance[..., 2:]], dim=-1)


def boxes_of(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (N, A, C) and edges (N, A, 4) for a batch."""
    logits, sides = network(image)
    centres, strides = anchor_points((image.shape[3], image.shape[2]))
    return logits.sigmoid(), boxes_from_sides(sides, centres, strides)


def parameters_by_kind(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Groups for an optimiser: weights with decay, biases and other short ones without."""
    many = [p for p in network.parameters() if p.dim() == 4 and p.shape[0] > 1]
    few = [p for p in network.parameters() if not (p.dim() == 4 and p.shape[0] > 1)]
    return [{"params": many, "weight_decay": decay}, {"params": few, "weight_decay": 0.0}]
