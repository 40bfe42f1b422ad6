"""The latest picture of a platform in a real browser: boxes, age, large view, and a live view granted."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from edge.looks.maker import box_shares, encoded_look
from ground.serve import GroundHandle
from skywarden.messages import Look
from tests.e2e.browsing import LIMIT_MS, set_first_password, violations
from tests.ground.aircraft import Aircraft, flying
from tests.ground.scenes import position, put, running_ground, sighting
from tests.samples import EVERY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

BOXES = np.array([[400, 150, 520, 230], [90, 260, 130, 290]], dtype=np.float32)


def _look(number: int, *, is_live: bool) -> Look:
    """A picture of a grey sea with two boats, of this moment."""
    image = np.full((360, 640, 3), (110, 95, 70), np.uint8)
    for left, top, right, bottom in BOXES.astype(int).tolist():
        cv2.ellipse(
            image,
            ((left + right) // 2, (top + bottom) // 2),
            ((right - left) // 3, 12),
            0,
            0,
            360,
            (230, 230, 235),
            -1,
        )
    cv2.putText(image, str(number), (560, 340), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (200, 200, 200), 2)
    encoded = encoded_look(image, 6_000)
    sample = EVERY["look"]
    assert isinstance(sample, Look)
    return msgspec.structs.replace(
        sample,
        sortie_id="s1",
        frame_number=number,
        time_ns=time.time_ns(),
        media_type=encoded.media_type,
        width_px=encoded.width_px,
        height_px=encoded.height_px,
        data=encoded.data,
        labels=("vessel",),
        box_u16=box_shares(BOXES, 640, 360).tobytes(),
        label_index_u8=bytes([0, 0]),
        track_number=(1, 0),
        track_prefix="uav07-s1-eo",
        is_live=is_live,
    )


@contextmanager
def _looking(ground: GroundHandle, aircraft: Aircraft) -> Iterator[None]:
    """A camera whose pictures come every few seconds, and more often while a live view is granted aboard.

    They are put where the receiver puts them: on a crowded machine the link rightly carries none.
    """
    stopping = threading.Event()

    def run() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            live = bool(aircraft.core.book.live_views())
            ground.picture.note_look(_look(number, is_live=live), time.time_ns())
            ground.picture.publish()
            stopping.wait(0.5 if live else 2.0)

    thread = threading.Thread(target=run, name="camera", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(5.0)


def _shows_a_picture(page: Page) -> None:
    """The card has a picture with two boxes and says how old it is."""
    card = page.get_by_test_id("platform-row")
    expect(card.get_by_test_id("look-picture").locator("img")).to_be_visible(timeout=LIMIT_MS)
    expect(card.get_by_test_id("look-box")).to_have_count(2)
    expect(card.get_by_test_id("look-age")).to_contain_text("Picture", timeout=LIMIT_MS)
    expect(card.get_by_test_id("look-age")).to_contain_text("old")


def _large_by_keyboard(page: Page) -> None:
    """V opens it large, Escape closes it, and the focus can reach it too."""
    page.keyboard.press("v")
    dialog = page.get_by_test_id("look-dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_test_id("look-box")).to_have_count(2)
    expect(dialog.get_by_text("no track")).to_be_visible()
    assert violations(page, "night") == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_test_id("look-enlarge").focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.get_by_test_id("look-close").click()


def _live(page: Page) -> None:
    """Asked, received aboard, pictures come more often, and it can be stopped."""
    state = page.get_by_test_id("live-state")
    page.get_by_test_id("live-rate").select_option("2")
    page.get_by_test_id("live-ask").click()
    expect(state).to_contain_text(
        re.compile(r"Received aboard: 2 pictures/s at most, ends in 4:\d\d"), timeout=LIMIT_MS
    )
    expect(page.get_by_test_id("live-rate-now")).to_contain_text(
        re.compile(r"[0-9.]+/s come"), timeout=LIMIT_MS
    )
    frames = page.get_by_test_id("look-picture").first
    before = frames.get_attribute("data-frame") or ""
    expect(frames).not_to_have_attribute("data-frame", before, timeout=LIMIT_MS)
    page.get_by_test_id("live-stop").click()
    expect(page.get_by_test_id("live-ask")).to_be_visible(timeout=LIMIT_MS)


def test_the_latest_picture_is_shown_with_boxes_and_age_and_a_live_view_is_granted(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        running_ground(tmp_path) as ground,
        flying(tmp_path / "uav07", ground) as aircraft,
        _looking(ground, aircraft),
    ):
        put(aircraft.outbox, sighting("uav07-s1-eo.t1", 1, place=position()))
        first = ground.first_sign_in()
        assert first is not None
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        try:
            page.set_default_timeout(LIMIT_MS)
            page.goto(ground.page(first[1]))
            set_first_password(page)
            page.get_by_test_id("contact-row").first.wait_for(timeout=LIMIT_MS)
            page.keyboard.press("2")
            _shows_a_picture(page)
            _large_by_keyboard(page)
            _live(page)
            assert violations(page) == []
            page.screenshot(path=tmp_path / "look.png")
            page.evaluate("localStorage.setItem('skywarden.language', 'es')")
            page.reload()
            page.get_by_test_id("contact-row").first.wait_for(timeout=LIMIT_MS)
            page.keyboard.press("2")
            expect(page.get_by_test_id("look-age")).to_contain_text("Imagen de hace", timeout=LIMIT_MS)
        finally:
            page.close()
