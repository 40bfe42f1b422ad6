"""Decoders by name: one for each way in which networks write down what they found."""

from collections.abc import Callable

from models.decoders.anomaly import AnomalyDecoder
from models.decoders.classify import ClassifyDecoder
from models.decoders.decoder import Decoder
from models.decoders.fastestdet import FastestDetDecoder
from models.decoders.gfl import GflDecoder
from models.decoders.queries import DetrDecoder, EndToEndDecoder
from models.decoders.rows import YoloV5Decoder, YoloV8Decoder
from models.decoders.segment import SegmentDecoder
from models.decoders.yolox import YoloxDecoder
from models.description import ModelDescription

DECODERS: dict[str, Callable[[ModelDescription], Decoder]] = {
    "anomaly": AnomalyDecoder,
    "classify": ClassifyDecoder,
    "detr": DetrDecoder,
    "end_to_end": EndToEndDecoder,
    "fastestdet": FastestDetDecoder,
    "gfl": GflDecoder,
    "segment": SegmentDecoder,
    "yolov5": YoloV5Decoder,
    "yolov8": YoloV8Decoder,
    "yolox": YoloxDecoder,
}
"""Keys are the values of `decode` in `model.toml`."""


def make_decoder(description: ModelDescription) -> Decoder:
    """The decoder that a description asks for."""
    return DECODERS[description.decode](description)
