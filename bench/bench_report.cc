// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

// Three digits at least, and no power of ten.
std::string Figure(double value) {
  return value < 100 ? absl::StrFormat("%.1f", value)
                     : absl::StrFormat("%.0f", value);
}

std::string Percent(double share) {
  return absl::StrFormat("%.0f %%", 100 * share);
}

Json ToJson(const BenchRow& row) {
  const double value = Median(row.values);
  Json json = {{"name", row.name},
               {"value", value},
               {"unit", row.unit},
               {"bound", nullptr},
               {"fraction", nullptr},
               {"peer", nullptr},
               {"peer_name", nullptr},
               {"ratio", nullptr},
               {"rounds", row.values.size()},
               {"spread", Spread(row.values)}};
  if (!row.bounds.empty()) {
    const double bound = Median(row.bounds);
    json["bound"] = bound;
    json["fraction"] = value / bound;
  }
  return json;
}

}  // namespace

double Median(std::vector<double> values) {
  SPANLM_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

double Spread(const std::vector<double>& values) {
  const double median = Median(values);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return (*most - *least) / median;
}

std::string BenchTable(const std::vector<BenchRow>& rows) {
  std::string table =
      "| what | median | unit | spread | bound | of it |\n"
      "|---|---|---|---|---|---|\n";
  for (const BenchRow& row : rows) {
    const double value = Median(row.values);
    absl::StrAppend(&table, "| ", row.name, " | ", Figure(value), " | ",
                    row.unit, " | ", Percent(Spread(row.values)));
    if (row.bounds.empty()) {
      absl::StrAppend(&table, " | | |\n");
      continue;
    }
    const double bound = Median(row.bounds);
    absl::StrAppend(&table, " | ", Figure(bound), " | ", Percent(value / bound),
                    " |\n");
  }
  return table;
}

std::string BenchJson(const std::vector<BenchRow>& rows) {
  Json list = Json::array();
  for (const BenchRow& row : rows) list.push_back(ToJson(row));
  return list.dump(2) + "\n";
}

}  // namespace spanlm
