"""Reads the score maps of the anomaly graph."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.anomaly.post import RegionRules, boxes_from_maps
from models.description import ModelDescription
from models.detection import DetectionBatch, make_batch
from models.letterbox import Placement
from models.session import TensorSpec
from skywarden.errors import ModelError


class AnomalyDecoder:
    """Regions that stand out, all under the one label."""

    def __init__(self, description: ModelDescription) -> None:
        assert description.anomaly is not None
        self._scales = description.anomaly.scales
        self._labels = description.allowed_labels
        self._min_side_px = description.anomaly.min_side_px
        self._rules = RegionRules(
            threshold=description.threshold,
            grow_threshold=description.anomaly.grow_threshold,
            min_area=description.anomaly.min_area,
            max_side_share=description.anomaly.max_side_share,
            max_boxes=description.anomaly.max_boxes,
        )

    def check_outputs(self, outputs: Sequence[TensorSpec], origin: str) -> None:
        """One float32 map of any size per scale."""
        if len(outputs) != len(self._scales) or any(
            spec.dtype != "float32" or len(spec.shape) != 2 for spec in outputs
        ):
            found = ", ".join(str(spec) for spec in outputs)
            raise ModelError(
                f"{origin}: outputs are {found}; one float32 map for each of scales {self._scales} is due"
            )

    def decode(self, outputs: Sequence[npt.NDArray[np.float32]], placement: Placement) -> DetectionBatch:
        """As `Decoder` says; what the maps hold beyond the image is padding and is cut off."""
        width, height = placement.placed_size_px
        maps = []
        for scale, output in zip(self._scales, outputs, strict=True):
            rows, columns = -(-height // scale), -(-width // scale)
            if output.shape[0] < rows or output.shape[1] < columns:
                raise ModelError(
                    f"a map of {output.shape} at scale {scale} for an image of {width} x {height} px"
                )
            maps.append(np.ascontiguousarray(output[:rows, :columns]))
        edges, score = boxes_from_maps(maps, self._scales, self._rules)
        box = placement.to_image(edges)
        wide_enough = (box[:, 2:] - box[:, :2] >= self._min_side_px).any(axis=1)
        box, score = box[wide_enough], score[wide_enough]
        label_index = np.zeros(len(score), dtype=np.uint8)
        return make_batch(box, score, label_index, self._labels, placement.image_size_px)
