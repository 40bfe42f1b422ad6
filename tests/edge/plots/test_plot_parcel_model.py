"""The parcel model of the zoo, a real image and the whole chain: parcels come out with outline and area."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from edge.plots.node import PlotSettings
from edge.vision.pipeline import Frame, VisionNode
from models.catalogue import load_detector
from models.evaluation.pictures import read_image
from models.evaluation.reading import read_dataset
from skywarden import wire
from skywarden.geometry.camera import CameraModel
from skywarden.messages import Plot
from tests.edge.eyes import IDS, PLACE, T0, S, fly, settings

GSD_M = 1.9
"""About that of the images: half-mile roads tell."""
IMAGE = "41.481412--88.842236.png"
"""Held back from training."""


@pytest.mark.real_data
@pytest.mark.slow
def test_parcels_of_a_real_image_become_plots_with_areas_on_the_ground(real_data: Path) -> None:
    folder = real_data / "imagery" / "parcels-agoro-naip"
    (one,) = (image for image in read_dataset(folder).images if image.path.name == IMAGE)
    image = np.ascontiguousarray(read_image(one.path)[:, :768])
    size = (image.shape[1], image.shape[0])
    camera = CameraModel.from_hfov(*size, 40.0)
    chain = settings(camera, plots=PlotSettings(interval_s=0.0))
    eyes = VisionNode(IDS, chain, load_detector("parcel"))
    frames = [
        Frame(frame_number=at, time_ns=T0 + at * S, received_ns=T0 + at * S, image=image) for at in range(2)
    ]
    outcomes = fly(eyes, frames, height_m=GSD_M * camera.fx)
    plots = [message for outcome in outcomes for message in outcome.messages if isinstance(message, Plot)]
    known = [shapely.Polygon(ring).buffer(0) for thing in one.objects for ring in thing.rings]
    frame = shapely.box(1, 1, size[0] - 1, size[1] - 1)
    whole = [field for field in known if frame.contains(field) and field.area > 4000]
    assert len(plots) >= 4
    assert all(plot.label == "parcel" and plot.model_id.startswith("parcel:") for plot in plots)
    assert all(wire.decode("plot", wire.encode(plot)) == plot for plot in plots)
    areas = sorted(plot.area_m2[0] for plot in plots)
    assert areas[-1] < np.prod(size) * GSD_M**2
    found = [_in_image(plot, camera, size) for plot in plots]
    all_known, all_found = shapely.union_all(known), shapely.union_all(found)
    shared = all_known.intersection(all_found).area / all_known.intersection(frame).union(all_found).area
    assert shared > 0.75
    for field in whole:
        best = max(found, key=lambda one: one.intersection(field).area)
        if best.intersection(field).area / best.union(field).area > 0.7:
            at = found.index(best)
            assert plots[at].area_m2[0] == pytest.approx(best.area * GSD_M**2, rel=0.05)


def _in_image(plot: Plot, camera: CameraModel, size: tuple[int, int]) -> shapely.Polygon:
    """A plot's ground back in the image of a camera that looks straight down with north at the top."""
    rings = []
    for ring in plot.rings_deg:
        degrees = np.asarray(ring, dtype=np.float64)
        metres = (degrees - PLACE) * (111_140.0, 111_320.0 * np.cos(np.radians(PLACE[0])))
        rings.append(np.column_stack([metres[:, 1], -metres[:, 0]]) / GSD_M + (size[0] / 2, size[1] / 2))
    return shapely.Polygon(rings[0], rings[1:]).buffer(0)
