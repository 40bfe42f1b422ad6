"""The scenarios that come along: each loads, its fleet behaves, what it tells of itself holds together."""

import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.range.score.truth import read_truth
from sim.scenario.description import Scenario, builtin_scenarios, load_scenario, varied
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.fleet.transmit import LEAD_S, heard_sentences
from sim.scenario.flown.looks import LookMaker
from sim.scenario.flown.runs import RunOptions, fly
from sim.scenario.land.shapes import outline_of
from sim.scenario.platform import PlatformTruth
from sim.scenario.runner import sortie_id
from sim.scenario.seen import FrameTruth, ObjectTruth
from sim.scenario.tables.land import Shape
from sim.scenario.world import World
from skywarden.ais.reports import PositionReport, StaticReport, read_report
from skywarden.ais.sentences import SentenceReader
from skywarden.errors import ConfigError, InputError
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.terrain import load_terrain

TEN = {
    "coastal-patrol",
    "go-fast-at-dusk",
    "mother-ship",
    "fishing-fleet",
    "harbour",
    "upland-plots",
    "river-corridor",
    "search-two-platforms",
    "thermal-night",
    "empty-sea",
}
SEA = """
name = "bay"
title = "A bay"
seed = 3
start_unix_s = 1768498200
land = { coast_north_m = 200.0, coast_swing_m = 0.0, seed = 9 }

[place]
latitude_deg = -20.0
longitude_deg = -25.0
west_m = -700.0
east_m = 700.0
south_m = -700.0
north_m = 500.0
"""
FLIER = """
[[platforms]]
id = "sea-1"
sysid = 31
plan = [[-200.0, -350.0], [200.0, -350.0], [200.0, -550.0], [-200.0, -550.0]]
turn_radius_m = 80.0
alt_msl_m = 120.0
home = [0.0, 250.0]
look_area = [-600.0, -650.0, 600.0, 400.0]
texel_m = 2.0
camera = { width_px = 320, height_px = 180 }
"""


class _OpenWater:
    def inland_at(self, x_m: float, y_m: float) -> float:
        return -500.0


def _scenario(tmp_path: Path, vessels: str) -> Scenario:
    path = tmp_path / "bay.toml"
    path.write_text(SEA + vessels + FLIER)
    return load_scenario(path)


def test_ten_scenarios_come_along_and_each_says_what_a_good_watch_makes_of_it() -> None:
    assert set(builtin_scenarios()) >= TEN
    for name in sorted(TEN):
        scenario = load_scenario(name)
        assert scenario.name == name
        assert len(scenario.about) > 100
        assert scenario.land.seed is not None, "the land stays when the seed changes"


def test_every_convention_of_gimbals_every_decoy_and_every_step_occurs_in_the_library() -> None:
    scenarios = [load_scenario(name) for name in builtin_scenarios()]
    sweeps = [one.camera.sweep for scenario in scenarios for one in scenario.platforms]
    conventions = {sweep.convention for sweep in sweeps if sweep is not None}
    assert len(conventions) == 7
    decoys = {decoy.kind for scenario in scenarios for decoy in scenario.decoys}
    assert decoys == {"rock", "buoy", "jetty", "greenhouse", "debris", "raft"}
    steps = {step.do for one in scenarios for vessel in one.vessels for step in vessel.steps}
    assert steps == {"transit", "fish", "loiter", "meet", "flee", "beach", "moor"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEN))
def test_vessels_keep_to_the_water_until_they_mean_to_land(name: str) -> None:
    scenario = load_scenario(name)
    world = World(scenario)
    for vessel in scenario.vessels:
        for time_s in range(0, int(scenario.duration_s) + 1, 10):
            motion = world.fleet.motion(vessel.id, float(time_s))
            if world.fleet.doing(vessel.id, float(time_s)) == "beach":
                continue
            assert world.inland_at(motion.x_m, motion.y_m) < -1.5, f"{vessel.id} at {time_s} s"


def test_a_vessel_goes_where_it_is_sent_and_no_faster_than_it_can(tmp_path: Path) -> None:
    scenario = _scenario(
        tmp_path,
        """
[[vessels]]
id = "skiff-1"
kind = "skiff"
at = [0.0, -300.0]
heading_deg = 180.0
steps = [{ do = "transit", to = [300.0, -300.0], speed_mps = 6.0 }, { do = "moor", for_s = 600.0 }]
""",
    )
    fleet = Fleet(scenario, _OpenWater())
    places = [fleet.motion("skiff-1", k * 0.5) for k in range(240)]
    speeds = [math.hypot(b.x_m - a.x_m, b.y_m - a.y_m) / 0.5 for a, b in itertools.pairwise(places)]
    assert max(speeds) < 6.3
    assert math.hypot(places[-1].x_m - 300.0, places[-1].y_m + 300.0) < 40.0
    assert fleet.doing("skiff-1", 20.0) == "transit"
    assert fleet.doing("skiff-1", 119.0) == "moor"
    again = Fleet(scenario, _OpenWater())
    assert again.motion("skiff-1", 77.3) == fleet.motion("skiff-1", 77.3), "asked out of order or not"


def test_two_that_meet_lie_alongside_and_part_again(tmp_path: Path) -> None:
    scenario = _scenario(
        tmp_path,
        """
[[vessels]]
id = "coaster-1"
kind = "coaster"
at = [0.0, -300.0]
heading_deg = 90.0
steps = [{ do = "loiter", for_s = 600.0 }]

[[vessels]]
id = "skiff-1"
kind = "skiff"
at = [300.0, -500.0]
heading_deg = 0.0
steps = [
  { do = "meet", other = "coaster-1", for_s = 40.0, speed_mps = 9.0 },
  { do = "transit", to = [300.0, -600.0] },
]
""",
    )
    fleet = Fleet(scenario, _OpenWater())

    def apart(time_s: float) -> float:
        one, other = (fleet.motion(name, time_s) for name in ("coaster-1", "skiff-1"))
        return math.hypot(one.x_m - other.x_m, one.y_m - other.y_m)

    met = [time_s for time_s in range(200) if apart(float(time_s)) < 7.5]
    assert 30 <= len(met) <= 60, "forty seconds alongside"
    assert met == list(range(met[0], met[-1] + 1)), "once, without a break"
    assert apart(199.0) > 100.0


def test_who_flees_runs_away_only_when_the_platform_is_near(tmp_path: Path) -> None:
    scenario = _scenario(
        tmp_path,
        """
[[vessels]]
id = "go-fast-1"
kind = "go_fast"
at = [0.0, -600.0]
heading_deg = 90.0
steps = [{ do = "flee", other = "sea-1", within_m = 160.0, for_s = 30.0 }]
""",
    )
    fleet = Fleet(scenario, _OpenWater())
    speeds = [fleet.motion("go-fast-1", float(k)).speed_mps for k in range(60)]
    assert speeds[0] < 1.0
    assert max(speeds) > 14.0


def test_a_boat_that_beaches_stops_on_the_shore(tmp_path: Path) -> None:
    scenario = _scenario(
        tmp_path,
        """
[[vessels]]
id = "skiff-1"
kind = "skiff"
at = [0.0, -50.0]
heading_deg = 0.0
steps = [{ do = "beach", to = [0.0, 400.0], speed_mps = 8.0 }]
""",
    )
    world = World(scenario)
    end, later = (world.fleet.motion("skiff-1", time_s) for time_s in (90.0, 120.0))
    assert 0.0 < world.inland_at(end.x_m, end.y_m) < 12.0
    assert (end.x_m, end.y_m, later.speed_mps) == (later.x_m, later.y_m, 0.0)


def _reports(world: World, seconds: float) -> dict[str, list[PositionReport]]:
    reader = SentenceReader()
    found: dict[str, list[PositionReport]] = {}
    for time_ns, line in heard_sentences(world, seconds):
        heard = reader.take(line)
        if heard is None:
            continue
        assert heard.received_ns is not None
        assert abs(heard.received_ns - time_ns) < 1_000_000_000
        for report in read_report(heard):
            if isinstance(report, PositionReport):
                found.setdefault(report.mmsi, []).append(report)
            elif isinstance(report, StaticReport):
                assert report.mmsi.isdigit()
    return found


def test_ais_tells_who_is_where_except_who_is_silent_wrong_or_two(tmp_path: Path) -> None:
    scenario = load_scenario("fishing-fleet")
    world = World(scenario)
    found = _reports(world, 80.0)
    told = {vessel.id: vessel.ais.mmsi for vessel in scenario.vessels if vessel.ais is not None}
    assert set(found) == set(told.values())
    assert "silent-1" not in told
    patrol = {one.id: one.ais.mmsi for one in load_scenario("coastal-patrol").vessels if one.ais is not None}
    assert patrol["fishing-1"] == patrol["fishing-4"], "a clone"
    start_ns = world.scenario.start_ns
    for vessel_id in ("fishing-1", "fishing-5"):
        report = found[told[vessel_id]][-1]
        motion = world.fleet.motion(vessel_id, (report.time_ns - start_ns) / 1e9)
        x, y = world.grid.metres(report.latitude_deg, report.longitude_deg)
        away = math.hypot(float(x) - motion.x_m, float(y) - motion.y_m)
        assert (away > 3000.0) == (vessel_id == "fishing-5")
    first = min(report.time_ns for reports in found.values() for report in reports)
    assert first < start_ns - (LEAD_S - 60.0) * 1e9


def test_a_gap_on_ais_is_a_gap() -> None:
    scenario = load_scenario("mother-ship")
    world = World(scenario)
    reports = _reports(world, 240.0)["341882001"]
    times = [(report.time_ns - scenario.start_ns) / 1e9 for report in reports]
    assert max(times) <= 31.0
    assert min(times) < -800.0


def test_another_seed_is_the_same_story_with_other_draws() -> None:
    scenario = load_scenario("go-fast-at-dusk")
    other = load_scenario("go-fast-at-dusk", seed=99)
    assert other == varied(scenario, 99)
    assert other.seed == 99
    assert other.land_seed == scenario.land_seed
    shifts = [
        math.hypot(a.at[0] - b.at[0], a.at[1] - b.at[1])
        for a, b in zip(scenario.vessels, other.vessels, strict=True)
    ]
    assert 0.0 < max(shifts) < 2.0 * scenario.vary_m
    assert np.array_equal(World(scenario).inland_m, World(other).inland_m)


def test_what_stands_behind_a_hill_is_hidden_and_what_stands_before_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "hill.toml"
    hill = "{ at = [0.0, 400.0], height_m = 150.0, length_m = 300.0, width_m = 60.0, azimuth_deg = 90.0 }"
    text = SEA.replace("seed = 9 }", f"seed = 9, relief_m = 0.0, hills = [{hill}] }}")
    text = text.replace("200.0, coast_swing", "-600.0, coast_swing")
    path.write_text(text.replace("north_m = 500.0", "north_m = 900.0") + FLIER)
    world = World(load_scenario(path))
    camera = (0.0, -300.0, float(world.surface_at(0.0, -300.0)) + 60.0)
    behind, before = float(world.surface_at(0.0, 700.0)), float(world.surface_at(0.0, 100.0))
    assert world.hides(0.0, 700.0, behind + 2.0, camera)
    assert not world.hides(0.0, 100.0, before + 2.0, camera)
    above = (0.0, 650.0, behind + 900.0)
    assert not world.hides(0.0, 700.0, behind + 2.0, above)


def test_the_nose_stands_into_the_wind_and_the_ground_speed_stays(tmp_path: Path) -> None:
    calm = _scenario(tmp_path, "")
    windy = msgspec.structs.replace(
        calm, weather=msgspec.structs.replace(calm.weather, wind_mps=10.0, wind_towards_deg=0.0)
    )
    states = [PlatformTruth(one, one.platforms[0]).at(8.0) for one in (calm, windy)]
    assert (states[0].x_m, states[0].north_mps) == (states[1].x_m, states[1].north_mps)
    course = math.degrees(math.atan2(states[1].east_mps, states[1].north_mps))
    turned = (states[1].heading_deg - states[0].heading_deg + 180.0) % 360.0 - 180.0
    assert abs(course - 90.0) < 10.0, "eastward, with the wind from the left behind"
    assert 20.0 < turned < 40.0, "it blows to the north, so the nose stands south of the course"


@pytest.mark.real_data
def test_a_place_can_have_the_relief_of_a_file(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.toml"
    tile = real_data / "terrain" / "S36E149_srtm3.tif"
    place = f'terrain = "{tile}"\nlatitude_deg = -35.4\nlongitude_deg = 149.1'
    old = "latitude_deg = -20.0\nlongitude_deg = -25.0"
    path.write_text(SEA.replace(old, place) + FLIER)
    world = World(load_scenario(path))
    assert 300.0 < float(world.elevation_msl_m.min()) < float(world.elevation_msl_m.max()) < 1500.0
    assert world.inland_at(0.0, 0.0) > 1000.0, "land all over"
    latitude, longitude = world.grid.geodetic(120.0, -80.0)
    surface = load_terrain(tile)
    there = float(surface.height_hae_m(np.array([float(latitude)]), np.array([float(longitude)]))[0])
    assert abs(float(world.surface_at(120.0, -80.0)) - there) < 2.0
    path.write_text(SEA.replace(old, place.replace("149.1", "20.0")) + FLIER)
    with pytest.raises(InputError, match="does not cover"):
        World(load_scenario(path))


def test_seasons_change_growth_light_and_which_plots_there_are() -> None:
    scenario = load_scenario("upland-plots")
    dry, rains, harvest = (scenario.in_season(season.id) for season in scenario.seasons)
    assert {plot.id for plot in rains.plots} - {plot.id for plot in dry.plots} == {"plot-3", "plot-8"}
    assert "plot-6" not in {plot.id for plot in harvest.plots}
    assert dry.start_ns < rains.start_ns < harvest.start_ns
    assert (dry.land.greenness, dry.seasons) == (-0.8, ())
    assert rains.plots[0].outline == dry.plots[0].outline, "a plot is the same piece of land"
    with pytest.raises(ConfigError, match="dry, rains, harvest"):
        scenario.in_season("winter")


def test_each_season_is_a_sortie_of_its_own_or_their_tracks_would_share_ids() -> None:
    scenario = load_scenario("upland-plots")
    visits = [scenario, *(scenario.in_season(season.id) for season in scenario.seasons)]
    assert len({sortie_id(there, "survey-1") for there in visits}) == 4
    assert [there.season for there in visits] == ["", "dry", "rains", "harvest"]


def test_a_run_of_one_season_keeps_that_season_and_is_judged_by_it(tmp_path: Path) -> None:
    scenario = load_scenario("upland-plots")
    options = RunOptions(seconds=1.0, season="rains", with_frames=False, jobs=1)
    fly(scenario, tmp_path / "run", options)
    truth = read_truth(tmp_path / "run")
    assert truth.scenario.start_ns == scenario.in_season("rains").start_ns
    assert "plot-8" in {plot.id for plot in truth.visits["survey-1"].plots}


def test_a_file_cannot_say_which_season_it_is_flown_in(tmp_path: Path) -> None:
    path = tmp_path / "late.toml"
    path.write_text('season = "dry"\n' + SEA + FLIER)
    with pytest.raises(ConfigError, match="--season"):
        load_scenario(path)


@given(
    kind=st.sampled_from(["blob", "rectangle", "circle", "ring-sector", "l", "strip", "kidney"]),
    length_m=st.floats(10.0, 400.0),
    width_m=st.floats(10.0, 400.0),
    azimuth_deg=st.floats(-360.0, 360.0),
    name=st.text("abcdefgh-", min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_named_shapes_are_sound_polygons_of_about_their_size(
    kind: str, length_m: float, width_m: float, azimuth_deg: float, name: str
) -> None:
    import shapely

    made = msgspec.convert(
        {
            "kind": kind,
            "at": (5.0, 7.0),
            "length_m": length_m,
            "width_m": width_m,
            "azimuth_deg": azimuth_deg,
        },
        Shape,
    )
    polygon = shapely.Polygon(outline_of(made, name))
    assert polygon.is_valid
    assert shapely.is_ccw(polygon.exterior)
    assert 0.2 < polygon.area / (length_m * width_m) < 1.6
    assert outline_of(made, name) == outline_of(made, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('steps = [{ do = "transit" }]', "needs `to`"),
        ('steps = [{ do = "meet", other = "moon" }]', "no other vessel"),
        ('steps = [{ do = "flee", other = "moon" }]', "no platform"),
        ('steps = [{ do = "dance" }]', "dance"),
        ('ais = { mmsi = "12" }', "mmsi"),
    ],
)
def test_a_fleet_that_makes_no_sense_is_refused_with_a_sentence(
    tmp_path: Path, change: str, message: str
) -> None:
    vessel = '[[vessels]]\nid = "boat-1"\nkind = "skiff"\nat = [0.0, -200.0]\nheading_deg = 0.0\n'
    with pytest.raises(ConfigError, match=message):
        _scenario(tmp_path, vessel + change + "\n")


def test_faults_are_read_into_plain_objects_and_checked(tmp_path: Path) -> None:
    fault = """
[[fault]]
kind = "gnss_jump"
at_s = 20.0
end_s = 50.0
platform = "sea-1"
parameters = { east_m = 120.0, is_slow = true }
"""
    scenario = _scenario(tmp_path, fault)
    (found,) = scenario.fault
    assert (found.kind, found.start_s, found.end_s, found.platform) == ("gnss_jump", 20.0, 50.0, "sea-1")
    assert found.parameters == {"east_m": 120.0, "is_slow": True}
    with pytest.raises(ConfigError, match="begins at 20"):
        _scenario(tmp_path, '[[fault]]\nkind = "gnss_jump"\nat_s = 20.0\nend_s = 10.0\n')
    with pytest.raises(ConfigError, match="no platform"):
        _scenario(tmp_path, '[[fault]]\nkind = "gnss_jump"\nat_s = 20.0\nplatform = "air-9"\n')


@given(st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_a_damaged_scenario_file_ends_in_a_sentence(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.toml"
        path.write_bytes(SEA.encode()[: len(data)] + data)
        with pytest.raises(ConfigError):
            load_scenario(path)


def test_looks_find_what_is_large_and_say_which_thing_it_was() -> None:
    camera = CameraModel.from_hfov(640, 360, 50.0)
    sea = load_scenario("fishing-fleet").sea
    maker = LookMaker(5, "sea-1", camera, sea)

    def frame(number: int) -> FrameTruth:
        def thing(name: str, label: str, size: float, kind: str = "") -> ObjectTruth:
            return ObjectTruth(
                id=name, label=label, box_px=(100.0, 100.0, 100.0 + size, 100.0 + size), visibility=0.95,
                latitude_deg=0.0, longitude_deg=0.0, alt_hae_m=0.0, range_m=500.0, kind=kind,
            )  # fmt: skip

        return FrameTruth(
            frame_number=number, sensor_id="eo", time_ns=number, latitude_deg=0.0, longitude_deg=0.0,
            alt_hae_m=100.0, rotation_ned_from_camera=(1.0,) * 9,
            objects=(
                thing("large", "vessel", 40.0),
                thing("small", "vessel", 3.0),
                thing("rock", "decoy", 30.0, "rock"),
            ),
        )  # fmt: skip

    answers = [maker.looks(frame(number), number) for number in range(400)]
    counts = {
        name: sum(look.truth_id == name for answer in answers for look in answer.looks)
        for name in ("large", "small", "rock")
    }
    assert counts["large"] > 340
    assert counts["small"] < 150
    assert 10 < counts["rock"] < 90
    assert answers[7] == maker.looks(frame(7), 7)
    for answer in answers:
        for look in answer.looks:
            x0, y0, x1, y1 = look.box_px
            assert -0.5 <= x0 < x1 <= 639.5
            assert -0.5 <= y0 < y1 <= 359.5
