"""A training run: steps, checkpoints, resume, and a log of everything it did (`log.jsonl` in its folder)."""

import copy
import json
import math
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.training.assign import losses
from models.training.errors import TrainingError
from models.training.network import anchor_points, parameters_by_kind

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is: how long, how fast it learns, what a batch is.

    The rate climbs over `warm_up` steps, stays, and falls as a half cosine over the last `cool_down` of all
    steps: a run that is resumed with other `steps` only moves its end.
    """

    steps: int
    batch: int = 8
    sizes_px: tuple[int, ...] = (320, 384, 512)
    rate: float = 6e-4
    decay: float = 0.02
    clip: float = 5.0
    warm_up: int = 30
    cool_down: float = 0.4
    average: float = 0.997
    mosaics: float = 0.45
    late_mosaics: float = 0.15
    checkpoint_every: int = 50
    seed: int = 1


def rate_at(step: int, settings: Settings) -> float:
    """Learning rate of a step."""
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    fall = int(settings.steps * (1 - settings.cool_down))
    if step < fall:
        return settings.rate
    done = (step - fall) / max(1, settings.steps - fall)
    return settings.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights in a run's folder. Raises `TrainingError` when there is no checkpoint to read."""
    try:
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        return dict(saved["averaged"])
    except (OSError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{folder}: holds no checkpoint that can be read ({error})") from error


class Sources(Protocol):
    """What batches are drawn from: each source has a name, its samples and its share of the crops."""

    sources: Any


class Run:
    """One run in one folder. `resume` takes up where the last checkpoint left it; same seed, same batches.

    Batches come from a `models.training.mix.Mix`; runs of other networks draw theirs in `_draw`, and say in
    `PARTS` what `_parts` returns, the last one being what is made smaller.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("score", "box", "side", "total")

    def __init__(self, network: nn.Module, mix: Sources, settings: Settings, folder: Path) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).eval()
        self._mix: Any = mix  # `_draw` knows which kind it was handed
        self._settings, self._folder = settings, folder
        self._optimiser = torch.optim.AdamW(parameters_by_kind(network, settings.decay), lr=settings.rate)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    def begin_from(self, folder: Path) -> None:
        """Take the averaged weights of another run as the start. Raises `TrainingError` without any."""
        weights = averaged_weights(folder)
        try:
            self.network.load_state_dict(weights)
            self.averaged.load_state_dict(weights)
        except RuntimeError as error:
            raise TrainingError(f"{folder}: its network is another one ({error})") from error

    def resume(self) -> bool:
        """Load the folder's checkpoint; whether there was one. Raises `TrainingError` if it does not fit."""
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return False
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(saved["network"])
            self.averaged.load_state_dict(saved["averaged"])
            self._optimiser.load_state_dict(saved["optimiser"])
            self.step = int(saved["step"])
        except (KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{path}: is no checkpoint of this network ({error})") from error
        return True

    def save(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        path = self._folder / CHECKPOINT
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def train(self, report: Callable[[dict[str, Any]], None], should_stop: Callable[[], bool]) -> None:
        """Run to the last step or until asked to stop; saves and logs on the way."""
        settings = self._settings
        self._note({"event": "start", "step": self.step, "settings": asdict(settings),
                    "sources": {s.name: [len(s.samples), s.share] for s in self._mix.sources}})  # fmt: skip
        with ThreadPoolExecutor(1, "batches") as ahead:
            self._steps(ahead, report, should_stop)
        self.save()

    def _steps(
        self,
        ahead: ThreadPoolExecutor,
        report: Callable[[dict[str, Any]], None],
        should_stop: Callable[[], bool],
    ) -> None:
        settings = self._settings
        began, sums, since = time.process_time(), np.zeros(len(self.PARTS)), 0
        coming = ahead.submit(self._draw, self.step)
        while self.step < settings.steps and not should_stop():
            drawn, coming = coming.result(), ahead.submit(self._draw, self.step + 1)
            sums += self._one_step(*drawn)
            since += 1
            self.step += 1
            if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
                row = dict(zip(self.PARTS, (sums / since).round(4).tolist(), strict=True))
                row |= {"event": "step", "step": self.step, "rate": rate_at(self.step - 1, settings)}
                row |= {"cpu_s": round(time.process_time() - began, 1), "unix_s": round(time.time())}
                self._note(row)
                report(row)
                self.save()
                sums, since = np.zeros(len(self.PARTS)), 0

    def _draw(self, step: int) -> tuple[Tensor, Any]:
        """The batch of a step, whichever thread makes it."""
        settings = self._settings
        late = step >= settings.steps * (1 - settings.cool_down)
        size = settings.sizes_px[step % len(settings.sizes_px)]
        count = max(1, round(settings.batch * (settings.sizes_px[0] / size) ** 2))
        images, labels = self._mix.batch(
            step, size, count, settings.late_mosaics if late else settings.mosaics
        )
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
        return batch, [(torch.from_numpy(boxes), torch.from_numpy(classes)) for boxes, classes in labels]

    def _one_step(self, batch: Tensor, truth: Any) -> np.ndarray:
        settings = self._settings
        for group in self._optimiser.param_groups:
            group["lr"] = rate_at(self.step, settings) * group.get("gain", 1.0)
        self.network.train()
        parts = self._parts(batch, truth)
        self._optimiser.zero_grad(set_to_none=True)
        parts[-1].backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        if torch.isfinite(parts[-1]):
            self._optimiser.step()
        self._average()
        return np.array([float(part.detach()) for part in parts])

    def _parts(self, batch: Tensor, truth: Any) -> list[Tensor]:
        """The parts of the loss, in the order of `PARTS`."""
        centres, strides = anchor_points((batch.shape[3], batch.shape[2]))
        logits, sides = self.network(batch)
        loss = losses(logits, sides, centres, strides, truth)
        return [loss.score, loss.box, loss.side, loss.total]

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential mean of the weights, quicker at the start."""
        keep = min(self._settings.average, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def _note(self, row: dict[str, Any]) -> None:
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
