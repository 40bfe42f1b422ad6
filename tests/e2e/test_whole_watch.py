"""A whole watch in a real browser: two aircraft see a boat that sends no AIS, and an operator deals with it.

The pictures are drawn, small; everything after the camera is the real thing: detector, tracker and location
over the recorded flights, outbox and encrypted link of each aircraft, the station with a file of AIS, the
console, a listener for TAK on a socket of its own, and the files that leave.
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import cv2
import msgspec
import numpy as np
import pytest
import takproto
from playwright.sync_api import Browser, Locator, Page, expect

from edge.triage.frame_keeper import FrameKeeper
from edge.triage.frame_ring import FrameRing
from edge.vision.pipeline import Frame
from ground.accounts.roles import Role
from ground.ais.config import AisConfig, AisSourceConfig, VerdictConfig
from ground.config import GroundConfig
from ground.serve import GroundHandle, start_ground
from ground.store.reading import Filter
from ground.tak.config import TakFeedConfig
from sim.analyze import AnalyzeOptions
from sim.range.chain import Step, steps_of
from sim.range.watch import receiver_of
from sim.scenario.description import Scenario, load_scenario
from sim.scenario.fleet.transmit import heard_sentences
from sim.scenario.flown.runs import RunOptions, fly
from sim.scenario.world import World
from skywarden.flight.reader import FlightReader
from skywarden.messages import Chip, Sighting
from tests.e2e.browsing import LIMIT_MS
from tests.ground.aircraft import Aircraft, flying
from tests.ground.scenes import authorization, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

LIMIT_S = 60.0
SEA = """
name = "watch"
title = "Eight boats that talk and one that does not"
seed = 5
start_unix_s = 1768498200

[place]
latitude_deg = -20.0
longitude_deg = -25.0
west_m = -800.0
east_m = 800.0
south_m = -800.0
north_m = 800.0

[light]
sun_azimuth_deg = 258.0
sun_elevation_deg = 50.0

[land]
coast_north_m = 40000.0

[ais]
at = [0.0, -700.0]
height_m = 40.0

[[vessels]]
id = "silent"
kind = "fishing"
at = [0.0, 0.0]
heading_deg = 70.0
speed_mps = 2.0
"""
BOAT = """
[[vessels]]
id = "boat-{number}"
kind = "fishing"
at = [{east_m}.0, {north_m}.0]
heading_deg = {heading_deg}.0
speed_mps = 2.0
turn_dps = {turn_dps}
ais = {{ mmsi = "71000110{number}", name = "BOAT {number}", station = "{station}" }}
"""
BOATS = (
    (50, -40),
    (-500, 150),
    (-300, 300),
    (-120, 250),
    (120, 300),
    (300, 150),
    (500, 300),
    (-250, -250),
)
"""East and north, metres; the first goes beside the silent one and is seen with it, the rest circle."""
HOUR_S = 3_600.0
AIRCRAFT = """
[[platforms]]
id = "{name}"
sysid = {sysid}
plan = {plan}
turn_radius_m = 80.0
alt_msl_m = 130.0
speed_mps = 18.0
home = [0.0, -600.0]
look_area = [-500.0, -700.0, 500.0, 500.0]
texel_m = 1.0

[platforms.camera]
width_px = 640
height_px = 360
hfov_deg = 34.0
sweep = {{ reference = "vessel", follow = "silent", pitch_deg = -23.0 }}
"""
FROM_SOUTH = [[-150.0, -300.0], [150.0, -300.0], [150.0, -500.0], [-150.0, -500.0]]
FROM_EAST = [[300.0, -150.0], [300.0, 150.0], [500.0, 150.0], [500.0, -150.0]]


class Recorded:
    """What two aircraft recorded a moment ago, and what their edges make of it."""

    def __init__(self, folder: Path) -> None:
        self.scenario = _scenario(folder / "watch.toml")
        run = folder / "run"
        flown = fly(self.scenario, run, RunOptions(seconds=4.0, fps=2.0, jobs=1))
        self.ais, self.flights = folder / "heard.nmea", flown.flights
        heard = heard_sentences(World(self.scenario), 4.0, lead_s=HOUR_S)
        self.ais.write_bytes(b"".join(line + b"\r\n" for _, line in heard))
        options = AnalyzeOptions(model="vessel-nadir")
        self.steps = {name: list(steps_of(path, options)) for name, path in self.flights.items()}

    def frame(self, name: str, number: int) -> Frame:
        """A frame as aircraft `name` took it."""
        reader = FlightReader(self.flights[name])
        (found,) = (
            Frame(frame_number=number, time_ns=ref.time_ns, received_ns=ref.time_ns, image=image)
            for ref, image in reader.images("eo")
            if ref.frame_number == number
        )
        return found


def _scenario(path: Path) -> Scenario:
    """The sea as it was half a minute ago, so that the station hears news and not history."""
    boats = [
        BOAT.format(
            number=number,
            east_m=east,
            north_m=north,
            heading_deg=70 + 40 * number,
            turn_dps=4.5 if number else 0.0,
            station="AB"[number % 2],
        )
        for number, (east, north) in enumerate(BOATS)
    ]
    aircraft = [
        AIRCRAFT.format(name=name, sysid=sysid, plan=plan)
        for name, sysid, plan in (("uav07", 7, FROM_SOUTH), ("uav08", 8, FROM_EAST))
    ]
    path.write_text("".join((SEA, *boats, *aircraft)), encoding="utf-8")
    return msgspec.structs.replace(load_scenario(path), start_unix_s=int(time.time()) - 5)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("watch"))


@pytest.fixture
def tak() -> Iterator[socket.socket]:
    """Somebody with a TAK device on the net."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(LIMIT_S)
        yield heard


@pytest.fixture
def station(recorded: Recorded, tak: socket.socket, tmp_path: Path) -> Iterator[GroundHandle]:
    """A real station with a file of AIS and a feed to TAK."""
    latitude_deg, longitude_deg, height_m = receiver_of(recorded.scenario)
    source = AisSourceConfig(
        name="coast",
        connection=f"file:{recorded.ais}",
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        height_m=height_m,
    )
    feed = TakFeedConfig(url=f"udp://127.0.0.1:{tak.getsockname()[1]}", interval_s=0.5)
    config = GroundConfig(
        state=str(tmp_path / "ground"),
        http="127.0.0.1:0",
        link="127.0.0.1:0",
        ais=AisConfig(source=(source,), verdict=VerdictConfig(silent_probability=0.8)),
        tak=(feed,),
    )
    handle = start_ground(config)
    try:
        yield handle
    finally:
        handle.stop()


def test_two_aircraft_see_a_silent_boat_and_it_is_heard_read_looked_at_confirmed_and_handed_on(
    browser: Browser, recorded: Recorded, station: GroundHandle, tak: socket.socket, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        aircraft = {
            name: stack.enter_context(flying(tmp_path / name, station, name)) for name in recorded.flights
        }
        until(lambda: len(station.ais.vessels(None, None, 50)[0]) == len(BOATS), LIMIT_S)
        context = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light")
        stack.callback(context.close)
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.goto(station.sign_in_page("ana", Role.OPERATOR))
        page.wait_for_selector('[data-testid="map"][data-ready="true"]')
        _ask_to_be_told_of_silent_vessels(page)
        for name, one in aircraft.items():
            _see(one, tmp_path / name, recorded, name)
        contact_id = _hear_the_alert_and_go_there(page)
        _read_why(page)
        picture_id = _ask_for_full_resolution(page)
        _is_cut_from_the_recording(station, recorded, picture_id)
        page.keyboard.press("c")
        expect(page.get_by_test_id("review")).not_to_have_attribute("data-case", contact_id)
        _tak_hears_of_it_alone(tak, contact_id)
        _files_hold_it_alone(station, contact_id)


def _ask_to_be_told_of_silent_vessels(page: Page) -> None:
    """A rule, made on the page; the click lets the page sound too."""
    page.get_by_test_id("tab-alerts").click()
    page.get_by_test_id("shelf-rules").click()
    page.get_by_test_id("rule-new").click()
    page.get_by_test_id("rule-name").fill("Silent")
    page.get_by_test_id("rule-severity").select_option("urgent")
    page.get_by_test_id("rule-trigger").select_option("anywhere")
    page.get_by_test_id("rule-form").get_by_label("no AIS heard").check()
    page.get_by_test_id("rule-save").click()
    expect(page.locator('[data-testid="rule-row"]', has_text="Silent")).to_be_visible()
    expect(page.get_by_test_id("alert-bell")).to_have_attribute("data-horn", "ready")


def _see(aircraft: Aircraft, folder: Path, recorded: Recorded, name: str) -> None:
    """What the edge found, into its outbox; its frames are kept as the vision process keeps them."""
    ring = FrameRing(folder / "frames" / "eo", max_bytes=50_000_000, min_free_bytes=0)
    keeper = FrameKeeper(ring, name)
    for step in recorded.steps[name]:
        told = _durable(step)
        keeper.consider(recorded.frame(name, step.frame_number), told)
        aircraft.see(*told)


def _durable(step: Step) -> list[Sighting | Chip]:
    return [one for one in step.outcome.messages if isinstance(one, Sighting | Chip)]


def _hear_the_alert_and_go_there(page: Page) -> str:
    """The contact that the alert is about, opened from it."""
    bell = page.get_by_test_id("alert-bell")
    expect(bell).to_have_attribute("data-open", "1")
    expect(bell).to_have_attribute("data-sounded", re.compile("[1-9]"))
    bell.click()
    alert = page.get_by_test_id("alert")
    expect(alert).to_have_count(1)
    expect(alert).to_have_attribute("data-severity", "urgent")
    alert.get_by_test_id("alert-show").click()
    detail = page.get_by_test_id("contact-detail")
    expect(detail).to_be_visible()
    alert.get_by_test_id("alert-acknowledge").click()
    expect(alert.get_by_test_id("alert-taken")).to_contain_text("ana")
    contact_id = detail.get_attribute("data-contact-id")
    assert contact_id is not None
    return contact_id


def _read_why(page: Page) -> None:
    """The case with its reasons; both aircraft saw it."""
    page.get_by_test_id("open-review").click()
    page.wait_for_selector('[data-testid="review-confirm"]:enabled')
    why: Locator = page.get_by_test_id("why-card")
    expect(why).to_contain_text("uav07, uav08")
    expect(why).to_contain_text("vessel-nadir")
    said = why.get_by_test_id("review-ais")
    expect(said).to_have_attribute("data-verdict", "silent")
    expect(said.get_by_test_id("ais-reasons")).to_contain_text("would have been heard with")


def _ask_for_full_resolution(page: Page) -> str:
    """The name of the picture that came down for the case."""
    page.keyboard.press("m")
    opened = page.get_by_test_id("full-picture")
    expect(opened).to_be_visible()
    expect(page.get_by_test_id("review-state")).to_have_text("More asked")
    page.wait_for_selector('[data-testid="review-confirm"]:enabled')
    address = opened.get_attribute("href") or ""
    answer = page.request.get(address if address.startswith("http") else _origin(page) + address)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    return address.rpartition("/")[2]


def _origin(page: Page) -> str:
    return str(page.evaluate("location.origin"))


def _is_cut_from_the_recording(station: GroundHandle, recorded: Recorded, picture_id: str) -> None:
    """The picture is a piece of the very frame that the sighting was made of, not of a smaller copy."""
    picture = station.store.chip(picture_id)
    assert picture is not None
    piece = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert piece is not None
    frames = [
        recorded.frame(name, step.frame_number).image
        for name, steps in recorded.steps.items()
        if picture_id.startswith(f"watch-5-{name}.")
        for step in steps
    ]
    likeness = [float(cv2.matchTemplate(one, piece, cv2.TM_CCOEFF_NORMED).max()) for one in frames]
    assert max(likeness) > 0.97


def _tak_hears_of_it_alone(tak: socket.socket, contact_id: str) -> None:
    """The first thing said of any contact, read by other people's reader."""
    event = takproto.parse_proto(bytearray(tak.recv(65_536))).cotEvent
    assert event.uid == f"skywarden.{contact_id}"
    assert event.type.startswith("a-u-S")
    assert 0.0 < event.ce < 50.0
    assert "UNREVIEWED" not in event.detail.contact.callsign


def _files_hold_it_alone(station: GroundHandle, contact_id: str) -> None:
    """What was confirmed leaves, and the boat beside it, which nobody looked at, does not."""
    name, value = authorization(station)
    made = {}
    for form in ("geojson", "kml"):
        request = Request(f"{station.http_url}/api/v1/exports/{form}?layer=contacts", headers={name: value})
        with urlopen(request, timeout=LIMIT_S) as answer:
            made[form] = answer.read()
    features = json.loads(made["geojson"])["features"]
    assert [one["properties"]["contact_id"] for one in features] == [contact_id]
    text = made["kml"].decode()
    known = {one.contact.contact_id for one in station.store.contacts(Filter())[0]}
    assert len(known) >= 2
    assert [one for one in sorted(known) if one in text] == [contact_id]
