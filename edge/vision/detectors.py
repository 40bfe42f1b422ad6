"""The detector that a sensor's configuration asks for, and another one brought in while it works."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from edge.config import ModelConfig
from edge.gaze.gaze import Eye, Gaze, GazeSettings
from models.catalogue import load_detector
from models.detector import Detector
from models.intake.manifest import Trust, trusted_keys
from models.network import NetworkDetector
from models.plants.stands import StandDetector
from models.swap import SwappableDetector
from models.tiling.detector import TiledDetector, input_side_px
from models.tiling.plan import LookBudget
from skywarden.errors import ModelError

log = structlog.get_logger("edge.vision.model")

WATCH_PERIOD_S = 10.0
_PARTS = ("model.toml", "model.onnx", "model.sig")


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


class ModelWatch:
    """Looks into a folder for another model and offers it; what is refused is said once and tried no more.

    A thread of its own, which ends with `stop`. Loading takes a second or two beside the model in charge.
    """

    def __init__(
        self,
        folder: Path,
        detector: SwappableDetector,
        load: Callable[[str], Detector],
        *,
        period_s: float = WATCH_PERIOD_S,
    ) -> None:
        self._folder = folder
        self._detector = detector
        self._load = load
        self._period_s = period_s
        self._tried: tuple[tuple[str, int, int], ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end and wait for that, at most two seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def look(self) -> None:
        """One look into the folder; also logs what has become of a model that was offered."""
        found = self._contents()
        # Twice the same: nobody is still copying.
        if found and found != self._tried and found == self._contents():
            self._tried = found
            try:
                self._detector.offer(self._load(str(self._folder)))
            except ModelError as error:
                log.warning("model refused", folder=str(self._folder), reason=str(error))
        for news in self._detector.take_news():
            say = log.warning if news.kind in ("rejected", "rolled_back") else log.info
            say(f"model {news.kind}", model_id=news.model_id, why=news.text)

    def _watch(self) -> None:
        while not self._stop.wait(self._period_s):
            self.look()

    def _contents(self) -> tuple[tuple[str, int, int], ...]:
        try:
            if not (self._folder / "model.toml").is_file():
                return ()
            parts = [path for path in (self._folder / name for name in _PARTS) if path.is_file()]
            return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in parts)
        except OSError:
            return ()
