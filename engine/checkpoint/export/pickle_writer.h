// SPDX-License-Identifier: Apache-2.0
// Python values as a pickle of protocol 2: what a checkpoint of torch.save is
// made of, and nothing that its reader would have to run.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace spanlm {

struct PickleEntry;

// A value as the opcodes that push it, so values compose by being joined.
// There is no memo: what is used twice is written twice. A value type.
class PickleValue {
 public:
  static PickleValue None();
  static PickleValue Bool(bool value);
  static PickleValue Int(int64_t value);
  static PickleValue Float(double value);
  // A str; `text` is UTF-8.
  static PickleValue Text(absl::string_view text);
  static PickleValue List(absl::Span<const PickleValue> items);
  static PickleValue Tuple(absl::Span<const PickleValue> items);
  static PickleValue Dict(absl::Span<const PickleEntry> entries);
  // A collections.OrderedDict, as state dicts are.
  static PickleValue OrderedDict(absl::Span<const PickleEntry> entries);
  // A float32 tensor of the CPU in C order that is the whole of the storage
  // `key`. Two tensors of one key share their memory.
  static PickleValue Tensor(absl::string_view key,
                            absl::Span<const int64_t> shape);

  const std::string& opcodes() const { return opcodes_; }

 private:
  explicit PickleValue(std::string opcodes) : opcodes_(std::move(opcodes)) {}

  std::string opcodes_;
};

// An entry of a dict.
struct PickleEntry {
  PickleValue key;
  PickleValue value;
};

// The entry of the str `name`.
PickleEntry Named(absl::string_view name, PickleValue value);

// The bytes of a pickle of that value.
std::string WritePickle(const PickleValue& value);

}  // namespace spanlm
