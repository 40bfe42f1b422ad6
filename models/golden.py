"""The self-test after loading: an image that is computed, never stored, and what the network makes of it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.description import GoldenDescription, GoldenOutput
from models.letterbox import Fit
from models.session import LOW_PRECISION, ModelSession
from skywarden.errors import ModelError

GOLDEN_WIDTH_PX = 768
GOLDEN_HEIGHT_PX = 640
SAMPLE_COUNT = 32
COARSE_TOLERANCE = 0.05
"""Allowed of a provider that was asked to compute coarsely: bf16 keeps 8 bits through a hundred layers."""

# x, y, width, height, then blue, green, red
_PATCHES = (
    (40, 40, 6, 6, 250, 250, 250),
    (120, 60, 10, 5, 20, 20, 200),
    (220, 50, 4, 14, 10, 10, 10),
    (300, 90, 24, 10, 210, 160, 40),
    (80, 180, 60, 22, 235, 235, 225),
    (250, 200, 7, 9, 30, 200, 220),
    (420, 330, 150, 90, 60, 60, 180),
)


def golden_image() -> npt.NDArray[np.uint8]:
    """The image of the recipe "patches": grey-green ground, hashed noise and seven patches, (640, 768, 3).

    Whole-number arithmetic only, so that every machine computes the same bytes.
    """
    y, x = np.mgrid[0:GOLDEN_HEIGHT_PX, 0:GOLDEN_WIDTH_PX].astype(np.uint32)
    mixed = (x * np.uint32(73_856_093)) ^ (y * np.uint32(19_349_663))
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(1_274_126_177)
    noise = ((mixed >> np.uint32(24)) & np.uint32(15)).astype(np.int32) - 8
    shade = (x // 8 + y // 16).astype(np.int32)
    ground = np.stack([70 + shade + noise, 96 + shade + noise, 84 + shade - noise // 2], axis=2)
    for left, top, width, height, *colour in _PATCHES:
        ground[top : top + height, left : left + width] = colour
    return np.asarray(np.clip(ground, 0, 255), dtype=np.uint8)


def measure(session: ModelSession, fit: Fit) -> tuple[GoldenOutput, ...]:
    """What the network makes of the golden image, for a `model.toml`."""
    tensor, _ = fit.place(golden_image())
    outputs = session.run(tensor)
    return tuple(_summary(spec.name, output) for spec, output in zip(session.outputs, outputs, strict=True))


def verify(session: ModelSession, fit: Fit, golden: GoldenDescription) -> None:
    """Raise `ModelError` when the network does not make of the golden image what it must."""
    found = measure(session, fit)
    is_coarse = not LOW_PRECISION.isdisjoint(session.provider_report.used)
    tolerance = max(golden.tolerance, COARSE_TOLERANCE) if is_coarse else golden.tolerance
    if [output.name for output in found] != [output.name for output in golden.outputs]:
        raise ModelError(f"{session.origin}: golden outputs are of other names than {_names(found)}")
    for have, want in zip(found, golden.outputs, strict=True):
        if have.shape != want.shape:
            raise ModelError(
                f"{session.origin}: golden image gives {have.name} {have.shape}, due is {want.shape}"
            )
        off, allowed = _worst(have, want, tolerance)
        if not off <= allowed:
            raise ModelError(
                f"{session.origin}: golden image: {have.name} is off by {off:.3g}, {allowed:.3g} is allowed; "
                f"this machine or provider ({session.provider_report}) does not compute the model as meant"
            )


def _summary(name: str, output: npt.NDArray[np.float32]) -> GoldenOutput:
    flat = output.reshape(-1).astype(np.float64)
    places = np.linspace(0, flat.size - 1, SAMPLE_COUNT).astype(np.int64)
    return GoldenOutput(
        name=name,
        shape=tuple(int(size) for size in output.shape),
        mean=round(float(flat.mean()), 6),
        greatest=round(float(flat.max()), 6),
        samples=tuple(round(float(value), 6) for value in flat[places]),
    )


def _worst(have: GoldenOutput, want: GoldenOutput, tolerance: float) -> tuple[float, float]:
    """The deviation that exceeds its allowance most (or comes closest), and that allowance."""
    a = np.array([have.mean, have.greatest, *have.samples])
    b = np.array([want.mean, want.greatest, *want.samples])
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf"), tolerance
    allowed = tolerance * (1.0 + np.abs(b))
    worst = int(np.argmax(np.abs(a - b) / allowed))
    return float(abs(a[worst] - b[worst])), float(allowed[worst])


def _names(outputs: Sequence[GoldenOutput]) -> str:
    return ", ".join(output.name for output in outputs)


def as_toml(outputs: Sequence[GoldenOutput], tolerance: float = 1e-3) -> str:
    """The section `[golden]` of a `model.toml`."""
    lines = ["[golden]", 'recipe = "patches"', f"tolerance = {tolerance}"]
    for output in outputs:
        samples = ", ".join(repr(value) for value in output.samples)
        lines += ["", "[[golden.outputs]]", f'name = "{output.name}"', f"shape = {list(output.shape)}"]
        lines += [f"mean = {output.mean!r}", f"greatest = {output.greatest!r}", f"samples = [{samples}]"]
    return "\n".join(lines) + "\n"
