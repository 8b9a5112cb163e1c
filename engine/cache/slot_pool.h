// SPDX-License-Identifier: Apache-2.0
// Which of the slab's equal slots are free.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace spanlm {

class SlotPool;

// The right to use one slot; returns it when it dies. Move-only.
class Slot {
 public:
  Slot() = default;
  Slot(SlotPool* pool, int32_t index) : pool_(pool), index_(index) {}
  Slot(Slot&& other) noexcept;
  Slot& operator=(Slot&& other) noexcept;
  ~Slot();

  int32_t index() const { return index_; }

 private:
  SlotPool* pool_ = nullptr;  // nullptr: moved from
  int32_t index_ = -1;
};

// A free list of `count` slots. Admission is exact: a slot is there or it is
// not. Must outlive its slots. Thread-safe.
class SlotPool {
 public:
  explicit SlotPool(int32_t count);
  // All slots must have come back.
  ~SlotPool();

  // kResourceExhausted names the number of slots when none is free.
  absl::StatusOr<Slot> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  int32_t count() const { return count_; }
  int32_t free_count() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class Slot;
  void GiveBack(int32_t index) ABSL_LOCKS_EXCLUDED(mutex_);

  const int32_t count_;
  mutable Mutex mutex_;
  std::vector<int32_t> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
