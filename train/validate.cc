// SPDX-License-Identifier: Apache-2.0
#include "train/validate.h"

#include <ATen/Functions.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "train/stream_batcher.h"

namespace spanlm {

Validation Validate(const ByteModel& model, absl::Span<const uint8_t> symbols,
                    int64_t rows, int64_t block, Precision precision) {
  at::NoGradGuard no_grad;
  PassOptions pass;
  pass.precision = precision;
  const int64_t length = static_cast<int64_t>(symbols.size()) / rows;
  ModelMemory memory = model.NewMemory(rows, pass);
  double nats = 0;
  for (int64_t offset = 0; offset + 1 < length; offset += block) {
    const int64_t count = std::min(block, length - 1 - offset);
    const at::Tensor logits =
        model.Forward(GatherRows(symbols, rows, offset, count), pass, &memory);
    const at::Tensor targets = GatherRows(symbols, rows, offset + 1, count);
    nats += at::cross_entropy_loss(logits.flatten(0, 1), targets.flatten(), {},
                                   at::Reduction::Sum)
                .item<double>();
  }
  return {nats / M_LN2, rows * std::max<int64_t>(length - 1, 0)};
}

}  // namespace spanlm
