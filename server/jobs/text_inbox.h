// SPDX-License-Identifier: Apache-2.0
// Text between the thread that receives it and the job that reads it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace spanlm {

// Owned by the call, which outlives the job. Thread-safe. After Append or
// Finish, wake the scheduler.
class TextInbox {
 public:
  // Adds to the text. How much may lie here is up to the caller, who stops
  // receiving above a mark.
  void Append(absl::string_view bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // No text follows.
  void Finish() ABSL_LOCKS_EXCLUDED(mutex_);

  int64_t size_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool is_finished() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Replaces `*bytes` by up to `count` bytes, which leave the inbox.
  void Take(int64_t count, std::string* bytes) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of text_ already gone
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace spanlm
