"""The console of an exercise says so before anybody signs in, on every screen, and shows a watch again."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from ground.accounts.roles import Role
from ground.exercise.marks import WatchMark, write_marks
from ground.serve import GroundHandle, start_ground
from tests.e2e.browsing import LIMIT_MS, violations
from tests.ground.exercise.test_exercise_outputs import LaterClock
from tests.ground.report.night import START_NS, UNTIL_NS, make_night
from tests.ground.scenes import ground_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

_SHOTS = os.environ.get("SKYWARDEN_SHOTS")
"""A folder for pictures of what was tested, to be looked at; nothing is written without it."""
MARKS = [
    WatchMark(time_ns=START_NS + 1_000 * 10**9, kind="order", text="1: compass_error uav07"),
    WatchMark(time_ns=START_NS + 1_010 * 10**9, kind="opened", account="ben", text="fishing-2"),
]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[GroundHandle]:
    """An exercise that was shown again, at the end of its night."""
    make_night(tmp_path / "ground", is_exercise=True).close()
    write_marks(tmp_path / "ground", MARKS)
    config = msgspec.structs.replace(ground_config(tmp_path), exercise=True)
    handle = start_ground(config, LaterClock(UNTIL_NS))
    try:
        yield handle
    finally:
        handle.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light", locale="en")
    try:
        made = context.new_page()
        made.set_default_timeout(LIMIT_MS)
        yield made
    finally:
        context.close()


def _shot(page: Page, name: str) -> None:
    if _SHOTS:
        page.screenshot(path=f"{_SHOTS}/exercise-{name}.png")


def _is_marked(page: Page) -> None:
    """The line is there, above everything, whole, and nothing on it could close it."""
    line = page.get_by_test_id("exercise-mark")
    expect(line).to_be_visible()
    expect(line).to_have_count(1)
    box, size = line.bounding_box(), page.viewport_size
    assert box is not None
    assert size is not None
    assert (box["x"], box["y"], box["width"]) == (0.0, 0.0, size["width"])
    assert line.locator("button, a, input").count() == 0
    top = page.evaluate("() => document.elementFromPoint(innerWidth / 2, 8)?.id")
    assert top == "exercise-mark"
    assert page.title().startswith("EXERCISE")


def test_an_exercise_is_one_at_sign_in_on_every_screen_and_in_every_light(
    page: Page, station: GroundHandle
) -> None:
    page.goto(station.http_url)
    page.wait_for_selector('[data-testid="sign-in"]')
    _is_marked(page)
    assert page.locator("link[rel=icon]").get_attribute("href") == "./favicon-exercise.svg"
    assert violations(page) == []
    _shot(page, "sign-in")
    page.goto("about:blank")
    at_ms = (START_NS + 1_020 * 10**9) // 1_000_000
    page.goto(f"{station.sign_in_page('ana', Role.OPERATOR)}&past={at_ms}")
    page.wait_for_selector('[data-testid="map"][data-ready="true"]')
    _is_marked(page)
    expect(page.get_by_test_id("exercise-banner")).to_have_count(0)  # once is enough
    news = page.get_by_test_id("past-news")
    expect(news).to_contain_text("The trainer: 1: compass_error uav07")
    expect(news).to_contain_text("ben looked at fishing-2")
    expect(page.get_by_test_id("past-marks")).to_be_visible()
    for theme in ("light", "night"):
        assert violations(page, theme) == []
        _is_marked(page)
        _shot(page, theme)
    news.get_by_role("button").first.click()
    expect(page.get_by_test_id("past-bar")).to_have_attribute("data-at-ms", str(at_ms - 10_000))
    page.set_viewport_size({"width": 390, "height": 844})
    _is_marked(page)
    _shot(page, "phone")


def test_the_line_speaks_spanish_and_keeps_the_word(browser: Browser, station: GroundHandle) -> None:
    context = browser.new_context(locale="es-ES")
    try:
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.goto(station.http_url)
        expect(page.get_by_test_id("exercise-mark")).to_have_text(
            "EJERCICIO (EXERCISE): nada de esto es real"
        )
    finally:
        context.close()
