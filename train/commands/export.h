// SPDX-License-Identifier: Apache-2.0
// spanlm-train export: a model as a checkpoint of the published programs.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct ExportCommandOptions {
  std::string model;        // a model directory or a foreign checkpoint
  std::string destination;  // a file, or for huggingface a folder
  std::string format;       // --format: fairseq, original or huggingface
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddExportCommand(CLI::App& app, int* exit_code);

// Exports and tells `out` what was written and what its user has to know.
// kInvalidArgument: no such format; else the errors of FindModel and
// ExportModel.
absl::Status RunExport(const ExportCommandOptions& options, std::ostream& out);

}  // namespace spanlm
