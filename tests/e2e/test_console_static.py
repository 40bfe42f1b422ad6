"""The built console in a real browser against an invented ground: what an operator sees, also in trouble."""

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from ground.console.dev.fake_ground import DIST, HOSTILE_LABEL, FakeGround, Server
from tests.e2e.browsing import LIMIT_MS

CONSOLE = DIST.parent
MOST_BYTES_GZ = 1_500_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server(FakeGround(contacts=8, hostile=True))
    serving.start()
    yield serving
    serving.close()


class Watched:
    """A page that remembers what went wrong in it and which addresses it asked for."""

    def __init__(self, browser: Browser, server: Server, *, width: int = 1280, height: int = 800) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(LIMIT_MS)
        self.troubles: list[str] = []
        self.addresses: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on(
            "console", lambda said: self.troubles.append(said.text) if said.type == "error" else None
        )
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.goto(server.address)
        self.page.wait_for_selector('[data-testid="map"][data-ready="true"]')
        self.page.wait_for_selector('[data-testid="link-state"][data-state="live"]')
        self.page.wait_for_selector('[data-testid="contact-row"]')


@pytest.fixture
def watched(browser: Browser, server: Server) -> Iterator[Watched]:
    seen = Watched(browser, server)
    yield seen
    seen.context.close()


def _open(page: Page, contact_id: str) -> None:
    page.locator(f'[data-testid="contact-row"][data-contact-id="{contact_id}"]').click()
    page.wait_for_selector(f'[data-testid="contact-detail"][data-contact-id="{contact_id}"]')


def test_the_console_shows_contacts_and_platforms_and_asks_nobody_but_its_ground(
    watched: Watched, server: Server
) -> None:
    page = watched.page
    expect(page.get_by_test_id("counter-contacts")).to_have_text("10")
    expect(page.get_by_test_id("counter-platforms")).to_have_text("2")
    expect(page.get_by_test_id("link-state")).to_contain_text("picture is")
    expect(page.get_by_test_id("contact-row").first).to_contain_text("Unreviewed")
    page.get_by_test_id("tab-platforms").click()
    expect(page.get_by_test_id("platform-row")).to_have_count(2)
    expect(page.locator('[data-platform-id="SW-02"]')).to_contain_text("the stream was opened again")
    own = tuple(prefix + server.address for prefix in ("", "blob:"))
    assert [url for url in watched.addresses if not url.startswith(own)] == []
    assert watched.troubles == []


def test_a_contact_tells_its_place_how_sure_it_is_and_each_sighting(watched: Watched, server: Server) -> None:
    contact = server.ground.contacts["c-0002"]
    position = contact["position"]
    page = watched.page
    _open(page, "c-0002")
    expect(page.get_by_test_id("contact-position")).to_contain_text(
        f"{position['latitude_deg']:.6f}, {position['longitude_deg']:.6f}"
    )
    expect(page.get_by_test_id("contact-ce90")).to_contain_text("m")
    detail = page.get_by_test_id("contact-detail")
    expect(detail).to_contain_text(re.compile(r"36°4\d′\d\d\.\d″N 003°2\d′\d\d\.\d″W"))
    expect(detail).to_contain_text(contact["model_id"])
    expect(detail).to_contain_text("No person has checked this contact")
    expect(page.get_by_test_id("sighting-row")).to_have_count(4)


def test_a_contact_without_a_position_gives_its_bearing_and_the_reason(
    watched: Watched, server: Server
) -> None:
    page = watched.page
    expect(page.locator('[data-contact-id="c-bearing"]').first).to_contain_text("Bearing 214° ± 1.4°")
    _open(page, "c-bearing")
    expect(page.get_by_test_id("no-position")).to_contain_text("above the horizon's limit")
    expect(page.get_by_test_id("contact-position")).to_have_count(0)


def test_a_label_full_of_html_stays_text(watched: Watched) -> None:
    page = watched.page
    row = page.locator('[data-testid="contact-row"][data-contact-id="c-0000"]')
    expect(row).to_contain_text("<img src=x")
    assert row.locator("b, img[src='x']").count() == 0
    _open(page, "c-0000")
    expect(page.get_by_test_id("contact-detail")).to_contain_text(HOSTILE_LABEL[:20])
    expect(page).to_have_title("Skywarden")
    assert watched.troubles == []


def test_a_lost_ground_is_said_plainly_and_nothing_is_missed_afterwards(
    watched: Watched, server: Server
) -> None:
    page = watched.page
    server.go_down()
    page.wait_for_selector('[data-testid="link-state"][data-state="lost"]')
    expect(page.get_by_test_id("lost-banner")).to_contain_text("Not live. What you see is")
    server.ground.add_contact("c-meanwhile", "vessel")
    server.come_back()
    page.wait_for_selector('[data-testid="link-state"][data-state="live"]')
    expect(page.locator('[data-contact-id="c-meanwhile"]')).to_be_visible()
    expect(page.get_by_test_id("lost-banner")).to_have_count(0)


def test_a_live_contact_appears_and_a_resync_loads_everything_again(watched: Watched, server: Server) -> None:
    page = watched.page
    server.ground.add_contact("c-new", "vessel")
    expect(page.locator('[data-contact-id="c-new"]')).to_be_visible()
    server.ground.remove_contact("c-0003")
    server.ground.demand_resync()
    expect(page.locator('[data-contact-id="c-0003"]')).to_have_count(0)
    expect(page.get_by_test_id("counter-contacts")).to_have_text("10")


def test_a_platform_that_fell_silent_is_marked_stale(watched: Watched, server: Server) -> None:
    page = watched.page
    page.get_by_test_id("tab-platforms").click()
    expect(page.locator('[data-platform-id="SW-01"]')).to_have_attribute("data-state", "ok")
    server.ground.silence("SW-01")
    expect(page.locator('[data-platform-id="SW-01"]')).to_have_attribute(
        "data-state", "stale", timeout=LIMIT_MS
    )
    expect(page.locator('[data-platform-id="SW-01"]')).to_contain_text("Position and footprint are old")
    expect(page.get_by_test_id("link-state")).to_have_attribute("data-state", "live")


def test_a_click_on_the_map_selects_the_contact_under_it(watched: Watched) -> None:
    page = watched.page
    _open(page, "c-0005")
    page.get_by_test_id("contact-detail").get_by_label("Show on map").click()
    canvas, detail = (
        page.get_by_test_id("map").bounding_box(),
        page.get_by_test_id("contact-detail").bounding_box(),
    )
    assert canvas is not None
    assert detail is not None
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("contact-detail")).to_have_count(0)
    x, y = (detail["x"] - canvas["x"]) / 2, canvas["height"] / 2
    wanted = page.locator('[data-testid="contact-detail"][data-contact-id="c-0005"]')
    for _ in range(20):  # the flight of the camera takes half a second, more on a slow machine
        page.get_by_test_id("map").click(position={"x": x, "y": y})
        try:
            expect(wanted).to_be_visible(timeout=1_000)
        except AssertionError:
            continue
        break
    expect(wanted).to_be_visible()


def test_keys_search_and_walk_the_list_and_the_theme_is_kept(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("j")
    first = page.get_by_test_id("contact-detail").get_attribute("data-contact-id")
    page.keyboard.press("j")
    expect(page.get_by_test_id("contact-detail")).not_to_have_attribute("data-contact-id", first or "")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("contact-detail")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("plot")
    expect(page.get_by_test_id("contact-row")).to_have_count(2)
    expect(page.get_by_test_id("counter-contacts")).to_have_text("10")
    page.get_by_test_id("theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_at_phone_width_everything_is_reached_without_scrolling_sideways(
    browser: Browser, server: Server
) -> None:
    seen = Watched(browser, server, width=390, height=844)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_test_id("sheet")).to_be_visible()
    _open(page, "c-0002")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("Back to the list").click()
    page.get_by_test_id("tab-platforms").click()
    expect(page.get_by_test_id("platform-row").first).to_be_visible()
    assert seen.troubles == []
    seen.context.close()


def test_an_exercise_says_so(browser: Browser) -> None:
    serving = Server(FakeGround(contacts=2, is_exercise=True))
    serving.start()
    seen = Watched(browser, serving)
    expect(seen.page.get_by_test_id("exercise-banner")).to_contain_text("Exercise")
    expect(seen.page.get_by_test_id("contact-row").first).to_contain_text("Exercise")
    seen.context.close()
    serving.close()


def test_the_plain_modules_of_the_console_pass_their_unit_tests() -> None:
    npm = shutil.which("npm")
    if npm is None or not (CONSOLE / "node_modules").is_dir():
        pytest.skip("the console's packages are not installed: npm ci in ground/console")
    done = subprocess.run(
        [npm, "test"], cwd=CONSOLE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_build_is_small_and_its_lock_file_names_no_registry() -> None:
    if not (DIST / "index.html").is_file():
        pytest.skip("the console is not built: npm ci && npm run build in ground/console")
    size = sum(len(gzip.compress(path.read_bytes())) for path in DIST.rglob("*") if path.is_file())
    assert size < MOST_BYTES_GZ
    assert '"resolved"' not in (CONSOLE / "package-lock.json").read_text()
