"""Review by keyboard in a real browser, two people at once, and pages that all can read (WCAG 2.2 AA)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ground.accounts.roles import Role
from ground.console.dev.fake_ground import FakeGround, Server
from tests.e2e.browsing import AXE, LIMIT_MS, violations
from tests.ground.aircraft import keep_frame, running_aircraft
from tests.ground.scenes import chip, position, put, running_ground, sighting, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server(FakeGround(contacts=8))
    serving.start()
    try:
        yield serving
    finally:
        serving.close()


def _opened(browser: Browser, server: Server, locale: str = "en-US") -> tuple[BrowserContext, Page]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 844}, color_scheme="light", locale=locale
    )
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.goto(server.address)
    page.wait_for_selector('[data-testid="contact-row"]')
    return context, page


def _case(page: Page) -> str:
    """The case before the eyes, once it is there in full."""
    page.wait_for_selector('[data-testid="review-confirm"]:enabled')
    return page.get_by_test_id("review").get_attribute("data-case") or ""


def test_cases_are_decided_by_keyboard_alone_and_undo_brings_the_last_one_back(
    browser: Browser, server: Server
) -> None:
    context, page = _opened(browser, server)
    contacts = server.ground.contacts
    page.keyboard.press("r")
    first = _case(page)
    expect(page.get_by_test_id("review-look").first).to_be_visible()
    expect(page.get_by_test_id("why-card")).to_contain_text("CE90")
    expect(page.get_by_test_id("review-ais")).to_contain_text("No AIS heard for this vessel")
    page.keyboard.press("c")
    expect(page.get_by_test_id("review")).not_to_have_attribute("data-case", first)
    second = _case(page)
    assert contacts[first]["review"] == "confirmed"
    page.keyboard.press("x")
    expect(page.get_by_test_id("review")).not_to_have_attribute("data-case", second)
    assert contacts[second]["review"] == "rejected"
    _case(page)
    page.keyboard.press("u")
    expect(page.get_by_test_id("review")).to_have_attribute("data-case", second)
    expect(page.get_by_test_id("review-state")).to_have_text("Unreviewed")
    page.wait_for_selector('[data-testid="review-confirm"]:enabled')
    page.keyboard.press("t")
    page.keyboard.type("cxm nets on deck")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("review-history")).to_contain_text("cxm nets on deck")
    assert contacts[second]["review"] == "unreviewed", "letters of a comment decide nothing"
    page.keyboard.press("j")
    expect(page.get_by_test_id("review")).not_to_have_attribute("data-case", second)
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("review")).to_have_count(0)
    expect(page.get_by_test_id("map")).to_be_visible()
    context.close()


def test_who_comes_second_sees_the_other_word_and_overwrites_nothing(
    browser: Browser, server: Server
) -> None:
    context, page = _opened(browser, server)
    page.keyboard.press("r")
    case = _case(page)
    server.ground.decide_as("ben", case, "rejected", tells=False)
    page.keyboard.press("c")
    expect(page.get_by_test_id("review-note")).to_contain_text("ben was first")
    expect(page.get_by_test_id("review-state")).to_have_text("Rejected")
    expect(page.get_by_test_id("review-history")).to_contain_text("ben")
    assert server.ground.contacts[case]["review"] == "rejected"
    context.close()


def test_a_pattern_says_how_many_it_rejects_before_it_does(browser: Browser, server: Server) -> None:
    context, page = _opened(browser, server)
    page.keyboard.press("r")
    case = _case(page)
    label = server.ground.contacts[case]["label"]
    page.keyboard.press("b")
    page.get_by_test_id("pattern-dialog").get_by_role("checkbox").first.uncheck()
    fits = [one for one in server.ground.contacts.values() if one["label"] == label]
    expect(page.get_by_test_id("pattern-count")).to_contain_text(f"{len(fits)} contacts")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("pattern-dialog")).to_have_count(0)
    expect(page.get_by_test_id("review")).to_have_attribute("data-case", case)
    page.keyboard.press("b")
    page.get_by_test_id("pattern-dialog").get_by_role("checkbox").first.uncheck()
    expect(page.get_by_test_id("pattern-count")).to_contain_text(f"{len(fits)} contacts")
    page.keyboard.press("c")
    assert all(one["review"] == "unreviewed" for one in server.ground.contacts.values())
    page.get_by_test_id("pattern-reject").click()
    expect(page.get_by_test_id("review-note")).to_contain_text(f"{len(fits)} contacts rejected")
    expect(page.get_by_test_id("pattern-dialog")).to_have_count(0)
    page.keyboard.press("u")
    expect(page.get_by_test_id("review-note")).to_contain_text("Taken back")
    assert all(one["review"] == "unreviewed" for one in server.ground.contacts.values())
    context.close()


def test_previews_and_doubtful_positions_are_marked(browser: Browser, server: Server) -> None:
    for looks in server.ground.sightings.values():
        for one in looks:
            one.update(is_preview=True, position_doubt="gnss_disagree")
    context, page = _opened(browser, server)
    page.locator('[data-testid="contact-row"][data-contact-id="c-0002"]').click()
    expect(page.get_by_test_id("preview-note")).to_contain_text("without proof")
    expect(page.get_by_test_id("position-doubt")).to_contain_text("did not agree")
    page.get_by_test_id("ask-platform").locator("summary").click()
    page.get_by_test_id("ask-follow").click()
    expect(page.get_by_test_id("ask-receipt")).to_contain_text("Follow: asked")
    context.close()


def test_the_console_speaks_spanish(browser: Browser, server: Server) -> None:
    context, page = _opened(browser, server, "es-ES")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.get_by_test_id("tab-contacts")).to_contain_text("Contactos")
    page.get_by_test_id("account").click()
    page.get_by_test_id("language-en").click()
    expect(page.get_by_test_id("tab-contacts")).to_contain_text("Contacts")
    context.close()


def test_pages_meet_wcag_2_2_aa_in_every_theme_and_on_a_phone(browser: Browser, server: Server) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in ground/console")
    server.ground.decide_as("ben", "c-0003", "confirmed")
    server.ground.decide_as("ben", "c-0005", "rejected")
    context, page = _opened(browser, server)
    page.locator('[data-testid="contact-row"]').nth(1).click()
    page.wait_for_selector('[data-testid="contact-detail"]')
    found = {"contact": violations(page)}
    page.get_by_test_id("account").click()
    page.get_by_test_id("change-password").click()
    found["account, dark"] = violations(page, "dark")
    page.get_by_test_id("account").click()
    page.keyboard.press("r")
    _case(page)
    found["review, dark"] = violations(page, "dark")
    found["review, night"] = violations(page, "night")
    found["review"] = violations(page, "light")
    page.keyboard.press("b")
    page.wait_for_selector('[data-testid="pattern-dialog"]')
    found["pattern"] = violations(page)
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    _case(page)
    found["review, phone"] = violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert {name: what for name, what in found.items() if what} == {}
    context.close()


def test_at_a_real_station_a_case_is_confirmed_and_then_leaves_and_a_partner_sees_it(
    browser: Browser, tmp_path: Path
) -> None:
    look = sighting("uav07-s1-eo.t1", 1, place=position())
    keep_frame(tmp_path / "uav07", look)
    with running_ground(tmp_path) as ground, running_aircraft(tmp_path / "uav07", ground) as outbox:
        put(outbox, look, chip(look))
        until(lambda: ground.store.counts().contacts == 1, 30.0)
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.goto(ground.sign_in_page("ana", Role.OPERATOR))
        page.wait_for_selector('[data-testid="contact-row"]')
        page.keyboard.press("r")
        _case(page)
        page.keyboard.press("m")
        expect(page.get_by_test_id("review-state")).to_have_text("More asked")
        expect(page.get_by_test_id("full-picture")).to_be_visible()
        page.wait_for_selector('[data-testid="review-confirm"]:enabled')
        page.keyboard.press("c")
        until(lambda: _confirmed(ground) == ["uav07-s1-eo.t1"], 30.0)
        page.goto(ground.sign_in_page("guest", Role.PARTNER))
        page.reload()
        expect(page.get_by_test_id("shared-list")).to_contain_text("vessel")
        context.close()


def _confirmed(ground: Any) -> list[str]:
    from ground.review.book import ReviewBook
    from ground.review.log import read_entries, review_path

    return ReviewBook(read_entries(review_path(ground.state_dir))).tracks_that_are(("confirmed",))
