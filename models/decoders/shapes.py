"""Whether a network's outputs have the sizes that a reader needs, said in one sentence where not."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.session import TensorSpec
from skywarden.errors import ModelError

Size = int | None


def require_outputs(outputs: Sequence[TensorSpec], wanted: Sequence[tuple[Size, ...]], origin: str) -> None:
    """Raise `ModelError` unless there is one float32 output of each size, in order; `None` is any size."""
    fits = len(outputs) == len(wanted) and all(
        spec.dtype == "float32" and _is_like(spec.shape, size)
        for spec, size in zip(outputs, wanted, strict=True)
    )
    if not fits:
        found = ", ".join(str(spec) for spec in outputs)
        due = ", ".join(f"({', '.join('any' if n is None else str(n) for n in size)})" for size in wanted)
        raise ModelError(f"{origin}: outputs are {found}; its description asks for float32 {due}")


def require_shape(output: npt.NDArray[np.float32], wanted: tuple[Size, ...]) -> None:
    """Raise `ModelError` unless an array has this shape."""
    if not _is_like(output.shape, wanted):
        raise ModelError(f"an output of {output.shape}; {wanted} is due")


def _is_like(shape: Sequence[Size], wanted: tuple[Size, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        have is None or want is None or have == want for have, want in zip(shape, wanted, strict=True)
    )
