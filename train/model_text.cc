// SPDX-License-Identifier: Apache-2.0
#include "train/model_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/symbol_map.h"

namespace spanlm {
namespace {

constexpr uint8_t kNewline = 10;

std::vector<uint16_t> Copied(const SymbolText& text) {
  std::vector<uint16_t> symbols(static_cast<size_t>(text.size()));
  text.Copy(0, text.size(), symbols.data());
  return symbols;
}

bool HasSymbol(const ModelConfig& model, uint8_t byte) {
  return std::find(model->symbols.begin(), model->symbols.end(),
                   std::optional<uint8_t>(byte)) != model->symbols.end();
}

}  // namespace

std::optional<std::string> BytesOf(const SymbolText& text,
                                   const ModelFields& vocabulary) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(text.size()));
  for (const uint16_t symbol : Copied(text)) {
    if (symbol >= vocabulary.symbols.size() || !vocabulary.symbols[symbol]) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(*vocabulary.symbols[symbol]));
  }
  return bytes;
}

absl::StatusOr<std::vector<uint16_t>> SymbolsOf(const SymbolText& text,
                                                const ModelFields& vocabulary,
                                                const ModelConfig& model,
                                                bool drops_newlines) {
  const bool is_same =
      model->vocab_size == vocabulary.vocab_size &&
      (!model.knows_bytes() || model->symbols == vocabulary.symbols);
  // A raw corpus's symbols are bytes, a token model's are not.
  const bool are_bytes = vocabulary.symbols == AllBytes();
  if (is_same && !(are_bytes && !model.knows_bytes())) return Copied(text);
  SPANLM_ASSIGN_OR_RETURN(const SymbolMap map, SymbolMap::Create(model));
  std::optional<std::string> bytes = BytesOf(text, vocabulary);
  if (!bytes.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the corpus holds symbols that stand for no byte, and the "
        "model has other symbols (",
        model->vocab_size, ", the corpus ", vocabulary.vocab_size, ")"));
  }
  if (drops_newlines && !HasSymbol(model, kNewline)) {
    bytes->erase(std::remove(bytes->begin(), bytes->end(), kNewline),
                 bytes->end());
  }
  std::vector<uint16_t> symbols;
  SPANLM_RETURN_IF_ERROR(map.Encode(*bytes, &symbols));
  return symbols;
}

}  // namespace spanlm
