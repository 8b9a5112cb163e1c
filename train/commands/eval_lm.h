// SPDX-License-Identifier: Apache-2.0
// spanlm-train eval-lm: bits per byte of a split.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct EvalLmOptions {
  std::string data;                  // a raw corpus directory
  std::string path;                  // the model
  std::string gen_subset = "test";   // "train", "valid" or "test"
  std::string protocol = "fairseq";  // only "full-stream" is built so far
  std::string task = "truncated_bptt_lm";
  int64_t batch_size = 1;           // without effect on one stream
  int64_t tokens_per_sample = 512;  // bytes a step; changes no bit
  std::string model_overrides;      // Python dict literal
  std::string weights = "fp32";
  std::string kv = "fp32";
  int32_t threads = 0;  // 0: one for each core allowed
  bool json = false;
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddEvalLmCommand(CLI::App& app, int* exit_code);

// Evaluates and writes the result to `out`: fairseq's last two lines or one
// JSON object. kInvalidArgument or kUnimplemented names a bad flag; kNotFound,
// kDataLoss or kFailedPrecondition what is wrong with model or data.
absl::Status RunEvalLm(const EvalLmOptions& options, std::ostream& out);

}  // namespace spanlm
