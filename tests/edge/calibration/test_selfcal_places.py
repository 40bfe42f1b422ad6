"""Known places: surveyed points from files, and vessels from reports that are old and rounded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.calibration.control_points import (
    ControlPoint,
    VesselReport,
    VesselTrack,
    read_control_points,
    stamped_ns,
)
from skywarden.errors import InputError
from skywarden.geometry import geodesy

S = 1_000_000_000
T0 = 1_700_000_040 * S  # a whole minute


def _report(at_s: float, east_m: float, **changes: Any) -> VesselReport:
    latitude, longitude, _ = geodesy.geodetic_from_enu(np.array([east_m, 0.0, 0.0]), 43.0, 5.0, 50.0)
    values: dict[str, Any] = {
        "mmsi": 247000001,
        "time_ns": T0 + int(at_s) * S,
        "latitude_deg": float(latitude),
        "longitude_deg": float(longitude),
        "sog_mps": 5.0,
        "cog_deg": 90.0,
        "is_accurate": True,
    }
    return VesselReport(**(values | changes))


def _east_m(track: VesselTrack, at_s: float) -> float:
    there = track.at(T0 + round(at_s * S))
    assert there is not None
    return float(geodesy.enu_from_geodetic(there.place, 43.0, 5.0, 50.0)[0])


def test_a_report_is_of_the_middle_of_its_second_and_carried_by_its_speed() -> None:
    track = VesselTrack([_report(10, 100.0)], surface_hae_m=50.0)
    assert _east_m(track, 10.5) == pytest.approx(100.0, abs=1e-3)
    assert _east_m(track, 14.5) == pytest.approx(120.0, abs=0.01)
    assert track.at(T0 + 30 * S) is None


def test_between_two_reports_the_place_is_interpolated_through_a_change_of_speed() -> None:
    track = VesselTrack([_report(0, 0.0, sog_mps=2.0), _report(10, 40.0, sog_mps=6.0)], surface_hae_m=50.0)
    # constant acceleration of 0.4 m/s2: 2 t + 0.2 t^2
    for t in (2.0, 5.0, 8.0):
        assert _east_m(track, 0.5 + t) == pytest.approx(2.0 * t + 0.2 * t * t, abs=0.02)
    there = track.at(T0 + 5 * S + S // 2)
    assert there is not None
    assert there.velocity_enu_mps[0] == pytest.approx(4.0, abs=0.01)


def test_the_place_is_that_of_the_middle_of_the_hull() -> None:
    told = {"to_bow_m": 150.0, "to_stern_m": 30.0, "to_port_m": 10.0, "to_starboard_m": 20.0}
    track = VesselTrack([_report(0, 0.0, heading_deg=90.0, **told)], surface_hae_m=50.0)
    there = track.at(T0 + S // 2)
    assert there is not None
    east, north, _ = geodesy.enu_from_geodetic(there.place, 43.0, 5.0, 50.0)
    assert (float(east), float(north)) == pytest.approx((60.0, -5.0), abs=0.01)


def test_a_hull_whose_heading_is_not_told_is_less_sure() -> None:
    told = {"to_bow_m": 150.0, "to_stern_m": 30.0}
    anchored = VesselTrack([_report(0, 0.0, sog_mps=0.0, cog_deg=None, **told)], surface_hae_m=50.0)
    steaming = VesselTrack([_report(0, 0.0, **told)], surface_hae_m=50.0)
    unsure, sure = anchored.at(T0 + S), steaming.at(T0 + S)
    assert unsure is not None
    assert sure is not None
    assert unsure.shared_sigma_m[0] > 60.0
    assert sure.shared_sigma_m[0] < 6.0


def test_speed_makes_the_whole_second_stamp_an_error_along_the_course() -> None:
    there = VesselTrack([_report(0, 0.0, sog_mps=10.0)], surface_hae_m=50.0).at(T0 + S // 2)
    assert there is not None
    along, across = there.covariance_enu_m2[0, 0], there.covariance_enu_m2[1, 1]
    assert np.sqrt(along - across) == pytest.approx(2.887, abs=0.01)


def test_a_second_belongs_to_the_nearest_minute_and_60_is_no_second() -> None:
    assert stamped_ns(T0 + 2 * S, 58) == T0 - 2 * S
    assert stamped_ns(T0 + 58 * S, 1) == T0 + 61 * S
    assert stamped_ns(T0 + 20 * S, 17) == T0 + 17 * S
    assert stamped_ns(T0, 60) is None
    assert stamped_ns(T0, 63) is None


def test_surveyed_points_are_read_from_csv_and_json(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text(
        "id,lat_deg,lon_deg,hae_m,sigma_m\nA,43.1,5.2,61.5,0.02\nB,43.2,5.3,,\n", encoding="utf-8"
    )
    first, second = read_control_points(table)
    assert first == ControlPoint(id="A", lat_deg=43.1, lon_deg=5.2, hae_m=61.5, sigma_m=0.02)
    assert second.hae_m is None
    tree = tmp_path / "points.json"
    point = '{"id": 1, "lat_deg": 1, "lon_deg": 2, "horizontal_accuracy_m": 0.3}'
    tree.write_text(f'{{"control_points": [{point}]}}')
    assert read_control_points(tree) == (ControlPoint(id="1", lat_deg=1.0, lon_deg=2.0, sigma_m=0.3),)


def test_a_second_point_of_one_name_gets_a_number(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("id,lat_deg,lon_deg\nA,43,5\nA,44,5\n", encoding="utf-8")
    assert [point.id for point in read_control_points(table)] == ["A", "A (2)"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "", "no control points"),
        ("p.csv", "id,lat_deg\nA,3\n", "point 1: needs id, lat_deg, lon_deg"),
        ("p.csv", "id,lat_deg,lon_deg\nA,93,5\n", "point 1"),
        ("p.csv", "id,lat_deg,lon_deg,sigma_m\nA,43,5,-1\n", "sigma_m is -1.0"),
        ("p.csv", "id,lat_deg,lon_deg\nA,nan,5\n", "point 1"),
        ("p.json", "{", "not valid JSON"),
        ("p.json", "[" * 100_000, "not valid JSON"),
        ("p.json", "[3]", "point 1 is not an object"),
        ("p.json", '{"control_points": {}}', "no control points"),
    ],
)
def test_what_is_no_list_of_points_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_control_points(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_control_points(tmp_path / "nowhere.csv")
