// SPDX-License-Identifier: Apache-2.0
// Lets a test wait for the end of what runs on another thread.
#pragma once

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace spanlm {

// Counts, so that an end that comes twice is seen. Thread-safe.
class EndSignal {
 public:
  void Notify() {
    MutexLock lock(&mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (count_ == 0) changed_.Wait(&mutex_);
  }
  int count() const {
    MutexLock lock(&mutex_);
    return count_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace spanlm
