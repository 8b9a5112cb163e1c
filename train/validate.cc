// SPDX-License-Identifier: Apache-2.0
#include "train/validate.h"

#include <ATen/Functions.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "train/row_parts.h"
#include "train/stream_batcher.h"

namespace spanlm {

Validation Validate(const ByteModel& model, absl::Span<const uint8_t> symbols,
                    int64_t rows, int64_t block, Precision precision) {
  PassOptions pass;
  pass.precision = precision;
  const int64_t length = static_cast<int64_t>(symbols.size()) / rows;
  const std::vector<RowPart> parts = MakeRowParts(rows);
  std::vector<double> nats(parts.size());
  ForRowParts(parts, [&](size_t i, const RowPart& part) {
    at::NoGradGuard no_grad;  // a thread's own
    const absl::Span<const uint8_t> text =
        symbols.subspan(part.first * length, part.count * length);
    ModelMemory memory = model.NewMemory(part.count, pass);
    for (int64_t offset = 0; offset + 1 < length; offset += block) {
      const int64_t count = std::min(block, length - 1 - offset);
      const at::Tensor logits = model.Forward(
          GatherRows(text, part.count, offset, count), pass, &memory);
      const at::Tensor targets =
          GatherRows(text, part.count, offset + 1, count);
      nats[i] += at::cross_entropy_loss(logits.flatten(0, 1), targets.flatten(),
                                        {}, at::Reduction::Sum)
                     .item<double>();
    }
  });
  const double total = std::accumulate(nats.begin(), nats.end(), 0.0);
  return {total / M_LN2, rows * std::max<int64_t>(length - 1, 0)};
}

}  // namespace spanlm
