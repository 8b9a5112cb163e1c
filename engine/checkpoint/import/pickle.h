// SPDX-License-Identifier: Apache-2.0
// A restricted unpickler: turns a pickle into a tree of inert values. Calls
// nothing: what it does not know becomes a record of its fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A value's place in its Pickle. Values may be shared and, in a hostile file,
// contain themselves: who walks the tree bounds the walk.
using PickleId = uint32_t;

enum class PickleKind {
  kNone,
  kBool,
  kInt,
  kLong,  // an integer beyond 64 bits: its little-endian bytes in `text`
  kFloat,
  kString,
  kBytes,
  kList,
  kTuple,
  kSet,
  kDict,
  kGlobal,   // a class or function by name
  kStorage,  // a tensor's memory: Pickle::storage
  kTensor,   // a view of a storage: Pickle::tensor
  kRecord,   // an object of an unknown class
};

struct PickleNode {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;  // kBool, kInt; index of kStorage and kTensor
  double real = 0;      // kFloat
  std::string text;     // kString, kBytes, kLong; module of kGlobal, kRecord
  std::string name;     // kGlobal, kRecord
  // kList, kTuple, kSet: elements. kDict: key, value, key, value, … kRecord:
  // those of a container's subclass.
  std::vector<PickleId> items;
  PickleId args = 0;   // kRecord: what it was made from; 0: nothing
  PickleId state = 0;  // kRecord: its fields, usually a kDict; 0: none
};

// `count` elements from `offset` of the stored memory `key`, which has
// `root_count` elements.
struct PickleStorage {
  std::string key;
  DType dtype = DType::kF32;
  int64_t root_count = 0;
  int64_t offset = 0;
  int64_t count = 0;
};

// In elements; every number is at least 0, not checked against the storage.
struct PickleTensor {
  size_t storage = 0;  // Pickle::storages
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
};

// All values of a pickle. Immutable; movable.
class Pickle {
 public:
  // Reads the pickle at the front of `bytes`, protocols 0 to 5. kDataLoss names
  // the offset and what is wrong there; kFailedPrecondition: beyond a bound
  // that no checkpoint reaches.
  static absl::StatusOr<Pickle> Parse(absl::string_view bytes);

  size_t size() const { return size_; }  // bytes read, up to its STOP
  const PickleNode& root() const { return nodes_[root_]; }
  const PickleNode& node(PickleId id) const { return nodes_[id]; }
  // Of a kStorage or kTensor, and of a tensor.
  const PickleStorage& storage(const PickleNode& node) const {
    return storages_[node.integer];
  }
  const PickleStorage& storage(const PickleTensor& tensor) const {
    return storages_[tensor.storage];
  }
  const PickleTensor& tensor(const PickleNode& node) const {
    return tensors_[node.integer];
  }
  const std::vector<PickleStorage>& storages() const { return storages_; }

  // The value of `key` in a dict, or the field `key` of a record; nullptr: none
  // or not a container of that sort.
  const PickleNode* Find(const PickleNode& container,
                         absl::string_view key) const;

 private:
  friend class PickleBuilder;
  Pickle() = default;

  std::vector<PickleNode> nodes_;
  std::vector<PickleStorage> storages_;
  std::vector<PickleTensor> tensors_;
  PickleId root_ = 0;
  size_t size_ = 0;
};

}  // namespace spanlm
