// SPDX-License-Identifier: Apache-2.0
// The bytes of a pickle: its numbers, lines and literal values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/import/pickle.h"

namespace spanlm {

// Reads forward through `bytes`, which must outlive it. Every error is
// kDataLoss with what is wrong. One thread at a time.
class PickleInput {
 public:
  explicit PickleInput(absl::string_view bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  bool at_end() const { return position_ == bytes_.size(); }

  absl::StatusOr<absl::string_view> Take(uint64_t size);
  // A little-endian number of up to 8 bytes.
  absl::StatusOr<uint64_t> Number(size_t size);
  // Up to a line feed, which is skipped.
  absl::StatusOr<absl::string_view> Line();
  absl::StatusOr<uint64_t> DecimalLine();

 private:
  absl::string_view bytes_;
  size_t position_ = 0;
};

// The constant, number, string or bytes that `opcode` pushes; nothing if it is
// an opcode of another sort.
absl::StatusOr<std::optional<PickleNode>> ReadLiteral(unsigned char opcode,
                                                      PickleInput* input);

}  // namespace spanlm
