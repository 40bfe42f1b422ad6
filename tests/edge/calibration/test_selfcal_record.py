"""A calibration as a file, and what it does to poses, error budget and configuration."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.calibration.looks import PARAMETERS, corrected, internal_units
from edge.calibration.record import (
    Calibration,
    HeldOut,
    calibration_toml,
    lasting_part,
    read_calibration,
)
from edge.calibration.solver import estimate
from edge.config import EdgeConfig, MountConfig
from edge.pose import AttitudeSample, PoseBuffer, PoseHistory, PositionSample
from sim.accuracy.truth.ais_flights import AisFlight, simulate
from skywarden.config import load_config
from skywarden.errors import ConfigError, InputError
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.heights import AboveHomeM, HaeM, MslM
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_euler_deg, quaternion_from_euler_deg

PROOF = HeldOut(
    looks=80,
    blocks=16,
    folds=4,
    before_rms_m=30.0,
    after_rms_m=10.0,
    before_ce90_m=45.0,
    after_ce90_m=15.0,
    gain=0.66,
    lower_gain=0.6,
    sentence='accepted: "held-out" misses\nfell',
)


def _calibration(**changes: object) -> Calibration:
    values = {
        "heading_deg": 1.5,
        "boresight_pitch_deg": -0.4,
        "boresight_roll_deg": 0.2,
        "time_offset_s": 0.2,
    }
    names = tuple(values)
    sigmas = [0.1, 0.06, 0.2, 0.004]
    base = Calibration(
        sensor_id="eo",
        platform_id="uav07",
        sortie_id="20261121T184210Z_uav07",
        made="2026-11-22T01:00:00Z",
        software="skywarden 0.1.0",
        source="vessels on AIS",
        data_sha256="ab" * 32,
        noise_deg=0.2,
        names=names,
        values=tuple(values.values()),
        covariance=tuple(tuple(row) for row in np.diag(np.square(sigmas)).tolist()),
        left_out=("247000003",),
        held_out=PROOF,
    )
    return msgspec.structs.replace(base, **changes)


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    for calibration in (
        _calibration(),
        _calibration(unobservable={"time_offset_s": "turning at 0.1 deg/s \u2014 too little\x7f"}),
    ):
        path = tmp_path / "calibration.toml"
        path.write_text(calibration_toml(calibration), encoding="utf-8")
        assert read_calibration(path) == calibration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("format = 1", "format = 2"), "format 2 is not known"),
        (lambda text: text.replace('"heading_deg"', '"north_m"'), "names are north_m"),
        (lambda text: text.replace("values = [1.5,", "values = [nan,"), "not a calibration"),
        (lambda text: text.replace("values = [1.5,", "values = [170.0,"), "a wrong mount, not a bias"),
        (lambda text: text.replace("values = [1.5, ", "values = ["), "4 names need 4 values"),
        (lambda text: text.replace("covariance = [[", "covariance = [[-"), "negative variance"),
        (lambda text: text + "\nsurprise = 1\n", "unknown field"),
        (lambda text: text.replace("noise_deg", "noise_deg = = "), "not valid TOML"),
        (lambda text: text + "#" * 1_100_000, "over the limit"),
    ],
)
def test_what_is_no_calibration_is_refused(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "calibration.toml"
    path.write_text(change(calibration_toml(_calibration())), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_calibration(path)


def test_a_pose_is_corrected_as_the_solver_means_it() -> None:
    looks = simulate(AisFlight(seed=1, is_spoofed=False, vessels=2, looks=4)).looks
    values = {
        "heading_deg": 1.5,
        "boresight_pitch_deg": -0.4,
        "boresight_roll_deg": 0.2,
        "elevation_deg": 0.3,
    }
    calibration = _calibration(
        names=tuple(values), values=tuple(values.values()), covariance=tuple(_diagonal(4))
    )
    whole = internal_units([values.get(name, 0.0) for name in PARAMETERS])
    _, rotation, _, _ = corrected(looks, whole)
    enu_from_ned = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    for told, wanted in zip(looks.enu_from_camera, rotation, strict=True):
        found = calibration.rotation(enu_from_ned.T @ told)
        np.testing.assert_allclose(enu_from_ned @ found, wanted, atol=1e-12)


def _diagonal(count: int) -> list[tuple[float, ...]]:
    return [tuple(row) for row in (0.01 * np.eye(count)).tolist()]


def test_heading_turns_clockwise_and_pitch_raises() -> None:
    level = matrix_from_euler_deg(0.0, 0.0, 0.0) @ GIMBAL_FROM_CAMERA
    heading = _calibration(names=("heading_deg",), values=(10.0,), covariance=((0.01,),))
    north, east, _ = heading.rotation(level)[:, 2]
    assert np.degrees(np.arctan2(east, north)) == pytest.approx(10.0)
    pitch = _calibration(names=("boresight_pitch_deg",), values=(5.0,), covariance=((0.01,),))
    assert np.degrees(np.arcsin(-pitch.rotation(level)[2, 2])) == pytest.approx(5.0)


def test_its_sigmas_take_the_place_of_the_prior_ones() -> None:
    prior = PoseSigmas(horizontal_m=1.1, principal_px=2.0)
    after = _calibration().sigmas(prior)
    assert after.boresight_deg == pytest.approx(0.1)  # half of roll's 0.2 is more than pitch's 0.06
    assert after.tilt_deg == pytest.approx(0.2)
    assert after.heading_deg == pytest.approx(np.hypot(0.1, 0.2))
    assert after.time_offset_s == pytest.approx(0.004)
    assert after.horizontal_m == 1.1
    assert after.principal_px == 0.0


def test_what_the_looks_did_not_tell_keeps_its_prior_sigma() -> None:
    calibration = _calibration(unobservable=dict.fromkeys(("heading_deg", "boresight_pitch_deg"), "why"))
    after = calibration.sigmas(PoseSigmas())
    assert (after.heading_deg, after.boresight_deg, after.tilt_deg) == (2.0, 0.3, 0.5)
    assert after.time_offset_s == pytest.approx(0.004)


def test_only_what_belongs_to_the_machine_is_recorded() -> None:
    found = estimate(simulate(AisFlight(seed=2, is_spoofed=False)).looks)
    names, values, covariance = lasting_part(found)
    assert "north_m" in found.names
    assert not {"north_m", "east_m", "down_m"} & set(names)
    assert len(values) == len(covariance) == len(names)


def test_focal_length_scales_the_lens() -> None:
    camera = CameraModel.from_hfov(640, 480, 60.0)
    calibration = _calibration(names=("focal_ln",), values=(0.02,), covariance=((1e-6,),))
    assert calibration.camera(camera).fx == pytest.approx(camera.fx * np.exp(0.02))
    assert _calibration().camera(camera) == camera
    assert calibration.sigmas(PoseSigmas()).focal_percent == pytest.approx(0.1)


EDGE = """
platform_id = "uav07"
[[sensor]]
[sensor.camera]
sensor_id = "{name}"
url = "folder:inbox"
[sensor.calibration]
path = "{path}"
"""


def _edge(tmp_path: Path, name: str, text: str) -> EdgeConfig:
    file = tmp_path / "calibration.toml"
    file.write_text(text, encoding="utf-8")
    config = tmp_path / "edge.toml"
    config.write_text(EDGE.format(name=name, path=file), encoding="utf-8")
    return load_config(EdgeConfig, config, prefix="edge", environ={})


def test_the_edge_reads_the_calibration_of_its_sensor(tmp_path: Path) -> None:
    config = _edge(tmp_path, "eo", calibration_toml(_calibration()))
    assert config.sensor[0].read_calibration() == _calibration()
    assert EdgeConfig(platform_id="uav07").sensor == ()


def test_the_edge_refuses_another_sensors_calibration_and_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="belongs to sensor 'eo', not to 'ir'"):
        _edge(tmp_path, "ir", calibration_toml(_calibration())).sensor[0].read_calibration()
    with pytest.raises(ConfigError, match=r"sensor\.calibration: .*not valid TOML"):
        _edge(tmp_path, "eo", "= nonsense").sensor[0].read_calibration()


T0, S = 1_760_000_000_000_000_000, 1_000_000_000


def _turning() -> PoseHistory:
    """Four seconds of telemetry of a platform that turns 10 deg/s clockwise from east."""
    history = PoseHistory()
    for number in range(21):
        at_s = number / 5
        w, x, y, z = quaternion_from_euler_deg(0.0, 0.0, 90.0 + 10.0 * at_s).tolist()
        time_ns = T0 + round(at_s * S)
        history.add_attitude(AttitudeSample(time_ns=time_ns, q_ned_body=(w, x, y, z), rates_rps=(0, 0, 0)))
        history.add_position(
            PositionSample(
                time_ns=time_ns,
                received_ns=time_ns,
                latitude_deg=45.0,
                longitude_deg=7.0,
                alt_hae_m=HaeM(500.0),
                alt_msl_m=MslM(450.0),
                alt_rel_m=AboveHomeM(100.0),
                velocity_ned_mps=(0.0, 0.0, 0.0),
                heading_deg=90.0,
                horizontal_m=None,
                vertical_m=None,
            )
        )
    return history


def test_a_pose_buffer_reads_earlier_telemetry_and_turns_it() -> None:
    history = _turning()
    calibration = _calibration(
        names=("heading_deg", "time_offset_s"), values=(1.5, 0.2), covariance=((0.01, 0.0), (0.0, 1e-4))
    )
    mount = MountConfig(kind="fixed")
    plain = PoseBuffer(lambda: history, mount=mount, sigmas=PoseSigmas())
    buffer = PoseBuffer(lambda: history, mount=mount, sigmas=PoseSigmas(), calibration=calibration)
    pose = buffer.pose_at(T0 + 2 * S)
    assert isinstance(pose, CameraPose)
    assert pose.time_ns == T0 + 2 * S
    north, east, _ = pose.rotation_ned_from_camera[:, 2]
    assert np.degrees(np.arctan2(east, north)) == pytest.approx(90.0 + 18.0 + 1.5, abs=1e-6)
    assert pose.sigmas.time_offset_s == pytest.approx(0.01)
    late = T0 + 4 * S + S // 10
    assert not plain.covers(late)
    assert buffer.covers(late)
