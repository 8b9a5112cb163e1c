// SPDX-License-Identifier: Apache-2.0
#include "train/fairseq_dictionary.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {
namespace {

constexpr std::array<const char*, kFairseqSpecials> kSpecials = {
    "<s>", "<pad>", "</s>", "<unk>"};

std::string_view AsKey(absl::string_view text) {
  return {text.data(), text.size()};
}

bool IsSpecial(absl::string_view word) {
  return std::find(kSpecials.begin(), kSpecials.end(), word) != kSpecials.end();
}

}  // namespace

void WordCounts::Add(absl::string_view word, int64_t count) {
  if (const int number = SmallNumber(word); number >= 0) {
    numbers_[static_cast<size_t>(number)] += count;
    return;
  }
  const auto found = words_.find(AsKey(word));
  if (found != words_.end()) {
    found->second += count;
    return;
  }
  texts_.emplace_back(word);
  words_.emplace(texts_.back(), count);
}

void WordCounts::Add(const WordCounts& other) {
  other.ForEach(
      [this](absl::string_view word, int64_t count) { Add(word, count); });
}

FairseqDictionary::FairseqDictionary() {
  numbers_.fill(kFairseqUnknown);
  for (size_t i = 0; i < kSpecials.size(); ++i) {
    ids_.emplace(kSpecials[i], static_cast<uint16_t>(i));
  }
}

bool FairseqDictionary::Has(absl::string_view word) const {
  return IdOf(word) != kFairseqUnknown || word == kSpecials[kFairseqUnknown];
}

void FairseqDictionary::Append(absl::string_view word, int64_t count) {
  const auto id = static_cast<uint16_t>(size());
  symbols_.push_back({std::string(word), count});
  if (const int number = SmallNumber(word); number >= 0) {
    numbers_[static_cast<size_t>(number)] = id;
  } else {
    ids_.emplace(symbols_.back().text, id);
  }
}

absl::Status FairseqDictionary::CheckSize(int64_t size) const {
  if (size <= kMaxFairseqSymbols) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrFormat(
      "the dictionary has %d symbols, want at most %d: ids have 16 bits "
      "(--thresholdsrc and --nwordssrc leave rare words out)",
      size, kMaxFairseqSymbols));
}

absl::StatusOr<FairseqDictionary> FairseqDictionary::Create(
    const WordCounts& counts, const DictionaryOptions& options) {
  std::vector<std::pair<std::string, int64_t>> words;
  counts.ForEach([&](absl::string_view word, int64_t count) {
    if (count >= options.threshold && !IsSpecial(word)) {
      words.emplace_back(word, count);
    }
  });
  // Bytes in rising order are code points in rising order.
  std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (options.words > 0) {
    const auto most = static_cast<size_t>(
        std::max<int64_t>(0, options.words - kFairseqSpecials));
    words.resize(std::min(words.size(), most));
  }

  const int64_t factor = std::max<int64_t>(1, options.padding_factor);
  const int64_t size = kFairseqSpecials + static_cast<int64_t>(words.size());
  const int64_t rest = size % factor;
  FairseqDictionary dictionary;
  SPANLM_RETURN_IF_ERROR(
      dictionary.CheckSize(size + (rest == 0 ? 0 : factor - rest)));
  for (const auto& [word, count] : words) dictionary.Append(word, count);
  // A word of the text that has a filler's name takes its place.
  for (int i = 0; dictionary.size() % factor != 0; ++i) {
    const std::string filler = absl::StrFormat("madeupword%04d", i);
    if (!dictionary.Has(filler)) dictionary.Append(filler, 0);
  }
  return dictionary;
}

absl::StatusOr<FairseqDictionary> FairseqDictionary::Read(
    const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (lines.back().empty()) lines.pop_back();  // no line behind the last \n

  FairseqDictionary dictionary;
  if (absl::Status status = dictionary.CheckSize(
          kFairseqSpecials + static_cast<int64_t>(lines.size()));
      !status.ok()) {
    return absl::OutOfRangeError(absl::StrCat(path, ": ", status.message()));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const absl::string_view line = absl::StripTrailingAsciiWhitespace(lines[i]);
    const size_t blank = line.rfind(' ');
    int64_t count = 0;
    if (blank == absl::string_view::npos || blank == 0 ||
        !absl::SimpleAtoi(line.substr(blank + 1), &count)) {
      return absl::DataLossError(
          absl::StrFormat("%s, line %d: %s, want `symbol count`", path, i + 1,
                          line.substr(0, 40)));
    }
    const absl::string_view symbol = line.substr(0, blank);
    if (dictionary.Has(symbol)) {
      return absl::DataLossError(absl::StrFormat(
          "%s, line %d: %s is there twice", path, i + 1, symbol.substr(0, 40)));
    }
    dictionary.Append(symbol, count);
  }
  return dictionary;
}

std::string FairseqDictionary::Text() const {
  std::string text;
  for (const Symbol& symbol : symbols_) {
    absl::StrAppend(&text, symbol.text, " ", symbol.count, "\n");
  }
  return text;
}

}  // namespace spanlm
