"""Rims of SAHI and Ultralytics for the bench `tiles`; imported in their environment only."""

# mypy: disable-error-code="import-not-found"

import importlib
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import ModelConfig
from models.catalogue import load_detector
from models.detector import Detector
from models.intake.foreign import Wishes, describe_foreign
from models.network import NetworkDetector
from models.session import read_model
from models.speed import made_up_frame
from sim.bench.tile_frames import FRAME_PX, Score, Still, best_match, edges_of, looking, real_stills, total
from skywarden.errors import ModelError

MODEL = "vessel-nadir"
HEIGHTS_M = (150.0, 250.0)
STILLS = 3
ROUNDS = 10
NMS_IOU = 0.7
MAX_BOXES = 300
_CANDIDATES = 200
_SAHI_OVERLAP = 0.2
_LIVELY = 0.05

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


@dataclass(slots=True)
class _Way:
    """One way to look: what it took, what it found."""

    look: Callable[[U8], F64]
    seconds: list[float] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    def time(self, image: U8) -> F64:
        start = time.process_time()
        boxes = self.look(image)
        self.seconds.append(time.process_time() - start)
        return boxes


def _way_of(detector: Detector) -> _Way:
    return _Way(lambda image: edges_of(detector.detect(image)))


def measure_tiles(data: Path) -> dict[str, Any]:
    """Time and recall of SAHI, of all our tiles, and of those that the height asks for, on 4K frames."""
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {"sahi": _version("sahi"), "frame": f"{FRAME_PX[0]}x{FRAME_PX[1]}"}
    network = load_detector(MODEL, threads=1)
    for height_m in HEIGHTS_M:
        stills = real_stills(data, height_m, STILLS)
        everywhere = looking(ModelConfig(name=MODEL, tile_scale=1.0), height_m)
        adapted = looking(ModelConfig(name=MODEL, tile_adapt=True), height_m)
        ways = {
            "sahi": _Way(_sahi(network)),
            "all": _way_of(everywhere),
            "planned": _way_of(adapted),
        }
        figures[f"height_{height_m:.0f}"] = _compared(ways, stills)
    return figures


def _compared(ways: dict[str, _Way], stills: Sequence[Still]) -> dict[str, Any]:
    for number, still in enumerate(stills):
        order = list(ways.values())
        for way in order[number % len(order) :] + order[: number % len(order)]:
            score = Score()
            score.add(way.time(still.image), still.boxes)
            way.scores.append(score)
    scores = {name: total(way.scores) for name, way in ways.items()}
    seconds = {name: statistics.median(way.seconds) for name, way in ways.items()}
    found: dict[str, Any] = {"boats": scores["all"].there, "frames": len(stills)}
    for name in ways:
        found[f"recall_{name}"] = round(scores[name].recall, 4)
        found[f"false_{name}"] = scores[name].false
        found[f"seconds_{name}"] = round(seconds[name], 3)
    found["kept"] = round(scores["planned"].recall / max(1e-9, scores["all"].recall), 4)
    found["kept_of_sahi"] = round(scores["planned"].recall / max(1e-9, scores["sahi"].recall), 4)
    found["time_ratio"] = round(seconds["planned"] / seconds["sahi"], 4)
    found["all_ratio"] = round(seconds["all"] / seconds["sahi"], 4)
    return found


def _sahi(network: NetworkDetector) -> Callable[[U8], F64]:
    """SAHI around the very same network: each slice costs what a tile costs."""
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction
    from sahi.utils.compatibility import fix_full_shape_list, fix_shift_amount_list

    class Ours(DetectionModel):  # type: ignore[misc]  # SAHI is not in this environment
        def load_model(self) -> None:
            self.model = network
            self.category_mapping = {str(at): name for at, name in enumerate(network.labels)}

        def perform_inference(self, image: U8) -> None:
            self._original_predictions = network.detect(np.ascontiguousarray(image))

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            batch = self._original_predictions
            (shift,) = fix_shift_amount_list(shift_amount_list or [[0, 0]])
            full = None if full_shape_list is None else fix_full_shape_list(full_shape_list)[0]
            rows = zip(
                edges_of(batch).tolist(), batch.score.tolist(), batch.label_index.tolist(), strict=True
            )
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=box,
                        category_id=label,
                        score=score,
                        category_name=network.labels[label],
                        shift_amount=shift,
                        full_shape=full,
                    )
                    for box, score, label in rows
                ]
            ]

    model = Ours(confidence_threshold=network.description.threshold, device="cpu")
    width, height = network.description.input.width_px, network.description.input.height_px

    def look(image: U8) -> F64:
        found = get_sliced_prediction(
            image,
            model,
            slice_width=width,
            slice_height=height,
            overlap_width_ratio=_SAHI_OVERLAP,
            overlap_height_ratio=_SAHI_OVERLAP,
            verbose=0,
        )
        return np.array([one.bbox.to_xyxy() for one in found.object_prediction_list]).reshape(-1, 4)

    return look


def measure_frame() -> dict[str, Any]:
    """One square frame at 640 through YOLO11n of random weights: Ultralytics on ONNX Runtime, and ours by
    each engine that is here. Raises `ModelError` when Ultralytics does not export."""
    cv2.setNumThreads(1)
    _stand_in_for_torchvision()
    torch = _torch()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"ultralytics": _version("ultralytics"), "onnxruntime": _version("onnxruntime")}
    frames = [np.roll(made_up_frame((1440, 1440)), shift, axis=1) for shift in (0, 37, 211, 640)]
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(Path(folder))
        engines = {name: _ours(path, frames[0], name) for name in ("cpu", "openvino", "openvino_bf16")}
        ours = {name: one for name, one in engines.items() if one.provider_report.used[0] == name}
        threshold = ours["cpu"].description.threshold
        ways = {"ultralytics": _Way(_ultralytics(path, threshold))}
        ways |= {name: _way_of(one) for name, one in ours.items()}
        for number in range(ROUNDS + 2):
            answers = {name: way.time(frames[number % len(frames)]) for name, way in ways.items()}
            if number == len(frames):  # the frame by which the threshold was put
                figures["boxes"] = len(answers["ultralytics"])
                figures["same"] = {
                    name: _same(boxes, answers["ultralytics"]) for name, boxes in answers.items()
                }
    median = {name: statistics.median(way.seconds[2:]) for name, way in ways.items()}
    figures["frame_ms"] = {name: round(value * 1e3, 1) for name, value in median.items()}
    figures["frame_ratio"] = {name: round(median["ultralytics"] / median[name], 3) for name in ours}
    return figures


def _exported(folder: Path) -> Path:
    from ultralytics import YOLO

    torch = _torch()
    torch.manual_seed(11)
    network = YOLO("yolo11n.yaml")
    # As drawn nothing reaches the heads and all scores are the same: norms are fitted to one image.
    norms = [one for one in network.model.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    image = np.asarray(cv2.resize(made_up_frame((1440, 1440)), (640, 640)))
    with torch.no_grad():
        network.model.train()
        network.model(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255.0))
        network.model.eval()
    for branch in network.model.model[-1].cv3:
        branch[-1].weight.data.mul_(_LIVELY / branch[-1].weight.data.std())
    made = Path(network.export(format="onnx", imgsz=640, opset=17, dynamic=False, simplify=False))
    path = made.rename(folder / "model.onnx")
    if not path.is_file():
        raise ModelError("Ultralytics exported no network")
    return path


def _ours(path: Path, frame: U8, provider: str) -> NetworkDetector:
    """Ours on the exported file, with a threshold that leaves so many candidates as a busy frame has."""
    data = read_model(path)
    labels = tuple(f"class{number}" for number in range(80))
    threshold = 0.5
    for _ in range(2):
        wishes = Wishes(
            name="random",
            decode="yolov8",
            labels=labels,
            allow={one: one for one in labels},
            threshold=threshold,
        )
        text = describe_foreign(data, str(path), wishes, file_name=path.name)
        rules = f"\n[yolov8]\nnms_iou = {NMS_IOU}\nmax_boxes = {MAX_BOXES}\n\n[golden]"
        (path.parent / "model.toml").write_text(text.replace("\n[golden]", rules, 1), encoding="utf-8")
        detector = load_detector(
            path.parent, threads=1, providers=(provider,), self_test=provider != "openvino_bf16"
        )
        tensor, _ = detector.place(frame)
        score = detector.run_network(tensor)[0][0, 4:].max(axis=0)
        threshold = float(np.sort(score)[-_CANDIDATES])
    return detector


def _ultralytics(path: Path, threshold: float) -> Callable[[U8], F64]:
    """Its `predict` on ONNX Runtime; its session, which takes all cores, gets one thread as ours has."""
    import onnxruntime
    from ultralytics import YOLO

    model = YOLO(str(path), task="detect")

    def look(image: U8) -> F64:
        (found,) = model.predict(
            image, imgsz=640, conf=threshold, iou=NMS_IOU, max_det=MAX_BOXES, verbose=False, device="cpu"
        )
        return np.asarray(found.boxes.xyxy.numpy(), dtype=np.float64)

    look(np.zeros((640, 640, 3), dtype=np.uint8))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model.predictor.model.backend.session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return look


def _same(boxes: F64, peers: F64) -> float:
    """Share of the peer's boxes that ours agree with to an IoU of 0.9."""
    at = best_match(peers, boxes, 0.9)
    return round(float((at >= 0).mean()), 4) if len(at) else 1.0


def _stand_in_for_torchvision() -> None:
    """Ultralytics wants torchvision for suppression alone; where it does not fit torch, OpenCV's does."""
    try:
        import torchvision  # noqa: F401 (only whether it imports)
    except (ImportError, RuntimeError):
        for name in [one for one in sys.modules if one.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        module: Any = types.ModuleType("torchvision")
        ops: Any = types.ModuleType("torchvision.ops")
        ops.nms = _suppressed
        module.ops, module.__version__ = ops, "0"
        module.__spec__ = ModuleSpec("torchvision", None)
        sys.modules |= {"torchvision": module, "torchvision.ops": ops}


def _suppressed(boxes: Any, scores: Any, limit: float) -> Any:
    edges = boxes.numpy().astype(np.float64)
    corner_size: Any = np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_size, scores.numpy().astype(np.float32), 0.0, float(limit))
    return _torch().from_numpy(np.asarray(kept, dtype=np.int64).reshape(-1))


def _torch() -> Any:
    """By name: nothing of skywarden but training depends on it, and the rules of imports hold this module."""
    return importlib.import_module("torch")


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    for one in (name, f"{name}-openvino", f"{name}-gpu"):
        try:
            return f"{one} {version(one)}"
        except PackageNotFoundError:
            continue
    return "unknown"
