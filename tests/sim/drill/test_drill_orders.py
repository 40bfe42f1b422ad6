"""What a trainer can order: every kind is known, checked before it is done, and does what it says."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.drill.air import GOOD, Spoiled, weather_of
from sim.drill.deeds import scenario_after
from sim.drill.orders import DEEDS, REFUSED, Order, check_order, listed, load_orders
from sim.drill.spool import Spool
from sim.drill.story import Chapter, DrillInfo, Injected, Note, Story
from sim.range.faults.kinds import KINDS
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.fleet.behaviour import Fleet
from sim.scenario.tables.fleet import Ais
from skywarden.errors import ConfigError, FlightError, UsageError


class OpenSea:
    """No shore."""

    def inland_at(self, x_m: float, y_m: float) -> float:
        return -1_000.0


def _fleet(scenario: Scenario) -> Fleet:
    return Fleet(scenario, OpenSea())


def _order(kind: str, vessel: str | None = None, **parameters: object) -> Order:
    return msgspec.convert({"kind": kind, "vessel": vessel, "parameters": parameters}, Order)


@pytest.fixture(scope="module")
def fleet_of_nine() -> Scenario:
    return load_scenario("fishing-fleet")


def test_every_fault_of_the_range_and_every_deed_is_listed_save_those_that_are_refused() -> None:
    kinds = {one["kind"] for one in listed()}
    assert kinds == (set(KINDS) - set(REFUSED)) | set(DEEDS)
    assert len(kinds) >= 32 + 6


@pytest.mark.parametrize("kind", sorted({*KINDS, *DEEDS} - set(REFUSED)))
def test_every_kind_can_be_ordered_with_what_it_has_by_itself(kind: str, fleet_of_nine: Scenario) -> None:
    vessel = "newcomer" if kind == "vessel_appears" else "fishing-1" if kind in DEEDS else None
    check_order(_order(kind, vessel), ["coast-1"], [one.id for one in fleet_of_nine.vessels])


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (_order("nonsense"), "no kind 'nonsense'; there are"),
        (_order("disk_full"), "would fill the disk"),
        (_order("vessel_stops"), "asks for --vessel"),
        (_order("vessel_stops", "nobody"), "no vessel 'nobody'; there are fishing-1"),
        (_order("vessel_appears", "fishing-1"), "already; name a new one"),
        (_order("vessel_turns", "fishing-1", speed_mps=900.0), "goes from 0 to 40, not 900"),
        (_order("vessel_turns", "fishing-1", colour="red"), "no parameter 'colour'"),
        (_order("vessel_appears", "x", hull="whale"), "one of go_fast, fishing"),
        (_order("vessel_appears", "x", mmsi="12"), "nine digits"),
        (msgspec.structs.replace(_order("gnss_loss"), platform="uav99"), "no platform 'uav99'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_there_is(order: Order, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_order(order, ["coast-1"], ["fishing-1"])


FLEET = load_scenario("fishing-fleet")


@given(
    at_s=st.floats(0.0, 3_600.0),
    heading=st.floats(0.0, 359.9),
    speed=st.floats(0.0, 40.0),
)
def test_a_vessel_that_turns_goes_on_from_where_it_is(at_s: float, heading: float, speed: float) -> None:
    scenario = FLEET
    before = _fleet(scenario).motion("fishing-1", at_s)
    order = _order("vessel_turns", "fishing-1", heading_deg=heading, speed_mps=speed)
    after = _fleet(scenario_after(scenario, order, _fleet(scenario), at_s))
    now, later = after.motion("fishing-1", at_s), after.motion("fishing-1", at_s + 10.0)
    assert (now.x_m, now.y_m) == pytest.approx((before.x_m, before.y_m), abs=1e-3)
    assert math.hypot(later.x_m - now.x_m, later.y_m - now.y_m) == pytest.approx(10.0 * speed, abs=1e-3)


def test_a_vessel_appears_where_and_as_it_was_told(fleet_of_nine: Scenario) -> None:
    order = _order(
        "vessel_appears", "runner", east_m=900.0, north_m=-700.0, heading_deg=300.0, mmsi="230108611"
    )
    after = scenario_after(fleet_of_nine, order, _fleet(fleet_of_nine), 60.0)
    motion = _fleet(after).motion("runner", 60.0)
    assert (motion.x_m, motion.y_m) == pytest.approx((900.0, -700.0))
    assert motion.heading_deg == pytest.approx(300.0)
    assert after.vessels[-1].ais is not None
    assert after.vessels[:-1] == fleet_of_nine.vessels


def test_ais_falls_silent_lies_and_comes_back(fleet_of_nine: Scenario) -> None:
    fleet = _fleet(fleet_of_nine)

    def ais(scenario: Scenario, vessel: str) -> Ais:
        found = next(one.ais for one in scenario.vessels if one.id == vessel)
        assert found is not None
        return found

    off = scenario_after(fleet_of_nine, _order("ais_off", "fishing-1"), fleet, 50.0)
    gaps = ais(off, "fishing-1").gaps_s
    assert gaps[-1][0] == 50.0
    on = scenario_after(off, _order("ais_on", "fishing-1"), fleet, 80.0)
    assert ais(on, "fishing-1").gaps_s[-1] == (50.0, 80.0)
    lies = scenario_after(fleet_of_nine, _order("ais_false_place", "fishing-1", east_m=3_000.0), fleet, 50.0)
    told = ais(lies, "fishing-1")
    assert (told.wrong_from_s, told.offset_m) == (50.0, (3_000.0, 0.0))
    with pytest.raises(UsageError, match="sends no AIS"):
        scenario_after(fleet_of_nine, _order("ais_off", "silent-1"), fleet, 50.0)
    begins = scenario_after(fleet_of_nine, _order("ais_on", "silent-1", mmsi="230108612"), fleet, 50.0)
    assert ais(begins, "silent-1").mmsi == "230108612"


def test_faults_of_the_link_make_the_weather_of_its_radio() -> None:
    assert weather_of([]) == GOOD
    spoiled = [
        Spoiled(kind="link_loss", numbers={"share": 1.0}, end_s=None),
        Spoiled(kind="link_delay", numbers={"delay_s": 3.0}, end_s=None),
        Spoiled(kind="link_rate", numbers={"bytes_per_s": 600.0}, end_s=None),
        Spoiled(kind="link_duplication", numbers={"share": 0.5}, end_s=None),
        Spoiled(kind="link_reordering", numbers={"spread_s": 2.0}, end_s=None),
    ]
    found = weather_of(spoiled)
    assert (found.loss, found.delay_s, found.rate, found.double, found.jitter_s) == (
        1.0,
        3.02,
        600.0,
        0.5,
        2.0,
    )


def test_a_script_is_read_by_time_and_each_order_in_it_has_one(tmp_path: Path) -> None:
    path = tmp_path / "orders.toml"
    path.write_text(
        '[[order]]\nkind = "ais_off"\nat_s = 9\nvessel = "a"\n[[order]]\nkind = "gnss_loss"\nat_s = 3\n'
    )
    assert [one.kind for one in load_orders(path)] == ["gnss_loss", "ais_off"]
    path.write_text('[[order]]\nkind = "ais_off"\n')
    with pytest.raises(UsageError, match="says no at_s"):
        load_orders(path)
    path.write_text('[[order]]\nkind = "ais_off"\nat_s = 1\nwhy = 3\n')
    with pytest.raises(ConfigError, match="why"):
        load_orders(path)


def test_orders_come_from_another_terminal_whole_once_or_with_what_is_wrong(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(UsageError, match="no drill runs"):
        spool.ask(_order("gnss_loss"))
    spool.open()
    folder = tmp_path / "orders"
    (folder / "1.json").write_bytes(msgspec.json.encode(_order("gnss_loss")))
    (folder / "2.json").write_bytes(b"{" * 10)
    (folder / "3.json").write_bytes(b" " * 70_000)
    (folder / "4.json").write_bytes(b'{"kind": "../../etc"}')
    found = dict(spool.take())
    assert found.pop("1") == _order("gnss_loss")
    assert all(isinstance(one, str) for one in found.values())
    assert len(found) == 3
    assert list(spool.take()) == []
    spool.close()
    assert not folder.exists()


@given(st.binary(max_size=400))
def test_no_bytes_in_the_spool_end_a_drill(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    spool.open()
    (spool._folder / "a.json").write_bytes(data)
    for _, order in spool.take():
        assert isinstance(order, Order | str)
    spool.close()


def test_the_story_of_a_drill_is_read_back_and_half_a_line_is_left_for_later(tmp_path: Path) -> None:
    story = Story(tmp_path)
    with pytest.raises(FlightError, match="is no drill"):
        story.info()
    scenario = load_scenario("fishing-fleet")
    info = DrillInfo(
        scenario="x", title="X", seed=1, start_ns=10**18, crew=("ana",), trainer="t", platforms=("a",)
    )
    story.write_info(info)
    story.add_chapter(Chapter(from_s=0.0, scenario=scenario))
    made = Injected(number=1, order=_order("gnss_loss"), at_s=1.0, end_s=None, time_ns=10**18, by="script")
    story.add_injected(made)
    story.add_note(Note(number=1, account="ana", time_ns=10**18 + 5, text="by voice"))
    with (tmp_path / "injected.jsonl").open("ab") as out:
        out.write(b'{"number":2')
    assert (story.info(), story.injected(), story.chapters()[0].scenario) == (info, [made], scenario)
    assert story.notes()[0].text == "by voice"
    assert list(story.truth("a")) == []
