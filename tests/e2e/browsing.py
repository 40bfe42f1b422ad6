"""What the tests in a real browser share: how it starts, how long one waits, a password, what axe finds."""

from typing import Any

from playwright.sync_api import Page, expect

from ground.console.dev.fake_ground import DIST

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
LIMIT_MS = 30_000
PASSWORD = "harbour lantern 7 otters"
AXE = DIST.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

expect.set_options(timeout=LIMIT_MS)


def violations(page: Page, theme: str = "light") -> list[Any]:
    """What axe finds against WCAG 2.2 AA on the page as it stands, in this theme."""
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[Any] = page.evaluate(
        "rules => axe.run(document, {runOnly: rules}).then(result => result.violations.map("
        "one => [one.id, one.nodes.map(node => node.target.join(' ') + ': ' + node.failureSummary)]))",
        RULES,
    )
    return found


def set_first_password(page: Page) -> None:
    """Choose the password that a first one-time code asks for."""
    page.get_by_test_id("sign-in-password").fill(PASSWORD)
    page.get_by_test_id("sign-in-again").fill(PASSWORD)
    page.get_by_test_id("sign-in-go").click()
