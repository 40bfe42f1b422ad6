"""Detections without pictures: what a detector of stated quality would answer to a frame, drawn from truth.

For campaigns of many hours, where drawing pictures would cost a hundred times more. The chance to find a
thing grows with its size in pixels and with how much of it shows; boxes jitter; decoys are taken for the
real thing at times; whitecaps, glint and bushes give false answers at a rate. What this is worth is
measured against rendered frames, never assumed.
"""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import shapely

from sim.scenario.flown.items import FrameItem, Spoilt
from sim.scenario.land.noise import generator
from sim.scenario.seen import FrameTruth, ObjectTruth
from sim.scenario.tables.place import Sea
from skywarden.geometry.camera import CameraModel

LOOKS_JSONL = "looks.jsonl"
Box = tuple[float, float, float, float]


class Look(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer about one frame: box x0, y0, x1, y1 in pixels, and which thing it is about ("" for none).

    `outline_px` is the outline of a plot, as a detector of shapes gives it; empty for other things.
    """

    label: str
    score: float
    box_px: Box
    truth_id: str = ""
    outline_px: tuple[tuple[float, float], ...] = ()


class FrameLooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All answers about one frame; `time_ns` is the frame's stamp.

    `spoilt`, `shows` and `shrunk` are what a fault did to the picture, see `FrameItem`.
    """

    frame_number: int
    sensor_id: str
    time_ns: int
    looks: tuple[Look, ...]
    spoilt: Spoilt = ""
    shows: int | None = None
    shrunk: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good the detector is.

    Attributes:
        half_px: size (root of the box's area) of a thing that is found every second time.
        best: share found of what is large and whole.
        decoy_share: share of looks at a decoy that are taken for the real thing.
        false_per_frame: answers about nothing, on average, in a calm sea (whitecaps add to it).
        jitter_px: one sigma of each edge of a box, besides 3 % of its size.
    """

    half_px: float = 7.0
    best: float = 0.96
    decoy_share: float = 0.12
    false_per_frame: float = 0.05
    jitter_px: float = 0.8


_LABEL = {"rock": "vessel", "buoy": "vessel", "raft": "vessel", "debris": "vessel", "jetty": "vessel"}
_LABEL |= {"greenhouse": "structure"}


class LookMaker:
    """The answers of one detector to one platform's frames; the same frame gives the same answers."""

    def __init__(
        self, seed: int, platform_id: str, camera: CameraModel, sea: Sea, quality: Quality | None = None
    ) -> None:
        self._seed, self._platform_id, self._camera = seed, platform_id, camera
        self._quality = quality or Quality()
        rough = max(sea.wind_mps - 5.0, 0.0) * 0.06 * sea.whitecaps
        self._false_per_frame = self._quality.false_per_frame + rough

    def looks(self, frame: FrameTruth, stamp_ns: int) -> FrameLooks:
        """What the detector answers to the frame that shows `frame`."""
        rng = generator(self._seed, "looks", self._platform_id, str(frame.frame_number))
        found = [look for thing in frame.objects if (look := self._at(thing, rng)) is not None]
        found += [self._nothing(rng) for _ in range(int(rng.poisson(self._false_per_frame)))]
        return FrameLooks(
            frame_number=frame.frame_number,
            sensor_id=frame.sensor_id,
            time_ns=stamp_ns,
            looks=tuple(sorted(found, key=lambda look: -look.score)),
        )

    def of_item(self, item: FrameItem, shown: FrameTruth) -> FrameLooks:
        """What it answers to a frame as it arrived, whose picture is that of `shown`."""
        told = self.looks(shown, item.time_ns)
        looks = () if item.spoilt else tuple(_shrunk(look, item.shrunk) for look in told.looks)
        return msgspec.structs.replace(
            told,
            frame_number=item.frame_number,
            looks=looks,
            spoilt=item.spoilt,
            shows=item.shows,
            shrunk=None if item.shrunk == 1.0 else item.shrunk,
        )

    def _at(self, thing: ObjectTruth, rng: np.random.Generator) -> Look | None:
        drawn, *edges = rng.normal(0.0, 1.0, 5).tolist()
        chance, sureness = rng.random(2).tolist()
        x0, y0, x1, y1 = thing.box_px
        size = math.sqrt(max((x1 - x0) * (y1 - y0), 0.0))
        seen = 1.0 / (1.0 + math.exp(-2.2 * (math.log2(max(size, 0.1) / self._quality.half_px))))
        share = self._quality.best * seen * min(1.0, 1.6 * thing.visibility)
        label = thing.label
        if label == "decoy":
            share *= self._quality.decoy_share
            label = _LABEL.get(thing.kind, "plot")
        if chance > share:
            return None
        jitter = [self._quality.jitter_px * edge + 0.03 * size * drawn / 2.0 for edge in edges]
        box = (x0 + jitter[0], y0 + jitter[1], x1 + jitter[2], y1 + jitter[3])
        score = min(0.99, 0.35 + 0.6 * seen * (0.6 + 0.4 * sureness))
        return Look(
            label=label,
            score=round(score, 4),
            box_px=self._cut(box),
            truth_id=thing.id,
            outline_px=self._outline(thing, jitter) if label == "plot" else (),
        )

    def _outline(self, thing: ObjectTruth, jitter: list[float]) -> tuple[tuple[float, float], ...]:
        """The true outline, drawn out as the box is, and cut at the picture; its largest piece."""
        if len(thing.outline_px) < 3:
            return ()
        points = np.array(thing.outline_px)
        low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-6)
        begin = np.array(jitter[:2])
        drawn = points + begin + (points - low) / size * (np.array(jitter[2:]) - begin)
        picture = shapely.box(-0.5, -0.5, self._camera.width_px - 0.5, self._camera.height_px - 0.5)
        seen = shapely.make_valid(shapely.Polygon(drawn)).intersection(picture)
        pieces = [one for one in shapely.get_parts(seen) if one.geom_type == "Polygon"]
        if not pieces:
            return ()
        ring = max(pieces, key=lambda one: one.area).exterior.coords[:-1]
        return tuple((round(x, 2), round(y, 2)) for x, y in ring)

    def _nothing(self, rng: np.random.Generator) -> Look:
        x, y = float(rng.uniform(0, self._camera.width_px)), float(rng.uniform(0, self._camera.height_px))
        width, height = (float(value) for value in rng.uniform(4.0, 16.0, 2))
        score = round(0.3 + 0.3 * float(rng.random()) ** 2, 4)
        return Look(label="vessel", score=score, box_px=self._cut((x, y, x + width, y + height)))

    def _cut(self, box: Box) -> Box:
        """The box within the picture, at least a pixel wide and high."""
        width, height = self._camera.width_px, self._camera.height_px
        x0 = round(min(max(min(box[0], box[2] - 1.0), -0.5), width - 2.0), 2)
        y0 = round(min(max(min(box[1], box[3] - 1.0), -0.5), height - 2.0), 2)
        x1, y1 = min(max(box[2], x0 + 1.0), width - 0.5), min(max(box[3], y0 + 1.0), height - 0.5)
        return x0, y0, round(x1, 2), round(y1, 2)


def _shrunk(look: Look, share: float) -> Look:
    if share == 1.0:
        return look
    x0, y0, x1, y1 = (share * edge for edge in look.box_px)
    outline = tuple((share * x, share * y) for x, y in look.outline_px)
    return msgspec.structs.replace(look, box_px=(x0, y0, x1, y1), outline_px=outline)
