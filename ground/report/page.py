"""The report as one HTML page: no script, nothing from elsewhere, everything that people or platforms said
escaped.

The page carries the SHA-256 of itself, worked out with its own 64 characters as zeros: `is_untouched` says
whether a file still is what was made.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

from ground.ais.verdict import Verdict
from ground.report.facts import ContactFacts, PlotFacts, ReportFacts
from ground.report.map_drawing import PLATFORM_COLOURS, draw_map
from ground.report.markup import Markup, escaped, joined, tag
from ground.report.style import CSS
from ground.report.timeline_drawing import draw_timeline
from ground.report.words import Language, Words
from ground.review.book import ContactReview
from skywarden import __version__
from skywarden.geometry.uncertainty import ellipse_90
from skywarden.messages import Chip, Position
from skywarden.times import rfc3339

_ZEROS = "0" * 64
_HASH = re.compile(rb'<code id="sha256">([0-9a-f]{64})</code>')
_ODDS = ("matched", "silent", "doubtful", "unheard", "undecided")
_MAX_REASONS = 6
_KNOTS = 1.943844
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(facts: ReportFacts, language: Language = "en") -> bytes:
    """The page in UTF-8; the same facts give the same bytes."""
    words = Words(language)
    title = f"{'EXERCISE ' if facts.is_exercise else ''}{words('title')} {_day(facts.since_ns)}"
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escaped(_POLICY)}">'),
        Markup('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        tag("title", title),
        Markup(f"<style>{CSS}</style>"),
    )
    body = tag("body", tag("main", *_sections(facts, words, title)))
    page = f'<!doctype html>\n<html lang="{language}"><head>{head}</head>{body}</html>\n'.encode()
    digest = hashlib.sha256(page).hexdigest()
    return page.replace(f'<code id="sha256">{_ZEROS}'.encode(), f'<code id="sha256">{digest}'.encode(), 1)


def is_untouched(page: bytes) -> bool:
    """Whether a report still has the content that it was made with."""
    found = list(_HASH.finditer(page))
    if len(found) != 1:
        return False
    start, end = found[0].span(1)
    plain = page[:start] + _ZEROS.encode() + page[end:]
    return hashlib.sha256(plain).hexdigest() == found[0].group(1).decode()


def _sections(facts: ReportFacts, words: Words, title: str) -> Iterable[Markup]:
    yield _banners(facts, words)
    yield tag(
        "header",
        tag("h1", title),
        tag(
            "p",
            f"{words('from')} {_time(facts.since_ns)} {words('to')} {_time(facts.until_ns)}. {words('utc')}.",
            class_="lead",
        ),
    )
    yield _tiles(facts, words)
    yield tag("h2", words("map"))
    drawn = draw_map(facts, words)
    yield (
        joined(_arrow_tip(), drawn, _note(words("map_text")))
        if drawn is not None
        else _note(words("no_place"))
    )
    timeline = draw_timeline(facts, words)
    if timeline is not None:
        yield joined(tag("h2", words("timeline")), timeline)
    yield tag("h2", words("contacts"))
    cards = [_card(number, one, words) for number, one in enumerate(facts.contacts, start=1)]
    yield tag("div", *cards, class_="cards") if cards else _note(words("nothing"))
    if facts.plots:
        yield joined(tag("h2", words("plots")), _plot_table(facts.plots, words))
    if facts.alerts:
        yield joined(tag("h2", words("alerts")), _alert_table(facts, words))
    yield joined(tag("h2", words("platforms")), _platform_table(facts, words))
    yield joined(tag("h2", words("coverage")), tag("p", _coverage(facts, words)))
    yield joined(tag("h2", words("open")), _list(_open_questions(facts, words)))
    yield joined(tag("h2", words("refused")), _list(_refused(facts, words) or [words("open_none")]))
    yield joined(tag("h2", words("how_to_read")), tag("p", words("reading")))
    yield _footer(facts, words)


def _banners(facts: ReportFacts, words: Words) -> Markup:
    exercise = tag("div", words("exercise"), class_="banner exercise") if facts.is_exercise else None
    word = "unreviewed" if facts.has_unreviewed else "confirmed"
    return joined(exercise, tag("div", words(f"{word}_notice"), class_=f"banner {word}"))


def _tiles(facts: ReportFacts, words: Words) -> Markup:
    confirmed = sum(one.review.state == "confirmed" for one in facts.contacts)
    others = len(facts.contacts) - confirmed
    silent = sum(one.verdict is not None and one.verdict.word == "silent" for one in facts.contacts)
    under = [f"{confirmed} {words('confirmed')}"] + ([f"{others} {words('unreviewed')}"] if others else [])
    tiles = [
        (words("contacts"), len(facts.contacts), ", ".join(under)),
        (words("plots"), len(facts.plots), None),
        (f"{words('ais')}: {words('silent')}", silent, None),
        (words("alerts"), len(facts.alerts), None),
        (words("platforms"), len(facts.platforms), None),
        (words("looks"), sum(one.looks for one in facts.platforms), None),
    ]
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", count, tag("small", small) if small else None))
            for name, count, small in tiles
        ),
        class_="tiles",
    )


def _card(number: int, one: ContactFacts, words: Words) -> Markup:
    contact, state = one.contact, one.review.state
    rows: list[tuple[str, object]] = [
        (words("when"), _span(contact.first_ns, contact.last_ns)),
        (words("where"), _where(one, words)),
    ]
    if contact.position is not None:
        rows.append((words("how_sure"), _sureness(contact.position, words)))
    rows += [
        (words("moves"), _motion(contact.course_deg, contact.speed_mps, words)),
        (
            words("seen_by"),
            f"{', '.join(contact.platform_ids)}; {contact.sighting_count} {words('looks').lower()}, "
            f"{words('score')} {contact.score:.2f}, {words('model')} {contact.model_id}",
        ),
        (words("ais"), _verdict(one.verdict, words)),
        (words("decision"), _decision(one.review, words)),
    ]
    comments = [entry for entry in one.said if entry.kind == "comment" and entry.text]
    if comments:
        told = [f"{_time(entry.time_ns)} {entry.account}: {entry.text}" for entry in comments]
        rows.append((words("comments"), _list(told)))
    mark = "EXERCISE " if contact.is_exercise else ""
    title = tag(
        "h3",
        tag("span", number, class_="number"),
        f"{mark}{contact.label}",
        tag("span", words(state), class_=f"state {state}"),
        tag("span", contact.contact_id, class_="id"),
    )
    facts = tag("dl", *(joined(tag("dt", name), tag("dd", value)) for name, value in rows), class_="facts")
    return tag("article", _picture(one.chip, words), tag("div", title, facts), class_=f"card {state}")


def _picture(chip: Chip | None, words: Words) -> Markup:
    """The image with a frame round the object; only media types that the wire allows."""
    if chip is None:
        return tag("div", words("no_picture"), class_="chip")
    x0, y0, x1, y1 = chip.box_in_chip_px
    data = base64.b64encode(chip.data).decode("ascii")
    return tag(
        "div",
        Markup(f'<img alt="" src="data:{chip.media_type};base64,{data}">'),
        tag(
            "svg",
            tag("rect", x=x0, y=y0, width=max(0.0, x1 - x0), height=max(0.0, y1 - y0)),
            viewBox=f"0 0 {chip.width_px} {chip.height_px}",
            preserveAspectRatio="none",
            aria_hidden="true",
        ),
        class_="chip",
    )


def _where(one: ContactFacts, words: Words) -> str:
    contact = one.contact
    if contact.position is not None:
        place = contact.position
        decimal = f"{place.latitude_deg:.6f}, {place.longitude_deg:.6f}"
        return f"{_degrees(place.latitude_deg, place.longitude_deg)}  ({decimal})"
    told = words("no_position") + (f" ({contact.no_position_reason})" if contact.no_position_reason else "")
    if contact.bearing is None:
        return told
    start = contact.bearing_from
    seen_from = f" {words('from').lower()} {_degrees(*start)}" if start is not None else ""
    bearing = contact.bearing
    return f"{told}; {words('bearing')} {bearing.azimuth_deg:05.1f}° ± {bearing.sigma_deg:.1f}°{seen_from}"


def _sureness(place: Position, words: Words) -> str:
    ee, en, _, nn, _, _ = place.covariance_enu_m2
    major, minor, azimuth = (float(one) for one in ellipse_90([[ee, en], [en, nn]]))
    return (
        f"CE90 {_metres(place.ce90_m)}; {words('half_axes')} {_metres(major)} × {_metres(minor)}, "
        f"{azimuth:03.0f}°; LE90 {_metres(place.le90_m)}"
    )


def _motion(course_deg: float | None, speed_mps: float | None, words: Words) -> str:
    if course_deg is None or speed_mps is None:
        return words("no_motion")
    return f"{round(course_deg) % 360:03d}°, {speed_mps:.1f} m/s ({speed_mps * _KNOTS:.1f} kn)"


def _verdict(verdict: Verdict | None, words: Words) -> Markup:
    if verdict is None:
        return escaped(words("no_ais"))
    shares = [(name, float(getattr(verdict, name))) for name in _ODDS]
    bar = [
        tag("i", class_=name, style=f"width:{100.0 * share:.1f}%") for name, share in shares if share > 0.0
    ]
    key = [
        joined(tag("i", class_=f"key {name}"), f"{words(name)} {100.0 * share:.0f} %")
        for name, share in shares
        if share >= 0.005
    ]
    name = f" (MMSI {verdict.mmsi})" if verdict.mmsi is not None else ""
    return joined(
        tag("strong", f"{words(verdict.word)}{name}"),
        tag("div", *bar, class_="odds"),
        tag("div", *key, class_="odds-text"),
        _list([one.text for one in verdict.reasons[:_MAX_REASONS]]),
    )


def _decision(review: ContactReview, words: Words) -> str:
    entry = review.decision
    if entry is None or review.state == "unreviewed":
        was = f"; {words(review.was)}, +{review.new_tracks}" if review.was is not None else ""
        return f"{words('nobody')}{was}"
    bulk = f" ({words('in_bulk')})" if entry.pattern is not None else ""
    told = f": {entry.text}" if entry.text else ""
    return f"{words(review.state)} {words('by')} {entry.account}, {_time(entry.time_ns)}{bulk}{told}"


def _plot_table(plots: Sequence[PlotFacts], words: Words) -> Markup:
    rows = []
    for one in plots:
        plot = one.plot
        value, low, high = plot.area_m2
        area = f"{_area(value)} ({words('interval')} {_area(low)} – {_area(high)})"
        rows.append(
            (
                joined(
                    plot.label, " ", tag("span", words(one.review.state), class_=f"state {one.review.state}")
                ),
                _degrees(plot.position.latitude_deg, plot.position.longitude_deg),
                area + ("" if plot.is_complete else f", {words('in_part')}"),
                f"{plot.slope_deg:.0f}°",
                _span(plot.first_ns, plot.time_ns),
                _decision(one.review, words),
            )
        )
    heads = ("what", "where", "area", "slope", "when", "decision")
    return _table([words(one) for one in heads], rows)


def _alert_table(facts: ReportFacts, words: Words) -> Markup:
    numbers = {one.contact.contact_id: number for number, one in enumerate(facts.contacts, start=1)}
    rows = []
    for one in facts.alerts:
        alert, act = one.alert, one.acknowledged
        done = (
            f"{words('acknowledged_by')} {act.account}, {_time(act.time_ns)}"
            if act
            else words("not_acknowledged")
        )
        rows.append(
            (
                _time(alert.time_ns),
                f"{alert.rule_name}" + (f", {alert.zone_name}" if alert.zone_name else ""),
                f"{numbers.get(alert.contact_id, '')} {alert.label}",
                "; ".join(reason.text for reason in alert.why),
                done,
            )
        )
    return _table(
        [words("when"), words("alert"), words("what"), words("seen"), words("decision")],
        rows,
    )


def _platform_table(facts: ReportFacts, words: Words) -> Markup:
    rows = []
    for number, platform in enumerate(facts.platforms):
        colour = PLATFORM_COLOURS[number % len(PLATFORM_COLOURS)]
        for sortie_id in dict.fromkeys(span.sortie_id for span in platform.spans):
            spans = [span for span in platform.spans if span.sortie_id == sortie_id]
            name = joined(
                tag("i", class_="key", style=f"background:{colour};margin-left:0"), platform.platform_id
            )
            when = _span(spans[0].first_ns, spans[-1].last_ns)
            rows.append((name, sortie_id, when, str(sum(span.looks for span in spans))))
    if not rows:
        return _note(words("nothing"))
    return _table([words("platforms"), words("sortie"), words("on_task"), words("looks")], rows)


def _coverage(facts: ReportFacts, words: Words) -> str:
    if facts.footprints:
        key = "coverage_cut" if facts.footprints_left_out else "coverage_kept"
        return words(key, count=len(facts.footprints))
    return words("coverage_none")


def _open_questions(facts: ReportFacts, words: Words) -> list[str]:
    not_shown = "" if facts.has_unreviewed else words("not_shown")
    undecided = ("unheard", "undecided", "doubtful")
    counted = [
        (facts.states.get("unreviewed", 0), "open_unreviewed"),
        (facts.states.get("more", 0), "open_more"),
        (sum(one.acknowledged is None for one in facts.alerts), "open_alerts"),
        (sum(one.contact.position is None for one in facts.contacts), "open_place"),
        (
            sum(one.verdict is not None and one.verdict.word in undecided for one in facts.contacts),
            "open_ais",
        ),
        (sum(not one.plot.is_complete for one in facts.plots), "open_plots"),
    ]
    found = [words(word, count=count, shown=not_shown) for count, word in counted if count]
    return found or [words("open_none")]


def _refused(facts: ReportFacts, words: Words) -> list[str]:
    counted = [
        (facts.states.get("rejected", 0), "refused_rejected"),
        (facts.counts.quarantined, "refused_quarantine"),
        (facts.left_out, "refused_room"),
        (int(facts.looks_left_out), "refused_looks"),
        (facts.unjudged, "refused_ais"),
    ]
    return [words(word, count=count) for count, word in counted if count]


def _footer(facts: ReportFacts, words: Words) -> Markup:
    return tag(
        "footer",
        tag("p", f"{words('made')} {_time(facts.made_ns)} · skywarden {__version__}"),
        tag("p", f"{words('hash')}: ", Markup(f'<code id="sha256">{_ZEROS}</code>')),
    )


def _arrow_tip() -> Markup:
    """The head of a course's arrow; a drawing of its own because maps refer to it by name."""
    return Markup(
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        '<path d="M0 0L8 4L0 8Z" fill="#14212b"/></marker></defs></svg>'
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag("table", tag("thead", tag("tr", *(tag("th", one) for one in heads))), tag("tbody", *body))


def _list(lines: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", one) for one in lines)) if lines else Markup("")


def _note(text: str) -> Markup:
    return tag("p", text, class_="note")


def _time(time_ns: int) -> str:
    moment = rfc3339(time_ns)
    return f"{moment[:10]} {moment[11:19]}Z"


def _day(time_ns: int) -> str:
    return rfc3339(time_ns)[:10]


def _span(first_ns: int, last_ns: int) -> str:
    first, last = _time(first_ns), _time(last_ns)
    return first if first == last else f"{first} – {last[11:] if first[:10] == last[:10] else last}"


def _degrees(latitude_deg: float, longitude_deg: float) -> str:
    return f"{_dms(latitude_deg, 'NS', 2)} {_dms(longitude_deg, 'EW', 3)}"


def _dms(degrees: float, sides: str, width: int) -> str:
    tenths = round(abs(degrees) * 36_000.0)
    whole, rest = divmod(tenths, 36_000)
    minutes, seconds = divmod(rest, 600)
    return f"{whole:0{width}d}°{minutes:02d}′{seconds / 10.0:04.1f}″{sides[0] if degrees >= 0 else sides[1]}"


def _metres(metres: float) -> str:
    return (
        f"{metres:.1f} m"
        if metres < 100.0
        else f"{metres:.0f} m"
        if metres < 10_000.0
        else f"{metres / 1e3:.1f} km"
    )


def _area(square_m: float) -> str:
    return f"{square_m:.0f} m²" if square_m < 10_000.0 else f"{square_m / 1e4:.2f} ha"
