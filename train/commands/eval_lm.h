// SPDX-License-Identifier: Apache-2.0
// spanlm-train eval-lm: bits per byte of a split.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct EvalLmOptions {
  std::string data;  // a raw corpus or a binary data directory
  std::string path;  // the model
  std::vector<std::string> gen_subsets = {"test"};
  std::string protocol = "fairseq";
  std::string task = "truncated_bptt_lm";
  int64_t batch_size = 8;           // rows; without effect on full-stream
  int64_t tokens_per_sample = 512;  // block; full-stream: bytes a step
  std::string model_overrides;      // Python dict literal
  std::string output_losses;        // a file of every symbol's loss; ""
  std::string weights = "fp32";
  std::string kv = "fp32";
  int32_t threads = 0;  // 0: one for each core allowed
  bool json = false;
  std::vector<std::string> without_effect;  // flags given
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddEvalLmCommand(CLI::App& app, int* exit_code);

// Evaluates and writes each subset's result to `out`: the lines that the
// protocol's code prints, or one JSON object. kInvalidArgument or
// kUnimplemented names a bad flag; kNotFound, kDataLoss or kFailedPrecondition
// what is wrong with model or data.
absl::Status RunEvalLm(const EvalLmOptions& options, std::ostream& out);

}  // namespace spanlm
