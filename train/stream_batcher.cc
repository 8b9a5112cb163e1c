// SPDX-License-Identifier: Apache-2.0
#include "train/stream_batcher.h"

#include <ATen/Functions.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

constexpr int64_t kMaxEpoch = int64_t{1} << 40;

// SplitMix64: one well-mixed number for each input.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

int64_t RowLength(const SymbolText& text, const BatchOptions& options) {
  if (options.layout == RowLayout::kSlices) return text.size() / options.rows;
  const int64_t blocks = (text.size() + options.block - 1) / options.block;
  return blocks / options.rows * options.block;
}

at::Tensor Filled(int64_t rows, int64_t count, int64_t value) {
  return at::full({rows, count}, value, at::TensorOptions().dtype(at::kLong));
}

}  // namespace

BatchOptions WholeBatch(RowLayout layout, int64_t rows, int64_t block) {
  BatchOptions options;
  options.layout = layout;
  options.rows = rows;
  options.row_count = rows;
  options.block = block;
  return options;
}

at::Tensor GatherRows(const SymbolText& text, int64_t rows, int64_t first_row,
                      int64_t row_count, int64_t offset, int64_t count) {
  const int64_t row_length = text.size() / rows;
  at::Tensor gathered =
      at::empty({row_count, count}, at::TensorOptions().dtype(at::kLong));
  int64_t* out = gathered.data_ptr<int64_t>();
  for (int64_t row = 0; row < row_count; ++row) {
    text.Copy((first_row + row) * row_length + offset, count,
              out + row * count);
  }
  return gathered;
}

StreamBatcher::StreamBatcher(SymbolText text, const BatchOptions& options)
    : text_(text), options_(options), row_length_(RowLength(text, options)) {}

absl::StatusOr<StreamBatcher> StreamBatcher::Create(
    SymbolText text, const BatchOptions& options) {
  // Twice for slices, because a later pass starts up to a block in.
  const int64_t least = options.layout == RowLayout::kSlices
                            ? 2 * (options.block + 1)
                            : options.block;
  const int64_t row_length = RowLength(text, options);
  if (row_length < least) {
    return absl::InvalidArgumentError(absl::StrCat(
        "text of ", text.size(), " symbols gives ", options.rows, " rows of ",
        text.size() / options.rows, "; --tokens-per-sample ", options.block,
        " needs rows of at least ", least, ": lower --batch-size"));
  }
  return StreamBatcher(text, options);
}

bool StreamBatcher::at_pass_end() const {
  const int64_t needed = options_.layout == RowLayout::kSlices
                             ? options_.block + 1
                             : options_.block;
  return position_.offset > row_length_ - needed;
}

absl::Status StreamBatcher::Seek(const StreamPosition& position) {
  if (position.offset < 0 || position.offset > row_length_) {
    return absl::DataLossError(absl::StrCat("offset is ", position.offset,
                                            ", want 0 to ", row_length_,
                                            ", the length of a row"));
  }
  if (position.epoch < 1 || position.epoch > kMaxEpoch) {
    return absl::DataLossError(
        absl::StrCat("epoch is ", position.epoch, ", want 1 to ", kMaxEpoch));
  }
  position_ = position;
  return absl::OkStatus();
}

double StreamBatcher::pass_fraction() const {
  return static_cast<double>(position_.offset) /
         static_cast<double>(row_length_);
}

StreamBatch StreamBatcher::Next() {
  return options_.layout == RowLayout::kSlices ? NextOfSlices()
                                               : NextOfBlocks();
}

StreamBatch StreamBatcher::NextOfSlices() {
  StreamBatch batch;
  batch.starts_anew = position_.epoch == 1 && position_.offset == 0;
  if (at_pass_end()) {
    position_.offset =
        static_cast<int64_t>(Mix(options_.seed ^ Mix(position_.epoch)) %
                             static_cast<uint64_t>(options_.block));
    ++position_.epoch;
    batch.starts_anew = true;
  }
  const auto gather = [&](int64_t offset) {
    return GatherRows(text_, options_.rows, options_.first_row,
                      options_.row_count, offset, options_.block);
  };
  for (int64_t row = 0; row < options_.row_count; ++row) {
    batch.begins.push_back((options_.first_row + row) * row_length_ +
                           position_.offset);
  }
  batch.tokens = gather(position_.offset);
  batch.targets = gather(position_.offset + 1);
  batch.scored = options_.rows * options_.block;
  position_.offset += options_.block;
  return batch;
}

StreamBatch StreamBatcher::NextOfBlocks() {
  StreamBatch batch;
  batch.starts_anew = position_.epoch == 1 && position_.offset == 0;
  if (at_pass_end()) {
    position_.offset = 0;
    ++position_.epoch;
  }
  const int64_t block = options_.block, count = options_.row_count;
  const auto length_of = [&](int64_t row) {
    const int64_t begin = row * row_length_ + position_.offset;
    return std::min(block, text_.size() - begin);
  };
  // Only the last row's last block may be short; earlier rows' are longer.
  const int64_t width = length_of(options_.first_row);
  batch.tokens = Filled(count, width, options_.pad_symbol);
  batch.targets = Filled(count, width, kUnscored);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = options_.first_row + i;
    const int64_t begin = row * row_length_ + position_.offset;
    const int64_t length = length_of(row);
    batch.begins.push_back(begin);
    text_.Copy(begin, length, batch.tokens.data_ptr<int64_t>() + i * width);
    text_.Copy(begin + 1, length - 1,
               batch.targets.data_ptr<int64_t>() + i * width);
  }
  batch.scored =
      (options_.rows - 1) * (block - 1) + length_of(options_.rows - 1) - 1;
  position_.offset += block;
  return batch;
}

}  // namespace spanlm
