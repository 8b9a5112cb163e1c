// SPDX-License-Identifier: Apache-2.0
// Bits per byte of a text in block form, as training sees it.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "engine/model/byte_model.h"

namespace spanlm {

struct Validation {
  double bits = 0;     // Σ −log2 P
  int64_t scored = 0;  // symbols
  double bits_per_byte() const {
    return scored > 0 ? bits / static_cast<double>(scored) : 0;
  }
};

// Scores `symbols` as `rows` equal slices read side by side in blocks of
// `block`, from an empty memory, without dropout; all but each row's first
// symbol are scored, and up to rows − 1 left over at the end are not.
Validation Validate(const ByteModel& model, absl::Span<const uint8_t> symbols,
                    int64_t rows, int64_t block, Precision precision);

}  // namespace spanlm
