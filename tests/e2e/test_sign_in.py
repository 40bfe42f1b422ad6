"""The way in, in a real browser against a real ground; and hostile text that stays text (S18)."""

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ground.accounts.access_log import read_events
from ground.accounts.roles import Role
from ground.console.dev.fake_ground import POLICY, FakeGround, Server
from ground.http.api import CONTENT_SECURITY_POLICY
from sim.faults.access import Station
from sim.faults.hostile_texts import hostile_texts
from tests.e2e.browsing import LIMIT_MS, PASSWORD

NOTE_TROUBLE = """
window.__violations = []; window.__owned = 0;
document.addEventListener('securitypolicyviolation', (event) =>
  window.__violations.push(event.violatedDirective + ' ' + event.blockedURI));
for (const name of ['alert', 'confirm', 'prompt', 'open', 'print'])
  window[name] = () => { window.__owned += 1; };
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    made.set_default_timeout(LIMIT_MS)
    made.add_init_script(NOTE_TROUBLE)
    yield made
    made.close()


def _is_in(page: Page) -> None:
    expect(page.get_by_test_id("contact-row")).to_have_count(1)
    expect(page.get_by_test_id("sign-in")).to_have_count(0)


def _sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_test_id("sign-in-name").fill(name)
    page.get_by_test_id("sign-in-password").fill(password)
    page.get_by_test_id("sign-in-go").click()


def test_the_first_code_sets_a_password_and_leaves_the_address_bar(
    station: Station, context: BrowserContext
) -> None:
    station.keeper.book.set_role("a-administrator", Role.ADMINISTRATOR)
    first = station.handle.first_sign_in()
    assert first is not None
    page = context.new_page()
    page.goto(station.handle.page(first[1]))
    dialog = page.get_by_test_id("sign-in")
    expect(dialog).to_have_attribute("data-mode", "choose")
    assert "once" not in page.url
    assert first[1] not in page.url
    page.get_by_test_id("sign-in-password").fill("short")
    page.get_by_test_id("sign-in-go").click()
    expect(page.get_by_test_id("sign-in-trouble")).to_contain_text("12 characters")
    page.get_by_test_id("sign-in-password").fill(PASSWORD)
    page.get_by_test_id("sign-in-again").fill(PASSWORD)
    page.get_by_test_id("sign-in-go").click()
    _is_in(page)
    page.reload()
    _is_in(page)
    page.get_by_test_id("account").click()
    expect(page.get_by_test_id("account-menu")).to_contain_text("Administrator")
    page.get_by_test_id("sign-out").click()
    expect(dialog).to_have_attribute("data-mode", "password")
    _sign_in(page, first[0], "not the password at all")
    expect(page.get_by_test_id("sign-in-trouble")).to_contain_text("wrong")
    _sign_in(page, first[0], PASSWORD)
    _is_in(page)
    assert page.evaluate("[window.__violations, document.cookie]") == [[], ""]
    page.goto("about:blank")
    page.goto(station.handle.page(first[1]))
    expect(page.get_by_test_id("sign-in-trouble").or_(page.get_by_test_id("account"))).to_be_visible()


def test_a_session_that_ends_asks_again_and_keeps_the_place(
    station: Station, context: BrowserContext
) -> None:
    station.keeper.book.set_password("a-administrator", PASSWORD)
    station.keeper.book.add("maria", Role.OPERATOR)
    station.keeper.book.set_password("maria", PASSWORD)
    page = context.new_page()
    page.goto(station.handle.http_url)
    _sign_in(page, "Maria", PASSWORD)
    _is_in(page)
    page.get_by_test_id("contact-row").click()
    expect(page.get_by_test_id("contact-detail")).to_be_visible()
    for one in station.keeper.sessions.list("maria"):
        station.keeper.end_session(one.session_id, "maria")
    dialog = page.get_by_test_id("sign-in")
    expect(dialog).to_contain_text("kept as you left it")
    expect(page.get_by_test_id("sign-in-name")).to_have_value("maria")
    page.get_by_test_id("sign-in-password").fill(PASSWORD)
    page.get_by_test_id("sign-in-go").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("contact-detail")).to_be_visible()
    page.wait_for_selector('[data-testid="link-state"][data-state="live"]')
    looks = [one for one in read_events(station.keeper.database) if one.event.action == "see_details"]
    assert {one.event.account for one in looks} == {"maria"}
    assert any("/api/v1/contacts/c-s17" in one.event.what for one in looks)


def test_a_partner_is_told_that_nothing_is_shared_and_a_demoted_operator_loses_the_picture(
    station: Station, context: BrowserContext
) -> None:
    page = context.new_page()
    page.goto(station.handle.sign_in_page("guest", Role.OPERATOR))
    _is_in(page)
    station.keeper.book.set_role("guest", Role.PARTNER)
    expect(page.get_by_test_id("nothing-shared")).to_be_visible(timeout=8_000)
    expect(page.get_by_test_id("contact-row")).to_have_count(0)


def test_the_login_page_fits_a_phone_and_both_themes(station: Station, browser: Browser) -> None:
    screens: list[tuple[int, Literal["light", "dark"]]] = [(390, "light"), (390, "dark"), (1280, "dark")]
    for width, scheme in screens:
        made = browser.new_context(viewport={"width": width, "height": 780}, color_scheme=scheme)
        page = made.new_page()
        page.goto(station.handle.http_url)
        expect(page.get_by_test_id("sign-in")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.get_by_test_id("sign-in-go").bounding_box()
        assert box is not None
        assert box["height"] >= 44 - 1
        made.close()


def test_the_invented_ground_forbids_what_the_real_one_forbids() -> None:
    assert POLICY == CONTENT_SECURITY_POLICY
    assert "unsafe" not in POLICY


def test_five_hundred_hostile_texts_in_every_place_are_shown_and_never_run(context: BrowserContext) -> None:
    texts = list(hostile_texts())
    assert len(set(texts)) >= 500
    ground = FakeGround(contacts=len(texts))
    _poison(ground, texts)
    server = Server(ground)
    server.start()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    page.goto(server.address)
    expect(page.get_by_test_id("counter-contacts")).to_have_text(re.compile(r"5\d\d"))
    seen = 0
    for _ in range(60):
        page.keyboard.press("j")
        expect(page.get_by_test_id("contact-detail")).to_be_visible()
        seen += 1
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    for text in texts[::40]:
        page.locator("#contact-search").fill(text[:40])
    page.get_by_test_id("tab-platforms").click()
    expect(page.get_by_test_id("platform-row")).to_have_count(2)
    expect(page).to_have_title("Skywarden")
    assert page.evaluate("[window.__owned, window.__violations]") == [0, []]
    assert seen == 60
    assert [url for url in asked if not url.startswith((server.address, f"blob:{server.address}"))] == []
    server.close()


def _poison(ground: FakeGround, texts: list[str]) -> None:
    """Hostile text into every field that comes from a radio, a file or a person."""
    more = cycle(texts[7:] + texts[:7])
    for contact, text in zip(list(ground.contacts.values()), texts, strict=False):
        contact["label"] = text
        contact["model_id"] = next(more)
        contact["platform_ids"] = [next(more)]
        contact["track_ids"] = [next(more)]
        for one in ground.sightings[contact["contact_id"]]:
            one["label"] = one["platform_id"] = one["sensor_id"] = one["no_position_reason"] = next(more)
    for contact_id in ("c-bearing", "c-nowhere"):
        ground.contacts[contact_id]["no_position_reason"] = next(more)
    ground.notices = [next(more) for _ in range(40)]
    for platform in ground.platforms.values():
        platform["sortie_id"] = next(more)
        for condition in platform.get("health", []):
            condition["text"] = condition["component"] = condition["condition"] = next(more)
    for track in ground.tracks.values():
        track["label"] = track["sensor_id"] = next(more)
