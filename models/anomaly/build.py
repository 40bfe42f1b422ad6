"""Builds the anomaly detector's ONNX graph: a local Mahalanobis (RX) distance at four scales, unlearnt.

Needs the `onnx` package (extra `models`), which is never imported at run time. Run it as
`python -m models.anomaly.build OUT.onnx`; a test rebuilds the file in the zoo byte for byte.

How the graph works, for an image of any size, u8 (H, W, 3):

1. Pad at the edges to whole cells, cut into cells of 8 x 8 pixels, each (3 channels, 64 pixels).
2. Mean and covariance of colour around each cell, from the ring of cells about it: 7 x 7 without the inner
   3 x 3, so that what stands in the cell and spills over its border is not its own background. Cells busier
   than is usual around them count less. A floor in the covariance stands for noise and compression, for
   glitter and shade in proportion to brightness, and for the frame's typical variance.
3. Each pixel's Mahalanobis distance to its ring: the RX detector of Reed and Yu, "Adaptive multiple-band CFAR
   detection of an optical pattern with unknown spectral distribution", IEEE Trans. ASSP 38(10), 1990.
4. How far out texture reaches here: mean and deviation of the logarithm of the cells' greatest distances, in
   a wide ring and in the whole frame. The score is d^2 / (d^2 + tail^2), 0.5 where a pixel is just as far out
   as texture reaches: woodland or breaking waves raise their own threshold.
5. The same again on the image averaged 4 x 4, 8 x 8 and 16 x 16, for objects larger than the inner ring.
   There a frame has few cells, so a road or the object itself would widen what counts as texture until
   nothing could stand out: cells far above the frame's usual are clipped first, and a cell and its neighbours
   do not count in the frame that they are set against.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL_PX = 8
SCALES = (1, 4, 8, 16)
OPSET = 17
IR_VERSION = 8

RING_CELLS = 7
GUARD_CELLS = 3
LEAST_RING_CELLS = 9
TAIL_RING_CELLS = 21
TAIL_GUARD_CELLS = 3

SIGMA_LUMA = 1.5
SIGMA_CHROMA = 1.2
RELATIVE_FLOOR = 0.2
SHADE_SHARE = 0.08
LOCAL_DEVIATIONS = 2.5
FRAME_DEVIATIONS = 3.1
CALM = 1.0
TAIL_MINIMUM = 6.0
CLIP_DEVIATIONS = 2.0
CLIP_FROM_SCALE = 4

F32 = npt.NDArray[np.float32]


class GraphWriter:
    """Collects nodes and constants, naming them in order, so that the same calls give the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, stem: str) -> str:
        """A fresh name."""
        self._count += 1
        return f"{stem}_{self._count}"

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """An initializer holding `value`."""
        name = self.name("const")
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """One node with one output; returns the output's name."""
        output = out or self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def reshape(self, tensor: str, shape: str) -> str:
        """Reshape to a shape tensor."""
        return self.op("Reshape", tensor, shape)

    def shape_of(self, *parts: str | int) -> str:
        """A shape tensor put together from scalars in the graph (1-D, one element) and numbers."""
        names = [self.constant([part], np.int64) if isinstance(part, int) else part for part in parts]
        return self.op("Concat", *names, axis=0)

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        """a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        """a * b."""
        return self.op("Mul", a, b)

    def div(self, a: str, b: str) -> str:
        """a / b."""
        return self.op("Div", a, b)


def noise_floor_bgr() -> F32:
    """Covariance (3, 3) of what noise and compression alone may do, in squared grey levels, channels BGR."""
    luma = np.full((3, 1), 1.0)
    chroma = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    floor = SIGMA_LUMA**2 * (luma @ luma.T) + SIGMA_CHROMA**2 * (chroma @ chroma.T)
    return np.asarray(floor, dtype=np.float32)


def box_sum(g: GraphWriter, maps: str, channels: int, side: int) -> str:
    """Sum over side x side cells around each cell of (1, C, h, w), with nothing outside the image."""
    for shape in ((side, 1), (1, side)):
        kernel = g.constant(np.ones((channels, 1, *shape)))
        pads = [shape[0] // 2, shape[1] // 2] * 2
        maps = g.op("Conv", maps, kernel, group=channels, kernel_shape=list(shape), pads=pads)
    return maps


@dataclass(frozen=True, kw_only=True)
class Cells:
    """One scale of the image in the graph.

    Attributes:
        pixels: (N, 4, 64) float32, N cells row by row: blue, green, red and a one, so that one product of
            matrices gives means with second moments, and another shifts while it turns.
        rows, columns: how many, 1-D of one element; padding is among them.
        valid: (1, 1, rows, columns), 1 where a cell has image in it and 0 where all of it is padding.
    """

    pixels: str
    rows: str
    columns: str
    valid: str


def ring_mean(g: GraphWriter, maps: str, channels: int, weight: str, outer: int, inner: int) -> str:
    """Weighted mean over the ring around each cell of maps (1, C, h, w), weight (1, 1, h, w)."""
    weighted = g.mul(maps, weight)
    total = g.sub(box_sum(g, weighted, channels, outer), box_sum(g, weighted, channels, inner))
    count = g.sub(box_sum(g, weight, 1, outer), box_sum(g, weight, 1, inner))
    return g.div(total, g.op("Max", count, g.constant(1e-3)))


def scalar(g: GraphWriter, vector: str, index: int) -> str:
    """Element `index` of a 1-D tensor, as a 1-D tensor of one element."""
    return g.op("Slice", vector, g.constant([index], np.int64), g.constant([index + 1], np.int64))


def valid_cells(g: GraphWriter, image_shape: str, rows: str, columns: str, cell_px: int) -> str:
    """Ones (1, 1, rows, columns) where the image reaches, zeros where there is only padding."""
    rounded = g.div(
        g.add(image_shape, g.constant([cell_px - 1] * 3, np.int64)), g.constant([cell_px] * 3, np.int64)
    )
    inside_rows, inside_columns = scalar(g, rounded, 0), scalar(g, rounded, 1)
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    ones = g.op("ConstantOfShape", g.shape_of(1, 1, inside_rows, inside_columns), value=one)
    zeros = g.constant([0, 0, 0, 0, 0, 0], np.int64)
    missing = [g.sub(rows, inside_rows), g.sub(columns, inside_columns)]
    return g.op("Pad", ones, g.op("Concat", zeros, *missing, axis=0), g.constant(0.0), mode="constant")


def to_cells(g: GraphWriter, image_u8: str, image_shape: str) -> Cells:
    """Cells of a u8 (H, W, 3) image, padded by its edge to whole cells of the coarsest scale."""
    unit = CELL_PX * SCALES[-1]
    missing = g.op("Mod", g.op("Neg", image_shape), g.constant([unit, unit, 1], np.int64))
    pads = g.op("Concat", g.constant([0, 0, 0], np.int64), missing, axis=0)
    padded = g.op("Pad", image_u8, pads, mode="edge")
    cell_counts = g.div(g.op("Shape", padded), g.constant([CELL_PX, CELL_PX, 1], np.int64))
    rows, columns = scalar(g, cell_counts, 0), scalar(g, cell_counts, 1)
    cut = g.reshape(padded, g.shape_of(rows, CELL_PX, columns, CELL_PX * 3))
    grouped = g.op("Transpose", cut, perm=[0, 2, 1, 3])
    interleaved = g.reshape(grouped, g.constant([-1, CELL_PX * CELL_PX, 3], np.int64))
    planes = g.op("Transpose", interleaved, perm=[0, 2, 1])
    one = helper.make_tensor("value", TensorProto.UINT8, [1], [1])
    ones = g.op("ConstantOfShape", g.shape_of(g.mul(rows, columns), 1, CELL_PX * CELL_PX), value=one)
    homogeneous = g.op("Cast", g.op("Concat", planes, ones, axis=1), to=TensorProto.FLOAT)
    return Cells(
        pixels=homogeneous,
        rows=rows,
        columns=columns,
        valid=valid_cells(g, image_shape, rows, columns, CELL_PX),
    )


def averaging(step: int) -> F32:
    """Matrix (64, (8 / step)^2) that averages the step x step blocks of a cell's pixels, row by row."""
    inner = CELL_PX // step
    matrix = np.zeros((CELL_PX, CELL_PX, inner, inner), dtype=np.float32)
    for row in range(CELL_PX):
        for column in range(CELL_PX):
            matrix[row, column, row // step, column // step] = 1.0 / step**2
    return matrix.reshape(CELL_PX * CELL_PX, inner * inner)


def coarser_cells(g: GraphWriter, cells: Cells, image_shape: str, scale: int, step: int) -> Cells:
    """Cells of the image averaged over step x step pixels of the scale before; `scale` is the total."""
    inner = CELL_PX // step
    small = g.op("MatMul", cells.pixels, g.constant(averaging(step)))
    factor = g.constant([step], np.int64)
    rows, columns = g.div(cells.rows, factor), g.div(cells.columns, factor)
    grid = g.reshape(small, g.shape_of(rows, step, columns, step, 4, inner, inner))
    turned = g.op("Transpose", grid, perm=[0, 2, 4, 1, 5, 3, 6])
    flat = g.reshape(turned, g.constant([-1, 4, CELL_PX * CELL_PX], np.int64))
    valid = valid_cells(g, image_shape, rows, columns, CELL_PX * scale)
    return Cells(pixels=flat, rows=rows, columns=columns, valid=valid)


def background(g: GraphWriter, cells: Cells) -> tuple[str, str]:
    """Mean (N, 3, 1) and covariance (N, 3, 3) of colour in the ring around each of N cells."""
    product = g.op("MatMul", cells.pixels, g.op("Transpose", cells.pixels, perm=[0, 2, 1]))
    moments = g.mul(product, g.constant(1.0 / (CELL_PX * CELL_PX)))
    shape = g.shape_of(1, 16, cells.rows, cells.columns)
    as_maps = g.reshape(g.op("Transpose", moments, perm=[1, 2, 0]), shape)
    weight = calm_weight(g, cells, mean_and_covariance(g, moments)[1])
    ringed = ring_mean(g, as_maps, 16, weight, RING_CELLS, GUARD_CELLS)
    back = g.op("Transpose", g.reshape(ringed, g.constant([4, 4, -1], np.int64)), perm=[2, 0, 1])
    return mean_and_covariance(g, back)


def mean_and_covariance(g: GraphWriter, moments: str) -> tuple[str, str]:
    """Mean (N, 3, 1) and covariance (N, 3, 3) from homogeneous second moments (N, 4, 4)."""
    axes = g.constant([1, 2], np.int64)
    mean = g.op("Slice", moments, g.constant([0, 3], np.int64), g.constant([3, 4], np.int64), axes)
    second = g.op("Slice", moments, g.constant([0, 0], np.int64), g.constant([3, 3], np.int64), axes)
    return mean, g.sub(second, g.mul(mean, g.op("Transpose", mean, perm=[0, 2, 1])))


def has_background(g: GraphWriter, cells: Cells) -> str:
    """(N, 1): one where the ring around a cell holds enough of the image to be a background, else zero."""
    outer = box_sum(g, cells.valid, 1, RING_CELLS)
    count = g.sub(outer, box_sum(g, cells.valid, 1, GUARD_CELLS))
    enough = g.op("GreaterOrEqual", count, g.constant(float(LEAST_RING_CELLS)))
    return g.reshape(g.op("Cast", enough, to=TensorProto.FLOAT), g.constant([-1, 1], np.int64))


def trace(g: GraphWriter, matrices: str) -> str:
    """Trace (N, 1, 1) of matrices (N, 3, 3)."""
    return g.op("ReduceSum", g.mul(matrices, g.constant(np.eye(3))), g.constant([1, 2], np.int64), keepdims=1)


def calm_weight(g: GraphWriter, cells: Cells, covariance: str) -> str:
    """Weight of each cell as background (1, 1, h, w): less the busier it is than what is usual around it.

    Other objects near by, a row of moored boats, would otherwise count as background and hide one another.
    """
    log = g.op("Log", g.op("Max", trace(g, covariance), g.constant(3.0)))
    as_map = g.reshape(log, g.shape_of(1, 1, cells.rows, cells.columns))
    usual = ring_mean(g, as_map, 1, cells.valid, TAIL_RING_CELLS, 1)
    excess = g.op("Exp", g.sub(as_map, usual))
    over = g.mul(excess, g.constant(1.0 / CALM))
    return g.div(cells.valid, g.add(g.mul(over, over), g.constant(1.0)))


def with_floor(g: GraphWriter, covariance: str, mean: str) -> str:
    """Covariance plus noise, a share of brightness (glitter, shade) and a share of the typical variance."""
    log_trace = g.op("Log", g.op("Max", trace(g, covariance), g.constant(1e-3)))
    typical = g.op("Exp", g.op("ReduceMean", log_trace, axes=[0, 1, 2], keepdims=1))
    share = g.mul(typical, g.constant(RELATIVE_FLOOR / 3.0 * np.eye(3)[None]))
    brightness = g.op("ReduceMean", mean, axes=[1], keepdims=1)
    shade = g.mul(g.mul(brightness, brightness), g.constant(np.full((1, 3, 3), SHADE_SHARE**2)))
    return g.add(g.add(g.add(covariance, g.constant(noise_floor_bgr()[None])), share), shade)


def element(g: GraphWriter, matrices: str, row: int, column: int) -> str:
    """One element (N, 1, 1) of matrices (N, 3, 3)."""
    start = g.constant([row, column], np.int64)
    end = g.constant([row + 1, column + 1], np.int64)
    return g.op("Slice", matrices, start, end, g.constant([1, 2], np.int64))


def whitening(g: GraphWriter, covariance: str) -> str:
    """Inverse of the Cholesky factor of each covariance (N, 3, 3), in closed form."""
    a = {(i, j): element(g, covariance, i, j) for i in range(3) for j in range(i + 1)}
    tiny = g.constant(1e-4)

    def root(value: str) -> str:
        return g.op("Sqrt", g.op("Max", value, tiny))

    l00 = root(a[0, 0])
    l10 = g.div(a[1, 0], l00)
    l20 = g.div(a[2, 0], l00)
    l11 = root(g.sub(a[1, 1], g.mul(l10, l10)))
    l21 = g.div(g.sub(a[2, 1], g.mul(l20, l10)), l11)
    l22 = root(g.sub(g.sub(a[2, 2], g.mul(l20, l20)), g.mul(l21, l21)))
    m00, m11, m22 = (g.op("Reciprocal", value) for value in (l00, l11, l22))
    m10 = g.op("Neg", g.mul(g.mul(l10, m00), m11))
    m21 = g.op("Neg", g.mul(g.mul(l21, m11), m22))
    m20 = g.op("Neg", g.mul(g.add(g.mul(l20, m00), g.mul(l21, m10)), m22))
    zero = g.sub(m00, m00)
    top = g.op("Concat", m00, zero, zero, axis=2)
    middle = g.op("Concat", m10, m11, zero, axis=2)
    bottom = g.op("Concat", m20, m21, m22, axis=2)
    return g.op("Concat", top, middle, bottom, axis=1)


def squared_distances(g: GraphWriter, cells: Cells) -> str:
    """Squared Mahalanobis distance (N, 64) of every pixel of every cell to the ring around its cell."""
    mean, covariance = background(g, cells)
    white = whitening(g, with_floor(g, covariance, mean))
    across = g.mul(white, g.op("Transpose", mean, perm=[0, 2, 1]))
    shift = g.op("Neg", g.op("ReduceSum", across, g.constant([2], np.int64), keepdims=1))
    turned = g.op("MatMul", g.op("Concat", white, shift, axis=2), cells.pixels)
    return g.op("ReduceSum", g.mul(turned, turned), g.constant([1], np.int64), keepdims=0)


def clipped(g: GraphWriter, maps: str, valid: str) -> str:
    """A map (1, 1, h, w) with what is far above the frame's mean brought down to that limit."""
    axes = g.constant([2, 3], np.int64)
    area = g.op("ReduceSum", valid, axes, keepdims=1)
    mean = g.div(g.op("ReduceSum", g.mul(maps, valid), axes, keepdims=1), area)
    off = g.mul(g.sub(maps, mean), valid)
    variance = g.div(g.op("ReduceSum", g.mul(off, off), axes, keepdims=1), area)
    return g.op("Min", maps, g.add(mean, g.mul(g.op("Sqrt", variance), g.constant(CLIP_DEVIATIONS))))


def frame_mean(g: GraphWriter, maps: str, channels: int, valid: str) -> str:
    """Mean of maps (1, C, h, w) over the frame without the inner ring around each cell: (1, C, h, w)."""
    axes = g.constant([2, 3], np.int64)
    weighted = g.mul(maps, valid)
    near, near_area = box_sum(g, weighted, channels, TAIL_GUARD_CELLS), box_sum(g, valid, 1, TAIL_GUARD_CELLS)
    total = g.sub(g.op("ReduceSum", weighted, axes, keepdims=1), near)
    area = g.sub(g.op("ReduceSum", valid, axes, keepdims=1), near_area)
    return g.div(total, g.op("Max", area, g.constant(1.0)))


def squared_tail(g: GraphWriter, squared: str, cells: Cells, scale: int) -> str:
    """How far out texture reaches around each cell, squared (N, 1); at least the frame's own."""
    greatest = g.op("ReduceMax", squared, axes=[1], keepdims=1)
    log = g.op("Log", g.op("Max", greatest, g.constant(0.01)))
    as_map = g.reshape(log, g.shape_of(1, 1, cells.rows, cells.columns))
    if scale >= CLIP_FROM_SCALE:
        as_map = clipped(g, as_map, cells.valid)
    both = g.op("Concat", as_map, g.mul(as_map, as_map), axis=1)
    local = ring_mean(g, both, 2, cells.valid, TAIL_RING_CELLS, TAIL_GUARD_CELLS)
    whole = frame_mean(g, both, 2, cells.valid)
    reach = []
    for moments, deviations in ((local, LOCAL_DEVIATIONS), (whole, FRAME_DEVIATIONS)):
        ends = [(g.constant([i], np.int64), g.constant([i + 1], np.int64)) for i in (0, 1)]
        first, second = (g.op("Slice", moments, start, end, g.constant([1], np.int64)) for start, end in ends)
        variance = g.sub(second, g.mul(first, first))
        deviation = g.op("Sqrt", g.op("Max", variance, g.constant(1e-6)))
        reach.append(g.add(first, g.mul(deviation, g.constant(deviations))))
    log_tail = g.op("Max", *reach, g.constant(2.0 * float(np.log(TAIL_MINIMUM))))
    return g.reshape(g.op("Exp", log_tail), g.constant([-1, 1], np.int64))


def score_map(g: GraphWriter, cells: Cells, scale: int, out: str) -> None:
    """Score map (h, w) 0..1 of one scale, written to the graph output `out`."""
    squared = squared_distances(g, cells)
    score = g.div(squared, g.add(squared, squared_tail(g, squared, cells, scale)))
    score = g.mul(score, has_background(g, cells))
    grid = g.reshape(score, g.shape_of(cells.rows, cells.columns, CELL_PX, CELL_PX))
    turned = g.op("Transpose", grid, perm=[0, 2, 1, 3])
    size = g.constant([CELL_PX], np.int64)
    g.op("Reshape", turned, g.shape_of(g.mul(cells.rows, size), g.mul(cells.columns, size)), out=out)


def build() -> onnx.ModelProto:
    """The whole model: input `image` u8 (H, W, 3) BGR, one output `score_N` (h / N, w / N) per scale N.

    h and w are the image's size rounded up to whole cells of the coarsest scale; what lies beyond the image
    is padding, to be cut off by who reads it.
    """
    g = GraphWriter()
    image_shape = g.op("Shape", "image")
    cells = to_cells(g, "image", image_shape)
    outputs = []
    for before, scale in zip((1, *SCALES), SCALES, strict=False):
        if scale > 1:
            cells = coarser_cells(g, cells, image_shape, scale, scale // before)
        name = f"score_{scale}"
        score_map(g, cells, scale, name)
        outputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"height_{scale}", f"width_{scale}"])
        )
    graph = helper.make_graph(
        g.nodes,
        "skywarden-anomaly",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
        outputs,
        initializer=g.initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="skywarden",
        producer_version="2",
    )
    helper.set_model_props(model, {"task": "detect", "names": "{0: 'anomaly'}", "license": "Apache-2.0"})
    onnx.checker.check_model(model, full_check=True)
    return model


def main(arguments: list[str]) -> None:
    """Write the model to the path given."""
    Path(arguments[0]).write_bytes(build().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(sys.argv[1:])
