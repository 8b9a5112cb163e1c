// SPDX-License-Identifier: Apache-2.0
// Rows of consecutive blocks: how training and evaluation read a text.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "train/symbol_text.h"

namespace spanlm {

// How a text becomes rows that are read side by side.
enum class RowLayout {
  // Equal slices of it. Every symbol but a row's first is a target. When fewer
  // than a block and its targets are left, a new pass starts at an offset below
  // `block` that depends on seed and pass only (the published Adaptive-Span
  // code draws it unseeded), and no memory reaches into it.
  kSlices,
  // The text cut into blocks first, a row being a run of blocks (fairseq's
  // truncated_bptt_lm). A block's last symbol has no target; a text's last
  // block is padded to its batch's longest; memory flows from a pass into the
  // next.
  kBlocks,
};

// A target that is not scored; LibTorch's own default for it.
inline constexpr int64_t kUnscored = -100;

struct BatchOptions {
  RowLayout layout = RowLayout::kSlices;
  int64_t rows = 0;        // of all processes together
  int64_t first_row = 0;   // the first of this process's
  int64_t row_count = 0;   // this process's
  int64_t block = 0;       // symbols
  uint64_t seed = 0;       // kSlices: of the passes' offsets
  int64_t pad_symbol = 0;  // kBlocks: what fills the last block
};

// The rows of one process that has them all.
BatchOptions WholeBatch(RowLayout layout, int64_t rows, int64_t block);

// A block of every row, with what follows each of its symbols.
struct StreamBatch {
  at::Tensor tokens;   // int64 [row_count, block]; the last of a text: shorter
  at::Tensor targets;  // as tokens; may be kUnscored
  std::vector<int64_t> begins;  // [row_count], of each row's block in the text
  int64_t scored = 0;           // targets of all processes that are scored
  bool starts_anew = false;     // no memory reaches into it
};

// Where a batcher stands; all that a resume needs.
struct StreamPosition {
  int64_t epoch = 1;   // passes begun
  int64_t offset = 0;  // in each row, of the next block
};

// Walks through all rows at once, a block a step. One thread at a time.
class StreamBatcher {
 public:
  // The memory of `text` must outlive the batcher. kInvalidArgument: a text too
  // short for the rows (kSlices: block + 1 twice over; kBlocks: one block each;
  // sizes named).
  static absl::StatusOr<StreamBatcher> Create(SymbolText text,
                                              const BatchOptions& options);

  StreamBatch Next();

  // Whether the next batch starts a new pass.
  bool at_pass_end() const;
  // Part of the current pass that is over, in [0, 1].
  double pass_fraction() const;
  const StreamPosition& position() const { return position_; }
  // Goes on from a position that position() gave. kDataLoss: one that it cannot
  // have given (the bound named).
  absl::Status Seek(const StreamPosition& position);

 private:
  StreamBatcher(SymbolText text, const BatchOptions& options);

  StreamBatch NextOfSlices();
  StreamBatch NextOfBlocks();

  SymbolText text_;
  BatchOptions options_;
  int64_t row_length_ = 0;  // symbols; kBlocks: of whole blocks, pads included
  StreamPosition position_;
};

// The symbols [offset, offset + count) of `row_count` of the `rows` equal
// slices of `text`, from `first_row` on, as int64 [row_count, count].
at::Tensor GatherRows(const SymbolText& text, int64_t rows, int64_t first_row,
                      int64_t row_count, int64_t offset, int64_t count);

}  // namespace spanlm
