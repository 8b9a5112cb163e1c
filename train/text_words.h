// SPDX-License-Identifier: Apache-2.0
// A text's words and line ends as Python and fairseq's tokenizer see them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace spanlm {

// What a byte of UTF-8 begins.
enum class TextByte : uint8_t { kWord, kBlank, kLineEnd, kPerhapsBlank };

constexpr std::array<TextByte, 256> MakeTextBytes() {
  std::array<TextByte, 256> kinds{};
  for (const int blank : {9, 11, 12, 28, 29, 30, 31, 32}) {
    kinds[static_cast<size_t>(blank)] = TextByte::kBlank;
  }
  for (const int end : {10, 13}) {
    kinds[static_cast<size_t>(end)] = TextByte::kLineEnd;
  }
  for (const int lead : {0xC2, 0xE1, 0xE2, 0xE3}) {
    kinds[static_cast<size_t>(lead)] = TextByte::kPerhapsBlank;
  }
  return kinds;
}

inline constexpr std::array<TextByte, 256> kTextBytes = MakeTextBytes();

inline TextByte TextByteAt(absl::string_view text, size_t i) {
  return kTextBytes[static_cast<unsigned char>(text[i])];
}

// Bytes of the blank outside ASCII that begins at `i`, or 0: U+0085, U+00A0,
// U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
inline size_t WideBlankBytes(absl::string_view text, size_t i) {
  const auto byte = [text, i](size_t k) -> uint32_t {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0;
  };
  if (byte(0) == 0xC2) return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
  const uint32_t bytes = byte(0) << 16 | byte(1) << 8 | byte(2);
  const bool is_blank = (bytes >= 0xE28080 && bytes <= 0xE2808A) ||
                        bytes == 0xE19A80 || bytes == 0xE280A8 ||
                        bytes == 0xE280A9 || bytes == 0xE280AF ||
                        bytes == 0xE2819F || bytes == 0xE38080;
  return is_blank ? 3 : 0;
}

// Calls on_word(absl::string_view) and on_line_end() in the order of the text.
// A line ends in \n, \r or \r\n, words stand between blanks. Bytes that are not
// UTF-8 are taken as they are.
template <typename OnWord, typename OnLineEnd>
void ForEachWord(absl::string_view text, const OnWord& on_word,
                 const OnLineEnd& on_line_end) {
  size_t i = 0;
  while (i < text.size()) {
    switch (TextByteAt(text, i)) {
      case TextByte::kBlank:
        ++i;
        continue;
      case TextByte::kLineEnd:
        i += text[i] == '\r' && text.substr(i + 1, 1) == "\n" ? 2 : 1;
        on_line_end();
        continue;
      case TextByte::kPerhapsBlank:
        if (const size_t bytes = WideBlankBytes(text, i); bytes > 0) {
          i += bytes;
          continue;
        }
        break;
      case TextByte::kWord:
        break;
    }
    const size_t begin = i++;
    while (i < text.size()) {
      const TextByte kind = TextByteAt(text, i);
      const bool goes_on =
          kind == TextByte::kWord ||
          (kind == TextByte::kPerhapsBlank && WideBlankBytes(text, i) == 0);
      if (!goes_on) break;
      ++i;
    }
    on_word(text.substr(begin, i - begin));
  }
}

// The number below 1000 that `word` is in plain decimals (no sign, no leading
// zero), or -1: what nearly every word of a byte corpus is.
inline int SmallNumber(absl::string_view word) {
  if (word.empty() || word.size() > 3) return -1;
  if (word[0] == '0' && word.size() > 1) return -1;
  int value = 0;
  for (const char c : word) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

inline constexpr int kSmallNumbers = 1000;

}  // namespace spanlm
