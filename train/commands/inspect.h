// SPDX-License-Identifier: Apache-2.0
// spanlm-train inspect: what a model is.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct InspectOptions {
  std::string model;  // a model directory or a foreign checkpoint
  bool json = false;  // one JSON object instead of a table
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddInspectCommand(CLI::App& app, int* exit_code);

// Errors: those of FindModel and ModelDir::Open.
absl::Status RunInspect(const InspectOptions& options, std::ostream& out);

}  // namespace spanlm
