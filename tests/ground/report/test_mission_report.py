"""The mission report: whole, honest on its face, safe to open, the same for the same facts."""

import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.ais.config import AisConfig
from ground.past.notes import NotedFootprint
from ground.past.store import PastStore, past_path
from ground.report.facts import ReportFacts, gather
from ground.report.make import facts_of_files
from ground.report.map_drawing import HEIGHT, WIDTH, Projection, angle_text, draw_map
from ground.report.markup import escaped, tag
from ground.report.page import is_untouched, render
from ground.report.pdf import find_browser, print_pdf
from ground.report.words import Words
from skywarden.cli import run
from skywarden.errors import PeerUnavailableError
from skywarden.times import rfc3339
from tests.ground.report.night import DECISIONS, PLACE, START_NS, UNTIL_NS, Night, S, judge, make_night
from tests.ground.scenes import authorization, running_ground


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    made = make_night(tmp_path_factory.mktemp("report") / "ground")
    try:
        yield made
    finally:
        made.close()


def _facts(night: Night, *, unreviewed: bool = False, until_ns: int = UNTIL_NS) -> ReportFacts:
    return gather(
        night.store,
        night.review.book(),
        since_ns=START_NS,
        until_ns=until_ns,
        made_ns=UNTIL_NS,
        with_unreviewed=unreviewed,
        judge=judge,
    )


class _Elements(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._is_style = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._is_style:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def count(self, name: str, part: str = "") -> int:
        return sum(tag == name and part in (found.get("class") or "") for tag, found in self.tags)


def test_only_what_was_confirmed_is_shown_and_the_rest_is_counted(night: Night) -> None:
    facts = _facts(night)
    page = _Elements(render(facts))
    assert page.count("article") == DECISIONS.count("confirmed")
    assert page.count("ellipse") == DECISIONS.count("confirmed")
    assert "Everything shown here has been confirmed by a person" in page.text
    assert "UNREVIEWED" not in page.text
    assert facts.states == {"confirmed": 4, "rejected": 1, "more": 1, "unreviewed": 2}
    assert "Contacts that nobody has reviewed (not shown here): 2." in page.text
    assert "Contacts that people rejected, not shown: 1." in page.text
    for number, decision in enumerate(DECISIONS):
        assert (f".t{number}" in page.text) == (decision == "confirmed"), number


def test_with_unreviewed_things_the_page_says_so_and_marks_each(night: Night) -> None:
    page = _Elements(render(_facts(night, unreviewed=True)))
    assert page.count("article") == len(DECISIONS) - DECISIONS.count("rejected")
    assert "UNREVIEWED: not everything in here has been confirmed by a person" in page.text
    assert page.count("article", "unreviewed") == 2
    assert page.count("article", "more") == 1
    assert ".t3" not in page.text


def test_a_card_tells_place_error_motion_verdict_and_who_decided_when(night: Night) -> None:
    page = _Elements(render(_facts(night)))
    text = re.sub(r"\s+", " ", page.text)
    assert "CE90 " in text
    assert "90 % half axes" in text
    assert "confirmed by ana, 2025-11-21 20:25:00Z: two outboards, no lights" in text
    assert "confirmed by marta, 2025-11-21 20:29:00Z" in text
    assert "ana: Seen from the lighthouse too, 21:15 local." in text
    assert "silent 93 %" in text
    assert "on AIS (MMSI 211000000)" in text
    assert page.count("img") == 4
    assert "11.80 ha" in text
    assert "seen in part only" in text


def test_both_languages_have_all_words_and_the_same_numbers(night: Night) -> None:
    facts = _facts(night, unreviewed=True)
    english, spanish = (_Elements(render(facts, language)) for language in ("en", "es"))
    assert "Informe de misión" in spanish.text
    assert "SIN REVISAR" in spanish.text
    assert [one for one, _ in english.tags] == [one for one, _ in spanish.tags]


def test_the_same_facts_give_the_same_bytes_and_a_changed_page_is_noticed(night: Night) -> None:
    page = render(_facts(night))
    assert page == render(_facts(night))
    assert is_untouched(page)
    assert not is_untouched(page.replace(b"two outboards", b"two outboard5"))
    assert not is_untouched(page + b" ")
    assert not is_untouched(b"nothing")
    assert not is_untouched(page + page)


def test_a_page_asks_for_nothing_and_runs_nothing(night: Night) -> None:
    page = _Elements(render(_facts(night)))
    names = {name for name, _ in page.tags}
    assert not names & {"script", "iframe", "object", "link", "form", "base", "a"}
    sources = [found["src"] for _, found in page.tags if found.get("src")]
    assert all(one is not None and one.startswith("data:image/") for one in sources)
    assert not any(name.startswith("on") for _, found in page.tags for name in found)
    policies = [
        found for tag, found in page.tags if "Content-Security-Policy" in str(found.get("http-equiv"))
    ]
    assert policies[0]["content"] is not None
    assert policies[0]["content"].startswith("default-src 'none'")


@pytest.mark.slow
def test_what_platforms_and_people_say_cannot_become_markup(tmp_path: Path) -> None:
    wicked = '<script>x</script>"><img src=x>'
    made = make_night(tmp_path / "ground", label=wicked, is_exercise=True)
    try:
        page = _Elements(render(_facts(made, unreviewed=True)))
    finally:
        made.close()
    assert page.count("script") == 0
    assert all(str(found.get("src")).startswith("data:") for tag, found in page.tags if tag == "img")
    assert wicked in page.text
    assert "EXERCISE: nothing in here is real" in page.text


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_stands_escaped_in_content_and_attributes(inside: str, attribute: str) -> None:
    made = _Elements(tag("p", inside, title=attribute).encode("utf-8", "replace"))
    assert len(made.tags) == 1
    assert "<" not in escaped(inside)


def test_an_empty_span_is_a_page_without_a_map(night: Night) -> None:
    facts = gather(
        night.store,
        night.review.book(),
        since_ns=START_NS - 10_000 * S,
        until_ns=START_NS - 9_000 * S,
        made_ns=UNTIL_NS,
        with_unreviewed=False,
    )
    page = _Elements(render(facts))
    assert page.count("svg") == 0
    assert "Nothing in this span has a place to draw." in page.text
    assert "Nothing in this span." in page.text


def test_the_map_holds_everything_and_is_true_to_scale(night: Night) -> None:
    facts = _facts(night)
    view = Projection.over([(36.9, -9.0), (37.1, -8.8)])
    x0, y0 = view.px((37.0, -8.9))
    x1, y1 = view.px((37.01, -8.9))
    assert (y0 - y1) / view.px_per_m == pytest.approx(1_113.2, rel=1e-3)
    assert x0 == pytest.approx(x1)
    drawn = draw_map(facts, Words("en"))
    assert drawn is not None
    for x, y in re.findall(r'class="badge[^"]*" cx="([\d.]+)" cy="([\d.]+)"', drawn):
        assert 0 < float(x) < WIDTH
        assert 0 < float(y) < HEIGHT
    numbers = re.findall(r"badge-text[^>]*>(\d+)<", drawn)
    assert numbers == ["1", "2", "3", "4"]


def test_the_map_turns_over_the_antimeridian() -> None:
    view = Projection.over([(10.0, 179.9), (10.0, -179.9)])
    left, right = view.px((10.0, 179.9))[0], view.px((10.0, -179.9))[0]
    assert 0 < left < right < WIDTH


@pytest.mark.parametrize(
    ("degrees", "step", "text"),
    [(36.5, 1.0 / 6.0, "36°30′N"), (-8.0, 1.0, "8°S"), (37.00833333, 1.0 / 3600.0 * 30, "37°00′30″N")],
)
def test_lines_of_the_graticule_are_named_as_finely_as_they_stand(
    degrees: float, step: float, text: str
) -> None:
    assert angle_text(degrees, "NS", step) == text


def _footprint(number: int, north_deg: float = 0.0) -> NotedFootprint:
    south, west = PLACE[0] + north_deg, PLACE[1] + 0.004 * number
    corners = ((0.0, 0.0), (0.0, 0.004), (0.004, 0.004), (0.004, 0.0))
    return NotedFootprint(
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=START_NS + number * 1_000_000_000,
        ring=tuple((south + north, west + east) for north, east in corners),
        gsd_m=0.05,
    )


def test_ground_that_was_in_view_is_shaded_to_a_cell_and_what_was_not_is_not(night: Night) -> None:
    seen = [_footprint(number) for number in (0, 1, 2, 5)]
    facts = replace(_facts(night), contacts=(), plots=(), platforms=(), footprints=tuple(seen))
    page = render(facts, "en")
    assert "4 footprints of this" in page.decode()
    path = next(
        found["d"] or "" for tag, found in _Elements(page).tags if (found.get("class") or "") == "footprints"
    )
    view = Projection.over([place for one in seen for place in one.ring])
    covered = sum(
        (float(right) - float(left)) * (float(low) - float(high))
        for left, high, right, low in re.findall(r"M([-\d.]+),([-\d.]+)H([-\d.]+)V([-\d.]+)H", path)
    )
    side_m = 0.004 * 111_320.0
    true = 4 * side_m * side_m * math.cos(math.radians(PLACE[0])) * view.px_per_m**2
    assert covered == pytest.approx(true, rel=0.12)


def test_a_report_that_cannot_take_all_footprints_claims_nothing_of_the_rest(night: Night) -> None:
    facts = replace(_facts(night), footprints=(_footprint(0),), footprints_left_out=True)
    for language in ("en", "es"):
        words = _Elements(render(facts, language)).text
        assert "nobody looked" not in words
        assert "nadie miró" not in words


@pytest.mark.slow
def test_a_report_comes_from_the_files_of_a_station(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_night(tmp_path / "ground")
    made.close()
    past = PastStore(past_path(tmp_path / "ground"))
    past.write([], [_footprint(number) for number in range(5)])
    past.close()
    facts = facts_of_files(
        tmp_path / "ground",
        AisConfig(),
        since_ns=START_NS,
        until_ns=UNTIL_NS,
        made_ns=UNTIL_NS,
        with_unreviewed=False,
    )
    assert len(facts.contacts) == 4
    assert len(facts.footprints) == 5
    out = tmp_path / "night.html"
    asked = ["--since", rfc3339(START_NS), "--until", rfc3339(UNTIL_NS), "--state", str(tmp_path / "ground")]
    assert run(["ground", "report", *asked, "--out", str(out)]) == 0
    assert is_untouched(out.read_bytes())
    assert "4 contacts, 1 plots, 2 platforms" in capsys.readouterr().out
    assert run(["ground", "report", "check", str(out)]) == 0
    out.write_bytes(out.read_bytes().replace(b"ana", b"eva"))
    assert run(["ground", "report", "check", str(out)]) == 3
    assert run(["ground", "report", *asked, "--out", str(tmp_path / "x.txt")]) == 2


def _check_print(http_url: str, headers: dict[str, str]) -> None:
    """As PDF where this machine has a browser; where not, the answer says so."""
    url = f"{http_url}/api/v1/report?since={rfc3339(START_NS)}&until={rfc3339(UNTIL_NS)}&form=pdf"
    request = urllib.request.Request(url, headers=headers)
    if find_browser() is None:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(request, timeout=60)
        return
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.read(5) == b"%PDF-"
        assert 'filename="report-20251121T200000Z.pdf"' in answer.headers["Content-Disposition"]


@pytest.mark.slow
def test_a_running_station_hands_the_report_out_and_says_in_its_name_what_it_is(tmp_path: Path) -> None:
    make_night(tmp_path / "ground").close()
    with running_ground(tmp_path) as station:
        name, value = authorization(station)
        _check_print(station.http_url, {name: value})
        for extra, prefix in (("", "report-"), ("&unreviewed=true&language=es", "UNREVIEWED-report-")):
            url = (
                f"{station.http_url}/api/v1/report?since={rfc3339(START_NS)}&until={rfc3339(UNTIL_NS)}{extra}"
            )
            request = urllib.request.Request(url, headers={name: value})
            with urllib.request.urlopen(request, timeout=60) as answer:
                page = answer.read()
                assert f'filename="{prefix}20251121T200000Z.html"' in answer.headers["Content-Disposition"]
            assert is_untouched(page)
            assert "could not be heard" in _Elements(page).text or "no se podía oír" in _Elements(page).text


@pytest.mark.slow
def test_a_browser_prints_the_report_on_paper(night: Night) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no browser on this machine prints a PDF")
    data = print_pdf(render(_facts(night)), browser)
    assert data.startswith(b"%PDF-")
    assert len(data) > 20_000


def test_a_browser_that_does_not_print_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "browser"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(PeerUnavailableError, match="no display"):
        print_pdf(b"<p>", str(broken))
