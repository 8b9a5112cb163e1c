// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/text_inbox.h"

#include <algorithm>

namespace spanlm {

void TextInbox::Append(absl::string_view bytes) {
  MutexLock lock(&mutex_);
  // Moves what is left to the front once half is gone: each byte moves about
  // once, however small the pieces.
  if (taken_ > text_.size() / 2) {
    text_.erase(0, taken_);
    taken_ = 0;
  }
  text_.append(bytes.data(), bytes.size());
}

void TextInbox::Finish() {
  MutexLock lock(&mutex_);
  finished_ = true;
}

int64_t TextInbox::size_bytes() const {
  MutexLock lock(&mutex_);
  return static_cast<int64_t>(text_.size() - taken_);
}

bool TextInbox::is_finished() const {
  MutexLock lock(&mutex_);
  return finished_;
}

void TextInbox::Take(int64_t count, std::string* bytes) {
  MutexLock lock(&mutex_);
  const size_t size = std::min<size_t>(count, text_.size() - taken_);
  bytes->assign(text_, taken_, size);
  taken_ += size;
}

}  // namespace spanlm
