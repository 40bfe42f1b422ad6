"""A detector made for eight bits: rectifiers in place of hard swish, no gates, roundings that it learns with.

What eight bits dislike in a PicoDet-S: hard swish and squeeze-and-excitation leave float operators between
all convolutions. Here a rectifier is part of the convolution before it (its zero is the grid's zero), and
each gate is its mean over images, folded into the convolution after it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.training.eight.grid import on_byte_grid, on_weight_grid, range_of
from models.training.errors import TrainingError
from models.training.graph import RUN, Step
from models.training.network import PIXEL_DEVIATION_BGR, PIXEL_MEAN_BGR, VesselNetwork

PIXEL_ZERO, PIXEL_UNIT = 114, 57.375
"""A byte of an image minus the first, over the second, is what the first convolution reads."""
REACH = 4.0
"""How far every channel reaches after `equalise`."""
PASSED_ON = ("Split", "Shuffle", "MaxPool", "Resize")
"""Operators that move values about: what comes out lies on the grid of what went in."""


class PlainNetwork(VesselNetwork):
    """As `VesselNetwork`, with what the module says done to its graph.

    Attributes:
        morph: 0 keeps hard swish, 1 is the rectifier, training goes from one to the other.
        is_on_grid: whether weights and activations are rounded as eight bits round them.
        rounded: names of the tensors that are rounded, in the order of `low` and `high`, their ranges.
    """

    low: Tensor
    high: Tensor

    def __init__(self, start: Path, classes: Sequence[str], seeds: Sequence[Sequence[int]]) -> None:
        super().__init__(start, classes, seeds)
        self.gates = _gates(self.graph.steps)
        self.graph.steps = _plain(self.graph.steps, self.gates)
        used = {name for step in self.graph.steps for name in step[1]}
        for name in [name for name in self.graph.parameter_of if name not in used]:
            delattr(self.graph, self.graph.parameter_of.pop(name))
        self.mean.fill_(float(PIXEL_ZERO))
        self.deviation.fill_(PIXEL_UNIT)
        self.rounded = _rounded(self.graph.steps, self.graph.output_names)
        self.register_buffer("low", torch.zeros(len(self.rounded)))
        self.register_buffer("high", torch.zeros(len(self.rounded)))
        self.morph, self.is_on_grid = 1.0, False

    def learn_from(self, teacher: VesselNetwork, images: Iterable[Tensor]) -> None:
        """Take the teacher's weights; its gates' means over `images` (1, 3, H, W) go into the weights."""
        known = dict(teacher.named_parameters())
        with torch.no_grad():
            for name, mine in self.named_parameters():
                mine.copy_(known[name])
            for gate, mean in _mean_gates(teacher, self.gates, images).items():
                for operator, reads, _, _ in self.graph.steps:
                    if operator == "Conv" and reads[0] == self.gates[gate]:
                        self._weight(reads[1]).mul_(mean)
            first = next(step for step in self.graph.steps if step[1][0] == self.graph.input_name)
            weight, bias = self._weight(first[1][1]), self._weight(first[1][2])
            deviation = torch.tensor(PIXEL_DEVIATION_BGR).view(1, 3, 1, 1)
            shift = (PIXEL_ZERO - torch.tensor(PIXEL_MEAN_BGR).view(1, 3, 1, 1)) / deviation
            bias.add_((weight * shift).sum((1, 2, 3)))
            weight.mul_(PIXEL_UNIT / deviation)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `VesselNetwork`: class logits and side logits."""
        return self.answer(self.values(image))

    def values(self, image: Tensor) -> dict[str, Tensor]:
        """Every tensor of the graph, by name."""
        return run_graph(self, (image - self.mean) / self.deviation)

    def answer(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (N, A, C) and side logits (N, A, 4 * BINS) of `values`."""
        return heads(self, values)

    @torch.no_grad()
    def measure(self, images: Iterable[Tensor]) -> None:
        """Set the ranges from what `images` make of the network; nothing is rounded meanwhile."""
        self.is_on_grid = False
        seen: dict[str, list[Tensor]] = {name: [] for name in self.rounded}
        for image in images:
            values = self.values(image)
            for name in self.rounded:
                flat = values[name].flatten()
                seen[name].append(flat[:: max(1, flat.numel() // 4096)].clone())
                seen[name].append(torch.stack([flat.min(), flat.max()]))
        rectified = {step[2][0] for step in self.graph.steps if step[0] == "Plain"}
        for at, name in enumerate(self.rounded):
            low, high = range_of(torch.cat(seen[name]))
            self.low[at], self.high[at] = 0.0 if name in rectified else low, high

    @torch.no_grad()
    def equalise(self, images: Iterable[Tensor]) -> None:
        """Scale channels so that each reaches as far as all others in `images`; answers stay as they are.

        A tensor has one grid: a channel that reaches a hundredth as far as its neighbour would be left with
        two steps. Rectifiers let positive factors through, so what one convolution makes larger the next
        makes smaller (Nagel et al. 2019).
        """
        reach = _reach(self, images)
        made: dict[str, Tensor] = {}
        rectified = {step[1][0]: step[2][0] for step in self.graph.steps if step[0] == "Plain"}
        kept = {name for step in self.graph.steps if step[0] == "Add" for name in step[1]}
        for step in self.graph.steps:
            operator, reads, writes, attributes = step
            if operator == "Conv":
                weight, name = self._weight(reads[1]), rectified.get(writes[0], writes[0])
                if reads[0] in made:
                    shape = (-1, 1, 1, 1) if weight.shape[1] == 1 else (1, -1, 1, 1)
                    weight.div_(made[reads[0]].view(shape))
                if name in self.graph.output_names or name in kept:
                    made[name] = torch.ones(len(weight))
                else:
                    made[name] = (REACH / reach[name].clamp(min=1e-9)).clamp(1e-3, 1e3)
                weight.mul_(made[name].view(-1, 1, 1, 1))
                self._weight(reads[2]).mul_(made[name])
            elif operator == "Add":
                made[writes[0]] = made[reads[0]]
            elif operator != "Plain":
                given = [made[name].view(1, -1, 1, 1) for name in reads if name in made]
                several = operator in {"MaxPool", "Resize"}
                moved = given[0] if several else RUN[operator](given, attributes)
                parts = moved if isinstance(moved, tuple | list) else (moved,)
                made.update(zip(writes, [part.flatten() for part in parts], strict=True))

    def weight_of(self, step: Step) -> Tensor:
        """The weights of a convolution as they are used: rounded where the network is on its grid."""
        weight = self._weight(step[1][1])
        return on_weight_grid(weight) if self.is_on_grid else weight

    def bias_of(self, step: Step) -> Tensor:
        """The bias of a convolution."""
        return self._weight(step[1][2])

    def _weight(self, name: str) -> Tensor:
        return self.graph.get_parameter(self.graph.parameter_of[name])


def run_graph(network: PlainNetwork, image: Tensor) -> dict[str, Tensor]:
    """The graph's tensors for an image batch scaled as the graph wants it."""
    values: dict[str, Any] = {network.graph.input_name: image}
    place = {name: at for at, name in enumerate(network.rounded)} if network.is_on_grid else {}
    for step in network.graph.steps:
        operator, reads, writes, attributes = step
        if operator == "Conv":
            given = [values[reads[0]], network.weight_of(step), network.bias_of(step)]
        else:
            given = [
                values[name] if name in values else network.graph.constants[name] for name in reads if name
            ]
        if operator == "Plain":
            made = _rectified(given[0], network.morph, writes[0] in place)
        else:
            made = RUN[operator](given, attributes)
        for name, value in zip(writes, made if isinstance(made, tuple | list) else (made,), strict=False):
            at = place.get(name)
            values[name] = value if at is None else on_byte_grid(value, network.low[at], network.high[at])
    return values


def _rectified(values: Tensor, morph: float, is_rounded: bool) -> Tensor:
    """The rectifier, or a mix of it and hard swish. Rounding to a grid from 0 on is the rectifier itself."""
    if morph < 1.0:
        return torch.lerp(functional.hardswish(values), functional.relu(values), morph)
    return values if is_rounded else functional.relu(values)


def heads(network: VesselNetwork, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Class and side logits, joined over the levels."""
    flat = [values[name].flatten(2).transpose(1, 2) for name in network.graph.output_names]
    joined = torch.cat(flat, dim=1)
    return joined[..., : len(network.classes)], joined[..., len(network.classes) :]


def joined(steps: Sequence[Step]) -> dict[str, str]:
    """Tensors that only a `Concat` reads, with what it makes of them."""
    reads = Counter(name for step in steps for name in step[1])
    joins = [step for step in steps if step[0] == "Concat"]
    made = {name for step in steps if step[0] not in PASSED_ON for name in step[2]}
    return {name: step[2][0] for step in joins for name in step[1] if reads[name] == 1 and name in made}


def landmarks(network: VesselNetwork) -> list[str]:
    """Names of tensors that a pupil should make as its teacher does: ends of blocks, of stages, of towers."""
    last = set(network.graph.output_names)
    ends = [step[1][0] for step in network.graph.steps if last & set(step[2])]
    return [step[2][0] for step in network.graph.steps if step[0] in {"Shuffle", "Add"}] + ends


def _reach(network: PlainNetwork, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """How far each channel of each convolution's outcome reaches: its greatest value, mean over images."""
    sums: dict[str, Tensor] = {}
    count = 0
    for image in images:
        values, count = network.values(image), count + 1
        for step in network.graph.steps:
            if step[0] in {"Conv", "Plain"}:
                peak = values[step[2][0]].abs().amax((0, 2, 3))
                sums[step[2][0]] = sums.get(step[2][0], torch.zeros_like(peak)) + peak
    return {name: total / count for name, total in sums.items()}


def _gates(steps: Sequence[Step]) -> dict[str, str]:
    """Gates by name, with the tensor that each is multiplied with."""
    return {step[1][1]: step[1][0] for step in steps if step[0] == "Mul"}


def _plain(steps: Sequence[Step], gates: Mapping[str, str]) -> list[Step]:
    """Without gates and what makes them; hard swish becomes `Plain`."""
    dead, kept = set(gates), []
    instead: dict[str, str] = {}
    for operator, reads, writes, attributes in reversed(steps):
        if operator == "Mul":
            instead[writes[0]] = reads[0]
        elif writes[0] in dead:
            dead.add(reads[0])
            if operator == "GlobalAveragePool":
                dead.discard(reads[0])
        else:
            kept.append((operator, reads, writes, attributes))
    if any(step[0] in {"GlobalAveragePool", "HardSigmoid"} for step in kept):
        raise TrainingError("the graph holds a gate of another kind; eight bits were not thought of for it")
    return [
        (
            "Plain" if operator == "HardSwish" else operator,
            tuple(instead.get(name, name) for name in reads),
            writes,
            attributes,
        )
        for operator, reads, writes, attributes in reversed(kept)
    ]


def _rounded(steps: Sequence[Step], outputs: Sequence[str]) -> list[str]:
    """Tensors with a grid of their own.

    All but those before a rectifier, those that only a `Concat` reads (they lie on its grid: joining is then
    copying), those passed on and the answers.
    """
    before = {step[1][0] for step in steps if step[0] == "Plain"} | set(joined(steps))
    return [
        name
        for operator, _, writes, _ in steps
        if operator not in PASSED_ON
        for name in writes
        if name not in before and name not in outputs
    ]


@torch.no_grad()
def _mean_gates(
    teacher: VesselNetwork, gates: Mapping[str, str], images: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Each gate's mean over images, shaped (1, C, 1, 1)."""
    asked, teacher.graph.output_names = teacher.graph.output_names, tuple(gates)
    try:
        all_maps = [teacher.graph((image - teacher.mean) / teacher.deviation) for image in images]
    finally:
        teacher.graph.output_names = asked
    if not all_maps:
        raise TrainingError("no images to take the gates' means over")
    return {name: torch.cat([maps[name] for maps in all_maps]).mean(0, keepdim=True) for name in gates}
