"""The watch in a real browser: zones drawn, alerts heard and seen to, vessels on AIS, names that are gone."""

import functools
import operator
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ground.accounts.roles import Role
from ground.ais.config import AisConfig, AisSourceConfig, VerdictConfig
from ground.alerts.log import AlertLog
from ground.alerts.start import alerts_path
from ground.config import GroundConfig
from ground.console.dev.fake_ground import FakeGround, Server
from ground.serve import GroundHandle, start_ground
from skywarden.ais.compose import compose_sentences
from tests.e2e.browsing import AXE, LIMIT_MS, violations
from tests.ground.scenes import METRE_DEG, START_NS, chip, position, put, running_edge, sighting, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server(FakeGround(contacts=8))
    serving.start()
    try:
        yield serving
    finally:
        serving.close()


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light")
    page = context.new_page()
    _at_the_map(page, server.address)
    yield page
    context.close()


def _at_the_map(page: Page, address: str) -> None:
    page.set_default_timeout(LIMIT_MS)
    page.goto(address)
    page.wait_for_selector('[data-testid="map"][data-ready="true"]')
    page.wait_for_selector('[data-testid="contact-row"]')


def _zones(page: Page) -> None:
    page.get_by_test_id("tab-alerts").click()
    page.get_by_test_id("shelf-zones").click()


def test_alerts_are_counted_shown_and_acknowledged(opened: Page, server: Server) -> None:
    bell = opened.get_by_test_id("alert-bell")
    expect(bell).to_have_attribute("data-unseen", "2")
    opened.keyboard.press("a")
    expect(opened.get_by_test_id("alert")).to_have_count(2)
    expect(bell).to_have_attribute("data-unseen", "0")
    urgent = opened.locator('[data-testid="alert"][data-severity="urgent"]')
    expect(urgent.get_by_test_id("alert-why")).to_contain_text("inside Keep out with 97% (90% asked)")
    urgent.get_by_test_id("alert-show").click()
    contact_id = server.ground.watch.alerts["a-0001"]["contact_id"]
    expect(opened.get_by_test_id("contact-detail")).to_have_attribute("data-contact-id", contact_id)
    urgent.get_by_test_id("alert-acknowledge").click()
    expect(urgent.get_by_test_id("alert-taken")).to_contain_text("maria")
    expect(bell).to_have_attribute("data-open", "1")
    warning = opened.locator('[data-testid="alert"][data-severity="warning"]')
    warning.get_by_test_id("alert-comment").click()
    warning.get_by_test_id("alert-comment-text").fill("amq the pilot knows")
    opened.keyboard.press("Enter")
    expect(warning).to_contain_text("the pilot knows")
    server.ground.acknowledge_as("ben", "a-0002")
    warning.get_by_test_id("alert-acknowledge").click()
    expect(opened.locator('[data-alert-id="a-0002"]')).to_contain_text("ben acknowledged this alert before")
    expect(opened.locator('[data-alert-id="a-0002"] [data-testid="alert-taken"]')).to_contain_text("ben")
    opened.get_by_test_id("alerts-all").click()
    expect(opened.get_by_test_id("alert")).to_have_count(3)
    expect(opened.locator('[data-alert-id="a-0003"]')).to_contain_text("Quiet hours")
    expect(opened.get_by_test_id("quiet-now")).to_contain_text("Over the line")


def test_a_new_alert_is_heard_once_the_page_was_touched_and_not_when_muted(
    opened: Page, server: Server
) -> None:
    bell = opened.get_by_test_id("alert-bell")
    expect(bell).to_have_attribute("data-horn", "waiting")
    opened.get_by_test_id("tab-alerts").click()
    expect(bell).to_have_attribute("data-horn", "ready")
    expect(opened.get_by_test_id("sound-hint")).to_have_count(0)
    server.ground.fire("c-0004", "r-bay", "z-bay")
    expect(opened.get_by_test_id("alert")).to_have_count(3)
    expect(bell).to_have_attribute("data-sounded", re.compile("[1-9]"))
    opened.get_by_test_id("alert-sound").click()
    expect(bell).to_have_attribute("data-horn", "muted")
    sounded = bell.get_attribute("data-sounded") or ""
    server.ground.fire("c-0003", "exclusion", "z-keep")
    expect(opened.get_by_test_id("alert")).to_have_count(4)
    expect(bell).to_have_attribute("data-sounded", sounded)
    opened.reload()
    expect(bell).to_have_attribute("data-horn", "muted")


_NOTED = """
window.__noted = [];
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    window.__noted.push({title, body: options.body, tag: options.tag, needsHand: options.requireInteraction});
    window.__last = this;
  }
};
"""
"""Writes down what the browser's own notifications are made with, and makes them."""


def test_the_desktop_is_told_once_where_somebody_allowed_it_and_a_click_leads_to_the_alert(
    browser: Browser, server: Server
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 844}, permissions=["notifications"])
    try:
        context.add_init_script(_NOTED)
        page = context.new_page()
        _at_the_map(page, server.address)
        page.keyboard.press("a")
        switch = page.get_by_test_id("alert-desktop")
        expect(switch).to_have_attribute("aria-pressed", "false")
        server.ground.fire("c-0002", "r-bay", "z-bay")
        expect(page.get_by_test_id("alert")).to_have_count(3)
        assert page.evaluate("window.__noted") == []  # allowed by the browser, not asked for by anybody
        switch.click()
        expect(switch).to_have_attribute("aria-pressed", "true")
        server.ground.fire("c-0004", "exclusion", "z-keep")
        page.wait_for_function("() => window.__noted.length > 0")
        server.ground.demand_resync()
        server.ground.fire("c-0003", "r-bay", "z-bay")
        page.wait_for_function("() => new Set(window.__noted.map(one => one.tag)).size === 2")
        noted = page.evaluate("window.__noted")
        assert len(noted) == 2  # loading the whole picture again told nothing twice
        assert "Keep out" in noted[0]["title"]
        assert noted[0]["needsHand"] is True
        assert noted[1]["needsHand"] is False
        assert noted[0]["body"]
        page.get_by_test_id("tab-contacts").click()
        page.evaluate("window.__last.onclick()")
        expect(page.get_by_test_id("tab-alerts")).to_have_attribute("aria-selected", "true")
        switch.click()
        server.ground.fire("c-0005", "exclusion", "z-keep")
        expect(page.get_by_test_id("alert")).to_have_count(6)
        assert len(page.evaluate("window.__noted")) == 2
    finally:
        context.close()


def test_a_zone_is_drawn_changed_bound_removed_and_brought_back(opened: Page, server: Server) -> None:
    zones = server.ground.watch.zones
    before = set(zones)
    _zones(opened)
    opened.get_by_test_id("draw-exclusion").click()
    plane = opened.get_by_test_id("map")
    for count, (x, y) in enumerate(((200, 300), (420, 310), (400, 520)), start=1):
        plane.click(position={"x": x, "y": y})
        expect(opened.get_by_test_id("draw-bar")).to_have_attribute("data-corners", str(count))
    opened.keyboard.press("Enter")
    opened.get_by_test_id("zone-name").fill("Reef")
    opened.get_by_test_id("zone-save").click()
    row = opened.locator('[data-testid="zone-row"]', has_text="Reef")
    expect(row).to_be_visible()
    (made,) = [zones[one] for one in set(zones) - before]
    assert (made["kind"], len(made["polygons"][0][0])) == ("exclusion", 3)
    row.get_by_test_id("zone-edit").click()
    opened.get_by_test_id("zone-points").fill("36.70, -3.42\n36.71, -3.42\n36.71, -3.40\n36.70, -3.40")
    opened.get_by_test_id("zone-save").click()
    expect(opened.get_by_test_id("zone-form")).to_have_count(0)
    assert len(zones[made["zone_id"]]["polygons"][0][0]) == 4
    row.get_by_test_id("zone-remove").click()
    expect(row).to_have_count(0)
    opened.get_by_test_id("undo-remove").click()
    expect(row).to_have_count(1)
    bay = opened.locator('[data-zone-id="z-bay"]')
    bay.get_by_role("button").first.click()
    bay.get_by_test_id("zone-remove").click()
    expect(opened.get_by_test_id("zone-note")).to_contain_text("is named by 1 rules")


def test_a_zone_is_drawn_by_keyboard_alone(opened: Page, server: Server) -> None:
    before = set(server.ground.watch.zones)
    _zones(opened)
    opened.get_by_test_id("draw-line").focus()
    opened.keyboard.press("Enter")
    opened.locator('[data-testid="map"] canvas').focus()
    opened.keyboard.press("Space")
    expect(opened.get_by_test_id("draw-bar")).to_have_attribute("data-corners", "1")
    centre = opened.locator(".place").inner_text()
    opened.keyboard.press("ArrowRight")
    expect(opened.locator(".place")).not_to_have_text(centre)
    opened.keyboard.press("Space")
    expect(opened.get_by_test_id("draw-bar")).to_have_attribute("data-corners", "2")
    opened.keyboard.press("Backspace")
    expect(opened.get_by_test_id("draw-bar")).to_have_attribute("data-corners", "1")
    opened.keyboard.press("Space")
    opened.keyboard.press("Enter")
    opened.keyboard.type("Border")
    opened.keyboard.press("Enter")
    expect(opened.locator('[data-testid="zone-row"]', has_text="Border")).to_be_visible()
    (made,) = set(server.ground.watch.zones) - before
    assert server.ground.watch.zones[made]["kind"] == "line"
    opened.get_by_test_id("draw-area").click()
    opened.locator('[data-testid="map"] canvas').focus()
    opened.keyboard.press("Escape")
    expect(opened.get_by_test_id("draw-bar")).to_have_count(0)


def test_a_rule_says_in_words_what_it_will_do(opened: Page, server: Server) -> None:
    opened.get_by_test_id("tab-alerts").click()
    opened.get_by_test_id("shelf-rules").click()
    opened.get_by_test_id("rule-new").click()
    expect(opened.get_by_test_id("rule-flaw")).to_contain_text("A name is needed")
    opened.get_by_test_id("rule-name").fill("Fast and dark")
    opened.get_by_test_id("rule-severity").select_option("urgent")
    opened.get_by_test_id("rule-form").get_by_label("Bay").check()
    opened.get_by_test_id("rule-form").get_by_label("no AIS heard").check()
    opened.get_by_test_id("rule-light-dark").check()
    opened.get_by_test_id("rule-speed").fill("8")
    opened.get_by_test_id("rule-dwell").fill("5")
    opened.get_by_test_id("rule-add-quiet").click()
    expect(opened.get_by_test_id("rule-preview")).to_contain_text(
        "Urgent alert when a contact is inside “Bay”, for 5 min, sure to 90 %, seen 2 times or more, "
        "at 8 m/s (16 kn) or faster, in the dark there, while AIS says: no AIS heard."
    )
    expect(opened.get_by_test_id("rule-preview")).to_contain_text("Silent between 22:00–05:30")
    opened.get_by_test_id("tab-contacts").click()  # whoever looks something up finds it as it was left
    opened.get_by_test_id("tab-alerts").click()
    expect(opened.get_by_test_id("rule-name")).to_have_value("Fast and dark")
    expect(opened.get_by_test_id("rule-preview")).to_contain_text("Silent between 22:00–05:30")
    opened.get_by_test_id("rule-save").click()
    row = opened.locator('[data-testid="rule-row"]', has_text="Fast and dark")
    expect(row).to_contain_text("in the dark there")
    (made,) = [one for one in server.ground.watch.rules.values() if one["name"] == "Fast and dark"]
    assert (made["zone_ids"], made["ais"], made["light"], made["dwell_s"]) == (
        ["z-bay"],
        ["silent"],
        "dark",
        300,
    )
    assert made["quiet"] == [{"from": 1320, "until": 330}]
    row.get_by_role("checkbox").uncheck()
    expect(row).to_contain_text("It is switched off")


def test_silent_vessels_are_found_and_the_card_says_why(opened: Page, server: Server) -> None:
    silent = [one["contact_id"] for one in server.ground.watch.standings() if one["verdict"] == "silent"]
    opened.get_by_test_id("verdict-filter").select_option("silent")
    expect(opened.get_by_test_id("contact-row")).to_have_count(len(silent))
    row = opened.get_by_test_id("contact-row").first
    expect(row.get_by_test_id("row-verdict")).to_have_text("no AIS")
    row.click()
    card = opened.get_by_test_id("contact-detail").get_by_test_id("review-ais")
    expect(card.get_by_test_id("ais-verdict")).to_have_text("No AIS heard for this vessel")
    expect(card.get_by_test_id("ais-share-silent")).to_contain_text("88 %")
    expect(card.get_by_test_id("ais-reasons")).to_contain_text("would have been heard with 97%")
    expect(opened.get_by_test_id("chip-box")).to_be_visible()
    card.get_by_role("button", name="MARIA DEL MAR").click()
    expect(opened.get_by_test_id("ais-detail")).to_contain_text("224000001")


def test_vessels_on_ais_show_what_stands_out_with_its_numbers(opened: Page) -> None:
    opened.get_by_test_id("tab-ais").click()
    row = opened.locator('[data-testid="ais-row"][data-mmsi="224000002"]')
    expect(row).to_contain_text("Loiters")
    row.click()
    expect(opened.get_by_test_id("ais-flags")).to_contain_text("82 minutes within 1.1 km")
    expect(opened.get_by_test_id("ais-detail")).to_contain_text("21 places")
    opened.get_by_test_id("ais-search").fill("gaviota")
    expect(opened.get_by_test_id("ais-row")).to_have_count(1)


def test_a_name_that_is_gone_leads_to_the_contact_that_it_became(opened: Page, server: Server) -> None:
    opened.locator('[data-testid="contact-row"][data-contact-id="c-0003"]').click()
    expect(opened.get_by_test_id("contact-detail")).to_have_attribute("data-contact-id", "c-0003")
    server.ground.merge("c-0003", "c-0001")
    expect(opened.get_by_test_id("gone-contact")).to_contain_text("joined with another contact")
    opened.get_by_test_id("gone-heir").click()
    expect(opened.get_by_test_id("contact-detail")).to_have_attribute("data-contact-id", "c-0001")


def test_the_watch_meets_wcag_2_2_aa_in_every_theme_and_on_a_phone(opened: Page) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in ground/console")
    found = {}
    opened.keyboard.press("a")
    expect(opened.get_by_test_id("alert")).to_have_count(2)
    for theme in ("light", "dark", "night"):
        found[f"alerts, {theme}"] = violations(opened, theme)
    opened.get_by_test_id("shelf-zones").click()
    opened.locator('[data-zone-id="z-bay"]').get_by_role("button").first.click()
    opened.get_by_test_id("zone-import").click()
    found["zones, night"] = violations(opened, "night")
    found["zones"] = violations(opened)
    opened.get_by_test_id("draw-area").click()
    found["drawing"] = violations(opened, "dark")
    opened.get_by_test_id("draw-cancel").click()
    opened.locator('[data-zone-id="z-bay"]').get_by_test_id("zone-edit").click()
    found["zone form"] = violations(opened)
    opened.get_by_test_id("zone-cancel").click()
    opened.get_by_test_id("shelf-rules").click()
    found["rules, dark"] = violations(opened, "dark")
    opened.get_by_test_id("rule-new").click()
    found["rule form"] = violations(opened)
    found["rule form, night"] = violations(opened, "night")
    opened.get_by_test_id("tab-ais").click()
    opened.locator('[data-testid="ais-row"][data-mmsi="224000003"]').click()
    expect(opened.get_by_test_id("ais-flags")).to_be_visible()
    for theme in ("dark", "night", "light"):
        found[f"vessel, {theme}"] = violations(opened, theme)
    opened.get_by_test_id("tab-contacts").click()
    opened.locator('[data-testid="contact-row"][data-contact-id="c-0000"]').click()
    expect(opened.get_by_test_id("ais-verdict")).to_be_visible()
    found["verdict"] = violations(opened)
    found["verdict, night"] = violations(opened, "night")
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.get_by_test_id("alert-bell").click()
    expect(opened.get_by_test_id("shelf-alerts")).to_be_visible()
    found["alerts, phone"] = violations(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert {name: what for name, what in found.items() if what} == {}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[GroundHandle]:
    """A real station with a receiver of AIS; an hour of seven vessels is enough for it to call one silent."""
    source = AisSourceConfig(
        name="mast", connection="tcpin:127.0.0.1:0", latitude_deg=0.0, longitude_deg=20.0
    )
    handle = start_ground(
        GroundConfig(
            state=str(tmp_path / "ground"),
            http="127.0.0.1:0",
            link="127.0.0.1:0",
            ais=AisConfig(source=(source,), verdict=VerdictConfig(silent_probability=0.7)),
        )
    )
    try:
        yield handle
    finally:
        handle.stop()


def test_at_a_real_station_a_vessel_enters_a_drawn_zone_is_heard_read_and_seen_to(
    browser: Browser, station: GroundHandle, tmp_path: Path
) -> None:
    now_s = time.time() - START_NS / 1e9
    _hear_an_hour_of_ais(station)
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    try:
        with running_edge(tmp_path, station) as (outbox, downlink):
            far = [sighting("t1", n, at_s=now_s + n, place=position(2_000.0)) for n in range(3)]
            put(outbox, *far, chip(far[0]))
            assert downlink.wait_until_delivered(30)
            page = context.new_page()
            _at_the_map(page, station.sign_in_page("ana", Role.OPERATOR))
            _draw_round_zero(page)
            put(outbox, *(sighting("t2", n, at_s=now_s + n, place=position()) for n in range(4)))
            bell = page.get_by_test_id("alert-bell")
            expect(bell).to_have_attribute("data-open", "1")
            expect(bell).to_have_attribute("data-horn", "ready")
            expect(bell).to_have_attribute("data-sounded", re.compile("[1-9]"))
            bell.click()
            alert = page.get_by_test_id("alert")
            expect(alert.get_by_test_id("alert-why")).to_contain_text("inside Keep out with 100%")
            alert.get_by_test_id("alert-show").click()
            expect(page.get_by_test_id("contact-detail")).to_have_attribute("data-contact-id", "c-t2")
            card = page.get_by_test_id("contact-detail").get_by_test_id("review-ais")
            expect(card).to_have_attribute("data-verdict", "silent")
            expect(card.get_by_test_id("ais-reasons")).to_contain_text("no vessel on AIS fits")
            expect(card.get_by_test_id("ais-reasons")).to_contain_text("would have been heard with")
            alert.get_by_test_id("alert-acknowledge").click()
            expect(alert.get_by_test_id("alert-taken")).to_contain_text("ana")
            expect(bell).to_have_attribute("data-open", "0")
            assert _acknowledgers(station) == ["ana"]
            page.keyboard.press("f")
            page.get_by_test_id("tab-ais").click()
            row = page.locator('[data-testid="ais-row"][data-mmsi="230108617"]')
            expect(row).to_contain_text("MARIA")
            row.click()
            expect(page.get_by_test_id("ais-detail")).to_contain_text("fishing")
            page.get_by_test_id("tab-contacts").click()
            page.get_by_test_id("verdict-filter").select_option("silent")
            expect(page.locator('[data-testid="contact-row"][data-contact-id="c-t2"]')).to_be_visible()
    finally:
        context.close()


def _acknowledgers(station: GroundHandle) -> list[str]:
    """Who has taken note of each alert, by the station's own file."""
    log = AlertLog(alerts_path(Path(station.state_dir)))
    try:
        return [one.acknowledged.account if one.acknowledged else "" for one in log.newest()]
    finally:
        log.close()


def _draw_round_zero(page: Page) -> None:
    """An exclusion zone about 0 N 20 E, by clicks, then set exactly by its corners in numbers."""
    _zones(page)
    page.get_by_test_id("draw-exclusion").click()
    plane = page.get_by_test_id("map")
    for x, y in ((250, 250), (500, 260), (480, 500)):
        plane.click(position={"x": x, "y": y})
    page.get_by_test_id("draw-finish").click()
    page.get_by_test_id("zone-name").fill("Keep out")
    half = 500 * METRE_DEG
    corners = [(-half, -half), (-half, half), (half, half), (half, -half)]
    page.get_by_test_id("zone-points").fill(
        "\n".join(f"{north:.6f}, {20 + east:.6f}" for north, east in corners)
    )
    page.get_by_test_id("zone-save").click()
    expect(page.locator('[data-testid="zone-row"]', has_text="Keep out")).to_be_visible()


def _hear_an_hour_of_ais(station: GroundHandle) -> None:
    """Six vessels four kilometres north that send by the rules, and one with a name; the times in tag blocks.

    Without having heard class A and class B from thereabouts, no silence says anything.
    """
    until(lambda: station.ais.sources[0].address is not None, 30.0)
    address = station.ais.sources[0].address
    assert address is not None
    end_s = int(time.time())
    lines = []
    for second in range(end_s - 3_600, end_s, 10):
        for number in range(6):
            lines += _said(
                second,
                type=18 if number % 2 else 1,
                mmsi=f"23010861{number}",
                lat=4_000 * METRE_DEG,
                lon=20.0 + (3_000.0 * number - 9_000.0 + 2.0 * (second - end_s)) * METRE_DEG,
                speed=3.9,
                course=90.0,
            )
        lines += _said(second, type=1, mmsi="230108617", lat=1_000 * METRE_DEG, lon=20.0, speed=0.0)
    lines += _said(end_s, type=5, mmsi="230108617", shipname="MARIA", shiptype=30)
    with closing(socket.create_connection(address, 30.0)) as feed:
        feed.sendall(b"\r\n".join([*lines, b""]))
        until(lambda: (station.ais.vessel("230108617") or [None])[0] is not None, 30.0)
        until(lambda: station.ais.status()[1]["reports"] >= 360 * 7, 60.0)


def _said(second: int, **values: int | float | str | bool | None) -> list[bytes]:
    """A message with the time at which it was heard."""
    block = f"c:{second}".encode()
    tag = b"\\" + block + f"*{functools.reduce(operator.xor, block):02X}".encode() + b"\\"
    return [tag + line for line in compose_sentences(values)]
