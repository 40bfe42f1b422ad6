"""`skywarden locate CASES.json` where it is hardest: lens folds, the last kilometres before the horizon,
towers, craters, mountains above the camera, edges of the map, and files that another program wrote."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pymap3d
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from edge.geolocation.cases import STATUS_WORDS, Case, answer, answers, read_cases
from skywarden.geometry.camera import CameraModel
from tests.edge.referee import HousingFromCamera, height_of, walk

LENS = {"width": 1920, "height": 1080, "fx": 980.0, "fy": 981.2, "cx": 955.1, "cy": 544.9}
BARREL = {"k1": -0.281, "k2": 0.0872, "p1": 0.0006, "p2": -0.0004, "k3": -0.0128}


def _case(**fields: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": "x",
        "camera": LENS | {"distortion": {"model": "opencv_brown_conrady"} | BARREL},
        "platform": {"lat_deg": 36.9, "lon_deg": 21.7, "hae_m": 254.0},
        "vehicle_attitude_deg": {"roll": 0.0, "pitch": 0.0, "yaw": 0.0},
        "gimbal": {
            "message": "GIMBAL_DEVICE_ATTITUDE_STATUS",
            "flags": 64,
            "q_wxyz": [math.cos(-math.pi / 8), 0.0, math.sin(-math.pi / 8), 0.0],
            "delta_yaw_rad": None,
        },
        "surface": {"type": "constant_hae", "hae_m": 0.0},
        "pixel": {"u": 900.0, "v": 500.0},
    }
    return copy.deepcopy(tree) | fields


def _answer(tree: dict[str, Any]) -> dict[str, Any]:
    return answer(msgspec.convert(json.loads(json.dumps(tree)), type=Case))


def _earth(yaw_deg: float, pitch_deg: float, roll_deg: float = 0.0) -> tuple[dict[str, Any], np.ndarray]:
    """A gimbal's message and `rotation_ned_from_camera`."""
    turned = Rotation.from_euler("ZYX", [yaw_deg, pitch_deg, roll_deg], degrees=True)
    w_first = turned.as_quat()[[3, 0, 1, 2]].tolist()
    message = {"message": "GIMBAL_DEVICE_ATTITUDE_STATUS", "flags": 64, "q_wxyz": w_first}
    return message, turned.as_matrix() @ HousingFromCamera


def _ecef_from_ned(lat: float, lon: float) -> np.ndarray:
    origin = np.array(pymap3d.ned2ecef(0, 0, 0, lat, lon, 0))
    return np.stack([np.array(pymap3d.ned2ecef(*axis, lat, lon, 0)) - origin for axis in np.eye(3)], axis=1)


def _pixel(in_camera: np.ndarray) -> np.ndarray:
    matrix = np.array([[LENS["fx"], 0, LENS["cx"]], [0, LENS["fy"], LENS["cy"]], [0, 0, 1.0]])
    k = np.array([BARREL[name] for name in ("k1", "k2", "p1", "p2", "k3")])
    found = cv2.projectPoints(in_camera.reshape(1, 3) / in_camera[2], np.zeros(3), np.zeros(3), matrix, k)[0]
    return np.asarray(found).reshape(2)


def test_places_just_before_the_horizon_are_found_to_a_centimetre_at_the_edge_of_a_barrel_lens() -> None:
    rng = np.random.default_rng(3)
    asked = 0
    while asked < 40:
        agl_m = float(np.exp(rng.uniform(np.log(40.0), np.log(3000.0))))
        lat, lon = float(rng.uniform(-60, 60)), float(rng.uniform(-180, 180))
        horizon_m = math.sqrt(2.0 * 6_371_000.0 * agl_m)
        away_m, bearing = horizon_m * float(rng.uniform(0.5, 0.97)), float(rng.uniform(-180, 180))
        there = Geodesic.WGS84.Direct(lat, lon, bearing, away_m)
        there_lat, there_lon = there["lat2"], there["lon2"]
        message, ned_from_camera = _earth(
            bearing + float(rng.uniform(-30, 30)), float(rng.uniform(-20, 12)), 4.0
        )
        ned = np.array(pymap3d.geodetic2ned(there_lat, there_lon, 0.0, lat, lon, agl_m))
        in_camera = ned_from_camera.T @ ned
        if in_camera[2] <= 0.0 or np.hypot(*in_camera[:2]) > 0.9 * in_camera[2]:
            continue
        u, v = _pixel(in_camera).tolist()
        found = _answer(
            _case(
                platform={"lat_deg": lat, "lon_deg": lon, "hae_m": agl_m},
                gimbal=message,
                pixel={"u": u, "v": v},
            )
        )
        assert found["status"] == "hit"
        miss = pymap3d.geodetic2ned(
            there_lat, there_lon, 0.0, found["lat_deg"], found["lon_deg"], found["hae_m"]
        )
        assert float(np.linalg.norm(miss)) < 0.01
        assert found["slant_range_m"] == pytest.approx(float(np.linalg.norm(ned)), abs=0.01)
        asked += 1


def _followed(wanted: np.ndarray, k: tuple[float, ...]) -> bool | None:
    """Whether a point of the distorted plane is reached from the centre without the lens ever folding; `None`
    where that is a near thing."""
    k1, k2, p1, p2, k3 = k

    def distorted(p: np.ndarray) -> np.ndarray:
        x, y = p
        square = x * x + y * y
        radial = 1 + k1 * square + k2 * square**2 + k3 * square**3
        return np.array(
            [
                x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
                y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
            ]
        )

    def slope(p: np.ndarray) -> np.ndarray:
        steps = 1e-6 * np.eye(2)
        return np.stack([(distorted(p + s) - distorted(p - s)) / 2e-6 for s in steps], axis=1)

    point, least = np.zeros(2), 1.0
    for share in np.linspace(0.0, 1.0, 151)[1:]:
        for _ in range(5):
            turn = slope(point)
            least = min(least, float(np.linalg.det(turn)))
            if least <= 1e-9:
                return False if share < 0.96 else None
            step = np.linalg.solve(turn, share * wanted - distorted(point))
            if np.hypot(*step) > 0.05:  # a leap over the fold
                return False if share < 0.96 else None
            point = point + step
    return None if least < 0.05 else bool(np.abs(distorted(point) - wanted).max() < 1e-9)


@pytest.mark.slow
def test_a_lens_answers_exactly_where_it_does_not_fold() -> None:
    rng = np.random.default_rng(5)
    answers_: list[bool] = []
    for _ in range(40):
        k = (rng.uniform(-0.5, 0.2), rng.uniform(-0.2, 0.3), *rng.normal(0, 2e-3, 2), rng.uniform(-0.1, 0.1))
        camera = CameraModel(width_px=1920, height_px=1080, fx=900, fy=905, cx=955, cy=545, distortion=k)
        pixel = rng.uniform([-400, -300], [2300, 1400])
        wanted = (pixel - [955.0, 545.0]) / [900.0, 905.0]
        _, (is_seen,) = camera.rays(pixel[None])
        is_followed = _followed(wanted, k)
        if is_followed is not None:
            assert bool(is_seen) == is_followed, (k, pixel.tolist())
            answers_.append(bool(is_seen))
    assert 5 < sum(answers_) < len(answers_) - 2


HERE = {"lat0_deg": 36.9, "lon0_deg": 21.7}
DEG = 1.0 / 111_320.0


def _hills(*hills: tuple[float, float, float, float]) -> dict[str, Any]:
    """North and east metres from the platform, height and width."""
    return {
        "type": "gaussian_hills",
        "base_hae_m": 100.0,
        "hills": [
            {
                "lat0_deg": 36.9 + north * DEG,
                "lon0_deg": 21.7 + east * DEG / math.cos(math.radians(36.9)),
                "amp_m": amp,
                "sigma_m": sigma,
            }
            for north, east, amp, sigma in hills
        ],
    }


@pytest.mark.parametrize(
    ("name", "surface", "hae_m", "yaw_deg", "pitch_deg"),
    [
        ("a tower of five metres' width", _hills((400.0, 0.0, 120.0, 5.0)), 160.0, 0.0, 0.0),
        ("past that tower", _hills((400.0, 40.0, 120.0, 5.0)), 160.0, 0.0, -6.0),
        ("up at a mountain", _hills((1500.0, 0.0, 900.0, 300.0)), 180.0, 0.0, 9.0),
        ("over its shoulder into the sky", _hills((1500.0, 0.0, 300.0, 300.0)), 180.0, 0.0, 15.0),
        ("out of a crater against its rim", _hills((0.0, 0.0, -150.0, 200.0)), 40.0, 30.0, 4.0),
        ("down into a crater", _hills((300.0, 0.0, -150.0, 60.0)), 220.0, 0.0, -30.0),
        ("over one crest at the next", _hills((500.0, 0.0, 50.0, 60.0), (900.0, 0.0, 140.0, 60.0)),
         190.0, 0.0, -2.0),
        ("inside a hill", _hills((0.0, 0.0, 200.0, 100.0)), 250.0, 0.0, -20.0),
        ("along a slope that falls as the ray does",
         {"type": "formula_plane", "hae0_m": 0.0, "grad_north": -0.2, "grad_east": 0.1} | HERE,
         90.0, 0.0, -12.5),
        ("up a slope that rises faster than the ray",
         {"type": "formula_plane", "hae0_m": 0.0, "grad_north": 0.3, "grad_east": 0.0} | HERE,
         60.0, 0.0, 10.0),
    ],
)  # fmt: skip
def test_hard_ground_agrees_with_small_steps(
    name: str, surface: dict[str, Any], hae_m: float, yaw_deg: float, pitch_deg: float
) -> None:
    message, ned_from_camera = _earth(yaw_deg, pitch_deg)
    ray = _ecef_from_ned(36.9, 21.7) @ ned_from_camera[:, 2]
    start = np.array(pymap3d.geodetic2ecef(36.9, 21.7, hae_m))
    steps = {"gaussian_hills": (8_000.0, 0.5), "formula_plane": (60_000.0, 5.0)}
    reach_m, step_m = steps[surface["type"]]
    expected = walk(surface, start, ray, reach_m=reach_m, step_m=step_m)
    platform = {"lat_deg": 36.9, "lon_deg": 21.7, "hae_m": hae_m}
    middle = {"u": LENS["cx"], "v": LENS["cy"]}
    found = _answer(_case(platform=platform, gimbal=message, pixel=middle, surface=surface))
    assert found["status"] == expected.status, name
    if expected.status == "hit":
        assert found["slant_range_m"] == pytest.approx(expected.range_m, abs=0.01)
        ground = float(height_of(surface)(np.array(found["lat_deg"]), np.array(found["lon_deg"])))
        assert found["hae_m"] == pytest.approx(ground, abs=0.01)


@pytest.mark.parametrize("lon_deg", [180.0, -180.0, 179.999999, -179.999999])
@pytest.mark.parametrize("yaw_deg", [90.0, -90.0])
def test_longitudes_come_back_within_half_a_turn(lon_deg: float, yaw_deg: float) -> None:
    message, _ = _earth(yaw_deg, -45.0)
    found = _answer(_case(platform={"lat_deg": -17.0, "lon_deg": lon_deg, "hae_m": 200.0}, gimbal=message))
    east = pymap3d.geodetic2enu(found["lat_deg"], found["lon_deg"], 0.0, -17.0, lon_deg, 200.0)[0]
    assert -180.0 <= found["lon_deg"] <= 180.0
    assert math.copysign(1.0, east) == math.copysign(1.0, yaw_deg)
    assert 100.0 < abs(east) < 400.0


def test_heights_of_every_name_at_once_are_read_by_the_source_that_is_named() -> None:
    """Every other height is a trap of tens of metres."""
    every = {
        "lat_deg": 36.9, "lon_deg": 21.7, "hae_m": 999.0, "amsl_m": 400.0, "geoid_undulation_m": 27.0,
        "relative_alt_m": 150.0, "home_hae_m": 61.0, "home_amsl_m": 10.0, "agl_m": 88.0,
    }  # fmt: skip
    down, _ = _earth(0.0, -90.0)
    middle = {"u": LENS["cx"], "v": LENS["cy"]}
    for source, above_m in (("amsl", 427.0), ("relative_to_home", 211.0), ("agl", 88.0), ("hae", 999.0)):
        platform = every | {"altitude_source": source}
        found = _answer(_case(platform=platform, gimbal=down, pixel=middle))
        assert found["slant_range_m"] == pytest.approx(above_m, abs=1e-6), source


def test_nothing_is_read_into_what_a_file_leaves_open(tmp_path: Path) -> None:
    """Nulls for what is not there, NaN and Infinity without blanks, and the same words in quotes."""
    plain = _answer(_case())
    open_ = _case(
        boresight_euler_deg=None, lever_arm_body_frd_m=None, monte_carlo=None, notes="NaN, Infinity"
    )
    open_["platform"] |= {"amsl_m": math.nan, "agl_m": math.inf, "home_hae_m": None}
    open_["camera"]["distortion"]["k3"] = BARREL["k3"]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [open_], "area_cases": None}, separators=(",", ":")))
    found, problems = answers(read_cases(path))
    assert problems == []
    assert found == [plain]
    lost = _case(pixel={"u": math.nan, "v": 1.0})
    path.write_text(json.dumps({"cases": [lost | {"id": "NaN"}, _case()]}))
    found, problems = answers(read_cases(path))
    assert [(each["id"], each["status"]) for each in found] == [("NaN", "invalid"), ("x", "hit")]
    assert len(problems) == 1


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_case_with_anything_anywhere_is_answered_or_named(data: st.DataObject, tmp_path: Path) -> None:
    tree = _case(
        surface=_hills((300.0, 0.0, 50.0, 40.0)),
        lever_arm_body_frd_m=[0.1, 0.2, 0.3],
        monte_carlo={"sigmas_1s": {}},
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = tree
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and data.draw(st.integers(0, 4)):
                at = at[key]
                continue
            at[key] = data.draw(_SCALARS)
            break
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [tree]}))
    (found,), problems = answers(read_cases(path))
    assert found["status"] in {*STATUS_WORDS.values(), "invalid"}
    assert (found["status"] == "invalid") == bool(problems)
    numbers = [found[name] for name in ("lat_deg", "lon_deg", "hae_m", "slant_range_m", "ce90_m")]
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert found["status"] != "hit" or None not in numbers[:4]
