"""Draws vessels, buildings and decoys over the ground, with their shadows, finer than the picture."""

import math
from typing import Protocol

import cv2
import numpy as np

from sim.scenario.cast import Placed
from sim.scenario.land.noise import FloatImage
from sim.scenario.land.palette import thermal_of
from sim.scenario.optics.look import Look
from sim.scenario.platform import CameraState
from sim.scenario.sight import project
from sim.scenario.world import World
from skywarden.geometry.camera import CameraModel


class Scene(Protocol):
    """What is drawn into: a camera over a world in some light."""

    world: World
    camera: CameraModel
    look: Look

    def haze_at(self, range_m: float) -> float:
        """How much of a thing's light arrives from that far, 0..1."""
        ...


def draw_solids(image: FloatImage, things: list[Placed], scene: Scene, state: CameraState) -> None:
    """Draw solids over the ground, far ones first."""
    if not things:
        return
    camera_x, camera_y = scene.world.grid.metres(state.latitude_deg, state.longitude_deg)
    away = [math.hypot(thing.x_m - float(camera_x), thing.y_m - float(camera_y)) for thing in things]
    for i in sorted(range(len(things)), key=lambda i: -away[i]):
        _draw_solid(image, things[i], scene, state)


def _draw_solid(image: FloatImage, thing: Placed, scene: Scene, state: CameraState) -> None:
    """One solid with its shadow, drawn three to six times finer and averaged down."""
    faces = thing.solid.faces
    lengths = [len(face.points) for face in faces]
    solid = thing.points(np.vstack([face.points for face in faces]))
    sun = np.array(scene.look.sun)
    height = np.maximum(solid[:, 2:] - thing.base_hae_m, 0.0)
    shadow = np.column_stack(
        [solid[:, :2] - sun[:2] / sun[2] * height, np.full(len(solid), thing.base_hae_m)]
    )
    pixels, exists, distance = project(scene.world, scene.camera, state, np.vstack([solid, shadow]))
    if not exists.all():
        return
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, (image.shape[1], image.shape[0]))
    size = high - low
    if size.min() <= 0:
        return
    fine = 6 if size.max() < 60 else 4 if size.max() < 200 else 2
    corners = np.split(
        np.round(((pixels - low + 0.5) * fine - 0.5) * 16).astype(np.int32), np.cumsum(lengths * 2)[:-1]
    )
    canvas = np.zeros((size[1] * fine, size[0] * fine, 4), np.uint8)
    shade = np.zeros(canvas.shape[:2], np.uint8)
    for polygon in corners[len(faces) :]:
        cv2.fillPoly(shade, [polygon], 255, cv2.LINE_8, 4)
    camera = np.array(scene.world.grid.metres(state.latitude_deg, state.longitude_deg))
    starts = np.cumsum([0, *lengths])
    heading = math.radians(thing.heading_deg)
    visible: list[tuple[int, float, int]] = []
    colours: dict[int, tuple[float, ...]] = {}
    for i, face in enumerate(faces):
        forward, right, up = face.normal
        normal = np.array(
            [
                forward * math.sin(heading) + right * math.cos(heading),
                forward * math.cos(heading) - right * math.sin(heading),
                up,
            ]
        )
        middle = solid[starts[i] : starts[i + 1]].mean(axis=0)
        to_camera = np.array([camera[0] - middle[0], camera[1] - middle[1], state.alt_hae_m - middle[2]])
        if float(normal @ to_camera) <= 0.0:
            continue
        colours[i] = (*_lit(face.colour, float(normal @ sun), scene.look), 255.0)
        visible.append((face.part, -float(np.linalg.norm(to_camera)), i))
    for _, _, i in sorted(visible):
        cv2.fillPoly(canvas, [corners[i]], colours[i], cv2.LINE_8, 4)
    small = cv2.resize(canvas, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA).astype(np.float32)
    dark = cv2.resize(shade, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA).astype(np.float32)
    area = image[low[1] : high[1], low[0] : high[0]]
    through = scene.haze_at(float(distance.mean()))
    depth = (0.30 if thing.label == "vessel" else 0.45) * scene.look.direct
    cover = small[..., 3:] * np.float32(1.0 / 255.0)
    lit = (
        small[..., :3] * np.float32(through)
        + np.array(scene.look.haze, np.float32) * np.float32(1.0 - through) * cover
    )
    area *= (np.float32(1.0) - np.float32(depth / 255.0) * dark)[..., None] * (np.float32(1.0) - cover)
    area += lit


def _lit(colour: tuple[int, ...], facing: float, look: Look) -> tuple[float, float, float]:
    """The colour of a face by how it faces the sun; its warmth for a thermal camera."""
    if look.is_thermal:
        return thermal_of(colour)
    light = 0.5 + 0.30 * (1.0 - look.direct) + 0.62 * look.direct * max(facing, 0.0)
    blue, green, red = (min(colour[k] * light * look.gain[k], 255.0) for k in range(3))
    return (blue, green, red)
