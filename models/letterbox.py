"""From an image to a network's input tensor, into buffers made once, and where the pixels went."""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from models.description import InputDescription
from skywarden.errors import InputError

U8 = npt.NDArray[np.uint8]

MIN_SIDE_PX = 8
MAX_SIDE_PX = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where an image lies in a network's input.

    Attributes:
        image_size_px: width and height of the image handed in.
        placed_size_px: width and height it has in the input, from the input's upper left corner.
    """

    image_size_px: tuple[int, int]
    placed_size_px: tuple[int, int]

    def to_image(self, edges: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Boxes (N, 4) in image pixels (origin at a pixel's centre) from edges in the input (0 at left)"""
        ratio = np.array(
            [self.image_size_px[0] / self.placed_size_px[0], self.image_size_px[1] / self.placed_size_px[1]]
            * 2
        )
        return np.asarray(edges * ratio - 0.5, dtype=np.float32)


class Fit(Protocol):
    """Makes input tensors; the tensor is valid until the next call."""

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """The tensor for one image (H, W, 3), and where the image lies in it."""
        ...


def require_image(image: U8) -> None:
    """Raise `InputError` unless `image` is uint8 (H, W, 3) with sides between the limits."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"an image is uint8 (H, W, 3); this is {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    if not (MIN_SIDE_PX <= width <= MAX_SIDE_PX and MIN_SIDE_PX <= height <= MAX_SIDE_PX):
        raise InputError(f"an image of {width} x {height} px; sides are {MIN_SIDE_PX} to {MAX_SIDE_PX} px")


class Letterbox:
    """Keeps the aspect: the image goes to the upper left of a fixed canvas, the rest is one grey."""

    def __init__(self, description: InputDescription) -> None:
        assert description.width_px is not None
        assert description.height_px is not None
        self._fill = description.fill
        self._rgb = description.channels == "rgb"
        self._canvas = np.full((description.height_px, description.width_px, 3), self._fill, dtype=np.uint8)
        self._planes: npt.NDArray[np.float32] | None = None
        if description.tensor == "f32_nchw":
            self._planes = np.empty((1, 3, description.height_px, description.width_px), dtype=np.float32)
        self._planes_u8 = np.empty((3, description.height_px, description.width_px), dtype=np.uint8)
        self._placed = (description.width_px, description.height_px)

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """As `Fit` says: uint8 (1, H, W, 3) or float32 (1, 3, H, W)."""
        height, width = image_bgr_u8.shape[:2]
        room_y, room_x = self._canvas.shape[:2]
        scale = min(room_x / width, room_y / height)
        placed = (max(1, min(room_x, round(width * scale))), max(1, min(room_y, round(height * scale))))
        if placed != self._placed:
            self._canvas[:] = self._fill
            self._placed = placed
        view = self._canvas[: placed[1], : placed[0]]
        if placed == (width, height):
            np.copyto(view, image_bgr_u8)
        else:
            cv2.resize(image_bgr_u8, placed, dst=view, interpolation=cv2.INTER_LINEAR)
        if self._rgb:
            cv2.cvtColor(view, cv2.COLOR_BGR2RGB, dst=view)
        return self._tensor(), Placement(image_size_px=(width, height), placed_size_px=placed)

    def _tensor(self) -> npt.NDArray[Any]:
        if self._planes is None:
            return self._canvas[None]
        # Apart as bytes, then wide as floats: half the time of cv2.dnn.blobFromImage.
        cv2.split(self._canvas, list(self._planes_u8))
        np.copyto(self._planes[0], self._planes_u8)
        return self._planes


class Reduce:
    """Shrinks by a whole number, by averaging, until the long side is within a limit; nothing is added."""

    def __init__(self, description: InputDescription) -> None:
        self._long_side_px = description.long_side_px
        self._rgb = description.channels == "rgb"

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """As `Fit` says: uint8 (h, w, 3)."""
        height, width = image_bgr_u8.shape[:2]
        factor = -(-max(width, height) // self._long_side_px)
        placed = (max(1, width // factor), max(1, height // factor))
        image = np.ascontiguousarray(image_bgr_u8)
        if factor > 1:
            image = np.asarray(cv2.resize(image, placed, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if self._rgb:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        return image, Placement(image_size_px=(width, height), placed_size_px=placed)


def make_fit(description: InputDescription) -> Fit:
    """The `Fit` that a description asks for."""
    return Letterbox(description) if description.fit == "letterbox" else Reduce(description)
