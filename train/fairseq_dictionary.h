// SPDX-License-Identifier: Apache-2.0
// fairseq's dictionary: which id each word of a text gets.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "train/text_words.h"

namespace spanlm {

// Ids 0 to 3 are <s>, <pad>, </s> and <unk>.
inline constexpr uint16_t kFairseqLineEnd = 2;
inline constexpr uint16_t kFairseqUnknown = 3;
inline constexpr int32_t kFairseqSpecials = 4;
// With more symbols than this fairseq's ids take more than 16 bits.
inline constexpr int64_t kMaxFairseqSymbols = 65'499;

// How often each word occurs. One thread at a time; movable.
class WordCounts {
 public:
  WordCounts() = default;
  WordCounts(WordCounts&&) = default;
  WordCounts& operator=(WordCounts&&) = default;
  WordCounts(const WordCounts&) = delete;
  WordCounts& operator=(const WordCounts&) = delete;

  void Add(absl::string_view word, int64_t count = 1);
  void Add(const WordCounts& other);

  // Calls on_count(absl::string_view, int64_t) for each word, in no order.
  template <typename OnCount>
  void ForEach(const OnCount& on_count) const {
    for (int i = 0; i < kSmallNumbers; ++i) {
      const int64_t count = numbers_[static_cast<size_t>(i)];
      if (count > 0) on_count(std::to_string(i), count);
    }
    for (const auto& [word, count] : words_) {
      on_count(absl::string_view(word.data(), word.size()), count);
    }
  }

 private:
  std::array<int64_t, kSmallNumbers> numbers_{};
  std::deque<std::string> texts_;  // of the keys below
  std::unordered_map<std::string_view, int64_t> words_;
};

// fairseq-preprocess's flags of the same names.
struct DictionaryOptions {
  int64_t threshold = 0;  // rarer words are left out
  int64_t words = -1;     // most symbols, specials included; <= 0: no bound
  int64_t padding_factor = 8;  // of which the size is made a multiple
};

// Symbols in the order of their ids. Immutable; movable.
class FairseqDictionary {
 public:
  // The words by falling count, equal ones by rising text, then fillers
  // madeupword0000, … up to the multiple. A word that is a special's name keeps
  // the special's id. kOutOfRange: more than kMaxFairseqSymbols.
  static absl::StatusOr<FairseqDictionary> Create(
      const WordCounts& counts, const DictionaryOptions& options);

  // Reads dict.txt: a line `symbol count` for each id from 4 on. kNotFound;
  // kDataLoss names the line that is none or repeats a symbol; kOutOfRange.
  static absl::StatusOr<FairseqDictionary> Read(const std::string& path);

  FairseqDictionary(FairseqDictionary&&) = default;
  FairseqDictionary& operator=(FairseqDictionary&&) = default;
  FairseqDictionary(const FairseqDictionary&) = delete;
  FairseqDictionary& operator=(const FairseqDictionary&) = delete;

  // Symbols, specials and fillers included.
  int32_t size() const {
    return kFairseqSpecials + static_cast<int32_t>(symbols_.size());
  }

  // The id of a word, kFairseqUnknown where it has none.
  uint16_t IdOf(absl::string_view word) const {
    const int number = SmallNumber(word);
    if (number >= 0) return numbers_[static_cast<size_t>(number)];
    const auto found = ids_.find(std::string_view(word.data(), word.size()));
    return found == ids_.end() ? kFairseqUnknown : found->second;
  }

  // The bytes of dict.txt.
  std::string Text() const;

 private:
  struct Symbol {
    std::string text;
    int64_t count = 0;
  };

  FairseqDictionary();
  bool Has(absl::string_view word) const;
  void Append(absl::string_view word, int64_t count);
  absl::Status CheckSize(int64_t size) const;

  std::deque<Symbol> symbols_;  // ids from 4 on; they stay where they are
  std::array<uint16_t, kSmallNumbers> numbers_{};
  std::unordered_map<std::string_view, uint16_t> ids_;
};

}  // namespace spanlm
