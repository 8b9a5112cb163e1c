// SPDX-License-Identifier: Apache-2.0
// The flags of `spanlm-train train`, fairseq's among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "train/train_options.h"

namespace spanlm {

// Flags as they are typed; an empty text is a flag that was not given.
struct TrainFlags {
  TrainOptions options;
  std::string arch = "adaptive_span";
  std::string task = "truncated_bptt_lm";
  std::string criterion;
  int32_t d_head = 0;
  bool same_length = false;
  std::string optimizer = "adagrad_with_grad_clip";
  std::string adam_betas = "(0.9, 0.999)";
  std::string lr_scheduler = "fixed";
  std::string log_format = "json";
  std::string precision = "fp32";
  bool fp16 = false;
  bool bf16 = false;
  std::string device = "cpu";
  bool no_epoch_checkpoints = false;

  std::string semantics = "original";
  std::string block_ends, validation_memory, mask, mask_template, span_clamp,
      initialization, biases, memory_start, adam_eps_place, log_losses;

  // Given, but without a meaning here: "--flag: why".
  std::vector<std::string> without_effect;
};

// Adds them to `command`, which fills `*flags`; both must outlive the parse.
void AddTrainFlags(CLI::App* command, TrainFlags* flags);

// kInvalidArgument names flags that contradict each other, or a flag, its value
// and the bound. Bounds of a single flag are CheckTrainOptions's.
absl::StatusOr<TrainOptions> ResolveTrainFlags(const TrainFlags& flags);

}  // namespace spanlm
