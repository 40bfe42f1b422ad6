"""`skywarden locate CASES.json`: reference files, hundreds of random cases, and files that are none."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pymap3d
import pytest
from geographiclib.geodesic import Geodesic

from edge.geolocation import cases
from edge.geolocation.cases import AREA_NAMES, AreaCase, Case, answer, answers, area_answer, read_cases
from edge.geolocation.locate import Locator
from skywarden.cli import run
from skywarden.errors import InputError
from tests.edge.referee import Maker, sampled_ce90

FIELDS = ["id", "status", "lat_deg", "lon_deg", "hae_m", "slant_range_m", "ce90_m", "cov_ne_m2"]


def _answered(path: Path) -> list[dict[str, Any]]:
    found, problems = answers(read_cases(path))
    assert problems == []
    return found


def _case(tree: dict[str, Any]) -> Case:
    return msgspec.json.decode(json.dumps(tree), type=Case)


def _away_m(found: dict[str, Any], expected: dict[str, Any]) -> float:
    here, there = (
        pymap3d.geodetic2ecef(each["lat_deg"], each["lon_deg"], each["hae_m"]) for each in (found, expected)
    )
    return float(np.linalg.norm(np.subtract(here, there)))


def _disagreements(trees: list[dict[str, Any]]) -> list[str]:
    wrong = []
    for tree in trees:
        found, expected = answer(_case(tree)), tree["expected"]
        assert list(found) == FIELDS
        if found["status"] != expected["status"]:
            wrong.append(f"{tree['id']}: {found['status']}, expected {expected['status']}")
        elif found["status"] == "hit":
            if _away_m(found, expected) > 0.01:
                wrong.append(f"{tree['id']}: {_away_m(found, expected):.4f} m off")
            if abs(found["slant_range_m"] - expected["slant_range_m"]) > 0.01:
                wrong.append(f"{tree['id']}: slant range")
            off_px = _back_px(_case(tree), found)
            if off_px > 1e-3:
                wrong.append(f"{tree['id']}: {off_px:.5f} px from ground to pixel")
        else:
            assert all(found[name] is None for name in FIELDS[2:])
    return wrong


def _back_px(case: Case, found: dict[str, Any]) -> float:
    """How far the place's pixel is from the pixel that was asked."""
    surface = cases.surface_of(case.surface, case.platform, 0.0)
    locator = Locator(cases.camera_of(case.camera), surface)
    pose = cases.pose_of(case, surface, cases.Sigmas())
    pixel, exists = locator.project(pose, found["lat_deg"], found["lon_deg"], found["hae_m"])
    assert exists.all()
    return float(np.hypot(pixel[0, 0] - case.pixel.u, pixel[0, 1] - case.pixel.v))


@pytest.mark.slow
@pytest.mark.real_data
def test_every_reference_case_its_areas_and_its_way_back_agree(real_data: Path) -> None:
    path = real_data / "geolocation" / "pixel_to_ground_cases.json"
    tree = json.loads(path.read_text())
    assert _disagreements(tree["cases"]) == []
    found = {each["id"]: each for each in _answered(path)}
    assert len(found) == len(tree["cases"]) + len(tree["area_cases"])
    for case in tree["cases"]:
        if "monte_carlo" in case:
            ratio = found[case["id"]]["ce90_m"] / case["monte_carlo"]["ce90_m"]
            assert ratio == pytest.approx(1.0, abs=0.01), case["id"]
    for case in tree["area_cases"]:
        for name in AREA_NAMES:
            assert found[case["id"]][name] == pytest.approx(case[name], rel=2e-6), (case["id"], name)


@pytest.mark.slow
@pytest.mark.real_data
def test_field_marks_are_answered_in_their_order(real_data: Path) -> None:
    path = real_data / "geolocation" / "field_marks.json"
    tree = json.loads(path.read_text())
    found = _answered(path)
    assert [each["image"] for each in found] == [mark["image"] for mark in tree["marks"]]
    assert all(list(each) == ["image", "lat_deg", "lon_deg"] for each in found)
    points = [(point["lat_deg"], point["lon_deg"]) for point in tree["control_points"]]
    misses = [
        min(Geodesic.WGS84.Inverse(each["lat_deg"], each["lon_deg"], *point)["s12"] for point in points)
        for each in found[::4]
    ]
    assert np.median(misses) < 5.5


@pytest.mark.slow
def test_random_cases_over_every_field_agree_with_brute_force() -> None:
    assert _disagreements(Maker(11).cases(50)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [101, 202])
def test_hundreds_of_random_cases_agree_with_brute_force(seed: int) -> None:
    trees = Maker(seed).cases(300)
    assert _disagreements(trees) == []
    words = [tree["expected"]["status"] for tree in trees]
    for word in ("no_intersection", "camera_below_surface", "pixel_not_invertible"):
        assert words.count(word) >= 3, word


PLAIN = {"width": 1920, "height": 1080, "fx": 1500.0, "fy": 1500.0, "cx": 959.5, "cy": 539.5}
SIGMAS = {
    "pos_n_m": 1.5, "pos_e_m": 1.5, "pos_d_m": 3.0, "rot_fwd_deg": 0.3, "rot_right_deg": 0.3,
    "rot_down_deg": 0.3, "heading_deg": 1.0, "surface_m": 0.5, "pixel_u": 1.5, "pixel_v": 1.0,
}  # fmt: skip


def _level_case(
    agl_m: float, pitch_deg: float, pixel: tuple[float, float], **sigmas: float
) -> dict[str, Any]:
    half = math.radians(pitch_deg) / 2
    return {
        "id": f"{agl_m:g} m, {pitch_deg:g} deg",
        "camera": PLAIN,
        "platform": {"lat_deg": 36.9, "lon_deg": 21.7, "hae_m": agl_m},
        "gimbal": {
            "message": "GIMBAL_DEVICE_ATTITUDE_STATUS",
            "flags": 64,
            "q_wxyz": [math.cos(half), 0.0, math.sin(half), 0.0],
        },
        "surface": {"type": "constant_hae", "hae_m": 0.0},
        "pixel": {"u": pixel[0], "v": pixel[1]},
        "monte_carlo": {"sigmas_1s": SIGMAS | sigmas},
    }


FINE = {"rot_fwd_deg": 0.05, "rot_right_deg": 0.05, "rot_down_deg": 0.05, "pos_d_m": 0.05, "heading_deg": 0.1}


@pytest.mark.parametrize(
    ("agl_m", "pitch_deg", "sigmas", "tolerance"),
    [
        (60.0, -88.0, {}, 0.03),
        (300.0, -45.0, {}, 0.03),
        (1000.0, -20.0, {}, 0.03),
        (300.0, -9.0, {}, 0.03),
        (300.0, -4.0, {}, 0.03),
        (300.0, -2.2, {}, 0.06),
        (120.0, -0.62, FINE, 0.06),
        (120.0, -0.52, FINE, 0.06),
        (3000.0, -2.1, FINE, 0.06),
    ],
)
def test_stated_ce90_is_what_drawing_the_errors_gives_down_to_the_horizon(
    agl_m: float, pitch_deg: float, sigmas: dict[str, float], tolerance: float
) -> None:
    tree = _level_case(agl_m, pitch_deg, (700.0, 539.5), **sigmas)
    stated = answer(_case(tree))["ce90_m"]
    assert stated / sampled_ce90(tree, SIGMAS | sigmas, 5) == pytest.approx(1.0, abs=tolerance)


def test_where_a_tenth_of_the_rays_miss_the_earth_no_radius_is_stated() -> None:
    found = answer(_case(_level_case(120.0, -0.45, (959.5, 539.5))))
    assert found["status"] == "hit"
    assert found["ce90_m"] is None
    assert found["cov_ne_m2"] is None


@pytest.mark.parametrize("seed", range(6))
def test_areas_of_random_plots_agree_with_geodesics(seed: int) -> None:
    """Corners are put on the ground by another library and seen by a camera that looks down aslant."""
    rng = np.random.default_rng(seed)
    lat, lon = (
        (-17.2, 179.9999) if seed == 0 else (float(rng.uniform(-70, 70)), float(rng.uniform(-180, 180)))
    )
    slope = 0.0 if seed % 2 else 0.3
    surface = {"type": "constant_hae", "hae_m": 550.0}
    if slope:
        surface = {"type": "formula_plane", "hae0_m": 550.0, "lat0_deg": lat, "lon0_deg": lon,
                   "grad_north": slope, "grad_east": 0.0}  # fmt: skip
    half = math.radians(-65.0) / 2
    tree: dict[str, Any] = {
        "id": "A",
        "camera": PLAIN | {"distortion": {"k1": -0.1, "k2": 0.02}},
        "platform": {"lat_deg": lat, "lon_deg": lon, "hae_m": 750.0},
        "gimbal_q_earth_wxyz": [math.cos(half), 0.0, math.sin(half), 0.0],
        "surface": surface,
        "polygon_pixels": [[0.0, 0.0]] * 3,
    }
    case = msgspec.json.decode(json.dumps(tree), type=AreaCase)
    ground = cases.surface_of(case.surface, case.platform, 0.0)
    pose = cases.pose_of(case, ground, cases.Sigmas())
    locator = Locator(cases.camera_of(case.camera), ground)
    count = int(rng.integers(3, 12))
    azimuths = np.sort(rng.uniform(0, 360, count)) if count > 4 else np.arange(count) * 360 / count
    centre = Geodesic.WGS84.Direct(lat, lon, 0.0, 90.0)
    polygon, corners = Geodesic.WGS84.Polygon(), []
    for azimuth in azimuths:
        corner = Geodesic.WGS84.Direct(centre["lat2"], centre["lon2"], azimuth, rng.uniform(15, 50))
        polygon.AddPoint(corner["lat2"], corner["lon2"])
        corners.append((corner["lat2"], corner["lon2"]))
    places = np.array(corners)
    pixels, exists = locator.project(
        pose, places[:, 0], places[:, 1], ground.height_hae_m(places[:, 0], places[:, 1])
    )
    assert exists.all()
    assert locator.sees(
        pose, places[:, 0], places[:, 1], ground.height_hae_m(places[:, 0], places[:, 1])
    ).any()
    found = area_answer(msgspec.structs.replace(case, polygon_pixels=tuple(map(tuple, pixels.tolist()))))
    area = abs(polygon.Compute(False, True)[2])
    assert found["planimetric_area_on_ellipsoid_m2"] == pytest.approx(area, rel=2e-5)
    wider = 1 + (550.0 + 90.0 * slope) / 6_371_000.0
    degree = Geodesic.WGS84.Inverse(lat - 5e-4, lon, lat + 5e-4, lon)["s12"] * 1e3 * wider
    steep = math.hypot(1.0, slope * 111_320.0 / degree)  # the formula's degree has 111320 m everywhere
    assert found["true_surface_area_m2"] == pytest.approx(area * wider**2 * steep, rel=4e-5)


def test_every_kind_of_platform_height_is_read_and_a_missing_one_is_named() -> None:
    base = _level_case(254.0, -45.0, (959.5, 539.5))
    whole = answer(_case(base))
    for platform in (
        {"amsl_m": 200.0, "geoid_undulation_m": 54.0, "altitude_source": "amsl"},
        {"relative_alt_m": 150.0, "home_hae_m": 104.0, "altitude_source": "relative_to_home"},
        {"relative_alt_m": 150.0, "home_amsl_m": 50.0, "geoid_undulation_m": 54.0,
         "altitude_source": "relative_to_home"},
        {"agl_m": 254.0, "altitude_source": "agl"},
        {"hae_m": 254.0, "altitude_source": "amsl"},
    ):  # fmt: skip
        place = {"lat_deg": 36.9, "lon_deg": 21.7} | platform
        assert _away_m(answer(_case(base | {"platform": place})), whole) < 1e-6
    nowhere = base | {"platform": {"lat_deg": 36.9, "lon_deg": 21.7}}
    with pytest.raises(InputError, match=r"platform\.hae_m"):
        answer(_case(nowhere))


def test_a_missing_number_written_as_nan_is_a_missing_number(tmp_path: Path) -> None:
    tree = _level_case(254.0, -45.0, (959.5, 539.5))
    tree["gimbal"] |= {"flags": 32, "delta_yaw_rad": math.nan}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [tree]}))
    assert _answered(path)[0]["status"] == "hit"


GOOD = _level_case(254.0, -45.0, (959.5, 539.5))
BAD_CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("lens", {"camera": PLAIN | {"fx": -1.0}}, "fx"),
    ("lens model", {"camera": PLAIN | {"distortion": {"model": "fisheye"}}}, "fisheye"),
    ("latitude", {"platform": {"lat_deg": 91.0, "lon_deg": 0.0, "hae_m": 1.0}}, "91"),
    ("surface", {"surface": {"type": "cheese"}}, "cheese"),
    ("no height", {"surface": {"type": "constant_hae"}}, "surface.hae_m"),
    ("text", {"camera": PLAIN | {"fx": "wide"}}, "fx"),
    ("huge", {"pixel": {"u": 1e400, "v": 0.0}}, "out of range"),
    ("both frames", {"gimbal": {"message": "GIMBAL_DEVICE_ATTITUDE_STATUS", "flags": 96,
                                "q_wxyz": [1.0, 0.0, 0.0, 0.0]}}, "both"),
    ("no quaternion", {"gimbal": {"message": "GIMBAL_DEVICE_ATTITUDE_STATUS", "flags": 64}}, "q_wxyz"),
    ("zero quaternion", {"gimbal": {"message": "GIMBAL_DEVICE_ATTITUDE_STATUS", "flags": 64,
                                    "q_wxyz": [0.0, 0.0, 0.0, 0.0]}}, "unit"),
    ("message", {"gimbal": {"message": "PIGEON"}}, "PIGEON"),
    ("sigma", {"monte_carlo": {"sigmas_1s": {"heading_deg": -1.0}}}, "heading_deg"),
    ("hills", {"surface": {"type": "gaussian_hills", "base_hae_m": 0.0,
                           "hills": [{"lat0_deg": 0.0, "lon0_deg": 0.0, "amp_m": 1.0, "sigma_m": 0.0}]}},
     "sigma_m"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "change", "says"), BAD_CASES, ids=[bad[0] for bad in BAD_CASES])
def test_a_case_that_cannot_be_is_one_sentence_and_the_others_are_answered(
    name: str, change: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cases.json"
    tree = {"cases": [GOOD | {"id": "bad"} | change, GOOD]}
    path.write_text(json.dumps(tree).replace("Infinity", "1e400"))
    assert run(["locate", str(path), "--json"]) == 3
    printed = capsys.readouterr()
    bad, good = json.loads(printed.out)
    assert list(bad) == FIELDS
    assert (bad["id"], bad["status"], bad["lat_deg"], good["status"]) == ("bad", "invalid", None, "hit")
    assert printed.err.count("\n") == 1
    assert says in printed.err


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b"[" * 100_000, b'{"cases": 7}',
     b'{"marks": {}}', b'{"cases": [{]}'],
)  # fmt: skip
def test_a_file_that_is_none_is_one_sentence(
    text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cases.json"
    path.write_bytes(text)
    assert run(["locate", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 400


def test_the_file_stands_alone_and_is_printed_as_lines_or_as_an_array(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [GOOD, GOOD | {"id": "up", "pixel": {"u": 0.0, "v": -9e3}}]}))
    assert run(["locate", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == FIELDS
    assert lines[1].split("\t")[1] == "hit"
    assert lines[2].split("\t")[1:] == ["no_intersection", "-", "-", "-", "-", "-", "-"]
    assert run(["locate", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [list(each) for each in found] == [FIELDS, FIELDS]
    path.write_text(json.dumps({"cases": [GOOD | {"id": "a\tb\n\x1b[31m"}, {"id": "c\nd"}]}))
    assert run(["locate", str(path)]) == 3
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert printed.out.count("\n") == 3
    assert printed.err.count("\n") == 1
    assert run(["locate", str(path), "--lat", "1"]) == 2
    assert "nothing else" in capsys.readouterr().err
    assert run(["locate", str(tmp_path / "absent.json")]) == 1


def test_damaged_areas_and_marks_are_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.json"
    path.write_text('{"area_cases": [{"id": "x", "polygon_pixels": []}, 7], "marks": [{"image": 9}]}')
    assert run(["locate", str(path), "--json"]) == 3
    printed = capsys.readouterr()
    area, nothing, mark = json.loads(printed.out)
    assert (area["id"], area["status"], nothing["id"]) == ("x", "invalid", None)
    assert mark == {"image": 9, "lat_deg": None, "lon_deg": None}
    assert "case 'x'" in printed.err
    assert "2 more" in printed.err
