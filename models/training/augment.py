"""Crops drawn from images, and what light, air, water and cameras do to them."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.training.sample import Boxes, Image, no_boxes, tidy

Classes = npt.NDArray[np.int64]
Rng = np.random.Generator
FILL = 114
MIN_SHOWN = 0.35
"""A box of which less than this share lies in the crop is not taught but ignored."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How crops are drawn from one kind of image.

    Attributes:
        long_side_px: range of the image's long side after scaling; drawn evenly in its logarithm.
        is_overhead: whether any quarter turn is as likely as another (else mirrored left to right at most).
        near_object: how often a crop is drawn around a box, if there is one.
        tilt_deg: range of angles off straight down from which an overhead image is seen anew, or `None`.
    """

    long_side_px: tuple[float, float] = (400.0, 1300.0)
    is_overhead: bool = True
    near_object: float = 0.8
    tilt_deg: tuple[float, float] | None = None


def draw_crop(
    image: Image,
    boxes: Boxes,
    classes: Classes,
    size_px: int,
    view: View,
    rng: Rng,
    lures: Boxes | None = None,
) -> tuple[Image, Boxes, Classes]:
    """A square crop (size_px, size_px, 3) with its boxes; what is cut off too far becomes ignored.

    `lures`: boxes on nothing, in pixels of the image; with them crops are drawn around these instead.
    """
    if view.tilt_deg is not None:
        image, boxes, classes = tilted(image, boxes, classes, view.tilt_deg, rng)
    height, width = image.shape[:2]
    low, high = view.long_side_px
    scale = math.exp(rng.uniform(math.log(low), math.log(high))) / max(height, width)
    aspect = math.exp(rng.uniform(-0.12, 0.12))
    angle = rng.uniform(-8.0, 8.0) if rng.random() < 0.2 else 0.0
    sx, sy = scale * math.sqrt(aspect), scale / math.sqrt(aspect)
    aims = boxes[classes >= 0] if lures is None or not len(lures) else lures
    target = _target(aims, (width, height), view, rng)
    turn = math.radians(angle)
    linear = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ np.diag(
        [sx, sy]
    )
    room = np.array([width * sx, height * sy])
    place = _place(linear @ target, room, linear @ np.array([width / 2, height / 2]), size_px, rng)
    image, linear, boxes = _shrunk(image, linear, boxes, min(sx, sy))
    matrix = np.column_stack([linear, -place])
    crop = _warp(image, matrix, size_px)
    moved, kinds = _move(boxes, classes, matrix, size_px)
    return _turned(crop, moved, kinds, view.is_overhead, rng)


def mosaic(parts: list[tuple[Image, Boxes, Classes]], size_px: int, rng: Rng) -> tuple[Image, Boxes, Classes]:
    """Four crops in the four quarters of one image; the cross where they meet lies at a drawn place."""
    canvas = np.full((size_px, size_px, 3), FILL, dtype=np.uint8)
    cross = rng.integers(int(size_px * 0.35), int(size_px * 0.65) + 1, size=2)
    boxes, classes = [no_boxes()], [np.zeros(0, dtype=np.int64)]
    for at, (image, box, kind) in enumerate(parts[:4]):
        x0, x1 = (0, int(cross[0])) if at % 2 == 0 else (int(cross[0]), size_px)
        y0, y1 = (0, int(cross[1])) if at < 2 else (int(cross[1]), size_px)
        canvas[y0:y1, x0:x1] = image[: y1 - y0, : x1 - x0]
        cut, kinds = _cut(box, kind, (x1 - x0, y1 - y0))
        boxes.append(cut + np.array([x0, y0, x0, y0], dtype=np.float32))
        classes.append(kinds)
    return canvas, np.concatenate(boxes), np.concatenate(classes)


def disturb(image: Image, rng: Rng) -> Image:
    """Light and colour always; haze, glint, blur, noise, compression and grey now and then."""
    picture = _light(image, rng)
    if rng.random() < 0.15:
        picture = _haze(picture, rng)
    if rng.random() < 0.10:
        picture = _glint(picture, rng)
    if rng.random() < 0.20:
        picture = _blur(picture, rng)
    if rng.random() < 0.25:
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(1.5, 9.0)
        picture = picture + noise
    done = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = int(rng.integers(25, 80))
        data = cv2.imencode(".jpg", done, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        done = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    if rng.random() < 0.06:
        grey = cv2.cvtColor(done, cv2.COLOR_BGR2GRAY)
        done = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return done


def tilted(
    image: Image, boxes: Boxes, classes: Classes, tilt_deg: tuple[float, float], rng: Rng
) -> tuple[Image, Boxes, Classes]:
    """An overhead image as a camera aslant sees that plane, from a drawn side: far things small, at the top.

    The picture keeps its width. A box becomes that of the ellipse that fills it. What stands up is not
    raised, so this teaches foreshortening and crowding, not sides of ships.
    """
    height, width = image.shape[:2]
    # Quarter turns and a little: between them, nobody knows how a boat lies in its box.
    turn = float(rng.integers(4)) * math.pi / 2 + math.radians(rng.uniform(-5.0, 5.0))
    tilt = math.radians(rng.uniform(*tilt_deg))
    away = rng.uniform(1.0, 2.2) * max(height, width)
    ground = np.array(
        [[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]]
    ) @ np.array([[1.0, 0.0, -width / 2], [0.0, 1.0, -height / 2], [0.0, 0.0, 1.0]])
    camera = np.array([[away, 0, 0], [0, away * math.cos(tilt), 0], [0, -math.sin(tilt), away]])
    tall = max(2, round(height * (math.cos(tilt) + 0.1)))
    matrix = np.array([[1, 0, width / 2], [0, 1, tall / 2], [0, 0, 1]]) @ camera @ ground
    seen = cv2.warpPerspective(
        image, matrix, (width, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    mirrored = cv2.warpPerspective(np.zeros((height, width), np.uint8), matrix, (width, tall), borderValue=1)
    seen[mirrored > 0] = FILL
    if not len(boxes):
        return np.asarray(seen, dtype=np.uint8), boxes, classes
    angles = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    rim = centre[:, None] + half[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    moved = cv2.perspectiveTransform(rim.reshape(1, -1, 2).astype(np.float64), matrix).reshape(rim.shape)
    made = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1).astype(np.float32)
    return np.asarray(seen, dtype=np.uint8), *_cut(made, classes, (width, tall))


def _target(boxes: Boxes, size_px: tuple[int, int], view: View, rng: Rng) -> npt.NDArray[np.float64]:
    if len(boxes) and rng.random() < view.near_object:
        box = boxes[rng.integers(len(boxes))]
        return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], dtype=np.float64)
    return np.asarray(rng.random(2) * np.array(size_px), dtype=np.float64)


def _place(
    target: npt.NDArray[np.float64],
    room: npt.NDArray[np.float64],
    middle: npt.NDArray[np.float64],
    size_px: int,
    rng: Rng,
) -> npt.NDArray[np.float64]:
    """Upper left corner of the crop: the target somewhere in it, little empty margin."""
    corner = target - rng.uniform(0.1, 0.9, 2) * size_px
    low, high = middle - room / 2, middle + room / 2 - size_px
    slack = rng.uniform(0.0, 0.15) * size_px
    return np.clip(corner, np.minimum(low, high) - slack, np.maximum(low, high) + slack)


def _shrunk(
    image: Image, linear: npt.NDArray[np.float64], boxes: Boxes, scale: float
) -> tuple[Image, npt.NDArray[np.float64], Boxes]:
    """Shrunk by averaging first where the crop is much smaller, so that nothing is skipped."""
    factor = int(1.0 / scale) if scale > 0 else 1
    if factor < 2:
        return image, linear, boxes
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    back = np.array([width / (width // factor), height / (height // factor)])
    shrunk = (boxes / np.tile(back, 2)).astype(np.float32)
    return np.asarray(small, dtype=np.uint8), linear @ np.diag(back), shrunk


def _warp(image: Image, matrix: npt.NDArray[np.float64], size_px: int) -> Image:
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    warped = cv2.warpAffine(
        image, centred, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=(FILL, FILL, FILL),
    )  # fmt: skip
    return np.asarray(warped, dtype=np.uint8)


def _move(
    boxes: Boxes, classes: Classes, matrix: npt.NDArray[np.float64], size_px: int
) -> tuple[Boxes, Classes]:
    """Boxes through an affine map: the box round the turned ellipse that fills the old one."""
    if not len(boxes):
        return no_boxes(), np.zeros(0, dtype=np.int64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    grown = np.sqrt((half[:, None, :] ** 2 * matrix[None, :, :2] ** 2).sum(axis=2))
    moved = np.concatenate([centre - grown, centre + grown], axis=1).astype(np.float32)
    return _cut(moved, classes, (size_px, size_px))


def _cut(boxes: Boxes, classes: Classes, size_px: tuple[int, int]) -> tuple[Boxes, Classes]:
    if not len(boxes):
        return no_boxes(), np.zeros(0, dtype=np.int64)
    limit = np.array([size_px[0], size_px[1]] * 2, dtype=np.float32)
    inside = np.clip(boxes, 0, limit)
    shown = _area(inside) / np.maximum(_area(boxes), 1e-6)
    kinds = np.where(shown < MIN_SHOWN, -1, classes)
    return tidy(inside, kinds, size_px, min_side_px=1.5)


def _area(boxes: Boxes) -> npt.NDArray[np.float32]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def _turned(
    image: Image, boxes: Boxes, classes: Classes, is_overhead: bool, rng: Rng
) -> tuple[Image, Boxes, Classes]:
    size = image.shape[0]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
    if is_overhead:
        if rng.random() < 0.5:
            image = image[::-1]
            boxes = np.stack([boxes[:, 0], size - boxes[:, 3], boxes[:, 2], size - boxes[:, 1]], axis=1)
        if rng.random() < 0.5:
            image, boxes = image.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    return np.ascontiguousarray(image), np.ascontiguousarray(boxes, dtype=np.float32), classes


def _light(image: Image, rng: Rng) -> npt.NDArray[np.float32]:
    """Gain, gamma, contrast, saturation and a colour cast."""
    levels = np.arange(256, dtype=np.float32) / 255
    levels = levels ** math.exp(rng.uniform(-0.35, 0.35))
    contrast, gain = math.exp(rng.uniform(-0.3, 0.3)), rng.uniform(0.75, 1.25)
    levels = ((levels - 0.5) * contrast + 0.5) * gain
    cast = rng.uniform(0.93, 1.07, 3).astype(np.float32)
    table = np.clip(levels[:, None] * cast * 255, 0, 255).astype(np.uint8)
    lit = cv2.LUT(image, np.ascontiguousarray(table.reshape(1, 256, 3))).astype(np.float32)
    if rng.random() < 0.5:
        grey = lit.mean(axis=2, keepdims=True)
        lit = grey + (lit - grey) * np.float32(rng.uniform(0.4, 1.5))
    return lit


def _haze(picture: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.float32]:
    """Air light, thicker towards one edge."""
    size = picture.shape[0]
    slope = np.linspace(rng.uniform(0, 0.3), rng.uniform(0.2, 0.6), size, dtype=np.float32)
    if rng.random() < 0.5:
        slope = slope[::-1]
    share = slope[:, None, None]
    air = np.array([215, 208, 200], dtype=np.float32) * np.float32(rng.uniform(0.75, 1.1))
    return picture * (1 - share) + air * share


def _glint(picture: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.float32]:
    """Sun on water: bright specks, dense round one place."""
    size = picture.shape[0]
    count = int(rng.integers(40, 400))
    at = np.clip(rng.normal(rng.random(2) * size, size * rng.uniform(0.08, 0.4), (count, 2)), 0, size - 1)
    specks = np.zeros((size, size), dtype=np.float32)
    for x, y in at.astype(int).tolist():
        reach = (int(rng.integers(1, 4)), int(rng.integers(1, 2)))
        cv2.ellipse(specks, (x, y), reach, 0, 0, 360, float(rng.uniform(0.3, 1.0)), -1)
    share = np.asarray(cv2.GaussianBlur(specks, (0, 0), 0.7), dtype=np.float32)[:, :, None]
    return picture * (1 - share) + 250 * share


def _blur(picture: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.float32]:
    """Out of focus, or smeared along one way."""
    if rng.random() < 0.6:
        blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.5))
        return np.asarray(blurred, dtype=np.float32)
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), dtype=np.float32)
    way = rng.uniform(0, math.pi)
    for step in np.linspace(-(length - 1) / 2, (length - 1) / 2, length * 4):
        x, y = (length - 1) / 2 + step * math.cos(way), (length - 1) / 2 + step * math.sin(way)
        kernel[round(y), round(x)] = 1
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), dtype=np.float32)
