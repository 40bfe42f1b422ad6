"""Proposals for pilots: plans as QGroundControl describes them that cover, keep off and say what they are."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common as mavlink

from ground.alerts.zone_files import AsZones, parse_zones
from ground.alerts.zones import Zone, ZoneKind
from ground.cli import app
from ground.fusion.contact import Contact
from ground.fusion.plane import Plane
from ground.plans.ground_height import GroundBelow
from ground.plans.limits import PlanLimits
from ground.plans.orbit import OrbitWish, expected_at, orbit_of
from ground.plans.plan_file import Proposal, check_plan, plan_of
from ground.plans.proposals import ProposalDesk, file_name
from ground.plans.survey import SurveyWish, survey_of
from skywarden.errors import InputError
from skywarden.geometry.terrain import FormulaSurface
from skywarden.messages import Plot
from tests.ground.exports.made import ExportScene, plot
from tests.ground.scenes import METRE_DEG, START_NS, position

WIDE = PlanLimits(least_height_m=30.0, greatest_height_m=1_000.0)


def _ground(of: Plot, **changes: Any) -> GroundBelow:
    return GroundBelow(centre=of.position, slope_deg=of.slope_deg, **changes)


def _tree(proposal: Proposal) -> dict[str, Any]:
    tree = json.loads(plan_of(proposal))
    assert isinstance(tree, dict)
    return tree


def test_the_numbers_of_commands_and_frames_are_those_of_mavlink() -> None:
    made = plot("p1")
    items = _tree(survey_of(made, SurveyWish(), _ground(made), WIDE))["mission"]["items"]
    assert {one["command"] for one in items} == {
        mavlink.MAV_CMD_NAV_WAYPOINT,
        mavlink.MAV_CMD_DO_CHANGE_SPEED,
        mavlink.MAV_CMD_DO_SET_CAM_TRIGG_DIST,
    }
    places = [one for one in items if one["command"] == mavlink.MAV_CMD_NAV_WAYPOINT]
    assert {one["frame"] for one in places} == {mavlink.MAV_FRAME_GLOBAL}
    assert {one["frame"] for one in items if one not in places} == {mavlink.MAV_FRAME_MISSION}
    looks = [
        one["command"] for one in _tree(orbit_of(_contact(), OrbitWish(), _sea(), WIDE))["mission"]["items"]
    ]
    assert looks[1] == mavlink.MAV_CMD_DO_SET_ROI_LOCATION
    assert looks[-1] == mavlink.MAV_CMD_DO_SET_ROI_NONE


def test_a_plan_has_every_key_that_the_format_names_and_says_that_it_is_a_proposal() -> None:
    made = plot("p1")
    tree = _tree(survey_of(made, SurveyWish(), _ground(made), WIDE))
    assert (tree["fileType"], tree["version"], tree["mission"]["version"]) == ("Plan", 1, 2)
    assert set(tree) >= {"fileType", "version", "groundStation", "mission", "geoFence", "rallyPoints"}
    assert set(tree["mission"]) == {
        "version", "firmwareType", "vehicleType", "globalPlanAltitudeMode", "cruiseSpeed", "hoverSpeed",
        "plannedHomePosition", "items",
    }  # fmt: skip
    assert tree["skywarden"]["proposal"].startswith("PROPOSAL")
    assert tree["geoFence"] == {"version": 2, "polygons": [], "circles": []}


@pytest.mark.parametrize("heading", [None, 0.0, 37.0, 90.0, 200.0])
def test_every_place_of_the_plot_and_of_its_error_is_in_some_picture(heading: float | None) -> None:
    made = plot("p1")
    wish = SurveyWish(heading_deg=heading, side_overlap=0.2, margin_m=0.0)
    proposal = survey_of(made, wish, _ground(made), WIDE)
    across_m, along_m = wish.footprint_m
    plane = Plane(0.0, 20.0)
    path = [plane.east_north_m(one.latitude_deg, one.longitude_deg) for one in proposal.waypoints]
    seen = shapely.union_all(
        [
            shapely.LineString(lane).buffer(across_m / 2.0, cap_style="flat")
            for lane in zip(path[::2], path[1::2], strict=True)
        ]
    ).buffer(0.5)
    ring = [plane.east_north_m(lat, lon) for lat, lon in made.rings_deg[0].tolist()]
    assert seen.covers(shapely.Polygon(ring).buffer(made.position.ce90_m)), "also where it may really lie"
    assert along_m < across_m


def test_lanes_run_along_the_longer_side_to_and_fro() -> None:
    made = plot("p1")  # 200 m north, 100 m east
    proposal = survey_of(made, SurveyWish(), _ground(made), WIDE)
    plane = Plane(0.0, 20.0)
    path = np.array([plane.east_north_m(one.latitude_deg, one.longitude_deg) for one in proposal.waypoints])
    legs = np.diff(path, axis=0)
    lanes, turns = legs[::2], legs[1::2]
    assert np.allclose(lanes[:, 0], 0.0, atol=0.5)
    assert (np.sign(lanes[1:, 1]) == -np.sign(lanes[:-1, 1])).all()
    spacing = 2 * 80.0 * math.tan(math.radians(30.0)) * 0.3
    assert np.allclose(np.abs(turns[:, 0]), spacing, rtol=1e-3)


def test_the_height_is_above_the_highest_ground_of_a_terrain_model() -> None:
    made = plot("p1")
    hill = FormulaSurface(lambda lat, lon: 100.0 + (lat / METRE_DEG) * 0.1, spacing_m=10.0, sigma_m=0.0)
    proposal = survey_of(made, SurveyWish(height_m=60.0), _ground(made, surface=hill), WIDE)
    north_m = max(one.latitude_deg for one in proposal.waypoints) / METRE_DEG
    geoid_m = made.position.alt_hae_m - _ground(made).centre_msl_m()
    (alt_msl_m,) = {one.alt_msl_m for one in proposal.waypoints}
    assert alt_msl_m == pytest.approx(160.0 + 0.1 * north_m - geoid_m, abs=0.2)
    assert any("terrain model" in note for note in proposal.notes)


def test_ground_that_is_not_known_or_too_uneven_is_no_place_for_a_plan() -> None:
    made = plot("p1")
    hole = FormulaSurface(lambda lat, lon: np.full(np.shape(lat), np.nan), spacing_m=10.0)
    with pytest.raises(InputError, match="no height at"):
        survey_of(made, SurveyWish(), _ground(made, surface=hole), WIDE)
    cliff = FormulaSurface(lambda lat, lon: lat / METRE_DEG * 2.0, spacing_m=10.0)
    with pytest.raises(InputError, match="the ground below the path differs"):
        survey_of(made, SurveyWish(), _ground(made, surface=cliff), WIDE)


@pytest.mark.parametrize("height_m", [10.0, 29.9, 130.0, 2_000.0])
def test_heights_outside_the_limits_are_refused(height_m: float) -> None:
    made = plot("p1")
    with pytest.raises(InputError, match="m above ground is not within"):
        survey_of(made, SurveyWish(height_m=height_m), _ground(made), PlanLimits())
    with pytest.raises(InputError, match="m above ground is not within"):
        orbit_of(_contact(), OrbitWish(height_m=height_m), _sea(), PlanLimits(least_height_m=0.0))


def _zone(east_m: float, kind: ZoneKind = "exclusion") -> Zone:
    ring = tuple(((north) * METRE_DEG, 20.0 + (east_m + east) * METRE_DEG)
                 for north, east in ((-500, 0), (-500, 50), (500, 50), (500, 0)))  # fmt: skip
    return Zone(zone_id="z1", name="reserve", kind=kind, polygons=((ring,),))


def test_a_path_through_or_near_an_exclusion_zone_is_refused_unless_it_is_named() -> None:
    made = plot("p1")  # 500 to 600 m east
    for east_m, words in ((520.0, "leads into"), (660.0, "comes within")):
        limits = PlanLimits(zones=(_zone(east_m),))
        with pytest.raises(InputError, match=words):
            survey_of(made, SurveyWish(), _ground(made), limits)
    far = PlanLimits(zones=(_zone(900.0), _zone(520.0, "area")))
    survey_of(made, SurveyWish(), _ground(made), far)
    named = PlanLimits(zones=(_zone(520.0),), despite=frozenset({"z1"}))
    notes = survey_of(made, SurveyWish(), _ground(made), named).notes
    assert "flown over on purpose: exclusion zone reserve" in notes
    with pytest.raises(InputError, match="leads into"):
        orbit_of(_contact(), OrbitWish(), _sea(), PlanLimits(zones=(_zone(-300.0),)))


def _contact(**changes: Any) -> Contact:
    made = Contact(
        contact_id="c-1", label="vessel", score=0.8, first_ns=START_NS, last_ns=START_NS,
        platform_ids=("uav07",), track_ids=("t1",), sighting_count=3,
        position=position(sigma_m=5.0), bearing=None, bearing_from=None,
        no_position_reason=None, course_deg=90.0, speed_mps=5.0, model_id="m", is_exercise=False,
        position_ns=START_NS, velocity_covariance_en_m2ps2=(0.01, 0.0, 0.01),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def _sea() -> GroundBelow:
    return GroundBelow(centre=position(sigma_m=5.0))


def test_an_orbit_goes_round_where_the_contact_will_be() -> None:
    wish = OrbitWish(radius_m=400.0, at_ns=START_NS + 600 * 10**9, turns=3)
    proposal = orbit_of(_contact(), wish, _sea(), WIDE)
    plane = Plane(0.0, 20.0 + 3_000.0 * METRE_DEG)
    ring = np.array([plane.east_north_m(one.latitude_deg, one.longitude_deg) for one in proposal.waypoints])
    assert np.allclose(np.hypot(*ring.T), 400.0, atol=2.0)
    assert len(ring) == 3 * 24 + 1
    assert np.allclose(ring[0], ring[-1], atol=0.1)
    assert not shapely.LinearRing(ring[:25]).is_ccw
    assert any("10 min after" in note for note in proposal.notes)


def test_what_is_not_known_well_enough_is_not_circled() -> None:
    ahead = START_NS + 3_000 * 10**9
    with pytest.raises(InputError, match="could fly over it"):
        orbit_of(_contact(), OrbitWish(at_ns=ahead), _sea(), WIDE)
    with pytest.raises(InputError, match="up to an hour ahead"):
        expected_at(_contact(), START_NS + 2 * 3_600 * 10**9)
    with pytest.raises(InputError, match="has no place: telemetry_stale"):
        expected_at(_contact(position=None, no_position_reason="telemetry_stale"), None)
    near = expected_at(_contact(course_deg=None, speed_mps=None, velocity_covariance_en_m2ps2=None), START_NS)
    later = expected_at(
        _contact(course_deg=None, speed_mps=None, velocity_covariance_en_m2ps2=None), START_NS + 60 * 10**9
    )
    assert later.ce90_m > near.ce90_m + 100.0, "what is not known to stand may drift"


@given(st.floats(-80, 80), st.floats(-180, 179.99), st.floats(0, 359), st.floats(20, 400), st.floats(40, 110))
def test_any_plot_anywhere_makes_a_plan_that_checks(
    latitude: float, longitude: float, heading: float, size_m: float, height_m: float
) -> None:
    made = _elsewhere(plot("p1", size_m=size_m), latitude, longitude)
    try:
        proposal = survey_of(made, SurveyWish(height_m=height_m, heading_deg=heading), _ground(made), WIDE)
    except InputError:
        return  # too many lanes, or the slope too high at the far end: said in words
    tree = _tree(proposal)
    check_plan(tree)
    zones = parse_zones(
        json.dumps(
            {"type": "Polygon", "coordinates": [[[lon, lat] for lat, lon in _hull(proposal)]]}
        ).encode(),
        AsZones(),
    )
    assert len(zones) == 1


def _hull(proposal: Proposal) -> list[tuple[float, float]]:
    found = [(one.latitude_deg, one.longitude_deg) for one in proposal.waypoints]
    return [found[0], found[1], found[-1], (found[0][0] + 1e-4, found[0][1] + 2e-4)]


def _elsewhere(made: Plot, latitude: float, longitude: float) -> Plot:
    rings = []
    for ring in made.rings_deg:
        moved = np.column_stack(
            [ring[:, 0] + latitude, (ring[:, 1] - 20.0 + longitude + 180.0) % 360.0 - 180.0]
        )
        rings.append(np.round(moved * 1e7).astype("<i4").tobytes())
    place = msgspec.structs.replace(
        made.position,
        latitude_deg=made.position.latitude_deg + latitude,
        longitude_deg=(made.position.longitude_deg - 20.0 + longitude + 180.0) % 360.0 - 180.0,
    )
    return msgspec.structs.replace(made, rings_e7_i32=tuple(rings), position=place)


@pytest.mark.parametrize(
    "damage",
    [
        {"fileType": "Mission"},
        {"version": 2},
        {"mission": None},
        {"geoFence": {"version": 1}},
    ],
)
def test_what_is_no_plan_is_refused(damage: dict[str, Any]) -> None:
    made = plot("p1")
    with pytest.raises(InputError, match="cannot be flown"):
        check_plan({**_tree(survey_of(made, SurveyWish(), _ground(made), WIDE)), **damage})


@pytest.mark.parametrize(
    "damage",
    [
        {"command": 22},
        {"frame": 3},
        {"params": [0] * 6},
        {"params": [0] * 6 + [1e9]},
        {"doJumpId": 9},
        {"type": "x"},
    ],
)
def test_an_item_that_no_aircraft_could_fly_is_refused(damage: dict[str, Any]) -> None:
    made = plot("p1")
    tree = _tree(survey_of(made, SurveyWish(is_triggered=False), _ground(made), WIDE))
    tree["mission"]["items"][1] |= damage
    with pytest.raises(InputError, match="item 2"):
        check_plan(tree)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportScene]:
    made = ExportScene(tmp_path_factory.mktemp("plans"))
    yield made
    made.close()


def test_what_nobody_confirmed_is_planned_only_when_it_is_said_and_the_plan_says_so(
    scene: ExportScene,
) -> None:
    shut = ProposalDesk(source=scene.source(), limits=WIDE)
    assert not shut.survey("uav07-s1-eo.p1", SurveyWish()).title.startswith("UNREVIEWED")
    with pytest.raises(InputError, match="no person has confirmed it"):
        shut.survey("uav07-s1-eo.p2", SurveyWish())
    open_one = ProposalDesk(source=scene.source(), limits=WIDE, with_unreviewed=True)
    made = open_one.survey("p-uav07-s1-eo.p2", SurveyWish())
    assert file_name(made).startswith("PROPOSAL-UNREVIEWED-survey")
    assert made.notes[0].startswith("UNREVIEWED")
    assert open_one.orbit("c-uav07-s1-eo.t2", OrbitWish()).title.startswith("UNREVIEWED")
    with pytest.raises(InputError, match="rejected"):
        open_one.orbit("c-uav07-s1-eo.t1", OrbitWish())
    with pytest.raises(InputError, match="there is no"):
        open_one.orbit("c-none", OrbitWish())


def test_the_command_line_writes_a_plan_beside_what_it_is(
    scene: ExportScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plot.plan"
    words = ["plan", "survey", "uav07-s1-eo.p1", "--out", str(out), "--json", "--state", str(scene.state_dir)]
    assert app(words, result_action="return_value") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["title"] == "survey of parcel uav07-s1-eo.p1"
    check_plan(json.loads(out.read_bytes()))
    words = ["plan", "orbit", "c-uav07-s1-eo.t0", "--radius", "200", "--state", str(scene.state_dir)]
    assert app(words, result_action="return_value") == 0
    captured = capsys.readouterr()
    check_plan(json.loads(captured.out))
    assert captured.err.startswith("PROPOSAL: orbit of vessel")
