// SPDX-License-Identifier: Apache-2.0
#include "train/report_page.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "train/report_assets.h"
#include "train/span_charts.h"
#include "train/svg_chart.h"

namespace spanlm {
namespace {

// Colours of lines that are no heads.
constexpr int kTrainColor = 0;
constexpr int kValidColor = 1;
constexpr int kOtherColor = 2;

// A noisy line is also drawn as an average where it has this many points, over
// so many parts of the run.
constexpr size_t kSmoothFrom = 240;
constexpr size_t kSmoothParts = 60;
// The loss falls so far in this first part of a run that it would flatten all
// that follows.
constexpr double kSteepPart = 0.02;
constexpr size_t kSteepFrom = 20;

constexpr size_t kMaxDots = 100;        // on the line of validations
constexpr size_t kMaxHeadsBeside = 10;  // a wider map stands alone
// Pictures, in their own units.
constexpr int kFullWidth = 1100;
constexpr int kFullHeight = 360;
constexpr int kHalfWidth = 540;
constexpr int kHalfHeight = 260;

const CurvePoint* Last(const Curve& curve) {
  return curve.empty() ? nullptr : &curve.back();
}

const CurvePoint* Least(const Curve& curve) {
  const auto least = std::min_element(
      curve.begin(), curve.end(), [](const CurvePoint& a, const CurvePoint& b) {
        return a.value < b.value;
      });
  return least == curve.end() ? nullptr : &*least;
}

double MedianOf(const Curve& curve) {
  std::vector<double> values;
  for (const CurvePoint& point : curve) values.push_back(point.value);
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// "3 d 4 h", "2 h 5 min", "7 min 30 s".
std::string FormatSeconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  if (whole >= kDay) {
    return absl::StrCat(whole / kDay, " d ", whole % kDay / kHour, " h");
  }
  if (whole >= kHour) {
    return absl::StrCat(whole / kHour, " h ", whole % kHour / kMinute, " min");
  }
  return absl::StrCat(whole / kMinute, " min ", whole % kMinute, " s");
}

std::string FormatLoss(double loss) { return absl::StrFormat("%.4g", loss); }

std::string AtUpdate(const CurvePoint& point) {
  return absl::StrCat("at update ", FormatCount(point.update));
}

// The rows of the final table.
class Table {
 public:
  void Add(absl::string_view name, absl::string_view value) {
    absl::StrAppend(&rows_, "<tr><th scope=\"row\">", name, "</th><td>", value,
                    "</td></tr>\n");
  }
  // The last value of a curve, if it has one.
  void AddLast(absl::string_view name, const Curve& curve) {
    if (const CurvePoint* last = Last(curve)) {
      Add(name, absl::StrFormat("%.5g", last->value));
    }
  }
  std::string Draw() const {
    return absl::StrCat("<table>\n", rows_, "</table>\n");
  }

 private:
  std::string rows_;
};

void AddLosses(const RunHistory& history, Table* table) {
  if (const CurvePoint* best = Least(history.valid_loss)) {
    table->Add(
        "best validation loss",
        absl::StrCat(FormatLoss(best->value), " bits, ", AtUpdate(*best)));
    const CurvePoint& last = history.valid_loss.back();
    table->Add("last validation loss",
               absl::StrCat(FormatLoss(last.value), " bits, ", AtUpdate(last)));
  }
  if (const CurvePoint* last = Last(history.train_loss)) {
    table->Add("last training loss",
               absl::StrCat(FormatLoss(last->value), " bits"));
  }
}

std::string DrawTable(const ReportInput& input) {
  const RunHistory& history = input.history;
  Table table;
  table.Add("updates", FormatCount(history.last_update));
  table.AddLast("epochs", history.epochs);
  AddLosses(history, &table);
  table.AddLast("last learning rate", history.learning_rate);
  table.AddLast("last gradient norm", history.gradient_norm);
  table.AddLast("last loss scale", history.loss_scale);
  table.AddLast("last average span, ramp included", history.average_span);
  table.AddLast("last longest span, ramp included", history.longest_span);
  if (const CurvePoint* seconds = Last(history.seconds)) {
    table.Add("training time", FormatSeconds(seconds->value));
  }
  if (!history.symbols_per_second.empty()) {
    table.Add("speed, median",
              absl::StrCat(FormatCount(MedianOf(history.symbols_per_second)),
                           " symbols/s"));
  }
  if (!input.model.empty()) table.Add("model", EscapeHtml(input.model));
  if (input.parameters >= 0) {
    table.Add("parameters", FormatCount(static_cast<double>(input.parameters)));
  }
  if (history.restarts > 0) {
    table.Add("resumed from an earlier save",
              absl::StrCat(history.restarts, " times"));
  }
  std::string lines = FormatCount(static_cast<double>(history.lines));
  if (history.skipped_lines > 0) {
    absl::StrAppend(&lines, ", ", history.skipped_lines,
                    " of them unreadable and left out");
  }
  table.Add("lines of the log", lines);
  return table.Draw();
}

std::string Tile(absl::string_view name, absl::string_view value,
                 absl::string_view note) {
  return absl::StrCat("<div class=\"tile\"><span>", name, "</span><b>", value,
                      "</b><span>", note, "</span></div>\n");
}

std::string DrawTiles(const ReportInput& input) {
  const RunHistory& history = input.history;
  std::string html = "<div class=\"tiles\">\n";
  if (const CurvePoint* best = Least(history.valid_loss)) {
    html += Tile("best validation loss", FormatLoss(best->value),
                 absl::StrCat("bits per symbol, ", AtUpdate(*best)));
  }
  if (const CurvePoint* last = Last(history.train_loss)) {
    html +=
        Tile("last training loss", FormatLoss(last->value), "bits per symbol");
  }
  const CurvePoint* const epochs = Last(history.epochs);
  html += Tile(
      "updates", FormatCount(history.last_update),
      epochs == nullptr ? "" : absl::StrFormat("%.3g epochs", epochs->value));
  if (const CurvePoint* seconds = Last(history.seconds)) {
    html += Tile("training time", FormatSeconds(seconds->value), "");
  }
  if (!history.symbols_per_second.empty()) {
    html += Tile("speed", FormatCount(MedianOf(history.symbols_per_second)),
                 "symbols per second, median");
  }
  if (input.parameters >= 0) {
    html += Tile("parameters",
                 FormatCount(static_cast<double>(input.parameters)), "");
  }
  return html + "</div>\n";
}

// The greatest value behind the steep beginning; 0: nothing is to be cut off.
double GreatestAfterStart(const Curve& curve) {
  if (curve.size() < kSteepFrom) return 0;
  const auto begin = static_cast<size_t>(
      std::max(1.0, std::ceil(kSteepPart * static_cast<double>(curve.size()))));
  double greatest = 0;
  for (size_t i = begin; i < curve.size(); ++i) {
    greatest = std::max(greatest, curve[i].value);
  }
  return greatest;
}

// A line as it was logged, or, where that is many points, its average and
// behind it the line itself.
void AddNoisy(const std::string& name, int color, const Curve& curve,
              LineChart* chart) {
  const bool is_smoothed = curve.size() >= kSmoothFrom;
  chart->lines.push_back(
      {name, color, ThinOut(curve, kMaxCurvePoints), is_smoothed, false});
  if (!is_smoothed) return;
  const Curve smooth = Smooth(curve, curve.size() / kSmoothParts);
  chart->lines.push_back({absl::StrCat(name, ", averaged"), color,
                          ThinOut(smooth, kMaxCurvePoints), false, false});
}

std::string DrawLosses(const RunHistory& history) {
  LineChart chart;
  chart.title = "Loss";
  chart.unit = "bits per symbol";
  chart.width = kFullWidth;
  chart.height = kFullHeight;
  chart.is_wide = true;
  chart.last_update = history.last_update;
  chart.highest = GreatestAfterStart(history.train_loss);
  AddNoisy("training", kTrainColor, history.train_loss, &chart);
  chart.lines.push_back({"validation", kValidColor,
                         ThinOut(history.valid_loss, kMaxCurvePoints), false,
                         /*has_dots=*/history.valid_loss.size() <= kMaxDots});
  return DrawLineChart(chart) + "\n";
}

// A chart of half the page's width, without lines as yet.
LineChart HalfChart(const std::string& title, const std::string& unit,
                    const RunHistory& history) {
  LineChart chart;
  chart.title = title;
  chart.unit = unit;
  chart.width = kHalfWidth;
  chart.height = kHalfHeight;
  chart.last_update = history.last_update;
  return chart;
}

std::string DrawOne(LineChart chart, const Curve& curve) {
  chart.has_legend = false;
  chart.lines.push_back({chart.title, kOtherColor,
                         ThinOut(curve, kMaxCurvePoints), false, false});
  return DrawLineChart(chart) + "\n";
}

std::string DrawNoisy(LineChart chart, const Curve& curve) {
  chart.has_legend = false;
  AddNoisy(chart.title, kOtherColor, curve, &chart);
  return DrawLineChart(chart) + "\n";
}

std::string DrawModelsSpans(const RunHistory& history) {
  LineChart chart =
      HalfChart("Spans of the model", "positions, ramp included", history);
  chart.spread = Spread::kLog;
  chart.lines.push_back({"longest", kValidColor,
                         ThinOut(history.longest_span, kMaxCurvePoints), false,
                         false});
  chart.lines.push_back({"average", kTrainColor,
                         ThinOut(history.average_span, kMaxCurvePoints), false,
                         false});
  return DrawLineChart(chart) + "\n";
}

std::string DrawCurves(const RunHistory& history) {
  LineChart rate =
      HalfChart("Learning rate", "rate of the next update", history);
  rate.from_zero = true;
  LineChart norm = HalfChart("Gradient norm", "norm before clipping", history);
  norm.spread = Spread::kLog;
  LineChart speed = HalfChart("Throughput", "symbols per second", history);
  speed.from_zero = true;
  LineChart scale = HalfChart("Loss scale", "factor (fp16)", history);
  scale.spread = Spread::kLog;
  std::string html = absl::StrCat(
      "<div class=\"pair\">\n", DrawOne(std::move(rate), history.learning_rate),
      DrawNoisy(std::move(norm), history.gradient_norm),
      DrawNoisy(std::move(speed), history.symbols_per_second));
  if (!history.average_span.empty()) html += DrawModelsSpans(history);
  if (!history.loss_scale.empty()) {
    html += DrawOne(std::move(scale), history.loss_scale);
  }
  return html + "</div>\n";
}

// The final spans, if they are known, beside the table.
std::string DrawEnd(const ReportInput& input) {
  const std::vector<SpanRecord>& records = input.history.spans;
  const auto& spans =
      records.empty() ? input.model_spans : records.back().spans;
  std::string html = "<div class=\"pair\">\n";
  if (!spans.empty()) {
    absl::StrAppend(
        &html, "<section class=\"card",
        spans[0].size() > kMaxHeadsBeside ? " wide" : "",
        "\"><h2>Final spans</h2>\n<p class=\"soft\">Positions that each head "
        "has learned to look back, without the ramp. Colour grows with the "
        "logarithm.</p>\n",
        DrawSpanMap(spans), "</section>\n");
  }
  return absl::StrCat(html, "<section class=\"card\"><h2>At the end</h2>\n",
                      DrawTable(input), "</section>\n</div>\n");
}

std::string DrawSpans(const RunHistory& history) {
  if (history.spans.empty()) return "";
  return absl::StrCat(
      "<h2>Spans over time</h2>\n<p class=\"soft\">A panel for each layer, a "
      "line for each head, all on one axis.</p>\n",
      DrawSpansOverTime(history.spans, history.last_update));
}

}  // namespace

std::string MakeReportPage(const ReportInput& input) {
  const std::string title = EscapeHtml(input.title);
  const std::string model =
      input.model.empty() ? ""
                          : absl::StrCat("<p class=\"soft\">",
                                         EscapeHtml(input.model), "</p>\n");
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>",
      title, " – training report</title>\n<style>", kReportStyle,
      "</style>\n</head>\n<body>\n<header><p class=\"soft\">Training run</p>"
      "<h1>",
      title, "</h1>\n", model, "</header>\n", DrawTiles(input),
      DrawLosses(input.history), DrawCurves(input.history), DrawEnd(input),
      DrawSpans(input.history),
      "<footer>Made by spanlm-train report from the run's train.jsonl. Thin "
      "lines are as logged. Point at a chart to read its values.</footer>\n"
      "<script>",
      kReportScript, "</script>\n</body>\n</html>\n");
}

}  // namespace spanlm
