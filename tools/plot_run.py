#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws a training run as an SVG: bits per byte and spans against bytes read.

usage: plot_run.py TRAIN_JSONL OUT_SVG
"""

import json
import sys

WIDTH, HEIGHT = 760, 300
LEFT, TOP, RIGHT, BOTTOM = 60, 30, 60, 45
SERIES = (("loss", "train_inner", "train", "#8888cc", 0),
          ("valid_loss", "valid", "valid", "#cc3311", 0),
          ("avg_span", "train_inner", "average span", "#229944", 1))


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def points_of(records, key, tag, block):
    updates = "valid_num_updates" if tag == "valid" else "num_updates"
    return [(int(record[updates]) * block / 1e6, float(record[key]))
            for record in records if record["tag"] == tag and key in record]


def ticks(low, high, count=5):
    return [low + (high - low) * i / count for i in range(count + 1)]


def text(x, y, words, anchor="middle", color="#333333"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'fill="{color}">{words}</text>')


def draw(records):
    inner = [r for r in records if r["tag"] == "train_inner"]
    block = int(inner[-1]["wpb"])
    lines = [points_of(records, key, tag, block) for key, tag, *_ in SERIES]
    x_high = max(x for points in lines for x, _ in points)
    losses = [y for points in lines[:2] for _, y in points]
    lows = [min(losses) - 0.02, 0.0]
    highs = [min(max(losses), min(losses) + 1.0),
             1.1 * max((y for _, y in lines[2]), default=1)]

    def place(x, y, axis):
        share = (min(y, highs[axis]) - lows[axis]) / (highs[axis] - lows[axis])
        return (LEFT + (WIDTH - LEFT - RIGHT) * x / x_high,
                HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
             f'height="{HEIGHT}" font-family="sans-serif" font-size="11">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for y in ticks(lows[0], highs[0]):
        x0, py = place(0, y, 0)
        parts.append(f'<path d="M{x0:.1f} {py:.1f}H{WIDTH - RIGHT}" '
                     'stroke="#dddddd"/>')
        parts.append(text(x0 - 6, py + 4, f"{y:.2f}", "end"))
    for y in ticks(lows[1], highs[1]):
        parts.append(text(WIDTH - RIGHT + 6, place(0, y, 1)[1] + 4,
                          f"{y:.0f}", "start", SERIES[2][3]))
    for x in ticks(0, x_high):
        parts.append(text(place(x, lows[0], 0)[0], HEIGHT - BOTTOM + 16,
                          f"{x:.1f}"))
    parts.append(text(WIDTH / 2, HEIGHT - 8, "bytes read, millions"))
    for i, (points, series) in enumerate(zip(lines, SERIES)):
        _, _, name, color, axis = series
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y, axis))
                        for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" '
                     f'stroke="{color}" stroke-width="1.5"/>')
        unit = "positions" if axis else "bits per byte"
        parts.append(text(LEFT + 130 + 190 * i, 18, f"{name}, {unit}",
                          "middle", color))
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    svg = draw(read(sys.argv[1]))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(svg)


if __name__ == "__main__":
    main()
