"""How a report looks: one style sheet, light, for the screen and for paper."""

from __future__ import annotations

STYLE = """
:root { --ink: #1a1a1a; --soft: #5c6166; --line: #d4d8dc; --accent: #0b4f7d; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 2rem 4rem; color: var(--ink);
  background: #fff; font: 15px/1.5 "Source Serif 4", Charter, Georgia, "Times New Roman", serif; }
h1, h2, th, td, nav, figcaption, .research, .banner, .missing, .card, footer, .subtitle {
  font-family: system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1rem 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 50rem; }
.subtitle p { margin: .1rem 0; color: var(--soft); font-size: .88rem; overflow-wrap: anywhere; }
.research { background: #1f2933; color: #fff; padding: .35rem .8rem; font-size: .85rem;
  max-width: none; }
.banner { background: #fff4d6; border-left: 4px solid #b36b00; padding: .45rem .8rem;
  font-size: .85rem; max-width: none; }
.missing { background: #f3f4f6; border-left: 4px solid #9aa3ab; padding: .45rem .8rem;
  font-size: .88rem; color: #33383d; }
nav { margin: 1.2rem 0; font-size: .9rem; }
nav h2 { border: 0; margin: 0 0 .3rem; font-size: 1rem; }
nav ol { columns: 2; margin: 0; padding-left: 1.4rem; }
nav a { color: var(--accent); text-decoration: none; }
figure { margin: 1.4rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .84rem; color: var(--soft); margin: .35rem 0 .5rem; max-width: 58rem; }
figcaption { break-after: avoid; }
figcaption b { color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; width: 100%; border-bottom: 1.5px solid #333;
  font-variant-numeric: tabular-nums; }
thead th { border-top: 1.5px solid #333; border-bottom: 1px solid #333; text-align: left;
  vertical-align: bottom; padding: .3rem .5rem; font-weight: 600; }
tbody th { font-weight: 500; text-align: left; white-space: nowrap;
  vertical-align: top; padding: .25rem .45rem; }
td { padding: .25rem .5rem; vertical-align: top; }
td.number { white-space: nowrap; }
td small { color: var(--soft); font-size: .7rem; margin-left: .25rem; }
table.many { font-size: .7rem; }
table.many td, table.many th { padding-right: .35rem; }
table.many td small { margin-left: .1rem; font-size: .62rem; }
code { font: .9em ui-monospace, "Liberation Mono", Menlo, monospace; background: #f1f3f5;
  padding: 0 .2em; }
td i { font-style: normal; color: #3c4247; font-size: .95em; }
tr.group > * { border-top: 1px solid var(--line); }
table.list th { white-space: normal; }
table.list td, table.list th { border-top: 1px solid var(--line); }
table.list tr.empty td:last-child { color: #8a4b00; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); padding: .5rem; font-size: .78rem; break-inside: avoid; }
.card p { margin: .4rem 0 0; }
.pair { display: flex; gap: .4rem; }
.pair img { width: calc(50% - .2rem); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .6rem;
  color: var(--soft); font-size: .8rem; }
@media print {
  @page { size: A4; margin: 14mm; }
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  figure, tr, .card { break-inside: avoid; }
  figure.table { break-inside: auto; }
  thead { display: table-header-group; }
  h2 { break-after: avoid; }
  table { font-size: 7.4pt; }
  .wide { overflow: visible; }
  .research, .banner, .missing { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
