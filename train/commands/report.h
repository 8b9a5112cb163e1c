// SPDX-License-Identifier: Apache-2.0
// spanlm-train report: a training run as one HTML page.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct ReportCommandOptions {
  std::string run_dir;  // has train.jsonl
  std::string out;      // --out; empty: report.html in the run's folder
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddReportCommand(CLI::App& app, int* exit_code);

// Reads RUN_DIR/train.jsonl and, for parameters and spans, the model directory
// RUN_DIR/checkpoint_last or checkpoint_best, or RUN_DIR itself, if one is
// there; writes the page and tells `out` where. kNotFound: no log; kDataLoss: a
// log without a single update; kUnavailable: the disk refuses.
absl::Status RunReport(const ReportCommandOptions& options, std::ostream& out);

}  // namespace spanlm
