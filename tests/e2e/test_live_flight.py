"""The real flight of 2018, live: replay, edge, link, ground, browser; vision killed in mid air."""

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import sync_playwright

from ground.accounts.roles import Role
from ground.serve import GroundHandle
from sim.analyze import analyze
from sim.importers import import_flight
from tests.e2e.browsing import FLAGS
from tests.e2e.live import PLATFORM, Chain, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("live"),
]

PANEL_A = (-35.363026, 149.164328)
FIRST_IMAGE_S = 49.0
BEFORE_S = 6.0
LENGTH_S = 24.0
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def flight(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flight") / "cuav"
    import_flight(real_data / "recordings" / "cuav-2018", out, platform_id=PLATFORM)
    return out


@pytest.fixture
def chain(flight: Path, tmp_path: Path) -> Iterator[Chain]:
    running = Chain(flight, tmp_path)
    try:
        wait_until(running.ready, 40, "the edge starts")
        yield running
    finally:
        running.stop()


def metres(place: tuple[float, float], other: tuple[float, float]) -> float:
    north = (place[0] - other[0]) * 110_940.0
    east = (place[1] - other[1]) * 111_320.0 * math.cos(math.radians(other[0]))
    return math.hypot(north, east)


def place(sighting: dict[str, object]) -> tuple[float, float]:
    position = sighting["position"]
    assert isinstance(position, dict)
    return position["latitude_deg"], position["longitude_deg"]


def test_the_flight_live_puts_what_analysis_finds_into_the_grounds_store_and_onto_the_page(
    chain: Chain, flight: Path, tmp_path: Path
) -> None:
    analyze(flight, tmp_path / "offline")
    features = msgspec.json.decode((tmp_path / "offline" / "sightings.geojson").read_bytes())["features"]
    offline = {
        (feature["properties"]["frame_number"], index): feature["geometry"]["coordinates"]
        for index, feature in enumerate(features)
        if feature["geometry"] is not None
    }
    chain.play(start_s=FIRST_IMAGE_S - BEFORE_S, seconds=LENGTH_S)
    wait_until(lambda: len(chain.get("contacts")["items"]) >= 3, 60, "three contacts on the ground")
    _read_the_contact_off_the_page(chain.ground)
    chain.wait_for_play(60)
    wait_until(lambda: len(chain.sightings()) >= len(offline) - 2, 20, "as many sightings as offline")

    live = [sighting for sighting in chain.sightings() if sighting["position"] is not None]
    unmatched = [
        sighting["sighting_id"]
        for sighting in live
        if min(metres(place(sighting), (lat, lon)) for lon, lat, _ in offline.values()) > 3.0
    ]
    assert len(live) >= len(offline) - 2
    assert len(unmatched) <= 1, unmatched
    near_a = [sighting for sighting in live if metres(place(sighting), PANEL_A) <= 5.0]
    assert len(near_a) >= 9
    assert len({sighting["track_id"] for sighting in near_a}) == 1


def _read_the_contact_off_the_page(ground: GroundHandle) -> None:
    url = ground.http_url
    foreign: list[str] = []
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("request", lambda request: foreign.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(ground.sign_in_page("operator", Role.OPERATOR))
        located = "[data-testid=contact-row]:has-text('CE90')"
        row = page.wait_for_selector(located, timeout=30_000)
        assert row is not None
        text = row.inner_text().lower()
        assert "anomaly" in text
        assert "unreviewed" in text
        assert PLATFORM in text
        row.click()
        page.wait_for_selector("[data-testid=contact-detail]", timeout=10_000)
        position = page.wait_for_selector("[data-testid=contact-position]", timeout=10_000)
        assert position is not None
        assert "-35.36" in position.inner_text()
        page.wait_for_selector("[data-testid=contact-detail] img", timeout=10_000)
        browser.close()
    assert problems == []
    assert all(address.startswith((url, "data:", "blob:")) for address in foreign), foreign


def test_killing_the_vision_process_in_mid_flight_loses_no_telemetry_and_no_sighting(chain: Chain) -> None:
    chain.play(start_s=FIRST_IMAGE_S - BEFORE_S, seconds=LENGTH_S)
    wait_until(lambda: len(chain.sightings()) >= 5, 60, "sightings on the ground")
    before = {sighting["sighting_id"] for sighting in chain.sightings()}
    killed = _vision_pid(chain)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: _vision_pid(chain) != killed, 15, "a new vision process")
    chain.wait_for_play(60)

    times_ns = [time_ns for time_ns, _ in chain.reader.telemetry()]
    start_ns = times_ns[0] + int((FIRST_IMAGE_S - BEFORE_S) * 1e9)
    sent = sum(start_ns <= time_ns <= start_ns + int(LENGTH_S * 1e9) for time_ns in times_ns)
    wait_until(
        lambda: chain.metric("skywarden_edge_telemetry_frames_total") >= sent,
        15,
        f"all {sent} MAVLink frames",
    )
    assert chain.metric("skywarden_edge_telemetry_overflow_total") == 0
    after = chain.sightings()
    assert before <= {sighting["sighting_id"] for sighting in after}
    assert any(".r1.t" in sighting["track_id"] for sighting in after), "it goes on seeing after the restart"
    assert len({sighting["sighting_id"] for sighting in after}) == len(after)
    conditions = [line for line in chain.log_lines() if line.get("component") == "vision.eo"]
    assert "SIGKILL" in conditions[0]["text"]


def test_the_edge_stops_cleanly_within_five_seconds_and_leaves_a_flight_that_verifies(
    chain: Chain, tmp_path: Path
) -> None:
    from skywarden.flight.verify import verify

    chain.play(start_s=FIRST_IMAGE_S, seconds=4.0)
    chain.wait_for_play(30)
    assert chain.stop() < 5.0
    assert chain.edge.returncode == 143, "as a service that was told to stop"
    (recorded,) = (chain.state / "flights").iterdir()
    report = verify(recorded)
    assert report.is_good, report
    assert report.telemetry_count > 300
    assert report.frame_counts["eo"] >= 1


def _vision_pid(chain: Chain) -> int:
    children = Path(f"/proc/{chain.edge.pid}/task/{chain.edge.pid}/children").read_text().split()
    for pid in children:
        if b"edge.vision.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise StopIteration
