// SPDX-License-Identifier: Apache-2.0
// Negative log-likelihoods of token rows, by training's block form.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/byte_model.h"
#include "train/score_tokens.h"

namespace spanlm {

// −ln P of token t + 1 after tokens 0 … t of its row, [rows, length − 1], in
// nats. All rows go side by side through `blocks` of tokens, the last one
// shorter, each block's memory carried to the next. `tokens` are checked. For
// Transformer-XL's default mask the result depends on `blocks`; else it does
// not, but for rounding. kInternal: what LibTorch says.
absl::StatusOr<std::vector<float>> ScoreByBlocks(const ByteModel& model,
                                                 const TokenRows& tokens,
                                                 const BlockSizes& blocks);

}  // namespace spanlm
