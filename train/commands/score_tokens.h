// SPDX-License-Identifier: Apache-2.0
// spanlm-train score-tokens: negative log-likelihoods of token rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

struct ScoreTokensOptions {
  std::string model;   // a model directory or a foreign checkpoint
  std::string tokens;  // uint16 little-endian, [rows, T]
  int64_t rows = 1;
  std::vector<int64_t> blocks = {512};  // tokens a call, in turn
  std::string path = "step";  // "block": training's form; "step": serving's
  std::string weights = "fp32";
  std::string kv = "fp32";
  int32_t threads = 0;          // 0: one for each core allowed
  std::string out;              // float32 little-endian, [rows, T − 1], nats
  std::string model_overrides;  // Python dict literal
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddScoreTokensCommand(CLI::App& app, int* exit_code);

// Writes −ln P of token t + 1 after tokens 0 … t of its row. kInvalidArgument
// or kUnimplemented names a bad flag; kNotFound, kDataLoss or
// kFailedPrecondition what is wrong with the model or the tokens.
absl::Status RunScoreTokens(const ScoreTokensOptions& options);

}  // namespace spanlm
