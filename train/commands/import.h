// SPDX-License-Identifier: Apache-2.0
// spanlm-train import: a foreign checkpoint to a model directory.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct ImportCommandOptions {
  std::string source;
  std::string destination;
  std::string dictionary;             // --dict: fairseq's dict.txt
  std::string vocabulary_text;        // --vocab-from: text that fixed the order
  std::vector<std::string> settings;  // --set: "key=value" each
  std::string dtype;  // of the tensors written; empty: as stored
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddImportCommand(CLI::App& app, int* exit_code);

// Imports and tells `out` what was found: family, parameters, spans, notes.
// kInvalidArgument names a bad setting or dtype; else the errors of ImportModel
// and WriteModelDir.
absl::Status RunImport(const ImportCommandOptions& options, std::ostream& out);

}  // namespace spanlm
