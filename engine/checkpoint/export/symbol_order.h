// SPDX-License-Identifier: Apache-2.0
// A model's symbols as fairseq numbers them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/checkpoint/export/float_tensors.h"
#include "engine/model_config.h"

namespace spanlm {

// fairseq's ids 0 to 3 are <s>, <pad>, </s> (byte 10) and <unk>; line n of
// dict.txt names id n + 4.
struct SymbolOrder {
  // The model's symbol for each of fairseq's, or −1 where it has none: a
  // special or a filler that a model of plain bytes never saw.
  std::vector<int32_t> sources;
  // Of dict.txt: a byte as decimal text, or a filler, and a count. The counts
  // of the training text are not part of a model: 1 for a byte, 0 for a filler.
  std::string text;
  // Whether every id is the model's own.
  bool keeps_ids = true;
};

// A model whose symbols already lie as fairseq's do keeps its ids. Any other
// gets the specials first, then its remaining symbols in their own order, then
// fillers up to a multiple of 8, as fairseq-preprocess pads. `fields.symbols`
// must not be empty.
SymbolOrder FairseqOrder(const ModelFields& fields);

// Whether two texts of dict.txt name the same symbols in the same order,
// whatever their counts.
bool SameSymbols(absl::string_view a, absl::string_view b);

// Puts the rows of embedding and output in the dictionary's order. A symbol
// that the model has not gets a row of zeros and an output bias of −10⁴: its
// probability is e^−10⁴ of the others', 0 in every float format, so theirs stay
// what they were; half precision still holds the number.
void ReorderSymbols(const SymbolOrder& order,
                    std::vector<FloatTensor>* tensors);

}  // namespace spanlm
