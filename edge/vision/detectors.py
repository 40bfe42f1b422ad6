"""The detector that a section of the configuration asks for."""

import time

import structlog

from edge.config import ModelConfig
from edge.gaze.gaze import Eye, Gaze, GazeSettings
from models.catalogue import load_detector
from models.intake.manifest import Trust, trusted_keys
from models.network import NetworkDetector
from models.plants.stands import StandDetector
from models.tiling.detector import TiledDetector, input_side_px
from models.tiling.plan import LookBudget

log = structlog.get_logger("edge.vision.model")


def configured_detector(
    model: ModelConfig, name: str | None = None, gaze: Gaze | None = None
) -> NetworkDetector | TiledDetector | StandDetector:
    """The model of this name (else the configured one), checked, warm and ready; raises `ModelError`.

    With `trusted_keys` a model from outside of the package must be signed by one of them. `gaze` is what the
    sensor knows of its frames; without one tiles have one scale and no tile is worth more than another.
    """
    trust = None
    if model.trusted_keys:
        trust = Trust(keys=trusted_keys(model.trusted_keys), now_ns=time.time_ns())
    network = load_detector(name or model.name, threads=model.threads, providers=model.providers, trust=trust)
    eyes: NetworkDetector | TiledDetector = network
    if model.tile_scale > 0.0 and network.is_seamless:
        network.set_scale(model.tile_scale)
    elif model.is_tiled and not network.is_seamless:
        eyes = _tiled(network, model, gaze or configured_gaze(model))
    detector = eyes if network.description.stand is None else StandDetector(eyes)
    detector.warm_up()
    return detector


def configured_gaze(model: ModelConfig) -> Gaze:
    """What a sensor knows of where to look, nothing yet."""
    return Gaze(GazeSettings(scale=model.tile_scale, adapts=model.tile_adapt, own_parts=model.own_parts))


def _tiled(network: NetworkDetector, model: ModelConfig, gaze: Gaze) -> TiledDetector:
    eye = Eye(gaze, input_side_px(network), network.description.gsd_m)
    room = LookBudget(model.tile_budget_s, _cost_s(network)) if model.tile_budget_s else None
    return TiledDetector(
        network,
        scale=model.tile_scale or 1.0,
        budget=model.tile_looks or None,
        cues=eye.cues,
        bands=eye.bands,
        room=room,
    )


def _cost_s(network: NetworkDetector) -> float:
    """What one look takes here: the second, as the first meets start-up work."""
    network.warm_up()
    start = time.perf_counter()
    network.warm_up()
    return time.perf_counter() - start


def log_loaded(detector: NetworkDetector | TiledDetector | StandDetector) -> None:
    """Say which model it is and what runs it."""
    network = detector if isinstance(detector, NetworkDetector) else detector.network
    providers, threads = str(network.provider_report), network.threads
    log.info("model loaded", model_id=detector.model_id, providers=providers, threads=threads)
