// SPDX-License-Identifier: Apache-2.0
#include "train/span_charts.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "train/svg_chart.h"

namespace spanlm {
namespace {

// The map, in its own units.
constexpr int kCellWidth = 58;
constexpr int kCellHeight = 30;
constexpr int kCellGap = 2;
constexpr int kLeft = 62;
constexpr int kTop = 34;
constexpr int kRight = 8;
constexpr int kScaleSteps = 5;
// A cell's number is written in the other ink from this strength on.
constexpr double kStrong = 0.55;
constexpr double kWeakest = 0.04;  // so that a cell without a span is seen

// A chart of one layer.
constexpr int kPanelWidth = 300;
constexpr int kPanelHeight = 200;
constexpr size_t kMaxPanelPoints = 400;  // there may be a hundred lines

using Spans = std::vector<std::vector<double>>;

double LongestOf(const Spans& spans) {
  double longest = 1;
  for (const std::vector<double>& heads : spans) {
    for (const double span : heads) longest = std::max(longest, span);
  }
  return longest;
}

// Where a span stands between none and the longest one, 0 to 1.
double Strength(double span, double longest) {
  return std::log1p(std::max(span, 0.0)) / std::log1p(longest);
}

std::string FormatSpan(double span) {
  return span >= 99.95 ? absl::StrFormat("%.0f", span)
                       : absl::StrFormat("%.1f", span);
}

// A rectangle of that strength of colour with the span in it.
std::string DrawCell(double x, double y, double span, double longest,
                     const std::string& title) {
  const double strength = Strength(span, longest);
  return absl::StrCat(
      "<g class=\"cell", strength > kStrong ? " strong" : "", "\"><title>",
      title, "</title><rect x=\"", Coordinate(x), "\" y=\"", Coordinate(y),
      "\" width=\"", kCellWidth - kCellGap, "\" height=\"",
      kCellHeight - kCellGap, "\" rx=\"4\" fill-opacity=\"",
      Coordinate(kWeakest + (1 - kWeakest) * strength), "\"/>",
      DrawText(x + kCellWidth / 2.0 - 1, y + kCellHeight / 2.0 + 3, "middle",
               FormatSpan(span)),
      "</g>");
}

// Cells of the scale, from no span to the longest, in equal steps of colour.
std::string DrawScale(double y, double longest) {
  std::string svg =
      DrawText(kLeft - 9, y + kCellHeight / 2.0 + 3, "tick end", "scale");
  for (int i = 0; i < kScaleSteps; ++i) {
    const double span =
        std::expm1(i * std::log1p(longest) / (kScaleSteps - 1.0));
    svg += DrawCell(kLeft + i * kCellWidth, y, span, longest,
                    absl::StrFormat("%.1f positions", span));
  }
  return svg;
}

bool HaveOneShape(const Spans& a, const Spans& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](const auto& x, const auto& y) {
                                              return x.size() == y.size();
                                            });
}

std::vector<ChartLine> LinesOf(const std::vector<SpanRecord>& records,
                               size_t layer) {
  std::vector<ChartLine> lines(records.back().spans[layer].size());
  for (size_t head = 0; head < lines.size(); ++head) {
    Curve curve;
    for (const SpanRecord& record : records) {
      if (!HaveOneShape(record.spans, records.back().spans)) continue;
      curve.push_back({record.update, record.spans[layer][head]});
    }
    lines[head].name = absl::StrCat("head ", head);
    lines[head].color = static_cast<int>(head);
    lines[head].points = ThinOut(curve, kMaxPanelPoints);
    lines[head].has_dots = curve.size() == 1;
  }
  return lines;
}

}  // namespace

std::string DrawSpanMap(const Spans& spans) {
  const double longest = LongestOf(spans);
  int columns = 0;
  for (const std::vector<double>& heads : spans) {
    columns = std::max(columns, static_cast<int>(heads.size()));
  }
  const int width =
      kLeft + std::max(columns, kScaleSteps) * kCellWidth + kRight;
  const int bottom = kTop + static_cast<int>(spans.size()) * kCellHeight;
  std::string svg = absl::StrCat(
      "<svg class=\"map\" viewBox=\"0 0 ", width, " ", bottom + 2 * kCellHeight,
      "\" style=\"max-width:", width * 5 / 4, "px\" role=\"img\" ",
      "aria-label=\"learned span of each layer and head, in positions\">",
      DrawText(kLeft + columns * kCellWidth / 2.0, 11, "label middle", "head"),
      "<text class=\"label middle\" transform=\"translate(13 ",
      (kTop + bottom) / 2, ") rotate(-90)\">layer</text>");
  for (int head = 0; head < columns; ++head) {
    svg += DrawText(kLeft + (head + 0.5) * kCellWidth - 1, kTop - 6,
                    "tick middle", absl::StrCat(head));
  }
  for (size_t layer = 0; layer < spans.size(); ++layer) {
    const double y = kTop + static_cast<double>(layer) * kCellHeight;
    svg += DrawText(kLeft - 9, y + kCellHeight / 2.0 + 3, "tick end",
                    absl::StrCat(layer));
    for (size_t head = 0; head < spans[layer].size(); ++head) {
      svg += DrawCell(kLeft + static_cast<double>(head) * kCellWidth, y,
                      spans[layer][head], longest,
                      absl::StrFormat("layer %d, head %d: %.1f positions",
                                      layer, head, spans[layer][head]));
    }
  }
  return absl::StrCat(svg, DrawScale(bottom + kCellHeight / 2.0, longest),
                      "</svg>");
}

std::string DrawSpansOverTime(const std::vector<SpanRecord>& records,
                              double last_update) {
  double longest = 0;
  for (const SpanRecord& record : records) {
    longest = std::max(longest, LongestOf(record.spans));
  }
  std::string html = DrawLegend(LinesOf(records, 0));
  html += "<div class=\"panels\">\n";
  for (size_t layer = 0; layer < records.back().spans.size(); ++layer) {
    LineChart chart;
    chart.title = absl::StrCat("layer ", layer);
    chart.unit = "positions";
    chart.width = kPanelWidth;
    chart.height = kPanelHeight;
    chart.has_legend = false;
    chart.spread = Spread::kLogFromZero;
    chart.top = longest;
    chart.last_update = last_update;
    chart.lines = LinesOf(records, layer);
    absl::StrAppend(&html, DrawLineChart(chart), "\n");
  }
  return html + "</div>\n";
}

}  // namespace spanlm
