// SPDX-License-Identifier: Apache-2.0
#include "train/stream_batcher.h"

#include <ATen/Functions.h>

#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

// SplitMix64: one well-mixed number for each input.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

at::Tensor GatherRows(absl::Span<const uint8_t> symbols, int64_t rows,
                      int64_t offset, int64_t count) {
  const int64_t row_length = static_cast<int64_t>(symbols.size()) / rows;
  at::Tensor gathered =
      at::empty({rows, count}, at::TensorOptions().dtype(at::kLong));
  int64_t* out = gathered.data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* in = symbols.data() + row * row_length + offset;
    for (int64_t i = 0; i < count; ++i) *out++ = in[i];
  }
  return gathered;
}

absl::StatusOr<StreamBatcher> StreamBatcher::Create(
    absl::Span<const uint8_t> symbols, int64_t rows, int64_t block,
    uint64_t seed) {
  const int64_t row_length = static_cast<int64_t>(symbols.size()) / rows;
  // Twice, because a later pass starts up to a block in.
  if (row_length < 2 * (block + 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "training text of ", symbols.size(), " bytes gives --batch-size ", rows,
        " rows of ", row_length, " bytes; --tokens-per-sample ", block,
        " needs rows of at least ", 2 * (block + 1)));
  }
  return StreamBatcher(symbols, rows, block, seed);
}

bool StreamBatcher::at_pass_end() const {
  return position_.offset + block_ + 1 > row_length_;
}

double StreamBatcher::pass_fraction() const {
  return static_cast<double>(position_.offset) /
         static_cast<double>(row_length_);
}

StreamBatch StreamBatcher::Next() {
  StreamBatch batch;
  batch.starts_pass = position_.epoch == 1 && position_.offset == 0;
  if (at_pass_end()) {
    position_.offset = static_cast<int64_t>(Mix(seed_ ^ Mix(position_.epoch)) %
                                            static_cast<uint64_t>(block_));
    ++position_.epoch;
    batch.starts_pass = true;
  }
  batch.tokens = GatherRows(symbols_, rows_, position_.offset, block_);
  batch.targets = GatherRows(symbols_, rows_, position_.offset + 1, block_);
  position_.offset += block_;
  return batch;
}

}  // namespace spanlm
