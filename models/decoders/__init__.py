"""Decoders by name: one for each way in which networks write down what they found."""

from collections.abc import Callable

from models.decoders.anomaly import AnomalyDecoder
from models.decoders.decoder import Decoder
from models.decoders.yolox import YoloxDecoder
from models.description import ModelDescription

DECODERS: dict[str, Callable[[ModelDescription], Decoder]] = {
    "anomaly": AnomalyDecoder,
    "yolox": YoloxDecoder,
}
"""Keys are the values of `decode` in `model.toml`."""


def make_decoder(description: ModelDescription) -> Decoder:
    """The decoder that a description asks for."""
    return DECODERS[description.decode](description)
