// SPDX-License-Identifier: Apache-2.0
// A training run as one HTML page that needs nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "train/run_history.h"

namespace spanlm {

struct ReportInput {
  std::string title;
  RunHistory history;
  // Of the run's model, where there is one to be read.
  std::string model;        // in words; empty: not known
  int64_t parameters = -1;  // −1: not known
  // [n_layer][n_head], positions without the ramp; shown where the log has no
  // spans. Empty: not known.
  std::vector<std::vector<double>> model_spans;
};

// Points of a curve in a page, at most.
inline constexpr size_t kMaxCurvePoints = 2000;

// Curves, spans over time, the final spans and a table. Equal inputs give equal
// bytes.
std::string MakeReportPage(const ReportInput& input);

}  // namespace spanlm
