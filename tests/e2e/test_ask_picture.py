"""An operator asks for a look at full resolution on the page, and it comes from the aircraft."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import LIMIT_MS, set_first_password
from tests.ground.aircraft import keep_frame, running_aircraft
from tests.ground.scenes import chip, position, put, running_ground, sighting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]


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
        set_first_password(page)
        page.get_by_test_id("contact-row").first.click(timeout=LIMIT_MS)
        page.get_by_test_id("ask-full-resolution").click()
        opened = page.get_by_test_id("full-picture")
        expect(opened).to_be_visible(timeout=LIMIT_MS)
        assert f"{look.sighting_id}.region" in (opened.get_attribute("href") or "")
        expect(page.get_by_test_id("ask-state")).to_contain_text("Here", timeout=LIMIT_MS)
        page.screenshot(path=tmp_path / "asked.png")
        page.close()
