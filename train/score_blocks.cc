// SPDX-License-Identifier: Apache-2.0
#include "train/score_blocks.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "engine/runtime/torch_guard.h"

namespace spanlm {
namespace {

// The tokens [begin, begin + count) of every row, int64 [rows, count].
at::Tensor Columns(const TokenRows& tokens, int64_t begin, int64_t count) {
  at::Tensor block = at::empty({tokens.rows, count}, at::kLong);
  int64_t* out = block.data_ptr<int64_t>();
  for (int64_t row = 0; row < tokens.rows; ++row) {
    const absl::Span<const uint16_t> from = tokens.row(row).subspan(
        static_cast<size_t>(begin), static_cast<size_t>(count));
    out = std::copy(from.begin(), from.end(), out);
  }
  return block;
}

}  // namespace

absl::StatusOr<std::vector<float>> ScoreByBlocks(const ByteModel& model,
                                                 const TokenRows& tokens,
                                                 const BlockSizes& blocks) {
  return GuardTorch(
      "block scores", [&]() -> absl::StatusOr<std::vector<float>> {
        const c10::InferenceMode no_gradients;
        const PassOptions pass;
        const int64_t scored = tokens.length - 1;
        std::vector<float> scores(static_cast<size_t>(tokens.rows * scored));
        ModelMemory memory = model.NewMemory(tokens.rows, pass);
        int64_t begin = 0;
        for (size_t turn = 0; begin < scored; ++turn) {
          const int64_t count =
              std::min(blocks[turn % blocks.size()], scored - begin);
          const at::Tensor logits =
              model.Forward(Columns(tokens, begin, count), pass, &memory);
          const at::Tensor nll =
              at::log_softmax(logits.to(at::kFloat), -1)
                  .gather(2, Columns(tokens, begin + 1, count).unsqueeze(2))
                  .neg()
                  .contiguous();
          const float* from = nll.data_ptr<float>();
          for (int64_t row = 0; row < tokens.rows; ++row) {
            std::copy(from + row * count, from + (row + 1) * count,
                      scores.begin() + row * scored + begin);
          }
          begin += count;
        }
        return scores;
      });
}

}  // namespace spanlm
