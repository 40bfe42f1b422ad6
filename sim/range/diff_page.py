"""The model diff as a page: one file, no scripts, pictures inside it; text from flights is only text."""

import base64
from html import escape

from sim.range.diff import Change, Kind, ModelDiff, Side

_TITLES: dict[Kind, str] = {
    "lost": "Lost",
    "gained": "Gained",
    "moved": "Moved",
}
_ABOUT: dict[Kind, str] = {
    "lost": "{a} has it, {b} does not.",
    "gained": "{b} has it, {a} does not.",
    "moved": "Both have it, at places outside their joint 90 % ellipse.",
}
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --quiet: #777; --lost: #b3261e; --gained: #1b6e3c;
  --moved: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --lost: #ff8a80; --gained: #81c995; --moved: #fdd663;
  --quiet: #aaa; } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2rem; } .quiet { color: var(--quiet); }
.counts { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
.counts li { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; }
.counts b { display: block; font-size: 1.6rem; }
.lost { color: var(--lost); } .gained { color: var(--gained); } .moved { color: var(--moved); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; border-top: 1px solid var(--line);
  padding: .75rem 0; }
.side img { image-rendering: pixelated; min-width: 8rem; max-width: 100%; height: 9rem; object-fit: contain;
  background: #0002; display: block; }
.none { display: grid; place-items: center; height: 9rem; width: 9rem; border: 1px dashed var(--line);
  color: var(--quiet); }
.side dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .75rem;
  margin: .4rem 0 0; font-size: .9rem; }
.side dt { color: var(--quiet); } .side dd { margin: 0; overflow-wrap: anywhere; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def diff_page(diff: ModelDiff) -> str:
    """The page as HTML text."""
    names = f"{escape(diff.model_a)} and {escape(diff.model_b)}"
    counts = "".join(
        f'<li class="{kind}"><b>{len(diff.of(kind))}</b>{_TITLES[kind].lower()}</li>' for kind in _TITLES
    )
    parts = [_section(diff, kind) for kind in _TITLES]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Contacts of {names}</title><style>{_STYLE}</style></head><body>"
        f"<h1>From {escape(diff.model_a)} to {escape(diff.model_b)}</h1>"
        f'<p class="quiet">{escape(", ".join(diff.flights))}: {diff.contacts_a} contacts before, '
        f"{diff.contacts_b} after.</p>"
        f'<ul class="counts"><li><b>{diff.same}</b>the same</li>{counts}</ul>'
        f"{''.join(parts)}</body></html>\n"
    )


def _section(diff: ModelDiff, kind: Kind) -> str:
    found = diff.of(kind)
    if not found:
        return ""
    about = escape(_ABOUT[kind].format(a=diff.model_a, b=diff.model_b))
    pairs = "".join(_pair(diff, change) for change in found)
    return f'<h2 class="{kind}">{_TITLES[kind]} ({len(found)})</h2><p class="quiet">{about}</p>{pairs}'


def _pair(diff: ModelDiff, change: Change) -> str:
    moved = "" if change.by_m is None else f'<p class="moved">moved by {change.by_m:.1f} m</p>'
    before, after = _side(diff.model_a, change.before), _side(diff.model_b, change.after)
    return f'{moved}<div class="pair">{before}{after}</div>'


def _side(model: str, side: Side | None) -> str:
    if side is None:
        text = '<div class="none">no contact</div>'
        return f'<div class="side"><strong>{escape(model)}</strong>{text}</div>'
    picture = '<div class="none">no picture</div>'
    if side.chip is not None and side.chip_type is not None:
        data = base64.b64encode(side.chip).decode()
        words = escape(f"{side.label} as {model} saw it", quote=True)
        picture = f'<img alt="{words}" src="data:{escape(side.chip_type, quote=True)};base64,{data}">'
    place = "no place"
    if side.latitude_deg is not None and side.longitude_deg is not None:
        place = f"{side.latitude_deg:.6f}, {side.longitude_deg:.6f} within {side.ce90_m or 0.0:.0f} m (90 %)"
    rows = (
        ("what", f"{side.label}, {side.score:.2f}"),
        ("looks", str(side.looks)),
        ("where", place),
        ("contact", side.contact_id),
    )
    told = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<div class="side"><strong>{escape(model)}</strong>{picture}<dl>{told}</dl></div>'
