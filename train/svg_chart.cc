// SPDX-License-Identifier: Apache-2.0
#include "train/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace spanlm {
namespace {

// Room around the plot, in the picture's units.
constexpr int kLeft = 76;
constexpr int kRight = 14;
constexpr int kTop = 10;
constexpr int kBottom = 40;
constexpr int kTickTarget = 5;  // about as many ticks on an axis
constexpr double kHeadroom = 0.04;
constexpr double kUpdateRoom = 0.012;  // for the last dot
constexpr double kDotRadius = 2.5;

// "250", "10k", "1.5M".
std::string ShortCount(double value) {
  if (std::abs(value) >= 1e6) return absl::StrFormat("%.4gM", value / 1e6);
  if (std::abs(value) >= 1e4) return absl::StrFormat("%.4gk", value / 1e3);
  return absl::StrFormat("%.4g", value);
}

// 1, 2, 2.5 or 5 times a power of ten, at least `least`.
double RoundStep(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<double> LinearTicks(double low, double high) {
  const double step = RoundStep((high - low) / kTickTarget);
  const double first = std::ceil(low / step - 1e-9);
  const auto count =
      static_cast<int>(std::floor(high / step * (1 + 1e-9)) - first) + 1;
  std::vector<double> ticks;
  for (int i = 0; i < count; ++i) ticks.push_back((first + i) * step);
  return ticks;
}

std::vector<double> LogTicks(double low, double high) {
  const auto first = static_cast<int>(std::floor(std::log10(low)));
  const auto last = static_cast<int>(std::floor(std::log10(high)));
  std::vector<double> ticks;
  for (int exponent = first; exponent <= last; ++exponent) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor != 1 && last - first > 3) continue;
      const double tick = factor * std::pow(10.0, exponent);
      if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) {
        ticks.push_back(tick);
      }
    }
  }
  return ticks.size() < 2 ? LinearTicks(low, high) : ticks;
}

std::vector<double> LogFromZeroTicks(double high) {
  std::vector<double> ticks = {0};
  const auto last = static_cast<int>(std::floor(std::log10(high)));
  for (int exponent = last < 1 ? 0 : 1; exponent <= last; ++exponent) {
    ticks.push_back(std::pow(10.0, exponent));
  }
  return ticks.size() < 2 ? LinearTicks(0, high) : ticks;
}

std::vector<double> Ticks(Spread spread, double low, double high) {
  switch (spread) {
    case Spread::kLinear:
      return LinearTicks(low, high);
    case Spread::kLog:
      return LogTicks(low, high);
    case Spread::kLogFromZero:
      return LogFromZeroTicks(high);
  }
  return {};
}

// From a quantity to a place along a line of `length` units.
class Scale {
 public:
  Scale(double low, double high, double length, Spread spread)
      : spread_(spread),
        low_(Map(low)),
        factor_(length / std::max(Map(high) - low_, 1e-300)) {}

  double operator()(double value) const {
    return (Map(value) - low_) * factor_;
  }

 private:
  double Map(double value) const {
    switch (spread_) {
      case Spread::kLog:
        return std::log(value);
      case Spread::kLogFromZero:
        return std::log1p(std::max(value, 0.0));
      case Spread::kLinear:
        break;
    }
    return value;
  }

  Spread spread_;
  double low_;
  double factor_;
};

// The span of the values of an axis.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  bool empty() const { return low > high; }
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Range UpdatesOf(const LineChart& chart) {
  Range range;
  range.Add(0);
  if (chart.last_update > 0) range.Add(chart.last_update);
  for (const ChartLine& line : chart.lines) {
    for (const CurvePoint& point : line.points) range.Add(point.update);
  }
  if (range.high <= range.low) range.high = range.low + 1;
  range.high *= 1 + kUpdateRoom;
  return range;
}

Spread SpreadOf(const LineChart& chart) {
  if (chart.spread != Spread::kLog) return chart.spread;
  for (const ChartLine& line : chart.lines) {
    for (const CurvePoint& point : line.points) {
      if (point.value <= 0) return Spread::kLinear;
    }
  }
  return chart.spread;
}

// What the axis of values shows; empty where there is nothing to show.
Range ValuesOf(const LineChart& chart, Spread spread) {
  Range range;
  for (const ChartLine& line : chart.lines) {
    for (const CurvePoint& point : line.points) range.Add(point.value);
  }
  if (range.empty()) return range;
  if (chart.highest > range.low) {
    range.high = std::min(range.high, chart.highest);
  }
  if (chart.top > 0) range.Add(chart.top);
  if (spread == Spread::kLog) {
    const double room = std::max(std::pow(range.high / range.low, kHeadroom),
                                 1 + kHeadroom / 2);
    range.low /= room;
    range.high *= room;
    return range;
  }
  if (spread == Spread::kLogFromZero) {
    range.low = 0;
    range.high = std::max(range.high, 1.0) * (1 + 4 * kHeadroom);
    return range;
  }
  if (chart.from_zero) range.low = std::min(range.low, 0.0);
  double room = (range.high - range.low) * kHeadroom;
  if (room == 0) room = std::max(std::abs(range.high) * 0.1, 1e-9);
  if (!chart.from_zero) range.low -= room;
  range.high += room;
  return range;
}

// Grid, tick labels and the names of both axes.
class Axes {
 public:
  Axes(const LineChart& chart, const Range& updates, const Range& values,
       Spread spread)
      : chart_(chart),
        updates_(updates),
        values_(values),
        spread_(spread),
        width_(chart.width - kLeft - kRight),
        height_(chart.height - kTop - kBottom),
        x_(updates.low, updates.high, width_, Spread::kLinear),
        y_(values.low, values.high, height_, spread) {}

  int width() const { return width_; }
  int height() const { return height_; }
  // Places within the plot.
  double X(double update) const { return x_(update); }
  double Y(double value) const { return height_ - y_(value); }

  std::string Draw() const {
    std::string svg;
    for (const double tick : Ticks(spread_, values_.low, values_.high)) {
      const double y = kTop + Y(tick);
      absl::StrAppend(
          &svg, "<path class=\"grid\" d=\"M", kLeft, " ", Coordinate(y), "h",
          width_, "\"/>",
          DrawText(kLeft - 7, y + 3.5, "tick end", ShortCount(tick)));
    }
    for (const double tick : LinearTicks(updates_.low, updates_.high)) {
      absl::StrAppend(&svg, DrawText(kLeft + X(tick), kTop + height_ + 16,
                                     "tick middle", ShortCount(tick)));
    }
    const double middle = kTop + height_ / 2.0;
    absl::StrAppend(&svg, "<path class=\"axis\" d=\"M", kLeft, " ",
                    kTop + height_, "h", width_, "\"/>",
                    DrawText(kLeft + width_ / 2.0, chart_.height - 6,
                             "label middle", "updates"),
                    "<text class=\"label middle\" transform=\"translate(13 ",
                    Coordinate(middle), ") rotate(-90)\">",
                    EscapeHtml(chart_.unit), "</text>");
    return svg;
  }

 private:
  const LineChart& chart_;
  const Range updates_;
  const Range values_;
  const Spread spread_;
  const int width_;
  const int height_;
  const Scale x_;
  const Scale y_;
};

std::string ColorClass(int color) {
  return absl::StrCat(
      "c", color % kChartColors,
      color % (2 * kChartColors) >= kChartColors ? " dash" : "");
}

std::string DrawLine(const ChartLine& line, const Axes& axes) {
  if (line.points.empty()) return "";
  std::string places;
  std::string updates;
  std::string values;
  std::string dots;
  for (const CurvePoint& point : line.points) {
    const std::string x = Coordinate(axes.X(point.update));
    const std::string y = Coordinate(axes.Y(point.value));
    const char* const blank = places.empty() ? "" : " ";
    absl::StrAppend(&places, blank, x, ",", y);
    absl::StrAppend(&updates, blank, absl::StrFormat("%.10g", point.update));
    absl::StrAppend(&values, blank, absl::StrFormat("%.6g", point.value));
    if (line.has_dots) {
      absl::StrAppend(&dots, "<circle cx=\"", x, "\" cy=\"", y, "\" r=\"",
                      kDotRadius, "\"/>");
    }
  }
  std::string svg = absl::StrCat("<g class=\"", ColorClass(line.color),
                                 line.is_faint ? " faint" : "",
                                 "\"><polyline points=\"", places, "\"");
  if (!line.is_faint) {
    absl::StrAppend(&svg, " data-name=\"", EscapeHtml(line.name),
                    "\" data-updates=\"", updates, "\" data-values=\"", values,
                    "\"");
  }
  return absl::StrCat(svg, "/>", dots, "</g>");
}

}  // namespace

std::string DrawLineChart(const LineChart& chart) {
  const Spread spread = SpreadOf(chart);
  const Range values = ValuesOf(chart, spread);
  std::string html =
      absl::StrCat("<figure class=\"chart", chart.is_wide ? " full" : "",
                   "\"><figcaption>", EscapeHtml(chart.title), "</figcaption>");
  if (values.empty()) {
    return html + "<p class=\"none\">not in this log</p></figure>";
  }
  if (chart.has_legend) html += DrawLegend(chart.lines);
  const Axes axes(chart, UpdatesOf(chart), values, spread);
  absl::StrAppend(&html, "<svg class=\"plot\" viewBox=\"0 0 ", chart.width, " ",
                  chart.height, "\" role=\"img\" aria-label=\"",
                  EscapeHtml(absl::StrCat(chart.title, ", ", chart.unit)),
                  "\">", axes.Draw());
  // A picture of its own cuts off what leaves the plot.
  absl::StrAppend(&html, "<svg class=\"lines\" x=\"", kLeft, "\" y=\"", kTop,
                  "\" width=\"", axes.width(), "\" height=\"", axes.height(),
                  "\">");
  for (const bool faint : {true, false}) {
    for (const ChartLine& line : chart.lines) {
      if (line.is_faint == faint) html += DrawLine(line, axes);
    }
  }
  return html + "</svg></svg></figure>";
}

std::string DrawLegend(const std::vector<ChartLine>& lines) {
  std::string html = "<ul class=\"legend\">";
  for (const ChartLine& line : lines) {
    if (line.is_faint || line.points.empty()) continue;
    absl::StrAppend(&html, "<li class=\"", ColorClass(line.color),
                    "\"><svg viewBox=\"0 0 18 8\"><path d=\"M1 4h16\"/></svg>",
                    EscapeHtml(line.name), "</li>");
  }
  return html + "</ul>";
}

std::string DrawText(double x, double y, absl::string_view css,
                     absl::string_view text) {
  return absl::StrCat("<text class=\"", css, "\" x=\"", Coordinate(x),
                      "\" y=\"", Coordinate(y), "\">", text, "</text>");
}

std::string Coordinate(double value) {
  return absl::StrFormat("%.6g", std::round(value * 100) / 100);
}

std::string FormatCount(double value) {
  if (std::abs(value) < 100) return absl::StrFormat("%.3g", value);
  std::string digits = absl::StrFormat("%.0f", std::abs(value));
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<size_t>(i), ",");
  }
  return value < 0 ? "-" + digits : digits;
}

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"\"", "&quot;"},
                                    {"'", "&#39;"}});
}

}  // namespace spanlm
