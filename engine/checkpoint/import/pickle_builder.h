// SPDX-License-Identifier: Apache-2.0
// The values of a pickle while it is read: what its opcodes do to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/checkpoint/import/pickle.h"

namespace spanlm {

// Makes and changes values; knows the few functions of PyTorch that rebuild
// tensors. Errors are kDataLoss with what is wrong, without a place. One thread
// at a time.
class PickleBuilder {
 public:
  PickleBuilder();

  // kFailedPrecondition: more values than any checkpoint has.
  absl::StatusOr<PickleId> Add(PickleNode node);
  absl::StatusOr<PickleId> Add(PickleKind kind) {
    PickleNode node;
    node.kind = kind;
    return Add(std::move(node));
  }
  absl::StatusOr<PickleId> AddInt(PickleKind kind, int64_t value);
  absl::StatusOr<PickleId> AddItems(PickleKind kind,
                                    absl::Span<const PickleId> items);
  absl::StatusOr<PickleId> AddGlobal(absl::string_view module,
                                     absl::string_view name);

  // Appends elements to a list or set, or key after value to a dict; to the
  // items of a record in any case.
  absl::Status Append(PickleId container, absl::Span<const PickleId> items);
  absl::Status AppendPairs(PickleId dict, absl::Span<const PickleId> items);

  // What `callable(*args)` stands for: a tensor, a container, or a record.
  absl::StatusOr<PickleId> Reduce(PickleId callable, PickleId args);
  // Gives a record its fields; of other values they are of no interest.
  void Build(PickleId object, PickleId state);
  // What a persistent id stands for: a storage, or a class.
  absl::StatusOr<PickleId> Persistent(PickleId id);

  const PickleNode& node(PickleId id) const { return pickle_.nodes_[id]; }
  Pickle Take(PickleId root, size_t size);

 private:
  absl::StatusOr<PickleId> RebuildTensor(const PickleNode& args);
  absl::StatusOr<PickleId> RebuildDict(const PickleNode& args);
  absl::StatusOr<PickleId> AddRecord(PickleId callable, PickleId args);
  absl::StatusOr<PickleId> AddStorage(const PickleNode& id);
  // kFailedPrecondition: with these, more than any checkpoint has.
  absl::Status CountItems(size_t items);
  absl::Status CountBytes(size_t bytes);

  Pickle pickle_;
  size_t item_count_ = 0;
  size_t byte_count_ = 0;
};

}  // namespace spanlm
