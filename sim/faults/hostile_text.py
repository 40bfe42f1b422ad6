"""Scenario S18: text that tries to be more than text, in every place that a radio, a file or a person fills.

Five hundred texts (markup, scripts, paths, control characters, formulas, queries, log lines) go through the
real station and out of every sink: JSON, GeoJSON, Cursor on Target, KLV, metrics, log lines, MAVLink texts,
file names, and the console in a real browser where there is one. Nothing may run, nothing may lie outside the
state folder, nothing may become a second line or a second element.
"""

import contextlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from edge.link.thin_link import ThinLink, ThinLinkConfig
from ground.accounts.roles import Role
from ground.exports.cot import cot_events
from ground.exports.klv import sighting_packets
from ground.link.authenticator import enrol
from ground.serve import authorized_dir
from ground.store.reading import Filter
from ground.store.sqlite import Arrival
from sim.faults.access import Station
from sim.faults.access_fuzz import Request
from sim.faults.contents import made_health, made_sighting
from sim.faults.hostile_texts import hostile_texts
from sim.faults.result import Profile, Result
from skywarden.errors import SkywardenError
from skywarden.link import keys
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Framer
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Message, Position, Sighting
from skywarden.topics import topic_of
from skywarden.wire import Record, encode
from skywarden.wire import decode as decode_body

TEXTS: dict[Profile, int] = {"quick": 120, "full": 1_000, "soak": 1_000}
SEEN: dict[Profile, int] = {"quick": 15, "full": 200, "soak": 1_000}
_PLATFORM = "uav18"
_BROWSER = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_LIMIT_MS = 60_000
_PLAIN = re.compile(r"[A-Za-z0-9_.:\-]+")
_TRAP = """
window.__violations = []; window.__owned = 0;
document.addEventListener('securitypolicyviolation', (event) =>
  window.__violations.push(event.violatedDirective + ' ' + event.blockedURI));
for (const name of ['alert', 'confirm', 'prompt', 'open', 'print'])
  window[name] = () => { window.__owned += 1; };
"""
_LOGGER = """
import json, sys
import structlog
from skywarden.logs import configure_logs
configure_logs(sys.argv[1])
log = structlog.get_logger("s18")
for text in json.load(sys.stdin):
    log.warning("an event", text=text, label=text[:64])
"""


def run(profile: Profile, seed: int, *, with_console: bool = True) -> Result:
    """Every text into every place, and a look at every sink."""
    result = Result("S18", profile, seed)
    began_s = time.monotonic()
    every = list(hostile_texts())
    texts = every[seed % 7 :: max(1, len(every) // TEXTS[profile])]
    result.observe("texts", len(texts))
    _names(result, texts)
    _logs(result, texts)
    _mavlink(result, texts)
    with tempfile.TemporaryDirectory(prefix="skywarden-s18-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        station = Station(root)
        try:
            _fill(station, texts)
            _web(result, station, texts)
            _exports(result, station)
            _files(result, station, Path(folder), texts)
            if with_console:
                _console(result, station, SEEN[profile])
        finally:
            station.close()
    result.seconds = time.monotonic() - began_s
    return result


def _label(text: str) -> str:
    return text[:64] or "x"


def _names(result: Result, texts: Sequence[str]) -> None:
    """Names that become parts of other names are refused on the wire, whatever they try."""
    let_in = 0
    tried = [*texts, "uav07\n", "uav07\0", "uav07\u2028", ".." + "/" * 3, "uav07\r", "\u212auav07"]
    for text in (one[:128] for one in tried if not _PLAIN.fullmatch(one[:128])):
        made = made_sighting("one", "t", _PLATFORM, 1, time.time_ns())
        for field in ("sighting_id", "track_id", "platform_id", "sortie_id", "sensor_id"):
            body = encode(msgspec.structs.replace(made, **{field: text}))
            with contextlib.suppress(SkywardenError):
                decode_body("sighting", body)
                let_in += 1
    result.expect_zero("hostile names that the wire lets in", let_in)


def _logs(result: Result, texts: Sequence[str]) -> None:
    """One event, one line, nothing that moves a terminal's cursor."""
    for style in ("json", "console"):
        done = subprocess.run(
            [sys.executable, "-c", _LOGGER, style],
            input=json.dumps(list(texts)),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        lines = done.stderr.split("\n")[:-1]
        result.expect_equal(f"lines of log for as many events, {style}", len(lines), len(texts))
        unsafe = sum(any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in line) for line in lines)
        result.expect_zero(f"lines of log with control characters, {style}", unsafe)


def _mavlink(result: Result, texts: Sequence[str]) -> None:
    """What a ground control station is told in words."""
    unsafe, shown = 0, 0
    for text in texts:
        node = ThinLink(ThinLinkConfig(mode="always", per_s=1.0), None)
        node.see(_sighting(text, 1), 0.0)
        maker = MessageMaker(1, 191)
        raw = b"".join(maker.message(name, **fields) for name, fields in node.due(0.0, is_ground_up=False))
        for frame in Framer().feed(raw):
            fields = decode.fields(frame)
            if decode.message_name(frame.msgid) == "STATUSTEXT" and fields is not None:
                shown += 1
                words = str(fields["text"])
                unsafe += any(not 32 <= ord(one) < 127 for one in words.rstrip("\0"))
    result.expect_at_least("STATUSTEXT sent", shown, len(texts))
    result.expect_zero("STATUSTEXT that is not printable ASCII", unsafe)


def _sighting(text: str, number: int) -> Sighting:
    made = made_sighting(f"s18.{number}", f"s18.t{number}", _PLATFORM, number, time.time_ns())
    return msgspec.structs.replace(
        made,
        label=_label(text),
        position=Position(
            latitude_deg=40.0 + 0.01 * (number % 100),
            longitude_deg=-3.0 + 0.01 * (number // 100),
            alt_hae_m=10.0,
            covariance_enu_m2=(1.0, 0.0, 0.0, 1.0, 0.0, 1.0),
            ce90_m=2.2,
            le90_m=1.7,
            surface="terrain",
        ),
        bearing=None,
        no_position_reason=None,
    )


def _fill(station: Station, texts: Sequence[str]) -> None:
    messages: list[Message] = [_sighting(text, number) for number, text in enumerate(texts, 1)]
    messages += [made_health(_PLATFORM, text[:512], time.time_ns()) for text in texts]
    arrivals = []
    for seq, message in enumerate(messages, 1):
        record = Record(
            platform_id=_PLATFORM,
            boot_id="18" * 16,
            seq=seq,
            topic=topic_of(message).name,
            time_ns=time.time_ns(),
            body=encode(message),
        )
        arrivals.append(Arrival(record=record, message=message, received_ns=time.time_ns()))
    handle = station.handle
    handle.store.ingest(arrivals)
    settled = handle.store.settle(handle.picture.next_revision())
    handle.picture.note_contacts(list(settled.contacts), [])
    for message in messages:
        handle.picture.note_message(message, time.monotonic())


def _web(result: Result, station: Station, texts: Sequence[str]) -> None:
    """Every answer is data, says so, and has the texts unchanged in it."""
    who = station.session(Role.ADMINISTRATOR)
    wanted = {_label(text) for text in texts}
    unsaid, wrong = 0, 0
    seen: set[str] = set()
    for path in ("contacts?limit=1000", "sightings?limit=1000", "platforms", "status", "tracks"):
        answer = station.ask(Request("GET", f"/api/v1/{path}", dict(who)))
        kind = answer.headers.get("content-type") or ""
        unsaid += answer.headers.get("x-content-type-options") != "nosniff"
        unsaid += "default-src" not in (answer.headers.get("content-security-policy") or "")
        wrong += answer.status != 200 or not kind.startswith("application/json")
        if path.startswith("sightings"):
            seen = {one["label"] for one in json.loads(answer.body)["items"]}
    broken, quoted = 0, [quote(text, safe="") for text in texts]
    for path in quoted:
        for place in (f"layers/{path}", f"contacts/{path}", f"contacts?label={path}", f"chips/{path}"):
            answer = station.ask(Request("GET", f"/api/v1/{place}", dict(who)))
            broken += answer.status >= 500
            wrong += (answer.headers.get("content-type") or "").startswith("text/html")
    result.expect_zero("answers without nosniff and a policy", unsaid)
    result.expect_zero("answers that are not plainly data", wrong)
    result.expect_zero("labels that came out changed", len(wanted - seen))
    result.expect_zero("hostile paths and queries that broke the station", broken)


def _exports(result: Result, station: Station) -> None:
    store = station.handle.store
    sightings, _ = store.sightings(Filter(limit=10_000))
    contacts, _ = store.contacts(Filter(limit=10_000))
    extra = 0
    lines = cot_events((one, "unreviewed") for one in contacts).split(b"\n")
    for line in lines:
        if line.strip() and not line.startswith(b"<?xml"):
            tags = [one.tag for one in ET.fromstring(line).iter()]
            extra += tags.count("event") != 1 or any(
                tag in ("script", "svg", "img", "iframe") for tag in tags
            )
    result.expect_zero("CoT events with foreign elements", extra)
    result.expect_at_least(
        "bytes of KLV", len(sighting_packets((one, "unreviewed") for one in sightings)), 1_000
    )
    who = {"Authorization": f"Bearer {station.handle.program_key('s18')}"}
    page = station.ask(Request("GET", "/metrics", who)).body.decode()
    bad = sum(not line.startswith(("#", "skywarden_", "python_", "process_")) for line in page.splitlines())
    result.expect_zero("lines of metrics that are none", bad)


def _files(result: Result, station: Station, folder: Path, texts: Sequence[str]) -> None:
    """Names of platforms and accounts become files and rows; nothing lies outside the state folder."""
    before = {path for path in folder.rglob("*") if "root" not in path.relative_to(folder).parts}
    made = 0
    for text in texts:
        with contextlib.suppress(SkywardenError, ValueError, OSError):
            enrol(authorized_dir(station.handle.state_dir), text, keys.new_key_pair().public)
            made += 1
    after = {path for path in folder.rglob("*") if "root" not in path.relative_to(folder).parts}
    result.expect_zero("platforms with hostile names that were enrolled", made)
    result.expect_zero("files outside the station's folder", len(after - before))


def _console(result: Result, station: Station, most: int) -> None:
    """The real console of the real station: nothing runs, nothing is asked for elsewhere."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    has_console = (Path(sys.modules["ground"].__path__[0]) / "console" / "dist" / "index.html").is_file()
    if importlib.util.find_spec("playwright") is None or program is None or not has_console:
        result.notes.append("the console was not judged: it needs chromium, playwright and the built console")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=list(_BROWSER))
        try:
            page = browser.new_page()
            page.set_default_timeout(_LIMIT_MS)
            page.add_init_script(_TRAP)
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
            found = _walk(page, station, most)
        finally:
            browser.close()
    own = (station.handle.http_url, f"blob:{station.handle.http_url}")
    result.observe("contacts opened in the console", found["opened"])
    result.expect_zero("scripts that ran in the console", found["owned"])
    result.expect_zero("violations of its policy", found["violations"])
    result.expect_zero("addresses asked for elsewhere", sum(not url.startswith(own) for url in asked))


def _walk(page: Any, station: Station, most: int) -> dict[str, int]:
    page.goto(station.handle.sign_in_page("a-operator", Role.OPERATOR))
    page.wait_for_selector('[data-testid="contact-row"]')
    opened = 0
    for _ in range(most):
        page.keyboard.press("j")
        page.wait_for_selector('[data-testid="contact-detail"]')
        opened += 1
    page.keyboard.press("Escape")
    page.get_by_test_id("tab-platforms").click()
    page.wait_for_selector('[data-testid="platform-row"]')
    owned, violations = page.evaluate("[window.__owned, window.__violations.length]")
    return {"opened": opened, "owned": int(owned), "violations": int(violations)}
