// SPDX-License-Identifier: Apache-2.0
// Rows of consecutive blocks: how training reads a text.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace spanlm {

// A block of every row, with what follows each of its symbols.
struct StreamBatch {
  at::Tensor tokens;         // int64 [rows, block]
  at::Tensor targets;        // int64 [rows, block]
  bool starts_pass = false;  // no memory reaches into it
};

// Where a batcher stands; all that a resume needs.
struct StreamPosition {
  int64_t epoch = 1;   // passes begun
  int64_t offset = 0;  // in each row, of the next block
};

// Cuts `symbols` into `rows` equal slices and walks through all of them at
// once, `block` symbols a step; every symbol but a row's first is a target
// once a pass. When fewer than block + 1 are left, a new pass starts at an
// offset below `block` that depends on seed and pass only (the published code
// draws it unseeded). One thread at a time.
class StreamBatcher {
 public:
  // `symbols` must outlive the batcher. kInvalidArgument: rows shorter than
  // block + 1 twice over (sizes named).
  static absl::StatusOr<StreamBatcher> Create(absl::Span<const uint8_t> symbols,
                                              int64_t rows, int64_t block,
                                              uint64_t seed);

  StreamBatch Next();

  // Whether the next batch starts a new pass.
  bool at_pass_end() const;
  // Part of the current pass that is over, in [0, 1].
  double pass_fraction() const;
  const StreamPosition& position() const { return position_; }
  // Goes on from a position that position() gave.
  void Seek(const StreamPosition& position) { position_ = position; }

 private:
  StreamBatcher(absl::Span<const uint8_t> symbols, int64_t rows, int64_t block,
                uint64_t seed)
      : symbols_(symbols),
        rows_(rows),
        block_(block),
        row_length_(static_cast<int64_t>(symbols.size()) / rows),
        seed_(seed) {}

  absl::Span<const uint8_t> symbols_;
  int64_t rows_, block_, row_length_;
  uint64_t seed_;
  StreamPosition position_;
};

// The symbols [offset, offset + count) of each of `rows` slices as int64
// [rows, count].
at::Tensor GatherRows(absl::Span<const uint8_t> symbols, int64_t rows,
                      int64_t offset, int64_t count);

}  // namespace spanlm
