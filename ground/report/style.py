"""How the page of a report looks, on screens and on A4."""

CSS = """
:root{--ink:#14212b;--soft:#51626e;--line:#d5dde2;--accent:#0b4f6c;--paper:#fff;--wash:#f3f6f8;
--confirmed:#0b6e4f;--open:#9a6700;--alarm:#a3201d}
*{box-sizing:border-box}
body{margin:0;background:var(--wash);color:var(--ink);font:15px/1.5 "Source Sans 3","Segoe UI",
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1060px;margin:0 auto;background:var(--paper);padding:44px 52px 36px}
h1{font-size:32px;line-height:1.15;margin:0;letter-spacing:-.01em}
h2{font-size:19px;margin:38px 0 10px;padding-bottom:6px;border-bottom:2px solid var(--ink)}
p{margin:6px 0}
.lead{color:var(--soft);margin:8px 0 0}
.banner{margin:0 0 22px;padding:10px 16px;border-radius:6px;font-weight:600;color:#fff;
background:var(--confirmed)}
.banner.unreviewed{background:var(--open)}
.banner.exercise{background:var(--alarm);letter-spacing:.02em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:12px;margin:26px 0 0;
padding:0}
.tiles>div{border:1px solid var(--line);border-top:4px solid var(--accent);border-radius:6px;
padding:10px 14px}
.tiles dt{color:var(--soft);font-size:13px}
.tiles dd{margin:0;font-size:27px;font-weight:600;line-height:1.25}
.tiles small{display:block;color:var(--soft);font-size:12.5px;font-weight:400}
svg{display:block;width:100%;height:auto}
svg text{font-family:inherit}
.map .sea{fill:#eef4f6}.map .frame{fill:none;stroke:var(--ink);stroke-width:1.5}
.graticule line{stroke:#b9c9d1;stroke-width:.7}.graticule text{fill:#6c7f8b;font-size:11px}
.footprints{fill:#5b8ea6;fill-opacity:.2;shape-rendering:crispEdges}
.plot{fill:#7aa13a;fill-opacity:.35;stroke:#4d6b1f;stroke-width:1.4}
.plot.unreviewed,.plot.more{fill-opacity:.12;stroke-dasharray:5 3}
.way{fill:none;stroke-width:1.7;stroke-linejoin:round;opacity:.85}
.way.between{stroke-width:1;stroke-dasharray:2 5;opacity:.6}
.platform text{font-size:12px;font-weight:600;paint-order:stroke;stroke:#eef4f6;stroke-width:3px}
.ellipse{fill:#0b6e4f;fill-opacity:.16;stroke:#0b6e4f;stroke-width:1.3}
.ellipse.unreviewed,.ellipse.more{fill:#9a6700;fill-opacity:.1;stroke:#9a6700;stroke-dasharray:4 3}
.spot{fill:#0b6e4f}.spot.unreviewed,.spot.more{fill:#9a6700}
.leader{stroke:var(--ink);stroke-width:.7;opacity:.6}
.arrow{stroke:var(--ink);stroke-width:1.6}
.badge{fill:#0b6e4f;stroke:#fff;stroke-width:1.2}.badge.unreviewed,.badge.more{fill:#fff;stroke:#9a6700}
.badge-text{fill:#fff;font-size:10.5px;font-weight:700;text-anchor:middle}
.badge-text.unreviewed,.badge-text.more{fill:#7a5200}
.plate{fill:#fff;fill-opacity:.85}.bar{fill:none;stroke:var(--ink);stroke-width:1.8}
.bar-text,.north-text{font-size:12px;text-anchor:middle;font-weight:600}
.north{fill:var(--ink)}
.timeline .row-label{font-size:13px;text-anchor:end;font-weight:600}
.timeline .row-line{stroke:var(--line)}
.timeline .axis line{stroke:#e4eaed}.timeline .axis text{font-size:11.5px;fill:#6c7f8b;text-anchor:middle}
.row.seen circle{fill:#fff;stroke:var(--ink);stroke-width:1.6}
.row.decided path{fill:var(--confirmed)}.row.alert path{fill:var(--alarm)}
.note{color:var(--soft);font-size:13.5px}
.cards{display:grid;gap:14px}
.card{display:grid;grid-template-columns:168px 1fr;gap:20px;border:1px solid var(--line);border-radius:8px;
padding:14px;break-inside:avoid}
.card.unreviewed,.card.more{border-style:dashed;border-color:#c9a24a}
.chip{position:relative;background:#dfe6ea;border-radius:5px;overflow:hidden;min-height:110px;display:grid;
place-items:center;color:var(--soft);font-size:13px;align-self:start}
.chip img{width:100%;display:block}.chip svg{position:absolute;inset:0;width:100%;height:100%}
.chip rect{fill:none;stroke:#ffd43b;vector-effect:non-scaling-stroke;stroke-width:2}
.card h3{margin:0;font-size:16.5px;display:flex;gap:10px;align-items:center;flex-wrap:wrap}
.number{display:inline-grid;place-items:center;min-width:24px;height:24px;border-radius:12px;padding:0 6px;
background:var(--confirmed);color:#fff;font-size:13px;font-weight:700}
.unreviewed .number,.more .number{background:#fff;color:#7a5200;border:1.5px solid #9a6700}
.state{white-space:nowrap;font-size:12.5px;font-weight:600;padding:1px 9px;border-radius:10px;
background:#e3f1ec;color:#0a5a41}
.state.unreviewed,.state.more{background:#fbf0d5;color:#7a5200}
.id{color:var(--soft);font-size:13px;font-weight:400}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:8px 0 0}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
.odds{display:flex;height:9px;border-radius:5px;overflow:hidden;margin:6px 0 2px;max-width:440px}
.odds i{display:block}
.matched{background:#0b6e8a}.silent{background:#a3201d}.doubtful{background:#b3741e}
.unheard{background:#93a3ad}.undecided{background:#d5dde2}
.key{display:inline-block;width:9px;height:9px;border-radius:2px;margin:0 5px 0 10px}
.key:first-child{margin-left:0}
.odds-text{font-size:12.5px;color:var(--soft)}
ul{margin:6px 0;padding-left:20px}
table{border-collapse:collapse;width:100%;font-size:14px;margin-top:8px}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1px solid var(--ink);
padding:4px 10px 4px 0}
td{border-bottom:1px solid var(--line);padding:5px 10px 5px 0;vertical-align:top;overflow-wrap:anywhere}
tr{break-inside:avoid}
footer{margin-top:40px;padding-top:12px;border-top:1px solid var(--line);color:var(--soft);font-size:12.5px}
code{font:12px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
@media (max-width:640px){main{padding:22px 16px}.card{grid-template-columns:1fr}h1{font-size:26px}}
@page{size:A4;margin:14mm 13mm 16mm}
@media print{body{background:#fff;font-size:10.5pt}main{max-width:none;padding:0}h2{break-after:avoid}
.map,.timeline{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.card{grid-template-columns:128px 1fr}.tiles{grid-template-columns:repeat(6,1fr);gap:8px}
.tiles>div{padding:6px 9px}.tiles dd{font-size:20px}}
"""
