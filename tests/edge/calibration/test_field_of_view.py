"""A field of view from things that stand still, on made videos with truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.calibration.attitude import AttitudeHistory
from edge.calibration.field_of_view import Boxes, estimate_field_of_view
from edge.calibration.following import Follow, followed
from edge.calibration.still_things import Sights, log_focal
from sim.accuracy.truth.sea_looks import sea_videos
from skywarden.errors import InputError
from skywarden.geometry import rotations
from skywarden.geometry.camera import CameraModel

S = 1_000_000_000
T0 = 1_790_000_000 * S
SIZE = (3840, 2160)

Columns = npt.NDArray[np.float64]


def _video(
    hfov_deg: float,
    *,
    seed: int = 1,
    is_moving: bool = True,
    pitch_bias_deg: float = 0.0,
    step_deg: float = 0.0,
    numbers: list[int] | None = None,
) -> tuple[Boxes, AttitudeHistory]:
    """Half a minute at 2 frames/s over five things, of which the last one sails; telemetry at 1 Hz.

    Which thing each box is goes to `numbers`.
    """
    rng = np.random.default_rng(seed)
    camera = CameraModel.from_hfov(*SIZE, hfov_deg)
    things = np.array([[60.0, 5.0], [75.0, -15.0], [90.0, 25.0], [110.0, -5.0], [70.0, 10.0]])
    labels = ["buoy", "boat", "buoy", "boat", "boat"]
    rows: list[tuple[int, str, float, float]] = []
    for index in range(60):
        seconds = index / 2
        turned, place = _pose(np.array([seconds]), is_moving=is_moving, step_deg=step_deg)
        tilt = rotations.matrix_from_vector_rad(np.radians([pitch_bias_deg, 0.0, 0.0]))
        for number, (thing, label) in enumerate(zip(things, labels, strict=True)):
            spot = np.array([*thing, 0.0]) + (number == 4) * seconds * np.array([1.0, -1.5, 0.0])
            seen, is_seen = camera.project((spot - place[0]) @ turned[0] @ tilt)
            if is_seen[0] and camera.contains(seen)[0]:
                x, y = seen[0] + rng.normal(0.0, 3.0, 2)
                rows.append((T0 + int(seconds * S), label, float(x), float(y)))
                if numbers is not None:
                    numbers.append(number)
    boxes = Boxes(
        time_ns=np.array([row[0] for row in rows], dtype=np.int64),
        centre_px=np.array([row[2:] for row in rows]),
        label=[row[1] for row in rows],
        width_px=SIZE[0],
        height_px=SIZE[1],
    )
    told = np.arange(-2.0, 33.0)
    turned, place = _pose(told, is_moving=is_moving, step_deg=step_deg)
    history = AttitudeHistory(
        times_ns=T0 + np.round(told * S).astype(np.int64),
        q_ned_camera=rotations.quaternion_from_matrix(turned),
        position_ned_m=place + rng.normal(0.0, 0.1, place.shape),
        height_m=-place[:, 2],
    )
    return boxes, history


def _pose(seconds: Columns, *, is_moving: bool, step_deg: float) -> tuple[Columns, Columns]:
    swing = 9.0 * np.sin(seconds / 4.0) if is_moving else 0.0 * seconds
    swing = swing + np.where(seconds > 15.2, step_deg, 0.0)
    pitch = -30.0 + (4.0 * np.sin(seconds / 5.0 + 1.0) if is_moving else 0.0)
    along = 0.6 * seconds if is_moving else 0.0 * seconds
    place = np.stack([along, 0.5 * along, np.full_like(seconds, -36.0)], axis=1)
    turned = rotations.matrix_from_euler_deg(0.0 * seconds, pitch, swing)
    return turned @ rotations.GIMBAL_FROM_CAMERA, place


@pytest.mark.parametrize(
    ("hfov_deg", "seed"),
    [
        pytest.param(58.0, 2, marks=pytest.mark.slow),
        pytest.param(48.0, 1, marks=pytest.mark.slow),
        pytest.param(70.0, 3, marks=pytest.mark.slow),
    ],
)
def test_the_field_of_view_is_found_and_fixed_things_stand_within_two_metres(
    hfov_deg: float, seed: int
) -> None:
    found = estimate_field_of_view(*_video(hfov_deg, seed=seed))
    assert found.hfov_deg is not None, found.reason
    assert found.sigma_deg is not None
    assert abs(found.hfov_deg - hfov_deg) < max(1.5, 3 * found.sigma_deg)
    assert found.rms_m < 2.0
    assert sum(thing.is_fixed for thing in found.things) >= 3


@pytest.mark.slow
def test_what_sails_is_told_from_what_lies_at_anchor() -> None:
    found = estimate_field_of_view(*_video(60.0, seed=4))
    moving = [thing for thing in found.things if not thing.is_fixed]
    assert moving
    assert all(thing.label == "boat" for thing in moving)


@pytest.mark.slow
def test_a_gimbal_that_is_off_in_pitch_is_corrected() -> None:
    found = estimate_field_of_view(*_video(60.0, seed=5, pitch_bias_deg=1.0))
    assert found.hfov_deg == pytest.approx(60.0, abs=3.0)
    assert found.pitch_bias_deg == pytest.approx(1.0, abs=0.5)


@pytest.mark.slow
def test_a_camera_that_stands_still_tells_no_field_of_view() -> None:
    found = estimate_field_of_view(*_video(60.0, seed=6, is_moving=False))
    assert found.hfov_deg is None or (found.sigma_deg or 0.0) > 1.0, found
    boxes, history = _video(60.0)
    few = replace(boxes, time_ns=boxes.time_ns[:6], centre_px=boxes.centre_px[:6], label=boxes.label[:6])
    nothing = estimate_field_of_view(few, history)
    assert nothing.hfov_deg is None
    assert "not observable" in nothing.reason


def test_a_pan_between_two_samples_of_telemetry_loses_nothing() -> None:
    """The heading steps by 14 degrees within one frame; telemetry at 1 Hz tells it before and after."""
    numbers: list[int] = []
    boxes, history = _video(80.0, seed=7, step_deg=14.0, numbers=numbers)
    sights = Sights(boxes, history)
    parameters = np.zeros(6)
    parameters[0] = log_focal(80.0)
    things = followed(sights, parameters, Follow(min_looks=8, gate_rad=0.015, forget_s=3.0))
    true = np.array(numbers)
    for number in (0, 1, 2, 3):
        counts = np.bincount(things[(true == number) & (things >= 0)])
        assert counts.max() >= 0.95 * np.sum(true == number), number
        assert set(true[things == int(counts.argmax())].tolist()) == {number}


@pytest.mark.real_data
@pytest.mark.slow
def test_a_real_video_keeps_what_is_near_within_two_metres(real_data: Path) -> None:
    folder = real_data / "imagery" / "vessels-drone-seadronessee"
    videos = sea_videos(folder / "annotations_with_telemetry.json")
    found = estimate_field_of_view(*videos["NorthSea_Fri_DJI_0113"])
    assert found.hfov_deg is not None, found.reason
    assert found.near_rms_m < 2.0
    assert found.moving_rms_m < 2.0
    assert found.held_out_rms_m < 2.0


def test_attitude_without_places_is_refused() -> None:
    boxes, history = _video(60.0)
    with pytest.raises(InputError, match="places"):
        estimate_field_of_view(boxes, replace(history, position_ned_m=None))
