"""Mixing of covers: from one colour to another by share, or one over the other."""

import numpy as np

from sim.scenario.land.noise import FloatImage
from sim.scenario.land.palette import Bgr


def mixed(first: Bgr, second: Bgr, share: FloatImage) -> FloatImage:
    """From the first colour to the second, shape (..., 3)."""
    low, high = np.array(first, np.float32), np.array(second, np.float32)
    return np.asarray(low + (high - low) * share[..., None], np.float32)


def over(image: FloatImage, colour: Bgr, cover: FloatImage) -> FloatImage:
    """A colour over an image as far as `cover` (0..1) says."""
    return np.asarray(image + (np.array(colour, np.float32) - image) * cover[..., None], np.float32)
