// SPDX-License-Identifier: Apache-2.0
#include "train/commands/score_tokens.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/engine.h"
#include "engine/model/byte_model.h"
#include "train/exit_codes.h"
#include "train/model_overrides.h"
#include "train/model_source.h"
#include "train/score_blocks.h"
#include "train/score_tokens.h"

namespace spanlm {
namespace {

constexpr int64_t kMaxStepSymbols = 8192;

absl::Status CheckOptions(const ScoreTokensOptions& options) {
  if (options.path != "block" && options.path != "step") {
    return absl::InvalidArgumentError(
        absl::StrCat("--path ", options.path, ": want block or step"));
  }
  for (const int64_t block : options.blocks) {
    if (block < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--block ", block, ": want at least 1"));
    }
  }
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads ", options.threads, ": want at least 0"));
  }
  SPANLM_RETURN_IF_ERROR(CheckFormat("weights", options.weights));
  return CheckFormat("kv", options.kv);
}

// Room for a block of every row, within reason.
int32_t StepRoom(const ScoreTokensOptions& options, const TokenRows& tokens) {
  const int64_t largest =
      *std::max_element(options.blocks.begin(), options.blocks.end());
  const int64_t block = std::min(largest, tokens.length);
  return static_cast<int32_t>(std::clamp<int64_t>(
      block * std::min(tokens.rows, kMaxStepSymbols), 1, kMaxStepSymbols));
}

absl::StatusOr<std::vector<float>> Score(const ScoreTokensOptions& options,
                                         const ModelDir& model,
                                         const TokenRows& tokens) {
  if (options.path == "block") {
    if (options.threads > 0) at::set_num_threads(options.threads);
    SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<ByteModel> form,
                            LoadByteModel(model.config(), model));
    return ScoreByBlocks(*form, tokens, options.blocks);
  }
  EngineOptions engine_options;
  engine_options.threads = options.threads;
  engine_options.max_step_symbols = StepRoom(options, tokens);
  engine_options.weights = options.weights;
  engine_options.kv = options.kv;
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                          CreateEngine(model.path(), engine_options));
  return ScoreByStep(*engine, tokens, options.blocks);
}

// The bytes of little-endian float32.
std::string ToBytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

void AddScoreTokensCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ScoreTokensOptions>();
  CLI::App* command = app.add_subcommand(
      "score-tokens", "Writes the negative log-likelihood of every token.");
  command
      ->add_option("model", options->model,
                   "a model directory or a foreign checkpoint")
      ->type_name("MODEL")
      ->required();
  command
      ->add_option("--tokens", options->tokens,
                   "uint16 little-endian token ids, rows × T")
      ->type_name("FILE")
      ->required();
  command->add_option("--rows", options->rows, "rows of the token file");
  command
      ->add_option("--block", options->blocks,
                   "tokens a call, 1: one at a time; a list is taken in turn")
      ->type_name("N[,N…]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--path", options->path,
                      "block: training's form; step: serving's caches");
  command->add_option("--weights", options->weights, "fp32, bf16 or int8");
  command->add_option("--kv", options->kv, "fp32, bf16 or int8");
  command->add_option("--threads", options->threads,
                      "0: one for each core allowed");
  command
      ->add_option(
          "--out", options->out,
          "float32 little-endian, rows × (T − 1): −ln P of token t + 1 "
          "after tokens 0 … t")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--model-overrides", options->model_overrides,
                   "settings to replace, a Python dict literal")
      ->type_name("DICT");
  command->callback(
      [options, exit_code] { *exit_code = Report(RunScoreTokens(*options)); });
}

absl::Status RunScoreTokens(const ScoreTokensOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckOptions(options));
  SPANLM_ASSIGN_OR_RETURN(const auto overrides,
                          ParseModelOverrides(options.model_overrides));
  SPANLM_ASSIGN_OR_RETURN(const ModelSource source,
                          FindModel(options.model, overrides));
  SPANLM_ASSIGN_OR_RETURN(const ModelDir model,
                          ModelDir::Open(source.model_dir));
  SPANLM_ASSIGN_OR_RETURN(const TokenRows tokens,
                          ReadTokenRows(options.tokens, options.rows));
  SPANLM_RETURN_IF_ERROR(CheckTokens(tokens, model.config()->vocab_size));
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> scores,
                          Score(options, model, tokens));
  return WriteFileAtomically(options.out, ToBytes(scores));
}

}  // namespace spanlm
