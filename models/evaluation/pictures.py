"""Reads image files of strangers: size first, then OpenCV, and one sentence when it is none."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from skywarden.errors import InputError
from skywarden.thermal import grey_picture

MAX_IMAGE_BYTES = 512 * 1024 * 1024
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


def read_image(path: Path, *, as_stored: bool = False) -> npt.NDArray[np.uint8]:
    """The image in `path`, (H, W, 3) BGR uint8; raises `InputError`.

    Turned upright as its EXIF note says, unless it is wanted `as_stored`. 16-bit grey is thermal counts,
    shown as a camera aboard shows them (`skywarden.thermal`).
    """
    turn = cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_IMAGE_BYTES:
            raise InputError(f"{path}: {size} bytes; an image has 1 to {MAX_IMAGE_BYTES}")
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | turn)
        if image is not None and image.dtype != np.uint8:
            image = _eight_bit(image, data, turn)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except cv2.error as error:
        raise InputError(f"{path}: OpenCV refuses it ({error.err})") from error
    if image is None:
        raise InputError(f"{path}: is no image that OpenCV can read")
    return np.asarray(image, dtype=np.uint8)


def _eight_bit(image: npt.NDArray[Any], data: npt.NDArray[np.uint8], turn: int) -> npt.NDArray[Any] | None:
    """Counts of a thermal camera as grey; of other deep images what OpenCV makes of them."""
    is_grey = image.dtype == np.uint16 and (image == image[:, :, :1]).all()
    if not is_grey:
        return cv2.imdecode(data, cv2.IMREAD_COLOR | turn)
    return np.repeat(grey_picture(np.ascontiguousarray(image[:, :, 0]))[:, :, None], 3, axis=2)


def require_picture_name(path: Path) -> None:
    """Raise `InputError` unless the name ends as a picture does that can be written."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"{path}: a picture's name ends in one of {', '.join(sorted(IMAGE_SUFFIXES))}")


def write_image(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write a picture, its folder made when absent; raises `InputError`."""
    require_picture_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_written = cv2.imwrite(str(path), image)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    if not is_written:
        raise InputError(f"{path}: cannot be written")
