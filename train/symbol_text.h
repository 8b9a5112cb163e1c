// SPDX-License-Identifier: Apache-2.0
// A text as a model's symbols, whatever width they are stored in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace spanlm {

// A view of symbols of one or two bytes each; the memory is lent. A value.
class SymbolText {
 public:
  SymbolText() = default;
  explicit SymbolText(absl::Span<const uint8_t> bytes)
      : bytes_(bytes.data()), size_(static_cast<int64_t>(bytes.size())) {}
  explicit SymbolText(absl::Span<const uint16_t> symbols)
      : symbols_(symbols.data()), size_(static_cast<int64_t>(symbols.size())) {}

  int64_t size() const { return size_; }

  // The symbols [begin, begin + count), cut off at the end of the text.
  SymbolText Part(int64_t begin, int64_t count) const {
    SymbolText part = *this;
    begin = std::min(begin, size_);
    if (bytes_ != nullptr) part.bytes_ += begin;
    if (symbols_ != nullptr) part.symbols_ += begin;
    part.size_ = std::min(count, size_ - begin);
    return part;
  }

  // Writes the symbols [begin, begin + count), all inside, to `out`.
  template <typename T>
  void Copy(int64_t begin, int64_t count, T* out) const {
    if (bytes_ != nullptr) {
      std::copy_n(bytes_ + begin, count, out);
    } else {
      std::copy_n(symbols_ + begin, count, out);
    }
  }

 private:
  const uint8_t* bytes_ = nullptr;  // one of the two, or none: empty
  const uint16_t* symbols_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace spanlm
