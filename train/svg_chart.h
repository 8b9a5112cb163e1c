// SPDX-License-Identifier: Apache-2.0
// Line charts as SVG. Colours are classes of the page's own style sheet
// (report_assets.h), so that a page can be light or dark.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "train/run_history.h"

namespace spanlm {

// A line of a chart. `points` are drawn as they are.
struct ChartLine {
  std::string name;
  int color = 0;  // of kChartColors, repeated
  Curve points;
  bool is_faint = false;  // behind the others, and not in the legend
  bool has_dots = false;  // a dot at each point
};

inline constexpr int kChartColors = 8;

// How values are spread over their axis.
enum class Spread {
  kLinear,
  kLog,          // where all values are positive; else linear
  kLogFromZero,  // by log(1 + value), from 0: for counts of any size
};

struct LineChart {
  std::string title;
  std::string unit;  // of the values
  std::vector<ChartLine> lines;
  Spread spread = Spread::kLinear;
  bool from_zero = false;  // a linear axis begins at 0
  double highest = 0;      // values beyond are cut off; 0: none are
  double top = 0;          // the axis of values reaches at least this far
  double last_update = 0;  // end of the axis of updates; 0: the lines'
  int width = 720;         // of the picture, in its own units
  int height = 300;
  bool has_legend = true;
  bool is_wide = false;  // scrolls sideways where the page is narrow
};

// A figure with title, legend and axes; a script may read the values of each
// line from its data-updates and data-values. A sentence, if no line has a
// point.
std::string DrawLineChart(const LineChart& chart);

// The names of lines beside their colours.
std::string DrawLegend(const std::vector<ChartLine>& lines);

// A text of SVG at a place; `css` are classes of the style sheet.
std::string DrawText(double x, double y, absl::string_view css,
                     absl::string_view text);

// A place of SVG: two decimals, without zeros.
std::string Coordinate(double value);

// "1,234,567"; digits behind the point only below 100.
std::string FormatCount(double value);

// For text and attributes of HTML.
std::string EscapeHtml(absl::string_view text);

}  // namespace spanlm
