// SPDX-License-Identifier: Apache-2.0
#include "base/bits_total.h"

#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

constexpr double kBitsPerNat = 0x1.71547652b82fep0;  // 1 / ln 2
constexpr double kUnitsPerBit = 0x1p32;

}  // namespace

void BitsTotal::Add(float nll) {
  units_ += std::llrint(static_cast<double>(nll) * kBitsPerNat * kUnitsPerBit);
}

void BitsTotal::AddUniformBytes(int64_t count) {
  units_ += absl::int128(count) * (absl::int128(8) << 32);
}

double BitsTotal::bits() const {
  return static_cast<double>(units_) / kUnitsPerBit;
}

double BitsTotal::nats() const { return bits() / kBitsPerNat; }

std::string BitsTotal::ToString() const {
  if (units_ == 0) return "0";
  std::string digits;
  // Digits of a negative number come out negative: no overflow at the minimum.
  for (absl::int128 rest = units_; rest != 0; rest /= 10) {
    const int digit = static_cast<int>(rest % 10);
    digits.insert(digits.begin(),
                  static_cast<char>('0' + (digit < 0 ? -digit : digit)));
  }
  return absl::StrCat(units_ < 0 ? "-" : "", digits);
}

absl::StatusOr<BitsTotal> BitsTotal::Parse(absl::string_view text) {
  absl::string_view digits = text;
  const bool negative = !digits.empty() && digits[0] == '-';
  if (negative) digits.remove_prefix(1);
  // 38 digits always fit an int128; no total comes near that.
  if (digits.empty() || digits.size() > 38) {
    return absl::InvalidArgumentError(
        absl::StrCat("accumulator \"", text,
                     "\": want a decimal integer of 1 to 38 digits"));
  }
  absl::int128 units = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') {
      return absl::InvalidArgumentError(absl::StrCat("accumulator \"", text,
                                                     "\": '", std::string(1, c),
                                                     "' is not a digit"));
    }
    units = units * 10 + (c - '0');
  }
  return BitsTotal(negative ? -units : units);
}

}  // namespace spanlm
