// SPDX-License-Identifier: Apache-2.0
// Scores a text in block form, as training sees it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/byte_model.h"
#include "train/row_parts.h"
#include "train/stream_batcher.h"
#include "train/symbol_text.h"

namespace spanlm {

struct Validation {
  double bits = 0;        // Σ −log2 P of the scored symbols
  int64_t scored = 0;     // symbols
  int64_t positions = 0;  // symbols read and pads
  // Σ over blocks of the mean over what a block scored, and how many blocks.
  double block_mean_bits = 0;
  int64_t blocks = 0;
  bool complete = true;

  double bits_per_symbol() const {
    return scored > 0 ? bits / static_cast<double>(scored) : 0;
  }
};

struct ValidateOptions {
  BatchOptions rows;
  Precision precision = Precision::kFull;
  // Where −ln P of each symbol goes, by its place in the text, what is not
  // scored left as it is; of the text's size, or nullptr.
  std::vector<float>* losses = nullptr;
  // Of kSlices: leaves out what does not fill a block at a row's end.
  bool whole_blocks_only = false;
};

// Scores this process's rows of `text` in one pass without dropout, where the
// model lies. kSlices: all but each row's first symbol, up to rows − 1 left
// over at the text's end are not read. kBlocks: all but each block's first; up
// to rows − 1 blocks left over are not read. `memories`, one for each of
// MakeRowParts, is where the rows start, and is moved on; nullptr: from the
// model's start. `goes_on` hears the running figures after each block and says
// whether to go on; where it does not, the result has `complete` false. The
// text may be too short to score anything.
Validation Validate(
    const ByteModel& model, const SymbolText& text,
    const ValidateOptions& options,
    std::vector<ModelMemory>* memories = nullptr,
    const std::function<bool(const Validation&)>& goes_on = nullptr);

}  // namespace spanlm
