"""The browser of the tests that look at the console."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from ground.console.dev.fake_ground import DIST
from tests.e2e.browsing import FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, where it and the built console are there; the tests are skipped, visibly, where not."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    if not (DIST / "index.html").is_file():
        pytest.skip("the console is not built: npm ci && npm run build in ground/console")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()
