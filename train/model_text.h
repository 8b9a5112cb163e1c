// SPDX-License-Identifier: Apache-2.0
// A corpus's text in the symbols of a model that may have others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model_config.h"
#include "train/symbol_text.h"

namespace spanlm {

// The bytes that `text`'s symbols stand for, as `vocabulary` says; nothing
// where one of them stands for none.
std::optional<std::string> BytesOf(const SymbolText& text,
                                   const ModelFields& vocabulary);

// `text`, whose symbols are those of `vocabulary`, in the model's: as it is
// where the model has as many and none that stands for something else, else
// byte by byte. kFailedPrecondition: a model whose bytes are not known;
// kInvalidArgument names a byte that it has no symbol for, and its offset.
// With `drops_newlines`, without the bytes 10, where the model has no symbol
// for them.
absl::StatusOr<std::vector<uint16_t>> SymbolsOf(const SymbolText& text,
                                                const ModelFields& vocabulary,
                                                const ModelConfig& model,
                                                bool drops_newlines);

}  // namespace spanlm
