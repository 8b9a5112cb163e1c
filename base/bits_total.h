// SPDX-License-Identifier: Apache-2.0
// Exact totals of code length, so that sums do not depend on their order.
#pragma once

#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// A sum of −log2 P in units of 2⁻³² bit. Each byte's negative log-likelihood
// is rounded once, when it is added; after that all arithmetic is on integers,
// so totals of shards, chunks and resumed runs are equal to the last bit.
// A value.
class BitsTotal {
 public:
  BitsTotal() = default;
  explicit BitsTotal(absl::int128 units) : units_(units) {}

  // Adds one byte of `nll` nats, rounded to the nearest unit, ties to even.
  // `nll` is finite and below 2⁶⁰ bits.
  void Add(float nll);
  // Adds `count` bytes of exactly 8 bits (the uniform start of a text).
  void AddUniformBytes(int64_t count);
  BitsTotal& operator+=(const BitsTotal& other) {
    units_ += other.units_;
    return *this;
  }
  BitsTotal& operator-=(const BitsTotal& other) {
    units_ -= other.units_;
    return *this;
  }
  bool operator==(const BitsTotal& other) const {
    return units_ == other.units_;
  }

  double bits() const;
  double nats() const;
  absl::int128 units() const { return units_; }
  int64_t high() const { return absl::Int128High64(units_); }
  // The low 64 bits as two's complement, as the protos carry them.
  int64_t low() const {
    return static_cast<int64_t>(absl::Int128Low64(units_));
  }
  static BitsTotal FromHighLow(int64_t high, int64_t low) {
    return BitsTotal(absl::MakeInt128(high, static_cast<uint64_t>(low)));
  }

  // The units as a decimal integer, and back. kInvalidArgument: not one.
  std::string ToString() const;
  static absl::StatusOr<BitsTotal> Parse(absl::string_view text);

 private:
  absl::int128 units_ = 0;
};

}  // namespace spanlm
