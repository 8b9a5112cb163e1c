// SPDX-License-Identifier: Apache-2.0
// spanlm-train preprocess: a file of raw bytes to a raw corpus directory.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct PreprocessOptions {
  std::string raw;      // the file
  std::string destdir;  // the corpus directory to write
  std::string split;    // "TRAIN,VALID,TEST" in bytes; empty: 90, 5, 5 %
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddPreprocessCommand(CLI::App& app, int* exit_code);

// Errors: those of ParseSplit and WriteRawCorpus.
absl::Status RunPreprocess(const PreprocessOptions& options);

}  // namespace spanlm
