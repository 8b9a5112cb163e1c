// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/pickle_writer.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

// Opcodes, by their names in Python's pickle module. All of them are among
// those that torch.load(weights_only=True) accepts.
constexpr char kProto2[] = "\x80\x02";
constexpr char kStop = '.';
constexpr char kMark = '(';
constexpr char kNone = 'N';
constexpr char kNewTrue = '\x88';
constexpr char kNewFalse = '\x89';
constexpr char kBinInt = 'J';
constexpr char kLong1 = '\x8a';
constexpr char kBinFloat = 'G';
constexpr char kBinUnicode = 'X';
constexpr char kEmptyList = ']';
constexpr char kAppends = 'e';
constexpr char kTuple = 't';
constexpr char kEmptyDict = '}';
constexpr char kSetItems = 'u';
constexpr char kReduce = 'R';
constexpr char kBinPersId = 'Q';
constexpr char kGlobal = 'c';

std::string Little(uint64_t value, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  }
  return bytes;
}

std::string Global(absl::string_view module, absl::string_view name) {
  return absl::StrCat(std::string(1, kGlobal), module, "\n", name, "\n");
}

std::string EmptyOrderedDict() {
  return absl::StrCat(Global("collections", "OrderedDict"),
                      PickleValue::Tuple({}).opcodes(),
                      std::string(1, kReduce));
}

// A mark, the items and the opcode that takes them up to the mark.
std::string Marked(absl::Span<const PickleValue> items, char opcode) {
  std::string opcodes(1, kMark);
  for (const PickleValue& item : items) opcodes += item.opcodes();
  opcodes += opcode;
  return opcodes;
}

// Puts the entries into the dict that `dict` pushes.
std::string WithEntries(std::string dict,
                        absl::Span<const PickleEntry> entries) {
  if (entries.empty()) return dict;
  dict += kMark;
  for (const PickleEntry& entry : entries) {
    dict += entry.key.opcodes();
    dict += entry.value.opcodes();
  }
  dict += kSetItems;
  return dict;
}

std::vector<PickleValue> Ints(absl::Span<const int64_t> values) {
  std::vector<PickleValue> ints;
  for (const int64_t value : values) ints.push_back(PickleValue::Int(value));
  return ints;
}

}  // namespace

PickleValue PickleValue::None() { return PickleValue(std::string(1, kNone)); }

PickleValue PickleValue::Bool(bool value) {
  return PickleValue(std::string(1, value ? kNewTrue : kNewFalse));
}

PickleValue PickleValue::Int(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);  // two's complement
  if (value >= std::numeric_limits<int32_t>::min() &&
      value <= std::numeric_limits<int32_t>::max()) {
    return PickleValue(kBinInt + Little(bits, 4));
  }
  return PickleValue(kLong1 + std::string(1, '\x08') + Little(bits, 8));
}

PickleValue PickleValue::Float(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::string little = Little(bits, sizeof(bits));
  return PickleValue(kBinFloat + std::string(little.rbegin(), little.rend()));
}

PickleValue PickleValue::Text(absl::string_view text) {
  return PickleValue(absl::StrCat(kBinUnicode + Little(text.size(), 4), text));
}

PickleValue PickleValue::List(absl::Span<const PickleValue> items) {
  return PickleValue(kEmptyList + Marked(items, kAppends));
}

PickleValue PickleValue::Tuple(absl::Span<const PickleValue> items) {
  return PickleValue(Marked(items, kTuple));
}

PickleValue PickleValue::Dict(absl::Span<const PickleEntry> entries) {
  return PickleValue(WithEntries(std::string(1, kEmptyDict), entries));
}

PickleValue PickleValue::OrderedDict(absl::Span<const PickleEntry> entries) {
  return PickleValue(WithEntries(EmptyOrderedDict(), entries));
}

PickleValue PickleValue::Tensor(absl::string_view key,
                                absl::Span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t count = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = count;
    count *= shape[i];
  }
  const PickleValue storage(
      Tuple({Text("storage"), PickleValue(Global("torch", "FloatStorage")),
             Text(key), Text("cpu"), Int(count)})
          .opcodes() +
      kBinPersId);
  // storage, offset, shape, strides, requires_grad, backward hooks
  const PickleValue arguments =
      Tuple({storage, Int(0), Tuple(Ints(shape)), Tuple(Ints(strides)),
             Bool(false), PickleValue(EmptyOrderedDict())});
  return PickleValue(Global("torch._utils", "_rebuild_tensor_v2") +
                     arguments.opcodes() + kReduce);
}

PickleEntry Named(absl::string_view name, PickleValue value) {
  return {PickleValue::Text(name), std::move(value)};
}

std::string WritePickle(const PickleValue& value) {
  return kProto2 + value.opcodes() + kStop;
}

}  // namespace spanlm
