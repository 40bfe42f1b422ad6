"""The past, coverage, measuring and positions in a real browser, at a real station."""

import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ground.accounts.roles import Role
from ground.past.notes import NotedFootprint, NotedPose
from ground.past.store import PastStore, past_path
from ground.serve import GroundHandle
from tests.e2e.browsing import AXE, LIMIT_MS, violations
from tests.ground.scenes import METRE_DEG, START_NS, position, put, running_edge, running_ground, sighting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

_SHOTS = os.environ.get("SKYWARDEN_SHOTS")
"""A folder for pictures of what was tested, to be looked at; nothing is written without it."""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[GroundHandle]:
    """A station that watched one platform circle for half an hour until two minutes ago."""
    folder = tmp_path / "ground"
    folder.mkdir(mode=0o700)
    _remember(folder)
    with running_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def opened(browser: Browser, station: GroundHandle, tmp_path: Path) -> Iterator[Page]:
    now_s = time.time() - START_NS / 1e9
    context = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light")
    try:
        with running_edge(tmp_path, station) as (outbox, downlink):
            put(
                outbox,
                *(sighting("t1", n, at_s=now_s - 900 + 10 * n, place=position(300.0)) for n in range(30)),
            )
            assert downlink.wait_until_delivered(30)
            page = context.new_page()
            page.set_default_timeout(LIMIT_MS)
            page.goto(station.sign_in_page("ana", Role.OPERATOR))
            page.wait_for_selector('[data-testid="map"][data-ready="true"]')
            page.wait_for_selector('[data-testid="contact-row"]')
            yield page
    finally:
        context.close()


def test_the_past_is_scrubbed_and_played_and_never_taken_for_the_present(opened: Page) -> None:
    expect(opened.get_by_test_id("past-badge")).to_have_count(0)
    opened.keyboard.press("h")
    bar = opened.get_by_test_id("past-bar")
    expect(bar).to_have_attribute("data-loading", "false")
    expect(opened.get_by_test_id("past-badge")).to_contain_text(re.compile(r"PAST \d\d:\d\d:\d\dZ"))
    expect(opened.get_by_test_id("past-when")).to_contain_text("PAST")
    before = int(bar.get_attribute("data-at-ms") or 0)
    slider = opened.get_by_test_id("past-slider")
    slider.focus()
    slider.press("ArrowLeft")
    assert int(bar.get_attribute("data-at-ms") or 0) < before
    moment = before - 800_000
    opened.evaluate(
        "at => { const field = document.querySelector('[data-testid=past-slider]'); field.value = at;"
        " field.dispatchEvent(new Event('input', {bubbles: true})) }",
        moment,
    )
    expect(bar).to_have_attribute("data-loading", "false")
    _shot(opened, "past")
    opened.get_by_test_id("past-speed").select_option("60")
    opened.get_by_test_id("past-play").click()
    opened.wait_for_function(
        "at => Number(document.querySelector('[data-testid=past-bar]').dataset.atMs) > at + 20000", arg=moment
    )
    opened.get_by_test_id("past-play").click()
    opened.get_by_test_id("past-live").click()
    expect(opened.get_by_test_id("past-badge")).to_have_count(0)
    expect(bar).to_have_count(0)


def test_where_we_looked_is_shaded_by_age_and_by_sharpness(opened: Page) -> None:
    opened.get_by_test_id("fit").click()
    opened.keyboard.press("o")
    card = opened.get_by_test_id("coverage-card")
    expect(card).to_have_attribute("data-cells", re.compile("[1-9]"))
    expect(card).to_contain_text("up to 10 min ago")
    opened.get_by_test_id("coverage-shade").select_option("sharpness")
    expect(card).to_contain_text("2 cm a pixel")
    opened.get_by_test_id("coverage-period").select_option("604800")
    expect(card).to_have_attribute("data-cells", re.compile("[1-9]"))
    opened.get_by_test_id("coverage-shade").select_option("age")
    _shot(opened, "coverage")


def test_distance_bearing_and_area_are_measured_by_mouse_and_by_keyboard(opened: Page) -> None:
    opened.keyboard.press("d")
    bar = opened.get_by_test_id("measure-bar")
    plane = opened.get_by_test_id("map")
    for count, (x, y) in enumerate(((200, 300), (420, 310), (400, 520)), start=1):
        plane.click(position={"x": x, "y": y})
        expect(bar).to_have_attribute("data-points", str(count))
    expect(opened.get_by_test_id("measure-leg")).to_contain_text(re.compile(r"m · 1\d\d°"))
    expect(opened.get_by_test_id("measure-area")).to_contain_text(re.compile("ha|m²|km²"))
    opened.keyboard.press("Backspace")
    expect(bar).to_have_attribute("data-points", "2")
    opened.keyboard.press("Space")
    expect(bar).to_have_attribute("data-points", "3")
    opened.keyboard.press("Escape")
    expect(bar).to_have_count(0)


def test_a_position_in_any_notation_is_gone_to(opened: Page) -> None:
    opened.keyboard.press("g")
    card = opened.get_by_test_id("position-card")
    line = opened.get_by_test_id("goto")
    expect(line).to_be_focused()
    line.fill("no such place")
    expect(opened.get_by_test_id("goto-go")).to_be_disabled()
    line.fill("18S UJ 23486 06483")
    expect(opened.get_by_test_id("goto-read")).to_contain_text("Read as MGRS: 38.8895")
    line.press("Enter")
    expect(opened.get_by_test_id("position-decimal")).to_contain_text("38.88950")
    expect(opened.get_by_test_id("position-utm")).to_contain_text(re.compile(r"18S 32348\d 430648\d"))
    place = opened.get_by_test_id("cursor-place")
    expect(place).to_contain_text(re.compile(r"38\.88"))
    line.press("Escape")
    expect(card).to_have_count(0)
    place.click()
    expect(place).to_contain_text("°")


def test_the_tools_meet_wcag_2_2_aa_in_every_theme_and_on_a_phone(opened: Page) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in ground/console")
    found = {}
    opened.keyboard.press("o")
    expect(opened.get_by_test_id("coverage-card")).to_be_visible()
    opened.keyboard.press("h")
    expect(opened.get_by_test_id("past-bar")).to_have_attribute("data-loading", "false")
    for theme in ("light", "dark", "night"):
        found[f"past, {theme}"] = violations(opened, theme)
    opened.keyboard.press("o")
    opened.keyboard.press("d")
    expect(opened.get_by_test_id("measure-bar")).to_be_visible()
    found["measure, night"] = violations(opened, "night")
    opened.keyboard.press("Escape")
    opened.keyboard.press("g")
    expect(opened.get_by_test_id("position-card")).to_be_visible()
    found["position, night"] = violations(opened, "night")
    found["position"] = violations(opened)
    opened.get_by_test_id("goto").press("Escape")
    opened.set_viewport_size({"width": 390, "height": 844})
    found["past, phone"] = violations(opened)
    _shot(opened, "past-phone")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert {name: what for name, what in found.items() if what} == {}


def _remember(folder: Path) -> None:
    """A circle of 400 m round the scene's place, one look every 2 s for half an hour."""
    end_ns = time.time_ns() - 120_000_000_000
    centre = position()
    poses, prints = [], []
    for step in range(900):
        time_ns = end_ns - (900 - step) * 2_000_000_000
        turn = math.radians(step * 1.6)
        latitude = centre.latitude_deg + 400 * METRE_DEG * math.cos(turn)
        longitude = centre.longitude_deg + 500 * METRE_DEG * math.sin(turn)
        side = 60 * METRE_DEG
        poses.append(
            NotedPose(
                platform_id="kestrel",
                sortie_id="s1",
                time_ns=time_ns,
                latitude_deg=latitude,
                longitude_deg=longitude,
                heading_deg=(step * 1.6 + 90) % 360,
            )
        )
        ring = tuple(
            (latitude + y * side, longitude + x * side) for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1))
        )
        prints.append(
            NotedFootprint(
                platform_id="kestrel",
                sortie_id="s1",
                sensor_id="eo",
                time_ns=time_ns,
                ring=ring,
                gsd_m=0.04,
            )
        )
    store = PastStore(past_path(folder))
    try:
        store.write(poses, prints)
    finally:
        store.close()


def _shot(page: Page, name: str) -> None:
    if _SHOTS:
        page.screenshot(path=Path(_SHOTS) / f"{name}.png")
