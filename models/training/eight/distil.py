"""A training run with a teacher: first as the teacher answers, then the same on a grid of eight bits."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from models.training.assign import losses
from models.training.eight.plain import PlainNetwork, heads, landmarks
from models.training.errors import TrainingError
from models.training.mix import Mix
from models.training.network import BINS, VesselNetwork, anchor_points
from models.training.run import Run, Settings

MORPH_STEPS = 120
MEASURED = 12
"""Batches from which gates and ranges are taken."""
TAUGHT_WEIGHT, ALIKE_WEIGHT = 1.0, 2.0


class Distillation(Run):
    """A run of a `PlainNetwork`: labels, a teacher's answers, and its tensors on the way there.

    At step `equal_from` (not before the rectifiers stand) channels are equalised, from `grid_from` on the
    ranges stand and everything is rounded.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("score", "box", "side", "taught", "alike", "total")

    network: PlainNetwork
    averaged: PlainNetwork

    def __init__(
        self,
        network: PlainNetwork,
        teacher: VesselNetwork,
        mix: Mix,
        settings: Settings,
        folder: Path,
        grid_from: int,
        equal_from: int | None = None,
    ) -> None:
        """`equal_from`: by default at `grid_from`. Raises `TrainingError` when that is out of order."""
        equal = grid_from if equal_from is None else equal_from
        if not min(MORPH_STEPS, grid_from) <= equal <= grid_from:
            raise TrainingError(
                f"channels equalised at step {equal}; from {MORPH_STEPS} to {grid_from} is possible"
            )
        super().__init__(network, mix, settings, folder)
        self._teacher = teacher.to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._marks, self._grid_from, self._equal_from = landmarks(teacher), grid_from, equal

    def begin(self) -> None:
        """Take over the teacher's weights, its gates as means over a few batches. Not after a resume."""
        if self.step:
            raise TrainingError(f"the run is at step {self.step}; only a new one begins")
        self.network.learn_from(self._teacher, self._few())
        self.averaged.load_state_dict(self.network.state_dict())

    def resume(self) -> bool:
        """As `Run.resume`; a run that was on its grid is there again."""
        was = super().resume()
        if bool((self.network.high > 0).any()):
            self._onto_grid()
        return was

    def _few(self) -> Iterator[Tensor]:
        for at in range(MEASURED):
            yield self._draw(at)[0]

    def _prepare(self) -> None:
        """Channels alike and ranges measured at their steps, from the averaged weights, a fresh optimiser."""
        begins = self.step >= self._grid_from and not self.network.is_on_grid
        if not begins and self.step != self._equal_from:
            return
        self.network.load_state_dict(self.averaged.state_dict())
        self.network.equalise(self._few())
        if begins:
            self.network.measure(self._few())
        self.averaged.load_state_dict(self.network.state_dict())
        self._optimiser.state.clear()
        if begins:
            self._onto_grid()

    def _onto_grid(self) -> None:
        self.averaged.low, self.averaged.high = self.network.low.clone(), self.network.high.clone()
        self.network.is_on_grid = self.averaged.is_on_grid = True

    def _parts(self, batch: Tensor, truth: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        self.network.morph = min(1.0, self.step / MORPH_STEPS)
        self._prepare()
        shown = batch.contiguous(memory_format=torch.channels_last)
        made = self.network.values(shown)
        logits, sides = self.network.answer(made)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            due = {name: value.float() for name, value in _whole(self._teacher, shown, self._marks).items()}
        goal, side_goal = heads(self._teacher, due)
        centres, strides = anchor_points((batch.shape[3], batch.shape[2]))
        loss = losses(logits, sides, centres, strides, truth)
        taught = taught_loss(logits, sides, goal, side_goal)
        is_equal = self.step >= self._equal_from
        alike = torch.zeros(()) if is_equal else alike_loss(made, due, self._marks)
        total = loss.total + TAUGHT_WEIGHT * taught + ALIKE_WEIGHT * alike
        return [loss.score, loss.box, loss.side, taught, alike, total]


def alike_loss(made: Mapping[str, Tensor], due: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Mean over tensors of the squared difference, as a share of what the teacher's own square is.

    Once channels were equalised tensors are no longer the teacher's, and nothing is asked of them.
    """
    shares = [(made[n] - due[n]).square().mean() / due[n].square().mean().clamp(min=1e-6) for n in names]
    return torch.stack(shares).mean()


def taught_loss(logits: Tensor, sides: Tensor, goal: Tensor, side_goal: Tensor) -> Tensor:
    """How far answers are from a teacher's: scores by quality focal loss, sides by Kullback-Leibler's."""
    chance = goal.sigmoid()
    pull = functional.binary_cross_entropy_with_logits(logits, chance, reduction="none")
    score = (pull * (chance - logits.sigmoid()).square()).sum()
    weight = chance.amax(-1)
    told = side_goal.unflatten(-1, (4, BINS)).log_softmax(-1)
    said = sides.unflatten(-1, (4, BINS)).log_softmax(-1)
    apart = (told.exp() * (told - said)).sum(-1).mean(-1)
    where = weight > 0.05
    return (4.0 * score + (apart * weight)[where].sum()) / weight[where].sum().clamp(min=1.0)


def _whole(network: VesselNetwork, image: Tensor, names: list[str]) -> dict[str, Tensor]:
    asked = network.graph.output_names
    network.graph.output_names = (*asked, *names)
    try:
        return dict(network.graph((image - network.mean) / network.deviation))
    finally:
        network.graph.output_names = asked
