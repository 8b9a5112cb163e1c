// SPDX-License-Identifier: Apache-2.0
#include "train/svg_chart.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "train/span_charts.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// How often `part` occurs.
int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

LineChart Chart(const Curve& curve) {
  LineChart chart;
  chart.title = "Loss";
  chart.unit = "bits";
  chart.lines.push_back({"training", 0, curve, false, false});
  return chart;
}

TEST(SvgChartTest, DrawsAxesWithUnitsAndALegend) {
  const std::string svg = DrawLineChart(Chart({{100, 4}, {200, 2}}));

  EXPECT_THAT(svg,
              AllOf(HasSubstr("<figcaption>Loss</figcaption>"),
                    HasSubstr(">bits</text>"), HasSubstr(">updates</text>"),
                    HasSubstr("training</li>")));
}

TEST(SvgChartTest, KeepsTheValuesForReadOuts) {
  const std::string svg =
      DrawLineChart(Chart({{100, 4.125}, {200, 2}, {600'000, 1.5}}));

  EXPECT_THAT(svg, AllOf(HasSubstr("data-updates=\"100 200 600000\""),
                         HasSubstr("data-values=\"4.125 2 1.5\"")));
}

TEST(SvgChartTest, PlacesTheFirstUpdateLeftAndTheGreatestValueAbove) {
  LineChart chart = Chart({{0, 0}, {50, 10}, {100, 5}});
  chart.from_zero = true;
  chart.width = 76 + 14 + 200;
  chart.height = 10 + 40 + 104;

  const std::string svg = DrawLineChart(chart);

  // 0 to 101.2 on 200 units, 0 to 10.4 on 104.
  EXPECT_THAT(svg, HasSubstr("points=\"0,104 98.81,4 197.63,54\""));
}

TEST(SvgChartTest, ALogarithmicAxisNeedsPositiveValues) {
  LineChart chart = Chart({{1, 1}, {2, 1000}});
  chart.spread = Spread::kLog;
  EXPECT_THAT(DrawLineChart(chart), HasSubstr(">100</text>"));

  chart.lines[0].points.push_back({3, 0});
  EXPECT_THAT(DrawLineChart(chart), HasSubstr(">250</text>"));
}

TEST(SvgChartTest, SaysWhereThereIsNothingToDraw) {
  EXPECT_THAT(DrawLineChart(Chart({})), HasSubstr("not in this log"));
}

TEST(SvgChartTest, DrawsOnePointAndEqualValues) {
  EXPECT_THAT(DrawLineChart(Chart({{5, 3}})), Not(HasSubstr("nan")));
  EXPECT_THAT(DrawLineChart(Chart({{5, 0}, {6, 0}})), Not(HasSubstr("nan")));
}

TEST(SvgChartTest, EscapesNames) {
  LineChart chart = Chart({{1, 1}});
  chart.title = "<b>\"a\" & 'b'";

  const std::string svg = DrawLineChart(chart);

  EXPECT_THAT(svg, Not(HasSubstr("<b>")));
  EXPECT_THAT(svg, HasSubstr("&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;"));
}

TEST(SvgChartTest, GroupsDigits) {
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatCount(100), "100");
  EXPECT_EQ(FormatCount(12.345), "12.3");
  EXPECT_EQ(FormatCount(-4321), "-4,321");
}

TEST(SpanChartsTest, AMapHasACellForEachHeadAndAScale) {
  const std::string svg = DrawSpanMap({{0, 12.5}, {300, 8191.6}});

  EXPECT_EQ(Count(svg, "<g class=\"cell"), 2 * 2 + 5);
  EXPECT_THAT(svg, AllOf(HasSubstr("layer 1, head 1: 8191.6 positions"),
                         HasSubstr(">8192</text>"), HasSubstr(">12.5</text>"),
                         Not(HasSubstr("nan"))));
}

TEST(SpanChartsTest, DrawsAPanelForEachLayerOfTheLastShape) {
  const std::string html = DrawSpansOverTime(
      {{100, {{1}, {2}}}, {200, {{1, 2}, {3, 4}}}, {300, {{5, 6}, {7, 8}}}},
      300);

  EXPECT_EQ(Count(html, "<figure"), 2);
  EXPECT_EQ(Count(html, "data-updates=\"200 300\""), 4);
  EXPECT_THAT(html, HasSubstr("head 1</li>"));
}

}  // namespace
}  // namespace spanlm
