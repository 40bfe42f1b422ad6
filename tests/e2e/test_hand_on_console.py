"""Handing on from the console: files, the report and a proposed flight, by mouse, by keyboard, on a phone."""

import json
import os
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ground.accounts.roles import Role
from ground.report.page import is_untouched
from ground.review.entries import Decision
from ground.serve import GroundHandle
from tests.e2e.browsing import LIMIT_MS, violations
from tests.ground.scenes import START_NS, chip, position, put, running_edge, running_ground, sighting, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

_SHOTS = os.environ.get("SKYWARDEN_SHOTS")
"""A folder for pictures of what was tested, to be looked at; nothing is written without it."""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[GroundHandle]:
    """A station with three vessels of the last minutes, one of them confirmed, one rejected."""
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        now_s = time.time() - START_NS / 1e9
        for number, track in enumerate(("a", "b", "c")):
            looks = [
                sighting(track, n, at_s=now_s - 600 + 10 * n, place=position(400.0 * number, 5.0 * n))
                for n in range(1, 6)
            ]
            put(outbox, *looks, chip(looks[0]))
        assert downlink.wait_until_delivered(30)
        until(lambda: all(ground.store.contact_of_track(track) for track in ("a", "b", "c")), 30.0)
        decisions: dict[str, Decision] = {"a": "confirmed", "b": "rejected"}
        for track, decision in decisions.items():
            found = ground.store.contact(ground.store.contact_of_track(track) or "")
            assert found is not None
            ground.review.decide(found, decision, account="ana", version=0, utc_ns=time.time_ns(), text="")
        yield ground


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 844}, color_scheme="light")
    try:
        yield made
    finally:
        made.close()


def _opened(context: BrowserContext, station: GroundHandle, role: Role = Role.OPERATOR) -> Page:
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.goto(station.sign_in_page("vera" if role is Role.VIEWER else "ana", role))
    page.wait_for_selector('[data-testid="map"][data-ready="true"]')
    expect(page.get_by_test_id("contact-row")).to_have_count(3)
    return page


def _taken(page: Page, folder: Path) -> Path:
    """Press the button and keep what comes."""
    with page.expect_download(timeout=90_000) as waiting:
        page.get_by_test_id("handon-go").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    expect(page.get_by_test_id("handon-saved")).to_contain_text(path.name)
    return path


def test_files_leave_with_what_was_confirmed_and_more_only_when_it_is_said(
    context: BrowserContext, station: GroundHandle, tmp_path: Path
) -> None:
    page = _opened(context, station)
    page.keyboard.press("e")
    counts = page.get_by_test_id("handon-counts")
    expect(counts).to_contain_text(
        "1 confirmed, going out; 1 not confirmed, staying here; 1 rejected, never leaving"
    )
    _shot(page, "hand-on-light")
    found = json.loads(_taken(page, tmp_path).read_text(encoding="utf-8"))
    assert {one["properties"]["review"] for one in _contacts(found)} == {"confirmed"}
    page.get_by_test_id("handon-unreviewed").check()
    expect(counts).to_contain_text("1 not confirmed, going out too, marked so")
    path = _taken(page, tmp_path)
    assert "UNREVIEWED" in path.name
    assert len(_contacts(json.loads(path.read_text(encoding="utf-8")))) == 2
    page.get_by_test_id("handon-form-of").select_option("kmz")
    expect(page.get_by_test_id("handon-saved")).to_have_count(0)
    with zipfile.ZipFile(_taken(page, tmp_path)) as archive:
        ET.fromstring(archive.read("doc.kml"))
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("hand-on")).to_be_hidden()


def test_the_report_and_a_proposed_flight_are_made_and_shown_and_errors_are_sentences(
    context: BrowserContext, station: GroundHandle, tmp_path: Path
) -> None:
    page = _opened(context, station)
    page.get_by_test_id("hand-on-open").click()
    page.get_by_test_id("handon-tab-file").press("ArrowRight")
    page.get_by_test_id("report-language").select_option("es")
    report = _taken(page, tmp_path)
    assert is_untouched(report.read_bytes())
    assert 'lang="es"' in report.read_text(encoding="utf-8")
    _shot(page, "hand-on-report")
    page.keyboard.press("Escape")
    confirmed = station.store.contact_of_track("a")
    page.locator(f'[data-testid="contact-row"][data-contact-id="{confirmed}"]').click()
    page.get_by_test_id("propose-orbit").click()
    page.get_by_test_id("plan-height").fill("90")
    page.get_by_test_id("handon-go").click()
    drawing = page.get_by_test_id("flight-drawing")
    expect(drawing).to_contain_text("3.76 km")  # two turns, and no way to what the camera looks at
    assert violations(page) == []
    _shot(page, "hand-on-flight")
    plan = json.loads(_taken(page, tmp_path).read_text(encoding="utf-8"))
    assert plan["fileType"] == "Plan"
    page.get_by_test_id("plan-height").fill("500")
    page.get_by_test_id("handon-go").click()
    expect(page.get_by_test_id("handon-trouble")).to_contain_text(
        "500 m above ground is not within 50 to 120 m"
    )
    expect(page.get_by_test_id("flight-drawing")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    open_one = station.store.contact_of_track("c")
    page.locator(f'[data-testid="contact-row"][data-contact-id="{open_one}"]').click()
    page.get_by_test_id("propose-orbit").click()
    expect(page.get_by_test_id("handon-go")).to_be_disabled()
    page.get_by_test_id("handon-unreviewed").check()
    page.get_by_test_id("handon-go").click()
    expect(page.get_by_test_id("hand-on")).to_contain_text("UNREVIEWED")


def test_whoever_may_not_export_has_no_such_button_and_a_phone_has_room_for_the_panel(
    browser: Browser, context: BrowserContext, station: GroundHandle
) -> None:
    viewer = _opened(context, station, Role.VIEWER)
    expect(viewer.get_by_test_id("hand-on-open")).to_have_count(0)
    viewer.keyboard.press("e")
    expect(viewer.get_by_test_id("hand-on")).to_be_hidden()
    small = browser.new_context(viewport={"width": 390, "height": 844}, locale="es-ES")
    try:
        page = _opened(small, station)
        page.get_by_test_id("hand-on-open").click()
        expect(page.get_by_test_id("handon-counts")).to_contain_text("con confirmación")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.get_by_test_id("hand-on").evaluate("one => one.scrollWidth <= one.clientWidth")
        assert violations(page, "night") == []
        _shot(page, "hand-on-phone-night")
    finally:
        small.close()


def _contacts(collection: object) -> list[dict[str, dict[str, object]]]:
    assert isinstance(collection, dict)
    features: list[dict[str, dict[str, object]]] = collection["features"]
    return [one for one in features if one["properties"].get("layer", "contacts") == "contacts"]


def _shot(page: Page, name: str) -> None:
    if _SHOTS:
        page.screenshot(path=Path(_SHOTS) / f"{name}.png")
