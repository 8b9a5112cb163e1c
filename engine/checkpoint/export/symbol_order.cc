// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/symbol_order.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace spanlm {
namespace {

constexpr int32_t kEndOfLine = 2;  // </s>
constexpr int32_t kUnknown = 3;    // <unk>
constexpr size_t kSpecials = 4;
constexpr uint8_t kLineFeed = 10;
constexpr size_t kSizeMultiple = 8;
constexpr int32_t kNone = -1;
constexpr float kNeverBias = -1e4F;

bool LiesAsFairseqs(const ModelFields& fields) {
  const auto& symbols = fields.symbols;
  return symbols.size() >= kSpecials && !symbols[0].has_value() &&
         !symbols[1].has_value() && symbols[kEndOfLine] == kLineFeed &&
         fields.unknown_symbol == kUnknown;  // which has no byte
}

std::vector<int32_t> OrderSymbols(const ModelFields& fields) {
  std::vector<int32_t> own(fields.symbols.size());
  std::iota(own.begin(), own.end(), 0);
  if (LiesAsFairseqs(fields)) return own;
  std::vector<int32_t> sources(kSpecials, kNone);
  sources[kUnknown] = fields.unknown_symbol;
  for (const int32_t symbol : own) {
    if (fields.symbols[symbol] == kLineFeed) {
      sources[kEndOfLine] = symbol;
    } else if (symbol != fields.unknown_symbol) {
      sources.push_back(symbol);
    }
  }
  while (sources.size() % kSizeMultiple != 0) sources.push_back(kNone);
  return sources;
}

std::string TextOf(const ModelFields& fields,
                   const std::vector<int32_t>& sources) {
  std::string text;
  int32_t fillers = 0;
  for (size_t id = kSpecials; id < sources.size(); ++id) {
    const std::optional<uint8_t> byte =
        sources[id] == kNone ? std::nullopt : fields.symbols[sources[id]];
    if (byte.has_value()) {
      absl::StrAppend(&text, int{*byte}, " 1\n");
    } else {
      absl::StrAppendFormat(&text, "madeupword%04d 0\n", fillers++);
    }
  }
  return text;
}

bool IsBias(const FloatTensor& tensor) { return tensor.shape.size() == 1; }

bool HasRowPerSymbol(const std::string& name) {
  for (const char* prefix :
       {"in_emb.", "out_emb.", "word_emb.emb_layers.", "crit.out_layers."}) {
    if (absl::StartsWith(name, prefix)) return true;
  }
  return false;
}

}  // namespace

SymbolOrder FairseqOrder(const ModelFields& fields) {
  SymbolOrder order;
  order.sources = OrderSymbols(fields);
  order.text = TextOf(fields, order.sources);
  order.keeps_ids = LiesAsFairseqs(fields);
  return order;
}

bool SameSymbols(absl::string_view a, absl::string_view b) {
  const auto names = [](absl::string_view text) {
    std::vector<absl::string_view> result =
        absl::StrSplit(text, '\n', absl::SkipEmpty());
    for (absl::string_view& line : result)
      line = line.substr(0, line.find(' '));
    return result;
  };
  return names(a) == names(b);
}

void ReorderSymbols(const SymbolOrder& order,
                    std::vector<FloatTensor>* tensors) {
  if (order.keeps_ids) return;
  const auto count = static_cast<int64_t>(order.sources.size());
  for (FloatTensor& tensor : *tensors) {
    if (!HasRowPerSymbol(tensor.name)) continue;
    const int64_t width =
        static_cast<int64_t>(tensor.values.size()) / tensor.shape[0];
    std::vector<float> values(static_cast<size_t>(count * width),
                              IsBias(tensor) ? kNeverBias : 0.0F);
    for (int64_t id = 0; id < count; ++id) {
      const int64_t source = order.sources[id];
      if (source == kNone) continue;
      std::copy_n(tensor.values.begin() + source * width, width,
                  values.begin() + id * width);
    }
    tensor.shape[0] = count;
    tensor.values = std::move(values);
  }
}

}  // namespace spanlm
