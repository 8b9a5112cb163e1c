// SPDX-License-Identifier: Apache-2.0
#include "engine/cache/slot_pool.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace spanlm {

Slot::Slot(Slot&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      index_(std::exchange(other.index_, -1)) {}

Slot& Slot::operator=(Slot&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->GiveBack(index_);
    pool_ = std::exchange(other.pool_, nullptr);
    index_ = std::exchange(other.index_, -1);
  }
  return *this;
}

Slot::~Slot() {
  if (pool_ != nullptr) pool_->GiveBack(index_);
}

SlotPool::SlotPool(int32_t count) : count_(count) {
  SPANLM_CHECK(count >= 0);
  // The lowest free index is taken first: few slots in use touch few pages.
  free_.reserve(static_cast<size_t>(count));
  for (int32_t i = count - 1; i >= 0; --i) free_.push_back(i);
}

SlotPool::~SlotPool() { SPANLM_CHECK(free_count() == count_); }

absl::StatusOr<Slot> SlotPool::Take() {
  MutexLock lock(&mutex_);
  if (free_.empty()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no free cache: all ", count_, " slots are in use"));
  }
  const int32_t index = free_.back();
  free_.pop_back();
  return Slot(this, index);
}

int32_t SlotPool::free_count() const {
  MutexLock lock(&mutex_);
  return static_cast<int32_t>(free_.size());
}

void SlotPool::GiveBack(int32_t index) {
  MutexLock lock(&mutex_);
  SPANLM_CHECK(static_cast<int32_t>(free_.size()) < count_);
  free_.push_back(index);
}

}  // namespace spanlm
