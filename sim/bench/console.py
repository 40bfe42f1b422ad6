"""How quickly the console opens and how smoothly it runs with 5,000 contacts and 200 tracks in a browser.

Usage: python -m sim.bench.console [--contacts 5000] [--tracks 200] [--seconds 8] [--out docs] [--trace FILE]

A real station (store, contacts, live stream) serves the built console to Chromium. Nothing here is a ratio:
what a browser can draw depends on its graphics, so the page names them, and counts what does not depend on
them too: how long the page's own thread worked, frame by frame, and how often it was busy for over 50 ms.
"""

import argparse
import math
import os
import platform
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ground.accounts.roles import Role
from ground.config import ContactsConfig, GroundConfig
from ground.fusion.book import ContactBook
from ground.serve import GroundHandle, start_ground, store_path
from ground.store.arrivals import Arrival
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from skywarden.errors import InputError
from skywarden.geometry.uncertainty import ce90_m
from skywarden.messages import PlatformPose, Position, Sighting, Track
from skywarden.wire import Record, encode

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

CENTRE_DEG = (36.70, -3.40)
METRE_DEG = 1 / 111_319.49
AREA_M = 60_000.0
AGE_STEP_NS = 300_000_000_000
"""A contact every five minutes, as of two weeks of flights: tracks far apart in time are not compared."""
TRACK_HZ = 2.0
CHANGES_PER_S = 40
LOADS = 3
GOAL_LOAD_S = 2.0
GOAL_FRAMES_PER_S = 60.0
LIMIT_MS = 120_000
SOFTWARE = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_WATCH = """() => {
  const seen = (window.__seen = {gaps: [], tasks: [], last: 0});
  new PerformanceObserver(list => { for (const one of list.getEntries()) seen.tasks.push(one.duration); })
    .observe({entryTypes: ['longtask']});
  const beat = now => { if (seen.last) seen.gaps.push(now - seen.last); seen.last = now;
                        requestAnimationFrame(beat); };
  requestAnimationFrame(beat);
}"""
_TAKE = """() => { const {gaps, tasks} = window.__seen;
  window.__seen.gaps = []; window.__seen.tasks = []; return {gaps, tasks}; }"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One way of using the console, as it went: wall `seconds`, `gaps_ms` between frames, `tasks_ms` over
    50 ms, seconds of processor time of the page (its thread, the map's worker, memory) and of the graphics.
    """

    name: str
    seconds: float
    gaps_ms: tuple[float, ...]
    tasks_ms: tuple[float, ...]
    page_s: float
    graphics_s: float

    @property
    def frames_per_s(self) -> float:
        """Frames that the page had a turn for, a second."""
        return len(self.gaps_ms) / self.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One opening of the page: wall seconds to map and list; processor seconds of page, graphics, station."""

    wall_s: float
    page_s: float
    graphics_s: float
    station_s: float


class Filling:
    """Keeps a station's picture moving as edges would: tracks at 2 Hz, contacts that change, one platform."""

    def __init__(self, ground: GroundHandle, tracks: int) -> None:
        self._ground, self._tracks = ground, tracks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filling", daemon=True)
        self._contacts, _ = ground.store.contacts(Filter(limit=2_000))

    def __enter__(self) -> "Filling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(1.0 / TRACK_HZ):
            turn += 1
            now_s = time.monotonic()
            picture = self._ground.picture
            for message in (pose(turn), *(track(number, turn) for number in range(self._tracks))):
                picture.note_message(message, now_s)
            many = round(CHANGES_PER_S / TRACK_HZ)
            first = turn * many % max(1, len(self._contacts) - many)
            picture.note_contacts(self._contacts[first : first + many], [])
            picture.publish()


def place(number: int, drift_m: float = 0.0) -> Position:
    """Where contact or track `number` lies: a sunflower over the area, so that no two fuse."""
    radius = AREA_M / 2 * math.sqrt((number + 0.5) / 5_200)
    turn = number * 2.399963
    north, east = radius * math.cos(turn) + drift_m, radius * math.sin(turn) + drift_m / 2
    variance = (4.0 + number % 9) ** 2
    return Position(
        latitude_deg=CENTRE_DEG[0] + north * METRE_DEG,
        longitude_deg=CENTRE_DEG[1] + east * METRE_DEG / math.cos(math.radians(CENTRE_DEG[0])),
        alt_hae_m=48.0,
        covariance_enu_m2=(variance, variance / 4, 0.0, variance / 2, 0.0, 9.0),
        ce90_m=float(ce90_m([[variance, variance / 4], [variance / 4, variance / 2]])),
        le90_m=4.9,
        surface="sea",
    )


def sighting(number: int, now_ns: int) -> Sighting:
    """The one look that makes contact `number`."""
    return Sighting(
        sighting_id=f"uav07-s1-eo-{number}-1",
        track_id=f"uav07-s1-eo-{number}",
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        frame_number=number,
        time_ns=now_ns - number * AGE_STEP_NS,
        label=("vessel", "vehicle", "object")[number % 3],
        score=0.3 + 0.6 * (number % 100) / 100,
        model_id="anomaly-1",
        box_px=(1.0, 2.0, 3.0, 4.0),
        position=place(number),
        bearing=None,
        no_position_reason=None,
        platform_position=(CENTRE_DEG[0], CENTRE_DEG[1], 120.0),
    )


def track(number: int, turn: int) -> Track:
    """Track `number` after `turn` half seconds at 8 m/s."""
    now_ns = time.time_ns()
    return Track(
        track_id=f"uav07-s2-eo-{number}",
        platform_id="uav07",
        sortie_id="s2",
        sensor_id="eo",
        time_ns=now_ns,
        first_ns=now_ns - turn * 500_000_000,
        status="confirmed",
        label="vessel",
        score=0.8,
        look_count=turn,
        position=place(number * 25 + 12, drift_m=300.0 + 4.0 * turn),
        course_deg=27.0,
        speed_mps=8.0,
    )


def pose(turn: int) -> PlatformPose:
    """The platform on its circle."""
    angle = turn / 60
    now_ns = time.time_ns()
    return PlatformPose(
        platform_id="uav07",
        sortie_id="s2",
        time_ns=now_ns,
        received_ns=now_ns,
        latitude_deg=CENTRE_DEG[0] + 900 * METRE_DEG * math.cos(angle),
        longitude_deg=CENTRE_DEG[1] + 900 * METRE_DEG * math.sin(angle),
        alt_hae_m=168.0,
        alt_msl_m=120.0,
        alt_rel_m=120.0,
        heading_deg=math.degrees(angle + math.pi / 2) % 360,
        course_deg=None,
        speed_mps=8.0,
        climb_mps=0.0,
        q_ned_body=None,
    )


@contextmanager
def filled_station(folder: Path, contacts: int) -> Iterator[GroundHandle]:
    """A station whose store held `contacts` contacts when it started."""
    state = folder / "ground"
    state.mkdir(mode=0o700)
    now_ns = time.time_ns()
    store = SqliteStore(store_path(state), ContactBook(ContactsConfig()))
    try:
        messages = [sighting(number, now_ns) for number in range(contacts)]
        store.ingest([_arrival(one, seq) for seq, one in enumerate(messages, 1)])
    finally:
        store.close()
    ground = start_ground(GroundConfig(state=str(state), http="127.0.0.1:0", link="127.0.0.1:0"))
    try:
        yield ground
    finally:
        ground.stop()


def _arrival(message: Sighting, seq: int) -> Arrival:
    record = Record(
        platform_id=message.platform_id,
        boot_id="0123456789abcdef" * 2,
        seq=seq,
        topic="sighting",
        time_ns=message.time_ns,
        body=encode(message),
    )
    return Arrival(record=record, message=message, received_ns=message.time_ns + 5_000)


def measure(contacts: int, tracks: int, seconds: float, trace: Path | None) -> dict[str, Any]:
    """All of it; raises `InputError` where browser, playwright or the built console are missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("playwright is not installed: pip install '.[test]'") from error
    program = shutil.which("chromium")
    if program is None:
        raise InputError("there is no chromium on this machine: apt-get install chromium")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ground = stack.enter_context(filled_station(folder, contacts))
        stack.enter_context(Filling(ground, tracks))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=program, args=list(SOFTWARE))
        stack.callback(browser.close)
        session = browser.new_browser_cdp_session()
        loads = [_load(browser, session, ground) for _ in range(LOADS)]
        page = _opened(browser, ground)
        page.wait_for_function("document.querySelector('[data-testid=counter-tracks]')?.dataset.count > 0")
        page.wait_for_timeout(3_000)
        page.evaluate(_WATCH)
        if trace is not None:
            browser.start_tracing(page=page, path=trace)
        scenes = [scene(page, session, *each, seconds) for each in _SCENES]
        if trace is not None:
            browser.stop_tracing()
        return {
            "contacts": int(
                "".join(filter(str.isdigit, page.get_by_test_id("counter-contacts").inner_text()))
            ),
            "tracks": int(page.get_by_test_id("counter-tracks").get_attribute("data-count") or 0),
            "loads": loads,
            "scenes": scenes,
            "graphics": page.evaluate(_GRAPHICS),
            "browser": browser.version,
            "heap_mb": page.evaluate("performance.memory.usedJSHeapSize / 1e6"),
        }


_GRAPHICS = """() => { const gl = document.createElement('canvas').getContext('webgl2');
  const more = gl?.getExtension('WEBGL_debug_renderer_info');
  return more ? gl.getParameter(more.UNMASKED_RENDERER_WEBGL) : 'unknown'; }"""


def _opened(browser: "Browser", ground: GroundHandle) -> "Page":
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.goto(ground.sign_in_page("bench", Role.OPERATOR))
    page.wait_for_selector('[data-testid="map"][data-ready="true"]')
    page.wait_for_selector('[data-testid="contact-row"]')
    # The newest come first; opened is what shows them all.
    every = re.compile(f"{ground.store.counts().contacts:,}".replace(",", ".?"))
    page.locator('[data-testid="counter-contacts"]', has_text=every).wait_for()
    return page


def _load(browser: "Browser", session: "CDPSession", ground: GroundHandle) -> Load:
    """From the opening of the page in a fresh browser profile to map and list."""
    before, station_s = _clocks(session), time.process_time()
    page = _opened(browser, ground)
    taken = Load(
        wall_s=float(page.evaluate("performance.now()")) / 1000,
        page_s=_spent(before, after := _clocks(session), "renderer"),
        graphics_s=_spent(before, after, "GPU"),
        station_s=time.process_time() - station_s,
    )
    page.context.close()
    return taken


def _still(page: "Page", seconds: float) -> None:
    page.wait_for_timeout(seconds * 1000)


def _pan(page: "Page", seconds: float) -> None:
    """Drag the map about, 30 moves a second."""
    box = page.get_by_test_id("map").bounding_box() or {"x": 0.0, "y": 0.0, "width": 900.0, "height": 700.0}
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    end_s, step = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        step += 1
        page.mouse.move(x + 160 * math.sin(step / 12), y + 90 * math.cos(step / 17))
        page.wait_for_timeout(25)
    page.mouse.up()


def _scroll(page: "Page", seconds: float) -> None:
    """Run through the list by wheel."""
    page.mouse.move(150, 500)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(25)


_SCENES = (
    ("watching, nothing touched", _still),
    ("dragging the map", _pan),
    ("running through the list", _scroll),
)


def scene(page: "Page", session: "CDPSession", name: str, act: Any, seconds: float) -> Scene:
    """Do one thing for a while and count."""
    page.evaluate(_TAKE)
    before, began_s = _clocks(session), time.monotonic()
    act(page, seconds)
    taken_s, after = time.monotonic() - began_s, _clocks(session)
    seen = page.evaluate(_TAKE)
    return Scene(
        name=name,
        seconds=taken_s,
        gaps_ms=tuple(seen["gaps"]),
        tasks_ms=tuple(seen["tasks"]),
        page_s=_spent(before, after, "renderer"),
        graphics_s=_spent(before, after, "GPU"),
    )


def _clocks(session: "CDPSession") -> dict[tuple[str, int], float]:
    """Processor seconds of each of the browser's processes by kind and number."""
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return {(one["type"], one["id"]): float(one["cpuTime"]) for one in found}


def _spent(before: dict[tuple[str, int], float], after: dict[tuple[str, int], float], kind: str) -> float:
    return sum(seconds - before.get(key, 0.0) for key, seconds in after.items() if key[0] == kind)


def page_text(found: dict[str, Any]) -> str:
    """docs/console-speed.md."""
    loads = found["loads"]
    wall_s = median(one.wall_s for one in loads)
    reached = "reached" if wall_s <= GOAL_LOAD_S else "**missed**"
    work_s = median(one.page_s + one.graphics_s + one.station_s for one in loads)
    lines = [
        "# How fast the console is",
        "",
        "Made by `python -m sim.bench.console`: a real station with its store full, Chromium, 1440 x 900.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} x {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f} (station, browser and graphics share these processors). "
        f"Chromium {found['browser']}, graphics "
        f"**{found['graphics']}**: without a graphics card the processor paints every pixel, so frames a "
        "second and waits here say little of a tablet or a laptop, and less the higher the load. What "
        "carries over is the processor time of the page: its thread, the map's worker, memory.",
        "",
        f"{found['contacts']:,} contacts, {found['tracks']} tracks that move twice a second, {CHANGES_PER_S} "
        f"contacts that change a second; {found['heap_mb']:.0f} MB of memory in the page.",
        "",
        f"**From opening the page to map and list**: {wall_s:.1f} s "
        f"({', '.join(f'{one.wall_s:.1f}' for one in loads)}; goal {GOAL_LOAD_S:g} s, {reached} at this "
        f"load). Processor time of it: page {median(one.page_s for one in loads):.2f} s, graphics "
        f"{median(one.graphics_s for one in loads):.2f} s, station "
        f"{median(one.station_s for one in loads):.2f} s, "
        f"together {work_s:.2f} s on two cores.",
        "",
        f"| | frames/s (goal {GOAL_FRAMES_PER_S:g}) | gap between frames, median / 95 % / worst | "
        "page, share of a core | graphics, share of a core | blocks over 50 ms, a minute (worst) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(one) for one in found["scenes"]]
    return "\n".join(lines) + "\n"


def _row(one: Scene) -> str:
    gaps = sorted(one.gaps_ms) or [0.0]
    late = gaps[min(len(gaps) - 1, int(0.95 * len(gaps)))]
    worst = max(one.tasks_ms, default=0.0)
    return (
        f"| {one.name} | {one.frames_per_s:.0f} | {median(gaps):.0f} / {late:.0f} / {gaps[-1]:.0f} ms | "
        f"{one.page_s / one.seconds:.0%} | {one.graphics_s / one.seconds:.0%} | "
        f"{len(one.tasks_ms) / one.seconds * 60:.0f} ({worst:.0f} ms) |"
    )


def main() -> int:
    """Measure and write docs/console-speed.md."""
    parser = argparse.ArgumentParser(description="How fast the console is, in a real browser.")
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=None, help="folder for console-speed.md; else only shown")
    parser.add_argument("--trace", type=Path, default=None, help="a file for Chromium's trace of the scenes")
    given = parser.parse_args()
    text = page_text(measure(given.contacts, given.tracks, given.seconds, given.trace))
    sys.stdout.write(text)
    if given.out is not None:
        (given.out / "console-speed.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
