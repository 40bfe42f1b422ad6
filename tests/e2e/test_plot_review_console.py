"""A plot that is part of no contact is decided about in a real browser: found, confirmed, taken back."""

from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from ground.accounts.roles import Role
from skywarden.messages import Plot
from tests.e2e.browsing import LIMIT_MS, violations
from tests.ground.scenes import START_NS, arrival, running_ground
from tests.samples import EVERY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]


def test_a_plot_is_found_confirmed_spoken_of_and_taken_back(browser: Browser, tmp_path: Path) -> None:
    sample = EVERY["plot"]
    assert isinstance(sample, Plot)
    plot = msgspec.structs.replace(sample, plot_id="parcel-1", time_ns=START_NS, first_ns=START_NS)
    troubles: list[str] = []
    with running_ground(tmp_path) as ground:
        ground.store.ingest([arrival(plot, 1)])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        try:
            page.goto(ground.sign_in_page("ana", Role.OPERATOR))
            page.get_by_test_id("open-plots").click()
            decide = page.get_by_test_id("plot-decide")
            expect(decide).to_have_attribute("data-state", "unreviewed")
            page.get_by_test_id("plot-comment").fill("rows of shrubs")
            decide.get_by_role("button", name="Send").click()
            expect(page.get_by_test_id("review-history")).to_contain_text("rows of shrubs")
            page.get_by_test_id("plot-confirmed").click()
            expect(decide).to_have_attribute("data-state", "confirmed")
            expect(page.get_by_test_id("open-plots")).to_have_count(0)
            assert violations(page) == []
            page.get_by_test_id("plot-undo").click()
            expect(decide).to_have_attribute("data-state", "unreviewed")
            expect(page.get_by_test_id("open-plots")).to_be_visible()
            assert troubles == []
        finally:
            page.close()
