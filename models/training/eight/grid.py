"""Grids of eight bits: rounding that lets gradients pass, and ranges that lose the least."""

from typing import Any

import torch
from torch import Tensor

STEPS = 255
WEIGHT_STEPS = 127
SHRUNK_TO = tuple(0.30 + 0.05 * at for at in range(15))
"""Shares of the whole range that are tried: outliers are cut off where that rounds the rest better."""


def on_byte_grid(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values on 256 steps over low to high, 0 being one of them; gradients pass where nothing is cut off."""
    scale, zero = byte_grid(low, high)
    step, least = float(scale), -int(zero)
    rounded: Tensor = _Rounded.apply(values, step, least)
    return rounded


class _Rounded(torch.autograd.Function):
    """Rounding with few passes over memory: it stands behind every convolution."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: float, least: int) -> Tensor:
        ctx.save_for_backward(values)
        ctx.bounds = least * step, (least + STEPS) * step
        return (values * (1.0 / step)).round_().clamp_(least, least + STEPS).mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (values,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, values, *ctx.bounds), None, None


def byte_grid(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Step (float32) and place of 0 (int32) of a grid of unsigned bytes over low to high, which hold 0."""
    scale = ((high - low) / STEPS).clamp(min=1e-8).float()
    return scale, torch.round(-low / scale).clamp(0, STEPS).to(torch.int32)


def weight_steps(weight: Tensor) -> Tensor:
    """Step for each output channel (O,) of weights (O, ...): the greatest is 127 steps from 0."""
    return (weight.detach().abs().flatten(1).amax(1) / WEIGHT_STEPS).clamp(min=1e-8)


def on_weight_grid(weight: Tensor) -> Tensor:
    """Weights rounded to signed bytes, a step for each output channel; gradients pass."""
    steps = weight_steps(weight)
    zeros = torch.zeros_like(steps, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


def range_of(values: Tensor) -> tuple[float, float]:
    """Low and high, holding 0, between which rounding to bytes loses least (squared error, by search)."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if high - low <= 0:
        return 0.0, 1e-6
    tried = []
    for share in SHRUNK_TO:
        bounds = torch.tensor(low * share), torch.tensor(high * share)
        tried.append(float((on_byte_grid(values, *bounds) - values).square().mean()))
    share = SHRUNK_TO[tried.index(min(tried))]
    return low * share, high * share
