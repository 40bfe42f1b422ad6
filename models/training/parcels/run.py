"""A run that learns maps: the machinery of `models.training.run` with other batches and another loss."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from models.training.parcels.crops import FieldMix
from models.training.parcels.loss import map_losses
from models.training.run import Run, Settings


@dataclass(frozen=True, kw_only=True)
class AreaSettings(Settings):
    """As `Settings`; a fresh decoder learns faster than the backbone, by `decoder_gain`."""

    rate: float = 4e-4
    decoder_gain: float = 3.0
    sizes_px: tuple[int, ...] = (384, 448, 512)
    batch: int = 6


class AreaRun(Run):
    """One run in one folder; `resume` takes up where the last checkpoint left it."""

    PARTS: ClassVar[tuple[str, ...]] = ("interior", "boundary", "distance", "total")

    def __init__(self, network: nn.Module, mix: FieldMix, settings: AreaSettings, folder: Path) -> None:
        super().__init__(network, mix, settings, folder)
        fresh = [p for name, p in network.named_parameters() if not name.startswith("graph.")]
        known = [p for name, p in network.named_parameters() if name.startswith("graph.")]
        groups: list[dict[str, Any]] = []
        for parameters, gain in ((known, 1.0), (fresh, settings.decoder_gain)):
            wide = [p for p in parameters if p.dim() == 4 and p.shape[0] > 1]
            narrow = [p for p in parameters if not (p.dim() == 4 and p.shape[0] > 1)]
            groups.append({"params": wide, "weight_decay": settings.decay, "gain": gain})
            groups.append({"params": narrow, "weight_decay": 0.0, "gain": gain})
        self._optimiser = torch.optim.AdamW(groups, lr=settings.rate)

    def _draw(self, step: int) -> tuple[Tensor, Tensor]:
        settings = self._settings
        size = settings.sizes_px[step % len(settings.sizes_px)]
        count = max(1, round(settings.batch * (settings.sizes_px[0] / size) ** 2))
        images, maps = self._mix.batch(step, size, count)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float(), torch.from_numpy(maps)

    def _parts(self, batch: Tensor, truth: Tensor) -> list[Tensor]:
        loss = map_losses(self.network(batch), truth)
        return [loss.interior, loss.boundary, loss.distance, loss.total]
