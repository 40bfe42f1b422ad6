"""An operator asks for a look at full resolution on the page, and it comes from the aircraft."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from ground.console.dev.fake_ground import DIST
from tests.e2e.test_sign_in import FLAGS, LIMIT_MS, PASSWORD
from tests.ground.aircraft import keep_frame, running_aircraft
from tests.ground.scenes import chip, position, put, running_ground, sighting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    if not (DIST / "index.html").is_file():
        pytest.skip("the console is not built: npm ci && npm run build in ground/console")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


def test_the_button_asks_the_state_is_shown_and_the_picture_opens(browser: Browser, tmp_path: Path) -> None:
    look = sighting("uav07-s1-eo.t1", 1, place=position())
    keep_frame(tmp_path / "uav07", look)
    with running_ground(tmp_path) as ground, running_aircraft(tmp_path / "uav07", ground) as outbox:
        put(outbox, look, chip(look))
        first = ground.first_sign_in()
        assert first is not None
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(LIMIT_MS)
        page.goto(ground.page(first[1]))
        page.get_by_test_id("sign-in-password").fill(PASSWORD)
        page.get_by_test_id("sign-in-again").fill(PASSWORD)
        page.get_by_test_id("sign-in-go").click()
        page.get_by_test_id("contact-row").first.click(timeout=LIMIT_MS)
        page.get_by_test_id("ask-full-resolution").click()
        opened = page.get_by_test_id("full-picture")
        expect(opened).to_be_visible(timeout=LIMIT_MS)
        assert f"{look.sighting_id}.region" in (opened.get_attribute("href") or "")
        expect(page.get_by_test_id("ask-state")).to_contain_text("Here", timeout=LIMIT_MS)
        page.screenshot(path=tmp_path / "asked.png")
        page.close()
