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

_MAX_CANVASES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where an image lies in a network's input.

    Attributes:
        image_size_px: width and height of the image handed in.
        placed_size_px: width and height it has in the input, from the input's upper left corner.
        tensor_size_px: width and height of the input, `None` where nobody needs to know.
    """

    image_size_px: tuple[int, int]
    placed_size_px: tuple[int, int]
    tensor_size_px: tuple[int, int] | None = None

    @property
    def input_size_px(self) -> tuple[int, int]:
        """Width and height of the network's input, as far as known."""
        return self.tensor_size_px or self.placed_size_px

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


class _Canvas:
    """The network's input of one size, made once: pixels with `fill` around them, and the tensor of them."""

    def __init__(self, description: InputDescription, size_px: tuple[int, int]) -> None:
        self.size_px = size_px
        self._description = description
        self._pixels = np.full((size_px[1], size_px[0], 3), description.fill, dtype=np.uint8)
        self._placed = size_px
        self._planes_u8 = np.empty((1, 3, size_px[1], size_px[0]), dtype=np.uint8)
        self._planes: npt.NDArray[np.float32] | None = None
        if description.tensor == "f32_nchw":
            self._planes = np.empty((1, 3, size_px[1], size_px[0]), dtype=np.float32)
        mean = np.array(description.mean, dtype=np.float32).reshape(3, 1, 1)
        gain = 1.0 / np.array(description.std, dtype=np.float32).reshape(3, 1, 1)
        self._normalise = (mean, gain.astype(np.float32)) if description.is_normalised else None

    def fill_with(self, image_bgr_u8: U8, placed: tuple[int, int]) -> tuple[npt.NDArray[Any], Placement]:
        """The image at `placed` size in the upper left corner, as a tensor."""
        height, width = image_bgr_u8.shape[:2]
        if placed != self._placed:
            self._pixels[:] = self._description.fill
            self._placed = placed
        view = self._pixels[: placed[1], : placed[0]]
        if placed == (width, height):
            np.copyto(view, image_bgr_u8)
        else:
            cv2.resize(image_bgr_u8, placed, dst=view, interpolation=cv2.INTER_LINEAR)
        if self._description.channels == "rgb":
            cv2.cvtColor(view, cv2.COLOR_BGR2RGB, dst=view)
        placement = Placement(
            image_size_px=(width, height), placed_size_px=placed, tensor_size_px=self.size_px
        )
        return self._tensor(), placement

    def _tensor(self) -> npt.NDArray[Any]:
        if self._description.tensor == "u8_nhwc":
            return self._pixels[None]
        # Apart as bytes, then wide as floats: half the time of cv2.dnn.blobFromImage.
        cv2.split(self._pixels, list(self._planes_u8[0]))
        if self._planes is None:
            return self._planes_u8
        np.copyto(self._planes[0], self._planes_u8[0])
        if self._normalise is not None:
            self._planes[0] -= self._normalise[0]
            self._planes[0] *= self._normalise[1]
        return self._planes


class Letterbox:
    """Keeps the aspect: the image goes to the upper left of a fixed canvas, the rest is one grey."""

    def __init__(self, description: InputDescription) -> None:
        assert description.width_px is not None
        assert description.height_px is not None
        self._canvas = _Canvas(description, (description.width_px, description.height_px))

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """As `Fit` says: uint8 (1, H, W, 3), or uint8 or float32 (1, 3, H, W)."""
        height, width = image_bgr_u8.shape[:2]
        room_x, room_y = self._canvas.size_px
        scale = min(room_x / width, room_y / height)
        placed = (max(1, min(room_x, round(width * scale))), max(1, min(room_y, round(height * scale))))
        return self._canvas.fill_with(image_bgr_u8, placed)


class Stretch:
    """Fills a fixed canvas with the image, whatever its aspect."""

    def __init__(self, description: InputDescription) -> None:
        assert description.width_px is not None
        assert description.height_px is not None
        self._canvas = _Canvas(description, (description.width_px, description.height_px))

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """As `Fit` says."""
        return self._canvas.fill_with(image_bgr_u8, self._canvas.size_px)


class Scale:
    """Grows or shrinks by one factor and fills up to sides that a number divides; for free input sizes."""

    def __init__(self, description: InputDescription) -> None:
        self._description = description
        self._canvases: dict[tuple[int, int], _Canvas] = {}

    def place(self, image_bgr_u8: U8) -> tuple[npt.NDArray[Any], Placement]:
        """As `Fit` says."""
        height, width = image_bgr_u8.shape[:2]
        rules = self._description
        scale = min(rules.scale, rules.long_side_px / max(width, height))
        placed = (max(1, round(width * scale)), max(1, round(height * scale)))
        step = rules.multiple_px
        size = (-(-placed[0] // step) * step, -(-placed[1] // step) * step)
        if size not in self._canvases:
            if len(self._canvases) >= _MAX_CANVASES:
                self._canvases.clear()
            self._canvases[size] = _Canvas(rules, size)
        return self._canvases[size].fill_with(image_bgr_u8, placed)


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
    kinds: dict[str, type[Letterbox] | type[Stretch] | type[Scale] | type[Reduce]] = {
        "letterbox": Letterbox,
        "stretch": Stretch,
        "scale": Scale,
        "reduce": Reduce,
    }
    return kinds[description.fit](description)
