"""The parcel network: a detector's backbone, a light decoder down to half the resolution, three maps."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.errors import TrainingError
from models.training.graph import GraphNetwork
from models.training.network import PIXEL_DEVIATION_BGR, PIXEL_MEAN_BGR

MAPS = ("interior", "boundary", "distance")
MULTIPLE_PX = 32

BACKBONE_MAPS = (
    ("batch_norm_0.tmp_4", 24),
    ("pool2d_0.tmp_0", 24),
    ("reshape2_3.tmp_0", 96),
    ("reshape2_15.tmp_0", 192),
    ("reshape2_19.tmp_0", 384),
)
"""Where PicoDet-S's ESNet leaves its strides of 2, 4, 8, 16 and 32 px, and their channels."""


class Refine(nn.Module):
    """A depthwise and a pointwise convolution beside a straight way through."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.mix.bias)
        nn.init.normal_(self.mix.weight, std=0.5 / channels**0.5)

    def forward(self, value: Tensor) -> Tensor:
        """The same size."""
        refined: Tensor = functional.hardswish(value + self.mix(functional.hardswish(self.spread(value))))
        return refined


class ParcelNetwork(nn.Module):
    """`forward`: batch (N, 3, H, W), blue first, 0 to 255, sides multiples of 32, to logits (N, 3, H, W)."""

    def __init__(
        self,
        start: Path,
        backbone: Sequence[tuple[str, int]] = BACKBONE_MAPS,
        widths: tuple[int, ...] = (24, 32, 64, 80, 96),
    ) -> None:
        """`start`: a network as ONNX; `backbone`: its maps at strides of 2 to 32 px and their channels.

        `widths`: channels of the decoder, from the finest grid on.
        """
        super().__init__()
        self.graph = GraphNetwork(start, [name for name, _ in backbone])
        self.maps = MAPS
        self.side_ways = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for (_, channels), width in zip(backbone, widths, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.refine = nn.ModuleList(
            nn.Sequential(*(Refine(width, side) for side in sides))
            for width, sides in zip(widths, ((3,), (3,), (5,), (7, 5), (7, 5)), strict=True)
        )
        self.whole = nn.Conv2d(widths[-1], widths[-1], 1)
        self.head = nn.Conv2d(widths[0], len(MAPS), 3, padding=1)
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        deviation = torch.tensor(PIXEL_DEVIATION_BGR).view(1, 3, 1, 1)
        self.register_buffer("deviation", deviation, persistent=False)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.5, -2.0, 0.0]))

    def forward(self, image: Tensor) -> Tensor:
        """As the class says."""
        if image.shape[2] % MULTIPLE_PX or image.shape[3] % MULTIPLE_PX:
            raise TrainingError(
                f"an input of {tuple(image.shape[2:])} px; sides are multiples of {MULTIPLE_PX}"
            )
        maps = self.graph((image - self.mean) / self.deviation)
        levels = [maps[name] for name in self.graph.output_names]
        value = self.side_ways[-1](levels[-1])
        value = value + self.whole(value.mean((2, 3), keepdim=True))
        value = self.refine[-1](value)
        for at in range(len(levels) - 2, -1, -1):
            grown = functional.interpolate(
                self.narrow[at](value), scale_factor=2.0, mode="bilinear", align_corners=False
            )
            value = self.refine[at](grown + self.side_ways[at](levels[at]))
        logits = self.head(value)
        return functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
