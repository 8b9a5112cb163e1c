// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/watched_engine.h"

#include <utility>

namespace spanlm {

void WatchedEngine::Hold() {
  MutexLock lock(&mutex_);
  holds_ = true;
}

void WatchedEngine::Release() {
  MutexLock lock(&mutex_);
  holds_ = false;
  released_.NotifyAll();
}

void WatchedEngine::OnBegin(uint16_t first, std::function<void()> hook) {
  MutexLock lock(&mutex_);
  hooks_[first] = std::move(hook);
}

void WatchedEngine::Forget(uint16_t first) {
  MutexLock lock(&mutex_);
  hooks_.erase(first);
}

void WatchedEngine::Watch(const Batch& batch) {
  MutexLock lock(&mutex_);
  while (holds_) released_.Wait(&mutex_);
  for (const Sequence& sequence : batch) {
    if (sequence.cache->position() != 0) continue;
    const auto found = hooks_.find(sequence.symbols.front());
    if (found == hooks_.end()) continue;
    found->second();
    hooks_.erase(found);
  }
}

}  // namespace spanlm
