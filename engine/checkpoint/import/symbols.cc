// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/symbols.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {
namespace {

constexpr uint8_t kLineFeed = 10;
constexpr int32_t kUnknown = 3;  // fairseq's <unk>
constexpr absl::string_view kFiller = "madeupword";

absl::string_view TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

std::optional<uint8_t> ParseByte(absl::string_view text) {
  int32_t value = 0;
  const bool is_decimal =
      !text.empty() && text.size() <= 3 &&
      std::all_of(text.begin(), text.end(), [](char c) {
        return absl::ascii_isdigit(static_cast<unsigned char>(c));
      });
  if (!is_decimal || !absl::SimpleAtoi(text, &value) || value > 255) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(value);
}

absl::Status CheckCount(const std::string& path, size_t count,
                        const ModelFields& fields) {
  if (count == static_cast<size_t>(fields.vocab_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": makes ", count, " symbols, the model has ", fields.vocab_size));
}

// Symbols in order of first appearance.
class FirstAppearance {
 public:
  void Add(uint8_t byte) {
    if (seen_[byte]) return;
    seen_[byte] = true;
    symbols_.emplace_back(byte);
  }
  std::vector<std::optional<uint8_t>> Take() { return std::move(symbols_); }

 private:
  std::array<bool, 256> seen_{};
  std::vector<std::optional<uint8_t>> symbols_;
};

bool IsDecimalText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return absl::ascii_isdigit(byte) || absl::ascii_isspace(byte);
  });
}

absl::Status AddNumbers(const std::string& path, absl::string_view text,
                        FirstAppearance* symbols) {
  int64_t line_number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    for (const absl::string_view word :
         absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty())) {
      const std::optional<uint8_t> byte = ParseByte(word);
      if (!byte.has_value() || *byte == kLineFeed) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ", line ", line_number, ": ", word.substr(0, 40),
                         ", want a byte other than 10"));
      }
      symbols->Add(*byte);
    }
    symbols->Add(kLineFeed);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadDictionary(const std::string& path, ModelFields* fields) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::vector<std::optional<uint8_t>> symbols = {std::nullopt, std::nullopt,
                                                 kLineFeed, std::nullopt};
  std::vector<absl::string_view> lines = absl::StrSplit(TextOf(file), '\n');
  if (lines.back().empty()) lines.pop_back();
  for (size_t i = 0; i < lines.size(); ++i) {
    const absl::string_view symbol = lines[i].substr(0, lines[i].find(' '));
    const std::optional<uint8_t> byte = ParseByte(symbol);
    if (!byte.has_value() && !absl::StartsWith(symbol, kFiller)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ", line ", i + 1, ": ", symbol.substr(0, 40),
                       ", want a byte as decimal text"));
    }
    symbols.push_back(byte);
  }
  SPANLM_RETURN_IF_ERROR(CheckCount(path, symbols.size(), *fields));
  fields->symbols = std::move(symbols);
  fields->unknown_symbol = kUnknown;
  return absl::OkStatus();
}

absl::Status ReadVocabularyText(const std::string& path, ModelFields* fields) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view text = TextOf(file);
  FirstAppearance appearance;
  if (IsDecimalText(text)) {
    // A final line feed ends the last line and begins none.
    SPANLM_RETURN_IF_ERROR(AddNumbers(
        path,
        absl::EndsWith(text, "\n") ? text.substr(0, text.size() - 1) : text,
        &appearance));
  } else {
    for (const char c : text) appearance.Add(static_cast<uint8_t>(c));
    appearance.Add(kLineFeed);
  }
  std::vector<std::optional<uint8_t>> symbols = appearance.Take();
  SPANLM_RETURN_IF_ERROR(CheckCount(path, symbols.size(), *fields));
  fields->symbols = std::move(symbols);
  fields->unknown_symbol = -1;
  return absl::OkStatus();
}

}  // namespace spanlm
