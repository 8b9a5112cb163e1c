// SPDX-License-Identifier: Apache-2.0
// Style and script of a report. The page has everything in itself, so that a
// file that is sent or archived still shows what it showed.
#pragma once

namespace spanlm {

// Colours are variables: the reader's system says whether light or dark.
inline constexpr char kReportStyle[] = R"css(
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --edge: #e2e5ea; --ink: #1c2430;
  --soft: #5d6878; --grid: #eceef2; --axis: #9aa4b2; --heat: #0b6e8f;
  --strong: #ffffff;
  --c0: #1f6feb; --c1: #d9480f; --c2: #2b8a3e; --c3: #9c36b5;
  --c4: #0b7a8f; --c5: #c2255c; --c6: #a07000; --c7: #5f6b7a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151b; --card: #191f28; --edge: #2a323e; --ink: #e6eaf0;
    --soft: #9aa6b6; --grid: #262e39; --axis: #566274; --heat: #4cc9e8;
    --strong: #08222b;
    --c0: #6ea8fe; --c1: #ff922b; --c2: #69db7c; --c3: #da77f2;
    --c4: #3bc9db; --c5: #f783ac; --c6: #ffd43b; --c7: #adb5bd;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1180px; padding: 28px 20px 40px;
  background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 24px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 30px 0 12px; }
p { margin: 4px 0; }
.soft, .none { color: var(--soft); }
.tiles, .pair, .panels { display: grid; gap: 14px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(160px, 1fr));
  margin: 20px 0 14px; }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr));
  margin-top: 14px; }
.panels { grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); }
.tile, .chart, .card {
  background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
}
.tile { padding: 12px 14px; }
.tile b { display: block; font-size: 23px; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.chart { margin: 0; padding: 12px 14px 8px; position: relative; min-width: 0; }
.card { padding: 12px 14px; overflow-x: auto; }
.card h2 { font-size: 15px; margin: 0; }
.wide { grid-column: 1 / -1; }
figcaption { font-weight: 600; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px;
  margin: 2px 0 4px; padding: 0; font-size: 13px; color: var(--soft); }
.legend svg { width: 18px; height: 8px; margin-right: 6px; }
svg.plot, svg.map { display: block; width: 100%; height: auto; }
svg.plot { touch-action: pan-y; }
text { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.label { font-size: 12px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: var(--grid); fill: none; }
.axis { stroke: var(--axis); fill: none; }
polyline, .legend path { fill: none; stroke: var(--color); stroke-width: 1.8;
  stroke-linejoin: round; stroke-linecap: round; }
circle { fill: var(--color); }
.faint polyline { stroke-width: 1; opacity: .3; }
.dash polyline, .dash path { stroke-dasharray: 5 4; }
.c0 { --color: var(--c0); } .c1 { --color: var(--c1); }
.c2 { --color: var(--c2); } .c3 { --color: var(--c3); }
.c4 { --color: var(--c4); } .c5 { --color: var(--c5); }
.c6 { --color: var(--c6); } .c7 { --color: var(--c7); }
.cell rect { fill: var(--heat); }
.cell text { fill: var(--ink); font-size: 12px; }
.cell.strong text { fill: var(--strong); }
.rule { stroke: var(--axis); stroke-dasharray: 3 3; }
.tip { position: absolute; pointer-events: none; z-index: 1; font-size: 12.5px;
  padding: 5px 9px; background: var(--card); border: 1px solid var(--axis);
  border-radius: 7px; box-shadow: 0 2px 8px rgb(0 0 0 / .18);
  width: max-content; font-variant-numeric: tabular-nums; }
.tip div { display: flex; align-items: center; gap: 7px; }
.tip i { width: 9px; height: 9px; border-radius: 50%; background: var(--color); }
.tip b { padding-left: 6px; margin-left: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 4px; }
th, td { text-align: left; padding: 5px 10px 5px 0; font-weight: 400;
  border-bottom: 1px solid var(--edge); vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
th { color: var(--soft); width: 48%; }
td { font-variant-numeric: tabular-nums; }
footer { margin-top: 24px; font-size: 13px; color: var(--soft); }
@media (max-width: 700px) {
  .full { overflow-x: auto; }
  .full svg.plot { width: 780px; }
}
@media print { body { max-width: none; } .chart, .tile { break-inside: avoid; } }
)css";

// Read-outs: a rule at the update under the pointer, and each line's value
// there. Without it the page is whole but still.
inline constexpr char kReportScript[] = R"js(
"use strict";
for (const plot of document.querySelectorAll("svg.plot")) {
  const area = plot.querySelector("svg.lines");
  const left = +area.getAttribute("x"), top = +area.getAttribute("y");
  const lines = [...plot.querySelectorAll("polyline[data-name]")].map((line) => ({
    name: line.dataset.name,
    color: line.parentNode.getAttribute("class"),
    places: line.getAttribute("points").split(" ").map((p) => +p.split(",")[0]),
    updates: line.dataset.updates.split(" "),
    values: line.dataset.values.split(" "),
  }));
  const rule = document.createElementNS("http://www.w3.org/2000/svg", "path");
  rule.setAttribute("class", "rule");
  const tip = document.createElement("div");
  tip.className = "tip";
  const hide = () => { rule.remove(); tip.remove(); };
  const nearest = (places, x) => {
    let low = 0, high = places.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (places[middle] < x) low = middle; else high = middle;
    }
    return x - places[low] < places[high] - x ? low : high;
  };
  const show = (event) => {
    const box = plot.getBoundingClientRect();
    const unit = plot.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * unit - left;
    const at = lines.map((line) => nearest(line.places, x));
    let first = 0;
    lines.forEach((line, i) => {
      const gap = (k) => Math.abs(lines[k].places[at[k]] - x);
      if (gap(i) < gap(first)) first = i;
    });
    if (lines.length === 0) return;
    const place = lines[first].places[at[first]];
    rule.setAttribute("d", `M${left + place} ${top}v${area.getAttribute("height")}`);
    plot.append(rule);
    tip.replaceChildren(`update ${(+lines[first].updates[at[first]]).toLocaleString("en")}`);
    lines.forEach((line, i) => {
      const row = document.createElement("div");
      row.className = line.color;
      const value = document.createElement("b");
      value.textContent = line.values[at[i]];
      row.append(document.createElement("i"), line.name, value);
      tip.append(row);
    });
    const figure = plot.parentNode.getBoundingClientRect();
    plot.parentNode.append(tip);
    const pixel = box.left - figure.left + (left + place) / unit;
    tip.style.left = `${pixel + 12 + tip.offsetWidth > figure.width
      ? Math.max(pixel - 12 - tip.offsetWidth, 0) : pixel + 12}px`;
    tip.style.top = `${box.top - figure.top + top / unit}px`;
  };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
  plot.addEventListener("pointerleave", hide);
}
)js";

}  // namespace spanlm
